"""One attempt at one slot: the only place where training, Optuna and the tracking journal meet."""

from __future__ import annotations

import platform
from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import optuna
from optuna.exceptions import UpdateFinishedTrialError

import reprtune
from reprtune.errors import DataError, SpecError, StateError, StorageError
from reprtune.passwords import hide
from reprtune.record.database import retried
from reprtune.record.labels import label
from reprtune.record.optuna_private.trials import trial_id
from reprtune.record.outcomes import Outcome
from reprtune.record.trials import FIRST_SEED, seed_attr, stored_seeds
from reprtune.spec.objectives import ERROR
from reprtune.spec.study import AnySection
from reprtune.spec.trial import TrialSpec
from reprtune.training.chain.chain import Advance, Chain
from reprtune.training.chain.trial_networks import Interrupted
from reprtune.training.descent.cuda_graph import CaptureFailed
from reprtune.training.platform.device import TORCH_VERSION, is_out_of_memory, release_cached_memory
from reprtune.training.platform.device_faults import fault, first_line
from reprtune.work.context import WorkerContext
from reprtune.work.early_stop import is_hopeless
from reprtune.work.lease import Lease
from reprtune.work.process import Left, MustLeave
from reprtune.work.queue import PAUSED, Queue
from reprtune.work.run_journal import RunJournal
from reprtune.work.seed_training import SeedTraining
from reprtune.work.seeds import known_costs, mean_objectives, mean_points, mean_values, total_costs
from reprtune.work.uncapturable import network_key


