"""One trial as a point: what several pages draw."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboards import theme
from dashboards.units import percent, scale, settings, value
from reprtune.analysis.front import front_ranks
from reprtune.record.labels import label
from reprtune.record.measures import last_measure, seed_spread
from reprtune.record.repeats import joined
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.objectives import COST, ERROR, OBJECTIVES


@dataclass(frozen=True, kw_only=True)
class TrialPoint:
    """What trials of the study are compared by, of one of them.

    Attributes:
        values: objective -> its value at the last evaluation, a mean over `n_seeds`; without those that are not
            known.
        repeats: the slot whose settings it has drawn again, where it stands for itself alone.
        sds: objective -> standard deviation over the seeds of a complete trial; empty with one seed.
    """

    number: int
    slot: int
    arm: str | None
    seed: int
    outcome: str
    params: Mapping[str, Any]
    values: Mapping[str, float]
    on_front: bool
    n_seeds: int = 1
    repeats: int | None = None
    sds: Mapping[str, float]

    @property
    def error(self) -> float | None:
        return self.values.get(ERROR)

    @property
    def label(self) -> str:
        return label(self.slot, self.arm, self.seed)

    @property
    def hover(self) -> str:
        """All that is known of it, for the mouse."""
        lines = [f"<b>{theme.text(self.label)}</b> ({self.outcome})"]
        lines += [_said(name, number) for name, number in self.values.items()]
        if (sd := self.sds.get(ERROR)) is not None:
            lines.append(f"mean of {self.n_seeds} seeds, sd of the error {percent(sd)}")
        if self.repeats is not None:
            lines.append(f"the settings of slot {self.repeats} again")
        lines += [theme.text(part) for part in settings(self.params).split(", ") if part]
        return "<br>".join(lines)


def _said(objective: str, number: float) -> str:
    """A value and what it is of; the error in both ways, and the cost of training without its name."""
    if objective == ERROR:
        return f"error {percent(number)}, accuracy {percent(1 - number)}"
    short = "" if objective == COST else f"{OBJECTIVES[objective].short} "
    return f"{short}{value(objective, number)}"


def trial_points(record: StudyRecord, trials: tuple[TrialRecord, ...]) -> tuple[TrialPoint, ...]:
    """Each of `trials` as a point; `on_front`: among all settings of the search."""
    measures = record.spec.compared
    ranked = front_ranks(joined(record.trials), measures)
    return tuple(
        TrialPoint(
            number=t.number,
            slot=t.slot,
            arm=t.arm,
            seed=t.seed,
            outcome=t.outcome,
            params=dict(t.params),
            values={m: v for m in measures if (v := last_measure(t, m)) is not None},
            on_front=t.is_drawn and ranked.get(t.number) == 0,
            n_seeds=len(t.runs),
            repeats=t.repeats,
            sds={m: sd for m in measures if (sd := seed_spread(t, m)) is not None},
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


def scale_of(points: Sequence[TrialPoint], objective: str) -> tuple[float, str]:
    """The unit of an axis of these points (see `units.scale`)."""
    return scale(objective, max((p.values.get(objective, 0) for p in points), default=0))


def said_of(n_drawn: int, n: int, what: str) -> str:
    """A sentence where fewer are drawn than there are, else nothing."""
    if n_drawn == n:
        return ""
    return f"{n_drawn:,} of {n:,} {what} are drawn, a random choice; numbers and trends are of all."
