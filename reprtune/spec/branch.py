"""A branch: another continuation of a trial, its trunk, from a point of it on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reprtune.errors import SpecError
from reprtune.spec.codec import check_plain, differences
from reprtune.spec.duration import Duration
from reprtune.spec.edit import with_full_paths

FIELD = "branch"  # of a trial
SECTION = "branches"  # of a study: what is added later is named so, and `branches-2` where seeds differ
# What the state at the point is made of, and what the draws after it are made from.
FIXED = (
    "task",
    "model",
    "seed",
    "training.batch_size",
    "training.optimizer",
    "training.bias_correction",
    "training.precision",
    "training.threads",
    "training.segment",
    "method.networks",
)
_CYCLE = re.compile(r"\s*cycle\s*=\s*(\d{1,9})\s*")


@dataclass(frozen=True, kw_only=True)
class Branch:
    """Where a trial leaves its trunk, and what is another from there on.

    Attributes:
        at: `cycle=2`, after the end of the second cycle, whose restore has happened; or a length of training such as
            `20ep`, before what happens there.
        changes: path of the trial specification -> plain value; none = it goes on as the trunk does.
    """

    at: str
    changes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", _read_at(self.at))
        given = {path.removeprefix("base."): value for path, value in self.changes.items()}
        changes = with_full_paths(check_plain(given, "branch.changes"))
        object.__setattr__(self, "changes", changes)
        for path in changes:
            if path.partition(".")[0] == FIELD:
                raise SpecError(
                    f"branch.changes must be of what is trained, but hold {path}: a branch has no branch of its own.",
                    "Branch the trunk at the later point.",
                )

    @property
    def cycle(self) -> int | None:
        """The number, from 1, of the cycle after whose end it is; None where it is a length of training."""
        found = _CYCLE.fullmatch(self.at)
        return int(found[1]) if found else None

    @property
    def length(self) -> Duration:
        """How long the trunk has been trained there, where that is not said by a cycle."""
        return Duration.parse(self.at, "branch.at")


def is_added(section: str) -> bool:
    """Is that the name of a section of branches, which are added to a study after it was created?"""
    return re.fullmatch(rf"{SECTION}(-\d+)?", section) is not None


def _read_at(at: Any) -> str:
    """The point as it is stored, which is the same for two that are written differently."""
    if isinstance(at, str) and (found := _CYCLE.fullmatch(at)):
        if int(found[1]) < 1:
            raise SpecError(f"branch.at must be cycle=1 or a later one, but got {at!r}.")
        return f"cycle={int(found[1])}"
    try:
        length = Duration.parse(at, "branch.at")
    except SpecError as error:
        raise SpecError(
            f"branch.at must be the end of a cycle or a length of training, but got {at!r}.",
            'Write it like "cycle=2", "20ep" or "4000it".',
        ) from error
    if not length.value:
        raise SpecError(
            f"branch.at must be after a first step, but got {at!r}.", "What differs from the start is an arm."
        )
    return str(length)


def check_changes(trunk: Any, after: Any) -> None:
    """What the state at the point is made of must be the same before and after it; both as plain values.

    Raises:
        SpecError: naming the field that differs.
    """
    for path, old, new in differences(trunk, after):
        is_fixed = any(path == one or path.startswith(f"{one}.") for one in FIXED)
        # Without momentum there is none in the state.
        if is_fixed or (path == "training.momentum" and 0 in (old, new)):
            raise SpecError(
                f"branch.changes cannot change {path}, for the state that a branch goes on from is made with it: got "
                f"{new!r}, but its trunk has {old!r}.",
                "Train another arm from the start.",
            )
