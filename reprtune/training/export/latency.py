"""How long networks take to answer, measured in turns, so that what else the machine does falls on all of them.

A time is of one call under `torch.inference_mode`, from the call to the answer: on a GPU it ends when the device has
done its work. It is a fact about this machine in this hour, never an objective: only times and ratios of one
measurement can be compared.

*Notations*

    t_i      seconds of round i for one network
    r_i      t_i of a network / t_i of the first one, in the same round
    median, low, high    of the rounds, low and high the quartiles
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from reprtune.training.export.network import Trained
from reprtune.training.export.program import built
from reprtune.training.platform.device import describe, threads
from reprtune.training.platform.seeds import generator

ROUNDS = 100  # unless SECONDS are over before, but FEWEST at least
FEWEST = 5
SECONDS = 5.0
BATCHES = (1, 64)  # one image at a time, and many
WARM_UP = 5  # rounds that are not counted: caches fill, algorithms are chosen
Network = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Median and quartiles of `n` numbers."""

    median: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Networks side by side.

    Attributes:
        seconds: of one call, of each network. ratios: of each to the first, round by round.
        batch: images of a call. device: in words. threads: of the CPU.
    """

    seconds: tuple[Spread, ...]
    ratios: tuple[Spread, ...]
    batch: int
    device: str
    threads: int


def timed(networks: Sequence[Network], example: Tensor, n: int = ROUNDS, seconds: float = SECONDS) -> Timing:
    """How long each of the networks takes for `example` (B, C, H, W), on whose device they are.

    They take turns, each round beginning with another one, with as many threads as are set.

    Args:
        n: rounds, at least 2. seconds: after which no round begins any more, though `FEWEST` are measured.
    """
    order, end = deque(range(len(networks))), time.perf_counter() + seconds
    rounds: list[list[float]] = []
    with torch.inference_mode():
        for number in range(-WARM_UP, n):
            if number >= FEWEST and time.perf_counter() > end:
                break
            found = {i: _call(networks[i], example) for i in order}
            order.rotate()
            if number >= 0:
                rounds.append([found[i] for i in range(len(networks))])
    columns = list(zip(*rounds, strict=True))
    return Timing(
        seconds=tuple(map(_spread, columns)),
        ratios=tuple(_spread([t / first[0] for t, first in zip(c, rounds, strict=True)]) for c in columns),
        batch=len(example),
        device=describe(example.device),
        threads=torch.get_num_threads(),
    )


def with_latency(trained: Trained, device: torch.device, seconds: float = SECONDS) -> Trained:
    """The same with what each network that has another form takes for a call, and the one its specification builds
    beside it; measured now, on `device`, with the trial's threads, for as many `seconds` per batch at most."""
    networks = trained.networks
    for number, network in enumerate(networks):
        if network.forms:
            found = replace(network, latency=_of_member(trained, number, device, seconds))
            networks = (*networks[:number], found, *networks[number + 1 :])
    return replace(trained, networks=networks)


def _of_member(
    trained: Trained, number: int, device: torch.device, seconds: float
) -> tuple[dict[str, Any], ...]:
    spec, network = trained.spec, trained.networks[number]
    models = [
        built(spec.model, forms, trained.input_shape, trained.facts["n_classes"])
        for forms in ((), network.forms)
    ]
    models[1].load_state_dict(network.weights)
    pair = [model.to(device) for model in models]
    found = []
    with threads(spec.training.threads):
        for batch in BATCHES:
            x = torch.randn(batch, *trained.input_shape, generator=generator(0, "latency"))
            found.append(plain(timed(pair, x.to(device), seconds=seconds)))
    return tuple(found)


def plain(timing: Timing) -> dict[str, Any]:
    """A network `before` and one `after` as JSON values, in milliseconds; the ratio is after / before."""
    before, after = (
        {"n": s.n, **{k: 1e3 * v for k, v in asdict(s).items() if k != "n"}} for s in timing.seconds
    )
    where = {"batch": timing.batch, "device": timing.device, "threads": timing.threads}
    return {**where, "unit": "ms", "before": before, "after": after, "ratio": asdict(timing.ratios[1])}


def _call(network: Network, example: Tensor) -> float:
    """Seconds of one call."""
    _wait(example.device)
    begun = time.perf_counter()
    network(example)
    _wait(example.device)
    return time.perf_counter() - begun


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _spread(values: Sequence[float]) -> Spread:
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median=median, low=low, high=high, n=len(values))
