"""The rules of a study, applied: an arm helps, is not shown to help, harms, or nothing is decided yet, and why.

*Notations*

    PLAIN      a rule's control that is no arm: each seed's own curve of plain training, at the cost of the arm (see
               `plain_curve`); the one comparison that crosses budgets
    m          rules of the study: one family of comparisons
    p_holm     of the paired t test, corrected by Holm's rule over the m rules; a rule that is not decided counts in
               the family as one that fails
    helps      p_holm < 5 % with a mean difference below 0 (its own 95 % interval lies below 0 then, for p <= p_holm), and
               the arm was not trained for more than its control. harms: the same above 0

A rule is applied to test errors of seeds that nothing was chosen by: those of the confirmation where the study has one,
else those that the arms were declared with; and only once all of these runs are finished, so that nobody stops at a lucky
moment. A diverged run counts with chance error. See `paired` for the differences and `power` for what they could see.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import Enum

from reprtune.analysis.attempts import deciding
from reprtune.analysis.level import ALPHA
from reprtune.analysis.looks import looks
from reprtune.analysis.paired import MIN_PAIRS, Comparison, holm
from reprtune.analysis.plain_curve import arms_by_length, confirmed_beside_curve, is_outside
from reprtune.analysis.power import needed, smallest
from reprtune.analysis.runs import chance_error, compare, is_more, mean_steps
from reprtune.record.leaders import leader_arm, leaders
from reprtune.record.ranking import order
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.branch import is_added
from reprtune.spec.decisions import LEADER, PLAIN, Rule
from reprtune.spec.edit import changed
from reprtune.spec.objectives import ERROR


class Verdict(str, Enum):
    """What a rule says."""

    HELPS = "helps"
    NOT_SHOWN = "not shown to help"
    HARMS = "harms"
    OPEN = "not decided yet"
    EXPLORED = "explored"  # of a comparison that was added when there were results to see, never of a rule


class Why(str, Enum):
    """Why nothing is decided yet."""

    NO_TEST_PART = "the data have no test part"
    NO_LEADER = "no trial of the search is complete"
    NOT_CONFIRMED = "not confirmed on fresh seeds"
    UNFINISHED = "runs are left"
    ONE_LENGTH = "all plain training of the study has the same length, so there is no curve through lengths"
    OUTSIDE = "it costs less or more than every length of plain training"
    NOT_MEASURED = "not every complete run has a test error"
    ALL_DIVERGED = "no seed is complete in either: all that there is diverged"
    FEW_PAIRS = "too few pairs"
    NO_SPREAD = "all pairs differ by the same amount"
    MORE_TRAINING = "the arm was trained for more than its control"


@dataclass(frozen=True, kw_only=True)
class Decided:
    """A rule, and what it says.

    Attributes:
        arm: as the record names it, a leader `slot-N`; empty where there is none yet.
        is_best: does what leads the search by its error lead it by what it minimises, too?
        why: nothing is decided; None where something is.
        comparison: of the two; `p_holm` over the rules, None while nothing is decided.
        fresh: by the seeds of a confirmation, not those that the arms were declared with.
        left: runs that have to be finished before. missing: seeds without a pair, because a run failed for good.
        smallest, needed: see `power`, at the level that m rules leave.
    """

    rule: Rule
    arm: str
    verdict: Verdict
    why: Why | None
    comparison: Comparison
    fresh: bool
    left: int
    missing: int
    smallest: float | None
    needed: int | None
    is_best: bool = True

    @property
    def follows(self) -> str:
        """What its rule says for this verdict; nothing while nothing is decided."""
        if self.verdict is Verdict.OPEN:
            return ""
        return self.rule.helps if self.verdict is Verdict.HELPS else self.rule.otherwise


def decisions(record: StudyRecord) -> tuple[Decided, ...]:
    """Every rule of the study, or those that stand for them where it names none (`StudySpec.applied_rules`)."""
    rules = record.spec.applied_rules
    found = [_undecided(record, rule, len(rules)) for rule in rules]
    ps = holm([one.comparison.p if one.why is None else None for one in found])
    return tuple(_decided(record, one, p) for one, p in zip(found, ps, strict=True))


def _undecided(record: StudyRecord, rule: Rule, m: int) -> Decided:
    """All but its verdict."""
    arm, attempts, left = _in_record(record, rule), _attempts(record), _left(record)
    ours, theirs = ([t for t in attempts if t.arm == name] for name in (arm, rule.control))
    looked = None if record.spec.confirmation else looks(record).get((rule.arm, rule.control))
    one = (
        looked.comparison
        if looked is not None and looked.made
        else confirmed_beside_curve(record, arm) or Comparison(arm=arm or rule.arm, control=PLAIN)
        if rule.control == PLAIN
        else compare(arm or rule.arm, rule.control, ours, theirs, chance_error(record))
    )
    pairs = one.judged.n if one.judged else 0
    reasons = {  # the first that holds is told
        Why.NO_TEST_PART: record.facts.get("n_test") == 0,
        Why.NO_LEADER: not arm,
        Why.NOT_CONFIRMED: rule.arm == LEADER and not ours and (record.spec.confirmation is None or not left),
        Why.UNFINISHED: left > 0,
        Why.ONE_LENGTH: rule.control == PLAIN and len(arms_by_length(record)) < 2,
        Why.OUTSIDE: rule.control == PLAIN and is_outside(record, arm),
        Why.NOT_MEASURED: one.measured_on != "test",
        Why.ALL_DIVERGED: one.all_diverged,
        Why.FEW_PAIRS: pairs < MIN_PAIRS,
        Why.NO_SPREAD: one.p is None,
    }
    return Decided(
        rule=rule,
        arm=arm,
        verdict=Verdict.OPEN,
        why=next((why for why, holds in reasons.items() if holds), None),
        comparison=one,
        fresh=record.spec.confirmation is not None,
        left=left,
        missing=0 if left else max(0, len(_seeds(record, rule)) - pairs),
        smallest=smallest(one.judged, m),
        needed=needed(one.judged, m),
        is_best=order(record.spec)[0] == ERROR,
    )


def _in_record(record: StudyRecord, rule: Rule) -> str:
    """The arm's name there: of the best of the search, `slot-N`; empty where there is none yet."""
    if rule.arm != LEADER:
        return rule.arm
    return next((leader_arm(trial.slot) for trial in leaders(record, 1)), "")


