"""One trial as a point: what several pages draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dashboards import theme
from dashboards.units import cost, percent, settings
from reprtune.analysis.attempts import last_measure
from reprtune.analysis.front import front_ranks
from reprtune.record.schema import StudyRecord, TrialRecord


@dataclass(frozen=True, kw_only=True)
class TrialPoint:
    """`val_error` (a fraction) and `train_gflops` are those of the last evaluation."""

    number: int
    slot: int
    arm: str | None
    seed: int
    outcome: str
    params: Mapping[str, Any]
    val_error: float | None
    train_gflops: float | None
    on_front: bool

    @property
    def label(self) -> str:
        return f"trial {self.number}" if self.arm is None else f"{self.arm}, seed {self.seed}"

    @property
    def hover(self) -> str:
        """All that is known of it, for the mouse."""
        lines = [f"<b>{theme.text(self.label)}</b> ({self.outcome}, slot {self.slot})"]
        if self.val_error is not None:
            lines.append(f"error {percent(self.val_error)}, accuracy {percent(1 - self.val_error)}")
        if self.train_gflops is not None:
            lines.append(cost(self.train_gflops))
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
        )
        for t in trials
    )
