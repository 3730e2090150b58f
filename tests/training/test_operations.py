"""Which operations between two layers let filters be dropped, and which do not."""

from __future__ import annotations

import operator
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reprtune.errors import ModelError
from reprtune.training.surgery.filters import find_filters
from tests.training.dropping import EXAMPLE, images, inputs_of_mixing_layers, shaken, without
from tests.training.toy_networks import conv


class Between(nn.Module):
    """Two convolutions, an operation, and a layer that mixes what comes out of it."""

    def __init__(self, operation: Callable[..., Tensor]) -> None:
        super().__init__()
        self.conv0, self.conv1, self.operation = conv(3, 3), conv(3, 4), operation
        self.gain = nn.Parameter(torch.rand(4, 1, 1) + 1)
        self.takes_network = operation.__code__.co_argcount == 2
        out = self.between(torch.zeros(2, 3, 8, 8))
        self.n_dims = out.dim()
        self.conv2 = conv(out.shape[1], 5) if self.n_dims == 4 else nn.Linear(out[0].numel(), 5)
        self.fc = nn.Linear(5, 6)

    def between(self, x: Tensor) -> Tensor:
        x = self.conv1(F.relu(self.conv0(x)))
        return self.operation(self, x) if self.takes_network else self.operation(x)

    def forward(self, x: Tensor) -> Tensor:
        x = self.between(x)
        x = F.relu(self.conv2(x if self.n_dims != 3 else x.flatten(1)))
        return self.fc(x if self.n_dims != 4 else x.mean((2, 3)))


ACCEPTED: dict[str, Callable[..., Tensor]] = {
    "times a number": lambda x: x * 0.5,
    "a number times it": lambda x: 3 * x,
    "torch.mul by a number": lambda x: torch.mul(x, 2),
    "divided by a number": lambda x: x / 2,
    "twice itself": lambda x: x + x,
    "squared": lambda x: x * x,
    "sum with its relu": lambda x: x + F.relu(x),
    "dropout": lambda x: F.dropout(x, 0.5, training=False),
    "every second pixel": lambda x: x[:, :, ::2, ::2],
    "part of the rows": lambda x: x[:, :, 1:],
    "all of it": lambda x: x[:, :],
    "zero padding": lambda x: F.pad(x, (1, 1, 1, 1)),
    "zero padding, said so": lambda x: F.pad(x, (1, 1), mode="constant", value=0.0),
    "reflection": lambda x: F.pad(x, pad=(1, 1, 1, 1), mode="reflect"),
    "mean": lambda x: x.mean((2, 3)),
    "mean, counted from the end": lambda x: torch.mean(x, dim=[-2, -1]),
    "mean that keeps dimensions": lambda x: x.mean((2, 3), keepdim=True),
    "maximum": lambda x: x.amax((2, 3)),
    "sum": lambda x: torch.sum(x, (-1, 2)),
    "mean of channels last": lambda x: x.permute(0, 2, 3, 1).mean((1, 2)),
    "mean of channels last, by list": lambda x: torch.permute(x, (0, 2, 3, 1)).mean(dim=(-3, -2)),
    "concatenation with itself": lambda x: torch.cat([x, x], 1),
    "concatenation by name": lambda x: torch.cat(tensors=(x, F.relu(x)), dim=-3),
    "flatten": lambda x: x.flatten(1),
    "contiguous": lambda x: x.contiguous(),
    "twice the size": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "sum in place": lambda x: operator.iadd(F.relu(x), F.relu(x)),
}
REFUSED: dict[str, tuple[Callable[..., Tensor], str]] = {
    "plus a number": (lambda x: x + 1, "add"),
    "a number minus it": (lambda x: 1 - x, "sub"),
    "torch.add of a number": (lambda x: torch.add(x, 1), "add"),
    "plus a parameter": (lambda net, x: x + net.gain, "add"),
    "times a parameter": (lambda net, x: x * net.gain, "mul"),
    "a number by it": (lambda x: 1 / (x + 9), "add"),
    "divided by itself": (lambda x: x / (x + 9), "add"),
    "to a power": (lambda x: x**0, "pow"),
    "concatenation of rows": (lambda x: torch.cat([x, x], 2), "cat"),
    "concatenation with a parameter": (lambda net, x: torch.cat([x, net.gain.expand(2, 4, 8, 8)], 1), "cat"),
    "some channels": (lambda x: x[:, :2], "getitem"),
    "some images": (lambda x: x[:1], "getitem"),
    "channels in another order": (lambda x: x[:, [3, 2, 1, 0]], "getitem"),
    "channels of the end": (lambda x: x[..., :2, :, :], "getitem"),
    "one row": (lambda x: x[:, :, 0], "getitem"),
    "chosen pixels": (lambda x: x[:, :, [0, 1]], "getitem"),
    "a product with rows": (lambda x: x * F.adaptive_avg_pool2d(x, (1, 8)).flatten(1)[:, None, :8, None], "getitem"),
    "a product with numbers of another place": (lambda x: x.mean((2, 3))[:, :, None, None] * x, "getitem"),
    "a list": (lambda x: (x, x.tolist())[0], "tolist"),
    "padding with ones": (lambda x: F.pad(x, (1, 1), "constant", 1.0), "pad"),
    "padding with ones, by name": (lambda x: F.pad(x, (1, 1), value=1.0), "pad"),
    "new channels": (lambda x: F.pad(x, (0, 0, 0, 0, 0, 2)), "pad"),
    "mean over channels": (lambda x: x.mean((1, 2)), "mean"),
    "mean over channels last": (lambda x: x.permute(0, 2, 3, 1).mean((2, 3)), "mean"),
    "mean over width": (lambda x: x.mean(3), "mean"),
    "mean over everything": (lambda x: x * x.mean(), "mean"),
    "channels last": (lambda x: x.permute(0, 2, 3, 1), "conv2"),
    "transposed": (lambda x: x.permute(0, 1, 3, 2), "permute"),
    "channels and images": (lambda x: x.transpose(0, 1), "transpose"),
    "flatten of the map": (lambda x: x.flatten(2), "flatten"),
    "flatten of rows": (lambda x: x.flatten(1, 2), "flatten"),
    "another view": (lambda x: x.view(2, 2, 16, 8), "view"),
    "pairs of pixels": (lambda x: F.pixel_shuffle(x, 2), "pixel_shuffle"),
    "chunks": (lambda x: torch.cat(x.chunk(2, 1), 2), "chunk"),
    "chunk, then one of them": (lambda x: x.chunk(2, 1)[0] + 0.0, "chunk"),
    "pooling with indices": (lambda x: F.max_pool2d(x, 2, return_indices=True)[0], "max_pool2d"),
    "products of matrices": (lambda x: x @ x, "matmul"),
    "a choice": (lambda x: torch.where(x > 0, x, x), "gt"),
    "softmax": (lambda x: torch.softmax(x, 1), "softmax"),
    "sigmoid": (lambda x: x.sigmoid(), "sigmoid"),
    "cosine": (lambda x: x.cos(), "cos"),
    "layer norm": (lambda x: F.layer_norm(x, x.shape[1:]), "layer_norm"),
    "functional convolution": (lambda x: F.conv2d(x, torch.ones(4, 4, 1, 1)), "conv2d"),
}  # fmt: skip