class Attempt:
    """A slot that was taken, from its first step to its outcome, with one seed after the other.

    Seeds that an earlier attempt has finished are in the record, and are not trained again. Call `advance`
    until `outcome` is set; between two calls the worker may do something else.

    Raises:
        MustLeave: from `begin` and `advance`: the device is lost, or a step could not be captured. Nothing more
            may be asked of the device; what becomes of the slot is up to the worker.
    """

    def __init__(self, trial: optuna.Trial, queue: Queue, context: WorkerContext) -> None:
        self.trial, self.queue, self.context = trial, queue, context
        self.trial_id = trial_id(trial)
        self.slot = int(trial.user_attrs["slot"])
        self.arm: str | None = trial.user_attrs.get("arm")
        self.outcome: str | None = None
        self.lease = Lease(queue.storage, self.trial_id, context.leaving)
        self.error: str | None = None
        self._computed, self._computes = 0, False  # how often something was computed for it; is it now?
        self._begin_with(self._specs())

    def _begin_with(self, specs: list[TrialSpec]) -> None:
        """Take up what its seeds have to train."""
        trial, context = self.trial, self.context
        self.specs, self.n_seeds = specs, len(specs)
        self.earlier = [{**s, "costs": known_costs(s["costs"])} for s in stored_seeds(trial.user_attrs)]
        self._left = specs[len(self.earlier) :]
        role = self.section.role
        self.key = f"{role}-{self.slot:04d}" if self.arm is None else f"{role}-{self.arm}-s{specs[0].seed}"
        # With several seeds: the slot's own run, which holds the means.
        self.whole = RunJournal(context, self.key, self.title) if self.n_seeds > 1 else None
        self.now = self._training()

    def _specs(self) -> list[TrialSpec]:
        """What is trained, for each seed."""
        try:
            spec = self.queue.trial_spec(self.trial)
        except SpecError as error:  # each value is right, but not all of them together
            self.error = error.message
            spec = self.context.spec.base
        return [replace(spec, seed=seed) for seed in self.section.trial_seeds(spec.seed)]

    def _training(self) -> SeedTraining:
        """Of the next seed."""
        spec = self._left.pop(0)
        if self.whole is None:
            return SeedTraining(spec, self.context, RunJournal(self.context, self.key, self.title))
        key, title = f"{self.key}-s{spec.seed}", f"{self.title}, seed {spec.seed}"
        return SeedTraining(spec, self.context, RunJournal(self.context, key, title, self.key))

    @property
    def section(self) -> AnySection:
        """The section that the slot belongs to."""
        return self.queue.section

    @property
    def title(self) -> str:
        return label(self.slot, self.arm, self.trial.user_attrs.get("seed", 0))

    @property
    def shown_error(self) -> float | None:
        """Told at the end: of a complete trial the mean over its seeds, else the last evaluation of its seed."""
        seeds = [*self.earlier, self.now.values()] if self.outcome == "complete" else [self.now.values()]
        return mean_values(seeds).get(ERROR)

    @property
    def spec(self) -> TrialSpec:
        """Of the seed that is trained."""
        return self.now.spec

    @property
    def run(self) -> Chain | None:
        """Of the seed that is trained; None where it could not be built."""
        return self.now.run

    def progress(self) -> dict[str, Any] | None:
        """For the record, asked by another thread; None before its network is built."""
        return self.now.progress()

    def pulse(self) -> Hashable:
        """Another one whenever it has got on, asked by another thread; None while nothing is computed."""
        return (self.trial_id, self._computed, self.now.pulse()) if self._computes else None

    def epoch_seconds(self) -> float:
        """Of an epoch at the speed of the seed so far; 0 before its first step."""
        return self.now.epoch_seconds()

    def steps(self) -> tuple[int, int]:
        """Done, and all there are, of its seeds together, which are equally long."""
        run = self.now.done
        return len(self.earlier) * run.total_steps + run.networks.step_done, self.n_seeds * run.total_steps

    def begin(self) -> None:
        """Refuse what does not fit, else announce the run and build the network."""
        try:
            self._begin()
        except UpdateFinishedTrialError:  # by others, since it was taken
            self.outcome = "lost"

    def _begin(self) -> None:
        excess, broken = self.spec.excess_steps(self.context.steps_per_epoch), self.error is not None
        total = self.spec.after.training.total.steps(self.context.steps_per_epoch)
        if self.section.is_drawn:
            retried(partial(self.queue.constrain, self.trial, "fits", 1.0 if broken else excess / total))
        if broken or excess > 0:
            self._refuse(excess)
            return
        if not retried(lambda: self.queue.admits(self.trial)):
            self._finish("repeated")
            return
        if FIRST_SEED in self.trial.user_attrs and not self.earlier:
            self._begin_with(self._specs())  # with other seeds than were expected
        if self.whole is not None:
            self.whole.tags = {"seed": ", ".join(str(spec.seed) for spec in self.specs)}
            self._announce(self.whole, self.section.role, self.specs[0])  # the same in every attempt
        self._begin_seed()

    def _refuse(self, excess: int) -> None:
        """A draw that does not fit is drawn again; an arm would only be the same again."""
        if not self.section.is_drawn:
            self.error = self.error or f"its schedule is {excess} steps longer than the total"
            self._announce(self.now.journal, self.section.role)
        self._finish("infeasible" if self.section.is_drawn else "error")

    def _begin_seed(self) -> None:
        self._announce(self.now.journal, self.section.role if self.whole is None else "seed")
        self._guarded(partial(self.now.build, self.lease.must_stop))

    def _announce(self, journal: RunJournal, role: str, spec: TrialSpec | None = None) -> None:
        n, number, spec = int(self.trial.user_attrs.get("attempt", 0)), self.trial.number, spec or self.spec
        journal.begin(spec, role=role, slot=self.slot, attempt=n, arm=self.arm, number=number)

    def advance(self) -> Advance | None:
        """Train one segment, or do one event; None when the attempt has come to its outcome."""
        if self.outcome is not None or self.run is None:
            return None
        if self.section.is_drawn and retried(self.context.budget.is_used_up):
            self._finish_early("over-budget")
            return None
        update = self._train()
        if self.outcome is None and self.lease.lost:
            self.outcome = "lost"  # somebody else has the slot now: leave quietly
        if self.outcome is not None:
            return None
        self._record(update)
        if self.lease.lost:
            self.outcome = "lost"
        elif self.run.diverged:
            self._finish("diverged")
        elif self.run.finished:
            self._finish_seed()
        elif (
            update is not None and update.rung and is_hopeless(self.queue, self.trial, self.now, update.step)
        ):
            self._finish_early("stopped")
        return update

    def _train(self) -> Advance | None:
        try:
            update: Advance | None = self._guarded(self.now.advance)
        finally:  # also where a full disk ends it
            if self.section.is_drawn:
                retried(partial(self.context.budget.add, *self.now.newly_spent()))
        return update

    def suspend(self) -> None:
        """Give the slot back; whoever takes it continues from the last state. Asks nothing of the device."""
        if self.outcome is None:
            self._finish("interrupted")

    def lose(self, fault: str) -> None:
        """Give the slot up as if the worker had vanished: it took its device, and may do so again. Asks nothing
        of the device."""
        if self.outcome is None:
            self.outcome = "lost"
            retried(lambda: self.queue.give_up(self.trial, fault))
            self.now.note_states("interrupted")
            self.now.close()

    def hang(self, reason: str, stack: str) -> None:
        """End it from another thread, while its own stands still for ever. Asks nothing of the device."""
        self.outcome, self.error = "hung", reason
        try:
            self._settle("hung", self._result("hung"))
        except UpdateFinishedTrialError:
            self.outcome = "lost"
            return
        self.now.journal.keep_text("stack.txt", stack)
        self._end_journals("hung")

    def _guarded(self, call: Callable[[], Any]) -> Any:
        """Turn what may go wrong in training into an outcome."""
        full = False
        try:
            return self._compute(call)
        except Interrupted:
            if not self.lease.lost:
                self.suspend()
        except (DataError, StateError, StorageError):
            self.suspend()  # a full disk, missing data: not this trial's fault; the worker reports it
            raise
        except CaptureFailed as error:
            raise self._must_leave("capture", first_line(error.__cause__ or error)) from error
        except Exception as error:  # whatever training raises is this trial's outcome
            if (reason := fault(self.context.loaded_data.device)) is not None:
                raise self._must_leave("device", reason) from error
            full = is_out_of_memory(error)
            text = str(error).splitlines()[0] if full and str(error) else f"{type(error).__name__}: {error}"
            self.error = hide(text)
            error.__traceback__ = None  # whoever keeps the error keeps no network by it
            self._finish("out-of-memory" if full else "error")
        if full:
            release_cached_memory()  # not above, where the error still holds on to what was computed
        return None

    def _compute(self, call: Callable[[], Any]) -> Any:
        self._computed, self._computes = self._computed + 1, True
        try:
            return call()
        finally:
            self._computes = False

    def _must_leave(self, why: Literal["device", "capture"], reason: str) -> MustLeave:
        device = str(self.context.loaded_data.device)
        return MustLeave(Left(why, reason, device, network_key(self.spec), began=True))

    # -- what others see --------------------------------------------------------------------------

    def _record(self, update: Advance | None) -> None:
        """Write down what is new: the journal gets every point, Optuna the points to compare."""
        if update is None or update.kind == "blocked":
            return
        comparable_points = self.now.new_comparable_points(update)
        if comparable_points and not self.now.done.finished:
            try:
                self._show(comparable_points)
            except UpdateFinishedTrialError:
                self.lease.lost = True
                return
            self.now.n_recorded_points = len(comparable_points)
        self.now.journal.write_points(self.now.done, at_once=self.now.done.finished)

    def _show(self, comparable_points: list[tuple[int, float]]) -> None:
        """The points to compare, for the stop rules of others; where errors alone count also for Optuna's eyes."""
        self._set_attr("rungs", self._seeded(self.now.rungs(comparable_points)))
        # Optuna has one value per step, and so one seed's: the first, which every trial has trained.
        if self.section.objectives == (ERROR,) and self.section.is_drawn and not self.earlier:
            known = retried(lambda: self.queue.storage.get_trial(self.trial_id)).intermediate_values
            for step, error in comparable_points[self.now.n_recorded_points :]:
                if step not in known:
                    retried(partial(self.trial.report, error, step))

    def _seeded(self, rungs: dict[str, Any]) -> dict[str, Any]:
        """Says which of several seeds they are of."""
        return rungs if self.n_seeds == 1 else {**rungs, "seed": self.spec.seed}

    # -- the end ----------------------------------------------------------------------------------

    def _finish_seed(self) -> None:
        """Go on with the next seed, or end after the last one."""
        if not self._left:
            if self.section.measures_test and not self.section.is_try(self.arm):
                self._guarded(self.now.measure_test)
            if self.outcome is None:
                self._finish("complete")
            return
        stored = {**self.now.stored(), "rungs": self._seeded(self.now.story()["rungs"])}
        self.now.note_states("complete")
        try:
            self._set_attr(seed_attr(self.spec.seed), stored)
        except UpdateFinishedTrialError:
            self.outcome = "lost"
            return
        self.now.end_journal("complete", None)
        self.now.close()
        self.earlier.append(stored)
        self.now = self._training()
        self._begin_seed()

    def _finish_early(self, outcome: str) -> None:
        """Keep the state it has come to, and end."""
        self._guarded(self.now.done.keep_state)
        if self.outcome is None:
            self._finish(outcome)

    def _finish(self, outcome: str) -> None:
        """Write the outcome, unless the lease was lost: then somebody else is to write it."""
        self.outcome = outcome
        if not retried(self.lease.is_held):
            self.outcome = "lost"
            return
        result = self._result(outcome)
        self.now.note_states(outcome)
        try:
            self._settle(outcome, result)
        except UpdateFinishedTrialError:
            self.outcome = "lost"  # in this very moment
            return
        if not Outcome(outcome).is_redrawn:  # which was never announced
            self._end_journals(outcome)
        self.now.close()

    def _settle(self, outcome: str, result: Mapping[str, Any]) -> None:
        story = self._story()
        if outcome == "interrupted":
            if self.context.budget.is_limited and story:
                self._set_attr(PAUSED, {**result, **story})
            retried(lambda: self.queue.give_back(self.trial, result))
            return
        self._set_attr("result", {**result, **story})
        if outcome == "diverged" and self.section.is_drawn:
            retried(partial(self.queue.constrain, self.trial, "finite", 1.0))
        is_complete, seeds = Outcome(outcome).state == "COMPLETE", [*self.earlier, self.now.values()]
        values = mean_objectives(seeds, self.section.objectives) if is_complete else None
        retried(lambda: self.queue.tell(self.trial, outcome, values))

    def _story(self) -> dict[str, Any]:
        """Curve and points to compare; before anything was trained or found, those of an earlier attempt."""
        story = self.now.story()
        if not story or not self.now.done.networks.points:
            before = self.trial.user_attrs.get(PAUSED, {})
            return {key: before[key] for key in ("history", "rungs") if key in before} or story
        return {**story, "rungs": self._seeded(story["rungs"])}

    def _result(self, outcome: str) -> dict[str, Any]:
        run, how = self.run, self.run.networks.how if self.run else ""
        own = {} if run is None else {"state": run.last_name, "step": run.networks.step_done}
        measured = {} if run is None else {**self.now.values(), **self.now.test}
        return {
            "outcome": outcome,
            "host": platform.node(),
            "ended": self.now.ended,
            "device": ", ".join(filter(None, (self.context.device, how))),
            "versions": {"reprtune": reprtune.__version__, "torch": TORCH_VERSION},
            "code": self.context.code,
            **({} if self.error is None else {"error": self.error}),
            **(self._costs() if run is not None or self.earlier else {}),
            **own,
            **measured,
        }

    def _costs(self) -> dict[str, float]:
        return total_costs([*(seed["costs"] for seed in self.earlier), self.now.costs()])

    def _end_journals(self, outcome: str) -> None:
        self.now.end_journal(outcome, self.error)
        if self.whole is None:
            return
        seeds = [*self.earlier, self.now.values()] if outcome == "complete" else self.earlier
        if outcome == "complete":
            histories = [seed["history"] for seed in (*self.earlier, self.now.story())]
            self.whole.write_metrics(mean_points(histories))
        tags, metrics = {"error": self.error} if self.error else {}, {**self._costs(), **mean_values(seeds)}
        step = self.run.networks.step_done if self.run else 0
        self.whole.end(outcome, step=step, metrics=metrics, tags=tags, now=self.now.ended)

    def _set_attr(self, key: str, value: Any) -> None:
        retried(lambda: self.trial.set_user_attr(key, value))
