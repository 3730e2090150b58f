"""Sides side by side, round after round, within a time; a side that fails leaves the others alone."""

from __future__ import annotations

import math
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch

from benchmarks.sides import PATIENCE, Side, SideError, Team, make_images

WARM_UP_SHARE = 0.5  # of the time, in which sides may begin to warm up
FIRST = 2  # sides that warm up at any rate
NO_TIME = "no time left"
Answer = TypeVar("Answer")


@dataclass
class Found:
    """What is known so far, also in the middle of a round.

    Attributes:
        speeds: side -> round -> images per second.
        missing: side -> why it was not measured, or no further.
    """

    speeds: dict[str, dict[int, float]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def ratios(self, side: str, base: str) -> list[float]:
        """Of `side` to `base`, in the rounds that both were measured in."""
        own, other = self.speeds.get(side, {}), self.speeds.get(base, {})
        return [own[i] / other[i] for i in own if i in other]


def measure(
    model: str,
    compared: Sequence[Side],
    device: torch.device,
    n_steps: int,
    n_rounds: int,
    *,
    size: int = 32,
    found: Found | None = None,
    until: float = math.inf,
    patience: float = PATIENCE,
    after_round: Callable[[], None] = lambda: None,
) -> Found:
    """Train `model` on images of `size` px in all ways compared, in turning order, round after round.

    Args:
        compared: the most telling first: they are warmed up in this order while there is time.
        found: is filled as rounds end, so that it is of use after an interruption.
        patience: seconds in which a process must answer, see `Team`.
        until: no round begins that would probably last longer (`time.monotonic()`); the first always does.
    """
    found = Found() if found is None else found
    begun = time.monotonic()
    teams: dict[str, Team] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "images.npz"
        make_images(data, size)
        try:
            for side in compared:
                teams[side.name] = Team(side, model, data, device, n_steps, n_rounds, patience)
            _warm_up(model, teams, found, begun + WARM_UP_SHARE * (until - begun))
            _train(model, teams, found, n_rounds, until, after_round)
        finally:
            for team in teams.values():
                team.stop()
    return found


def _warm_up(model: str, teams: dict[str, Team], found: Found, until: float) -> None:
    for number, name in enumerate(list(teams)):
        if number >= FIRST and time.monotonic() > until:
            found.missing[name] = NO_TIME
            teams.pop(name).stop()
        else:
            _ask(name, teams, found, Team.warm_up)
            print(f"{model}: {name}: {found.missing.get(name, 'warm')}", file=sys.stderr, flush=True)


def _train(
    model: str,
    teams: dict[str, Team],
    found: Found,
    n_rounds: int,
    until: float,
    after_round: Callable[[], None],
) -> None:
    order, lasted = deque(teams), 0.0
    for number in range(n_rounds):
        if not teams or (number > 0 and time.monotonic() + lasted > until):
            return
        begun = time.monotonic()
        for name in order:
            speed = _ask(name, teams, found, Team.round) if name in teams else None
            if speed is not None:
                found.speeds.setdefault(name, {})[number] = speed
        order.rotate()
        lasted = time.monotonic() - begun
        print(f"{model}: round {number + 1} of at most {n_rounds}", file=sys.stderr, flush=True)
        after_round()


def _ask(name: str, teams: dict[str, Team], found: Found, what: Callable[[Team], Answer]) -> Answer | None:
    """What a side answers; one that fails is out, and says why."""
    try:
        return what(teams[name])
    except SideError as error:
        found.missing[name] = f"failed: {error}"
        teams.pop(name).stop()
        return None


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"n": len(values), "median": statistics.median(values), "min": min(values), "max": max(values)}
