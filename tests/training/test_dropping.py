"""Drops and restores of a trial: what moves, what comes back, and what else belongs to a filter."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reprtune.spec.parts.restores import BATCH_NORMS, NEXT_KERNELS, OPTIMIZER_STATES, SCALES
from reprtune.states.store import StateStore
from reprtune.training.chain.plan import Segment
from reprtune.training.chain.restoring import _some_batches
from reprtune.training.chain.trial_networks import TrialNetworks
from reprtune.training.data.task import Part
from reprtune.training.models import build_model
from reprtune.training.parts.restore_rules import recalibrate, reset_channels
from reprtune.training.parts.schedules import Event
from reprtune.training.platform.seeds import derive, generator
from reprtune.training.surgery.filters import find_filters
from reprtune.training.surgery.subnetwork import SubNetwork
from tests.training.parts import DROPS
from tests.training.tiny import LOADED_DATA, assert_same_end, finish, same_bits, spec, stored, trial_networks

FIRST, DROP, SUB = Segment(0, 8, "full", 0), Event("drop", 8, 0), Segment(8, 16, "sub", 0)
RESTORE, AFTER = Event("restore", 16, 0), Segment(16, 24, "full", 1)
RATES = np.full(48, 0.0625)
OWN = {i: [f"bn{i}.{key}" for key in ("weight", "bias", "running_mean", "running_var")] for i in (1, 2, 3)}
READERS = ((1, "conv2"), (2, "conv3"), (3, "fc"))


def train(network: TrialNetworks, *items: Segment | Event) -> TrialNetworks:
    for item in items:
        if isinstance(item, Event):
            network.apply_event(item)
        else:
            network.train(item, RATES, lambda: False)
    return network


def method(**changes: Any) -> TrialNetworks:
    """Every layer loses filters; momentum and weight decay would move what is not held."""
    changes = {"exclude_first": False, "prune_ratio": 0.45, "criterion": "random", **changes}
    fields = {f"method__{name}": value for name, value in changes.items() if "__" not in name}
    others = {name: value for name, value in changes.items() if "__" in name}
    return trial_networks(spec(model__width=8, training__weight_decay=0.01, **fields, **others))


def tensors(network: TrialNetworks) -> dict[str, Tensor]:
    """Parameters, statistics and the optimizer's state, copied; numbers of dropped filters as they keep them."""
    found = {name: value.clone() for name, value in network.network.whole_state().items()}
    for kind, group in network.network.state.items():
        found |= {f"{name}, {kind}": value.clone() for name, value in group.items()}
    return found


def kept(network: TrialNetworks) -> dict[int, Tensor]:
    """Number of the convolution -> which of its filters are there."""
    keep = network.network.keep
    rows = {int(name[-1]): keep[numbers] for name, numbers in network.filters.slices().items()}
    assert all(0 < int((~row).sum()) < 8 for row in rows.values())
    return rows


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


# -- dropped ---------------------------------------------------------------------------------------


def test_of_weights_only_drops_nothing_but_the_weights_is_held() -> None:
    """Weights and momentum of the dropped filters stay bit for bit, under momentum and weight decay; their
    BatchNorm, statistics and the kernels that read them move, as does all of the survivors."""
    network = train(method(drop="weights-only"), FIRST, DROP)
    before, keep = tensors(network), kept(network)
    train(network, SUB)
    after = tensors(network)
    for i, reader in READERS:
        for name in (f"conv{i}.weight", f"conv{i}.weight, momentum"):
            assert torch.equal(after[name][~keep[i]], before[name][~keep[i]])
            assert (after[name][keep[i]] != before[name][keep[i]]).any((1, 2, 3)).all()
        for name in (*OWN[i][:2], *(f"{name}, momentum" for name in OWN[i][:2]), *OWN[i][2:]):
            assert (after[name] != before[name])[~keep[i]].any(), name
        columns = (after[f"{reader}.weight"] != before[f"{reader}.weight"])[:, ~keep[i]]
        assert columns[keep[i + 1]].any() if reader != "fc" else columns.any()


