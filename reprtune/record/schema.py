"""A study and its trials as frozen values: all that reports, status and stop rules look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reprtune.history import CURVES, History, Point
from reprtune.record.outcomes import Outcome, counted
from reprtune.settings import lease_seconds
from reprtune.spec import objectives
from reprtune.spec.designs.arm import Arm
from reprtune.spec.sections.arms import Arms
from reprtune.spec.study import StudySpec


@dataclass(frozen=True, kw_only=True)
class SeedRun:
    """The training of a trial with one seed.

    Attributes:
        seed: the seed. history: None while it runs.
        measured: every objective at its last evaluation, by name; empty before the first, and where neither the
            record nor its `history` has it.
        rungs: (step, error) where it could be compared.
        planned_gflops: what it costs when it goes to the end; None before its first drop.
        stretches: (first step, course) of its learning rate, as `stopping.stretches` has them; None in records of before.
        state: name of its last state; empty while it runs.
        test_error: of arms and of a confirmation, at the end, where the data have a test part; else None.
        code: short digest of the code it ran under; empty where that is not written down.
        costs: what was spent on it (as in a trial's `result`); empty for a trial's last seed.
        step, ended: optimizer steps done, and when it ended (seconds since 1970); None while it runs, and in older records.
    """

    seed: int
    history: History | None = None
    measured: Mapping[str, float] = field(default_factory=dict)
    rungs: tuple[tuple[int, float], ...] = ()
    planned_gflops: float | None = None
    stretches: tuple[tuple[int, str], ...] | None = None
    state: str = ""
    test_error: float | None = None
    code: str = ""
    costs: Mapping[str, float] = field(default_factory=dict)
    step: int | None = None
    ended: float | None = None


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One attempt at a slot.

    Attributes:
        section: name of the section that it belongs to.
        number: Optuna's trial number, which counts in a section. slot: the logical trial it is an attempt at.
        arm: name of the arm, in a confirmation also `slot-N`, a leader; None where a sampler drew its settings.
        seed: the seed it is at, or ended with: the last of those it has begun.
        outcome: what became of it; its word is taken too.
        params: what the sampler drew (name -> value in Optuna); empty for arms.
        settings: of an arm, what differs from the base (path of the trial specification -> plain value); None
            where a sampler drew it.
        repeats: the slot whose settings it has drawn again, and trains with other seeds; None for all others.
        attempt: how many others were begun at its slot before it.
        repaired: does it count no more, because its slot was queued again?
        values: the study's objectives by name, means over its seeds; None unless complete.
        history: of its last seed; None until the end.
        rungs: (step, error) where its last seed could be compared so far.
        planned_gflops: what its last seed will have cost at the end; None before its first drop. stretches: of its
            learning rate, as of a seed.
        earlier: the seeds it has finished before its last one.
        result: what the worker wrote at the end: `seconds_spent`, `seconds_alone`, `steps_spent`,
            `steps_alone` (all added up over its seeds), `gflops_spent`, `device`, `host`, `versions`,
            `state`, `step`, `ended` and every objective (of its last seed), `code` (short digest of what it ran under), `error`, and
            of arms and in a confirmation `test_error`, `test_loss`.
        lease: who holds it: `worker`, `host`, `device`, and the `code` there.
        progress: while it runs, with every beat of its worker: `step`, `total`, `seed`, `stored` (steps of all members
            up to the last state), `seconds` of training and `steps` trained in them by this worker (to tell its
            speed), the error last measured or None, `time` (since 1970, of the worker's clock), and `moved`: the time
            at which `step` was new.
        started, ended: seconds since 1970, or None.
    """

    section: str
    number: int
    slot: int
    arm: str | None
    seed: int
    outcome: Outcome
    params: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] | None = None
    repeats: int | None = None
    attempt: int = 0
    repaired: bool = False
    values: Mapping[str, float] | None = None
    history: History | None = None
    rungs: tuple[tuple[int, float], ...] = ()
    planned_gflops: float | None = None
    stretches: tuple[tuple[int, str], ...] | None = None
    earlier: tuple[SeedRun, ...] = ()
    result: Mapping[str, Any] = field(default_factory=dict)
    lease: Mapping[str, Any] = field(default_factory=dict)
    progress: Mapping[str, Any] = field(default_factory=dict)
    started: float | None = None
    ended: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "outcome", Outcome(self.outcome))

    @property
    def is_drawn(self) -> bool:
        """Did a sampler draw its settings? Else it is an arm's."""
        return self.settings is None

    @property
    def is_final(self) -> bool:
        """Has it used its slot up?"""
        return self.outcome.is_final and not self.repaired

    @property
    def runs(self) -> tuple[SeedRun, ...]:
        """Every seed it has begun, the last one at the end."""
        now = SeedRun(
            seed=self.seed,
            history=self.history,
            measured={**measured_at(self.last_point), **objectives.stored(self.result)},
            rungs=self.rungs,
            planned_gflops=self.planned_gflops,
            stretches=self.stretches,
            state=str(self.result.get("state") or ""),
            test_error=self.result.get("test_error"),
            code=str(self.result.get("code") or self.lease.get("code") or ""),
            step=self.result.get("step"),
            ended=self.result.get("ended", self.ended),
        )
        return (*self.earlier, now)

    @property
    def last_point(self) -> Point | None:
        return self.history.points[-1] if self.history and self.history.points else None

    @property
    def codes(self) -> tuple[str, ...]:
        """Short digests of the code that its seeds ran under, each once; empty where none is known, or nothing was
        trained."""
        if self.outcome.is_redrawn:
            return ()
        return tuple(dict.fromkeys(run.code for run in self.runs if run.code))

    @property
    def last_step(self) -> int:
        return self.last_point.step if self.last_point else 0


