"""One trial: a task, a network, its optimisation, a method and a seed."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace

from reprtune.errors import SpecError
from reprtune.spec.branch import Branch, check_changes
from reprtune.spec.codec import later, to_plain
from reprtune.spec.edit import changed
from reprtune.spec.method import MethodSpec
from reprtune.spec.parts.members import Centripetal
from reprtune.spec.presets import REPR
from reprtune.spec.rules import at_least
from reprtune.spec.task import ModelSpec, TaskSpec
from reprtune.spec.training import TrainingSpec


@dataclass(frozen=True, kw_only=True)
class TrialSpec:
    """Everything that decides the outcome of one trial, and nothing else.

    Attributes:
        branch: where it goes on otherwise than all else here says; None = nowhere.
    """

    task: TaskSpec = field(default_factory=TaskSpec)
    model: ModelSpec = field(default_factory=ModelSpec)
    training: TrainingSpec = field(default_factory=TrainingSpec)
    method: MethodSpec = REPR
    seed: int = 0
    branch: Branch | None = later(None)  # noqa: RUF009 - a field

    def __post_init__(self) -> None:
        at_least("seed", self.seed, 0)
        if isinstance(self.method.gradient, Centripetal) and self.training.optimizer != "sgd":
            raise SpecError(
                f"method.gradient = centripetal needs training.optimizer = sgd, but got {self.training.optimizer}, "
                "which scales every step to one length, however filters are pulled together.",
                "Take sgd, or leave method.gradient out.",
            )
        smoothing = self.training.label_smoothing
        if smoothing > 0 and sum(loss.of_labels for loss in self.method.losses) == 1:
            raise SpecError(
                f"training.label_smoothing = {smoothing} does nothing: method.losses leave the labels out of the loss.",
                "Leave training.label_smoothing out, or lower method.teacher_weight or method.distill_weight.",
            )
        if self.branch is not None:
            check_changes(to_plain(self.trunk), to_plain(self.after))

    @functools.cached_property
    def trunk(self) -> TrialSpec:
        """What is trained up to the point of its branch; without one, the trial itself."""
        return self if self.branch is None else replace(self, branch=None)

    @functools.cached_property
    def after(self) -> TrialSpec:
        """What is trained from there on, and so what its end is of; without a branch, the trial itself.

        Raises:
            SpecError: the changes are none that a trial can have.
        """
        return self if self.branch is None else changed(self.trunk, self.branch.changes)

    def excess_steps(self, steps_per_epoch: int) -> int:
        """By how many steps the schedule overruns the total; 0 or less when it fits."""
        if self.branch is not None:
            return max(one.excess_steps(steps_per_epoch) for one in (self.trunk, self.after))
        schedule = self.method.schedule
        needed = 0 if schedule is None else schedule.steps_needed(steps_per_epoch)
        return needed - self.training.total.steps(steps_per_epoch)

    def check_fits(self, steps_per_epoch: int) -> None:
        """Raise SpecError when the schedule does not fit the total, or a length rounds to no step at all."""
        if self.branch is not None:
            self.trunk.check_fits(steps_per_epoch)
            self.after.check_fits(steps_per_epoch)
            return
        schedule = self.method.schedule
        lengths = {"training.total": self.training.total} | (schedule.lengths() if schedule else {})
        for name, length in lengths.items():
            if length.steps(steps_per_epoch) < 1:
                raise SpecError(
                    f"{name} must be at least one step, but {length} is none "
                    f"({steps_per_epoch} steps per epoch).",
                    f"Raise {name}.",
                )
        if schedule is not None and (excess := self.excess_steps(steps_per_epoch)) > 0:
            raise SpecError(
                f"{schedule.extent} must fit training.total = {self.training.total}, "
                f"but are {excess} steps too long ({steps_per_epoch} steps per epoch).",
                f"Raise training.total, or lower {schedule.shorten}.",
            )
