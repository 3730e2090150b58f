"""Droppable filters of networks of many shapes: what is found, what is refused, and that absent means 0."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from reprtune.errors import ModelError
from reprtune.training.models import build_model
from reprtune.training.platform.seeds import generator
from reprtune.training.surgery.filter_map import FilterMap
from reprtune.training.surgery.filters import find_filters
from tests.training.dropping import EXAMPLE, images, inputs_of_mixing_layers, shaken, without
from tests.training.test_subnetwork import SPECS
from tests.training.toy_networks import TOYS, Reads, conv


def toy(name: str) -> tuple[nn.Module, FilterMap, Reads, dict[str, str]]:
    make, reads, kept_out = TOYS[name]
    torch.manual_seed(0)
    model = shaken(make())
    return model, find_filters(model, EXAMPLE), reads, kept_out


@pytest.mark.parametrize("name", TOYS)
def test_what_is_found(name: str) -> None:
    """Every convolution is droppable, or kept out with its reason; nothing else is either."""
    model, filters, _, kept_out = toy(name)
    convolutions = {n: m.out_channels for n, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    assert dict(filters.kept_out) == kept_out
    assert dict(filters.layers) == {n: j for n, j in convolutions.items() if n not in kept_out}


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", TOYS)
def test_dropped_is_zero_where_channels_mix(name: str, training: bool) -> None:
    """At the input of each mixing layer the channels of dropped filters are exactly 0 for all images and
    pixels, and those of kept ones are not all 0."""
    model, filters, reads, _ = toy(name)
    network = without(model.train(training), filters)
    slices = filters.slices()
    for layer, values in inputs_of_mixing_layers(network, images()).items():
        for value in values:
            silent = (value.transpose(0, 1).flatten(1) == 0).all(1)
            sources = reads[layer]
            if sources is not None:
                keep = torch.cat([network.keep[slices[s]] for s in sources])
                keep = keep.repeat_interleave(len(silent) // len(keep))
                assert silent[~keep].all() and not silent[keep].all(), layer


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", TOYS)
def test_nothing_of_a_dropped_filter_matters(name: str, training: bool) -> None:
    """Whatever stands in the weights and biases of dropped filters, and in the kernels that read them, the
    logits are the same, bit for bit."""
    model, filters, reads, _ = toy(name)
    network = without(model.train(training), filters)
    torch.manual_seed(1)
    before = network.forward(images())
    slices, modules = filters.slices(), dict(model.named_modules())
    with torch.no_grad(), network.whole():
        for layer, numbers in slices.items():
            dropped = ~network.keep[numbers]
            for tensor in modules[layer].parameters():
                tensor[dropped] += torch.randn(tensor[dropped].shape, generator=generator(1, layer))
        for layer, sources in reads.items():
            if sources is not None and layer not in filters.kept_out:
                dropped = ~torch.cat([network.keep[slices[s]] for s in sources])
                weight = modules[layer].weight
                weight[:, dropped.repeat_interleave(weight.shape[1] // len(dropped))] += 7.0
    torch.manual_seed(1)
    assert torch.equal(network.forward(images()), before)


@pytest.mark.parametrize("name", TOYS)
def test_nothing_of_a_dropped_filter_moves(name: str) -> None:
    """Own weights, path and reading kernels stand still under momentum and weight decay, bit for bit, while
    every tensor's other numbers move."""
    model, filters, reads, _ = toy(name)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=0.1)
    for _ in range(2):  # so that there is momentum
        optimizer.zero_grad()
        model(images()).square().mean().backward()
        optimizer.step()
    network = without(model, filters)
    network.state = {
        "momentum": {n: optimizer.state[p]["momentum_buffer"] for n, p in model.named_parameters()}
    }
    network.set_keep(network.keep)
    modules, slices = dict(model.named_modules()), filters.slices()
    parts: dict[str, tuple[Tensor, Tensor]] = {}
    for layer, numbers in slices.items():
        for key, tensor in modules[layer].named_parameters():
            parts[f"{layer}.{key}"] = (tensor, _rows(tensor, ~network.keep[numbers]))
    for layer, sources in reads.items():
        if sources is not None:
            dropped = ~torch.cat([network.keep[slices[s]] for s in sources])
            weight = modules[layer].weight
            read = _rows(weight.transpose(0, 1), dropped.repeat_interleave(weight.shape[1] // len(dropped)))
            own = parts.get(f"{layer}.weight", (weight, torch.zeros_like(weight, dtype=torch.bool)))[1]
            parts[f"{layer}.weight"] = (weight, own | read.transpose(0, 1))
    tensors = {n: (t, optimizer.state[t]["momentum_buffer"], mask) for n, (t, mask) in parts.items()}
    frozen = {n: (t[mask].clone(), m[mask].clone()) for n, (t, m, mask) in tensors.items()}
    moving = {n: t[~mask].clone() for n, (t, _, mask) in tensors.items()}
    for _ in range(3):
        optimizer.zero_grad()
        network.forward(images()).square().mean().backward()
        optimizer.step()
        network.hold()
        for n, (t, m, mask) in tensors.items():
            assert torch.equal(t[mask], frozen[n][0]) and torch.equal(m[mask], frozen[n][1]), n
    assert all(not torch.equal(t[~mask], moving[n]) for n, (t, _, mask) in tensors.items())


def _rows(tensor: Tensor, rows: Tensor) -> Tensor:
    mask = torch.zeros(tensor.shape, dtype=torch.bool)
    mask[rows] = True
    return mask


def test_statistics_and_depthwise_layers_on_the_way_belong_to_the_filter() -> None:
    """Of the expansion's filters: both BatchNorms, with statistics, the depthwise kernels, the projection's
    columns; written out by hand."""
    _, filters, _, _ = toy("mobile")
    numbers = filters.slices()["expand.0"]
    found = {
        (use.name, use.dim)
        for use in filters.owned
        if ((use.owner >= numbers.start) & (use.owner < numbers.stop)).any()
    }
    norms = [
        f"{n}.1.{k}" for n in ("expand", "depth") for k in ("weight", "bias", "running_mean", "running_var")
    ]
    assert found == {(n, 0) for n in ("expand.0.weight", "depth.0.weight", *norms)} | {
        ("project.0.weight", 1)
    }


@pytest.mark.parametrize("name", TOYS)
def test_flops_of_the_whole_network(name: str) -> None:
    """Three times what torch counts for the forward pass of one image, depthwise and grouped layers too."""
    model, filters, _, _ = toy(name)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(EXAMPLE)
    assert (
        filters.train_flops(torch.ones(filters.n_filters, dtype=torch.bool)) == 3 * counter.get_total_flops()
    )


def test_flops_without_a_depthwise_channel() -> None:
    """By hand: 3 kept of 4 channels of 8x8 pixels: 9 * 64 * (3 * 3 + 3) + 3 * 6 multiply-adds, 6 each."""
    _, filters, _, _ = toy("depthwise-bias")
    keep = torch.tensor([True, False, True, True])
    assert filters.train_flops(keep) == 6 * (9 * 64 * (3 * 3 + 3) + 3 * 6)


def test_layers_that_read_the_input() -> None:
    """Also when the picture is scaled first, and both of two."""
    assert toy("two-stems")[1].first == {"left", "right"}
    assert toy("dense")[1].first == {"stem"}


def test_nothing_to_drop() -> None:
    """A network without convolutions, and one whose only convolution is refused, say so."""
    with pytest.raises(ModelError, match=r"no filter that can be dropped \(it has no convolution\)"):
        find_filters(nn.Sequential(nn.Flatten(), nn.Linear(192, 6)), EXAMPLE)
    with pytest.raises(ModelError, match="0: its output is the network's output"):
        find_filters(nn.Sequential(conv(3, 4)), EXAMPLE)


def test_a_branch_on_values_cannot_be_traced() -> None:
    """The error says what must move."""

    class Branch(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(ModelError, match="Branch cannot be traced") as caught:
        find_filters(Branch(), EXAMPLE)
    assert "Branches on tensor values" in str(caught.value.hint)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_looking_changes_nothing(spec: object) -> None:
    """Weights, statistics, and the mode of every module are as before, also where they differ."""
    model = build_model(spec, 3, (8, 8), 6, seed=0)  # type: ignore[arg-type]
    model.train()
    next(m for m in model.modules() if isinstance(m, nn.Conv2d)).eval()
    modes = {name: module.training for name, module in model.named_modules()}
    before = {name: value.clone() for name, value in model.state_dict().items()}
    find_filters(model, EXAMPLE)
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Only what nothing refers to any more is freed, at once."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("name", TOYS)
def test_nothing_found_keeps_the_network(name: str) -> None:
    """A network that nobody needs any more is freed at once, though what was found in it is still there: the
    memory of a finished trial is free for the next."""
    model = TOYS[name][0]()
    filters, alive = find_filters(model, EXAMPLE), weakref.ref(model)
    del model
    assert alive() is None and filters.n_filters > 0


@pytest.mark.parametrize("name", TOYS)
def test_the_graph_holds_names_and_shapes(name: str) -> None:
    """No module, and no tensor."""
    filters = toy(name)[1]
    assert filters.graph.owning_module is None
    for node in filters.graph.nodes:
        held = tree_leaves([node.target, node.args, node.kwargs, *node.meta.values()])
        assert not [thing for thing in held if isinstance(thing, (Tensor, nn.Module))]
