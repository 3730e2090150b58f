"""What a study would be, before anything runs: runs, their cost, and what their seeds could see.

*Notations*

    alone      steps of every run if each were trained from its beginning
    shared     steps that are trained, run after run in the order of the study: a run goes on from the deepest state that
               one before it left, of what both begin with
    sd         standard deviation of the paired differences of an arm and its control, in error; where it is taken from a
               study: the root of the mean variance of its rules
    n, m       seeds that both arms of a rule have; rules that p is corrected for, see `power`
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from reprtune.analysis.decisions import decisions
from reprtune.analysis.plan_factors import EffectPlan
from reprtune.analysis.power import detectable
from reprtune.record.schema import StudyRecord
from reprtune.spec.decisions import LEADER, Rule
from reprtune.spec.study import StudySpec


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of several runs.

    Attributes:
        trainings: of a network. steps, epochs: alone. shared_steps, shared_epochs: with what is shared; None where it
            is not counted.
    """

    runs: int
    trainings: int
    steps: int
    epochs: float
    shared_steps: int | None = None
    shared_epochs: float | None = None


@dataclass(frozen=True, kw_only=True)
class SectionPlan:
    """What a section would do.

    Attributes:
        kind: of the section. design: kind of the design, empty where there is none. line: what it is.
        arms: their names. most_arms: there may be so many, which ones is seen as results come.
        fewest, most: runs.
        left_out: factor -> what stands there instead, of each arm that leaves something out.
        kept: what is not left out, because the study says so. refused: (factor, level, why) of what cannot be.
        factors: of a factorial design, with their levels. asked: the one that the question is about, if it is about one.
        resolution, aliases: of a fraction; None and empty else.
        effects: of a factorial design, what its seeds could see.
        budgets: arm -> steps of all its networks, as a multiple of `standard`, else of the base.
        cost: of its runs, the fewest, without tries; None where it is not known before.
        tries, try_seeds: by which each arm is tuned, and seeds of each; 0 where none is. tuned: what is. tuning: cost of
            all tries.
    """

    name: str
    kind: str
    design: str
    line: str
    arms: tuple[str, ...]
    most_arms: int
    seeds: tuple[int, ...]
    fewest: int
    most: int
    left_out: tuple[tuple[str, str], ...] = ()
    kept: tuple[str, ...] = ()
    refused: tuple[tuple[str, str, str], ...] = ()
    factors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    asked: str | None = None
    resolution: int | None = None
    aliases: Mapping[str, tuple[str, ...]]
    effects: tuple[EffectPlan, ...] = ()
    budgets: Mapping[str, float]
    cost: Cost | None
    tries: int = 0
    try_seeds: int = 0
    tuned: tuple[str, ...] = ()
    tuning: Cost | None = None


@dataclass(frozen=True, kw_only=True)
class RulePlan:
    """What decides, and what its seeds could see.

    Attributes:
        pair: what is compared. n, most: seeds at first, and at most; 0 while they are not chosen yet.
        one, corrected: smallest difference seen with a power of 80 %, in sds, at `n` seeds for this comparison alone and
            corrected for all rules; None with fewer than three seeds. at_most: corrected, at `most`.
    """

    pair: str
    n: int
    most: int
    one: float | None
    corrected: float | None
    at_most: float | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A whole study before it runs.

    Attributes:
        arms, most: cost of all runs of arms, at first, and where seeds are added as long as may be.
        sd: of paired differences, in error; None where it is not known.
        measured: is that sd of the runs of a stored study?
    """

    name: str
    question: str
    sections: tuple[SectionPlan, ...]
    arms: Cost
    most: Cost
    rules: tuple[RulePlan, ...]
    sd: float | None
    measured: bool


def planned_rules(spec: StudySpec) -> tuple[RulePlan, ...]:
    """Every rule of a study, with what its seeds could see."""
    rules = spec.applied_rules
    m = len(rules)
    found = []
    for rule in rules:
        n, most = (_n_seeds(spec, rule, most=most) for most in (False, True))
        found.append(
            RulePlan(
                pair=rule.pair,
                n=n,
                most=most,
                one=detectable(n),
                corrected=detectable(n, m),
                at_most=detectable(most, m),
            )
        )
    return tuple(found)


def _n_seeds(spec: StudySpec, rule: Rule, *, most: bool) -> int:
    """Seeds of a confirmation where there is one, else those that both arms have."""
    if spec.confirmation is not None:
        return len(spec.confirmation.seeds)
    if rule.arm == LEADER:
        return 0
    of = [
        {*(section.all_seeds if most else section.seeds)}
        for name in (rule.arm, rule.control)
        for section in spec.comparisons
        if name in {arm.name for arm in section.arms(spec.base)}
    ]
    return len(set.intersection(*of))


def measured_sd(record: StudyRecord) -> float | None:
    """Of the paired differences of a study's rules; None while none has an interval."""
    judged = [one.comparison.judged for one in decisions(record)]
    variances = [d.sd**2 for d in judged if d is not None and d.low is not None and d.sd is not None]
    return math.sqrt(math.fsum(variances) / len(variances)) if variances else None
