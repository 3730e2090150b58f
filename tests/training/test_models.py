"""The networks: sizes as published, the same function written out by hand, and what they refuse."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reprtune.errors import ModelError, SpecError
from reprtune.spec.task import ModelSpec
from reprtune.training.models import build_model
from reprtune.training.models.densenet import DenseNet
from reprtune.training.models.layers import global_average
from reprtune.training.models.vgg import pooled_stages
from reprtune.training.platform.seeds import generator

SPECS = [
    ModelSpec(name="convnet-1"),
    ModelSpec(name="convnet-3", batch_norm=False, width=8),
    ModelSpec(name="convnet-4", pool=True, width=8),
    ModelSpec(name="convnet-2", head="flatten", width=8),
    ModelSpec(name="resnet-8", width=4),
    ModelSpec(name="vgg11-bn"),
    ModelSpec(name="densenet-10-4"),
]


def build(spec: ModelSpec, channels: int = 3, size: int = 32, classes: int = 10, seed: int = 0) -> nn.Module:
    return build_model(spec, channels, (size, size), classes, seed)


def n_parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def images(n: int = 4, channels: int = 3, size: int = 32) -> Tensor:
    x = torch.randn(n, channels, size, size, generator=generator(0, "images"))
    return x.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("layers", "thousands"), [(3, 20), (8, 66), (13, 113), (18, 159)])
def test_convnets_have_the_papers_number_of_parameters(layers: int, thousands: int) -> None:
    """arXiv 1811.07275, table of vanilla networks: 20, 66, 113 and 159 thousand; ours to within a thousand."""
    model = build(ModelSpec(name=f"convnet-{layers}", batch_norm=False))
    by_hand = (27 * 32 + 32) + (layers - 1) * (9 * 32 * 32 + 32) + 330
    assert n_parameters(model) == by_hand
    assert abs(by_hand / 1000 - thousands) < 1


@pytest.mark.parametrize(("layers", "number"), [(20, 269_722), (32, 464_154), (110, 1_727_962)])
def test_resnets_have_the_published_number_of_parameters(layers: int, number: int) -> None:
    """arXiv 1512.03385, table 6: 0.27 M, 0.46 M and 1.7 M; exact numbers of option A with BatchNorm."""
    assert n_parameters(build(ModelSpec(name=f"resnet-{layers}"))) == number


@pytest.mark.parametrize(("layers", "millions"), [(11, 9.2), (13, 9.4), (16, 14.7)])
def test_vggs_have_the_known_number_of_parameters(layers: int, millions: float) -> None:
    """9.2, 9.4 and 14.7 M: the convolutions of arXiv 1409.1556, table 1 (A, B and C with 3x3 kernels)."""
    columns = {
        11: [3, 64, 128, 256, 256, 512, 512, 512, 512],
        13: [3, 64, 64, 128, 128, 256, 256, 512, 512, 512, 512],
        16: [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512],
    }
    widths = columns[layers]
    by_hand = sum(9 * c * j + 2 * j for c, j in itertools.pairwise(widths)) + 512 * 10 + 10
    assert n_parameters(build(ModelSpec(name=f"vgg{layers}-bn"))) == by_hand
    assert by_hand / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize(("name", "millions"), [("40-12", 1.0), ("100-12", 7.0), ("100-24", 27.2)])
def test_densenets_have_the_published_number_of_parameters(name: str, millions: float) -> None:
    """arXiv 1608.06993, table 2: 1.0 M, 7.0 M and 27.2 M without bottleneck; exactly, by the sum over layers."""
    depth, k = map(int, name.split("-"))
    n, c = (depth - 4) // 3, 16
    by_hand = 27 * c
    for block in (1, 2, 3):
        for _ in range(n):
            by_hand += 2 * c + 9 * c * k
            c += k
        by_hand += 2 * c + (c * c if block < 3 else 10 * c + 10)
    assert by_hand / 1e6 == pytest.approx(millions, abs=0.05)
    with torch.device("meta"):
        assert n_parameters(DenseNet(n, k, 3, 10)) == by_hand
    if depth == 40:
        assert n_parameters(build(ModelSpec(name=f"densenet-{name}"))) == by_hand


@pytest.mark.parametrize("batch_norm", [True, False])
def test_batch_norm_takes_the_place_of_the_bias(batch_norm: bool) -> None:
    """A convolution has a bias exactly where no BatchNorm follows; the names say which layer is which."""
    model = build(ModelSpec(batch_norm=batch_norm))
    names = [name for name, _ in model.named_children()]
    pairs = [f"{kind}{i}" for i in (1, 2, 3) for kind in (("conv", "bn") if batch_norm else ("conv",))]
    assert names == [*pairs, "fc"]
    biases = [m.bias is not None for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert biases == [not batch_norm] * 3


@pytest.mark.parametrize("pool", [True, False])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_a_convnet_is_the_function_written_out(batch_norm: bool, pool: bool) -> None:
    """Convolution, BatchNorm by its formula in float64, ReLU, pooling, mean, linear layer."""
    model = build(ModelSpec(width=5, batch_norm=batch_norm, pool=pool), size=9).double()
    values = dict(model.named_parameters())
    x = images(size=9).double()
    found = model(x)
    for i in (1, 2, 3):
        x = F.conv2d(x, values[f"conv{i}.weight"], values.get(f"conv{i}.bias"), padding=1)
        if batch_norm:
            mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), correction=0, keepdim=True)
            x = (x - mean) / (var + 1e-5).sqrt()
        x = x.clamp_min(0)
        if pool and i < 3:
            n = x.shape[2] // 2
            x = x[:, :, : 2 * n, : 2 * n].reshape(4, 5, n, 2, n, 2).amax((3, 5))
    assert x.shape[2] == (2 if pool else 9)  # 9 -> 4 -> 2
    torch.testing.assert_close(found, x.mean((2, 3)) @ values["fc.weight"].T + values["fc.bias"])


@pytest.mark.parametrize(("pool", "pixels"), [(False, 9 * 7), (True, 4 * 3)])
def test_a_flat_head_reads_every_pixel_of_the_last_map(pool: bool, pixels: int) -> None:
    """Images of 9 x 7 px, which are pooled once, to 4 x 3, as less than 2 px would be left: a weight for each pixel of
    the last map, channel by channel, row by row."""
    flat = build_model(ModelSpec(width=5, pool=pool, head="flatten"), 3, (9, 7), 10, seed=0).double()
    maps: list[Tensor] = []
    flat.get_submodule("bn3").register_forward_hook(lambda _m, _x, y: maps.append(y.detach().relu()))
    found = flat(torch.randn(4, 3, 9, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    weight, bias = flat.fc.weight.detach(), flat.fc.bias.detach()  # type: ignore[union-attr]
    assert weight.shape == (10, 5 * pixels)
    _, c, h, w = maps[0].shape
    by_hand = torch.einsum("nchw,kchw->nk", maps[0], weight.reshape(10, c, h, w)) + bias
    torch.testing.assert_close(found.detach(), by_hand)


def test_pooling_stops_before_less_than_two_pixels_are_left() -> None:
    """8 px halve to 4 and 2 and stay there: the map before the mean is 2x2 for 5 layers."""
    model = build(ModelSpec(name="convnet-5", pool=True), size=8)
    sizes = []
    model.conv5.register_forward_hook(lambda _m, _x, y: sizes.append(tuple(y.shape[2:])))  # type: ignore[union-attr]
    model(images(size=8))
    assert sizes == [(2, 2)]


@pytest.mark.parametrize("size", [8, 9])
def test_a_resnet_is_the_function_written_out(size: int) -> None:
    """Blocks with shortcuts that keep every second pixel and add channels of zeros, in float64."""
    model = build(ModelSpec(name="resnet-8", width=4), size=size).double().eval()
    values = dict(model.named_parameters())
    x = images(size=size).double()
    found = model(x)

    def conv(
        x: Tensor, name: str, stride: int = 1
    ) -> Tensor:  # a fresh BatchNorm in evaluation: / sqrt(1 + eps)
        return F.conv2d(x, values[name], padding=1, stride=stride) / math.sqrt(1 + 1e-5)

    x = conv(x, "conv1.weight").clamp_min(0)
    for stage, stride in ((1, 1), (2, 2), (3, 2)):
        y = conv(x, f"stage{stage}.0.conv1.weight", stride).clamp_min(0)
        y = conv(y, f"stage{stage}.0.conv2.weight")
        shortcut = torch.zeros_like(y)
        shortcut[:, : x.shape[1]] = x[:, :, ::stride, ::stride]
        x = (y + shortcut).clamp_min(0)
    torch.testing.assert_close(found, x.mean((2, 3)) @ values["fc.weight"].T + values["fc.bias"])


def test_a_vgg_is_the_function_written_out() -> None:
    """Convolution, a fresh BatchNorm, ReLU, and a maximum over 2x2 px while 2 px are left: 12, 6, 3, 3, 3, 1."""
    model = build(ModelSpec(name="vgg11-bn"), size=12).double().eval()
    values = dict(model.named_parameters())
    x = images(n=2, size=12).double()
    found = model(x)
    names = [name for name in values if ".conv" in name]
    assert len(names) == 8
    for name in names:
        x = F.conv2d(x, values[name], padding=1).clamp_min(0) / math.sqrt(1 + 1e-5)
        if name.removesuffix(".weight")[-3:] in ("1_1", "2_1", "5_2"):
            n = x.shape[2] // 2
            x = x[:, :, : 2 * n, : 2 * n].reshape(2, -1, n, 2, n, 2).amax((3, 5))
    assert x.shape[2] == 1
    torch.testing.assert_close(found, x.mean((2, 3)) @ values["fc.weight"].T + values["fc.bias"])


def test_a_densenet_is_the_function_written_out() -> None:
    """Each layer reads all maps of its block before it; transitions halve by means, in float64."""
    model = build(ModelSpec(name="densenet-10-3"), size=9).double().eval()
    values = dict(model.named_parameters())
    x = images(size=9).double()
    found = model(x)

    def active(x: Tensor) -> Tensor:  # a fresh BatchNorm in evaluation: / sqrt(1 + eps)
        return x.clamp_min(0) / math.sqrt(1 + 1e-5)

    x = F.conv2d(x, values["conv1.weight"], padding=1)
    for block in (1, 2, 3):
        maps = [x]
        for i in (0, 1):
            weight = values[f"block{block}.{i}.conv.weight"]
            maps.append(F.conv2d(active(torch.cat(maps, 1)), weight, padding=1))
        x = torch.cat(maps, 1)
        if block < 3:
            x = F.conv2d(active(x), values[f"transition{block}.conv.weight"])
            n = x.shape[2] // 2
            x = x[:, :, : 2 * n, : 2 * n].reshape(4, -1, n, 2, n, 2).mean((3, 5))
    assert x.shape[1:] == (16 + 6 * 3, 2, 2)  # 9 -> 4 -> 2
    x = active(x).mean((2, 3))
    torch.testing.assert_close(found, x @ values["fc.weight"].T + values["fc.bias"])


@pytest.mark.parametrize(
    ("pixels", "pooled"),
    [(2, [5]), (4, [1, 5]), (8, [1, 2, 5]), (32, [1, 2, 3, 4, 5]), (224, [1, 2, 3, 4, 5])],
)
def test_a_vgg_halves_small_images_less_often(pixels: int, pooled: list[int]) -> None:
    """Every convolution sees at least 2 px a side; images of 32 px are halved five times, as is usual."""
    assert sorted(pooled_stages(pixels)) == pooled


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.name)
def test_networks_are_traceable_and_compute_the_same_when_traced(spec: ModelSpec) -> None:
    """torch.fx needs no example and finds no branch on values."""
    model = build(spec).eval()
    traced = torch.fx.symbolic_trace(model)
    assert torch.equal(traced(images()), model(images()))


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.name)
def test_values_and_gradients_stay_channels_last(spec: ModelSpec) -> None:
    """Every convolution gives and gets back what the fast kernels want; a copy would cost a pass each.
    A layer of a DenseNet gets back its share of the channels of a gradient for all of them."""
    model = build(spec)
    layouts = []

    def look(value: Tensor) -> None:
        whole = value.is_contiguous(memory_format=torch.channels_last)
        layouts.append(value.stride(1) == 1 if "densenet" in spec.name else whole)

    def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        look(output)
        output.register_hook(look)

    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    for module in convolutions:
        module.register_forward_hook(hook)
    model(images()).sum().backward()
    assert layouts == [True] * (2 * len(convolutions))
    assert all(m.weight.is_contiguous(memory_format=torch.channels_last) for m in convolutions)


def test_the_global_average_sends_a_channels_last_gradient_back() -> None:
    """The mean over height and width, whose gradient is 1 / (H W) everywhere, in the layout of its input."""
    x = images(size=6).requires_grad_()
    kept: list[Tensor] = []
    y = x * 1
    y.register_hook(kept.append)
    found = global_average(y)
    torch.testing.assert_close(found, x.mean((2, 3)))
    found.sum().backward()
    assert kept[0].is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(kept[0], torch.full_like(kept[0], 1 / 36))


def test_the_beginning_depends_on_seed_and_network_alone() -> None:
    """Same seed, same weights; another seed or network of the trial, others; torch's own stream stays."""
    torch.random.manual_seed(1)
    before = torch.random.get_rng_state()
    spec = ModelSpec(width=4)
    first, again, other = build(spec), build(spec), build(spec, seed=1)
    second = build_model(spec, 3, (32, 32), 10, 0, network=1)
    assert torch.equal(before, torch.random.get_rng_state())
    state = first.state_dict()
    assert all(torch.equal(state[name], value) for name, value in again.state_dict().items())
    for model in (other, second):
        assert not torch.equal(state["conv2.weight"], model.state_dict()["conv2.weight"])


