"""An ablation path: does it take the change that gains most first, and how much does the selection flatter a gain?

*Notations*

    k          changes, all with the same noise; seeds are blocks, of sd `SEED_SD`, noise of an arm with a seed of `NOISE`
    sizes      true gains in sd of the noise: one large and nothing else; nothing at all; a pair that gains only together
    first      share of studies whose first step is the change that truly gains most (of the pair one of the two)
    flattered  mean of the measured minus the true gain of the first step, in sd of the noise: on the validation part, by
               which it was chosen, and on the test part, whose noise is its own here
    coverage   share of 95 % intervals that hold the true value: of the first step on either part, and of the whole path
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.truth.fabricated import FACTS
from benchmarks.truth.shares import share
from reprtune.analysis.paired import Difference
from reprtune.analysis.path import Walked, walk
from reprtune.record.outcomes import Outcome
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.codec import digest
from reprtune.spec.objectives import COST, ERROR
from reprtune.spec.study import Arm, Arms, Path, StudySpec
from reprtune.study.sections.next_work import next_work

CHANGES = {
    "training.lr": 0.05, "training.momentum": 0.8, "training.weight_decay": 0.001, "training.lr_gamma": 0.2,
    "training.label_smoothing": 0.1,
}  # fmt: skip
NOISE, SEED_SD, LEVEL = 0.01, 0.02, 0.3
SEEDS = (3, 5, 10)
Truth = Callable[[frozenset[str]], float]  # paths that were changed -> error that it adds, in sd of the noise
Errors = Callable[
    [frozenset[str], int], tuple[float, float] | str
]  # and seed -> errors on both parts, or an outcome

TRUTHS: dict[str, Truth] = {
    "nothing": lambda _: 0.0,
    "one by 3 sd": lambda taken: -3.0 * ("training.lr" in taken),
    "a pair by 3 sd": lambda taken: -3.0 * ({"training.lr", "training.momentum"} <= taken),
}


def study(n_seeds: int, changes: Iterable[str] = CHANGES) -> StudySpec:
    end = Arm(name="end", changes={path: CHANGES[path] for path in changes})
    section = Arms(name="path", design=Path(start=Arm(name="start"), end=end), seeds=tuple(range(n_seeds)))
    return StudySpec(name="walked", question="?", cost="nothing", sections=(section,))


def walked(spec: StudySpec, errors: Errors) -> tuple[Walked, StudyRecord]:
    """What the product asks for is recorded with these errors, until it asks for nothing more."""
    record = StudyRecord(spec=spec, digest=digest(spec), facts=FACTS, created=0.0, version="0")
    while True:
        there = record.of("path")
        known = {(t.arm, t.seed) for t in there}
        cells = [cell for cell in next_work(record)["path"] if cell.key not in known]
        if not cells:
            return walk(spec.comparisons[0], record), record
        new = [
            _trial(len(there) + i, str(cell.arm), int(cell.seed or 0), dict(cell.settings or {}), errors)
            for i, cell in enumerate(cells)
        ]
        record = replace(record, attempts={"path": (*there, *new)})


def _trial(number: int, arm: str, seed: int, settings: dict[str, object], errors: Errors) -> TrialRecord:
    found = errors(frozenset(settings), seed)
    if isinstance(found, str):
        end: dict[str, Any] = {"outcome": Outcome(found)}
    else:
        values = {ERROR: found[0], COST: 100.0}
        end = {"outcome": Outcome.COMPLETE, "values": values, "result": {"test_error": found[1]}}
    return TrialRecord(
        section="path", number=number, slot=number, arm=arm, seed=seed, settings=settings, **end
    )


def noisy(truth: Truth, rng: np.random.Generator, n_seeds: int) -> Errors:
    """Errors of every set of changes, which stay what they are when they are asked for again."""
    blocks, known = rng.normal(0, SEED_SD, n_seeds), dict[tuple[frozenset[str], int], tuple[float, float]]()

    def errors(taken: frozenset[str], seed: int) -> tuple[float, float]:
        if (taken, seed) not in known:
            level = LEVEL + NOISE * truth(taken) + blocks[seed]
            on_val, on_test = (level + NOISE * rng.standard_normal(2)).tolist()
            known[taken, seed] = (on_val, on_test)
        return known[taken, seed]

    return errors


def main(studies: int) -> None:
    paths = {name.rpartition(".")[2]: name for name in CHANGES}
    for name, truth in TRUTHS.items():
        best = max(-truth(frozenset(CHANGES) - {path}) for path in CHANGES)
        for n_seeds in SEEDS:
            rng, rows = np.random.default_rng(31), []
            for _ in range(studies):
                found, _record = walked(study(n_seeds), noisy(truth, rng, n_seeds))
                step = found.steps[0]
                true = NOISE * truth(frozenset({paths[step.change]}))
                whole = found.whole.difference if found.whole else None
                assert step.gain is not None
                assert step.test_gain is not None
                assert whole is not None
                rows.append(
                    (
                        -truth(frozenset(CHANGES) - {paths[step.change]}) < best or truth(frozenset(CHANGES)) == 0,
                        (step.gain.mean - true) / NOISE, (step.test_gain.mean - true) / NOISE,
                        _holds(step.gain, true), _holds(step.test_gain, true),
                        _holds(whole, NOISE * truth(frozenset(CHANGES))),
                    )
                )  # fmt: skip
            first, on_val, on_test, *held = (np.array(column) for column in zip(*rows, strict=True))
            print(
                f"  {name:15} {n_seeds:2} seeds  first {share(int(first.sum()), studies)}"
                f"  flattered {on_val.mean():+.2f} val {on_test.mean():+.2f} test"
                f"  coverage {' '.join(f'{100 * h.mean():.1f}' for h in held)} % (step val, step test, whole)",
                flush=True,
            )


def _holds(d: Difference, true: float) -> bool:
    return d.low is not None and d.high is not None and d.low <= true <= d.high
