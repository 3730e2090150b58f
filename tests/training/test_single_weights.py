"""Drops of single weights (DSD) against networks whose weights are multiplied with a mask, trained by torch alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from reprtune.history import Happening
from reprtune.training.chain.plan import Segment
from reprtune.training.descent.losses import Loss
from reprtune.training.descent.optimizers import Optimizer
from reprtune.training.descent.step import Step
from reprtune.training.models import build_model
from reprtune.training.parts.drops.single_weights import SingleWeights
from reprtune.training.parts.schedules import Event
from reprtune.training.surgery.filters import find_filters
from reprtune.training.surgery.subnetwork import SubNetwork
from reprtune.training.surgery.weight_layers import weight_layers
from tests.training.drops import trial
from tests.training.small_net import SmallNet
from tests.training.test_every_training import RULES
from tests.training.tiny import finish, names, spec, trial_networks

DECAY = 0.05
TORCH: dict[str, Any] = {
    "sgd": lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9, weight_decay=DECAY),
    "nesterov": lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9, weight_decay=DECAY, nesterov=True),
    "adam": lambda p, lr: torch.optim.Adam(p, lr, weight_decay=DECAY),
    "adamw": lambda p, lr: torch.optim.AdamW(p, lr, weight_decay=DECAY),
    "adam-filter": lambda p, lr: torch.optim.Adam(p, lr, weight_decay=DECAY),
    "adamw-filter": lambda p, lr: torch.optim.AdamW(p, lr, weight_decay=DECAY),
}  # fmt: skip


def network(rule: str, static: bool) -> tuple[SingleWeights, Step]:
    one = trial("single-weights", rule, **{"training.weight_decay": DECAY})
    model = build_model(one.model, 1, (8, 8), 10, seed=4)
    optimizer = Optimizer(one.training, model.named_parameters(), torch.tensor(one.training.lr))
    whole = SubNetwork(model, find_filters(model, torch.zeros(1, 1, 8, 8)), optimizer.state, static=static)
    dropping = SingleWeights(whole, static)
    return dropping, Step(
        one.training, whole, optimizer, Loss(one.training.label_smoothing), dropping=dropping
    )


def batch(number: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(number)
    return torch.randn(16, 1, 8, 8, generator=draw), torch.randint(10, (16,), generator=draw)


def some(model: nn.Module, seed: int = 0) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {name: torch.rand(w.shape, generator=draw) < 0.4 for name, w in weight_layers(model).items()}


def masked_step(model: nn.Module, masks: Mapping[str, Tensor], optimizer: Any, number: int) -> None:
    """A step of the network whose weights are w * m, as a graph of autograd."""
    x, y = batch(number)
    used = {n: p * masks[n] if n in masks else p for n, p in model.named_parameters()}
    optimizer.zero_grad()
    F.cross_entropy(functional_call(model, used, (x,)), y).backward()
    optimizer.step()


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_the_rest_is_trained_as_if_the_masked_were_no_parameters(rule: str, static: bool) -> None:
    """Six steps with 40 % of all weights gone from the start: every other number is that of a network of w * m
    under torch's own optimizer, and the masked ones and their states are exactly 0 after each step."""
    dropping, step = network(rule, static)
    model, other = dropping.network.model, build_model(spec().model, 1, (8, 8), 10, seed=4)
    other.load_state_dict({name: t.clone() for name, t in model.state_dict().items()})
    taken = some(model)
    dropping.drop(taken)
    with torch.no_grad():
        for name, mask in taken.items():
            other.get_parameter(f"{name}.weight")[mask] = 0
    optimizer = TORCH[rule](other.parameters(), float(step.lr))
    for number in range(6):
        masked_step(other, {f"{name}.weight": ~mask for name, mask in taken.items()}, optimizer, number)
        step(*batch(number))
        for name, mask in taken.items():
            assert not model.get_parameter(f"{name}.weight")[mask].any()
            for kind, group in dropping.network.state.items():
                state = group[f"{name}.weight"]
                if state.shape == mask.shape:
                    assert not state[mask].any(), kind
    for name, p in model.named_parameters():
        torch.testing.assert_close(p, other.get_parameter(name), rtol=1e-4, atol=1e-6, msg=name)


def test_momentum_alone_would_revive_them() -> None:
    """Why they are held: with a momentum that is not held, weights set to 0 are no longer 0 after one step."""
    dropping, step = network("sgd", static=False)
    for number in range(2):
        step(*batch(number))
    weight = dropping.network.model.get_parameter("conv2.weight")
    mask = some(dropping.network.model)["conv2"]
    with torch.no_grad():
        weight[mask] = 0
    step(*batch(2))
    assert (weight[mask] != 0).float().mean() > 0.9