@pytest.mark.parametrize("name", ["convnet-3", "resnet-20"])
def test_convolutions_begin_with_hes_variance(name: str) -> None:
    """N(0, 2 / (9 c_out)): over 9,216 or more draws the standard deviation is within 4 %, the mean near 0."""
    model = build(ModelSpec(name=name))
    checked = 0
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() >= 9216:
            std = math.sqrt(2 / (9 * module.out_channels))
            assert module.weight.std().item() == pytest.approx(std, rel=0.04)
            assert abs(module.weight.mean().item()) < 0.05 * std
            checked += 1
    assert checked >= 2


@pytest.mark.parametrize(
    ("name", "nearest"), [("resnet-18", 20), ("resnet-2", 8), ("resnet-50", 50), ("resnet-0", 8)]
)
def test_resnets_that_do_not_exist_name_the_nearest_that_does(name: str, nearest: int) -> None:
    """N = 6n + 2 with n at least 1; 50 is one, 18 is not."""
    if name == f"resnet-{nearest}":
        build(ModelSpec(name=name, width=2), size=8)
        return
    with pytest.raises(SpecError, match=f"N = 6n \\+ 2 .* but got '{name}'") as error:
        build(ModelSpec(name=name))
    assert error.value.hint == f"The nearest is resnet-{nearest}."


