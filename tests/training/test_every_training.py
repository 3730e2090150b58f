"""Every optimizer in every precision on every family: whole trials that end well and resume as themselves."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reprtune.spec.parts.restores import LEARNING_RATES
from reprtune.spec.training import LR_SCHEDULES, OPTIMIZERS, PRECISIONS
from reprtune.spec.trial import TrialSpec
from reprtune.states.store import StateStore
from reprtune.training.chain.plan import Segment
from reprtune.training.parts.schedules import Event
from tests.training.tiny import assert_same_end, finish, names, spec, trial_networks

RULES: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": "sgd", "lr": 0.05},
    "nesterov": {"optimizer": "sgd", "lr": 0.05, "nesterov": True},
    "adam": {"optimizer": "adam", "lr": 0.003},
    "adamw": {"optimizer": "adamw", "lr": 0.003},
    "adam-filter": {"optimizer": "adam", "lr": 0.003, "bias_correction": "filter"},
    "adamw-filter": {"optimizer": "adamw", "lr": 0.003, "bias_correction": "filter"},
}
FAMILIES: dict[str, dict[str, Any]] = {
    "convnet-2": {"model.name": "convnet-2"},
    "convnet-2-bias": {"model.name": "convnet-2", "model.batch_norm": False},
    "resnet-8": {"model.name": "resnet-8", "model.width": 4},
    "densenet-10-4": {"model.name": "densenet-10-4", "model.width": None},
    "vgg11-bn": {"model.name": "vgg11-bn", "model.width": None},
}
VGG = ("vgg11-bn", {("sgd", "fp32"), ("adamw-filter", "bf16")})  # 9 M weights: too slow for all of them
EXTRAS = {"training.label_smoothing": 0.1, "method.losses": "overlap", "method.ortho_penalty": 1e-3}


def trial(rule: str, precision: str, family: str, **more: Any) -> TrialSpec:
    training = {f"training.{k}": v for k, v in RULES[rule].items()}
    model = FAMILIES[family]
    return spec(
        **{**training, **model, "training.precision": precision, "method.exclude_first": False, **more}
    )


def check(one: TrialSpec, folder: Path) -> None:
    """It ends finite, with drops and restores; and a second run, continued in the middle, is the same."""
    store = StateStore(folder / "states", "me")
    whole = finish(one, store, keep="all")
    assert all(math.isfinite(p.train_loss) and math.isfinite(p.val_loss) for p in whole.history.points)
    assert len(whole.history.drops) == len(whole.history.restores) == 2
    sub_phase = next(i for i, item in enumerate(whole.items, 1) if getattr(item, "phase", "") == "sub")
    for name in whole.names[sub_phase + 1 :]:
        store.delete([name])
    again = finish(one, store)
    assert 0 < again.steps_spent < whole.steps_spent
    assert_same_end(whole, again)


DEFAULT = [
    *((rule, "fp32", "convnet-2") for rule in RULES),
    *((rule, "fp16", "convnet-2-bias") for rule in RULES),
    *(("adamw-filter", precision, "resnet-8") for precision in PRECISIONS),
    ("sgd", "bf16", "resnet-8"),
]


@pytest.mark.parametrize(("rule", "precision", "family"), DEFAULT)
def test_a_trial_ends_and_resumes(rule: str, precision: str, family: str, tmp_path: Path) -> None:
    """From the end of the first sub-network phase on, bit for bit."""
    check(trial(rule, precision, family), tmp_path)


PRODUCT = [
    (rule, precision, family)
    for family, rule, precision in itertools.product(FAMILIES, RULES, PRECISIONS)
    if family != VGG[0] or (rule, precision) in VGG[1]
]


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "precision", "family"), PRODUCT)
def test_every_combination(rule: str, precision: str, family: str, tmp_path: Path) -> None:
    """With smoothed labels and the orthogonality penalty too."""
    short = {"training.total": "10it", "method.s1": "2it", "method.s2": "2it"}
    check(trial(rule, precision, family, **EXTRAS, **short), tmp_path)


@pytest.mark.parametrize("restore_lr", LEARNING_RATES)
@pytest.mark.parametrize("schedule", LR_SCHEDULES)
def test_every_schedule_reaches_the_steps(schedule: str, restore_lr: str, tmp_path: Path) -> None:
    """Each point shows the learning rate of the last step of its segment, whatever the schedule; with
    `restart` the one after a restore is as far from its restore as the first is from the beginning."""
    one = spec(**{"training.lr_schedule": schedule, "training.lr_period": "10it", "training.total": "6ep",
                  "training.segment": "1it", "method.restore_lr": restore_lr})  # fmt: skip
    run = finish(one)
    assert [p.lr for p in run.history.points] == run.lrs.tolist()
    if restore_lr == "restart":
        assert np.array_equal(run.lrs[:16], run.lrs[16:32])  # two cycles of 8 + 8 steps
        assert (run.lrs[32] == run.lrs[0]) and len(run.lrs) == 48


@pytest.mark.parametrize("rule", RULES)
def test_all_state_of_a_restored_filter_is_reset(rule: str) -> None:
    """Every average and count of a restored filter, and of the kernels that read it, is 0 after the restore;
    while it was dropped they stood still, and the others' counts went on."""
    network = trial_networks(trial(rule, "fp32", "convnet-2", **{"method.scope": "layer"}))
    rates = np.full(48, 0.003)
    network.train(Segment(0, 8, "full", 0), rates, lambda: False)
    network.apply_event(Event("drop", 8, 0))
    dropped = {n: ~network.network.keep[r] for n, r in network.filters.slices().items()}
    states = network.network.state
    before = {kind: {n: t.clone() for n, t in group.items()} for kind, group in states.items()}
    network.train(Segment(8, 16, "sub", 0), rates, lambda: False)
    absent = dropped["conv2"]
    assert absent.any()
    for kind, group in states.items():
        assert torch.equal(group["conv2.weight"][absent], before[kind]["conv2.weight"][absent])
        assert torch.equal(group["fc.weight"][:, absent], before[kind]["fc.weight"][:, absent])
        assert not torch.equal(group["conv2.weight"][~absent], before[kind]["conv2.weight"][~absent])
    network.apply_event(Event("restore", 16, 0))
    assert states
    for kind, group in states.items():
        for region in (
            group["conv2.weight"][absent],
            group["fc.weight"][:, absent],
            group["bn2.weight"][absent],
        ):
            assert not region.any(), kind
        assert group["conv2.weight"][~absent].any()
    if "count" in states:
        present = states["count"]["conv2.weight"][~absent][:, ~dropped["conv1"]]
        assert (present == 16).all()


def test_every_optimizer_is_visited() -> None:
    """One added to the specification must be put in the table above."""
    assert {fields["optimizer"] for fields in RULES.values()} == set(OPTIMIZERS)


@pytest.mark.parametrize(("schedule", "shared"), [("constant", True), ("step", False), ("cosine", False)])
def test_restarts_are_in_the_names_of_states(schedule: str, shared: bool) -> None:
    """By the learning rates alone: where they are the same, so are all names; a step down at 0.4 of 16 steps
    instead of 48 is in the first segment."""
    one, other = (
        names(spec(**{"training.lr_schedule": schedule, "method.restore_lr": rule}))
        for rule in ("continue", "restart")
    )
    assert (one == other) == shared
    assert len(set(one) & set(other)) == (len(one) if shared else 1)
