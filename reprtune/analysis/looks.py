"""Seeds where they decide: which comparisons of arms are still open, and which seeds their arms need next.

All comparisons that a rule makes begin with the declared seeds. Once all runs of a look are finished, a comparison is closed
that is decided (its p over all looks, corrected by Holm's rule over all rules, is below 5 %) or whose interval is narrow
enough; the arms of the others get the next group of seeds, until they have as many as `Until` allows. A comparison that is
closed is judged by what it had then, whatever its arms are trained for later beside others. A comparison that no rule makes adds
no seeds; it gets those that others add, by their results, and so is judged as if it were looked at each time (`beside`).

*Notations*

    look    seeds of both arms after which it is looked; see `sequential` for the p and the interval of several
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reprtune.analysis.attempts import deciding
from reprtune.analysis.level import ALPHA
from reprtune.analysis.paired import MIN_PAIRS, Comparison, Difference, holm
from reprtune.analysis.runs import chance_error, compare
from reprtune.analysis.sequential import chance_of, repeated_interval
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.sections.arms import Arms

Pair = tuple[str, str]  # arm, control


@dataclass(frozen=True, kw_only=True)
class Looks:
    """What was looked at of one comparison.

    Attributes:
        planned: seeds at each look that may be made. made: how many were made.
        closed: are its seeds enough? comparison: on the seeds of the last look made; p over all looks.
    """

    planned: tuple[tuple[int, ...], ...]
    made: int
    closed: bool
    comparison: Comparison

    @property
    def seeds(self) -> tuple[int, ...]:
        """That its arms are to have."""
        n = self.made if self.closed else min(self.made + 1, len(self.planned))
        return self.planned[max(n, 1) - 1]


def looks(record: StudyRecord) -> dict[Pair, Looks]:
    """Every comparison that a rule makes between arms whose sections add seeds."""
    found = {pair: _first(section) for pair, section in _pairs(record).items()}
    attempts = deciding(record.controls)
    others = len(record.spec.applied_rules) - len(found)  # rules of other arms: of the same family
    while ready := {
        pair: one
        for pair, one in found.items()
        if not one.closed and one.made < len(one.planned) and _finished(attempts, pair, one.planned[one.made])
    }:
        if any(
            not one.closed and pair not in ready and one.made < len(one.planned)
            for pair, one in found.items()
        ):
            break  # all that are open go on together
        found |= {pair: _looked(record, attempts, pair, one) for pair, one in ready.items()}
        ps = holm([one.comparison.p for one in found.values()] + [None] * others)
        found = {
            pair: _closed(record, pair, one, p) for (pair, one), p in zip(found.items(), ps, strict=False)
        }
    return found


def beside(record: StudyRecord, pair: Pair) -> Looks | None:
    """A comparison that no rule makes, of arms whose seeds others add; None where neither's are added, or no look was made.

    Its looks are the numbers of seeds that both may have together. Whenever its arms stop getting more, the smallest p so
    far is judged by that of all, which is never too small (see `sequential`).
    """
    planned = looks_at(record, pair)
    if len(planned) < 2:
        return None
    found = Looks(planned=planned, made=0, closed=False, comparison=Comparison(arm="", control=""))
    attempts = deciding(record.controls)
    while found.made < len(planned) and _finished(attempts, pair, planned[found.made]):
        found = _looked(record, attempts, pair, found)
    return found if found.made else None


def looks_at(record: StudyRecord, pair: Pair) -> tuple[tuple[int, ...], ...]:
    """Seeds that both may have together, fewest first; one number of them where none are added."""
    common = {
        len(both): both
        for ours, theirs in itertools.product(*(_ends(record, arm) for arm in pair))
        if len(both := tuple(seed for seed in ours if seed in theirs)) >= MIN_PAIRS
    }
    return tuple(common[n] for n in sorted(common))


def wanted(section: Arms, record: StudyRecord) -> Mapping[str, Sequence[int]]:
    """Arm -> seeds that it is to be trained with so far."""
    seeds = {arm.name: section.seeds for arm in section.arms(record.spec.base)}
    if section.until is None:
        return seeds
    for pair, one in looks(record).items():
        for arm in pair:
            if arm in seeds and len(one.seeds) > len(seeds[arm]):
                seeds[arm] = one.seeds
    return seeds


def _pairs(record: StudyRecord) -> dict[Pair, Arms]:
    sections = {
        arm.name: section for section in record.spec.comparisons for arm in section.arms(record.spec.base)
    }
    pairs = [(rule.arm, rule.control) for rule in record.spec.applied_rules]
    return {
        pair: sections[pair[0]]
        for pair in pairs
        if all(arm in sections and sections[arm].until is not None for arm in pair)
    }


def _ends(record: StudyRecord, arm: str) -> tuple[tuple[int, ...], ...]:
    """With which seeds the training of an arm may end."""
    of = next(s for s in record.spec.comparisons if arm in {a.name for a in s.arms(record.spec.base)})
    return _planned(of) if of.until else (of.seeds,)


def _planned(section: Arms) -> tuple[tuple[int, ...], ...]:
    """The seeds at each look."""
    assert section.until is not None
    return tuple(section.all_seeds[:n] for n in section.until.looks(len(section.seeds)))


def _first(section: Arms) -> Looks:
    return Looks(planned=_planned(section), made=0, closed=False, comparison=Comparison(arm="", control=""))


def _finished(attempts: Sequence[TrialRecord], pair: Pair, seeds: Sequence[int]) -> bool:
    done = {(t.arm, t.seed) for t in attempts if t.is_final}
    return all((arm, seed) in done for arm in pair for seed in seeds)


def _looked(record: StudyRecord, attempts: Sequence[TrialRecord], pair: Pair, one: Looks) -> Looks:
    made = one.made + 1
    ps = []
    for seeds in one.planned[:made]:
        at = _compared(record, attempts, pair, seeds)
        if at.p is not None:
            ps.append(at.p)
    sizes = [len(seeds) for seeds in one.planned]
    p = chance_of(min(ps), sizes) if ps else None
    judged: dict[str, Any] = {
        name: _with_interval(d, sizes) for name in ("difference", "with_chance") if (d := getattr(at, name))
    }
    return replace(one, made=made, comparison=replace(at, p=p, **judged))


def _compared(
    record: StudyRecord, attempts: Sequence[TrialRecord], pair: Pair, seeds: Sequence[int]
) -> Comparison:
    ours, theirs = ([t for t in attempts if t.arm == arm and t.seed in seeds] for arm in pair)
    return compare(*pair, ours, theirs, chance_error(record))


def _with_interval(d: Difference, sizes: Sequence[int]) -> Difference:
    ends = repeated_interval([pair.value for pair in d.pairs], sizes)
    return d if ends is None else replace(d, low=ends[0], high=ends[1])


def _closed(record: StudyRecord, pair: Pair, one: Looks, p_holm: float | None) -> Looks:
    if one.closed or one.made == 0:
        return one
    d = one.comparison.judged
    narrow = _pairs(record)[pair].until
    width = None if narrow is None else narrow.width
    is_narrow = (
        width is not None
        and d is not None
        and d.n >= MIN_PAIRS
        and d.low is not None
        and d.high is not None
        and d.high - d.low <= width
    )
    decided = p_holm is not None and p_holm < ALPHA
    return replace(one, closed=decided or is_narrow or one.made == len(one.planned))
