"""An ablation path so far: stage by stage, what was tried, what was chosen, and what it gained.

*Notations*

    stage      every change that is left, tried by itself on top of those that were made
    chosen     the change after which the mean validation error over the seeds is lowest; diverged runs with chance error
    gain       paired difference of errors, after the change minus before it, on the part that `measured_on` names

What is chosen among several looks better than it is, so that the gains of stages are optimistic and their intervals too
narrow; the difference of the two ends was chosen by nobody.

Reference: Fawcett and Hoos 2016, Analysing differences between algorithm configurations through ablation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reprtune.analysis.attempts import deciding
from reprtune.analysis.paired import Comparison
from reprtune.analysis.runs import chance_error, compare, errors_on_validation, mean
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.designs.arm import Arm
from reprtune.spec.designs.path import Path
from reprtune.spec.sections.arms import Arms


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A change in one stage.

    Attributes:
        move: its name. arm: after it. error: mean on the validation part, None before all runs are finished, or
            where none has one. gain: to the arm before it.
    """

    move: str
    arm: Arm
    error: float | None
    gain: Comparison


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step along the path.

    Attributes:
        before: name of the arm that it begins at. chosen: the move that was made; None while runs are left.
        stuck: no change that is left can be made by itself, so that the rest is made at once.
    """

    before: str
    candidates: tuple[Candidate, ...]
    chosen: str | None
    stuck: bool = False

    @property
    def taken(self) -> Candidate | None:
        """The candidate that was chosen."""
        return next((one for one in self.candidates if one.move == self.chosen), None)


@dataclass(frozen=True, kw_only=True)
class Walk:
    """All stages so far.

    Attributes:
        start: mean validation error there; None before its runs are finished. whole: the end against the start.
        finished: is the end reached?
    """

    stages: tuple[Stage, ...]
    start: float | None
    whole: Comparison
    finished: bool


def walk(section: Arms, record: StudyRecord) -> Walk:
    """The path of a section whose design is one."""
    design, base = section.design, record.spec.base
    assert isinstance(design, Path)
    runs = _Runs(section, record)
    stages: list[Stage] = []
    made: list[str] = []
    before, moves = design.start, design.moves(base)
    while len(made) < len(moves):
        arms = design.candidates(base, made)
        if stuck := not arms:
            arms = {".".join(move.name for move in moves if move.name not in made): design.end}
        found = tuple(
            Candidate(move=move, arm=arm, error=runs.error(arm), gain=runs.gain(arm, before))
            for move, arm in arms.items()
        )
        known = [one for one in found if one.error is not None]
        done = all(runs.finished(one.arm) for one in found)
        chosen = min(known, key=lambda one: one.error or 0.0) if done and known else None
        stages.append(
            Stage(before=before.name, candidates=found, chosen=chosen.move if chosen else None, stuck=stuck)
        )
        if chosen is None:
            break
        made += [move.name for move in moves] if stuck else [chosen.move]
        before = chosen.arm
    return Walk(
        stages=tuple(stages),
        start=runs.error(design.start),
        whole=runs.gain(design.end, design.start),
        finished=len({*made}) == len(moves),
    )


class _Runs:
    """Those of one section."""

    def __init__(self, section: Arms, record: StudyRecord) -> None:
        self._seeds = section.seeds
        self._chance = chance_error(record)
        self._of: Mapping[str, Sequence[TrialRecord]] = {}
        for trial in deciding(record.of(section.name)):
            self._of = {**self._of, str(trial.arm): [*self._of.get(str(trial.arm), ()), trial]}

    def finished(self, arm: Arm) -> bool:
        done = {trial.seed for trial in self._of.get(arm.name, ()) if trial.is_final}
        return {*self._seeds} <= done

    def error(self, arm: Arm) -> float | None:
        if not self.finished(arm):
            return None
        return mean(errors_on_validation(self._of[arm.name], self._chance))

    def gain(self, arm: Arm, before: Arm) -> Comparison:
        ours, theirs = (self._of.get(one.name, ()) for one in (arm, before))
        return compare(arm.name, before.name, ours, theirs, self._chance)