def test_it_is_the_network_with_weights_of_0() -> None:
    """Its logits are those of a copy in which the dropped filters' weights are set to 0, in training and in
    evaluation mode; and it leaks: BatchNorm's shift comes through, which an exact drop silences."""
    network = train(method(drop="weights-only"), FIRST, DROP)
    keep = kept(network)
    bn = network.model.get_submodule("bn2")
    assert isinstance(bn, nn.BatchNorm2d)
    bn.bias.detach()[:] = 1.0
    copy = build_model(network.spec.model, 1, (8, 8), 10, seed=5)
    copy.load_state_dict(network.model.state_dict())
    for i in keep:
        copy.get_parameter(f"conv{i}.weight").detach()[~keep[i]] = 0
    x = torch.randn(6, 1, 8, 8, generator=generator(0, "x"))
    seen: list[Tensor] = []
    hook = network.model.get_submodule("conv3").register_forward_pre_hook(lambda _m, a: seen.append(a[0]))
    for mode in (True, False):
        network.model.train(mode)
        copy.train(mode)
        torch.testing.assert_close(network.network.forward(x), copy(x))
    hook.remove()
    assert torch.allclose(seen[0][:, ~keep[2]], torch.ones(()))  # training mode: 0 less its mean 0, and 1
    exact = train(method(), FIRST, DROP)
    with exact.network.whole():
        exact.model.get_submodule("bn2").get_parameter("bias").detach()[:] = 1.0
    exact.model.get_submodule("conv3").register_forward_pre_hook(lambda _m, a: seen.append(a[0]))
    exact.network.forward(x)
    assert not seen[-1][:, ~keep[2]].any()


@pytest.mark.parametrize("drop", DROPS)
def test_cost_of_what_is_computed(drop: str) -> None:
    """Weights of 0 cost as much as others: 6 operations for each of 9 * 64 * (8 + 64 + 64) + 80
    multiply-adds, 16 images, 8 steps; an exact drop costs less."""
    network = train(method(drop=drop), FIRST, DROP, SUB)
    full, sub = network.points
    assert full.gflops == pytest.approx(8 * 16 * 6 * (9 * 64 * 136 + 80) / 1e9)
    assert (sub.gflops == pytest.approx(2 * full.gflops)) == (drop == "weights-only")
    assert full.gflops < sub.gflops <= 2 * full.gflops * (1 + 1e-9)


# -- restored --------------------------------------------------------------------------------------


@pytest.mark.parametrize("drop", DROPS)
def test_the_old_value_is_the_one_at_the_drop(drop: str) -> None:
    """With `old` and everything kept, a restore changes nothing at all; with an exact drop what belongs to
    the filters is then as it was at the drop, the optimizer's state and the next kernels included."""
    rules = {"restore": "old", "restore_bn": "keep", "restore_optimizer": "keep", "restore_next": "keep"}
    network = train(method(drop=drop, **rules), FIRST, DROP)
    at_drop, keep = tensors(network), kept(network)
    train(network, SUB)
    before = tensors(network)
    train(network, RESTORE)
    after = tensors(network)
    assert not changed(before, after) and network.network.is_full
    for i, reader in READERS:
        for name in (f"conv{i}.weight", f"conv{i}.weight, momentum"):
            assert torch.equal(after[name][~keep[i]], at_drop[name][~keep[i]])
        if drop == "exact":
            for name in (*OWN[i], f"bn{i}.weight, momentum"):
                assert torch.equal(after[name][~keep[i]], at_drop[name][~keep[i]])
            for name in (f"{reader}.weight", f"{reader}.weight, momentum"):
                assert torch.equal(after[name][:, ~keep[i]], at_drop[name][:, ~keep[i]])
    train(network, AFTER)
    assert (tensors(network)["conv2.weight"] != after["conv2.weight"])[~keep[2]].any()


