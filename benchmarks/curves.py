"""Whole training curves of many trials, and of plain training, read from files: what stop rules are replayed on."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from reprtune.spec.duration import Duration
from reprtune.spec.training import TrainingSpec
from reprtune.stopping.standard import StandardCurve
from reprtune.stopping.stretches import Stretches, stretches_of

DATA = Path(__file__).parent / "data"
FILE = DATA / "stopping-digits.json.gz"
STANDARD_FILE = DATA / "standard-curves.json"
EPOCHS = 100  # of every recorded trial


@dataclass(frozen=True)
class Recorded:
    """A whole trial, evaluation by evaluation.

    Attributes:
        steps: optimizer steps done. errors: validation errors, fractions. gflops: ideal cost so far, 1e9
            floating-point operations. is_full: the whole network, or the sub-network.
        rungs: steps at which it may be stopped. marks: steps at which it can be compared: just before each
            drop, the rungs, and the end.
        loss: final validation loss, which orders trials of equal error.
    """

    steps: tuple[int, ...]
    errors: tuple[float, ...]
    gflops: tuple[float, ...]
    is_full: tuple[bool, ...]
    rungs: frozenset[int]
    marks: frozenset[int]
    loss: float = 0.0

    @property
    def error(self) -> float:
        return self.errors[-1]

    @property
    def cost(self) -> float:
        return self.gflops[-1]

    @cached_property
    def planned(self) -> tuple[float | None, ...]:
        """At each evaluation: the final cost, the rest at the rates of the phases seen so far; None while a
        phase of another rate is still to come."""
        rates: dict[bool, float] = {}
        rest = {phase: sum(n for n, p in zip(self._lengths, self.is_full, strict=True) if p is phase)
                for phase in (True, False)}  # fmt: skip
        costs = (0.0, *self.gflops)
        result: list[float | None] = []
        for i, (n, phase) in enumerate(zip(self._lengths, self.is_full, strict=True)):
            rates[phase] = (costs[i + 1] - costs[i]) / n
            rest[phase] -= n
            unknown = any(rest[p] and p not in rates for p in rest)
            result.append(None if unknown else costs[i + 1] + sum(rates.get(p, 0) * rest[p] for p in rest))
        return tuple(result)

    @property
    def _lengths(self) -> tuple[int, ...]:
        """Steps of each segment."""
        return tuple(b - a for a, b in itertools.pairwise((0, *self.steps)))


def packed(run: Mapping[str, Any]) -> dict[str, Any]:
    """A line of `record` in few characters: the cost only where its rate changes."""
    n = len(run["phases"])
    ends = [i for i in range(n) if i == n - 1 or run["phases"][i] != run["phases"][i + 1]]
    kept = ("set", "index", "changes", "seconds", "rungs", "drops", "n_val", "wrong")
    return {
        **{key: run[key] for key in kept},
        "lengths": [b - a for a, b in itertools.pairwise((0, *run["steps"]))],
        "phases": [[run["phases"][i], i + 1, run["gflops"][i]] for i in ends],
        "loss": run["val_loss"][-1],
    }


def unpacked(plain: Mapping[str, Any]) -> Recorded:
    steps = tuple(itertools.accumulate(plain["lengths"]))
    gflops: list[float] = []
    is_full: list[bool] = []
    for phase, end, cost in plain["phases"]:
        begin, before = (steps[len(gflops) - 1], gflops[-1]) if gflops else (0, 0.0)
        rate = (cost - before) / (steps[end - 1] - begin)
        piece = steps[len(gflops) : end]
        gflops += [before + rate * (step - begin) for step in piece]
        is_full += [phase == "f"] * len(piece)
    return Recorded(
        steps=steps,
        errors=tuple(wrong / plain["n_val"] for wrong in plain["wrong"]),
        gflops=tuple(gflops),
        is_full=tuple(is_full),
        rungs=frozenset(plain["rungs"]),
        marks=frozenset([*plain["rungs"], *plain["drops"], steps[-1]]),
        loss=plain["loss"],
    )


def save(runs: Sequence[Mapping[str, Any]], path: Path, facts: Mapping[str, str]) -> None:
    """Write lines of `record`, in an order that does not depend on the order of training."""
    ordered = sorted(map(packed, runs), key=lambda run: (run["set"], run["index"]))
    text = json.dumps({"facts": facts, "runs": ordered}, separators=(",", ":"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def load(path: Path = FILE) -> dict[str, list[Recorded]]:
    """Name of the set -> its trials. Diverged ones are left out."""
    plain = json.loads(gzip.decompress(path.read_bytes()))["runs"]
    result: dict[str, list[Recorded]] = {}
    for run in plain:
        if None not in run["wrong"]:
            result.setdefault(run["set"], []).append(unpacked(run))
    return result


@dataclass(frozen=True)
class PlainTraining:
    """Recorded runs of plain training that differ in their seed: errors after every epoch."""

    errors: tuple[tuple[float, ...], ...]
    steps_per_epoch: int

    @property
    def stretches(self) -> Stretches:
        return stretches_of(TrainingSpec(total=Duration.parse(f"{EPOCHS}ep")), self.steps_per_epoch)

    @property
    def curve(self) -> StandardCurve:
        spe = self.steps_per_epoch
        runs = [[((i + 1) * spe, error) for i, error in enumerate(run)] for run in self.errors]
        return StandardCurve(runs, self.stretches)


def plain_training(data: str) -> PlainTraining:
    """Of `digits` or `cifar10`."""
    found = json.loads(STANDARD_FILE.read_text())[data]
    errors = tuple(tuple(n / found["n_val"] for n in run) for run in found["wrong"])
    return PlainTraining(errors, found["steps_per_epoch"])
