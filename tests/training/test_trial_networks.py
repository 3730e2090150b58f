"""One network in training: its step, its restores, its precision, its state."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reprtune.errors import SpecError, StateError
from reprtune.spec.training import PRECISIONS
from reprtune.spec.trial import TrialSpec
from reprtune.training.chain import state
from reprtune.training.chain.plan import Segment
from reprtune.training.chain.trial_networks import TrialNetworks
from reprtune.training.models import build_model
from reprtune.training.parts.schedules import Event
from reprtune.training.platform.seeds import generator
from tests.training.tiny import LOADED_DATA, STEPS_PER_EPOCH, finish, same_bits, spec, trial_networks

DROP, RESTORE = Event("drop", 8, 0), Event("restore", 16, 0)
FIRST, SUB = Segment(0, 8, "full", 0), Segment(8, 16, "sub", 0)
RATES = np.full(48, 0.0625)  # exact in any precision


def train(network: TrialNetworks, *items: Segment | Event) -> None:
    for item in items:
        if isinstance(item, Event):
            network.apply_event(item)
        else:
            network.train(item, RATES, lambda: False)


def momentum_of(network: TrialNetworks) -> dict[str, Tensor]:
    return network.network.state.get("momentum", {})


def tensors(network: TrialNetworks) -> dict[str, Tensor]:
    """Parameters, statistics and momentum, copied; numbers of dropped filters as they keep them."""
    found = {name: value.clone() for name, value in network.network.whole_state().items()}
    return found | {f"{name}, momentum": value.clone() for name, value in momentum_of(network).items()}


@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_an_epoch_is_one_of_plain_sgd(momentum: float) -> None:
    """Weights, statistics and losses after 8 steps are those of a plain loop with torch.optim.SGD over the
    same batches."""
    trial = spec(training__momentum=momentum, training__weight_decay=0.01)
    network = trial_networks(trial)
    train(network, FIRST)
    task, batches = LOADED_DATA.task(trial.task), LOADED_DATA.batches(trial)
    model = build_model(trial.model, 1, (8, 8), 10, trial.seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0625, momentum=momentum, weight_decay=0.01)
    losses = []
    batches.start_epoch(generator(trial.seed, "epoch", 0, 0))
    for step in range(STEPS_PER_EPOCH):
        x, y = batches.batch(step)
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    for name, value in model.state_dict().items():
        torch.testing.assert_close(network.model.state_dict()[name], value, rtol=1e-5, atol=1e-6)
    [point] = network.points
    assert point.train_loss == pytest.approx(sum(losses) / len(losses), rel=1e-6)
    model.eval()
    shift = torch.tensor(task.mean).reshape(-1, 1, 1), torch.tensor(task.std).reshape(-1, 1, 1)
    with torch.no_grad():
        logits = model((task.val.x / 255 - shift[0]) / shift[1])
    assert point.val_loss == pytest.approx(F.cross_entropy(logits, task.val.y).item(), rel=1e-4)
    assert point.val_error == pytest.approx((logits.argmax(1) != task.val.y).float().mean().item())
    assert (point.step, point.phase, point.cycle, point.lr) == (8, "full", 0, 0.0625)


def test_the_loss_of_a_segment_is_its_own() -> None:
    """The mean over the second epoch's steps, from where the first has ended, by a plain loop."""
    trial = spec(training__momentum=0.0, training__weight_decay=0.0)
    network, batches = trial_networks(trial), LOADED_DATA.batches(trial)
    train(network, FIRST)
    model = copy.deepcopy(network.model)
    train(network, Segment(8, 16, "full", 0))
    optimizer = torch.optim.SGD(model.train().parameters(), lr=0.0625)
    losses = []
    batches.start_epoch(generator(trial.seed, "epoch", 0, 1))
    for step in range(STEPS_PER_EPOCH):
        x, y = batches.batch(step)
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert network.points[-1].train_loss == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_cost_counts_dropped_filters_as_absent() -> None:
    """By hand: convnet-3 of width 6 on 8x8 grey images, 16 images a step, 6 operations a multiply-add."""
    network = trial_networks()
    train(network, FIRST, DROP, SUB)
    full, sub = network.points
    per_image = 9 * 64 * (1 * 6 + 6 * 6 + 6 * 6) + 6 * 10
    assert full.gflops == pytest.approx(8 * 16 * 6 * per_image / 1e9)
    dropped = network.drops[0].dropped
    a, b = (6 - len(dropped.get(layer, ())) for layer in ("conv2", "conv3"))
    assert a + b == 12 - 4  # 0.3 of 12 is 3.6
    per_image = 9 * 64 * (1 * 6 + 6 * a + a * b) + b * 10
    assert sub.gflops - full.gflops == pytest.approx(8 * 16 * 6 * per_image / 1e9)


