"""The layer that makes filters of filters, against the layer with all of them written out."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reprtune.errors import ModelError
from reprtune.training.platform.seeds import generator
from reprtune.training.surgery import spatial
from reprtune.training.surgery.tied_conv import PLACEMENTS, TiedConv2d
from reprtune.training.surgery.ties import Ties

C, J, SIDE = 3, 6, 7
SOURCE = (0, 1, 0, 4, 4, 1)  # of filters 2, 3 and 5, which are made of others
TRANSFORM = (0, 0, 3, 13, 0, 6)
SCALE = (1.0, 1.0, 0.5, 1.0, 1.0, -2.0)
SYMMETRY = {3: (False, 3, 1), 13: (True, 1, -1), 6: (True, 2, 1)}  # of symmetries+sign: flip, turns, sign
KINDS = {
    "plain": {"padding": 1},
    "stride": {"padding": 1, "stride": 2},
    "dilation": {"padding": "same", "dilation": 2},
    "reflected": {"padding": 1, "padding_mode": "reflect", "bias": False},
}


def layer(name: str = "plain", dtype: torch.dtype = torch.float64, size: int = 3) -> nn.Conv2d:
    conv = nn.Conv2d(C, J, size, **KINDS[name]).to(dtype)
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator(0, "tied"), dtype=dtype))
    return conv


def images(dtype: torch.dtype = torch.float64, width: int = SIDE) -> Tensor:
    return torch.randn(2, C, SIDE, width, generator=generator(1, "tied"), dtype=dtype)


def ties(scale: tuple[float, ...] = SCALE, transform: tuple[int, ...] = TRANSFORM) -> Ties:
    return Ties(torch.tensor(SOURCE), torch.tensor(transform), torch.tensor(scale, dtype=torch.float64))


def turned(maps: Tensor, number: int) -> Tensor:
    """By hand: symmetry `number` of the last two dimensions."""
    flip, turns, sign = SYMMETRY.get(number, (False, 0, 1))
    return sign * torch.rot90(maps.flip(-1) if flip else maps, turns, (-2, -1))


def written_out(conv: nn.Conv2d, scale: tuple[float, ...] = SCALE) -> nn.Conv2d:
    """The same layer with every filter in its place."""
    old = conv.weight.detach().clone()
    with torch.no_grad():
        for j in range(J):
            conv.weight[j] = scale[j] * turned(old[SOURCE[j]], TRANSFORM[j])
    return conv


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 0.0)])
def test_the_tied_layer_is_the_one_written_out(name: str, dtype: torch.dtype, tolerance: float) -> None:
    """In the placement `weights` both give the same numbers, to the bit in float32."""
    tied = TiedConv2d(layer(name, dtype), ties(), spatial.transforms("symmetries+sign", (3, 3)))
    expected = written_out(layer(name, dtype))
    assert torch.equal(tied.filters(), expected.weight)
    torch.testing.assert_close(tied(images(dtype)), expected(images(dtype)), rtol=tolerance, atol=tolerance)


def test_it_holds_the_kept_filters_alone() -> None:
    """Three of six filters, all six biases; nothing else is trained or stored."""
    tied = TiedConv2d(layer(), ties(), spatial.transforms("symmetries+sign", (3, 3)))
    assert {name: p.shape for name, p in tied.named_parameters()} == {"weight": (3, C, 3, 3), "bias": (J,)}
    assert tied.state_dict().keys() == {"weight", "bias"}


def test_warps_are_matrices() -> None:
    """A filter warped between its taps is what `grid_sample` makes of its source."""
    found = spatial.transforms("affine", (3, 3))
    chosen = (0, 0, 3, 7, 0, 50)
    tied = TiedConv2d(layer(), ties(transform=chosen), found)
    for j in (2, 3, 5):
        theta = torch.tensor(found[chosen[j]].theta, dtype=torch.float64)[None]
        grid = F.affine_grid(theta, [1, C, 3, 3], align_corners=True)
        made = SCALE[j] * F.grid_sample(layer().weight[SOURCE[j]][None], grid, align_corners=True)[0]
        torch.testing.assert_close(tied.filters()[j], made, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", KINDS)
def test_features_are_transformed_after_the_convolution(name: str) -> None:
    """In the placement `features` a channel is its source's map, turned and scaled, with its own bias."""
    conv = layer(name)
    tied = TiedConv2d(conv, ties(), spatial.transforms("symmetries+sign", (3, 3)), "features")
    bias = torch.zeros(J, dtype=torch.float64) if conv.bias is None else conv.bias.detach()
    maps = conv(images()) - bias[:, None, None]
    expected = [SCALE[j] * turned(maps[:, SOURCE[j]], TRANSFORM[j]) + bias[j] for j in range(J)]
    torch.testing.assert_close(tied(images()), torch.stack(expected, 1), rtol=1e-12, atol=1e-12)


