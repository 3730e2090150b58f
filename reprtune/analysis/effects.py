"""Every comparison of a study's arms with all that a reviewer asks of it: what it is, how sure it is, what it cost.

*Notations*

    comparison      arm minus control, paired by seed, on test errors where both have them: see `paired`. A diverged run
                    counts with chance error in what is judged; the difference without it stands beside it
    m               comparisons that p is corrected for: the rules of the study where the pair is one of them and they go by
                    the seeds of the arms, else all comparisons of the study
    explored        a comparison with a branch, which was added when there were results to see: told with its interval, but
                    without p and verdict, and no other is corrected for it
    verdict         of the rule, where the pair is one; else by the same words: see `decisions`
    divergence      diverged runs of those that came to an end by themselves: complete or diverged
    alone, spent    steps and operations of a run of an arm from its first step on; and what was really trained for it, all
                    its attempts together, less than alone where beginnings were shared: both a mean over its runs
    sampling        standard error sqrt(e (1 - e) / images) that the images leave in one error e, the larger of the two: an
                    interval over seeds does not hold it

What is paired over seeds alone says nothing of other splits of the data or other test images (Bouthillier et al. 2021).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from reprtune.analysis.attempts import deciding
from reprtune.analysis.controls import ArmSummary, arm_summaries
from reprtune.analysis.decisions import Decided, Verdict, Why, decisions
from reprtune.analysis.equivalence import Equivalence, equivalence
from reprtune.analysis.level import ALPHA
from reprtune.analysis.looks import looks_at
from reprtune.analysis.paired import MIN_PAIRS, Comparison, holm
from reprtune.analysis.power import needed, smallest
from reprtune.analysis.runs import mean_of, sampling_error
from reprtune.record.outcomes import Outcome
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.designs.leave_one_out import LeaveOneOut
from reprtune.spec.objectives import COST

MANY = 2  # comparisons of one arm that make it the head of a group


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How many runs diverged, of those that ended complete or diverged."""

    n: int
    of: int

    @property
    def share(self) -> float | None:
        return self.n / self.of if self.of else None


@dataclass(frozen=True, kw_only=True)
class Price:
    """Of a run of an arm, means over its complete runs: `alone`, as if nothing was shared; `spent`, what was trained for
    it. None where some run does not say."""

    steps_alone: float | None
    gflops_alone: float | None
    steps_spent: float | None
    gflops_spent: float | None


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One arm against one control.

    Attributes:
        comparison: with p corrected over `m`.
        verdict, why: see *Notations*; `why` there is none.
        group: what it belongs to: the arm where that is compared with several, else the control.
        is_whole: is the group the arm? idea: what the control does without, where it is the arm without one of its parts.
        missing: seeds of both without a pair though nothing is left to train. left: runs of both that are.
        smallest, needed: see `power`, at the level that `m` leaves.
        sampling: see *Notations*, a fraction.
        n_looks: at which seeds may be added by results; 1 where none are. p and interval hold for all together.
        equivalence: to the margin of the study, p corrected by Holm's rule over all of the study's comparisons; None
            without a margin, with fewer than `MIN_PAIRS` pairs, while runs are left, and where seeds are added by result.
    """

    comparison: Comparison
    m: int
    verdict: Verdict
    why: Why | None
    group: str
    is_whole: bool
    idea: str
    n: int
    missing: int
    left: int
    diverged: Rate
    control_diverged: Rate
    price: Price
    control_price: Price
    smallest: float | None
    needed: int | None
    sampling: float | None
    n_looks: int
    equivalence: Equivalence | None

    @property
    def arm(self) -> str:
        return self.comparison.arm

    @property
    def control(self) -> str:
        return self.comparison.control

    @property
    def row(self) -> str:
        """What it is called within its group."""
        return self.control if self.is_whole else self.arm

    @property
    def size(self) -> float | None:
        """The mean difference that is judged."""
        judged = self.comparison.judged
        return judged.mean if judged else None


def effects(record: StudyRecord) -> tuple[Effect, ...]:
    """Every comparison of the arms, group by group, the one that helps most first; what has no pair comes last."""
    arms = {arm.arm: arm for arm in arm_summaries(record)}
    pairs = [(arm, one) for arm in arms.values() for one in arm.against]
    ruled = _ruled(record)
    trials = deciding(record.controls)
    prices = {name: _price(record, [t for t in trials if t.arm == name]) for name in arms}
    m = sum(not one.explored for _, one in pairs)
    found = [
        _effect(record, arm, arms[one.control], one, ruled.get((one.arm, one.control)), m, prices)
        for arm, one in pairs
    ]
    found = _equivalences(record, found)
    order = list(dict.fromkeys(one.group for one in found))
    return tuple(
        sorted(found, key=lambda e: (order.index(e.group), e.size is None, 0.0 if e.size is None else e.size))
    )


def _ruled(record: StudyRecord) -> dict[tuple[str, str], Decided]:
    """Rules that go by the very runs of the arms; those of a confirmation go by fresh ones."""
    if record.spec.confirmation:
        return {}
    return {(one.rule.arm, one.rule.control): one for one in decisions(record)}


def _effect(
    record: StudyRecord,
    arm: ArmSummary,
    control: ArmSummary,
    one: Comparison,
    rule: Decided | None,
    m: int,
    prices: dict[str, Price],
) -> Effect:
    if rule is not None:
        one, m = replace(one, p_holm=rule.comparison.p_holm), len(record.spec.applied_rules)
    if one.explored:
        m = 1
    n, left = (one.judged.n if one.judged else 0), arm.n_open + control.n_open
    verdict, why = (rule.verdict, rule.why) if rule else _verdict(one, n, left)
    if verdict is Verdict.OPEN:
        one = replace(one, p_holm=None)  # read while runs are left, it would say when to stop
    is_whole = len(arm.against) >= MANY
    return Effect(
        comparison=one,
        m=m,
        verdict=verdict,
        why=why,
        group=arm.arm if is_whole else one.control,
        is_whole=is_whole,
        idea=_idea(record, one.arm, one.control),
        n=n,
        missing=0 if left else max(0, min(_ended(arm), _ended(control)) - n),
        left=left,
        diverged=_rate(arm),
        control_diverged=_rate(control),
        price=prices[one.arm],
        control_price=prices[one.control],
        smallest=smallest(one.judged, m),
        needed=needed(one.judged, m),
        sampling=_sampling(record, one, arm, control),
        n_looks=max(1, len(looks_at(record, (one.arm, one.control)))),
        equivalence=None,
    )


def _equivalences(record: StudyRecord, found: Sequence[Effect]) -> list[Effect]:
    """With what is said of the study's margin."""
    margin = record.spec.margin
    if margin is None:
        return list(found)
    single = [
        equivalence([pair.value for pair in d.pairs], margin)
        if (d := one.comparison.judged) and d.n >= MIN_PAIRS and not one.left and not one.comparison.explored
        and one.n_looks == 1
        else None
        for one in found
    ]  # fmt: skip
    family = [i for i, one in enumerate(found) if not one.comparison.explored]
    ps = dict(zip(family, holm([each.p if (each := single[i]) else None for i in family]), strict=True))
    return [
        replace(one, equivalence=each and replace(each, p=ps[i]))
        for i, (one, each) in enumerate(zip(found, single, strict=True))
    ]