@pytest.mark.parametrize("rule", RULES)
def test_the_optimizer_begins_anew_with_what_comes_back(rule: str) -> None:
    """Right after the drop the state of what is gone is 0, that of the rest as it was; counts of filter-wise Adam
    are 0 where all weights between two channels are gone, and stay elsewhere."""
    dropping, step = network(rule, static=False)
    for number in range(2):
        step(*batch(number))
    states = dropping.network.state
    before = {kind: group["conv2.weight"].clone() for kind, group in states.items()}
    mask = some(dropping.network.model)["conv2"]
    mask[1, 2] = True
    dropping.drop({"conv2": mask})
    assert mask[1, 2].all() and not mask.flatten(2).all(2).all()
    for kind, group in states.items():
        whole = mask if kind != "count" else mask.flatten(2).all(2)[:, :, None, None]
        expected = before[kind].masked_fill(whole, 0)
        assert torch.equal(group["conv2.weight"], expected), kind
        assert not torch.equal(before[kind], expected)


@pytest.mark.parametrize("restore", ["zero", "old", "random"])
def test_how_they_come_back(restore: str) -> None:
    """As 0, as they were at the drop, or as in a new network; all else stays, and then all of them move."""
    one = trial("single-weights", **{"method.restore": restore, "method.restore_optimizer": "keep",
                                      "method.restore_bn": "keep"})  # fmt: skip
    run, rates = trial_networks(one), np.full(48, 0.05)
    run.train(Segment(0, 8, "full", 0), rates, lambda: False)
    at_drop = {name: t.clone() for name, t in run.model.state_dict().items()}
    run.apply_event(Event("drop", 8, 0))
    taken = dict(run.members[0].dropping.taken)
    run.train(Segment(8, 16, "sub", 0), rates, lambda: False)
    before = {name: t.clone() for name, t in run.model.state_dict().items()}
    run.apply_event(Event("restore", 16, 0))
    after = {name: t.clone() for name, t in run.model.state_dict().items()}
    assert set(taken) == {"conv2", "conv3", "fc"}
    for name, mask in taken.items():
        key = f"{name}.weight"
        assert torch.equal(after.pop(key)[~mask], before[key][~mask])
        found = run.model.get_parameter(key).detach()[mask]
        if restore == "old":
            assert torch.equal(found, at_drop[key][mask])
        assert bool(found.any()) == (restore != "zero")
        assert run.restores[0].levels[name] == {restore: int(mask.sum())}
    assert all(torch.equal(value, before[name]) for name, value in after.items())
    run.train(Segment(16, 24, "full", 1), rates, lambda: False)
    for name, mask in taken.items():
        assert (run.model.get_parameter(f"{name}.weight")[mask] != 0).float().mean() > 0.5


def test_what_is_recorded() -> None:
    """No filter is listed; how many weights of each layer are gone is. All costs are those of the whole network."""
    run = finish(trial("single-weights", **{"method.weight_ratio": 0.25}))
    history, sizes = run.history, {"conv2": 6 * 6 * 9, "conv3": 6 * 6 * 9, "fc": 6 * 10}
    counts = {name: float(round(0.25 * size)) for name, size in sizes.items()}
    assert [dict(d.dropped) for d in history.drops] == [{}, {}]
    assert history.happenings == tuple(Happening(kind="drop", step=s, numbers=counts) for s in (8, 24))
    gflops = [p.gflops for p in history.points]
    assert np.diff(gflops) == pytest.approx([gflops[0]] * 5)


def test_a_bias_and_batch_norm_are_never_taken() -> None:
    """Only weights of convolutions and linear layers, each once, in the order of the network."""
    model = SmallNet()
    expected = [n for n, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert list(weight_layers(model)) == expected and len(expected) > 2
    model.other = model.get_submodule(expected[-1])
    assert list(weight_layers(model)) == expected


def test_the_code_of_the_drop_names_what_it_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line changed in it, or in what chooses weights, renames DSD from its drop on, and nothing before or else."""
    from reprtune.training.platform import sources

    dsd, others = trial("single-weights"), spec()
    before, rest, digest_of = names(dsd), names(others), sources.digest_of
    for module in ("drops/single_weights", "selections/weights", "criteria/magnitude"):
        there = sources.PACKAGE_FOLDER / "parts" / f"{module}.py"
        assert there.is_file()
        monkeypatch.setattr(
            sources, "digest_of", lambda path, there=there: "other" if path == there else digest_of(path)
        )
        sources.source_digest.cache_clear()
        after = names(dsd)
        assert [a == b for a, b in zip(before, after, strict=True)] == [i < 2 for i in range(len(before))]
        assert names(others) == rest
    monkeypatch.undo()
    sources.source_digest.cache_clear()