def _attempts(record: StudyRecord) -> list[TrialRecord]:
    """By whose errors rules are applied."""
    return deciding(record.confirmation if record.spec.confirmation else record.controls)


def _left(record: StudyRecord) -> int:
    """How many runs rules have to wait for: all but those of branches, for they are one family."""
    if record.spec.confirmation:
        return record.unconfirmed()
    return sum(record.pending(one.name) for one in record.spec.comparisons if not is_added(one.name))


def _seeds(record: StudyRecord, rule: Rule) -> Collection[int]:
    """With which both arms are trained."""
    if record.spec.confirmation:
        return record.spec.confirmation.seeds
    sections = [
        one
        for one in record.spec.comparisons
        if {rule.arm, rule.control} & {a.name for a in one.arms(record.spec.base)}
    ]
    looked = looks(record).get((rule.arm, rule.control))
    if looked is not None:
        return looked.planned[max(looked.made, 1) - 1]
    return set.intersection(*({*section.seeds} for section in sections)) if sections else ()


def _decided(record: StudyRecord, found: Decided, p_holm: float | None) -> Decided:
    judged = found.comparison.judged
    if found.why is not None or p_holm is None or judged is None:
        return found
    found = replace(found, comparison=replace(found.comparison, p_holm=p_holm))
    if p_holm >= ALPHA:
        return replace(found, verdict=Verdict.NOT_SHOWN)
    if judged.mean > 0:
        return replace(found, verdict=Verdict.HARMS)
    if found.rule.control != PLAIN and is_more(
        _steps(record, found.rule.arm, found.arm), _steps(record, found.rule.control)
    ):
        return replace(found, why=Why.MORE_TRAINING)
    return replace(found, verdict=Verdict.HELPS)


def _steps(record: StudyRecord, arm: str, name: str = "") -> float | None:
    """Of all networks of a run of an arm, which the record calls `name` where that is another."""
    changes = {one.name: one.changes for one in record.spec.arms}
    spec = (
        record.spec.trial(leaders(record, 1)[0].params)
        if arm == LEADER
        else changed(record.spec.base, changes[arm])
    )
    return mean_steps(record, spec, [t for t in _attempts(record) if t.arm == (name or arm)])
