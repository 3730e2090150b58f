"""One trial: a task, a network, its optimisation, a method and a seed."""

from __future__ import annotations

from dataclasses import dataclass, field

from reprtune.errors import SpecError
from reprtune.spec.method import MethodSpec
from reprtune.spec.parts.members import Centripetal
from reprtune.spec.presets import REPR
from reprtune.spec.rules import at_least
from reprtune.spec.task import ModelSpec, TaskSpec
from reprtune.spec.training import TrainingSpec


@dataclass(frozen=True, kw_only=True)
class TrialSpec:
    """Everything that decides the outcome of one trial, and nothing else."""

    task: TaskSpec = field(default_factory=TaskSpec)
    model: ModelSpec = field(default_factory=ModelSpec)
    training: TrainingSpec = field(default_factory=TrainingSpec)
    method: MethodSpec = REPR
    seed: int = 0

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

    def excess_steps(self, steps_per_epoch: int) -> int:
        """By how many steps the schedule overruns the total; 0 or less when it fits."""
        schedule = self.method.schedule
        needed = 0 if schedule is None else schedule.steps_needed(steps_per_epoch)
        return needed - self.training.total.steps(steps_per_epoch)

    def check_fits(self, steps_per_epoch: int) -> None:
        """Raise SpecError when the schedule does not fit the total, or a length rounds to no step at all."""
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
