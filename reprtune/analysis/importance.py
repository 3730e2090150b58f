"""How much each searched parameter matters to each objective, whether it matters at all, and how sure the share is.

Two answers, because they ask different questions: PED-ANOVA (Watanabe et al. 2023, arXiv 2304.10255)
asks what sets the best trials apart, fANOVA (Hutter et al. 2014, PMLR 32) what share of the variance
over the whole space a parameter explains. Neither has a sign. What Optuna's evaluators say of some trials is in
`evaluators`, whether that is more than chance in `chance`, how far it might lie elsewhere in `ranges`.

A trial that was stopped by its error, or diverged, has no error at the end, but it would hardly have been among the best.
So PED-ANOVA of the error ranks it below all complete ones; left out, only the survivors would be compared, and
what the stop rule has sorted out would matter less. fANOVA needs the error itself and sees complete trials only.

*Notations*

    share   importance of a parameter over the sum of all parameters', in [0, 1]
    n, k    trials that are seen, and of them those that PED-ANOVA counts as the best: 10 %, or 5 where that is more,
            but at most half of the complete ones
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from reprtune.analysis.attempts import n_failed
from reprtune.analysis.chance import p_values
from reprtune.analysis.evaluators import METHODS, shares
from reprtune.analysis.level import ALPHA
from reprtune.analysis.ranges import Stability, stability
from reprtune.analysis.rebuilt import Params, Row
from reprtune.record.outcomes import Outcome
from reprtune.record.repeats import joined
from reprtune.record.schema import StudyRecord
from reprtune.spec.objectives import ERROR
from reprtune.spec.space import Range

MIN_COMPLETE = 10
MIN_TO_TELL = 20  # of fewer trials even what matters much is seldom shown to
MAX_FANOVA = 300
MIN_BEST = 5
BEST_SHARE = 0.1  # Optuna's own, and so optuna-dashboard's


@dataclass(frozen=True, kw_only=True)
class Importance:
    """One method's answer for one objective.

    Attributes:
        n: complete trials it looked at. n_worse: stopped and diverged ones that it ranks below them.
        best_share: the share of all these that PED-ANOVA counts as the best; None for fANOVA.
        shares: parameter -> share in [0, 1], they add up to 1; None when there is no answer.
        reason: why there is none, as a sentence.
        left_out: parameter it cannot judge -> why, as a sentence.
        p: parameter -> how surely it matters: below `ALPHA` it is shown to (see `chance`); empty without an answer.
        stability: parameter -> range; empty without an answer, or where too few halves gave one.
        n_halves: random halves that gave an answer. half: trials in each.
        elsewhere: of PED-ANOVA, the parameter that optuna-dashboard puts first, where that is another one.
    """

    objective: str
    method: str
    n: int
    n_worse: int = 0
    best_share: float | None = None
    shares: Mapping[str, float] | None = None
    reason: str | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    p: Mapping[str, float] = field(default_factory=dict)
    stability: Mapping[str, Stability] = field(default_factory=dict)
    n_halves: int = 0
    half: int = 0
    elsewhere: str | None = None

    @property
    def first(self) -> str | None:
        """The parameter with the largest share, which may be so by chance."""
        return max(self.shares, key=self.shares.__getitem__) if self.shares else None

    @property
    def shown(self) -> tuple[str, ...]:
        """Parameters that are shown to matter, largest share first."""
        known = self.shares or {}
        return tuple(sorted((j for j, p in self.p.items() if p < ALPHA), key=lambda j: -known[j]))


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Trials that a method looks at: complete ones, the settings of worse ones, what share of both is the best."""

    complete: tuple[Row, ...]
    worse: tuple[Params, ...] = ()
    best_share: float | None = None

    @property
    def rows(self) -> tuple[Row, ...]:
        """All with an outcome, those without one behind the last that has one."""
        last = max((value for _, value in self.complete), default=0.0)
        return (*self.complete, *((drawn, last + 1) for drawn in self.worse))


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
    params = tuple(record.spec.params.items())
    return Importances(
        n_complete=counts.get(Outcome.COMPLETE, 0),
        n_stopped=counts.get(Outcome.STOPPED, 0),
        n_diverged=counts.get(Outcome.DIVERGED, 0),
        n_failed=n_failed(counts),
        answers=tuple(
            _importance(seen_by(record, objective, method, seed), params, objective, method, seed)
            for objective in record.spec.objectives
            for method in METHODS
        ),
    )


