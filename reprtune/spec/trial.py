"""One trial: a task, a network, its optimisation, a method and a seed."""

from __future__ import annotations

from dataclasses import dataclass, field

from reprtune.errors import SpecError
from reprtune.spec.method import MethodSpec
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

    def excess_steps(self, steps_per_epoch: int) -> int:
        """By how many steps the cycles overrun the total; 0 or less when they fit."""
        needed = 0
        if (cycles := self.method.cycles) is not None:
            needed = cycles.cycles * sum(cycles.steps(steps_per_epoch))
        return needed - self.training.total.steps(steps_per_epoch)

    def check_fits(self, steps_per_epoch: int) -> None:
        """Raise SpecError when the cycles do not fit the total, or round to no step at all."""
        cycles = self.method.cycles
        lengths = {"training.total": self.training.total}
        if cycles is not None:
            lengths["method.s1"] = cycles.s1
            lengths |= {"method.s2": cycles.s2} if cycles.s2.value else {}
        for name, length in lengths.items():
            if length.steps(steps_per_epoch) < 1:
                raise SpecError(
                    f"{name} must be at least one step, but {length} is none "
                    f"({steps_per_epoch} steps per epoch).",
                    f"Raise {name}.",
                )
        if cycles is not None and (excess := self.excess_steps(steps_per_epoch)) > 0:
            raise SpecError(
                f"{cycles.cycles} cycles of {cycles.s1} + {cycles.s2} must fit training.total = {self.training.total}, "
                f"but are {excess} steps too long ({steps_per_epoch} steps per epoch).",
                "Raise training.total, or lower method.cycles, method.s1 or method.s2.",
            )