@pytest.mark.parametrize("name", ACCEPTED)
def test_operations_that_keep_zero(name: str) -> None:
    """After each of them the dropped channels are exactly 0, and whatever they hold changes nothing."""
    model = shaken(Between(ACCEPTED[name])).eval()
    filters = find_filters(model, torch.zeros(2, 3, 8, 8))
    assert "conv1" in filters.layers
    network = without(model, filters)
    read = inputs_of_mixing_layers(network, images())["conv2"][0]
    silent = (read.transpose(0, 1).flatten(1) == 0).all(1)
    keep = network.keep[filters.slices()["conv1"]]
    keep = keep.repeat_interleave(len(silent) // 4) if name == "flatten" else keep.repeat(len(silent) // 4)
    assert silent.tolist() == (~keep).tolist()
    before = network.forward(images())
    with torch.no_grad(), network.whole():
        for tensor in model.conv1.parameters():
            tensor[~network.keep[filters.slices()["conv1"]]] = 5.0
    assert torch.equal(network.forward(images()), before)


@pytest.mark.parametrize("name", REFUSED)
def test_operations_that_are_refused(name: str) -> None:
    """Nothing is known of their channels, or they make something of 0: the layer before is kept out, and the
    reason names the operation."""
    operation, word = REFUSED[name]
    filters = find_filters(Between(operation), torch.zeros(2, 3, 8, 8))
    assert "conv1" not in filters.layers
    reason = filters.kept_out["conv1"]
    assert reason.startswith("its output passes through ") and word in reason
    assert "conv0" in filters.layers


def test_weights_lent_to_a_function() -> None:
    """A layer whose weight is used elsewhere too is kept out, and what that use reads with it."""
    net = Between(lambda net, x: F.conv_transpose2d(x, net.conv1.weight, padding=1))
    filters = find_filters(net, EXAMPLE)
    assert filters.kept_out == {
        "conv0": "its output is read by conv1, which gives its weights to another layer",
        "conv1": "gives its weights to another layer",
    }
    assert list(filters.layers) == ["conv2"]


def hooked(module: nn.Module) -> nn.Module:
    module.register_forward_hook(lambda _module, _args, out: out + 1)
    return module


MODULES_BETWEEN = {
    "no scale": (lambda: nn.BatchNorm2d(4, affine=False), "BatchNorm2d"),
    "groups": (lambda: nn.GroupNorm(2, 4), "GroupNorm"),
    "multiplier": (lambda: conv(4, 8, groups=4), "Conv2d"),
    "neighbours": (lambda: nn.LocalResponseNorm(3), "LocalResponseNorm"),
    "half of nothing": (nn.Hardsigmoid, "Hardsigmoid"),
    "shuffle": (lambda: nn.ChannelShuffle(2), "ChannelShuffle"),
    "instance norm": (lambda: nn.InstanceNorm2d(4, affine=True), "InstanceNorm2d"),
    "group dropout": (nn.FeatureAlphaDropout, "FeatureAlphaDropout"),
    "transposed convolution": (lambda: nn.ConvTranspose2d(4, 4, 1), "ConvTranspose2d"),
    "padding with ones": (lambda: nn.ConstantPad2d(1, 1.0), "ConstantPad2d"),
    "parametrised slopes": (
        lambda: nn.utils.parametrizations.weight_norm(nn.PReLU(4)), "PReLU), which computes its weights"
    ),
    "hook": (lambda: hooked(nn.ReLU()), "(ReLU), which has a hook"),
    "hooked reader": (lambda: hooked(conv(4, 4)), "is read by between, which has a hook"),
    "softplus": (nn.Softplus, "Softplus"),
    "alpha dropout": (nn.AlphaDropout, "AlphaDropout"),
    "per row": (lambda: nn.Linear(8, 8), "between"),
    "flatten, not all": (lambda: nn.Sequential(nn.Flatten(2), nn.Unflatten(2, (8, 8))), "Flatten"),
    "parametrised": (lambda: nn.utils.parametrizations.weight_norm(conv(4, 4, groups=4)), "computes its weights"),
    "parametrised reader": (
        lambda: nn.utils.parametrizations.weight_norm(conv(4, 4)), "is read by between, which computes its weights"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODULES_BETWEEN)
def test_modules_that_are_refused(name: str) -> None:
    """What is after them is still droppable; what is before is kept out with the reason."""
    make, word = MODULES_BETWEEN[name]

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.between, self.conv2, self.fc = (
                conv(3, 4),
                make(),
                nn.LazyConv2d(5, 1),
                nn.Linear(5, 6),
            )

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(F.relu(self.conv2(self.between(self.conv1(x)))).mean((2, 3)))

    model = Net()
    model(images())
    filters = find_filters(model, EXAMPLE)
    assert word in filters.kept_out["conv1"]
    assert list(filters.layers) == ["conv2"]


class Sloped(nn.Module):
    """A slope for each channel, and one for all that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.slopes, self.slope = conv(3, 4), nn.PReLU(4), nn.PReLU()
        self.conv2, self.conv3, self.fc = conv(4, 4), conv(4, 5), nn.Linear(5, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.slope(self.conv2(self.slopes(self.conv1(x))))
        return self.fc(self.slope(self.conv3(x)).mean((2, 3)))


def test_slopes_belong_to_their_filters() -> None:
    """Each of the slopes to the filter it serves, the one for all to nobody; nothing has to be masked but the
    convolutions, for a slope keeps 0."""
    filters = find_filters(Sloped(), EXAMPLE)
    assert dict(filters.layers) == {"conv1": 4, "conv2": 4, "conv3": 5}
    owners = {use.name: use.owner.tolist() for use in filters.owned if "slope" in use.name}
    assert owners == {"slopes.weight": [0, 1, 2, 3]}
    assert {use.name for use in filters.masked} == {
        f"conv{i}.{key}" for i in (1, 2, 3) for key in ("weight", "bias")
    }


class AddedInPlace(nn.Module):
    """What is read under the old name has the sum in it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3, self.fc = conv(3, 4), conv(4, 4), conv(4, 5), nn.Linear(5, 6)

    def forward(self, x: Tensor) -> Tensor:
        old = new = F.relu(self.conv1(x))
        new += F.relu(self.conv2(x.mean(1, keepdim=True).expand(-1, 4, -1, -1)))
        return self.fc((self.conv3(old) + self.conv3(new)).mean((2, 3)))


class OtherInTraining(AddedInPlace):
    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(x))
        x = self.conv2(x) if self.training else x
        return self.fc(self.conv3(x).mean((2, 3)))


class Pair(AddedInPlace):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.conv1(x)
        return x, x


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (AddedInPlace, "something else than its graph"),
        (OtherInTraining, "something else in training than in evaluation"),
        (Pair, "must return one tensor, the logits"),
    ],
)
def test_a_graph_that_is_not_the_network_is_refused(make: type[nn.Module], what: str) -> None:
    """Sums in place of a tensor with two names, branches on the mode; the modes stay as they were."""
    model = make().train()
    with pytest.raises(ModelError, match=what):
        find_filters(model, EXAMPLE)
    assert all(module.training for module in model.modules())


def test_constants_and_draws_do_not_look_like_branches() -> None:
    """A constant of the forward pass, and dropout that is always on."""
    model = Between(lambda x: F.dropout(x, 0.5) * 2)
    assert "conv1" in find_filters(model, torch.zeros(2, 3, 8, 8)).layers


def test_a_layer_that_is_not_used_is_reported() -> None:
    """It is not droppable, and the reason says so."""
    model = Between(lambda x: x)
    model.spare = conv(3, 3)
    assert dict(find_filters(model, EXAMPLE).kept_out) == {"spare": "is not used"}
