"""What is counted as work: every matrix product, convolution and attention, wherever it is called."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from reprtune.training.surgery.filter_map import FilterMap
from reprtune.training.surgery.filters import find_filters
from reprtune.training.surgery.multiply_adds import FORMULAS
from tests.training.costly_networks import COSTLY, Functional
from tests.training.dropping import EXAMPLE, shaken
from tests.training.test_removal import QUICK, built
from tests.training.toy_networks import conv

PIXELS, HEADS, SIZE = 16, 2, 4
ATTENTION = HEADS * PIXELS * PIXELS * (SIZE + SIZE)  # queries with keys, weights with values
# What torch's counter does not know on the CPU, by hand: fused attention; a bilinear layer of 7 x 7 to 5; an
# LSTM of 7 to 3 over 3 places, with its 4 gates; a 7 x 7 matrix with a vector.
UNKNOWN_TO_TORCH = {
    "attention": 2 * ATTENTION,
    "encoder": 2 * ATTENTION,
    "products": 5 * 7 * 7 + 3 * (4 * 3) * (7 + 3) + 7 * 7,
}


def costly(name: str) -> tuple[nn.Module, FilterMap]:
    torch.manual_seed(0)
    model = shaken(COSTLY[name]())
    return model, find_filters(model, EXAMPLE)


def everything(filters: FilterMap) -> Tensor:
    return torch.ones(filters.n_filters, dtype=torch.bool)


def counted_by_torch(model: nn.Module, x: Tensor) -> int:
    """With gradients, for which torch takes no operation that fuses several."""
    with FlopCounterMode(display=False) as counter, torch.enable_grad():
        model.eval()(x)
    return counter.get_total_flops()


@pytest.mark.parametrize("name", COSTLY)
def test_everything_is_counted(name: str) -> None:
    """Three times what torch counts for one image, and what it does not know by its formula."""
    model, filters = costly(name)
    flops = counted_by_torch(model, EXAMPLE) + 2 * UNKNOWN_TO_TORCH.get(name, 0)
    assert filters.train_flops(everything(filters)) == 3 * flops


@pytest.mark.parametrize("name", ["attention", "encoder", "autoencoder", "products"])
def test_only_what_the_dropped_filters_do_is_saved(name: str) -> None:
    """By hand: without two of the stem's filters, their kernels and what the next layer reads of them; all
    else is counted in full."""
    _, filters = costly(name)
    keep = everything(filters)
    keep[:2] = False  # of the first convolution
    pixels, next_pixels, next_filters = {"products": (16, 4, 6), "autoencoder": (16, 4, 8)}.get(
        name, (16, 16, 8)
    )
    saved = 2 * 9 * (pixels * 3 + next_pixels * next_filters)
    assert filters.train_flops(everything(filters)) - filters.train_flops(keep) == 6 * saved


@pytest.mark.parametrize("name", [n for n in QUICK if n not in COSTLY])
def test_plain_networks_cost_what_their_layers_do(name: str) -> None:
    """Where all work is done by convolutions and linear layers, exactly: kernel x channels read x channels made
    x pixels, summed over the layers, 6 operations each."""
    model, filters, size = built(name)
    macs: list[int] = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(
                lambda m, _x, y: macs.append(m.weight.numel() * math.prod(y.shape[2:]))
            )
        elif isinstance(module, nn.Linear):
            module.register_forward_hook(lambda m, _x, _y: macs.append(m.weight.numel()))
    with torch.no_grad():
        model.eval()(torch.zeros(1, 3, size, size, dtype=torch.float64))
    assert filters.train_flops(everything(filters)) == 6 * sum(macs)


@pytest.mark.parametrize("name", sorted(n for n in FORMULAS if "scaled_dot_product" in n))
def test_attention_of_every_device(name: str) -> None:
    """Also of values of another size, fewer keys, and keys shared by heads: images x heads x queries x keys x
    (size of a key + size of a value)."""
    query, key, value = torch.zeros(3, 4, 5, 6), torch.zeros(3, 2, 7, 6), torch.zeros(3, 2, 7, 8)
    assert FORMULAS[name]((query, key, value), None) == 3 * 4 * 5 * 7 * (6 + 8)


def test_attention_in_one_operation_to_other_keys() -> None:
    """Four projections and two products: 3 images, 5 queries, 7 keys, 8 numbers."""
    query, key = torch.zeros(3, 5, 8), torch.zeros(3, 7, 8)
    expected = 3 * (2 * 5 * 64 + 2 * 7 * 64 + 2 * 5 * 7 * 8)
    assert FORMULAS["aten._native_multi_head_attention"]((query, key, key), None) == expected


def test_deformed_convolution() -> None:
    """As a plain one, whose kernel it has: 4 filters of 3 x 2 x 2 at 25 places. (Of torchvision's own code,
    which is not installed everywhere.)"""
    x, weight, out = torch.zeros(1, 3, 6, 6), torch.zeros(4, 3, 2, 2), torch.zeros(1, 4, 5, 5)
    assert FORMULAS["torchvision.deform_conv2d"]((x, weight), out) == 4 * 3 * 2 * 2 * 25


@pytest.mark.parametrize(
    ("expression", "shapes"),
    [
        ("addmm", [(4, 3), (4, 5), (5, 3)]),
        ("baddbmm", [(2, 4, 3), (2, 4, 5), (2, 5, 3)]),
        ("addbmm", [(4, 3), (2, 4, 5), (2, 5, 3)]),
        ("addmv", [(4,), (4, 5), (5,)]),
        ("dot", [(5,), (5,)]),
        ("vdot", [(5,), (5,)]),
    ],
)
def test_products_called_by_name(expression: str, shapes: list[tuple[int, ...]]) -> None:
    """Rows x columns x what is summed over, for each matrix of a batch."""

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = conv(3, 4), nn.Linear(4, 5)
            for i, shape in enumerate(shapes):
                self.register_parameter(f"p{i}", nn.Parameter(torch.randn(shape)))

        def forward(self, x: Tensor) -> Tensor:
            more = getattr(torch, expression)(*(getattr(self, f"p{i}") for i in range(len(shapes))))
            return self.fc(torch.relu(self.conv(x)).mean((2, 3))) * more.sum()

    filters = find_filters(Network(), EXAMPLE)
    plain = 9 * 3 * 4 * 64 + 4 * 5
    a, b = shapes[-2:]
    product = math.prod(a) * (b[-1] if len(b) > 1 else 1)
    assert filters.train_flops(everything(filters)) == 6 * (plain + product)


@pytest.mark.parametrize("use", ["of a layer", "twice", "by two names"])
def test_a_weight_that_serves_others_too_reads_no_filters(use: str) -> None:
    """A call with a weight that a layer has, that is used again, or that has two names: the filters before it
    are kept out, for its kernels are not theirs alone, and it is counted in full."""

    class Network(Functional):
        def __init__(self) -> None:
            super().__init__()
            self.other = conv(6, 8)
            if use == "by two names":
                self.again = self.kernels

        def forward(self, x: Tensor) -> Tensor:
            x = F.relu(self.conv1(x))
            y = F.conv2d(x, self.other.weight if use == "of a layer" else self.kernels, padding=1)
            if use != "by two names":
                y = y + (self.other(x) if use == "of a layer" else F.conv2d(x, self.kernels, padding=1))
            return F.linear(F.relu(self.conv2(y)).mean((2, 3)), self.table)

    filters = find_filters(Network(), EXAMPLE)
    assert "conv1" in filters.kept_out and not [
        use for use in filters.owned if use.name in ("kernels", "other.weight")
    ]
    keep = ~everything(filters)
    by_functions = 1 if use == "by two names" else 2
    assert filters.train_flops(keep) == 6 * 9 * 64 * (3 * 6 + by_functions * 6 * 8)