def cosine(a: Tensor, b: Tensor) -> float:
    a, b = a.double().flatten(), b.double().flatten()
    return abs(float(a @ b / (a.norm() * b.norm())))


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("criterion", ["ortho", "random"])
def test_restored_filters_are_new_and_the_rest_is_not_touched(criterion: str, batch_norm: bool) -> None:
    """|cos| < 1e-5 to every survivor and to the old value; BatchNorm and bias as in a new network; no
    momentum, also of the kernels that read them, which keep their values; all else bit for bit."""
    network = trial_networks(
        spec(
            method__criterion=criterion, method__prune_ratio=0.4, model__batch_norm=batch_norm, model__width=8
        )
    )
    train(network, FIRST, DROP, SUB)
    before = tensors(network)
    keep = {n: network.network.keep[s] for n, s in network.filters.slices().items()}
    train(network, RESTORE)
    after = tensors(network)
    expected = {name: value.clone() for name, value in before.items()}
    fresh = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0}
    n_restored = 0
    for i, reader in ((1, "conv2"), (2, "conv3"), (3, "fc")):
        kept = keep[f"conv{i}"]
        own = [f"bn{i}.{key}" for key in fresh] if batch_norm else [f"conv{i}.bias"]
        for name in own:
            expected[name][~kept] = fresh[name.split(".")[1]]
            if f"{name}, momentum" in expected:
                expected[f"{name}, momentum"][~kept] = 0
        expected[f"conv{i}.weight, momentum"][~kept] = 0
        expected[f"{reader}.weight, momentum"][:, ~kept] = 0
        weight, old = after[f"conv{i}.weight"], before[f"conv{i}.weight"]
        for f in (~kept).nonzero().flatten():
            n_restored += 1
            assert cosine(weight[f], old[f]) < 1e-5
            assert all(cosine(weight[f], old[s]) < 1e-5 for s in kept.nonzero().flatten())
        expected[f"conv{i}.weight"][~kept] = weight[~kept]
    assert n_restored == 6  # 0.4 of the 16 of conv2 and conv3
    assert not [name for name in expected if not torch.equal(after[name], expected[name])]
    assert network.network.is_full
    [restore] = network.restores
    assert sum(n for levels in restore.levels.values() for n in levels.values()) == n_restored


def test_a_drop_is_what_the_scores_say() -> None:
    """l2: the filters of conv2 and conv3 with the smallest norm relative to their layer's mean, worked out
    from the weights; first layer left out; nothing moves at the drop itself."""
    network = trial_networks(spec(method__criterion="l2", method__prune_ratio=0.3))
    train(network, FIRST)
    before = tensors(network)
    relative = []
    for layer in ("conv2", "conv3"):
        norms = [float(f.double().norm()) for f in before[f"{layer}.weight"]]
        relative += [(norm / (sum(norms) / 6), layer, i) for i, norm in enumerate(norms)]
    train(network, DROP)
    expected: dict[str, tuple[int, ...]] = {}
    for _, layer, i in sorted(relative)[:4]:
        expected[layer] = tuple(sorted((*expected.get(layer, ()), i)))
    [drop] = network.drops
    assert dict(drop.dropped) == expected
    assert (drop.step, drop.cycle, set(drop.overlap)) == (8, 0, {"conv1", "conv2", "conv3"})
    assert not [name for name, value in tensors(network).items() if not torch.equal(value, before[name])]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_weights_and_momentum_are_float32(precision: str) -> None:
    """Also with bf16 and fp16, in the sub-network phase too; and it does compute in them."""
    network = trial_networks(spec(training__precision=precision))
    seen = set()
    network.model.conv2.register_forward_hook(lambda _m, _x, y: seen.add(y.dtype))  # type: ignore[union-attr]
    train(network, FIRST, DROP, SUB)
    assert {p.dtype for p in network.model.parameters()} == {torch.float32}
    assert {m.dtype for m in momentum_of(network).values()} == {torch.float32}
    kinds = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    assert seen == {kinds[precision]}
    assert math.isfinite(network.points[-1].val_loss)


