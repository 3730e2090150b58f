"""The data sets of a process, loaded once."""

from __future__ import annotations

from pathlib import Path

import torch

from reprtune.spec.task import TaskSpec
from reprtune.spec.trial import TrialSpec
from reprtune.training.data.batches import Batches
from reprtune.training.data.pictures import Pictures
from reprtune.training.data.task import Task, load_task
from reprtune.training.platform.device import keep_freed_memory


class LoadedData:
    """The data sets of a process on its device, loaded once however many trials use them.

    What is large, the images and the pictures that batches are drawn from, is kept once per task; trials of one
    batch size also share the draws of an epoch.
    """

    def __init__(self, data_dir: Path, device: torch.device) -> None:
        self.data_dir, self.device = data_dir, device
        self._tasks: dict[TaskSpec, Task] = {}
        self._pictures: dict[TaskSpec, Pictures] = {}
        self._batches: dict[tuple[TaskSpec, int], Batches] = {}
        keep_freed_memory()

    def task(self, spec: TaskSpec) -> Task:
        if spec not in self._tasks:
            self._tasks[spec] = load_task(spec, self.data_dir, self.device)
        return self._tasks[spec]

    def batches(self, spec: TrialSpec) -> Batches:
        """The batches of the train part, as the trial draws them.

        Raises:
            SpecError: the batch is larger than it.
        """
        key = (spec.task, spec.training.batch_size)
        if key not in self._batches:
            self._batches[key] = Batches(self._pictures_of(spec.task), spec.training.batch_size)
        return self._batches[key]

    def _pictures_of(self, spec: TaskSpec) -> Pictures:
        if spec not in self._pictures:
            task = self.task(spec)
            self._pictures[spec] = Pictures(
                task.train, augment=spec.augment, mean=task.mean, std=task.std, cutout=spec.cutout
            )
        return self._pictures[spec]
