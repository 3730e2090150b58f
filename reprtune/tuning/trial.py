"""One attempt at one slot: the only place where training, Optuna and the tracking journal meet."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

import reprtune
from reprtune.errors import DataError, SpecError, StateError, StorageError, TrackingError
from reprtune.record.database import retried
from reprtune.record.pack import pack
from reprtune.record.schema import OUTCOMES, TrialRecord
from reprtune.record.storage import outcome as outcome_of
from reprtune.record.storage import to_record
from reprtune.spec.study import StudySpec
from reprtune.spec.trial import TrialSpec
from reprtune.states.store import StateStore
from reprtune.training.device import TORCH_VERSION, describe, is_out_of_memory, release_cached_memory
from reprtune.training.export import files, from_run
from reprtune.training.live import Interrupted
from reprtune.training.run import Materials, Run, Update
from reprtune.training.schedule import Segment
from reprtune.tuning.events import begin_event, end_event, metrics_event
from reprtune.tuning.journal import Journal
from reprtune.tuning.process import PlotPage
from reprtune.tuning.slots import Queue
from reprtune.tuning.stopping import Other, should_stop

WRITE_SECONDS = 1.0  # the journal gets new points no more often than this, and at the end


@dataclass(frozen=True)
class Surroundings:
    """What all attempts of a worker share.

    Attributes:
        digest: of the study. instance: of the stored study. steps_per_epoch: a fact of the study.
        shared_steps: where a trial of the study may leave the common beginning.
        leaving: True once the worker is asked to stop. tags: of the machine and the checkout.
        plot_page: draws a trial's page for MLflow.
    """

    spec: StudySpec
    digest: str
    instance: str
    steps_per_epoch: int
    shared_steps: frozenset[int]
    materials: Materials
    store: StateStore
    journal: Journal
    worker: str
    leaving: Callable[[], bool]
    tags: Mapping[str, str]
    plot_page: PlotPage


class Attempt:
    """A slot that was taken, from its first step to its outcome.

    Call `advance` until `outcome` is set; between two calls the worker may do something else.
    """

    def __init__(self, trial: optuna.Trial, queue: Queue, around: Surroundings) -> None:
        self.trial, self.queue, self.around = trial, queue, around
        self.study = retried(queue.study)
        self.trial_id = trial._trial_id  # noqa: SLF001 - heartbeats and leases are by id
        self.slot = int(trial.user_attrs["slot"])
        self.arm: str | None = trial.user_attrs.get("arm")
        self.outcome: str | None = None
        self.lost = False  # set by the heartbeat when the lease is gone
        self.run: Run | None = None
        self.error: str | None = None
        self._updates: Iterator[Update] = iter(())
        self._sent = (0, 0)  # points and drops in the journal
        self._marks = 0
        self._wrote = 0.0  # when the journal last got points
        self.spec = self._trial_spec()
        self.key = f"search-{self.slot:04d}" if self.arm is None else f"control-{self.arm}-s{self.spec.seed}"

    @property
    def title(self) -> str:
        return f"slot {self.slot}" if self.arm is None else f"{self.arm}, seed {self.spec.seed}"

    def _trial_spec(self) -> TrialSpec:
        try:
            return self.queue.trial_spec(self.trial)
        except SpecError as error:  # each value is right, but not all of them together
            self.error = error.message
            return self.around.spec.base

    def begin(self) -> None:
        """Refuse a draw that does not fit, else announce the run and build the network."""
        excess = self.spec.excess_steps(self.around.steps_per_epoch)
        total = self.spec.training.total.steps(self.around.steps_per_epoch)
        broken = self.error is not None
        if self.queue.is_search:
            self._constrain("fits", 1.0 if broken else excess / total)
        if broken or excess > 0:
            self._finish("infeasible")
            return
        self._announce()
        self.run = self._guarded(
            lambda: Run(
                self.spec,
                self.around.materials,
                self.around.store,
                keep="beginnings",
                shared_steps=self.around.shared_steps,
                should_stop=lambda: self.around.leaving() or self.lost,
            )
        )
        if self.run is not None:
            self._updates = iter(self.run)

    def advance(self) -> Update | None:
        """Train one segment, or do one event; None when the attempt has come to its outcome."""
        if self.outcome is not None or self.run is None:
            return None
        update = self._guarded(lambda: next(self._updates, None))
        if self.lost:
            self.outcome = "lost"  # somebody else has the slot now: leave quietly
        if self.outcome is not None:
            return None
        self._record(update)
        if self.run.diverged:
            self._finish("diverged")
        elif self.run.finished:
            self._finish("complete")
        elif update is not None and update.rung and self._is_hopeless(update.step):
            self._guarded(self.run.keep_state)
            self._finish("stopped")
        return update

    def suspend(self) -> None:
        """Give the slot back; whoever takes it continues from the last state."""
        if self.outcome is None:
            self._finish("interrupted")

    def _guarded(self, call: Callable[[], Any]) -> Any:
        """Turn what may go wrong in training into an outcome."""
        full = False
        try:
            return call()
        except Interrupted:
            if not self.lost:
                self.suspend()
        except (DataError, StateError, StorageError):
            self.suspend()  # a full disk, missing data: not this trial's fault; the worker reports it
            raise
        except Exception as error:  # noqa: BLE001 - whatever training raises is this trial's outcome
            full = is_out_of_memory(error)
            text = str(error).splitlines()[0] if full and str(error) else f"{type(error).__name__}: {error}"
            self.error = text
            self._finish("out-of-memory" if full else "error")
        if full:
            release_cached_memory()  # not above, where the error still holds on to what was computed
        return None

    # -- what others see --------------------------------------------------------------------------

    def _announce(self) -> None:
        self._write_down(
            begin_event(
                self.around.spec,
                self.spec,
                digest=self.around.instance,
                key=self.key,
                name=self.title,
                role="search" if self.arm is None else "control",
                slot=self.slot,
                attempt=int(self.trial.user_attrs.get("attempt", 0)),
                arm=self.arm,
                tags={**self.around.tags, "worker": self.around.worker, "trial": str(self.trial.number)},
            ),
        )

    def _record(self, update: Update | None) -> None:
        """Write down what is new: the journal gets every point, Optuna the points to compare."""
        assert self.run is not None
        if update is None or update.kind == "blocked":
            return
        may_be_marked = update.rung or update.kind != "segment"  # at rungs, and by drops
        marks = self.run.history.full_points() if may_be_marked else []
        if len(marks) > self._marks and not self.run.finished:
            try:
                self._show(marks)
            except UpdateFinishedTrialError:
                self.lost = True
                return
            self._marks = len(marks)
        if self.run.finished or time.monotonic() - self._wrote > WRITE_SECONDS:
            self._write_points()

    def _write_points(self) -> None:
        """Give the journal what it does not have yet."""
        assert self.run is not None
        live, (n_points, n_drops) = self.run.live, self._sent
        if len(live.points) > n_points or len(live.drops) > n_drops:
            points = live.points[n_points:]
            times = {drop.step for drop in live.drops[n_drops:]} - {p.step for p in points}
            at_drops = [p for p in live.points[:n_points] if p.step in times]  # a drop has its point's time
            self._write_down(metrics_event([*at_drops, *points], live.drops[n_drops:]))
            self._sent = (len(live.points), len(live.drops))
            self._wrote = time.monotonic()

    def _show(self, marks: list[tuple[int, float]]) -> None:
        """The points to compare, for the stop rules of others; with one objective also for Optuna's eyes."""
        self._set_attr("rungs", {"points": marks, "planned_gflops": self._planned_gflops()})
        if len(self.around.spec.objectives) == 1 and self.queue.is_search:
            known = retried(lambda: self.queue.storage.get_trial(self.trial_id)).intermediate_values
            for step, error in marks[self._marks :]:
                if step not in known:
                    retried(partial(self.trial.report, error, step))

    def _planned_gflops(self) -> float | None:
        """Cost at the end: so far, and the rest at the rates of the phases seen so far; None while a phase
        of another rate is still to come."""
        assert self.run is not None
        points, total = self.run.live.points, self.run.total_steps
        rates: dict[str, float] = {}
        for before, after in zip((None, *points), points, strict=False):
            steps = after.step - (before.step if before else 0)
            rates[after.phase] = (after.gflops - (before.gflops if before else 0.0)) / steps
        full = rates["full"]
        last = points[-1]
        rest_sub = sum(
            item.stop - item.start
            for item in self.run.items[self.run.done :]
            if isinstance(item, Segment) and item.phase == "sub"
        )
        if rest_sub and "sub" not in rates:
            return None
        return last.gflops + full * (total - last.step - rest_sub) + rates.get("sub", full) * rest_sub

    def _is_hopeless(self, step: int) -> bool:
        spec = self.around.spec
        if not self.queue.is_search or spec.stop.rule == "none" or "val_error" not in spec.objectives:
            return False
        assert self.run is not None
        several = len(spec.objectives) > 1
        trials = retried(self.queue.trials)
        records = [to_record(t, spec.objectives, spec.base.seed, histories=False) for t in trials]
        others = [
            Other(r.rungs, r.planned_gflops if several else None)
            for r in records
            if r.slot != self.slot and r.rungs and _comparable(r, several)
        ]
        cost = self._planned_gflops() if several else None
        return should_stop(spec.stop, step, self.run.live.points[-1].val_error, cost, others)

    # -- the end ----------------------------------------------------------------------------------

    def _finish(self, outcome: str) -> None:
        """Write the outcome, unless the lease was lost: then somebody else is to write it."""
        self.outcome = outcome
        if not self._holds_lease():
            self.outcome = "lost"
            return
        result = self._result(outcome)
        self._note_states(outcome)
        try:
            self._settle(outcome, result)
        except UpdateFinishedTrialError:  # in this very moment
            self.outcome = "lost"
            return
        self._journal_end(outcome, result)

    def _settle(self, outcome: str, result: Mapping[str, Any]) -> None:
        if outcome == "interrupted":
            retried(lambda: self.queue.give_back(self.trial, result))
            return
        self._set_attr("result", {**result, **self._story(outcome)})
        if outcome == "diverged" and self.queue.is_search:
            self._constrain("finite", 1.0)
        self._tell(outcome)

    def _note_states(self, outcome: str) -> None:
        if self.run is not None:
            passed = set(self.run.names[: self.run.done])
            beginnings = [name for name in self.run.beginnings() if name in passed]
            self.around.store.note(self.around.digest, "beginning", beginnings)
            kind = "beginning" if outcome == "interrupted" else "end"
            self.around.store.note(self.around.digest, "beginning", [self.run.pause_name])
            self.around.store.note(self.around.digest, kind, [self.run.last_name])

    def _story(self, outcome: str) -> dict[str, Any]:
        """The history, and the points to compare; in one attribute with the result, for each costs a
        transaction."""
        if self.run is None or outcome == "interrupted":
            return {}
        history = self.run.history
        cost = self._planned_gflops() if history.points else None
        return {
            "history": pack(history),
            "rungs": {"points": history.full_points(), "planned_gflops": cost},
        }

    def _tell(self, outcome: str) -> None:
        state = TrialState[OUTCOMES[outcome][0]]
        values = self._values() if state == TrialState.COMPLETE else None
        try:
            retried(lambda: self.study.tell(self.trial, values, state=state))
        except ValueError as error:  # finished: by somebody else, unless we were told so too late
            found = retried(lambda: self.queue.storage.get_trial(self.trial_id))
            if not found.state.is_finished():
                raise
            if outcome_of(found) != outcome:
                raise UpdateFinishedTrialError from error

    def _values(self) -> list[float]:
        assert self.run is not None
        last = self.run.live.points[-1]
        values = {"val_error": last.val_error, "train_gflops": last.gflops}
        objectives = self.around.spec.objectives if self.queue.is_search else ("val_error",)
        return [values[name] for name in objectives]

    def _result(self, outcome: str) -> dict[str, Any]:
        result: dict[str, Any] = {
            "outcome": outcome,
            "host": platform.node(),
            "device": describe(self.around.materials.device, self.run.live.how if self.run else ""),
            "versions": {"reprtune": reprtune.__version__, "torch": TORCH_VERSION},
        }
        if self.error is not None:
            result["error"] = self.error
        if self.run is not None:
            points = self.run.live.points
            result |= {
                "seconds_spent": round(self.run.seconds_spent, 3),
                "seconds_alone": round(points[-1].seconds, 3) if points else 0.0,
                "steps_spent": self.run.steps_spent,
                "steps_alone": self.run.live.step_done,
                "state": self.run.last_name,
            }
        return result

    def _journal_end(self, outcome: str, result: Mapping[str, Any]) -> None:
        if outcome == "infeasible":
            return  # never announced
        if self.run is None:
            self._write_down(end_event(outcome, tags={"error": self.error} if self.error else {}))
            return
        self._write_points()
        metrics = {k: result[k] for k in ("seconds_spent", "seconds_alone", "steps_spent", "steps_alone")}
        if self.run.live.points:
            last = self.run.live.points[-1]
            metrics |= {"val_error": last.val_error, "train_gflops": last.gflops}
        tags = {"state": result["state"]} | ({"error": self.error} if self.error else {})
        if outcome != "interrupted":
            page = self.around.plot_page(self.run.history, f"{self.around.spec.name}: {self.title}")
            self._write_down(page)
        if outcome == "complete":
            origin = {"study": self.around.spec.name, "slot": self.key, "outcome": outcome}
            self._write_down(files(from_run(self.run, **origin)))
        self._write_down(end_event(outcome, step=self.run.live.step_done, metrics=metrics, tags=tags))

    def _write_down(self, what: Mapping[str, Any] | str) -> None:
        """Add an event, the page of plots, or the files of the network, to the local journal."""
        journal = self.around.journal
        try:
            if isinstance(what, str):
                journal.artifact(self.key, "plots.html", what)
            elif "event" in what:
                journal.append(self.key, what)
            else:
                journal.artifacts(self.key, "network", what)
        except OSError as error:
            raise TrackingError(
                f"Cannot write the journal in {journal.root}: {error.strerror or error}.",
                "Free some space or name another folder with --runs; the same command then goes on.",
            ) from error

    def _holds_lease(self) -> bool:
        return retried(lambda: self.queue.storage.get_trial(self.trial_id)).state == TrialState.RUNNING

    def _set_attr(self, key: str, value: Any) -> None:
        retried(lambda: self.trial.set_user_attr(key, value))

    def _constrain(self, name: str, value: float) -> None:
        """Say how far the trial is from being feasible; 0 or less = it is."""
        if name not in retried(lambda: self.queue.storage.get_trial(self.trial_id)).constraints:
            retried(lambda: self.trial.set_constraint(name, value))


def _comparable(record: TrialRecord, by_cost: bool) -> bool:
    known = not by_cost or record.planned_gflops is not None
    return known and record.outcome in ("running", "complete", "stopped")
