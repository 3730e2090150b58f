"""All runs of a search with one seed, in arrays: whom a trial is compared with at a step, then or now.

*Notations*
    piece    from one comparable point of a run to the next; a first point alone is one, too, and so is what comes
             after the last one of a run that was stopped
    moment   when the trial was judged; then only what had been trained by it is known. None: now
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from reprtune.analysis.standard_curve import KnownStretches, StandardCurves, steps_per_epoch_of
from reprtune.record.schema import SeedRun, StudyRecord, TrialRecord
from reprtune.stopping.curves import Beside, Rival, Standing
from reprtune.stopping.rungs import judge, should_stop
from reprtune.stopping.standard import StandardCurve
from reprtune.stopping.stretches import Stretches

Row = tuple[float, ...]
N_COLUMNS = 11


class RivalField:
    """Those that a trial with this seed may be compared with."""

    def __init__(self, record: StudyRecord, seed: int, known: KnownStretches) -> None:
        self._by_cost = len(record.spec.objectives) > 1
        self._stretches: list[Stretches] = []
        self._places: dict[Stretches, int] = {}
        rows = [row for trial in record.trials for row in self._pieces(trial, seed, known)]
        table = np.array(rows, dtype=float).reshape(-1, N_COLUMNS)
        if self._by_cost:
            table = table[~np.isnan(table[:, 9])]
        self._columns = table.T
        self._rivals = [
            self._rival(tuple(row)) for row in table.tolist()
        ]  # made once, for each is asked for often

    def rivals(self, slot: int, step: int, moment: float | None) -> list[Rival]:
        """Each with its points around the step, or the last one of a trial that was stopped before it."""
        slots, s0, _, s1, _, known, started, ended, compared, _, _ = self._columns
        here = (slots != slot) & (((s0 < step) & (step <= s1)) | ((s0 == step) & (s1 == step)))
        if moment is None:
            here &= compared == 1
        else:
            here &= ((compared == 1) | (ended > moment)) & (started <= moment) & (known <= moment)
        return [self._rivals[i] for i in np.flatnonzero(here).tolist()]

    def _rival(self, row: Row) -> Rival:
        _, s0, e0, s1, e1, *_, cost, place = row
        is_stopped = math.isinf(s1)
        points = ((int(s0), e0),) if is_stopped or s0 == s1 else ((int(s0), e0), (int(s1), e1))
        return Rival(points, cost if self._by_cost else None, self._stretches[int(place)], is_stopped)

    def _pieces(self, trial: TrialRecord, seed: int, known: KnownStretches) -> Iterator[Row]:
        run = next((r for r in trial.runs if r.seed == seed), None)
        if run is None or not trial.outcome.is_trained or not run.rungs:
            return
        times = {p.step: p.time for p in run.history.points} if run.history else {}
        cost = math.nan if run.planned_gflops is None else run.planned_gflops
        ended = math.inf if trial.ended is None else trial.ended
        fate = trial.outcome
        may_be = fate.is_comparable or (fate.is_final and seed != trial.seed)
        is_compared = may_be and not trial.repaired  # as RivalCurves does
        place = self._place(known.of(run, trial.params))
        rest = (trial.started or -math.inf, ended, float(is_compared), cost, place)
        for (s0, e0), (s1, e1) in pairwise((*run.rungs[:1], *run.rungs)):
            yield (trial.slot, s0, e0, s1, e1, times.get(s1, -math.inf), *rest)
        if fate == "stopped" and seed == trial.seed:
            step, error = run.rungs[-1]
            yield (trial.slot, step, error, math.inf, math.nan, ended, *rest)

    def _place(self, stretches: Stretches) -> int:
        if stretches not in self._places:
            self._places[stretches] = len(self._stretches)
            self._stretches.append(stretches)
        return self._places[stretches]


class Court:
    """The rule of a search, asked again about its trials as a worker asks it."""

    def __init__(self, record: StudyRecord) -> None:
        self._record, self._standards = record, StandardCurves(record)
        self._known = KnownStretches(record.spec, steps_per_epoch_of(record))
        self._fields: dict[int, RivalField] = {}

    @property
    def has_standard(self) -> bool:
        """Is there a curve of plain training by now?"""
        return self._standards.at() is not None

    def stops(self, trial: TrialRecord, run: SeedRun, step: int, moment: float | None = None) -> bool:
        """Whether the rule stops the trial at this rung of a seed, with what was known at a moment, or now."""
        record, search = self._record, self._record.spec.search
        cost = run.planned_gflops if len(record.spec.objectives) > 1 else None
        if search is None or (len(record.spec.objectives) > 1 and cost is None):
            return False
        return should_stop(search.stop, Standing(step, dict(run.rungs)[step], cost, earlier=[s for s in rungs_of(run) if s < step], total=self.total(run), stretches=self._known.of(run, trial.params), standard=self._standards.at(moment)), self._rivals(trial, run, step, moment))  # fmt: skip

    def errors(self, trial: TrialRecord, run: SeedRun, step: int, moment: float | None) -> list[float]:
        """Of the comparable ones, at this step."""
        search = self._record.spec.search
        assert search is not None
        beside = self._beside(trial, run, step, moment, judge(search.stop).counts_stopped)
        found = (beside.error_of(rival) for rival in self._rivals(trial, run, step, moment))
        return [e for e in found if e is not None]

    def error_of(self, other: TrialRecord, trial: TrialRecord, run: SeedRun, step: int) -> float | None:
        """The error of another trial with the same seed at this step of a trial; None where it has none."""
        its = next((r for r in other.runs if r.seed == run.seed), None)
        if its is None:
            return None
        rival = Rival(its.rungs, None, self._known.of(its, other.params))
        return self._beside(trial, run, step, None, False).error_of(rival)

    def total(self, run: SeedRun) -> int | None:
        return run.history.total_steps if run.history else self._record.facts.get("total_steps")

    def _beside(
        self, trial: TrialRecord, run: SeedRun, step: int, moment: float | None, counts_stopped: bool
    ) -> Beside:
        standard: StandardCurve | None = self._standards.at(moment)
        return Beside(step, self._known.of(run, trial.params), standard, counts_stopped=counts_stopped)

    def _rivals(self, trial: TrialRecord, run: SeedRun, step: int, moment: float | None) -> list[Rival]:
        if run.seed not in self._fields:
            self._fields[run.seed] = RivalField(self._record, run.seed, self._known)
        return self._fields[run.seed].rivals(trial.slot, step, moment)


def rungs_of(run: SeedRun) -> list[int]:
    """Where it was judged: its planned rungs that it has reached."""
    reached = [step for step, _ in run.rungs]
    if run.history is None:
        return reached
    planned = set(run.history.rungs)
    return [step for step in reached if step in planned]
