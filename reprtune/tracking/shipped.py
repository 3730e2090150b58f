"""How far the journal of a slot has been sent, in `KEY.shipped` beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from reprtune.files import write_atomically
from reprtune.tracking.journal import Journal


@dataclass(frozen=True)
class Shipped:
    """What one tracker has of a slot.

    Attributes:
        offset: bytes of the journal that were sent. run: the tracker's id of the run they became, the last one.
        unsent: artifacts among them that could not be written there yet.
    """

    offset: int = 0
    run: str = ""
    unsent: tuple[str, ...] = ()


def read_shipped(journal: Journal, key: str, address: str) -> Shipped:
    """Nothing was sent where this is absent, damaged, of another tracker, or beyond the journal's end."""
    try:
        stored = json.loads(journal.path(key).with_suffix(".shipped").read_text())
        shipped = Shipped(int(stored["offset"]), str(stored.get("run", "")), tuple(stored.get("unsent", ())))
        fits = stored["uri"] == address and shipped.offset <= journal.path(key).stat().st_size
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Shipped()
    return shipped if fits else Shipped()


def write_shipped(journal: Journal, key: str, address: str, shipped: Shipped) -> None:
    stored = {"uri": address, "offset": shipped.offset, "run": shipped.run, "unsent": list(shipped.unsent)}
    write_atomically(journal.path(key).with_suffix(".shipped"), json.dumps(stored).encode())


def forget_shipped(journal: Journal, key: str) -> None:
    """All of the slot is to be sent again."""
    journal.path(key).with_suffix(".shipped").unlink(missing_ok=True)


def waiting(journal: Journal, key: str, shipped: Shipped) -> int:
    """Events and artifacts that the tracker does not have yet."""
    path = journal.path(key)
    if not path.exists() or path.stat().st_size <= shipped.offset:
        return len(shipped.unsent)
    return len(shipped.unsent) + sum(end > shipped.offset for end, _ in journal.read(key))