def test_the_placements_differ_but_for_sign_and_scale() -> None:
    """A turned kernel gives other maps than a turned map of its source; a negative one gives the same."""
    sets = spatial.transforms("symmetries+sign", (3, 3))
    turns, signs = ties(), ties(transform=(0, 0, 8, 8, 0, 0))
    answers = {
        (kind, placement): TiedConv2d(layer(), chosen, sets, placement)(images())
        for kind, chosen in (("turns", turns), ("signs", signs))
        for placement in PLACEMENTS
    }
    assert (answers["turns", "weights"] - answers["turns", "features"])[:, [2, 3, 5]].abs().max() > 0.1
    torch.testing.assert_close(answers["signs", "weights"], answers["signs", "features"])


def test_features_of_an_oblong_map_cannot_be_turned() -> None:
    """A quarter turn has another shape: said when it is met."""
    tied = TiedConv2d(layer(), ties(), spatial.transforms("symmetries+sign", (3, 3)), "features")
    with pytest.raises(ModelError, match="needs square maps"):
        tied(images(width=9))


def test_a_1x1_layer_has_signs_alone() -> None:
    """Its filters are copies or negatives of others, and both placements agree."""
    sets = spatial.transforms("symmetries+sign", (1, 1))
    conv = nn.Conv2d(C, J, 1).double()
    both = [TiedConv2d(conv, ties(transform=(0, 0, 1, 0, 0, 1)), sets, where) for where in PLACEMENTS]
    expected = conv.weight.detach()[list(SOURCE)] * torch.tensor([1, 1, -0.5, 1, 1, 2])[:, None, None, None]
    out = F.conv2d(images(), expected, conv.bias)
    for tied in both:
        torch.testing.assert_close(tied(images()), out, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("name", ["symmetries+sign", "all"])
def test_it_can_be_exported(placement: str, name: str) -> None:
    """torch.export makes a program of it that gives the same numbers, without code of ours."""
    found = spatial.transforms(name, (3, 3))
    chosen = (0, 0, 3, 13, 0, len(found) - 5)
    model = nn.Sequential(TiedConv2d(layer(dtype=torch.float32), ties(transform=chosen), found, placement))
    program = torch.export.export(model.eval(), (images(torch.float32),))
    assert torch.equal(program.module()(images(torch.float32)), model(images(torch.float32)))


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_gradients_reach_what_it_holds(placement: str) -> None:
    """As numbers of finite differences say, in both placements."""
    tied = TiedConv2d(layer(), ties(), spatial.transforms("all", (3, 3)), placement)
    x = images().requires_grad_()
    names, values = zip(*tied.named_parameters(), strict=True)

    def answer(*parameters: Tensor) -> Tensor:
        return torch.func.functional_call(tied, dict(zip(names, parameters, strict=True)), (x,)).mul(x.sum())

    assert torch.autograd.gradcheck(answer, [v.detach().requires_grad_() for v in values])
