"""The sides of a comparison, each in processes of its own that train when told to.

A process holds one training with 30 % of the filters dropped and trains so many steps whenever it is asked. What
goes wrong in it is said by `SideError`, so that the other sides can go on.
"""

from __future__ import annotations

import contextlib
import multiprocessing as mp
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

import numpy as np
import torch

from benchmarks.plain_loop import PRUNE_RATIO, PlainLoop, set_precision
from reprtune.spec.duration import Duration
from reprtune.spec.presets import compose
from reprtune.spec.task import ModelSpec, TaskSpec
from reprtune.spec.training import TrainingSpec
from reprtune.spec.trial import TrialSpec
from reprtune.training.chain.chain import Chain, LoadedData
from reprtune.training.platform.device import set_numerics

N_IMAGES, BATCH_SIZE = 10_000, 128
SPARE = 0.004  # share of the images for the parts our trial sets aside: too few to cost time
WARM_UP = 2  # rounds that each process trains before it is measured
PATIENCE = 600.0  # seconds, longer than any round or warm-up takes: a process that says nothing hangs
END_SECONDS = 5.0  # after which a process is killed


class SideError(Exception):
    """A process of a side failed, ended or hangs."""


@dataclass(frozen=True)
class Side:
    """What is measured: `ours` or the plain loop, in `processes` processes of `threads` threads each; ours on a
    GPU as a `graph` or one kernel after another; a round has `share` of the steps."""

    name: str
    ours: bool
    precision: str
    processes: int
    threads: int
    num_workers: int = 0
    graph: bool = True
    share: float = 1.0

    def steps(self, n_steps: int) -> int:
        """Of a round of each process."""
        return max(1, round(self.share * n_steps))


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
    for update in Chain(spec, LoadedData(data.parent, device)):
        if update.kind == "segment":
            yield


def _steps(n: int) -> Duration:
    return Duration.parse(f"{n}it")


def serve(
    pipe: Connection, side: Side, model: str, data: Path, device_name: str, n_steps: int, n_rounds: int
) -> None:
    """What a process does: for the first message it warms up, for each further one it trains a round. It
    answers with what went wrong, or nothing."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: whoever compares decides
    try:
        rounds = _prepared(side, model, data, torch.device(device_name), n_steps, n_rounds)
        n = WARM_UP
        while pipe.recv() == "go":
            for _ in range(n):
                next(rounds)
            n = 1
            pipe.send("")
    except (EOFError, BrokenPipeError):
        return  # nobody is there any more
    except Exception as error:  # noqa: BLE001 - said to whoever compares
        text = (str(error).strip() or "no text").splitlines()[0]
        with contextlib.suppress(OSError):
            pipe.send(f"{type(error).__name__}: {text}")


def _prepared(
    side: Side, model: str, data: Path, device: torch.device, n_steps: int, n_rounds: int
) -> Iterator[None]:
    """Rounds that end when the device has done them."""
    torch.set_num_threads(side.threads)
    set_numerics(device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if not side.ours:
        set_precision(side.precision)
    os.environ["REPRTUNE_GRAPH"] = "on" if side.graph else "off"
    make = our_rounds if side.ours else plain_rounds
    for _ in make(side, model, data, device, n_steps, n_rounds):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        yield


class Team:
    """The processes of one side. They start and load at once, and touch the device when they warm up.

    Args:
        patience: seconds in which a process must have done what it is asked for.
    """

    def __init__(
        self,
        side: Side,
        model: str,
        data: Path,
        device: torch.device,
        n_steps: int,
        n_rounds: int,
        patience: float = PATIENCE,
    ) -> None:
        self._patience = patience
        context = mp.get_context("spawn")
        own_steps = side.steps(n_steps)
        self.n_images = side.processes * own_steps * BATCH_SIZE  # per round
        self._members: list[tuple[Connection, SpawnProcess]] = []
        for _ in range(side.processes):
            ours, theirs = context.Pipe()
            arguments = (theirs, side, model, data, str(device), own_steps, n_rounds)
            process = context.Process(target=serve, args=arguments)
            process.start()
            theirs.close()
            self._members.append((ours, process))

    def warm_up(self) -> None:
        """One process after another, so that libraries measure their algorithms on an idle device.

        Raises:
            SideError: a process failed.
        """
        for member in self._members:
            self._go([member])

    def round(self) -> float:
        """Images per second of one round, from the first start to the last end.

        Raises:
            SideError: a process failed.
        """
        begun = time.perf_counter()
        self._go(self._members)
        return self.n_images / (time.perf_counter() - begun)

    def stop(self) -> None:
        """End the processes, whatever they do."""
        for pipe, _ in self._members:
            with contextlib.suppress(OSError):
                pipe.send("stop")
        end = time.monotonic() + END_SECONDS
        for _, process in self._members:
            process.join(max(0.0, end - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join(END_SECONDS)

    def _go(self, members: list[tuple[Connection, SpawnProcess]]) -> None:
        for pipe, _ in members:
            with contextlib.suppress(OSError):
                pipe.send("go")
        for pipe, process in members:
            try:
                said = pipe.recv() if pipe.poll(self._patience) else f"no answer in {self._patience:g} s"
            except (EOFError, OSError):
                process.join(END_SECONDS)
                said = f"its process ended with exit code {process.exitcode}"
            if said:
                raise SideError(said)
