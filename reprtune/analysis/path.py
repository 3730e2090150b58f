"""An ablation path as far as it was walked: in each stage every change that is left, and the one that was made for good.

*Notations*

    e(a)       errors of an arm by seed; a diverged run has chance error, a failed one is missing
    stage i    from the arm a_(i-1) that was reached: candidates c, each with one more change
    chosen     a_i, the c with the lowest mean of e(c) - e(a_(i-1)) over the seeds that both have, on the validation part; of
               equals the first
    finished   every candidate has used up its slot with every seed; only then something is chosen
    flattered  the gain of a step is the largest of several that were measured on the same seeds, so that its error is
               partly luck, and what luck gave to one step is missing to those after it. With the same seeds in all arms the
               gains of all steps add up to that of the whole path, which was not selected

Source: Fawcett and Hoos 2016, Analysing differences between algorithm configurations through ablation. Here all
changes are kept with the same seeds; changes that are not available (see `ways`) are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from reprtune.analysis.attempts import deciding
from reprtune.analysis.paired import Comparison, Difference, SeedValue
from reprtune.analysis.runs import chance_error, compare, errors_on_test, errors_on_validation, mean
from reprtune.record.leaders import PREFIX, leader_arm, leaders
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.designs.arm import Arm
from reprtune.spec.designs.path import Path
from reprtune.spec.designs.ways import Ways
from reprtune.spec.sections.arms import Arms

ROUNDED = 12  # digits: what differs by less is equal


@dataclass(frozen=True, kw_only=True)
class Reached:
    """An arm on the path, or beside it.

    Attributes:
        change: by which it differs from the arm that its stage begins from; empty for the start.
        mean, test: means over its seeds, None without any: on the validation part, on the test part.
        gain: to the arm that its stage begins from, paired by seed, on the validation part, with chance error for
            diverged runs; negative is better. test_gain: the same of test errors; None where some have none.
        left: runs that are not finished. n_diverged: of those that are.
    """

    arm: str
    change: str = ""
    mean: float | None = None
    test: float | None = None
    gain: Difference | None = None
    test_gain: Difference | None = None
    left: int = 0
    n_diverged: int = 0


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of the path.

    Attributes:
        start: the arm that was reached before. candidates: in the order of the changes. refused: change that is not
            available -> why. chosen: name of the arm that was; None while runs are left, and where nothing can be
            told.
    """

    start: str
    candidates: tuple[Reached, ...]
    refused: Mapping[str, str]
    chosen: str | None = None

    @property
    def left(self) -> int:
        """Runs that are not finished."""
        return sum(one.left for one in self.candidates)

    @property
    def step(self) -> Reached | None:
        """The candidate that was chosen."""
        return next((one for one in self.candidates if one.arm == self.chosen), None)


@dataclass(frozen=True, kw_only=True)
class Walked:
    """A path so far.

    Attributes:
        section: its name. start, end: the arms at its ends; the end None while a search has no leader yet.
        changes: between them, in their order.
        stages: as far as they can be told; the last one may have runs left.
        whole: of the end against the start: what was not selected. None without an end.
        cells: what is to be trained so far, arms in their order.
    """

    section: str
    start: Reached
    end: Reached | None
    changes: tuple[str, ...]
    stages: tuple[Stage, ...]
    whole: Comparison | None
    cells: tuple[Arm, ...]

    @property
    def is_finished(self) -> bool:
        """Did it reach its end?"""
        return len(self.stages) == len(self.changes) > 0 and self.stages[-1].chosen is not None

    @property
    def steps(self) -> tuple[Reached, ...]:
        """What was chosen, stage by stage."""
        return tuple(step for stage in self.stages if (step := stage.step) is not None)

    @property
    def left(self) -> int:
        """Runs that are wanted so far and are not finished."""
        ends = (self.start, *([self.end] if self.end else []))
        known = {one.arm: one.left for one in (*ends, *(c for s in self.stages for c in s.candidates))}
        return sum(known.values())

    @property
    def is_stuck(self) -> bool:
        """Is there nothing to choose by, although no run is left?"""
        if self.end is None or self.is_finished or self.left:
            return False
        return not self.stages or self.stages[-1].chosen is None