def test_a_convnet_without_layers_is_refused() -> None:
    """convnet-0 has nothing to train."""
    with pytest.raises(SpecError, match="at least 1 layer, but got 'convnet-0'"):
        build(ModelSpec(name="convnet-0"))


@pytest.mark.parametrize(
    ("name", "rule", "nearest"),
    [
        ("vgg19-bn", "N = 11, 13 or 16", "vgg16-bn"),
        ("vgg12-bn", "N = 11, 13 or 16", "vgg11-bn"),
        ("densenet-41-12", "depth of 3n \\+ 4", "densenet-40-12"),
        ("densenet-4-12", "depth of 3n \\+ 4", "densenet-7-12"),
        ("densenet-40-0", "growth of at least 1", "densenet-40-1"),
    ],
)
def test_vggs_and_densenets_that_do_not_exist_name_the_nearest_that_does(
    name: str, rule: str, nearest: str
) -> None:
    """The message gives the rule and the name it got."""
    with pytest.raises(SpecError, match=f"{rule}.* but got '{name}'") as error:
        build(ModelSpec(name=name))
    assert error.value.hint == f"The nearest is {nearest}."


@pytest.mark.parametrize(
    ("name", "least"), [("convnet-3", 3), ("resnet-8", 4), ("vgg11-bn", 2), ("densenet-7-2", 4)]
)
def test_images_too_small_for_a_network_are_refused(name: str, least: int) -> None:
    """The least size works; one pixel less in one direction is named with what is needed."""
    with torch.no_grad():
        build(ModelSpec(name=name), size=least)(images(size=least))
    with pytest.raises(
        ModelError, match=f"{name} needs images of at least {least}x{least} px, but got 32x{least - 1}"
    ):
        build_model(ModelSpec(name=name), 3, (32, least - 1), 10, 0)