@pytest.mark.parametrize("drop", DROPS)
@pytest.mark.parametrize("optimizer", OPTIMIZER_STATES)
@pytest.mark.parametrize("bn", ["reset", "keep"])
def test_batch_norm_and_optimizer_state_of_restored_filters(bn: str, optimizer: str, drop: str) -> None:
    """reset: 1 and 0 as in a new network, and no state of any kind, also of the kernels that read them;
    keep: not a bit. Nothing else changes but their weights."""
    network = method(
        drop=drop, restore_bn=bn, restore_optimizer=optimizer,
        training__optimizer="adam", training__lr=0.001, training__bias_correction="filter",
    )  # fmt: skip
    train(network, FIRST, DROP, SUB)
    before, keep = tensors(network), kept(network)
    kinds = list(network.network.state)
    assert len(kinds) == 3
    train(network, RESTORE)
    after = tensors(network)
    expected = {name: value.clone() for name, value in before.items()}
    for i, reader in READERS:
        for name, fresh in zip(OWN[i], (1.0, 0.0, 0.0, 1.0), strict=True):
            if bn == "reset":
                expected[name][~keep[i]] = fresh
        for kind in kinds if optimizer == "reset" else ():
            for name in (f"conv{i}.weight", *OWN[i][:2]):
                expected[f"{name}, {kind}"][~keep[i]] = 0
            expected[f"{reader}.weight, {kind}"][:, ~keep[i]] = 0
        weight = f"conv{i}.weight"
        assert (after[weight] != before[weight])[~keep[i]].any((1, 2, 3)).all()
        expected[weight][~keep[i]] = after[weight][~keep[i]]
    assert not changed(expected, after)


def test_zeroed_readers_restore_the_network_without_changing_what_it_says() -> None:
    """Right after such a restore the whole network computes what the sub-network did, though its filters are
    new; with kept readers it does not."""
    x = torch.randn(6, 1, 8, 8, generator=generator(0, "x"))
    for rule in ("zero", "keep"):
        network = train(method(restore_next=rule), FIRST, DROP, SUB)
        network.model.eval()
        with torch.no_grad():
            before = network.network.forward(x)
            train(network, RESTORE)
            after = network.network.forward(x)
        assert network.network.is_full
        assert torch.equal(before, after) == (rule == "zero")


@pytest.mark.parametrize("drop", DROPS)
@pytest.mark.parametrize("rule", NEXT_KERNELS)
def test_the_kernels_that_read_restored_filters(rule: str, drop: str) -> None:
    """Of surviving filters and of the classifier: kept, 0, small and drawn anew, or those of a new network; the
    others stay. Restored filters are orthogonal to the survivors with their new kernels."""
    network = train(method(drop=drop, restore_next=rule), FIRST, DROP, SUB)
    before, keep = tensors(network), kept(network)
    train(network, RESTORE)
    after = tensors(network)
    for i, reader in READERS:
        name = f"{reader}.weight"
        stay = keep[i + 1] if reader != "fc" else torch.ones(10, dtype=torch.bool)
        old, new = before[name][stay], after[name][stay]
        assert torch.equal(new[:, keep[i]], old[:, keep[i]])
        read = new[:, ~keep[i]]
        if rule == "small":
            draw = generator(network.spec.seed, "next", 0, 0, reader)
            noise = torch.randn(after[name].shape, generator=draw)[stay][:, ~keep[i]]
            spread = old[:, keep[i]].double().numpy().std()
            torch.testing.assert_close(read, 0.1 * float(spread) * noise, rtol=1e-5, atol=1e-9)
        elif rule == "random":
            seed = derive(network.spec.seed, "restore", 0, 0)
            fresh = build_model(network.spec.model, 1, (8, 8), 10, seed).get_parameter(name).detach()
            assert torch.equal(read, fresh[stay][:, ~keep[i]])
        else:
            assert torch.equal(read, old[:, ~keep[i]] * (rule == "keep"))
        if reader != "fc":
            rows = after[name].double().flatten(1)
            rows = rows / rows.norm(dim=1, keepdim=True)
            assert (rows[~stay] @ rows[stay].T).abs().max() < 1e-5


