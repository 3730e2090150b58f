"""What a section asks for: a cell is one configuration with one seed, and becomes a slot of the study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Key = tuple[str, int]  # arm and seed; of a slot that a sampler draws no arm, and its number


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell.

    Attributes:
        arm: name of a configuration; None where a sampler draws it. seed: of its training; None there.
        slot: the number of a slot that a sampler draws; None where any free number will do.
        settings: path of the trial specification -> plain value, what differs from the base.
    """

    arm: str | None = None
    seed: int | None = None
    slot: int | None = None
    settings: Mapping[str, Any] | None = None

    @property
    def key(self) -> Key:
        """What is unique in its section: a cell that is asked for twice is queued once."""
        return key(self.attrs(self.slot or 0))

    def attrs(self, slot: int) -> dict[str, Any]:
        """What is stored of it, at a slot."""
        if self.arm is None:
            return {"slot": slot}
        return {"slot": slot, "arm": self.arm, "seed": self.seed, "settings": dict(self.settings or {})}


def key(attrs: Mapping[str, Any]) -> Key:
    """The key of the cell that a stored attempt is at."""
    arm = attrs.get("arm")
    return ("", int(attrs["slot"])) if arm is None else (str(arm), int(attrs["seed"]))
