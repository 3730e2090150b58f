"""Which try of an arm is its best, and what that came to.

*Notations*

    error      of a try: mean validation error over its seeds, a diverged run with chance error; None where a run has
               neither
    best       the try with the lowest error, of equals the first; chosen once all tries of the arm are final. None where no
               try has an error: then the arm stays as it is declared
    settings   of the best try, of all runs of the arm. Once one of these is queued they stay, although a try that was
               repaired has become better since
    spent      what was really trained for a try, all attempts together: less than its length where beginnings are shared
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reprtune.analysis.attempts import deciding
from reprtune.analysis.runs import chance_error, errors_on_validation
from reprtune.record.outcomes import Outcome
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.codec import to_plain
from reprtune.spec.designs.arm import Arm
from reprtune.spec.sections.arms import Arms
from reprtune.spec.sections.tune import Tune, try_name

WORST = 1.0  # error of a diverged run where chance is not known


@dataclass(frozen=True, kw_only=True)
class Try:
    """One try.

    Attributes:
        drawn: path -> plain value, of what the space varies. error: see *Notations*. left: runs that are not finished.
        n_diverged, n_failed: of those that are. steps, gflops, seconds: spent.
    """

    n: int
    drawn: Mapping[str, Any]
    error: float | None
    left: int
    n_diverged: int
    n_failed: int
    steps: float
    gflops: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What tuning an arm came to.

    Attributes:
        tries: in their order. best: number of the best one. settings: changes of the base that the arm is trained
            with; None until they are chosen.
        fresh: validation errors of its runs, on seeds that no try has had: nothing was chosen by them.
    """

    section: str
    arm: str
    tries: tuple[Try, ...]
    best: int | None
    settings: Mapping[str, Any] | None
    fresh: tuple[float, ...]

    @property
    def chosen(self) -> Try | None:
        """The best try."""
        return None if self.best is None else self.tries[self.best]

    @property
    def left(self) -> int:
        """Runs of tries that are not finished."""
        return sum(one.left for one in self.tries)

    @property
    def errors(self) -> tuple[float, ...]:
        """Of all tries that have one, the lowest first."""
        return tuple(sorted(one.error for one in self.tries if one.error is not None))


def tuned(section: Arms, study: StudyRecord) -> dict[str, Tuned]:
    """Name -> what is known so far, of every arm of a section that tunes; nothing of another one."""
    if section.tune is None:
        return {}
    attempts: dict[str, list[TrialRecord]] = {}
    for trial in study.of(section.name):
        attempts.setdefault(str(trial.arm), []).append(trial)
    return {
        arm.name: _of_arm(section, section.tune, study, arm, attempts)
        for arm in section.arms(study.spec.base)
    }


def all_tuned(study: StudyRecord) -> tuple[Tuned, ...]:
    """Of all sections."""
    return tuple(one for section in study.spec.comparisons for one in tuned(section, study).values())


def _of_arm(
    section: Arms, tune: Tune, study: StudyRecord, arm: Arm, attempts: Mapping[str, Sequence[TrialRecord]]
) -> Tuned:
    known = chance_error(study)
    chance = WORST if known is None else known
    of = [attempts.get(try_name(arm.name, n), ()) for n in range(tune.tries)]
    tries = tuple(_try(n, tune, trials, chance) for n, trials in enumerate(of))
    trained = next((t.settings for t in attempts.get(arm.name, ()) if t.settings is not None), None)
    if trained is not None:
        best = next((n for n, trials in enumerate(of) if trials and trials[0].settings == trained), None)
    else:
        best = min(((one.error, one.n) for one in tries if one.error is not None), default=(0.0, None))[1]
    if trained is None and not any(one.left for one in tries):
        trained = arm.changes if best is None else of[best][0].settings
    return Tuned(
        section=section.name,
        arm=arm.name,
        tries=tries,
        best=best if trained is not None else None,
        settings=trained,
        fresh=tuple(v.value for v in errors_on_validation(deciding(attempts.get(arm.name, ())), chance)),
    )


def _try(n: int, tune: Tune, trials: Sequence[TrialRecord], chance: float) -> Try:
    runs = deciding(trials)
    ended = [t for t in runs if t.is_final]
    values = errors_on_validation(ended, chance)
    settings = dict(trials[0].settings or {}) if trials else {}
    return Try(
        n=n,
        drawn={path: to_plain(value) for path, value in settings.items() if path in tune.space},
        error=statistics.fmean(v.value for v in values) if len(values) == tune.seeds else None,
        left=tune.seeds - len({t.seed for t in ended}),
        n_diverged=sum(t.outcome == Outcome.DIVERGED for t in ended),
        n_failed=sum(t.outcome.is_failure for t in ended),
        steps=_sum(trials, "steps_spent"),
        gflops=_sum(trials, "gflops_spent"),
        seconds=_sum(trials, "seconds_spent"),
    )


def _sum(trials: Sequence[TrialRecord], field: str) -> float:
    return math.fsum(float(t.result.get(field) or 0) for t in trials)