@pytest.mark.parametrize("criterion", ["ortho", "ortho-dim", "l2", "random"])
def test_precision_has_no_part_in_the_choice(criterion: str) -> None:
    """For equal weights bf16 drops the filters that fp32 drops, and restores the same."""
    one, other = (
        trial_networks(spec(method__criterion=criterion, training__precision=p)) for p in ("fp32", "bf16")
    )
    train(one, FIRST)
    other.load(one.save())
    for network in (one, other):
        train(network, DROP)
        network.apply_event(RESTORE)
    assert one.drops == other.drops and one.restores == other.restores
    assert all(torch.equal(a, b) for a, b in zip(tensors(one).values(), tensors(other).values(), strict=True))


def test_a_state_holds_everything() -> None:
    """Loaded into a new network it gives the same bytes again, in the middle of a sub-network phase."""
    network, other = trial_networks(), trial_networks(spec())
    train(network, FIRST, DROP, SUB)
    payload = network.save()
    other.load(payload)
    assert other.save() == payload
    assert (other.step_done, other.points, other.drops) == (16, network.points, network.drops)
    for one in (network, other):
        train(one, Segment(16, 24, "sub", 0))
    assert all(
        same_bits(a, b) for a, b in zip(tensors(network).values(), tensors(other).values(), strict=True)
    )


def test_the_fast_layout_survives_a_state() -> None:
    """Kernels and their momentum stay channels-last, or a continued trial would be slower than a new one."""
    network = trial_networks()
    network.load(network.save())
    kernels = [m.weight for m in network.model.modules() if isinstance(m, nn.Conv2d) and m.in_channels > 1]
    momentum = [momentum_of(network)[f"conv{i}.weight"] for i in (2, 3)]
    assert all(t.is_contiguous(memory_format=torch.channels_last) for t in (*kernels, *momentum))


@pytest.mark.parametrize("payload", [b"", b"x" * 100, pickle.dumps({"a": 1}), state.encode({}, 1)[:-1]])
def test_other_bytes_are_refused_unchanged(payload: bytes) -> None:
    """A pickle, a fragment, nothing: an error, and the network is as before."""
    network = trial_networks()
    before = tensors(network)
    with pytest.raises(StateError, match="training state"):
        network.load(payload)
    assert all(torch.equal(value, before[name]) for name, value in tensors(network).items())


@pytest.mark.parametrize("trial", [spec(), spec(method__cycles=0)], ids=["repr", "standard"])
def test_a_loss_that_is_not_finite_ends_the_trial(trial: TrialSpec) -> None:
    """No point is made of it; the step by which it happened is known; states keep it."""
    network = trial_networks(trial)
    network.train(FIRST, np.full(48, 1e6), lambda: False)
    network.train(Segment(8, 40, "full", 0), np.full(48, 1e6), lambda: False)
    assert network.diverged_at in (8, 40)
    assert all(math.isfinite(p.train_loss) and math.isfinite(p.val_loss) for p in network.points)
    other = trial_networks(trial)
    other.load(network.save())
    assert other.diverged_at == network.diverged_at


@pytest.mark.parametrize("changes", [{"method__prune_ratio": 0.01}, {"method__layer_cap": 0.1}])
def test_cycles_that_drop_nothing_are_refused(changes: dict[str, float]) -> None:
    """Of 12 filters: 0.01 is none, and neither is a tenth of each layer's 6. Without cycles nothing is asked."""
    with pytest.raises(SpecError, match="drop none of the 12 filters"):
        trial_networks(spec(**changes))
    trial_networks(spec(**changes, method__cycles=0))


def test_a_drop_knows_its_cycle() -> None:
    """It is recorded, and a random choice is another in every cycle."""
    drops = finish(spec(method__criterion="random", method__prune_ratio=0.5)).history.drops
    assert [drop.cycle for drop in drops] == [0, 1]
    assert drops[0].dropped != drops[1].dropped
