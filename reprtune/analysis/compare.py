"""Two stored studies side by side: what may be compared, what may not and why, and what the comparison says.

Errors are compared where both studies measured on the same images: the same data, the same split, as many test images. Across
data only effects stand side by side: an arm minus its control, each within its own study.

*Notations*

    difference  error in the second study minus error in the first
    paired      as in `paired`, where one study's seeds are all among the other's: the same seed gives the same batches
    identical   paired, no field differs and no error does: the same runs twice, of which there is nothing to test
    seeds       where they were added by results, those that the arm was declared with: how many there are in the end says
                something of their errors
    unpaired    difference of means, with the interval and p of Welch's test for unequal variances, 3 runs or more each
    explored    a branch in one of the studies, which was added when there were results to see; it has no p
    p_holm      corrected over all arms that are compared, and the leader, but for what is identical or explored

Reference: Welch 1947 (unequal variances).
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scipy import stats

from reprtune.analysis.attempts import deciding
from reprtune.analysis.controls import arm_summaries
from reprtune.analysis.level import LEVEL
from reprtune.analysis.paired import MIN_PAIRS, NO_SPREAD, Comparison, SeedValue, holm
from reprtune.analysis.runs import (
    chance_error,
    compare,
    errors_on_test,
    errors_on_validation,
    is_more,
    mean_steps,
)
from reprtune.record.codes import differing_code
from reprtune.record.leaders import leader_arm, leaders
from reprtune.record.measures import at_the_end
from reprtune.record.outcomes import Outcome
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.codec import to_plain
from reprtune.spec.decisions import LEADER
from reprtune.spec.edit import changed
from reprtune.spec.levels import levels
from reprtune.spec.objectives import ERROR
from reprtune.spec.trial import TrialSpec

SEED = "seed"
DATA = ("data_digest", "n_val", "n_test", "n_classes")  # facts that say which images there are
TASK = (
    "task.dataset",
    "task.split_seed",
    "task.val_frac",
)  # and fields, for records that lack some of those facts

Field = tuple[str, Any, Any]  # path, in the first study, in the second; None where it is not there


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why something is not compared.

    Attributes:
        kind: `data`, `trial`, `budget`, `open` (no complete run on one side) or `unconfirmed`.
        fields: what differs.
    """

    kind: str
    fields: tuple[Field, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Side:
    """One arm in one study.

    Attributes:
        n: complete runs. n_diverged: counted with chance error. n_missing: waiting, running or failed.
        mean: of its errors, of those that are paired where the row is; diverged runs with chance error. None where errors
            may not be shown, or there are none.
        steps: mean, of all its networks.
    """

    n: int
    n_diverged: int
    n_missing: int
    mean: float | None
    steps: float | None


@dataclass(frozen=True, kw_only=True)
class Row:
    """An arm that both studies have, or the confirmed leader of each.

    Attributes:
        a, b: in the first study and in the second.
        differing: fields in which its trials differ.
        refused: why errors are not compared; None where they are.
        how: `paired`, `identical` or `unpaired`; empty where not compared. measured_on: `test` or `validation`.
        explored: see *Notations*.
        n: pairs; None unpaired. difference: second minus first. low, high: None with too few runs, or no spread.
    """

    arm: str
    a: Side
    b: Side
    differing: tuple[Field, ...] = ()
    refused: Refusal | None = None
    how: str = ""
    explored: bool = False
    measured_on: str = ""
    n: int | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None


@dataclass(frozen=True, kw_only=True)
class Effect:
    """An arm minus its control, within each study."""

    arm: str
    control: str
    a: Comparison
    b: Comparison


@dataclass(frozen=True, kw_only=True)
class SideBySide:
    """Two studies.

    Attributes:
        differing: fields in which their base trials differ.
        data: facts and fields by which they measured on other images; then no errors are compared.
        code: what both run and is not the same, see `differing_code`; None where that is not known.
        pending: slots that are not used up yet.
        searched: lowest validation error of each search, where both have one: the best of many, and so too good.
        by_results: names of those in which seeds were added by results.
        only_a, only_b: arms that the other does not have.
    """

    a: str
    b: str
    differing: tuple[Field, ...]
    data: tuple[Field, ...]
    code: tuple[str, ...] | None
    by_results: tuple[str, ...]
    pending: tuple[int, int]
    rows: tuple[Row, ...]
    effects: tuple[Effect, ...]
    searched: tuple[float, float] | None
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Is nothing in common?"""
        return not self.rows and self.searched is None


def side_by_side(a: StudyRecord, b: StudyRecord) -> SideBySide:
    """Two studies, arm by arm."""
    base = _differing(a.spec.base, b.spec.base)
    data = _data(a, b)
    ours, theirs = ([arm.name for arm in one.spec.arms] for one in (a, b))
    rows = [_arm_row(a, b, name, base, data) for name in ours if name in theirs]
    if a.spec.search is not None and b.spec.search is not None:
        rows.append(_leader_row(a, b, data))
    family = iter(holm([row.p for row in rows if _is_tested(row)]))
    rows = [replace(row, p_holm=next(family)) if _is_tested(row) else row for row in rows]
    same = {row.arm for row in rows if row.refused is None or row.refused.kind != "trial"}
    return SideBySide(
        a=a.spec.name,
        b=b.spec.name,
        differing=base,
        data=data,
        code=differing_code(a, b),
        by_results=tuple(r.spec.name for r in (a, b) if any(s.until for s in r.spec.comparisons)),
        pending=(a.pending(), b.pending()),
        rows=tuple(rows),
        effects=tuple(_effects(a, b, same)),
        searched=None if data else _searched(a, b),
        only_a=tuple(name for name in ours if name not in theirs),
        only_b=tuple(name for name in theirs if name not in ours),
    )


def _is_tested(row: Row) -> bool:
    return row.refused is None and row.how != "identical" and not row.explored


def _differing(a: TrialSpec, b: TrialSpec) -> tuple[Field, ...]:
    """Field by field, but for the seed."""
    ours, theirs = levels(a), levels(b)
    paths = [path for path in dict.fromkeys((*ours, *theirs)) if path != SEED]
    return tuple((p, ours.get(p), theirs.get(p)) for p in paths if ours.get(p) != theirs.get(p))


def _data(a: StudyRecord, b: StudyRecord) -> tuple[Field, ...]:
    """By what they measured on other images."""
    fields = [row for row in _differing(a.spec.base, b.spec.base) if row[0] in TASK]
    facts = [(name, a.facts.get(name), b.facts.get(name)) for name in DATA]
    return (*fields, *(row for row in facts if row[1] != row[2]))


def _of_arm(record: StudyRecord, arm: str) -> tuple[TrialSpec, list[TrialRecord]]:
    section, one = next(
        (section, one)
        for section in record.spec.comparisons
        for one in section.arms(record.spec.base)
        if one.name == arm
    )
    trials = [t for t in deciding(record.controls) if t.arm == arm]
    if section.until:
        trials = [t for t in trials if t.seed in section.seeds]
    return changed(record.spec.base, record.trained(one)), trials


def _arm_row(a: StudyRecord, b: StudyRecord, arm: str, base: Sequence[Field], data: tuple[Field, ...]) -> Row:
    (spec_a, ours), (spec_b, theirs) = _of_arm(a, arm), _of_arm(b, arm)
    differing = _differing(spec_a, spec_b)
    own = tuple(row for row in differing if row not in base)
    refused = Refusal(kind="trial", fields=own) if own else None
    explored = arm in a.spec.explored | b.spec.explored
    row = _row(a, b, arm, (spec_a, spec_b), (ours, theirs), differing, refused, data)
    return replace(row, explored=explored)


def _leader_row(a: StudyRecord, b: StudyRecord, data: tuple[Field, ...]) -> Row:
    """The best of each search on the fresh seeds of its confirmation: other settings, as each search found them."""
    specs, trials = [], []
    for record in (a, b):
        found = leaders(record, 1)
        specs.append(record.spec.trial(found[0].params) if found else record.spec.base)
        arm = leader_arm(found[0].slot) if found else ""
        trials.append([t for t in deciding(record.confirmation) if t.arm == arm])
    unconfirmed = not all(trials)
    refused = Refusal(kind="unconfirmed") if unconfirmed else None
    differing = () if unconfirmed else _differing(specs[0], specs[1])
    return _row(a, b, LEADER, (specs[0], specs[1]), (trials[0], trials[1]), differing, refused, data)


def _row(
    a: StudyRecord,
    b: StudyRecord,
    arm: str,
    specs: tuple[TrialSpec, TrialSpec],
    trials: tuple[Sequence[TrialRecord], Sequence[TrialRecord]],
    differing: tuple[Field, ...],
    refused: Refusal | None,
    data: tuple[Field, ...],
) -> Row:
    """What is the case is refused in the order in which a person would mend it."""
    measured_on = "test" if all(map(_is_on_test, trials)) else "validation"
    steps_a, steps_b = mean_steps(a, specs[0], trials[0]), mean_steps(b, specs[1], trials[1])
    values = _errors(a, trials[0], measured_on), _errors(b, trials[1], measured_on)
    if refused is None and data:
        refused = Refusal(kind="data", fields=data)
    if refused is None and (is_more(steps_a, steps_b) or is_more(steps_b, steps_a)):
        refused = Refusal(kind="budget", fields=(("steps", steps_a, steps_b),))
    if refused is None and not all(values):
        refused = Refusal(kind="open")
    row = Row(
        arm=arm,
        a=_side(trials[0], values[0], steps_a),
        b=_side(trials[1], values[1], steps_b),
        differing=differing,
        refused=refused,
        measured_on=measured_on,
    )
    if refused is not None:
        return row
    row = replace(row, **_compared(trials, values, measured_on, chance_error(a)))
    if row.how != "paired":
        return row
    common = {v.seed for v in values[0]} & {v.seed for v in values[1]}
    own, other = ([v.value for v in one if v.seed in common] for one in values)
    if own == other and not differing:
        row = replace(row, how="identical", p=None)
    return replace(
        row,
        a=replace(row.a, mean=statistics.fmean(own)),
        b=replace(row.b, mean=statistics.fmean(other)),
    )


def _is_on_test(trials: Sequence[TrialRecord]) -> bool:
    """Has every complete run a test error?"""
    return len(errors_on_test(trials)) == len(errors_on_validation(trials))


def _errors(record: StudyRecord, trials: Sequence[TrialRecord], measured_on: str) -> tuple[SeedValue, ...]:
    """By seed, diverged runs with chance error."""
    read = errors_on_test if measured_on == "test" else errors_on_validation
    return read(trials, chance_error(record))


def _side(trials: Sequence[TrialRecord], values: Sequence[SeedValue], steps: float | None) -> Side:
    n = sum(t.outcome == Outcome.COMPLETE for t in trials)
    n_diverged = sum(t.outcome == Outcome.DIVERGED for t in trials)
    return Side(
        n=n,
        n_diverged=n_diverged,
        n_missing=len(trials) - n - n_diverged,
        mean=statistics.fmean(v.value for v in values) if values else None,
        steps=steps,
    )


def _compared(
    trials: tuple[Sequence[TrialRecord], Sequence[TrialRecord]],
    values: tuple[Sequence[SeedValue], Sequence[SeedValue]],
    measured_on: str,
    chance: float | None,
) -> dict[str, Any]:
    """Second minus first."""
    planned = [{t.seed for t in one} for one in trials]
    if planned[0] <= planned[1] or planned[1] <= planned[0]:
        found = compare("b", "a", trials[1], trials[0], chance, measured_on=measured_on)
        if (judged := found.judged) is not None:
            return {
                "how": "paired", "n": judged.n, "difference": judged.mean,
                "low": judged.low, "high": judged.high, "p": found.p,
            }  # fmt: skip
    return welch([v.value for v in values[0]], [v.value for v in values[1]])


def welch(a: Sequence[float], b: Sequence[float]) -> dict[str, Any]:
    """Mean of `b` minus mean of `a`, unpaired; interval and p with `MIN_PAIRS` runs of each that spread."""
    found: dict[str, Any] = {"how": "unpaired", "difference": statistics.fmean(b) - statistics.fmean(a)}
    if min(len(a), len(b)) < MIN_PAIRS or max(statistics.stdev(a), statistics.stdev(b)) < NO_SPREAD:
        return found
    test = stats.ttest_ind(b, a, equal_var=False)
    interval = test.confidence_interval(LEVEL)
    return found | {"low": float(interval.low), "high": float(interval.high), "p": float(test.pvalue)}


def _effects(a: StudyRecord, b: StudyRecord, same: set[str]) -> list[Effect]:
    """Of arms whose trials, and those of their controls, differ in nothing but what the bases differ in."""
    ours, theirs = _against(a), _against(b)
    return [
        Effect(arm=arm, control=control, a=found, b=theirs[arm, control])
        for (arm, control), found in ours.items()
        if (arm, control) in theirs and {arm, control} <= same
    ]


def _against(record: StudyRecord) -> Mapping[tuple[str, str], Comparison]:
    return {(c.arm, c.control): c for arm in arm_summaries(record) for c in arm.against}


def _searched(a: StudyRecord, b: StudyRecord) -> tuple[float, float] | None:
    best = [
        min((e for t in one.complete() if (e := at_the_end(t, ERROR)) is not None), default=None)
        for one in (a, b)
    ]
    return None if best[0] is None or best[1] is None else (best[0], best[1])


def plain(found: SideBySide) -> dict[str, Any]:
    """As JSON values."""
    return dict(to_plain(found, whole=True))
