"""One trial as a point: what several pages draw."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboards import theme
from dashboards.units import cost, percent, settings
from reprtune.analysis.attempts import last_measure, seed_spread
from reprtune.analysis.front import front_ranks
from reprtune.record.schema import StudyRecord, TrialRecord


@dataclass(frozen=True, kw_only=True)
class TrialPoint:
    """`val_error` (a fraction) and `train_gflops` are those of the last evaluation, means over `n_seeds`.

    `error_sd` and `gflops_sd`: standard deviations over the seeds of a complete trial; None with one.
    """

    number: int
    slot: int
    arm: str | None
    seed: int
    outcome: str
    params: Mapping[str, Any]
    val_error: float | None
    train_gflops: float | None
    on_front: bool
    n_seeds: int = 1
    error_sd: float | None = None
    gflops_sd: float | None = None

    @property
    def label(self) -> str:
        return f"slot {self.slot}" if self.arm is None else f"{self.arm}, seed {self.seed}"

    @property
    def hover(self) -> str:
        """All that is known of it, for the mouse."""
        lines = [f"<b>{theme.text(self.label)}</b> ({self.outcome})"]
        if self.val_error is not None:
            lines.append(f"error {percent(self.val_error)}, accuracy {percent(1 - self.val_error)}")
        if self.train_gflops is not None:
            lines.append(cost(self.train_gflops))
        if self.error_sd is not None:
            lines.append(f"mean of {self.n_seeds} seeds, sd of the error {percent(self.error_sd)}")
        lines += [theme.text(part) for part in settings(self.params).split(", ") if part]
        return "<br>".join(lines)


def trial_points(record: StudyRecord, trials: tuple[TrialRecord, ...]) -> tuple[TrialPoint, ...]:
    """Every attempt of `trials` as a point."""
    ranked = front_ranks(record.trials)
    return tuple(
        TrialPoint(
            number=t.number,
            slot=t.slot,
            arm=t.arm,
            seed=t.seed,
            outcome=t.outcome,
            params=dict(t.params),
            val_error=last_measure(t, "val_error"),
            train_gflops=last_measure(t, "train_gflops"),
            on_front=t.arm is None and ranked.get(t.number) == 0,
            n_seeds=len(t.runs),
            error_sd=seed_spread(t, "val_error"),
            gflops_sd=seed_spread(t, "train_gflops"),
        )
        for t in trials
    )


def drawn(points: Sequence[TrialPoint], limit: int) -> tuple[TrialPoint, ...]:
    """At most about `limit` of them, in order: all of the front, and of the others a random choice that
    is the same every time. Figures with more are slow, and no more readable."""
    if len(points) <= limit:
        return tuple(points)
    others = [p for p in points if not p.on_front]
    n = max(0, limit - (len(points) - len(others)))
    kept = {id(p) for p in random.Random(0).sample(others, n)}
    return tuple(p for p in points if p.on_front or id(p) in kept)


def said_of(n_drawn: int, n: int, what: str) -> str:
    """A sentence where fewer are drawn than there are, else nothing."""
    if n_drawn == n:
        return ""
    return f"{n_drawn:,} of {n:,} {what} are drawn, a random choice; numbers and trends are of all."
