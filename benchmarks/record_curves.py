"""Train many trials and write down their whole curves, so that stop rules can be replayed on them.

Two sets on `digits`, both drawn at random, with one seed of training, as a study has it:

    lengths   the space of `studies/repr_ablation.py`: prune ratio, S1, S2, cycles and criterion
    fixed     S1 = 10, S2 = 5 and four cycles; prune ratio, criterion and learning rate are searched
"""

from __future__ import annotations

import json
import math
import random
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from reprtune.spec.edit import changed
from reprtune.spec.parts.places import short_path
from reprtune.spec.space import FloatRange, Range
from reprtune.spec.trial import TrialSpec
from reprtune.training.chain.chain import Chain, LoadedData
from reprtune.training.platform.device import keep_freed_memory
from studies.repr_ablation import STUDY

SPACE = {short_path(path): range_ for path, range_ in STUDY.space.items()}  # as the stored draws name them
FIXED = {"method.s1": "10ep", "method.s2": "5ep", "method.cycles": 4}
SETS: dict[str, tuple[TrialSpec, Mapping[str, Range]]] = {
    "lengths": (STUDY.base, SPACE),
    "fixed": (
        changed(STUDY.base, FIXED),
        {
            "method.prune_ratio": SPACE["method.prune_ratio"],
            "method.criterion": SPACE["method.criterion"],
            "training.lr": FloatRange(low=0.005, high=0.5, log=True),
        },
    ),
}


def draw(name: str, index: int, steps_per_epoch: int) -> tuple[dict[str, Any], TrialSpec]:
    """Draw number `index` of a set, again and again until its cycles fit: (changes, trial)."""
    base, space = SETS[name]
    rng = random.Random(f"{name} {index}")
    while True:
        changes = {path: _value(range_, rng) for path, range_ in space.items()}
        trial = changed(base, changes)
        if trial.excess_steps(steps_per_epoch) <= 0:
            return changes, trial


def _value(range_: Range, rng: random.Random) -> Any:
    if (values := range_.values()) is not None:
        return range_.to_field(rng.choice(values))  # type: ignore[arg-type]
    assert isinstance(range_, FloatRange)
    assert range_.log
    return float(f"{range_.low * (range_.high / range_.low) ** rng.random():.4g}")


def train(name: str, index: int, loaded_data: LoadedData) -> dict[str, Any]:
    """The whole run of a draw, as plain values."""
    task = loaded_data.task(STUDY.base.task)
    spe = loaded_data.batches(STUDY.base).steps_per_epoch
    changes, spec = draw(name, index, spe)
    begun = time.process_time()
    run = Chain(spec, loaded_data)
    for _ in run:
        pass
    points, n_val = run.history.points, len(task.val)
    return {
        "set": name,
        "index": index,
        "changes": changes,
        "seconds": round(time.process_time() - begun, 2),
        "steps_per_epoch": spe,
        "total_steps": run.total_steps,
        "rungs": run.rungs,
        "drops": [drop.step for drop in run.history.drops],
        "diverged_at": run.history.diverged_at,
        "n_val": n_val,
        "steps": [p.step for p in points],
        "phases": "".join(p.phase[0] for p in points),
        "wrong": [round(p.val_error * n_val) if math.isfinite(p.val_error) else None for p in points],
        "val_loss": [round(p.val_loss, 4) for p in points],
        "gflops": [round(p.gflops, 3) for p in points],
    }


def record(n: int, path: Path, data_dir: Path) -> list[dict[str, Any]]:
    """Train draws 0 to n - 1 of both sets in turn and add each to `path`, one line of JSON; those that are
    there are not trained again. Returns all that are there."""
    torch.set_num_threads(1)
    keep_freed_memory()
    loaded_data = LoadedData(data_dir, torch.device("cpu"))
    lines = path.read_text().splitlines() if path.exists() else []
    known = {(run["set"], run["index"]) for run in map(json.loads, lines)}
    for index in range(n):
        for name in SETS:
            if (name, index) in known:
                continue
            run = train(name, index, loaded_data)
            with path.open("a") as file:
                file.write(json.dumps(run) + "\n")
            print(f"{name} {index + 1} of {n}: {run['seconds']} s", file=sys.stderr)
    found = map(json.loads, path.read_text().splitlines())
    return [run for run in found if run["index"] < n]
