"""How much each searched parameter matters to each objective.

Two answers, because they ask different questions: PED-ANOVA (Watanabe et al. 2023, arXiv 2304.10255)
asks what sets the best trials apart, fANOVA (Hutter et al. 2014) asks what share of the variance over
the whole space a parameter explains. Both see complete trials only, have no sign and no interval.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reprtune.analysis.attempts import n_failed
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.space import Choice, FloatRange, Range

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution

METHODS = ("ped-anova", "fanova")
MIN_COMPLETE = 10
MAX_FANOVA = 300
MIN_BEST = 5
BEST_SHARE = 0.1


@dataclass(frozen=True, kw_only=True)
class Importance:
    """One method's answer for one objective.

    Attributes:
        n: complete trials it looked at.
        best_share: the share of trials that PED-ANOVA counts as the best; None for fANOVA.
        shares: parameter -> share in [0, 1], they add up to 1; None when there is no answer.
        reason: why there is none, as a sentence.
    """

    objective: str
    method: str
    n: int
    best_share: float | None = None
    shares: Mapping[str, float] | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Importances:
    """All answers, beside the counts they must be read with."""

    n_complete: int
    n_stopped: int
    n_diverged: int
    n_failed: int
    answers: tuple[Importance, ...]


def importances(record: StudyRecord, seed: int = 0) -> Importances:
    """Every method for every objective of the study."""
    counts = record.counts()
    usable = [t for t in record.complete() if set(t.params) == set(record.spec.params)]
    return Importances(
        n_complete=counts.get("complete", 0),
        n_stopped=counts.get("stopped", 0),
        n_diverged=counts.get("diverged", 0),
        n_failed=n_failed(counts),
        answers=tuple(
            _importance(usable, record.spec.params, objective, method, seed)
            for objective in record.spec.objectives
            for method in METHODS
        ),
    )


def _importance(
    trials: Sequence[TrialRecord], params: Mapping[str, Range], objective: str, method: str, seed: int
) -> Importance:
    trials = [t for t in trials if t.values and objective in t.values]
    if method == "fanova" and len(trials) > MAX_FANOVA:
        trials = random.Random(seed).sample(list(trials), MAX_FANOVA)
    share = max(BEST_SHARE, MIN_BEST / max(len(trials), MIN_COMPLETE)) if method == "ped-anova" else None
    reason = _reason(trials, objective)
    shares = None if reason else _shares(trials, params, objective, share, seed)
    if shares is not None and sum(shares.values()) <= 0:
        shares, reason = (
            None,
            "No parameter tells good trials from bad ones, so there is nothing to share out.",
        )
    return Importance(
        objective=objective, method=method, n=len(trials), best_share=share, shares=shares, reason=reason
    )


def _reason(trials: Sequence[TrialRecord], objective: str) -> str | None:
    n = len(trials)
    if n < MIN_COMPLETE:
        return f"Importance needs at least {MIN_COMPLETE} complete trials, but there {_are(n)} so far."
    if len({t.values[objective] for t in trials if t.values}) == 1:
        return f"All {n} complete trials have the same {objective}, so no parameter matters to it."
    return None


def _are(n: int) -> str:
    return {0: "are none", 1: "is 1"}.get(n, f"are {n}")


def _shares(
    trials: Sequence[TrialRecord],
    params: Mapping[str, Range],
    objective: str,
    best_share: float | None,
    seed: int,
) -> dict[str, float]:
    from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator

    evaluator = (
        FanovaImportanceEvaluator(seed=seed)
        if best_share is None
        else PedAnovaImportanceEvaluator(target_quantile=best_share)
    )
    raw = evaluator.evaluate(_as_study(trials, params, objective))
    total = float(sum(raw.values()))
    return {name: float(raw[name]) / total if total > 0 else 0.0 for name in params}


def _as_study(trials: Sequence[TrialRecord], params: Mapping[str, Range], objective: str) -> Study:
    """The trials as a study of one minimised objective, in memory."""
    import optuna

    distributions = {name: _distribution(range_) for name, range_ in params.items()}
    with _quiet():
        study = optuna.create_study(direction="minimize")
    for trial in trials:
        assert trial.values is not None
        study.add_trial(
            optuna.trial.create_trial(
                params=dict(trial.params), distributions=distributions, value=trial.values[objective]
            )
        )
    return study


def _distribution(range_: Range) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(range_, Choice):
        return CategoricalDistribution(range_.options)
    if isinstance(range_, FloatRange):
        return FloatDistribution(range_.low, range_.ends()[1], step=range_.step, log=range_.log)
    grid = range_.values()
    return IntDistribution(grid[0], grid[-1], step=grid[1] - grid[0] if len(grid) > 1 else 1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's line about a new study."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)
