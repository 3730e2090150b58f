"""Where activations are read, and which convolutions are on shortcuts; written out by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reprtune.training.surgery.filter_map import FilterMap
from reprtune.training.surgery.filters import find_filters
from tests.training.dropping import EXAMPLE, images, shaken
from tests.training.test_removal import NETWORKS
from tests.training.toy_networks import TOYS, conv

# layer -> (node of its tap, its BatchNorm); nodes have their modules' names with _ for ., or the function's.
BY_HAND: dict[str, dict[str, tuple[str, str | None]]] = {
    "dense": {  # read by several layers: nothing after the convolution is its alone
        "stem": ("stem", None), "conv1": ("conv1", None), "conv2": ("conv2", None),
    },
    "mobile": {  # the activation is before the depthwise convolution; the projection ends in a sum
        "stem.0": ("stem_2", "stem.1"), "expand.0": ("expand_2", "expand.1"),
        "project.0": ("project_1", "project.1"), "head.0": ("head_1", None),
    },
    "depthwise-bias": {"conv1": ("elu", None)},
    "gate": {"conv1": ("relu", "bn1"), "conv2": ("gelu", None)},  # before the way to the gate branches off
    "convolved-gate": {"conv1": ("relu", "bn1"), "squeeze": ("relu_1", None), "conv2": ("leaky_relu", None)},
    "flatten-view": {"conv1": ("relu", "bn1")},  # before pooling; reading the size is not reading
    "two-stems": {
        "left": ("relu", None), "right": ("relu_1", None), "conv": ("relu_2", None), "branch": ("branch", None),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", BY_HAND)
def test_taps_and_norms_by_hand(name: str) -> None:
    """The last tensor that everything made of the layer's filters is made of."""
    filters = find_filters(TOYS[name][0](), EXAMPLE)
    assert {n: (filters.taps[n], filters.norms.get(n)) for n in filters.layers} == BY_HAND[name]
    assert set(filters.taps) == set(filters.layers) >= set(filters.norms)


def logits(model: nn.Module, filters: FilterMap, spoiled: set[str], at: str, value: float) -> Tensor:
    """Run the graph; the `spoiled` nodes' channel 0 is moved by 3, then that of `at` set to `value`."""

    class Spoiler(torch.fx.Interpreter):
        def run_node(self, n: torch.fx.Node) -> object:
            out = super().run_node(n)
            if n.name in spoiled:
                out = out.index_add(1, torch.tensor([0]), torch.full_like(out[:, :1], 3.0))
            if n.name == at:
                out = out.index_fill(1, torch.tensor([0]), value)
            return out

    return Spoiler(model, graph=filters.graph).run(images())


@pytest.mark.parametrize("name", TOYS)
def test_everything_made_of_a_filter_is_made_of_its_tap(name: str) -> None:
    """With the tap's channel fixed, what the convolution made of that filter does not matter; what is there
    does."""
    model = shaken(TOYS[name][0]()).eval()
    filters = find_filters(model, EXAMPLE)
    convolutions = {str(n.target): n.name for n in filters.graph.nodes if n.op == "call_module"}
    for layer, tap in filters.taps.items():
        fixed = logits(model, filters, set(), tap, 1.0)
        assert torch.equal(logits(model, filters, {convolutions[layer]}, tap, 1.0), fixed)
        assert not torch.allclose(logits(model, filters, set(), tap, 2.0), fixed)


class Blocks(nn.Module):
    """A pre-activation block whose shortcut is pooled and projected, and two convolutions side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bn = conv(3, 4), nn.BatchNorm2d(4)
        self.conv1, self.conv2, self.project = conv(4, 6, stride=2), conv(6, 6), conv(4, 6, 1)
        self.left, self.right, self.fc = conv(6, 5), conv(6, 5), nn.Linear(5, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.conv2(F.relu(self.conv1(F.relu(self.bn(x))))) + self.project(F.avg_pool2d(x, 2))
        x = F.relu(x)
        x = torch.add(self.left(x), self.right(x))
        return self.fc(x.mean((2, 3)))


def test_a_projection_is_known_by_the_longer_way_beside_it() -> None:
    """Per-channel operations on either side do not hide it; two layers side by side are no block."""
    assert find_filters(Blocks(), EXAMPLE).shortcuts == {"project"}


@pytest.mark.parametrize("name", TOYS)
def test_blocks_without_a_projection_have_no_shortcut(name: str) -> None:
    """Also where the stream goes around a block as it is, and where it begins at the first layer."""
    assert find_filters(TOYS[name][0](), EXAMPLE).shortcuts == frozenset()


@pytest.mark.parametrize(
    ("name", "shortcuts"),
    [
        ("resnet18", {f"layer{i}.0.downsample.0" for i in (2, 3, 4)}),
        ("resnet-20", set()),
        ("densenet-10-4", set()),
        ("mobilenet_v2", set()),
        ("vgg11-bn", set()),
    ],
)
def test_shortcuts_of_known_networks(name: str, shortcuts: set[str]) -> None:
    """The ResNet of torchvision has three; the CIFAR ResNet's shortcuts have no parameters."""
    build, size = NETWORKS[name]
    assert find_filters(build(), torch.zeros(1, 3, size, size)).shortcuts == shortcuts
