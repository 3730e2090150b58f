"""A trial that trains in a fraction of a second: 128 of the digits, 8 steps an epoch, 6 filters a layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from reprtune.history import History
from reprtune.spec.duration import Duration
from reprtune.spec.edit import changed
from reprtune.spec.presets import compose
from reprtune.spec.task import ModelSpec, TaskSpec
from reprtune.spec.training import TrainingSpec
from reprtune.spec.trial import TrialSpec
from reprtune.states.store import StateStore
from reprtune.training.chain import state
from reprtune.training.chain.chain import Chain, LoadedData
from reprtune.training.chain.trial_networks import Interrupted, TrialNetworks
from reprtune.training.data.batches import Batches

CPU = torch.device("cpu")
STEPS_PER_EPOCH = 8
STEPS = 48
SPEC = TrialSpec(
    task=TaskSpec(train_images=128),
    model=ModelSpec(width=6),
    training=TrainingSpec(total=Duration.parse("6ep"), batch_size=16, lr=0.05, lr_schedule="constant"),
    method=compose(cycles=2, s1=Duration.parse("1ep"), s2=Duration.parse("1ep")),
)
LOADED_DATA = LoadedData(Path("nowhere"), CPU)  # one process loads the digits once


def spec(**changes: Any) -> TrialSpec:
    """`SPEC` with fields changed: `method__s1="2ep"` or `{"method.s1": "2ep"}`."""
    return changed(SPEC, {path.replace("__", "."): value for path, value in changes.items()})


def trial_networks(trial: TrialSpec = SPEC) -> TrialNetworks:
    batches: Batches = LOADED_DATA.batches(trial)
    return TrialNetworks(trial, LOADED_DATA.task(trial.task), batches, CPU)


def names(trial: TrialSpec) -> list[str]:
    return Chain(trial, LOADED_DATA).names


def finish(trial: TrialSpec, store: StateStore | None = None, **options: Any) -> Chain:
    """Train to the end."""
    run = Chain(trial, LOADED_DATA, store, **options)
    kinds = [update.kind for update in run]
    assert run.finished and "blocked" not in kinds
    return run


def timeless(history: History) -> History:
    """What does not depend on the clock."""
    points = tuple(replace(point, seconds=0.0, time=0.0) for point in history.points)
    return replace(history, points=points)


def assert_same_end(one: Chain, other: Chain) -> None:
    """Weights, statistics, momentum and filters kept are the same bit for bit, and so is the history."""
    (a, _), (b, _) = (state.decode(run.networks.save()) for run in (one, other))
    assert set(a) == set(b)
    different = [name for name in a if not same_bits(a[name], b[name])]
    assert not different
    assert timeless(one.history) == timeless(other.history)


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()


def stored(store: StateStore) -> list[str]:
    return sorted(p.stem for p in store.folder.rglob("*.state"))


def until(n_steps: int) -> Callable[[], bool]:
    """`should_stop` that is True when asked for the n-th time after the first."""
    asked = iter(range(n_steps, -1, -1))
    return lambda: next(asked, 0) == 0


def go(run: Chain) -> None:
    for _ in run:
        pass


def in_turns(trial: TrialSpec, store: StateStore, n_steps: int, **options: Any) -> Chain:
    """Train to the end by one process after another, each of which is told to stop after so many steps."""
    for _ in range(STEPS):
        run = Chain(trial, LOADED_DATA, store, should_stop=until(n_steps), **options)
        try:
            go(run)
        except Interrupted:
            continue
        assert run.finished and not run.diverged
        return run
    raise AssertionError("no turn comes to the end")


class Killed(BaseException):
    """Stands for a process that ends at once."""
