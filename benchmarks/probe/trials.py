"""Trials on random images that are made where the results go: no data set is needed."""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from reprtune.spec.duration import Duration
from reprtune.spec.edit import changed
from reprtune.spec.presets import compose
from reprtune.spec.task import ModelSpec, TaskSpec
from reprtune.spec.training import TrainingSpec
from reprtune.spec.trial import TrialSpec
from reprtune.training.chain import state
from reprtune.training.chain.chain import Chain, LoadedData
from reprtune.training.descent import cuda_graph
from reprtune.training.platform.device import set_numerics

TINY_STEPS = 48
N_CLASSES = 10


class Trials:
    """Args:
    folder: of the images. device: where trials run; it becomes the current one.

    Attributes:
        batch_size: of `large`; small on a CPU, where the probe shows only that it runs.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.folder, self.device = folder.resolve(), device
        self.on_cuda = device.type == "cuda"
        self.batch_size, self._n = (128, 10_000) if self.on_cuda else (16, 400)
        if self.on_cuda:
            torch.cuda.set_device(device)
        set_numerics(device)
        self.loaded_data = LoadedData(self.folder, device)

    def images(self, n: int, size: int, channels: int) -> Path:
        """Classes that can be learned: a pattern each, under noise; made unless they are there."""
        path = self.folder / f"images-{n}-{size}-{channels}.npz"
        if not path.exists():
            rng = np.random.default_rng(0)
            pattern = rng.integers(0, 128, (N_CLASSES, channels, size, size), np.uint8)
            y = np.arange(n + 50) % N_CLASSES
            x = pattern[y] + rng.integers(0, 128, (n + 50, channels, size, size), np.uint8)
            aside = path.with_name(f"{path.stem}-{os.getpid()}.npz")
            np.savez(aside, x_train=x[:n], y_train=y[:n], x_test=x[n:], y_test=y[n:])
            os.replace(aside, path)
        return path

    def tiny(self, **changes: Any) -> TrialSpec:
        """128 images of 8 px, 8 steps an epoch, 6 epochs, two cycles: full, sub, full, sub, full."""
        one = Duration.parse("1ep")
        spec = TrialSpec(
            task=TaskSpec(dataset=f"npz:{self.images(300, 8, 1)}", train_images=128, augment="none"),
            model=ModelSpec(width=6),
            training=TrainingSpec(
                total=Duration.parse("6ep"), batch_size=16, lr=0.05, lr_schedule="constant"
            ),
            method=compose(cycles=2, s1=one, s2=one),
        )
        return changed(spec, changes)

    def large(self, model: str, precision: str, steps: int, n: int | None = None) -> TrialSpec:
        """CIFAR-10's shape, crops and flips; `steps` full, as many with 30 % dropped, as many full."""
        data = self.images(n or self._n, 32, 3)
        part = Duration.parse(f"{steps}it")
        return TrialSpec(
            task=TaskSpec(dataset=f"npz:{data}", augment="crop+flip", score_frac=0.02, val_frac=0.1),
            model=ModelSpec(name=model),
            training=TrainingSpec(
                total=Duration.parse(f"{3 * steps}it"), segment=part, batch_size=self.batch_size,
                lr=0.01, lr_schedule="constant", precision=precision,
            ),
            method=compose(cycles=1, s1=part, s2=part, prune_ratio=0.3),
        )  # fmt: skip

    def run(self, spec: TrialSpec, how: str = "graph", store: Any = None, **options: Any) -> Chain:
        """A trial whose steps run as a `graph` or `eager`."""
        with self._steps(how):
            return Chain(spec, self.loaded_data, store, **options)

    @contextlib.contextmanager
    def _steps(self, how: str) -> Iterator[None]:
        """On a CPU a recording of operations plays the graph; that is in the tests, which only a CPU needs."""
        if self.on_cuda:
            with patch.dict(os.environ, {"REPRTUNE_GRAPH": "on" if how == "graph" else "off"}):
                yield
        elif how == "graph":
            capture = importlib.import_module("tests.training.recorded").Capture()
            with (
                patch.object(cuda_graph, "why_eager", lambda *_: None),
                patch.object(cuda_graph, "capture_on_cuda", capture),
            ):
                yield
        else:
            yield

    def clean(self) -> None:
        """Remove the images and the states, which nobody wants to take along."""
        for path in self.folder.glob("images-*.npz"):
            path.unlink()
        for path in self.folder.glob("states-*"):
            shutil.rmtree(path)

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.on_cuda:
            torch.cuda.synchronize(self.device)


def finish(run: Chain) -> Chain:
    """Train to the end."""
    for _ in run:
        pass
    return run


def tensors(run: Chain) -> dict[str, Tensor]:
    """Everything in the state of a trial, by name, on the CPU."""
    return state.decode(run.networks.save())[0]


def distance(a: dict[str, Tensor], b: dict[str, Tensor]) -> tuple[float, str]:
    """(largest relative distance of two tensors of one name, its name); infinite where the names differ or a
    number is none."""
    if set(a) != set(b):
        return math.inf, ", ".join(sorted(set(a) ^ set(b)))
    worst, where = 0.0, ""
    for name, tensor in a.items():
        one, two = tensor.double(), b[name].double()
        far = float((one - two).norm() / two.norm().clamp(min=1e-2))
        if not far <= worst:
            worst, where = (math.inf if math.isnan(far) else far), name
    return worst, where
