"""The queue of slots: taken by one worker at a time, given back when its worker is gone.

Every slot of a study is queued in Optuna at create. Here a slot is taken (`take`), the slots of
vanished workers are noticed (`reap`), a worker that has to leave gives its slot back (`give_back`), and
whatever slot has no attempt that counts is queued again (`requeue`). All of it happens under one lock per
database, so that no slot is ever run twice; and each function may be called at any time, by anybody, any
number of times.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from reprtune.errors import StudyError
from reprtune.record.database import experimental_allowed
from reprtune.record.locks import database_lock
from reprtune.record.optuna_private.cached import TrialCache
from reprtune.record.storage import SEED_PREFIX, confirmation_name, controls_name, outcome
from reprtune.spec.edit import changed
from reprtune.spec.older import as_today
from reprtune.spec.study import StudySpec
from reprtune.spec.trial import TrialSpec
from reprtune.stopping.rungs import Other
from reprtune.work.rivals import Rivals
from reprtune.work.samplers import distribution, make_sampler

MAX_LOST = 5  # a slot whose worker vanished so often is left alone
SLOT_ATTRS = ("slot", "arm", "seed", "settings")  # of an attempt, the same for all at its slot
PAUSED = "paused"  # attribute: result and curve of an interrupted attempt, for a slot that may not go on
FAULT = "fault"  # attribute: what the device said when a lost attempt took it from its worker
END_AT_ONCE = 50  # slots ended under one lock, that others need not wait for long


@dataclass
class Queue:
    """The slots of one Optuna study.

    Args:
        storage: opened with a heartbeat. name: of the Optuna study. n_slots: how many there are.
        spec: the study; of its space the search's parameters are drawn.
        role: `search`: parameters are drawn; `controls`; or `confirmation`: a slot's settings stand with it.
    """

    storage: RDBStorage
    name: str
    n_slots: int
    spec: StudySpec
    role: str
    _noticed: set[int] = field(default_factory=set)
    _rivals: Rivals = field(init=False)

    def __post_init__(self) -> None:
        self._cached = TrialCache(self.storage)
        self._rivals = Rivals(self.spec.objectives, self.spec.base.seed)

    @property
    def is_search(self) -> bool:
        return self.role == "search"

    def trial_spec(self, trial: optuna.Trial | FrozenTrial) -> TrialSpec:
        """What is trained in a slot that was taken; of several seeds, the first.

        Raises:
            SpecError: each value drawn is right, but not all of them together.
        """
        attrs = trial.user_attrs
        if self.role == "search":
            return self.spec.trial(trial.params)
        if self.role == "controls":
            return self.spec.control_cells()[attrs["slot"]][2]
        return changed(self.spec.base, {**as_today(attrs["settings"]), "seed": attrs["seed"]})

    def study(self, sampler: BaseSampler | None = None) -> optuna.Study:
        """As Optuna's samplers see it, without histories."""
        return optuna.load_study(
            study_name=self.name, storage=self._cached, sampler=sampler, pruner=optuna.pruners.NopPruner()
        )

    def trials(self) -> list[FrozenTrial]:
        """All attempts at slots, without histories.

        Raises:
            StudyError: the study is gone.
        """
        try:
            study_id = self.storage.get_study_id_from_name(self.name)
        except KeyError:
            raise StudyError(f"The study {self.spec.name!r} has been removed meanwhile.") from None
        return [t for t in self._cached.get_all_trials(study_id, deepcopy=False) if "slot" in t.user_attrs]

    def pending(self) -> int:
        """Slots that are not finished: waiting, running or to be queued again."""
        trials = self.trials()
        done = {t.user_attrs["slot"] for t in trials if t.state.is_finished() and _holds_slot(t)}
        return len(self._slots(trials) - done)

    def _slots(self, trials: list[FrozenTrial]) -> set[int]:
        """All of them: a confirmation may have got further ones since."""
        return {*range(self.n_slots), *(t.user_attrs["slot"] for t in trials)}

    def take(self, worker: str, lease: Mapping[str, Any]) -> optuna.Trial | None:
        """Take the waiting slot with the lowest number, and draw its parameters; None when none waits.

        Its first beat and its lease come before its state: a worker that dies anywhere after is noticed.
        """
        with database_lock(self.storage):
            trials = self.trials()
            waiting = [t for t in trials if t.state == TrialState.WAITING]
            if not waiting:
                return None
            chosen = min(waiting, key=lambda t: (t.user_attrs["slot"], t.number))
            trial_id, slot = chosen._trial_id, chosen.user_attrs["slot"]  # noqa: SLF001 - beats are by id
            taken = (t for t in trials if t.state != TrialState.WAITING and t.user_attrs["slot"] == slot)
            if any(map(_holds_slot, taken)):
                self.storage.set_trial_user_attr(trial_id, "result", {"outcome": "duplicate"})
                self.storage.set_trial_state_values(trial_id, state=TrialState.FAIL)
                return None
            self.storage.record_heartbeat(trial_id)
            self.storage.set_trial_user_attr(trial_id, "lease", {**lease, "worker": worker})
            if not self.storage.set_trial_state_values(trial_id, state=TrialState.RUNNING):
                return None  # a database without our lock: somebody else was first
        return self._drawn(trial_id, slot, trials)  # nobody waits for a sampler that thinks for seconds

    def _drawn(self, trial_id: int, slot: int, trials: list[FrozenTrial]) -> optuna.Trial:
        """The trial with its parameters; those it was queued with or had drawn before are kept."""
        if not self.is_search:
            return optuna.Trial(self.study(), trial_id)
        redraws = sum(t.user_attrs["slot"] == slot and outcome(t).is_redrawn for t in trials)
        with experimental_allowed():
            trial = optuna.Trial(self.study(make_sampler(self.spec, slot, redraws)), trial_id)
            suggest = trial._suggest  # noqa: SLF001 - what Study.ask does
            self.spec.draw(lambda name, range_: suggest(name, distribution(range_)))
        return trial

    def others(self, slot: int, seed: int, with_cost: bool) -> list[Other]:
        """What a stop rule compares the trial in `slot` with: see `Rivals.others`."""
        return self._rivals.others(self.trials(), slot, seed, with_cost)

    def give_back(self, trial: optuna.Trial, result: Mapping[str, Any]) -> None:
        """Queue the slot of a worker that has to leave again, as the same trial with its parameters, so
        that the sampler sees the trials in the order in which they were drawn; a copy keeps the attempt.

        Raises:
            UpdateFinishedTrialError: the slot was given to somebody else already.
        """
        with database_lock(self.storage):
            now = self.storage.get_trial(trial._trial_id)  # noqa: SLF001 - as above
            self.storage.check_trial_is_updatable(trial._trial_id, now.state)  # noqa: SLF001 - as above
            attempt = optuna.trial.create_trial(
                state=TrialState.FAIL,
                params=now.params,
                distributions=now.distributions,
                user_attrs={**now.user_attrs, "result": dict(result)},
            )
            attempt.datetime_start = now.datetime_start
            self.study().add_trial(attempt)
            trial.set_user_attr("attempt", now.user_attrs.get("attempt", 0) + 1)
            self.storage.set_trial_state_values(trial._trial_id, state=TrialState.WAITING)  # noqa: SLF001

    def end_waiting(self, outcome: str) -> int:
        """Give every slot that waits its outcome without training it; the curve of one that was
        interrupted stays. Returns how many. Others may do the same at the same time."""
        n = 0
        while waiting := [t for t in self.trials() if t.state == TrialState.WAITING][:END_AT_ONCE]:
            with database_lock(self.storage):
                for trial in waiting:
                    n += self._end(trial._trial_id, outcome)  # noqa: SLF001 - as above
        return n

    def _end(self, trial_id: int, outcome: str) -> bool:
        now = self.storage.get_trial(trial_id)
        if now.state != TrialState.WAITING:
            return False  # somebody else was first
        before = now.user_attrs.get(PAUSED, {})
        spent = {key: 0 for key in before if key.endswith("_spent")}  # by the attempt that was interrupted
        result = {**before, **spent, "outcome": outcome}
        self.storage.set_trial_user_attr(trial_id, "result", result)
        return self.storage.set_trial_state_values(trial_id, state=TrialState.FAIL)

    def reap(self) -> set[str]:
        """Fail the trials whose worker has not been heard of for the grace period.

        Returns:
            The workers whose slots were taken from them.
        """
        running = [t for t in self.trials() if t.state == TrialState.RUNNING]
        for trial in running:
            if "lease" not in trial.user_attrs and trial.number not in self._noticed:
                # Asked for by something else than `take`, maybe without a beat: from now on it can grow stale.
                self._noticed.add(trial.number)
                self.storage.record_heartbeat(trial._trial_id)  # noqa: SLF001 - heartbeats are by id
        if not running:
            return set()
        with experimental_allowed():
            optuna.storages.fail_stale_trials(self.study())
        numbers = {t.number for t in running}
        lost = [t for t in self.trials() if t.number in numbers and outcome(t) == "lost"]
        return {t.user_attrs["lease"]["worker"] for t in lost if "lease" in t.user_attrs}

    def give_up(self, trial: optuna.Trial, fault: str) -> None:
        """Fail a trial that took the device from its worker: as if the worker had vanished, but now."""
        with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
            trial.set_user_attr(FAULT, fault)
            self.storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)  # noqa: SLF001

    def release_worker(self, worker: str, busy: int | None = None) -> int:
        """Fail at once the trials of a worker that is known to be dead. Returns how many.

        Args:
            busy: id of the trial it was training, where that is known: only that one counts as lost, for the
                others only waited in it.
        """
        n = 0
        for trial in self.trials():
            lease, trial_id = trial.user_attrs.get("lease", {}), trial._trial_id  # noqa: SLF001 - as above
            if trial.state == TrialState.RUNNING and lease.get("worker") == worker:
                with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
                    if busy is not None and trial_id != busy:
                        self.storage.set_trial_user_attr(trial_id, "result", {"outcome": "interrupted"})
                    self.storage.set_trial_state_values(trial_id, state=TrialState.FAIL)
                    n += 1
        return n

    def requeue(self) -> int:
        """Queue again every slot that has no attempt which counts; a slot whose parameters were drawn
        keeps them, and so continues from its last state. Returns how many."""
        with database_lock(self.storage):
            trials = self.trials()
            study = self.study()
            covered = {t.user_attrs["slot"] for t in trials if _holds_slot(t)}
            missing = sorted(self._slots(trials) - covered)
            for slot in missing:
                attempts = sorted((t for t in trials if t.user_attrs["slot"] == slot), key=_ended)
                if sum(outcome(t) == "lost" for t in attempts) >= MAX_LOST:
                    study.add_trial(self._given_up(slot, self._whole(attempts[-1])))
                    continue
                last = self._whole(attempts[-1]) if attempts else None
                keep = last is not None and not outcome(last).is_redrawn
                params = dict(last.params) if last is not None and keep else {}
                attrs = self._slot_attrs(slot, last, keep) | {"attempt": len(attempts)}
                study.enqueue_trial(params, user_attrs=attrs)
        return len(missing)

    def _whole(self, trial: FrozenTrial) -> FrozenTrial:
        """With the histories of the seeds it has finished."""
        return self.storage.get_trial(trial._trial_id)  # noqa: SLF001 - as above

    def _given_up(self, slot: int, last: FrozenTrial) -> FrozenTrial:
        """An attempt that says why there will be no other."""
        why = last.user_attrs.get(FAULT, "killed for memory?")
        error = f"given up: its worker vanished {MAX_LOST} times ({why})"
        result = {"outcome": "error", "error": error}
        return optuna.trial.create_trial(
            state=TrialState.FAIL,
            params=last.params,
            distributions=last.distributions,
            user_attrs={
                **self._slot_attrs(slot, last),
                "lease": last.user_attrs.get("lease", {}),
                "result": result,
            },
        )

    def _slot_attrs(self, slot: int, last: FrozenTrial | None, keep_seeds: bool = True) -> dict[str, Any]:
        """What says which slot an attempt is at, and the seeds that are finished; `last` is the one before."""
        if last is not None:
            attrs = last.user_attrs.items()
            return {k: v for k, v in attrs if k in SLOT_ATTRS or (keep_seeds and k.startswith(SEED_PREFIX))}
        if self.role == "search":
            return {"slot": slot}
        arm, seed, _ = self.spec.control_cells()[slot]
        return {"slot": slot, "arm": arm, "seed": seed}


def _holds_slot(trial: FrozenTrial) -> bool:
    """Does the attempt use its slot up, or may it still do so?"""
    return outcome(trial).holds_slot


def _ended(trial: FrozenTrial) -> float:
    """When; a trial that was given back has a smaller number than the copy that keeps its attempt."""
    return trial.datetime_complete.timestamp() if trial.datetime_complete else 0.0


def queues(storage: RDBStorage, spec: StudySpec, *, confirms: bool = False) -> list[Queue]:
    """The controls first, for everything is compared with them, then the search; or the confirmation."""
    if confirms:
        return [confirmation_queue(storage, spec)]
    n_controls = len(spec.control_cells())
    return [
        Queue(storage, controls_name(spec.name), n_controls, spec, "controls"),
        Queue(storage, spec.name, spec.slots, spec, "search"),
    ]


def confirmation_queue(storage: RDBStorage, spec: StudySpec) -> Queue:
    """The slots of a confirmation that was queued (`record.storage.queue_confirmation`)."""
    name = confirmation_name(spec.name)
    slots = {t.user_attrs["slot"] for t in optuna.load_study(study_name=name, storage=storage).trials}
    return Queue(storage, name, len(slots), spec, "confirmation")
