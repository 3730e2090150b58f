"""Seeded synthetic study records that look like real ones, without training anything."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from reprtune.history import Drop, Exchange, History, Point, Restore
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.codec import digest
from reprtune.spec.duration import Duration
from reprtune.spec.objectives import versions
from reprtune.spec.study import Arm, Choice, DurationRange, FloatRange, IntRange, StudySpec
from tests.flat import study_of, with_fields

STEPS_PER_EPOCH = 21
EPOCHS = 40
START = 1_760_000_000.0
CONVNET = {"conv2": 32, "conv3": 32}
RESNET = {f"layer{s}.{b}.conv{c}": 16 * 2 ** (s - 1) for s in (1, 2, 3) for b in range(3) for c in (1, 2)}
SPACE = {
    "method.prune_ratio": FloatRange(low=0.1, high=0.6, step=0.05),
    "method.s1": DurationRange(low=Duration.parse("2ep"), high=Duration.parse("10ep")),
    "method.s2": DurationRange(low=Duration.parse("1ep"), high=Duration.parse("6ep")),
    "method.cycles": IntRange(low=1, high=4),
    "method.criterion": Choice(options=("ortho", "ortho-dim", "l2", "random")),
}
CONTROLS = (
    Arm(name="standard", changes={"method": "standard"}),
    Arm(name="paper", changes={"method": "repr"}),
    Arm(name="random-drop", changes={"method.criterion": "random"}),
)
MIX = ("complete",) * 6 + ("stopped",) * 3 + ("diverged",)
EXTRAS = ("infeasible", "interrupted", "lost", "error", "out-of-memory", "waiting", "running")


def make_spec(
    objectives: Sequence[str] = ("val_error", "train_gflops"), slots: int = 32, **fields: Any
) -> StudySpec:
    given: dict[str, Any] = {
        "name": "synthetic",
        "question": "Which of RePr's settings lower the validation error, and at what cost?",
        "decision": "If random drop does as well as the best criterion, the criterion is not what helps.",
        "cost": "32 trials and 9 controls of 40 epochs: about three minutes on two CPU cores.",
        "space": SPACE,
        "controls": CONTROLS,
    }
    return study_of(**{**given, **fields, "objectives": tuple(objectives), "slots": slots})


def make_history(
    params: dict[str, Any],
    rng: random.Random,
    *,
    layers: dict[str, int] | None = None,
    until_epoch: int = EPOCHS,
    floor: float = 0.05,
    diverged: bool = False,
) -> History:
    """A curve that falls, jumps up after each drop and restore, and ends near `floor`."""
    layers = layers if layers is not None else CONVNET
    points: list[Point] = []
    drops: list[Drop] = []
    restores: list[Restore] = []
    s1, s2 = params.get("s1_epochs", 8), params.get("s2_epochs", 4)
    gflops, bump = 0.0, 0.0
    for epoch in range(1, until_epoch + 1):
        cycle, offset = divmod(epoch - 1, s1 + s2)
        phase = "sub" if cycle < params["cycles"] and offset >= s1 else "full"
        step = epoch * STEPS_PER_EPOCH
        gflops += 3.1 * (1 - 0.8 * params["prune_ratio"] if phase == "sub" else 1)
        error = min(0.9, floor + 0.6 * math.exp(-epoch / 6) + bump + rng.gauss(0, 0.004))
        bump *= 0.5
        points.append(_point(step, phase, min(cycle, params["cycles"]), epoch, max(0.0, error), gflops))
        if cycle < params["cycles"] and offset == s1 - 1:
            drops.append(_drop(step, cycle, params, layers, rng))
            bump = 0.1
        if cycle < params["cycles"] and offset == s1 + s2 - 1:
            restores.append(_restore(step, cycle, drops[-1]))
            bump = 0.15
    return History(
        total_steps=EPOCHS * STEPS_PER_EPOCH,
        steps_per_epoch=STEPS_PER_EPOCH,
        layers=layers,
        kept_out={"conv1": "reads the input"},
        rungs=tuple(d.step for d in drops[1:]),
        points=tuple(points),
        drops=tuple(drops),
        restores=tuple(restores),
        diverged_at=until_epoch * STEPS_PER_EPOCH + 7 if diverged else None,
    )


def several(history: History, n: int = 2, *, exchanging: bool = False) -> History:
    """The same as that of `n` networks, which stand 0.02 apart around its errors; the later ones drop nothing in
    conv2. With `exchanging` they do so at every point."""
    off = [0.02 * (k - (n - 1) / 2) for k in range(n)]
    errors = tuple(tuple(p.val_error + o for o in off) for p in history.points)
    drops = [replace(d, member=k, dropped={} if k else d.dropped) for d in history.drops for k in range(n)]
    restores = [replace(r, member=k) for r in history.restores for k in range(n)]
    told = [Exchange(step=p.step, before=e, after=e) for p, e in zip(history.points, errors, strict=True)]
    return replace(
        history, drops=tuple(drops), restores=tuple(restores), exchanges=tuple(told) if exchanging else (),
        member_errors=errors, ensemble_errors=tuple(p.val_error - 0.015 for p in history.points),
    )  # fmt: skip


def _point(step: int, phase: str, cycle: int, epoch: int, error: float, gflops: float) -> Point:
    return Point(
        step=step,
        phase=phase,
        cycle=cycle,
        lr=0.1 * 0.1 ** (epoch > 20) * 0.1 ** (epoch > 30),
        train_loss=2 * error,
        val_loss=3 * error,
        val_error=error,
        gflops=gflops,
        seconds=0.4 * epoch,
        time=START + 0.4 * epoch,
    )


def _drop(step: int, cycle: int, params: dict[str, Any], layers: dict[str, int], rng: random.Random) -> Drop:
    every = [(layer, i) for layer, n in layers.items() for i in range(n)]
    chosen = sorted(rng.sample(every, round(params["prune_ratio"] * len(every))))
    dropped = {layer: tuple(i for at, i in chosen if at == layer) for layer in layers}
    return Drop(
        step=step,
        cycle=cycle,
        dropped={layer: indices for layer, indices in dropped.items() if indices},
        overlap={layer: 0.12 + 0.02 * rng.random() for layer in layers},
    )


def _restore(step: int, cycle: int, drop: Drop) -> Restore:
    return Restore(
        step=step,
        cycle=cycle,
        levels={layer: {"mutual": len(indices)} for layer, indices in drop.dropped.items()},
        overlap={layer: 0.7 * value for layer, value in drop.overlap.items()},
    )


def draw(spec: StudySpec, rng: random.Random) -> dict[str, Any]:
    """Parameters that fit the total."""
    while True:
        params = {name: rng.choice(range_.values() or [0.5]) for name, range_ in spec.params.items()}
        s1, s2 = params.get("s1_epochs", 8), params.get("s2_epochs", 4)
        if params.get("cycles", 3) * (s1 + s2) <= EPOCHS:
            return params


def make_trial(
    spec: StudySpec,
    number: int,
    outcome: str = "complete",
    *,
    slot: int | None = None,
    arm: str | None = None,
    seed: int = 0,
    params: dict[str, Any] | None = None,
    layers: dict[str, int] | None = None,
    rng: random.Random | None = None,
) -> TrialRecord:
    """One attempt with all that a worker would have left of it."""
    rng = rng or random.Random(number)
    drawn = draw(spec, rng) if params is None else params
    full = {"prune_ratio": 0.3, "cycles": 3, "s1_epochs": 8, "s2_epochs": 4, "criterion": "ortho", **drawn}
    floor = 0.03 + 0.08 * abs(full["prune_ratio"] - 0.35) + 0.01 * (full["criterion"] == "random")
    lasts = {"complete": EPOCHS, "stopped": 18, "diverged": 9, "running": 14, "interrupted": 11, "error": 5}
    history = None
    if outcome in lasts:
        history = make_history(
            full, rng, layers=layers, until_epoch=lasts[outcome], floor=floor, diverged=outcome == "diverged"
        )
    trial = TrialRecord(
        section="search" if arm is None else "controls", settings=None if arm is None else {}, number=number, slot=number if slot is None else slot, arm=arm, seed=seed, outcome=outcome,
        params={} if arm or outcome in ("waiting", "duplicate") else drawn, history=history,
        started=None if outcome == "waiting" else START + 20 * number,
        ended=None if outcome in ("waiting", "running") else START + 20 * number + 16,
    )  # fmt: skip
    return replace(trial, **_left_behind(spec, trial))


def _network(trial: TrialRecord) -> dict[str, float]:
    """Numbers of a network that keeps without the filters of its last drop, as if they had not come back."""
    if trial.history is None:
        return {}
    lost = sum(len(f) for drop in trial.history.drops[-1:] for f in drop.dropped.values())
    share = 1 - lost / sum(trial.history.layers.values())
    return {"inference_gflops": 0.0004 * share**2, "params": 6000.0 * share}


def _left_behind(spec: StudySpec, trial: TrialRecord) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if trial.outcome == "complete" and trial.history:
        last = trial.history.points[-1]
        values = {"val_error": last.val_error, "train_gflops": last.gflops, **_network(trial)}
        fields["values"] = {name: values[name] for name in spec.objectives}
    if trial.outcome not in ("waiting", "running", "lost", "infeasible", "duplicate"):
        steps = trial.last_step
        fields["result"] = {
            **_network(trial), "seconds_spent": 0.013 * steps, "seconds_alone": 0.019 * steps, "steps_spent": steps,
            "steps_alone": steps, "device": "cpu", "host": "laptop", "versions": {"torch": "2.13.0"},
        }  # fmt: skip
    if trial.outcome in ("error", "out-of-memory"):
        fields["result"]["error"] = f"{trial.outcome}: <b>nothing</b> worked"
    if trial.outcome not in ("waiting", "infeasible"):
        fields["lease"] = {"worker": "w0", "host": "laptop", "device": "cpu"}
    return fields


def make_study(
    n_trials: int = 32,
    *,
    seed: int = 0,
    objectives: Sequence[str] = ("val_error", "train_gflops"),
    outcomes: Sequence[str] | None = None,
    extras: Sequence[str] = EXTRAS,
    control_seeds: Sequence[int] = (0, 1, 2),
    diverged_controls: Sequence[tuple[str, int]] = (),
    layers: dict[str, int] | None = None,
    **fields: Any,
) -> StudyRecord:
    """A study of `n_trials` slots whose outcomes cycle through `outcomes`, and one more for each of `extras`.

    Extras that do not use their slot up are followed by a second, complete attempt at it.
    """
    rng = random.Random(seed)
    order = [(outcomes or MIX)[i % len(outcomes or MIX)] for i in range(n_trials)]
    if outcomes is None:
        rng.shuffle(order)
    slots = max(1, n_trials + len(extras))
    spec = make_spec(objectives, slots, control_seeds=tuple(control_seeds) or (0,), **fields)
    trials = [make_trial(spec, i, outcome, layers=layers, rng=rng) for i, outcome in enumerate(order)]
    for outcome in extras:
        trials.append(make_trial(spec, len(trials), outcome, slot=n_trials + extras.index(outcome), rng=rng))
    for trial in list(trials[n_trials:]):
        if trial.outcome in ("infeasible", "interrupted", "lost"):
            trials.append(make_trial(spec, len(trials), slot=trial.slot, layers=layers, rng=rng))
    return StudyRecord(
        spec=spec,
        digest=digest(spec),
        facts=FACTS,
        created=START,
        version="0.1.0",
        attempts={
            "search": tuple(trials),
            "controls": tuple(_controls(spec, control_seeds, set(diverged_controls), layers)),
        },
    )


def comparison(**fields: Any) -> StudyRecord:
    """A finished study of three arms without a search."""
    record = make_study(0, extras=(), **fields)
    return replace(
        record, spec=with_fields(record.spec, slots=0, space={}), attempts={"controls": record.controls}
    )


FACTS = {
    "objective_versions": versions(),
    "steps_per_epoch": STEPS_PER_EPOCH, "total_steps": EPOCHS * STEPS_PER_EPOCH, "n_train": 1077,
    "n_val": 287, "n_test": 361, "n_classes": 10, "input_shape": [1, 8, 8], "fitting_share": 0.55,
    "data_digest": "ab" * 32,
}  # fmt: skip
ARM_PARAMS: dict[str, dict[str, Any]] = {
    "standard": {"cycles": 0},
    "paper": {},
    "random-drop": {"criterion": "random"},
}


def _controls(
    spec: StudySpec, seeds: Sequence[int], diverged: set[tuple[str, int]], layers: dict[str, int] | None
) -> list[TrialRecord]:
    cells = [(arm, seed) for arm in spec.arms for seed in seeds]
    trials = [
        make_trial(
            spec, number, "diverged" if (arm.name, seed) in diverged else "complete", arm=arm.name, seed=seed,
            params=ARM_PARAMS.get(arm.name, {}), layers=layers, rng=random.Random(1000 + 10 * seed + number),
        )
        for number, (arm, seed) in enumerate(cells)
    ]  # fmt: skip
    return [replace(t, settings=dict(arm.changes)) for t, (arm, _) in zip(trials, cells, strict=True)]
