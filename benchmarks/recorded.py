"""Studies as they look once thousands of trials are recorded, written to a storage in bulk.

Nothing is trained. Every trial has what a worker leaves: its draw, a curve of 100 evaluations that looks
like a saw, drops and restores over the 18 droppable layers of a wide ResNet-20, rungs, a packed history of some
20 kB; one in three was stopped at a rung, a few diverged, failed, were interrupted or lost and tried again.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import random
from collections.abc import Iterator
from typing import Any

import optuna
from optuna.distributions import distribution_to_json
from optuna.storages import RDBStorage
from sqlalchemy import insert

from reprtune.history import Drop, History, Point, Restore
from reprtune.record.optuna_private.reading import ATTRIBUTES, PARAMS, TRIALS, VALUES
from reprtune.record.optuna_private.trials import study_id as id_of
from reprtune.record.outcomes import Outcome
from reprtune.record.pack import pack
from reprtune.record.storage import ATTRIBUTE, SECTION, STUDY, section_study
from reprtune.spec.codec import canonical_json, digest
from reprtune.spec.designs.named import NamedArms
from reprtune.spec.duration import Duration
from reprtune.spec.sections.arms import Arms
from reprtune.spec.sections.search import Search
from reprtune.spec.space import Range
from reprtune.spec.study import Arm, Choice, DurationRange, FloatRange, IntRange, StudySpec
from reprtune.work.samplers import distribution

EPOCHS, PER_EPOCH, START = 100, 50, 1_760_000_000.0
LAYERS = {f"layer{s}.{b}.conv{c}": 64 * 2 ** (s - 1) for s in (1, 2, 3) for b in range(3) for c in (1, 2)}
SPACE: dict[str, Range] = {
    "method.prune_ratio": FloatRange(low=0.1, high=0.6, step=0.05),
    "method.s1": DurationRange(low=Duration.parse("6ep"), high=Duration.parse("20ep")),
    "method.s2": DurationRange(low=Duration.parse("3ep"), high=Duration.parse("10ep")),
    "method.cycles": IntRange(low=1, high=3),
    "method.criterion": Choice(options=("ortho", "ortho-dim", "l2", "random")),
    "training.lr": FloatRange(low=0.01, high=0.3, log=True),
}
ARMS = (
    Arm(name="standard", changes={"method": "standard"}),
    Arm(name="paper", changes={"method": "repr"}),
)
ENDS = (  # outcome, how often, epochs until then
    ("complete", 58, EPOCHS),
    ("stopped", 34, EPOCHS),
    ("diverged", 3, 12),
    ("error", 1, 7),
    ("interrupted", 2, 31),
    ("lost", 1, EPOCHS),
    ("infeasible", 1, EPOCHS),
)
N_WORKERS = 16
Row = dict[str, Any]


def spec_of(n: int, name: str = "scale") -> StudySpec:
    """A search of `n` slots with two control arms of five seeds."""
    return StudySpec(
        name=name, question="What does a study of this size cost to read?", decision="-", cost="-",
        sections=(
            Arms(name="controls", design=NamedArms(list=ARMS), seeds=(0, 1, 2, 3, 4)),
            Search(space=SPACE, slots=n),
        ),
    )  # fmt: skip


def fill(storage: RDBStorage, n: int, *, name: str = "scale", seed: int = 0) -> StudySpec:
    """Record a finished study of `n` slots."""
    spec, rng = spec_of(n, name), random.Random(seed)
    attribute = {
        "spec": canonical_json(spec), "digest": digest(spec), "created": START, "version": "0.1.0",
        "facts": {
            "steps_per_epoch": PER_EPOCH, "total_steps": EPOCHS * PER_EPOCH, "n_train": 5000, "n_val": 1000,
            "n_test": 1000, "n_classes": 10, "data_digest": "ab" * 32, "input_shape": [3, 32, 32],
            "fitting_share": 0.6,
        },
    }  # fmt: skip
    search = _study(storage, name, len(spec.objectives), {**attribute, "role": STUDY})
    controls = _study(
        storage, section_study(spec, spec.sections[0]), 1, {"digest": digest(spec), "role": SECTION}
    )
    _insert(storage, search, _search(spec, n, rng))
    _insert(storage, controls, _controls(spec, rng))
    return spec


def _study(storage: RDBStorage, name: str, n_objectives: int, attribute: Row) -> int:
    study = optuna.create_study(storage=storage, study_name=name, directions=["minimize"] * n_objectives)
    study.set_user_attr(ATTRIBUTE, attribute)
    return id_of(study)  # rows are written by id


def _search(spec: StudySpec, n: int, rng: random.Random) -> Iterator[Row]:
    outcomes, weights, _ = zip(*ENDS, strict=True)
    number = 0
    for slot in range(n):
        outcome = rng.choices(outcomes, weights)[0]
        tries = [outcome] if Outcome(outcome).holds_slot else [outcome, "complete"]
        for end in tries:
            yield _trial(number, slot, end, _draw(spec, rng), rng)
            number += 1


def _controls(spec: StudySpec, rng: random.Random) -> Iterator[Row]:
    for slot, (arm, seed, _) in enumerate(spec.arm_cells()):
        row = _trial(slot, slot, "complete", {}, rng, cycles=0 if arm == "standard" else 3)
        row["attrs"] |= {"arm": arm, "seed": seed}
        yield row


def _draw(spec: StudySpec, rng: random.Random) -> Row:
    while True:
        drawn: Row = {}
        for name, range_ in spec.params.items():
            values = range_.values()
            low, high = (math.log(v) for v in range_.ends()) if values is None else (0.0, 0.0)
            drawn[name] = rng.choice(values) if values else math.exp(rng.uniform(low, high))
        if drawn["cycles"] * (drawn["s1_epochs"] + drawn["s2_epochs"]) <= EPOCHS:
            return drawn


def _trial(number: int, slot: int, outcome: str, params: Row, rng: random.Random, cycles: int = 3) -> Row:
    """One attempt: Optuna's fields, and our attributes under `attrs`."""
    worker, turn = number % N_WORKERS, number // N_WORKERS
    full = {
        "s1_epochs": 20,
        "s2_epochs": 10,
        "prune_ratio": 0.3,
        "cycles": cycles,
        "criterion": "ortho",
        **params,
    }
    until = next(epochs for end, _, epochs in ENDS if end == outcome)
    begun = START + 130.0 * turn + 3.0 * worker + rng.random()
    history = _history(full, rng, until, outcome, begun)
    last = history.points[-1]
    where = {
        "host": f"node{worker // 4:02d}",
        "device": "cpu",
        "worker": f"node{worker // 4:02d}-{4000 + worker}",
    }
    attrs: Row = {"slot": slot, "lease": where}
    if outcome not in ("lost", "infeasible"):
        attrs["result"] = {
            "outcome": outcome, "host": where["host"], "device": "cpu",
            "versions": {"reprtune": "0.1.0", "torch": "2.13.0"}, "seconds_spent": round(last.seconds, 3),
            "seconds_alone": round(1.1 * last.seconds, 3), "steps_spent": last.step, "steps_alone": last.step,
            "state": digest([number, slot]),
            **({"error": "ValueError: it did not work"} if outcome == "error" else {}),
            **({} if outcome == "interrupted" else {
                "history": pack(history),
                "rungs": {"points": history.full_points(), "planned_gflops": last.gflops * EPOCHS * PER_EPOCH / last.step},
            }),
        }  # fmt: skip
    elif outcome == "infeasible":
        attrs["result"] = {"outcome": outcome}
    values = [last.val_error, last.gflops] if outcome == "complete" else []
    values = values[: 1 if not params else 2]
    return {
        "number": number, "state": Outcome(outcome).state, "params": params, "attrs": attrs, "values": values,
        "began": begun, "ended": begun + (last.seconds if outcome != "infeasible" else 0.01),
    }  # fmt: skip


