"""Replay recorded trials under a stop rule: a pool of workers takes them in some order, and each that the
rule stops frees its worker early.

The clock is the ideal cost: a worker does 1e9 floating-point operations per unit of time.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as replaced
from typing import Protocol

import optuna
from optuna.trial import TrialState

from benchmarks.curves import Recorded
from reprtune.spec.stop_rules import StopRule
from reprtune.stopping.curves import Rival, Standard, Standing
from reprtune.stopping.dominance import pareto_front
from reprtune.stopping.rungs import should_stop
from reprtune.stopping.stretches import Stretches

Order = Sequence[int]


class Judge(Protocol):
    """What stops trials; `run` is the number of a trial, `at` of one of its evaluations."""

    def begin(self, run: int) -> None: ...

    def stops(self, run: int, at: int) -> bool:
        """Told of every evaluation but the last."""

    def end(self, run: int, complete: bool) -> None: ...


class RungJudge:
    """Our rules, as a study applies them.

    Args:
        stretches: of the learning rate of all runs. standard: the curve of plain training, where it has these rates.
    """

    def __init__(
        self,
        runs: Sequence[Recorded],
        rule: StopRule,
        *,
        several: bool = False,
        stretches: Stretches = (),
        standard: Standard | None = None,
    ) -> None:
        self.runs, self.rule, self.several = runs, rule, several
        self.stretches, self.standard = stretches, standard
        self._rivals: dict[int, Rival] = {}

    def begin(self, run: int) -> None:
        pass

    def stops(self, run: int, at: int) -> bool:
        recorded = self.runs[run]
        step = recorded.steps[at]
        if step not in recorded.marks or not recorded.is_full[at]:
            return False
        self._mark(run, at)
        if step not in recorded.rungs:
            return False
        rivals = [o for r, o in self._rivals.items() if r != run and (o.cost is not None or not self.several)]
        cost = recorded.planned[at] if self.several else None
        earlier = [rung for rung in recorded.rungs if rung < step]
        return should_stop(self.rule, Standing(step, recorded.errors[at], cost, earlier=earlier, total=recorded.steps[-1], stretches=self.stretches, standard=self.standard), rivals)  # fmt: skip

    def end(self, run: int, complete: bool) -> None:
        if complete and self.runs[run].is_full[-1]:
            self._mark(run, len(self.runs[run].steps) - 1)
        if not complete:
            self._rivals[run] = replaced(self._rivals[run], is_stopped=True)

    def _mark(self, run: int, at: int) -> None:
        recorded = self.runs[run]
        before = self._rivals[run].curve if run in self._rivals else ()
        cost = recorded.planned[at] if self.several else None
        curve = [*before, (recorded.steps[at], recorded.errors[at])]
        self._rivals[run] = Rival(curve, cost, self.stretches)


class OptunaJudge:
    """A pruner of Optuna on a study in memory, told of every evaluation, or at rungs only."""

    def __init__(
        self, runs: Sequence[Recorded], pruner: optuna.pruners.BasePruner, *, at_rungs: bool = False
    ) -> None:
        self.runs, self.at_rungs = runs, at_rungs
        self.study = optuna.create_study(
            study_name="replay", pruner=pruner, sampler=optuna.samplers.RandomSampler(seed=0)
        )
        self._trials: dict[int, optuna.Trial] = {}

    def begin(self, run: int) -> None:
        self._trials[run] = self.study.ask()

    def stops(self, run: int, at: int) -> bool:
        if self.at_rungs and self.runs[run].steps[at] not in self.runs[run].rungs:
            return False
        trial = self._trials[run]
        trial.report(self.runs[run].errors[at], at)
        return trial.should_prune()

    def end(self, run: int, complete: bool) -> None:
        trial, recorded = self._trials.pop(run), self.runs[run]
        if complete:
            trial.report(recorded.error, len(recorded.steps) - 1)
            self.study.tell(trial, recorded.error)
        else:
            self.study.tell(trial, state=TrialState.PRUNED)


@dataclass(frozen=True)
class Ended:
    """How a trial went: begun at the time `begun`, given `cost`, which is all of it when `complete`."""

    run: int
    begun: float
    cost: float
    complete: bool


def replay(
    runs: Sequence[Recorded],
    order: Order,
    judge: Judge,
    n_workers: int = 4,
    *,
    n_first: int | None = None,
    until: float = 0.0,
) -> list[Ended]:
    """The trials in the order in which they end. Of two events at one time the one that was planned first
    comes first.

    Args:
        n_first, until: end as soon as the first so many of the order have ended, and it is so late.
    """
    waiting, ended = iter(order), list[Ended]()
    events: list[tuple[float, int, int, int, float]] = []  # time, number of the event, run, at, begun
    number, missing = itertools.count(), set(order[:n_first])

    def take(now: float) -> None:
        if (run := next(waiting, None)) is not None:
            judge.begin(run)
            heapq.heappush(events, (now + runs[run].gflops[0], next(number), run, 0, now))

    for _ in range(n_workers):
        take(0.0)
    while events and (missing or events[0][0] <= until):
        now, _, run, at, begun = heapq.heappop(events)
        complete = at == len(runs[run].steps) - 1
        if not complete and not judge.stops(run, at):
            heapq.heappush(events, (begun + runs[run].gflops[at + 1], next(number), run, at + 1, begun))
            continue
        judge.end(run, complete)
        ended.append(Ended(run, begun, runs[run].gflops[at], complete))
        missing.discard(run)
        take(now)
    return ended


def costs_when_complete(ended: Sequence[Ended], n_workers: int) -> dict[int, float]:
    """Complete trial -> what the whole pool had cost at its end. A worker without a trial costs as much."""
    return {e.run: n_workers * (e.begun + e.cost) for e in ended if e.complete}


def regret(runs: Sequence[Recorded], spent: dict[int, float], budget: float) -> float:
    """Best final error among those complete when the pool has spent `budget`, minus the best there is. While
    none is complete, an error of 1."""
    found = min((runs[run].error for run, cost in spent.items() if cost <= budget), default=1.0)
    return found - min(run.error for run in runs)


def best_tenth(runs: Sequence[Recorded]) -> set[int]:
    """The tenth with the smallest final errors; of equal ones those with the smaller loss."""
    ordered = sorted(range(len(runs)), key=lambda i: (runs[i].error, runs[i].loss))
    return set(ordered[: max(1, len(runs) // 10)])


def true_front(runs: Sequence[Recorded]) -> set[int]:
    """Trials that none beats in both final error and cost."""
    return {i for i, on_it in enumerate(pareto_front([(r.error, r.cost) for r in runs])) if on_it}


def hypervolume(points: Sequence[tuple[float, float]], corner: tuple[float, float]) -> float:
    """Area that the points dominate below `corner`, everything minimised."""
    area, lowest = 0.0, corner[1]
    for x, y in sorted(points):
        if x < corner[0] and y < lowest:
            area += (corner[0] - x) * (lowest - y)
            lowest = y
    return area


def missing_volume(runs: Sequence[Recorded], spent: dict[int, float], budget: float) -> float:
    """Share of the hypervolume of all trials that those complete within `budget` do not reach."""
    corner = max(r.error for r in runs), max(r.cost for r in runs)
    found = [(runs[run].error, runs[run].cost) for run, cost in spent.items() if cost <= budget]
    everything = hypervolume([(r.error, r.cost) for r in runs], corner)
    return 1 - hypervolume(found, corner) / everything
