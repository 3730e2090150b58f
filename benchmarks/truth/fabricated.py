"""Studies of known truth: records as a storage would hold them, with errors that a formula gives.

Nothing is trained. What is drawn comes from the space of `repr-ablation`, uniformly over the draws that fit; every
study has a random generator of its own, so that it can be made again from its number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from reprtune.history import History, Point
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.codec import digest
from reprtune.spec.objectives import COST, ERROR, versions
from reprtune.spec.sections.confirmation import Confirmation
from reprtune.spec.study import Arms, StudySpec
from studies.repr_ablation import STUDY

STEPS_PER_EPOCH = 1
EPOCHS = 100
FACTS = {
    "objective_versions": versions(), "steps_per_epoch": STEPS_PER_EPOCH, "total_steps": EPOCHS, "n_train": 5000,
    "n_val": 2000, "n_test": 2000, "n_classes": 10, "input_shape": [3, 32, 32], "fitting_share": 0.5,
}  # fmt: skip
Params = Mapping[str, Any]
Truth = Callable[[Params, np.random.Generator], float]


def draw(spec: StudySpec, rng: np.random.Generator) -> dict[str, Any]:
    """One draw of the space that fits the total, uniformly."""
    while True:
        drawn = spec.draw(lambda _, range_: _one(range_.values() or range_.ends(), rng))
        if _fits(drawn):
            return drawn


def _one(values: Sequence[Any], rng: np.random.Generator) -> Any:
    return values[int(rng.integers(len(values)))]


def _fits(drawn: Params) -> bool:
    length = float(drawn.get("s1_epochs", 0)) + float(drawn.get("s2_epochs", 0))
    return float(drawn.get("cycles", 1)) * length <= EPOCHS


def gflops(params: Params) -> float:
    """What the training of a draw would cost; 100 for plain training."""
    share = params.get("cycles", 0) * params.get("s2_epochs", 0) / EPOCHS
    return 100 * (1 - 0.9 * float(params.get("prune_ratio", 0)) * share)


def trial(
    number: int, error: float, params: Params, *, arm: str | None = None, seed: int = 0, section: str = "",
    outcome: str = "complete", test: float | None = None, cost: float | None = None,
) -> TrialRecord:  # fmt: skip
    """A trial that ends with this validation error; of an arm where one is named."""
    spent = gflops(params) if cost is None else cost
    done = outcome == "complete"
    measured = {ERROR: error, COST: spent} if done else {}
    return TrialRecord(
        section=section or ("search" if arm is None else "controls"),
        number=number,
        slot=number,
        arm=arm,
        seed=seed,
        outcome=outcome,  # type: ignore[arg-type]  # its word is taken too
        params=dict(params) if arm is None else {},
        settings=None if arm is None else {},
        values=({ERROR: error, COST: spent} if arm is None else {ERROR: error}) if done else None,
        history=History(
            total_steps=EPOCHS, steps_per_epoch=STEPS_PER_EPOCH, layers={}, kept_out={}, rungs=(),
            points=(_point(error, spent),),
        ),
        result={**measured, **({} if test is None or not done else {"test_error": test})},
        started=float(number),
        ended=float(number) + 1,
    )  # fmt: skip


def _point(error: float, spent: float) -> Point:
    return Point(
        step=EPOCHS, phase="full", cycle=0, lr=0.1, train_loss=1.0, val_loss=1.0, val_error=error, gflops=spent,
        seconds=1.0, time=1.0,
    )  # fmt: skip


def record(
    trials: Sequence[TrialRecord],
    controls: Sequence[TrialRecord] = (),
    confirmation: Sequence[TrialRecord] = (),
    spec: StudySpec = STUDY,
) -> StudyRecord:
    """A study with these attempts, of arms with the seeds that they have; with a confirmation where there is one."""
    arms = next(section for section in spec.sections if isinstance(section, Arms))
    if seeds := tuple(dict.fromkeys(t.seed for t in controls)):
        arms = replace(arms, seeds=seeds)
    others = tuple(arms if section.name == arms.name else section for section in spec.sections)
    added = tuple(dict.fromkeys(t.seed for t in confirmation))
    spec = replace(spec, sections=(*others, *([Confirmation(top=1, seeds=added)] if added else [])))
    attempts = {
        "search": tuple(trials),
        arms.name: tuple(controls),
        "confirmation": tuple(confirmation),
    }
    return StudyRecord(
        spec=spec, digest=digest(spec), facts=FACTS, created=0.0, version="0", attempts=attempts
    )


def search(truth: Truth, n: int, rng: np.random.Generator, spec: StudySpec = STUDY) -> list[TrialRecord]:
    """`n` complete trials whose validation error is what `truth` says of their draw."""
    drawn = [draw(spec, rng) for _ in range(n)]
    return [trial(i, truth(params, rng), params) for i, params in enumerate(drawn)]


def controls(
    mean: float, sd: float, rng: np.random.Generator, arms: Sequence[str], seeds: Sequence[int]
) -> list[TrialRecord]:
    """Every arm with every seed, all from one normal distribution."""
    cells = [(arm, seed) for arm in arms for seed in seeds]
    return [
        trial(i, float(rng.normal(mean, sd)), {}, arm=arm, seed=seed) for i, (arm, seed) in enumerate(cells)
    ]