def no_effect(record: StudyRecord) -> bool | None:
    """Is no parameter shown to matter to the first objective, by either method? None where there are too few trials
    to tell."""
    found = importances(record)
    answers = [a for a in found.answers if a.objective == record.spec.objectives[0]]
    if any(a.shown for a in answers):
        return False
    return None if found.n_complete < MIN_TO_TELL or not any(a.p for a in answers) else True


def rows(record: StudyRecord, objective: str) -> tuple[Row, ...]:
    """What was drawn and what came out, of the complete trials that drew nothing unknown; each setting once."""
    known = record.spec.params
    return tuple(
        (tuple(t.params.items()), t.values[objective])
        for t in joined(record.complete())
        if t.params and set(t.params) <= set(known) and t.values and objective in t.values
    )


def seen_by(record: StudyRecord, objective: str, method: str, seed: int = 0) -> Seen:
    """What a method may look at; of many trials fANOVA sees a part."""
    complete = rows(record, objective)
    if method == "fanova":
        thinned = random.Random(seed).sample(complete, min(len(complete), MAX_FANOVA))
        return Seen(complete=tuple(thinned) if len(complete) > MAX_FANOVA else complete)
    worse = _worse(record) if objective == ERROR else ()
    return Seen(complete=complete, worse=worse, best_share=_best_share(len(complete), len(worse)))


def _worse(record: StudyRecord) -> tuple[Params, ...]:
    """Settings of trials that were stopped or diverged; not of those that another slot trained too."""
    known = set(record.spec.params)
    return tuple(
        tuple(t.params.items())
        for t in record.final()
        if t.outcome in {Outcome.STOPPED, Outcome.DIVERGED}
        and t.repeats is None
        and t.params
        and set(t.params) <= known
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
    seen: Seen, params: tuple[tuple[str, Range], ...], objective: str, method: str, seed: int
) -> Importance:
    ranked, best = seen.rows, seen.best_share
    left_out = _left_out(ranked, dict(params), method)
    judged = {name: range_ for name, range_ in params if name not in left_out}
    reason = _reason(seen.complete, objective, judged)
    found = None if reason else shares(ranked, judged, best, seed=seed)
    answer = Importance(
        objective=objective, method=method, n=len(seen.complete), n_worse=len(seen.worse), best_share=best, shares=found,
    )  # fmt: skip
    if found is None:
        nothing = "No parameter tells good trials from bad ones, so there is nothing to share out."
        return replace(answer, reason=reason or nothing)
    ranges, n_halves, half = stability(found, ranked, judged, method, best, seed)
    return replace(
        answer,
        left_out=left_out,
        p=p_values(ranked, judged, method, best, seed),
        stability=ranges,
        n_halves=n_halves,
        half=half,
        elsewhere=_elsewhere(seen.complete, judged, answer.first) if method == "ped-anova" else None,
    )


def _elsewhere(complete: Sequence[Row], params: Mapping[str, Range], ours: str | None) -> str | None:
    """What optuna-dashboard puts first, by Optuna's default: of complete trials the best 10 %, however few."""
    found = shares(complete, params, BEST_SHARE)
    first = max(found, key=found.__getitem__) if found else None
    return None if first == ours else first


def _left_out(seen: Sequence[Row], params: Mapping[str, Range], method: str) -> dict[str, str]:
    """Parameters that never vary, and for fANOVA those that only some trials have."""
    found, n = {}, len(seen)
    for name in params:
        values = [value for drawn, _ in seen for key, value in drawn if key == name]
        if len(set(values)) == 1:
            found[name] = f"{name} was {values[0]} in every trial, so nothing can be said of it."
        elif not values:
            found[name] = f"{name} was drawn in no trial, so nothing can be said of it."
        elif len(values) < n and method == "fanova":
            found[name] = f"{name} was drawn in {len(values)} of {n} trials only; fANOVA leaves it out."
    return found


def _best_share(n_complete: int, n_worse: int = 0) -> float:
    n = n_complete + n_worse
    best = min(max(BEST_SHARE * n, MIN_BEST), max(n_complete / 2, MIN_BEST))
    return best / max(n, MIN_COMPLETE)


def _reason(seen: Sequence[Row], objective: str, judged: Mapping[str, Range]) -> str | None:
    n = len(seen)
    if n < MIN_COMPLETE:
        return f"Importance needs at least {MIN_COMPLETE} complete trials, but there {_are(n)} so far."
    if len({value for _, value in seen}) == 1:
        return f"All {n} complete trials have the same {objective}, so no parameter matters to it."
    return None if judged else "No parameter took more than one value, so there is nothing to compare."


def _are(n: int) -> str:
    return {0: "are none", 1: "is 1"}.get(n, f"are {n}")
