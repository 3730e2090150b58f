"""Are there seeds enough for what a study is to tell?

*Notations*

    gain       what is looked for: `GAIN` of the control's mean error. RePr's own tables report 5 % (ResNet-50) to 30 %
               (C3(32)) of the error, so that a comparison which cannot see a tenth of it misses half of them; a fixed
               number of points would be nothing at an error of 30 % and all of it at 2 %
    smallest   the smallest true difference that a comparison would have shown in four of five studies (`analysis.power`)
    blind      a comparison that has shown nothing and whose smallest is above the gain; what has shown a difference
               could see it
    wanted     seeds with which smallest would be the gain, at the standard deviation at hand; both at 5 % over the number of
               comparisons, as p is corrected
    few seeds  fewer than `FEW_SEEDS` of standard: the sd of three runs is known to lie between 0.5 and 6.3 times what is
               seen (95 %), that of five between 0.6 and 2.9, and what the best of a search gains by luck is a multiple
               of it
    bound      what the best of as many equal trials gains by luck (`analysis.luck`): where it is not below standard's own
               mean error, not even an error of 0 would be a gain
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from reprtune.analysis.attempts import deciding
from reprtune.analysis.check import Check, made, not_yet
from reprtune.analysis.confirmation import confirmation
from reprtune.analysis.controls import arm_summaries
from reprtune.analysis.luck import best_of_search
from reprtune.analysis.paired import MIN_PAIRS, Comparison
from reprtune.analysis.power import needed, smallest
from reprtune.record.outcomes import Outcome
from reprtune.record.ranking import best, order
from reprtune.record.schema import StudyRecord
from reprtune.spec.designs.arm import BASELINE
from reprtune.spec.objectives import ERROR

GAIN = 0.1
FEW_SEEDS = 5
Errors = Mapping[str, Mapping[str, float | None]]  # part of the data -> arm -> mean error


@dataclass(frozen=True, kw_only=True)
class Blind:
    """A comparison that could not have seen the gain: `pairs` it has, `error` of its control."""

    arm: str
    control: str
    pairs: int
    error: float
    smallest: float
    wanted: int

    @property
    def times(self) -> float:
        """How much larger than the gain a difference would have to be."""
        return self.smallest / self.error / GAIN


def check_luck(record: StudyRecord) -> Check:
    """Can the gain of the best of the search be told from luck?"""
    name, search = "luck", record.spec.search
    if search is None or order(record.spec)[0] != ERROR:
        return not_yet(name, "The search does not choose by the validation error.")
    if best(record) is None:
        return not_yet(name, "No trial of the search is complete.")
    if BASELINE not in {arm.name for arm in record.spec.arms}:
        return not_yet(name, "There is no standard arm to hold the search against.")
    if record.confirmation and record.unconfirmed() == 0:
        return not_yet(name, "Its leaders were trained on fresh seeds, which luck has not chosen.")
    n, beside = _seeds_of_standard(record), best_of_search(record)
    few = search.seeds == 1 and n < FEW_SEEDS
    if few or beside is None or beside.chance_gain is None or beside.standard is None:
        return made(name, few, n=n, seeds=search.seeds, hopeless=False)
    bound, error = beside.chance_gain, beside.standard
    return made(
        name, bound >= error, n=n, seeds=search.seeds, hopeless=bound >= error, bound=bound, error=error
    )


def _seeds_of_standard(record: StudyRecord) -> int:
    """Those it has or may still get."""
    runs = [t for t in deciding(record.controls) if t.arm == BASELINE]
    if not runs:
        return sum(len(section.seeds) for section in record.spec.comparisons)
    return sum(not t.outcome.is_broken and t.outcome != Outcome.DIVERGED for t in runs)


def check_arms(record: StudyRecord) -> Check:
    if any(record.pending(section.name) for section in record.spec.comparisons):
        return not_yet("arms-seeds", "The runs of the arms are not finished.")
    arms = arm_summaries(record)
    errors = {"test": {a.arm: a.test_mean for a in arms}, "validation": {a.arm: a.mean for a in arms}}
    declared = [one for arm in arms for one in arm.against if not one.explored]
    return _check("arms-seeds", declared, errors)


def check_confirmation(record: StudyRecord) -> Check:
    found = confirmation(record)
    if found is None or found.open:
        return not_yet("confirmation-seeds", "The runs of the confirmation are not finished.")
    return _check("confirmation-seeds", found.comparisons, {"test": {a.arm: a.test_mean for a in found.arms}})


def _check(name: str, comparisons: Sequence[Comparison], errors: Errors) -> Check:
    if not comparisons:
        return not_yet(name, "Nothing is compared.")
    if all(c.all_diverged or (c.judged is not None and c.judged.is_constant) for c in comparisons):
        return not_yet(name, "No comparison has a spread to judge by.")
    pairs = [c.judged.n if c.judged else 0 for c in comparisons]
    n_few = sum(n < MIN_PAIRS for n in pairs)
    blind = [
        b for c in comparisons if (b := find_blind(c, errors[c.measured_on].get(c.control), len(comparisons)))
    ]
    worst = asdict(max(blind, key=lambda b: b.times)) if blind else {}
    return made(
        name, bool(n_few or blind), n=len(pairs), fewest=min(pairs), n_few=n_few, n_blind=len(blind), **worst
    )


def find_blind(c: Comparison, error: float | None, m: int) -> Blind | None:
    """Of one of `m` comparisons, with a control of this mean error; None where it could have seen the gain."""
    seen = smallest(c.judged, m)
    if c.judged is None or seen is None or not error or seen <= GAIN * error or c.is_shown:
        return None
    wanted = needed(replace(c.judged, mean=GAIN * error), m)
    assert wanted is not None  # there is an interval
    return Blind(arm=c.arm, control=c.control, pairs=c.judged.n, error=error, smallest=seen, wanted=wanted)
