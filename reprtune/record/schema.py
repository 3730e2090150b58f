"""A study and its trials as frozen values: all that reports, status and stop rules look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reprtune.history import CURVES, History, Point
from reprtune.record.outcomes import Outcome, counted
from reprtune.spec import objectives
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
        state: name of its last state; empty while it runs.
        test_error: of a confirmation, at the end; else None.
        code: short digest of the code it ran under; empty where that is not written down.
    """

    seed: int
    history: History | None = None
    measured: Mapping[str, float] = field(default_factory=dict)
    rungs: tuple[tuple[int, float], ...] = ()
    planned_gflops: float | None = None
    state: str = ""
    test_error: float | None = None
    code: str = ""


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One attempt at a slot.

    Attributes:
        number: Optuna's trial number. slot: the logical trial it is an attempt at.
        arm: name of the control arm, or None in the search; in a confirmation also `slot-N`, a leader.
        seed: the seed it is at, or ended with: the last of those it has begun.
        outcome: what became of it; its word is taken too.
        params: what the sampler drew (name -> value in Optuna); empty for controls.
        settings: of a confirmation, what differs from the base (path of the trial specification -> plain
            value); None elsewhere.
        values: the study's objectives by name, means over its seeds; None unless complete.
        history: of its last seed; None until the end.
        rungs: (step, error) where its last seed could be compared so far.
        planned_gflops: what its last seed will have cost at the end; None before its first drop.
        earlier: the seeds it has finished before its last one.
        result: what the worker wrote at the end: `seconds_spent`, `seconds_alone`, `steps_spent`,
            `steps_alone` (all added up over its seeds), `gflops_spent`, `device`, `host`, `versions`,
            `state` and every objective (of its last seed), `code` (short digest of what it ran under), `error`, and
            in a confirmation `test_error`, `test_loss`.
        lease: who holds it: `worker`, `host`, `device`, and the `code` there.
        progress: while it runs, with every beat of its worker: `step`, `total`, `seed`, `seconds` of training
            and `steps` trained in them by this worker (to tell its speed), the error last measured or None,
            and `time` (since 1970, of the worker's clock).
        started, ended: seconds since 1970, or None.
    """

    number: int
    slot: int
    arm: str | None
    seed: int
    outcome: Outcome
    params: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] | None = None
    values: Mapping[str, float] | None = None
    history: History | None = None
    rungs: tuple[tuple[int, float], ...] = ()
    planned_gflops: float | None = None
    earlier: tuple[SeedRun, ...] = ()
    result: Mapping[str, Any] = field(default_factory=dict)
    lease: Mapping[str, Any] = field(default_factory=dict)
    progress: Mapping[str, Any] = field(default_factory=dict)
    started: float | None = None
    ended: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "outcome", Outcome(self.outcome))

    @property
    def runs(self) -> tuple[SeedRun, ...]:
        """Every seed it has begun, the last one at the end."""
        now = SeedRun(
            seed=self.seed,
            history=self.history,
            measured={**measured_at(self.last_point), **objectives.stored(self.result)},
            rungs=self.rungs,
            planned_gflops=self.planned_gflops,
            state=str(self.result.get("state") or ""),
            test_error=self.result.get("test_error"),
            code=str(self.result.get("code") or self.lease.get("code") or ""),
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
    """A stored study with all its attempts, search and controls.

    Attributes:
        spec: the canonical specification. digest: its digest.
        facts: found at create: `steps_per_epoch`, `total_steps`, `n_train`, `n_val`, `n_test`,
            `data_digest`, `n_classes`, `input_shape`, `fitting_share`, `experiment` (of MLflow:
            `name` and `id`), `objective_versions`, `user_code` (name -> digest) and `code` (`modules` and `versions`
            of all that its trials can run, and the `commit`; see `study.code`).
        created: seconds since 1970. version: of reprtune.
        spent: seconds and GFLOPs that the search has spent, where it has a budget; else 0.
        trials: attempts of the search. controls: attempts of the controls.
        confirmation: attempts of the leaders (arms `slot-N`) and of the controls with fresh seeds; the
            only ones with a test error. Empty until the study is confirmed.
    """

    spec: StudySpec
    digest: str
    facts: Mapping[str, Any]
    created: float
    version: str
    spent: tuple[float, float] = (0.0, 0.0)
    trials: tuple[TrialRecord, ...] = ()
    controls: tuple[TrialRecord, ...] = ()
    confirmation: tuple[TrialRecord, ...] = ()

    @property
    def instance(self) -> str:
        """Tells this stored study from an equal one that was created, and deleted, before it."""
        return f"{self.digest}@{self.created:.3f}"

    @property
    def other_versions(self) -> dict[str, int]:
        """What its trials are compared by, where that meant something else when it was created -> its version
        then. Records of before there were versions have the first."""
        then = self.facts.get("objective_versions", {})
        found = {name: then.get(name, 1) for name in self.spec.compared}
        return {name: v for name, v in found.items() if v != objectives.OBJECTIVES[name].version}

    def final(self) -> list[TrialRecord]:
        """Search trials that used their slot up."""
        return [t for t in self.trials if t.outcome.is_final]

    def complete(self) -> list[TrialRecord]:
        return [t for t in self.trials if t.outcome == "complete"]

    def counts(self) -> dict[Outcome, int]:
        """Attempts of the search by outcome."""
        return counted(t.outcome for t in self.trials)

    def is_over_budget(self) -> bool:
        """Whether the search has used up its seconds or GFLOPs."""
        return self.spec.is_over_budget(*self.spent)

    def pending(self) -> int:
        """Slots of search and controls that no attempt has used up yet."""
        n = self.spec.slots + len(self.spec.control_cells())
        done = {(t.arm is None, t.slot) for t in (*self.trials, *self.controls) if t.outcome.is_final}
        return n - len(done)

    def unconfirmed(self) -> int:
        """Slots of the confirmation that no attempt has used up yet; 0 where nothing was queued."""
        slots = {t.slot for t in self.confirmation}
        return len(slots - {t.slot for t in self.confirmation if t.outcome.is_final})
