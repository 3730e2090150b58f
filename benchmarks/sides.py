"""The two sides of the comparison, each in processes of its own that train when told to.

A process holds one training with 30 % of the filters dropped and trains so many steps whenever it is asked.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch

from benchmarks.plain_loop import PRUNE_RATIO, PlainLoop
from reprtune.spec.duration import Duration
from reprtune.spec.presets import compose
from reprtune.spec.task import ModelSpec, TaskSpec
from reprtune.spec.training import TrainingSpec
from reprtune.spec.trial import TrialSpec
from reprtune.training.device import set_numerics
from reprtune.training.run import Materials, Run

N_IMAGES, BATCH_SIZE = 10_000, 128
SPARE = 0.004  # share of the images for the parts our trial sets aside: too few to cost time
WARM_UP = 2  # rounds that each process trains before it is measured


@dataclass(frozen=True)
class Side:
    """What is measured: `ours` or the plain loop, in `processes` processes of `threads` threads each; ours on a
    GPU as a `graph` or one kernel after another."""

    name: str
    ours: bool
    precision: str
    processes: int
    threads: int
    num_workers: int = 0
    graph: bool = True


def make_images(path: Path, size: int = 32) -> None:
    """Random images of CIFAR-10's shape, or of another `size` in px, with random labels, as our `npz:` data
    set."""
    rng = np.random.default_rng(0)
    n_test = 10
    x = rng.integers(0, 256, (N_IMAGES + n_test, 3, size, size), np.uint8)
    y = np.concatenate([rng.integers(0, 10, N_IMAGES), np.arange(n_test)])
    np.savez(path, x_train=x[:N_IMAGES], y_train=y[:N_IMAGES], x_test=x[N_IMAGES:], y_test=y[N_IMAGES:])


def plain_rounds(
    side: Side, model: str, data: Path, device: torch.device, n_steps: int, n_rounds: int
) -> Iterator[None]:
    """The plain loop; each round is `n_steps` steps."""
    with np.load(data) as arrays:
        images = np.ascontiguousarray(arrays["x_train"].transpose(0, 2, 3, 1))
        labels = arrays["y_train"]
    loop = PlainLoop(
        model, images, labels,
        batch_size=BATCH_SIZE, precision=side.precision, device=device, num_workers=side.num_workers,
    )  # fmt: skip
    for _ in range(WARM_UP + n_rounds):
        loop.train(n_steps)
        yield


def our_rounds(
    side: Side, model: str, data: Path, device: torch.device, n_steps: int, n_rounds: int
) -> Iterator[None]:
    """A trial whose segments have `n_steps` steps: one of the full network, the drop, then the rounds.

    A round is all that a trial does in a segment: draws, steps, masks, the evaluation at its end.
    """
    spec = TrialSpec(
        task=TaskSpec(dataset=f"npz:{data}", augment="crop+flip", score_frac=SPARE, val_frac=SPARE),
        model=ModelSpec(name=model),
        training=TrainingSpec(
            total=_steps((WARM_UP + n_rounds + 1) * n_steps), segment=_steps(n_steps), batch_size=BATCH_SIZE,
            lr=0.01, lr_schedule="constant", precision=side.precision, threads=side.threads,
        ),
        method=compose(
            cycles=1, s1=_steps(n_steps), s2=_steps((WARM_UP - 1 + n_rounds) * n_steps),
            prune_ratio=PRUNE_RATIO,
        ),
    )  # fmt: skip
    for update in Run(spec, Materials(data.parent, device)):
        if update.kind == "segment":
            yield


def _steps(n: int) -> Duration:
    return Duration.parse(f"{n}it")


def serve(
    pipe: Connection, side: Side, model: str, data: Path, device_name: str, n_steps: int, n_rounds: int
) -> None:
    """What a process does: warm up, then a round for every message."""
    torch.set_num_threads(side.threads)
    device = torch.device(device_name)
    set_numerics(device)
    os.environ["REPRTUNE_GRAPH"] = "on" if side.graph else "off"
    make = our_rounds if side.ours else plain_rounds
    rounds = make(side, model, data, device, n_steps, n_rounds)
    for _ in range(WARM_UP):
        next(rounds)
    pipe.send("ready")
    while pipe.recv() == "go":
        next(rounds)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        pipe.send("done")


class Team:
    """The processes of one side."""

    def __init__(
        self, side: Side, model: str, data: Path, device: torch.device, n_steps: int, n_rounds: int
    ) -> None:
        context = mp.get_context("spawn")
        self.n_images = side.processes * n_steps * BATCH_SIZE  # per round
        self.pipes: list[Connection] = []
        self.processes = []
        for _ in range(side.processes):
            ours, theirs = context.Pipe()
            arguments = (theirs, side, model, data, str(device), n_steps, n_rounds)
            process = context.Process(target=serve, args=arguments)
            process.start()
            theirs.close()
            self.pipes.append(ours)
            self.processes.append(process)
        for pipe in self.pipes:
            pipe.recv()

    def round(self) -> float:
        """Images per second of one round, from the first start to the last end."""
        begun = time.perf_counter()
        for pipe in self.pipes:
            pipe.send("go")
        for pipe in self.pipes:
            pipe.recv()
        return self.n_images / (time.perf_counter() - begun)

    def stop(self) -> None:
        for pipe in self.pipes:
            pipe.send("stop")
        for process in self.processes:
            process.join()
