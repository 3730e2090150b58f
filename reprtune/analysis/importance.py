"""How much each searched parameter matters to each objective, and how sure that is.

Two answers, because they ask different questions: PED-ANOVA (Watanabe et al. 2023, arXiv 2304.10255)
asks what sets the best trials apart, fANOVA (Hutter et al. 2014, PMLR 32) what share of the variance
over the whole space a parameter explains. Both see complete trials only and have no sign.

*Notations*

    share   importance of a parameter over the sum of all parameters', in [0, 1]
    range   5 % to 95 % of the share over answers from random halves of the trials, drawn without
            replacement: what other trials of the same study might have said. The spread over halves is
            that of the answer from all trials (delete-half jackknife, Shao and Wu 1989); where halves are
            cut to a limit, it is that of fewer trials, so wider
    rank    1 = largest share
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from reprtune.analysis.attempts import n_failed
from reprtune.analysis.rebuilt import Row, as_study
from reprtune.record.outcomes import Outcome
from reprtune.record.repeats import joined
from reprtune.record.schema import StudyRecord
from reprtune.spec.space import Range

METHODS = ("ped-anova", "fanova")
MIN_COMPLETE = 10
MAX_FANOVA = 300
MIN_BEST = 5
BEST_SHARE = 0.1
N_TREES = 64
N_TREES_HALF = 16  # of a half's forest: its range is a little too wide for it
N_HALVES = {"ped-anova": 100, "fanova": 20}
MAX_HALF = {"ped-anova": 150, "fanova": 75}  # trials; keeps large studies within seconds


@dataclass(frozen=True, kw_only=True)
class Stability:
    """Of one parameter over random halves: 5 % and 95 % of its share, of its rank."""

    low: float
    high: float
    rank_low: float
    rank_high: float


@dataclass(frozen=True, kw_only=True)
class Importance:
    """One method's answer for one objective.

    Attributes:
        n: complete trials it looked at.
        best_share: the share of trials that PED-ANOVA counts as the best; None for fANOVA.
        shares: parameter -> share in [0, 1], they add up to 1; None when there is no answer.
        reason: why there is none, as a sentence.
        left_out: parameter it cannot judge -> why, as a sentence.
        stability: parameter -> range; empty without an answer, or where too few halves gave one.
        n_halves: random halves that gave an answer. half: trials in each.
    """

    objective: str
    method: str
    n: int
    best_share: float | None = None
    shares: Mapping[str, float] | None = None
    reason: str | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    stability: Mapping[str, Stability] = field(default_factory=dict)
    n_halves: int = 0
    half: int = 0


@dataclass(frozen=True, kw_only=True)
class Importances:
    """All answers, beside the counts they must be read with; of complete trials each setting counts once."""

    n_complete: int
    n_stopped: int
    n_diverged: int
    n_failed: int
    answers: tuple[Importance, ...]


def importances(record: StudyRecord, seed: int = 0) -> Importances:
    """Every method for every objective of the study. Equal content is computed once."""
    counts = record.counts() | {Outcome.COMPLETE: len(joined(record.complete()))}
    return Importances(
        n_complete=counts.get(Outcome.COMPLETE, 0),
        n_stopped=counts.get(Outcome.STOPPED, 0),
        n_diverged=counts.get(Outcome.DIVERGED, 0),
        n_failed=n_failed(counts),
        answers=tuple(
            _importance(rows(record, objective), tuple(record.spec.params.items()), objective, method, seed)
            for objective in record.spec.objectives
            for method in METHODS
        ),
    )


def rows(record: StudyRecord, objective: str) -> tuple[Row, ...]:
    """What was drawn and what came out, of the complete trials that drew nothing unknown; each setting once."""
    known = record.spec.params
    return tuple(
        (tuple(t.params.items()), t.values[objective])
        for t in joined(record.complete())
        if t.params and set(t.params) <= set(known) and t.values and objective in t.values
    )


def leading(found: Importances, n: int) -> tuple[str, ...]:
    """The `n` parameters with the largest share in any answer, largest first."""
    largest: dict[str, float] = {}
    for answer in found.answers:
        for name, share in (answer.shares or {}).items():
            largest[name] = max(share, largest.get(name, 0))
    return tuple(sorted(largest, key=lambda name: -largest[name])[:n])


@lru_cache(maxsize=64)
def _importance(
    seen: tuple[Row, ...], params: tuple[tuple[str, Range], ...], objective: str, method: str, seed: int
) -> Importance:
    if method == "fanova" and len(seen) > MAX_FANOVA:
        seen = tuple(random.Random(seed).sample(seen, MAX_FANOVA))
    left_out = _left_out(seen, dict(params), method)
    judged = {name: range_ for name, range_ in params if name not in left_out}
    reason = _reason(seen, objective, judged)
    shares = None if reason else _shares(seen, judged, method, N_TREES, seed)
    if shares is None and not reason:
        reason = "No parameter tells good trials from bad ones, so there is nothing to share out."
    answer = Importance(
        objective=objective,
        method=method,
        n=len(seen),
        best_share=_best_share(len(seen)) if method == "ped-anova" else None,
        shares=shares,
        reason=reason,
        left_out=left_out if shares else {},
    )
    return answer if shares is None else _with_stability(answer, seen, judged, seed)


def _left_out(seen: Sequence[Row], params: Mapping[str, Range], method: str) -> dict[str, str]:
    """Parameters that never vary, and for fANOVA those that only some trials have."""
    found, n = {}, len(seen)
    for name in params:
        values = [value for drawn, _ in seen for key, value in drawn if key == name]
        if len(set(values)) == 1:
            found[name] = f"{name} was {values[0]} in every complete trial, so nothing can be said of it."
        elif not values:
            found[name] = f"{name} was drawn in no complete trial, so nothing can be said of it."
        elif len(values) < n and method == "fanova":
            found[name] = f"{name} was drawn in {len(values)} of {n} trials only; fANOVA leaves it out."
    return found


def _best_share(n: int) -> float:
    return max(BEST_SHARE, MIN_BEST / max(n, MIN_COMPLETE))


def _reason(seen: Sequence[Row], objective: str, judged: Mapping[str, Range]) -> str | None:
    n = len(seen)
    if n < MIN_COMPLETE:
        return f"Importance needs at least {MIN_COMPLETE} complete trials, but there {_are(n)} so far."
    if len({value for _, value in seen}) == 1:
        return f"All {n} complete trials have the same {objective}, so no parameter matters to it."
    return None if judged else "No parameter took more than one value, so there is nothing to compare."


def _are(n: int) -> str:
    return {0: "are none", 1: "is 1"}.get(n, f"are {n}")


def _shares(
    seen: Sequence[Row], params: Mapping[str, Range], method: str, n_trees: int, seed: int
) -> dict[str, float] | None:
    """None when no parameter explains anything."""
    from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator

    drawn = {name for known, _ in seen for name, _ in known if name in params}
    if len({value for _, value in seen}) < 2 or not drawn:
        return None
    evaluator = (
        FanovaImportanceEvaluator(seed=seed, n_trees=n_trees)
        if method == "fanova"
        else PedAnovaImportanceEvaluator(target_quantile=_best_share(len(seen)))
    )
    try:
        raw = evaluator.evaluate(as_study(seen, {name: params[name] for name in params if name in drawn}))
    except RuntimeError:  # fANOVA: no tree of the forest has split anything
        return None
    total = float(sum(raw.values()))
    return {name: float(raw.get(name, 0)) / total for name in params} if total > 0 else None


def _with_stability(
    answer: Importance, seen: tuple[Row, ...], params: Mapping[str, Range], seed: int
) -> Importance:
    rng, method = random.Random(seed), answer.method
    half = min(len(seen) // 2, MAX_HALF[method])
    draws = [rng.sample(seen, half) for _ in range(N_HALVES[method])]
    found = [s for i, d in enumerate(draws) if (s := _shares(d, params, method, N_TREES_HALF, seed + i))]
    if len(found) < N_HALVES[method] / 2:
        return answer
    ranks = [_ranks(shares) for shares in found]
    stability = {
        name: Stability(**_spread([s[name] for s in found], "low", "high"),
                        **_spread([r[name] for r in ranks], "rank_low", "rank_high"))
        for name in params
    }  # fmt: skip
    return replace(answer, stability=stability, n_halves=len(found), half=half)


def _ranks(shares: Mapping[str, float]) -> dict[str, float]:
    """1 for the largest; equal shares have their mean rank."""
    return {
        name: statistics.fmean((sum(s > share for s in shares.values()) + 1, sum(s >= share for s in shares.values())))
        for name, share in shares.items()
    }  # fmt: skip


def _spread(values: Sequence[float], low: str, high: str) -> dict[str, float]:
    ends = np.quantile(values, (0.05, 0.95))
    return {low: float(ends[0]), high: float(ends[1])}