def test_random_weights_are_those_of_a_new_network() -> None:
    """Of one built from a seed of this restore; another cycle draws others."""
    network = train(method(restore="random"), FIRST, DROP, SUB)
    keep = kept(network)
    train(network, RESTORE)
    for cycle in (0, 1):
        new = build_model(network.spec.model, 1, (8, 8), 10, derive(network.spec.seed, "restore", 0, cycle))
        for i in keep:
            found, drawn = (m.get_parameter(f"conv{i}.weight")[~keep[i]] for m in (network.model, new))
            assert torch.equal(found, drawn) == (cycle == 0)


# -- statistics measured anew ----------------------------------------------------------------------


def statistics_by_hand(network: TrialNetworks, n_batches: int, size: int) -> dict[str, Tensor]:
    """Mean over batches of what each BatchNorm reads: per channel mean and unbiased variance, in float64."""
    task = LOADED_DATA.task(network.spec.task)
    model = build_model(network.spec.model, 1, (8, 8), 10, seed=9).double()
    model.load_state_dict(network.model.state_dict())
    model.train()
    seen: dict[str, list[Tensor]] = {name: [] for names in OWN.values() for name in names[2:]}
    for i in OWN:

        def read(_m: nn.Module, args: tuple[Tensor], i: int = i) -> None:
            x = args[0].detach().transpose(0, 1).flatten(1)
            seen[f"bn{i}.running_mean"].append(x.mean(1))
            seen[f"bn{i}.running_var"].append(x.var(1, correction=1))

        model.get_submodule(f"bn{i}").register_forward_pre_hook(read)
    order = torch.randperm(128, generator=generator(network.spec.seed, "recalibrate", 0))
    for start in range(0, n_batches * size, size):
        x = task.train.x[order[start : start + size]].double() / 255
        model((x - task.mean[0]) / task.std[0])
    return {name: torch.stack(values).mean(0) for name, values in seen.items()}


@pytest.mark.parametrize(("size", "n_batches"), [(16, 8), (4, 20), (60, 2)])
def test_statistics_are_measured_anew(size: int, n_batches: int) -> None:
    """Of all filters, over the first 20 whole batches of the shuffled train part or as many as there are (128
    images), not augmented; otherwise the restore is the one with `reset`, and nothing is drawn."""
    one, other = (
        train(method(restore_bn=bn, training__batch_size=size, task__augment="flip"), FIRST, DROP)
        for bn in ("recalibrate", "reset")
    )
    torch.manual_seed(3)
    state = torch.get_rng_state()
    train(one, RESTORE)
    assert torch.equal(torch.get_rng_state(), state)
    train(other, RESTORE)
    expected = statistics_by_hand(other, n_batches, size)
    for name, value in expected.items():
        torch.testing.assert_close(
            one.model.state_dict()[name].double(), value, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: n + m
        )
    assert changed(tensors(one), tensors(other)) == set(expected)
    assert one.model.training and all(
        m.momentum == 0.1 for m in one.model.modules() if hasattr(m, "momentum")
    )


def test_statistics_are_of_all_classes() -> None:
    """Also where images come class by class, as those of a folder do: the batches measured hold every class,
    are the same at every restore, and all of one trial."""
    network = method(training__batch_size=4)
    part = network.task.train
    by_class = Part(part.x, part.y.sort().values)
    task = replace(network.task, train=by_class)
    first, again = ([y for _, y in _some_batches(network.members[0], task)] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert [len(y) for y in first] == [4] * 20
    assert set(torch.cat(first).tolist()) == set(range(10))


def test_measuring_anew_draws_nothing() -> None:
    """Dropout is off while BatchNorm measures, and on again afterwards."""
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(), nn.BatchNorm2d(4))
    model.append(nn.Conv2d(4, 2, 1))
    nn.init.ones_(model[0].weight)
    nn.init.zeros_(model[0].bias)
    network = SubNetwork(model, find_filters(model, torch.zeros(1, 3, 2, 2)), {})
    state = torch.get_rng_state()
    recalibrate(network, [torch.full((2, 3, 2, 2), value) for value in (0.0, 1.0)])
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(model[1].running_mean, torch.full((4,), 1.5))  # of 3 * 0 and 3 * 1
    assert all(module.training for module in model)


