"""What every criterion of the catalog must keep, on a network with data."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from reprtune.spec.parts.criteria import Criterion
from reprtune.training.parts import selections
from reprtune.training.parts.criteria import ScoreContext, reading, score_filters
from reprtune.training.parts.criteria import hessian as hessian_module
from reprtune.training.parts.overlaps import detached
from reprtune.training.surgery.filters import find_filters
from reprtune.training.surgery.subnetwork import SubNetwork
from tests.training import parts
from tests.training.dropping import EXAMPLE
from tests.training.parts import OF_FILTERS
from tests.training.small_net import LAYERS, N_IMAGES, context, network
from tests.training.tiny import finish, spec
from tests.training.toy_networks import Tower

NAMES = OF_FILTERS


def ranked(name: str, net: SubNetwork) -> dict[str, Tensor]:
    """The layers that the criterion can rank."""
    return {n: w for n, w in detached(net).items() if name != "bn-gamma" or n in net.filters.norms}


def scored(name: str, net: SubNetwork, batch_size: int = 50) -> dict[str, Tensor]:
    return parts.scored(name, ranked(name, net), context(net, batch_size))


def same_bits(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return list(one) == list(other) and all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_finite_float64_on_the_cpu_and_repeatable(name: str) -> None:
    """One per filter of the layers asked for, without a graph of gradients; the same bits again."""
    net = network()
    found = scored(name, net)
    assert list(found) == list(ranked(name, net))
    for layer, scores in found.items():
        assert scores.shape == (LAYERS[layer],) and scores.dtype == torch.float64
        assert scores.device.type == "cpu" and not scores.requires_grad and scores.isfinite().all()
    assert same_bits(found, scored(name, net))


@pytest.mark.parametrize("name", NAMES)
def test_scoring_leaves_everything_as_it_was(name: str) -> None:
    """Weights, statistics, gradients (there or not), modes of every module, hooks, masks, generators."""
    net = network()
    first, *others = net.parameters.values()
    first.grad = torch.full_like(first, 7)
    state, modes = copy.deepcopy(net.model.state_dict()), [m.training for m in net.model.modules()]
    rng, keep = torch.get_rng_state(), net.keep.clone()
    scored(name, net)
    assert same_bits(state, net.model.state_dict())
    assert modes == [m.training for m in net.model.modules()] and {True, False} == set(modes)
    assert (first.grad == 7).all() and all(p.grad is None and p.requires_grad for p in others)
    assert torch.equal(rng, torch.get_rng_state()) and torch.is_grad_enabled()
    assert torch.equal(keep, net.keep) and net.is_full
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.model.modules())


def test_modes_come_back_after_an_error() -> None:
    """A network that fails in the middle is not left in evaluation mode."""
    net = network()
    broken = ScoreContext(0, 0, net, lambda: [(torch.zeros(2, 1, 8, 8), torch.zeros(2, dtype=torch.int64))])
    for name in ("activation", "taylor", "hessian", "oracle"):
        with pytest.raises(RuntimeError):
            parts.scored(name, detached(net), broken)
        assert net.model.training and not net.model.bn1.training


@pytest.mark.parametrize("name", [n for n in NAMES if n != "random"])
def test_scores_move_with_the_filters(name: str) -> None:
    """Filters in another order, with all that belongs to them, have their scores in that order."""
    net = network()
    order = torch.tensor([3, 0, 4, 1, 2])
    turned = copy.deepcopy(net.model)
    with torch.no_grad():
        for tensor in (turned.conv1.weight, *turned.bn1.parameters(), *turned.bn1.buffers()):
            if tensor.dim() > 0:
                tensor.copy_(tensor[order].clone())
        turned.conv2.weight.copy_(turned.conv2.weight[:, order].clone())
    one, other = scored(name, net), scored(name, SubNetwork(turned, find_filters(turned, EXAMPLE), {}))
    for layer in one:
        expected = one[layer][order] if layer == "conv1" else one[layer]
        assert other[layer].tolist() == pytest.approx(expected.tolist(), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_scores_do_not_depend_on_how_images_were_batched(name: str) -> None:
    """All at once, one by one or 33 at a time: the same bits."""
    net = network()
    whole = scored(name, net, N_IMAGES)
    assert same_bits(whole, scored(name, net, 33)) and same_bits(whole, scored(name, net, 1))


@pytest.mark.parametrize("name", NAMES)
def test_little_memory_gives_the_same_scores(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for three images at a time the scores round differently, and that is all; the squares of
    taylor-fo are still those of 64 images."""
    net = network()
    whole = scored(name, net)
    monkeypatch.setattr(reading, "MAX_IMAGES", 3)
    monkeypatch.setattr(hessian_module, "MAX_GRADIENTS", 1)
    small = scored(name, net)
    for layer, scores in whole.items():
        assert small[layer].tolist() == pytest.approx(scores.tolist(), rel=1e-3, abs=1e-7)