def measured_at(point: Point | None) -> dict[str, float]:
    """The objectives that a point of a curve has."""
    return objectives.read({name: getattr(point, name) for name in CURVES}) if point else {}


@dataclass(frozen=True, kw_only=True)
class StudyRecord:
    """A stored study with all its attempts.

    Attributes:
        spec: the canonical specification, with the sections that were added since. digest: of what was created.
        facts: found at create: `steps_per_epoch`, `total_steps`, `n_train`, `n_val`, `n_test`,
            `data_digest`, `n_classes`, `input_shape`, `fitting_share`, `experiment` (of MLflow:
            `name` and `id`), `lease` (`beat_seconds` and `grace_seconds`), `objective_versions`, `user_code` (name -> digest), `weights` (folder ->
            `digest` and `steps`, of networks that trials begin from) and `code` (`modules` and `versions`
            of all that its trials can run, and the `commit`; see `study.code`).
        created: seconds since 1970. version: of reprtune.
        spent: seconds and GFLOPs that the search has spent, where it has a budget; else 0.
        attempts: name of a section -> its attempts, by number.
        workers: who was there when it was read -> what they said last, see `record.workers`.
    """

    spec: StudySpec
    digest: str
    facts: Mapping[str, Any]
    created: float
    version: str
    spent: tuple[float, float] = (0.0, 0.0)
    attempts: Mapping[str, tuple[TrialRecord, ...]] = field(default_factory=dict)
    workers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def instance(self) -> str:
        """Tells this stored study from an equal one that was created, and deleted, before it."""
        return f"{self.digest}@{self.created:.3f}"

    @property
    def lease(self) -> tuple[int, int]:
        """Seconds between two beats of its workers, and of grace after the last one: everywhere those of the machine on
        which it was created. Of studies of before they were stored, those of this machine."""
        stored = self.facts.get("lease")
        return (stored["beat_seconds"], stored["grace_seconds"]) if stored else lease_seconds()

    @property
    def other_versions(self) -> dict[str, int]:
        """What its trials are compared by, where that meant something else when it was created -> its version
        then. Records of before there were versions have the first."""
        then = self.facts.get("objective_versions", {})
        found = {name: then.get(name, 1) for name in self.spec.compared}
        return {name: v for name, v in found.items() if v != objectives.OBJECTIVES[name].version}

    # -- attempts -----------------------------------------------------------------------------------

    def of(self, section: str) -> tuple[TrialRecord, ...]:
        """The attempts of a section."""
        return self.attempts.get(section, ())

    @property
    def everything(self) -> tuple[TrialRecord, ...]:
        """The attempts of all sections: the search first, then the arms with what they were tuned by, then the
        confirmation."""
        return (*self.trials, *self.tries, *self.controls, *self.confirmation)

    @property
    def trials(self) -> tuple[TrialRecord, ...]:
        """The attempts of the search; none without one."""
        return self.of(self.spec.search.name) if self.spec.search else ()

    @property
    def controls(self) -> tuple[TrialRecord, ...]:
        """The attempts of all arms, on the seeds of their sections."""
        return tuple(t for one in self.spec.comparisons for t in self.of(one.name) if not one.is_try(t.arm))

    @property
    def tries(self) -> tuple[TrialRecord, ...]:
        """The attempts by which arms are tuned; they are compared with nothing."""
        return tuple(t for one in self.spec.comparisons for t in self.of(one.name) if one.is_try(t.arm))

    def trained(self, arm: Arm) -> Mapping[str, Any]:
        """What an arm is trained with, as changes of the base: where it was tuned what was chosen, else what it declares.
        What its first run was queued with stays it for all of them."""
        tuned = [t for one in self.spec.comparisons if one.tune is not None for t in self.of(one.name)]
        return next((t.settings for t in tuned if t.arm == arm.name and t.settings), arm.changes)

    @property
    def confirmation(self) -> tuple[TrialRecord, ...]:
        """The attempts of leaders (arms `slot-N`) and arms on fresh seeds."""
        return self.of(self.spec.confirmation.name) if self.spec.confirmation else ()

    def final(self) -> list[TrialRecord]:
        """Search trials that used their slot up."""
        return [t for t in self.trials if t.is_final]

    def complete(self) -> list[TrialRecord]:
        return [t for t in self.trials if t.outcome == "complete"]

    def counts(self) -> dict[Outcome, int]:
        """Attempts of the search by outcome, without those that count no more."""
        return counted(t.outcome for t in self.trials if not t.repaired)

    def is_over_budget(self) -> bool:
        """Whether the search has used up its seconds or GFLOPs."""
        return self.spec.search is not None and self.spec.search.is_over_budget(*self.spent)

    # -- what is left -------------------------------------------------------------------------------

    def planned(self, section: str | None = None) -> int:
        """How many slots a section has, or all of them have: those that were queued, or where nothing was queued
        yet as many as it will have at most."""
        if section is None:
            return sum(self.planned(one.name) for one in self.spec.sections)
        if queued := len({t.slot for t in self.of(section)}):
            return queued + self._untuned(section)
        one = self.spec.section(section)
        if one == self.spec.confirmation and self._confirms_nothing():
            return 0
        return self.spec.planned(one)

    def may_want_more(self, section: str) -> bool:
        """Has it fewer slots queued than it may get, as where results decide how many there are?"""
        one = self.spec.section(section)
        if one == self.spec.confirmation:
            return bool(self.pending(section)) and not self.of(section)
        return len({t.slot for t in self.of(section)}) < self.spec.planned(one)

    def _untuned(self, section: str) -> int:
        """Slots of arms that wait for their tries."""
        one = self.spec.section(section)
        if not isinstance(one, Arms) or one.tune is None:
            return 0
        begun = {t.arm for t in self.of(section)}
        return sum(arm.name not in begun for arm in one.arms(self.spec.base)) * len(one.seeds)

    def _confirms_nothing(self) -> bool:
        """There are no arms, and the search is finished without a trial that could be confirmed."""
        wanted = self.spec.confirmation
        if wanted is None or self.spec.arms or self.unsettled():
            return False
        return not any(wanted.top or trial.slot in wanted.slots for trial in self.complete())

    def unsettled(self) -> int:
        """Slots that a confirmation has to wait for: those of all other sections that are not used up yet."""
        return sum(self.pending(one.name) for one in self.spec.sections if one != self.spec.confirmation)

    def unconfirmed(self) -> int:
        """Slots of the confirmation that are not used up yet; 0 without one."""
        return self.pending(self.spec.confirmation.name) if self.spec.confirmation else 0

    def pending(self, section: str | None = None) -> int:
        """Slots of a section, or of all, that no attempt has used up yet."""
        if section is None:
            return sum(self.pending(one.name) for one in self.spec.sections)
        return self.planned(section) - len({t.slot for t in self.of(section) if t.is_final})
