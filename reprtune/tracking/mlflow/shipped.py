"""How far the journal of a slot has been sent, in `KEY.shipped` beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from reprtune.tracking.journal import Journal, write_atomically


@dataclass(frozen=True)
class Mark:
    """What one tracking store has of a slot.

    Attributes:
        offset: bytes of the journal that were sent. run: MLflow's id of the run they became, the last one.
        unsent: artifacts among them that could not be written there yet.
    """

    offset: int = 0
    run: str = ""
    unsent: tuple[str, ...] = ()


def read_mark(journal: Journal, key: str, uri: str) -> Mark:
    """Nothing was sent where the mark is absent, damaged, of another store, or beyond the journal's end."""
    try:
        stored = json.loads(journal.path(key).with_suffix(".shipped").read_text())
        mark = Mark(int(stored["offset"]), str(stored.get("run", "")), tuple(stored.get("unsent", ())))
        fits = stored["uri"] == uri and mark.offset <= journal.path(key).stat().st_size
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Mark()
    return mark if fits else Mark()


def write_mark(journal: Journal, key: str, uri: str, mark: Mark) -> None:
    stored = {"uri": uri, "offset": mark.offset, "run": mark.run, "unsent": list(mark.unsent)}
    write_atomically(journal.path(key).with_suffix(".shipped"), json.dumps(stored).encode())


def forget_mark(journal: Journal, key: str) -> None:
    """All of the slot is to be sent again."""
    journal.path(key).with_suffix(".shipped").unlink(missing_ok=True)


def waiting(journal: Journal, key: str, mark: Mark) -> int:
    """Events and artifacts that the store does not have yet."""
    path = journal.path(key)
    if not path.exists() or path.stat().st_size <= mark.offset:
        return len(mark.unsent)
    return len(mark.unsent) + sum(end > mark.offset for end, _ in journal.read(key))