# -- whole trials ----------------------------------------------------------------------------------

COMBINATIONS = [
    {"drop": "weights-only", "restore": "orthogonal", "restore_scale": "old", "restore_bn": "keep"},
    {"drop": "weights-only", "restore": "old", "restore_optimizer": "keep", "restore_scale": "survivors"},
    {"drop": "weights-only", "restore": "as-released", "restore_bn": "recalibrate", "restore_next": "small"},
    {"drop": "exact", "restore": "random", "restore_next": "zero", "restore_optimizer": "keep"},
    {"drop": "exact", "restore": "zero", "restore_bn": "keep", "restore_next": "small"},
    {"drop": "exact", "restore": "random", "restore_next": "random"},
    {"drop": "exact", "restore": "orthogonal", "restore_scale": "clip", "restore_bn": "recalibrate"},
]


def test_the_combinations_visit_every_word() -> None:
    """Of every option, the defaults of those left out among them."""
    found = {(field, word) for combination in COMBINATIONS for field, word in combination.items()}
    words = {
        "drop": DROPS, "restore_scale": SCALES[1:], "restore_bn": BATCH_NORMS[1:],
        "restore_optimizer": OPTIMIZER_STATES[1:], "restore_next": NEXT_KERNELS[1:],
    }  # fmt: skip
    assert found >= set(itertools.chain(*(itertools.product([f], w) for f, w in words.items())))


@pytest.mark.parametrize("combination", COMBINATIONS, ids=lambda c: "-".join(c.values()))
def test_a_trial_continued_after_any_drop_or_restore_is_the_same(
    combination: dict[str, str], tmp_path: Path
) -> None:
    """From each of its stored states, so that old values, kept BatchNorm and optimizer state travel in them;
    every filter dropped is counted in the levels of its restore."""
    trial = spec(**{f"method__{field}": word for field, word in combination.items()})
    whole = finish(trial, StateStore(tmp_path), keep="all")
    assert [len(whole.history.drops), len(whole.history.restores)] == [2, 2]
    for drop, restore in zip(whole.history.drops, whole.history.restores, strict=True):
        counts = {name: sum(levels.values()) for name, levels in restore.levels.items()}
        assert counts == {name: len(rows) for name, rows in drop.dropped.items()}
    assert len(stored(StateStore(tmp_path))) >= 8
    for event in (DROP, RESTORE):
        one = train(trial_networks(trial), *((FIRST, DROP) if event is DROP else (FIRST, DROP, SUB, RESTORE)))
        other = trial_networks(trial)
        other.load(one.save())
        rest = (SUB, RESTORE, AFTER) if event is DROP else (AFTER,)
        train(one, *rest)
        train(other, *rest)
        found, expected = tensors(other), tensors(one)
        assert all(same_bits(found[name], expected[name]) for name in expected)
    assert_same_end(finish(trial), whole)


def test_the_slope_of_a_prelu_is_that_of_a_new_network() -> None:
    """Its first value, which is not 0, for restored filters; what was learned, for the others."""
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.PReLU(4, init=0.3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    network = SubNetwork(model, find_filters(model, torch.zeros(1, 1, 8, 8)), {})
    slopes = model[1].weight
    with torch.no_grad():
        slopes.copy_(torch.tensor([0.1, 0.2, 0.4, 0.5]))
    network.set_keep(torch.tensor([True, False, True, False]))
    reset_channels(network)
    assert slopes.tolist() == pytest.approx([0.1, 0.3, 0.4, 0.3])