def test_chunks_are_small_where_images_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tower holds 3 + 4 + 4 + 6 maps of 64 px and 6 means (which are also its output) per image: 1,100 numbers."""
    net = SubNetwork(model := Tower(), find_filters(model, EXAMPLE), {})
    assert reading.chunk_size(net.filters) == reading.MAX_IMAGES
    for room, size in ((11_000, 10), (10_999, 9), (1, 1)):
        monkeypatch.setattr(reading, "MAX_NUMBERS", room)
        assert reading.chunk_size(net.filters) == size


@pytest.mark.parametrize("size", [1, 4, 7, 70, 100])
def test_chunks_are_the_images_in_order(size: int) -> None:
    """Every one once, `size` at a time but for the last, across the batches they came in."""
    x = torch.arange(70).reshape(70, 1, 1, 1)
    batches = [(x[:5], x[:5, 0, 0, 0]), (x[5:6], x[5:6, 0, 0, 0]), (x[6:], x[6:, 0, 0, 0])]
    found = list(reading.chunks(ScoreContext(0, 0, network(), lambda: batches), size))
    assert torch.cat([images.flatten() for images, _ in found]).tolist() == list(range(70))
    assert torch.cat([labels for _, labels in found]).tolist() == list(range(70))
    assert [len(labels) for _, labels in found] == [min(size, 70 - i) for i in range(0, 70, size)]


@pytest.mark.parametrize("name", NAMES)
def test_a_trial_runs_with_every_criterion(name: str) -> None:
    """One cycle of the tiny trial: 30 % of the 12 filters that are ranked are dropped, and it ends."""
    run = finish(spec(method__criterion=name, method__cycles=1, training__total="3ep"))
    (drop,) = run.history.drops
    assert sum(len(numbers) for numbers in drop.dropped.values()) == 4
    assert "conv1" not in drop.dropped and run.history.diverged_at is None


def test_only_layers_that_are_ranked_are_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oracle pays for every filter."""
    asked: list[list[str]] = []

    def spy(name: Criterion, filters: dict[str, Tensor], given: ScoreContext) -> dict[str, Tensor]:
        asked.append(list(filters))
        return score_filters(name, filters, given)

    monkeypatch.setattr(selections, "score_filters", spy)
    finish(spec(method__criterion="l2", method__cycles=1, training__total="3ep"))
    assert asked == [["conv2", "conv3"]]


@pytest.mark.cuda
@pytest.mark.parametrize("name", NAMES)
def test_scores_on_a_gpu_are_those_of_the_cpu(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the rounding of convolutions."""
    monkeypatch.setattr(torch.backends.cudnn.conv, "fp32_precision", "ieee")
    on_cpu, on_gpu = network(), network()
    model = on_gpu.model.cuda()
    net = SubNetwork(model, on_gpu.filters, {})
    given = context(net)
    moved = ScoreContext(
        given.seed, given.cycle, net, lambda: [(x.cuda(), y.cuda()) for x, y in given.batches()]
    )
    found = parts.scored(name, ranked(name, net), moved)
    for layer, scores in scored(name, on_cpu).items():
        assert found[layer].tolist() == pytest.approx(scores.tolist(), rel=1e-2, abs=1e-5)