def _history(full: Row, rng: random.Random, until: int, outcome: str, begun: float) -> History:
    s1, s2, cycles = full["s1_epochs"], full["s2_epochs"], full["cycles"]
    floor = 0.06 + 0.1 * abs(full["prune_ratio"] - 0.3) + 0.02 * (full["criterion"] == "random")
    floor += 0.02 * abs(math.log(full.get("lr", 0.1) / 0.1)) + abs(rng.gauss(0, 0.01))
    rungs = (
        [EPOCHS * k // 5 for k in range(1, 5)]
        if not cycles
        else [s1 + (s1 + s2) * k for k in range(1, cycles)]
    )
    if outcome == "stopped":
        until, floor = rng.choice(rungs or [60]), floor + 0.05
    points: list[Point] = []
    drops: list[Drop] = []
    restores: list[Restore] = []
    gflops = bump = 0.0
    for epoch in range(1, until + 1):
        cycle, offset = divmod(epoch - 1, s1 + s2)
        sub = cycle < cycles and offset >= s1
        gflops += 41.0625 * (1 - 0.8 * full["prune_ratio"] if sub else 1)
        error = min(0.9, max(0.0, floor + 0.6 * math.exp(-epoch / 12) + bump + rng.gauss(0, 0.004)))
        bump *= 0.5
        points.append(
            Point(
                step=epoch * PER_EPOCH, phase="sub" if sub else "full", cycle=min(cycle, cycles),
                lr=full.get("lr", 0.1) * 0.1 ** (epoch // 40), train_loss=2 * error + rng.random() / 100,
                val_loss=3 * error + rng.random() / 100, val_error=round(1000 * error) / 1000, gflops=gflops,
                seconds=1.2 * epoch + rng.random() / 10, time=begun + 1.2 * epoch + rng.random() / 10,
            )
        )  # fmt: skip
        if cycle < cycles and offset == s1 - 1:
            drops.append(_drop(epoch, cycle, full["prune_ratio"], rng))
            bump = 0.1
        if cycle < cycles and offset == s1 + s2 - 1:
            restores.append(_restore(epoch, drops[-1], rng))
            bump = 0.15
    return History(
        total_steps=EPOCHS * PER_EPOCH, steps_per_epoch=PER_EPOCH, layers=LAYERS,
        rungs=tuple(PER_EPOCH * e for e in rungs if e < EPOCHS), points=tuple(points), drops=tuple(drops),
        restores=tuple(restores), diverged_at=until * PER_EPOCH + 3 if outcome == "diverged" else None,
    )  # fmt: skip


def _drop(epoch: int, cycle: int, ratio: float, rng: random.Random) -> Drop:
    every = [(layer, i) for layer, n in LAYERS.items() for i in range(n)]
    dropped: dict[str, tuple[int, ...]] = {}
    for layer, i in sorted(rng.sample(every, round(ratio * len(every)))):
        dropped[layer] = (*dropped.get(layer, ()), i)
    overlap = {layer: 0.1 + 0.05 * rng.random() + 0.01 * cycle for layer in LAYERS}
    return Drop(step=epoch * PER_EPOCH, cycle=cycle, dropped=dropped, overlap=overlap)


def _restore(epoch: int, drop: Drop, rng: random.Random) -> Restore:
    return Restore(
        step=epoch * PER_EPOCH, cycle=drop.cycle,
        levels={layer: {"mutual": len(indices)} for layer, indices in drop.dropped.items()},
        overlap={layer: value * (0.6 + 0.1 * rng.random()) for layer, value in drop.overlap.items()},
    )  # fmt: skip


def _insert(storage: RDBStorage, study_id: int, rows: Iterator[Row]) -> None:
    """Five tables in one transaction, in parts of 500 trials."""
    with storage.engine.begin() as connection:
        first = (connection.exec_driver_sql("SELECT MAX(trial_id) FROM trials").scalar() or 0) + 1
        part: list[Row] = []
        for row in rows:
            part.append({**row, "trial_id": first + row["number"], "study_id": study_id})
            if len(part) == 500:
                _insert_part(connection, part)
                part = []
        _insert_part(connection, part)


def _insert_part(connection: Any, rows: list[Row]) -> None:
    tables: list[tuple[Any, list[Row]]] = [
        (TRIALS, [_plain_trial(row) for row in rows]),
        (ATTRIBUTES, [
            {"trial_id": r["trial_id"], "key": k, "value_json": json.dumps(v)} for r in rows for k, v in r["attrs"].items()
        ]),
        (PARAMS, [p for r in rows for p in _params(r)]),
        (VALUES, [
            {"trial_id": r["trial_id"], "objective": i, "value": v, "value_type": "FINITE"}
            for r in rows for i, v in enumerate(r["values"])
        ]),
    ]  # fmt: skip
    for table, found in tables:
        if found:
            connection.execute(insert(table), found)


def _plain_trial(row: Row) -> Row:
    times = {"datetime_start": row["began"], "datetime_complete": row["ended"]}
    dates = {k: dt.datetime.fromtimestamp(v, dt.timezone.utc) for k, v in times.items()}  # as Optuna has them
    return {**{k: row[k] for k in ("trial_id", "number", "study_id", "state")}, **dates}


def _params(row: Row) -> list[Row]:
    found = []
    for name, value in row["params"].items():
        one = DISTRIBUTIONS[name]
        found.append(
            {
                "trial_id": row["trial_id"], "param_name": name,
                "param_value": one.to_internal_repr(value), "distribution_json": distribution_to_json(one),
            }
        )  # fmt: skip
    return found


DISTRIBUTIONS = {name: distribution(range_) for name, range_ in spec_of(1).params.items()}
