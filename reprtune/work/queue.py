"""The queue of a section's slots: taken by one worker at a time, given back when its worker is gone.

Every slot is queued in Optuna (`study.queueing`). Here a slot is taken (`take`), the slots of vanished workers are
noticed (`reap`), and a worker that has to leave gives its slot back (`give_back`). All of it happens under one lock
per study, so that no slot is ever run twice; and each function may be called at any time, by anybody, any
number of times.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, cast

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from reprtune.analysis.standard_curve import steps_per_epoch_of
from reprtune.record.database import experimental_allowed
from reprtune.record.optuna_private.drawing import DrawnAtOnce
from reprtune.record.optuna_private.trials import stale_trial_ids, suggest, trial_id
from reprtune.record.outcomes import Outcome
from reprtune.record.schema import StudyRecord
from reprtune.record.storage import section_study
from reprtune.record.trials import FIRST_SEED, REPEATS, SETTING, arm_settings, outcome
from reprtune.record.view import StudyView
from reprtune.spec.codec import digest
from reprtune.spec.edit import changed
from reprtune.spec.sections.section import REPEATS_FROM
from reprtune.spec.study import AnySection, StudySpec
from reprtune.spec.trial import TrialSpec
from reprtune.stopping.curves import Rival
from reprtune.stopping.standard import StandardCurve
from reprtune.study.queueing import FAULT, holds_slot
from reprtune.work.beginnings import Beginnings
from reprtune.work.lease import beating
from reprtune.work.rivals import RivalCurves
from reprtune.work.samplers import distribution, make_sampler
from reprtune.work.standard_runs import StandardRuns

MAX_REDRAWS = 10  # of a slot whose settings another slot has; then they are trained with other seeds
PAUSED = "paused"  # attribute: result and curve of an interrupted attempt, for a slot that may not go on
END_AT_ONCE = 50  # slots ended under one lock, that others need not wait for long


@dataclass
class Queue:
    """The slots of one section.

    Args:
        view: of the study. spec: the study; of its space parameters are drawn.
    """

    view: StudyView
    spec: StudySpec
    section: AnySection
    _noticed: set[int] = field(default_factory=set)
    _digests: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.storage = self.view.storage
        self.name = section_study(self.spec, self.section)

    @cached_property
    def _steps_per_epoch(self) -> int:
        return steps_per_epoch_of(self.view.header())

    @cached_property
    def _lease(self) -> tuple[int, int]:
        return self.view.header().lease

    @cached_property
    def _beginnings(self) -> Beginnings:
        steps = self._steps_per_epoch
        return Beginnings(self.trial_spec, steps, partial(self.spec.first_drops, steps))

    @cached_property
    def _rivals(self) -> RivalCurves:
        return RivalCurves(self.spec, self.section, self._steps_per_epoch)

    @cached_property
    def _standard(self) -> StandardRuns:
        return StandardRuns(self.view, self.spec, self._steps_per_epoch)

    def trial_spec(self, trial: optuna.Trial | FrozenTrial) -> TrialSpec:
        """What is trained in a slot that was taken; of several seeds, the first.

        Raises:
            SpecError: each value drawn is right, but not all of them together.
        """
        attrs = trial.user_attrs
        if not self.section.is_drawn:
            return changed(self.spec.base, {**arm_settings(attrs, self.spec), "seed": attrs["seed"]})
        spec = self.spec.trial(trial.params)
        return changed(spec, {"seed": attrs[FIRST_SEED]}) if FIRST_SEED in attrs else spec

    def study(self, sampler: BaseSampler | None = None, storage: BaseStorage | None = None) -> optuna.Study:
        """As Optuna's samplers see it, without histories."""
        return optuna.load_study(
            study_name=self.name,
            storage=storage or self.view.cached,
            sampler=sampler,
            pruner=optuna.pruners.NopPruner(),
        )

    def trials(self) -> list[FrozenTrial]:
        """All attempts at slots, without histories.

        Raises:
            StudyError: the study is gone.
        """
        return self.view.frozen(self.spec, self.section)

    def take(self, worker: str, lease: Mapping[str, Any], *, apart: bool = False) -> optuna.Trial | None:
        """Take a waiting slot, and draw its parameters; None when none waits, or when the draw took so long that others
        have ended it. Of those whose first steps the fewest others train now, the one with the lowest number.

        Its first beat and its lease come before its state: a worker that dies anywhere after is noticed.

        Args:
            apart: only one whose first steps nobody else trains now.
        """
        if self._next(self.trials(), apart=apart) is None:  # nobody is locked out to find that
            return None
        with self.view.lock():
            trials = self.trials()
            chosen = self._next(trials, apart=apart)
            if chosen is None:
                return None
            taken_id, slot = trial_id(chosen), chosen.user_attrs["slot"]
            taken = [t for t in trials if t.state != TrialState.WAITING and t.user_attrs["slot"] == slot]
            repaired = self.view.repaired(self.section.name) if taken else ()
            if any(holds_slot(t) and t.number not in repaired for t in taken):
                self.storage.set_trial_user_attr(taken_id, "result", {"outcome": "duplicate"})
                self.storage.set_trial_state_values(taken_id, state=TrialState.FAIL)
                return None
            self.storage.record_heartbeat(taken_id)
            self.storage.set_trial_user_attr(taken_id, "lease", {**lease, "worker": worker})
            if not self.storage.set_trial_state_values(taken_id, state=TrialState.RUNNING):
                return None  # a database without our lock: somebody else was first
        try:  # nobody waits for a sampler that thinks for seconds
            with beating(self.storage, taken_id, self._lease[0]):
                return self._drawn(taken_id, slot, trials)
        except optuna.exceptions.UpdateFinishedTrialError:
            return None

    def _next(self, trials: Sequence[FrozenTrial], *, apart: bool) -> FrozenTrial | None:
        waiting = [t for t in trials if t.state == TrialState.WAITING]
        if self.section.is_drawn or not waiting:
            return min(waiting, key=_in_order, default=None)
        taken = self._beginnings.taken(t for t in trials if t.state == TrialState.RUNNING)
        waiting.sort(key=lambda t: (taken[self._beginnings.ahead(t)], *_in_order(t)))
        return None if apart and taken[self._beginnings.ahead(waiting[0])] else waiting[0]

    def _drawn(self, taken_id: int, slot: int, trials: list[FrozenTrial]) -> optuna.Trial:
        """The trial with its parameters; those it was queued with or had drawn before are kept."""
        if not self.section.is_drawn:
            return optuna.Trial(self.study(), taken_id)
        redraws = sum(t.user_attrs["slot"] == slot and outcome(t).is_redrawn for t in trials)
        drawn = DrawnAtOnce(self.view.cached)
        with experimental_allowed():
            trial = optuna.Trial(
                self.study(make_sampler(self.spec, slot, redraws), cast(BaseStorage, drawn)), taken_id
            )
            self.spec.draw(lambda name, range_: suggest(trial, name, distribution(range_)))
        drawn.write(self.storage, trial)
        return trial

    # -- settings that were drawn before ------------------------------------------------------------

    def admits(self, trial: optuna.Trial) -> bool:
        """Whether a slot that was drawn is to be trained. A setting that another slot has is drawn anew,
        `MAX_REDRAWS` times; then it is trained with further seeds, which no confirmation ever has."""
        if not self.section.is_drawn or SETTING in trial.user_attrs:
            return True
        own, slot = digest(self.spec.trial(trial.params)), trial.user_attrs["slot"]
        with self.view.lock():
            trials = self.trials()
            same = sorted(
                {
                    t.user_attrs["slot"]
                    for t in trials
                    if t.user_attrs["slot"] != slot and self._setting(t) == own
                }
            )
            if same and self._may_draw_another(slot, trials):
                return False
            if same:
                first_seed = REPEATS_FROM + (len(same) - 1) * len(self.spec.trial_seeds())
                trial.set_user_attr(REPEATS, same[0])
                trial.set_user_attr(FIRST_SEED, first_seed)
            trial.set_user_attr(SETTING, own)
        return True

    def _may_draw_another(self, slot: int, trials: list[FrozenTrial]) -> bool:
        """Whether it is worth drawing anew: not after so many times, and not where every setting is taken."""
        in_vain = sum(t.user_attrs["slot"] == slot and outcome(t) == Outcome.REPEATED for t in trials)
        known = {self._setting(t) for t in trials} - {""}
        return in_vain < MAX_REDRAWS and len(known) < self.spec.draws.most_settings

    def _setting(self, trial: FrozenTrial) -> str:
        """Digest of what a slot is trained with; empty where that is not known or admitted yet. A slot whose worker
        has vanished keeps it, for it goes on with it. Older versions admitted everything."""
        if SETTING in trial.user_attrs:
            return str(trial.user_attrs[SETTING])
        if not trial.state.is_finished() or not trial.params or not holds_slot(trial):
            return ""
        if trial.number not in self._digests:
            self._digests[trial.number] = digest(self.spec.trial(trial.params))
        return self._digests[trial.number]

    def rivals(self, slot: int, seed: int, with_cost: bool) -> list[Rival]:
        """What a stop rule compares the trial in `slot` with: see `RivalCurves.against`. Not with an attempt that
        was repaired, for the one after it has its finished seeds."""
        repaired = self.view.repaired(self.section.name)
        trials = [trial for trial in self.trials() if trial.number not in repaired]
        return self._rivals.against(trials, slot, seed, with_cost)

    def standard(self) -> StandardCurve | None:
        """The curve of plain training, by which a stop rule compares: see `StandardRuns`."""
        return self._standard.curve()

    def tell(self, trial: optuna.Trial, outcome_now: str, values: Sequence[float] | None) -> None:
        """End a trial; nothing happens where it has ended so.

        Raises:
            UpdateFinishedTrialError: it has ended otherwise: somebody else has its slot.
        """
        try:
            self.study().tell(trial, values, state=TrialState[Outcome(outcome_now).state])
        except ValueError as error:  # finished: by somebody else, unless we were told so too late
            found = self.storage.get_trial(trial_id(trial))
            if not found.state.is_finished():
                raise
            if outcome(found) != outcome_now:
                raise optuna.exceptions.UpdateFinishedTrialError from error

    def constrain(self, trial: optuna.Trial, name: str, value: float) -> None:
        """Say how far a trial is from being feasible; 0 or less = it is."""
        if name not in self.storage.get_trial(trial_id(trial)).constraints:
            trial.set_constraint(name, value)

    def give_back(self, trial: optuna.Trial, result: Mapping[str, Any]) -> None:
        """Queue the slot of a worker that has to leave again, as the same trial with its parameters, so
        that the sampler sees the trials in the order in which they were drawn; a copy keeps the attempt.

        Raises:
            UpdateFinishedTrialError: the slot was given to somebody else already.
        """
        with self.view.lock():
            now = self.storage.get_trial(trial_id(trial))
            self.storage.check_trial_is_updatable(trial_id(trial), now.state)
            attempt = optuna.trial.create_trial(
                state=TrialState.FAIL,
                params=now.params,
                distributions=now.distributions,
                user_attrs={**now.user_attrs, "result": dict(result)},
            )
            attempt.datetime_start = now.datetime_start
            self.study().add_trial(attempt)
            trial.set_user_attr("attempt", now.user_attrs.get("attempt", 0) + 1)
            self.storage.set_trial_state_values(trial_id(trial), state=TrialState.WAITING)

    def end_waiting(self, outcome: str) -> int:
        """Give every slot that waits its outcome without training it; the curve of one that was
        interrupted stays. Returns how many. Others may do the same at the same time."""
        n = 0
        while waiting := [t for t in self.trials() if t.state == TrialState.WAITING][:END_AT_ONCE]:
            with self.view.lock():
                for trial in waiting:
                    n += self._end(trial_id(trial), outcome)
        return n

    def _end(self, waiting: int, outcome: str) -> bool:
        now = self.storage.get_trial(waiting)
        if now.state != TrialState.WAITING:
            return False  # somebody else was first
        before = now.user_attrs.get(PAUSED, {})
        spent = {key: 0 for key in before if key.endswith("_spent")}  # by the attempt that was interrupted
        result = {**before, **spent, "outcome": outcome}
        self.storage.set_trial_user_attr(waiting, "result", result)
        return self.storage.set_trial_state_values(waiting, state=TrialState.FAIL)

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
                self.storage.record_heartbeat(trial_id(trial))
        if not running:
            return set()
        for stale in stale_trial_ids(
            self.storage, self.storage.get_study_id_from_name(self.name), self._lease[1]
        ):
            with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):  # by another one
                self.storage.set_trial_state_values(stale, state=TrialState.FAIL)
        numbers = {t.number for t in running}
        lost = [t for t in self.trials() if t.number in numbers and outcome(t) == "lost"]
        return {t.user_attrs["lease"]["worker"] for t in lost if "lease" in t.user_attrs}

    def give_up(self, trial: optuna.Trial, fault: str) -> None:
        """Fail a trial that took the device from its worker: as if the worker had vanished, but now."""
        with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
            trial.set_user_attr(FAULT, fault)
            self.storage.set_trial_state_values(trial_id(trial), state=TrialState.FAIL)

    def release_worker(self, worker: str, busy: int | None = None) -> int:
        """Fail at once the trials of a worker that is known to be dead. Returns how many.

        Args:
            busy: id of the trial it was training, where that is known: only that one counts as lost, for the
                others only waited in it.
        """
        n = 0
        for trial in self.trials():
            lease, held = trial.user_attrs.get("lease", {}), trial_id(trial)
            if trial.state == TrialState.RUNNING and lease.get("worker") == worker:
                with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
                    if busy is not None and held != busy:
                        self.storage.set_trial_user_attr(held, "result", {"outcome": "interrupted"})
                    self.storage.set_trial_state_values(held, state=TrialState.FAIL)
                    n += 1
        return n


def _in_order(trial: FrozenTrial) -> tuple[int, int]:
    return trial.user_attrs["slot"], trial.number


def queues(view: StudyView, study: StudyRecord | None = None, known: Sequence[Queue] = ()) -> list[Queue]:
    """The queue of every section, in the order in which they are worked on.

    Args:
        study: as it is now, where that is known.
        known: queues of before; those whose section is as it was are kept, with what they have noticed.
    """
    spec = (study or view.header()).spec
    return [
        next((queue for queue in known if queue.section == section), None) or Queue(view, spec, section)
        for section in spec.sections
    ]