def _verdict(one: Comparison, n: int, left: int) -> tuple[Verdict, Why | None]:
    """Of a pair that is no rule, in the words and by the conditions of rules."""
    if one.explored:
        return Verdict.EXPLORED, None
    reasons = {
        Why.UNFINISHED: left > 0,
        Why.NOT_MEASURED: one.measured_on != "test",
        Why.ALL_DIVERGED: one.all_diverged,
        Why.FEW_PAIRS: n < MIN_PAIRS,
        Why.NO_SPREAD: one.p is None,
    }
    why = next((why for why, holds in reasons.items() if holds), None)
    if why is not None or one.p_holm is None or one.judged is None:
        return Verdict.OPEN, why
    if one.p_holm >= ALPHA:
        return Verdict.NOT_SHOWN, None
    return (Verdict.HELPS if one.judged.mean < 0 else Verdict.HARMS), None


def _idea(record: StudyRecord, arm: str, control: str) -> str:
    """The factor that a control does without, where a design of leave-one-out made it of this arm; else empty."""
    for section in record.spec.comparisons:
        if not isinstance(section.design, LeaveOneOut) or section.design.arm.name != arm:
            continue
        for one in section.arms(record.spec.base):
            if one.name == control and one.name not in section.design.arm.against:
                return ", ".join(one.levels)
    return ""


def _ended(arm: ArmSummary) -> int:
    """Runs that are over, however they ended."""
    return arm.n + arm.n_diverged + arm.n_failed


def _rate(arm: ArmSummary) -> Rate:
    return Rate(n=arm.n_diverged, of=arm.n + arm.n_diverged)


def _sampling(record: StudyRecord, one: Comparison, *arms: ArmSummary) -> float | None:
    on_test = one.measured_on == "test"
    images = int(record.facts.get("n_test" if on_test else "n_val") or 0)
    errors = [sampling_error(arm.test_mean if on_test else arm.mean, images) for arm in arms]
    return max((e for e in errors if e is not None), default=None)


def _price(record: StudyRecord, trials: Sequence[TrialRecord]) -> Price:
    complete = [t for t in trials if t.outcome == Outcome.COMPLETE]
    slots = {(t.section, t.slot) for t in complete}
    attempts = [t for t in record.controls if (t.section, t.slot) in slots]
    return Price(
        steps_alone=_mean(complete, "steps_alone", len(complete)),
        gflops_alone=mean_of(complete, COST),
        steps_spent=_mean(attempts, "steps_spent", len(complete)),
        gflops_spent=_mean(attempts, "gflops_spent", len(complete)),
    )


def _mean(attempts: Sequence[TrialRecord], field: str, runs: int) -> float | None:
    """What attempts wrote, per run; None without runs, and where a complete one did not write it."""
    if not runs or any(t.result.get(field) is None for t in attempts if t.outcome == Outcome.COMPLETE):
        return None
    return math.fsum(float(t.result.get(field) or 0) for t in attempts) / runs