def walk(section: Arms, record: StudyRecord) -> Walked:
    """How far the path of a section is, from the record alone."""
    design = section.design
    assert isinstance(design, Path)
    runs = _Runs(section, record)
    start, end = runs.reached(design.start.name), find_end(section, record)
    if end is None:
        return Walked(
            section=section.name,
            start=start,
            end=None,
            changes=(),
            stages=(),
            whole=None,
            cells=(design.start,),
        )
    ways = design.ways(record.spec.base, end.changes, record.facts.get("steps_per_epoch"))
    arms = {design.start.name: design.start, end.name: end}
    ended = runs.reached(end.name)
    stages = [] if start.left or ended.left else _stages(design, ways, end, runs, record, arms)
    return Walked(
        section=section.name,
        start=start,
        end=ended,
        changes=tuple(ways.changes),
        stages=tuple(stages),
        whole=compare(
            end.name, design.start.name, runs.of(end.name), runs.of(design.start.name), runs.chance
        ),
        cells=tuple(arms.values()),
    )


def walks(record: StudyRecord) -> tuple[Walked, ...]:
    """Every path of a study."""
    return tuple(walk(one, record) for one in record.spec.comparisons if isinstance(one.design, Path))


def find_end(section: Arms, record: StudyRecord) -> Arm | None:
    """The end of a path; the best of the search once that is finished, None before and where it has none. What was queued
    as the end stays it, although a slot that was repaired has overtaken it since."""
    design, search = section.design, record.spec.search
    assert isinstance(design, Path)
    if isinstance(design.end, Arm):
        return next(arm for arm in design.arms(record.spec.base) if arm.name == design.end.name)
    queued = [t for t in record.of(section.name) if str(t.arm).startswith(design.called(PREFIX))]
    if queued:
        return Arm(name=str(queued[0].arm), changes=queued[0].settings or {})
    if search is None or record.pending(search.name):
        return None
    for trial in leaders(record, 1):
        name = design.called(leader_arm(trial.slot))
        return Arm(name=name, changes=record.spec.settings(trial.params))
    return None


def _stages(
    design: Path, ways: Ways, end: Arm, runs: _Runs, record: StudyRecord, arms: dict[str, Arm]
) -> list[Stage]:
    """The stages so far; the arms that they want are added to `arms`."""
    taken: frozenset[str] = frozenset()
    at, found = design.start.name, list[Stage]()
    while len(taken) < len(ways.changes):
        after = {}  # arm -> its change
        for change in ways.available(taken):
            further = taken | {change}
            is_end = len(further) == len(ways.changes)
            arm = end if is_end else design.step(further, ways, record.spec.base)
            arms.setdefault(arm.name, arm)
            after[arm.name] = change
        stage = Stage(
            start=at,
            candidates=tuple(runs.reached(arm, change, at) for arm, change in after.items()),
            refused=ways.refused(taken),
        )
        stage = replace(stage, chosen=None if stage.left else _best(stage.candidates))
        found.append(stage)
        if stage.chosen is None:
            break
        at, taken = stage.chosen, taken | {after[stage.chosen]}
    return found


def _best(candidates: Sequence[Reached]) -> str | None:
    """None where no candidate has a seed in common with what was reached before."""
    known = [(round(one.gain.mean, ROUNDED), i) for i, one in enumerate(candidates) if one.gain is not None]
    return candidates[min(known)[1]].arm if known else None


class _Runs:
    """The attempts of a section, arm by arm."""

    def __init__(self, section: Arms, record: StudyRecord) -> None:
        self.seeds, self.chance = section.seeds, chance_error(record)
        self._of: dict[str, list[TrialRecord]] = {}
        for trial in deciding(record.of(section.name)):
            self._of.setdefault(str(trial.arm), []).append(trial)

    def of(self, arm: str) -> list[TrialRecord]:
        return self._of.get(arm, [])

    def reached(self, arm: str, change: str = "", before: str | None = None) -> Reached:
        """An arm, and what it gains on another one."""
        runs = self.of(arm)
        on_validation, on_test = errors_on_validation(runs, self.chance), errors_on_test(runs, self.chance)
        gains: list[Difference | None] = [None, None]
        if before is not None:
            gains = [
                compare(arm, before, runs, self.of(before), self.chance, measured_on=part).judged
                for part in ("validation", "test")
            ]
            if gains[0] is None or gains[1] is None or gains[0].n != gains[1].n:
                gains[1] = None
        return Reached(
            arm=arm,
            change=change,
            mean=mean(on_validation),
            test=mean(on_test) if _same_seeds(on_validation, on_test) else None,
            gain=gains[0],
            test_gain=gains[1],
            left=sum(not any(t.seed == seed and t.is_final for t in runs) for seed in self.seeds),
            n_diverged=sum(t.outcome == "diverged" for t in runs),
        )


def _same_seeds(*values: Sequence[SeedValue]) -> bool:
    return len({tuple(one.seed for one in each) for each in values}) == 1
