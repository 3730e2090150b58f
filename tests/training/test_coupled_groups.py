"""Which channels go together, by hand; and the proof: one channel of every group is cut out of the network."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

from reprtune.training.platform.seeds import generator
from reprtune.training.surgery.coupled_groups import Group, Slot, coupled_groups
from tests.training.dropping import EXAMPLE
from tests.training.gated_networks import NormedGate
from tests.training.test_removal import built, own
from tests.training.toy_networks import TOYS, conv


def groups_of(name: str) -> tuple[Group, ...]:
    model, _, size = built(name)
    return coupled_groups(model, torch.zeros(1, 3, size, size, dtype=torch.float64))


def test_a_plain_network_is_free() -> None:
    """Each layer alone, read by the next one."""
    expected = [("conv1", "bn1", "conv2"), ("conv2", "bn2", "conv3"), ("conv3", "bn3", "fc")]
    assert groups_of("convnet-3") == tuple(
        Group(6, (Slot(c, 0),), (Slot(r, 0),), (Slot(b, 0),), (), None) for c, b, r in expected
    )


def test_the_stream_of_a_residual_network() -> None:
    """Of resnet-20 of width 4: the stem's 4 channels run through all stages, 4 more from the second stage on, 8
    more from the third, each made by all blocks from there on; inner layers are free."""
    groups = {group.members[0]: group for group in groups_of("resnet-20")}
    blocks = {k: [f"stage{stage}.{b}" for stage in range(k, 4) for b in range(3)] for k in (1, 2, 3)}
    for k, first, offset, n in ((1, "conv1", 0, 4), (2, "stage2.0.conv2", 4, 4), (3, "stage3.0.conv2", 8, 8)):
        group = groups.pop(Slot(first, offset))
        makers = [f"{block}.conv2" for block in blocks[k]]
        makers = ["conv1", *makers] if k == 1 else makers
        readers = [f"{block}.conv1" for block in blocks[k][k > 1 :]] + ["fc"]
        assert group.n_channels == n and group.reason is None
        assert set(group.members) == {Slot(name, offset) for name in makers}
        assert set(group.readers) == {Slot(name, offset) for name in readers}
        assert set(group.passes) == {Slot(name.replace("conv", "bn"), offset) for name in makers}
        assert {slot.offset for slot in group.pads} == ({offset} if k > 1 else set()) and len(group.pads) == (
            k > 1
        )
    for block in blocks[1]:
        inner = groups.pop(Slot(f"{block}.conv1", 0))
        width = 4 * 2 ** (int(block[5]) - 1)
        slots = [(Slot(f"{block}.{name}", 0),) for name in ("conv1", "conv2", "bn1")]
        assert inner == Group(width, *slots, (), None)
    assert not groups


def test_concatenation_keeps_channels_apart() -> None:
    """Of the dense toy: each layer alone, read at its offset by all that come after it."""
    dense = coupled_groups(TOYS["dense"][0](), EXAMPLE)
    assert [group.n_channels for group in dense] == [4, 3, 5]
    stem, one, two = dense
    assert set(stem.readers) == {Slot("conv1", 0), Slot("conv2", 0), Slot("fc", 0)}
    assert set(stem.passes) == {Slot("bn1", 0), Slot("bn2", 0), Slot("bn3", 0)}
    assert set(one.readers) == {Slot("conv2", 4), Slot("fc", 4)} and set(one.passes) == {
        Slot("bn2", 4),
        Slot("bn3", 4),
    }
    assert two == Group(5, (Slot("conv2", 0),), (Slot("fc", 7),), (Slot("bn3", 7),), (), None)


def test_a_flattened_picture_is_read_pixel_by_pixel() -> None:
    """4 channels of 2 x 2 pixels: 4 features of the linear layer each."""
    (group,) = coupled_groups(TOYS["flatten-function"][0](), EXAMPLE)
    assert group.readers == (Slot("fc", 0, 4),) and group.n_channels == 4


def test_projection_shortcuts_go_with_the_stream() -> None:
    """In torchvision's resnet18 a stage is one group: its blocks' last layers and its projection."""
    groups = {group.members[0].layer: group for group in groups_of("resnet18")}
    (second,) = [g for g in groups.values() if Slot("layer2.0.downsample.0", 0) in g.members]
    names = {"layer2.0.conv2", "layer2.0.downsample.0", "layer2.1.conv2"}
    assert {slot.layer for slot in second.members} == names and second.n_channels == 128
    assert {slot.layer for slot in second.readers} == {
        "layer2.1.conv1",
        "layer3.0.conv1",
        "layer3.0.downsample.0",
    }
    stages = [g for g in groups.values() if len(g.members) > 1]
    assert sorted(g.n_channels for g in stages) == [64, 128, 256, 512]
    assert all(group.reason is None for group in groups.values())


def test_depthwise_layers_and_gates_go_with_their_channels() -> None:
    """A block of mobilenet_v3_small: its expansion and the layer of its gate, with the depthwise layer."""
    groups = groups_of("mobilenet_v3_small")
    (group,) = [g for g in groups if g.members[0].layer == "features.4.block.0.0"]
    assert {slot.layer for slot in group.members} == {"features.4.block.0.0", "features.4.block.2.fc2"}
    assert {slot.layer for slot in group.readers} == {"features.4.block.2.fc1", "features.4.block.3.0"}
    names = {"features.4.block.0.1", "features.4.block.1.0", "features.4.block.1.1"}
    assert {slot.layer for slot in group.passes} == names


class Padded(nn.Module):
    """The stem's channels come after new ones, and meet another layer's there."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.fc = conv(3, 2), conv(2, 5), nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        x = nn.functional.pad(x, (0, 0, 0, 0, 3, 0)) + self.conv2(x)
        return self.fc(x.relu().mean((2, 3)))


def test_channels_that_meet_at_an_offset() -> None:
    """Channel i of the one is channel i + 3 of the other; the first 3 are the second's alone."""
    one, two = coupled_groups(Padded(), EXAMPLE)
    assert one == Group(
        2, (Slot("conv1", 0), Slot("conv2", 3)), (Slot("conv2", 0), Slot("fc", 3)), (), (), None
    )
    assert two == Group(3, (Slot("conv2", 0),), (Slot("fc", 0),), (), (Slot("pad", 0),), None)


class Spotlight(nn.Module):
    """One channel scales all of another layer's."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.light, self.fc = conv(3, 4), conv(3, 1), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc((self.conv1(x) * torch.sigmoid(self.light(x))).mean((2, 3)))


def test_a_channel_spread_over_others_stays() -> None:
    """It is none of theirs, and cannot be cut; they can."""
    one, light = coupled_groups(Spotlight(), EXAMPLE)
    assert one == Group(4, (Slot("conv1", 0),), (Slot("fc", 0),), (), (), None)
    assert light.members == (Slot("light", 0),) and "is spread over channels" in str(light.reason)


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("tower", {"conv2": "is the network's output"}),
        ("flatten-reshape", {"conv1": "passes through reshape"}),
        ("twice", {"conv1": "both is used more than once"}),
        ("tied", {"conv1": "conv2 shares its weights", "conv3": "conv3 shares its weights"}),
        ("shared-norm", {"conv1": "bn is used more than once", "conv2": "bn is used more than once"}),
        ("grouped", {"conv1": "passes through grouped"}),
    ],
)
def test_what_cannot_be_cut(name: str, reasons: dict[str, str]) -> None:
    """With the reason; and what meets it in a sum or in one layer cannot either."""
    found = {s.layer: g.reason for g in coupled_groups(TOYS[name][0](), EXAMPLE) for s in g.members}
    for layer, reason in reasons.items():
        assert reason in str(found[layer])
    if name == "tower":
        assert found["conv1"] is None


# -- the proof -------------------------------------------------------------------------------------


def indices(slot: Slot, channel: int) -> list[int]:
    return [slot.offset + channel * slot.size + i for i in range(slot.size)]


def tensors(module: nn.Module) -> list[str]:
    named = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
    return [key for key, tensor in named if tensor.dim() > 0]


def gone(groups: tuple[Group, ...]) -> dict[tuple[str, int], set[int]]:
    """(layer, dimension) -> what goes when the middle channel of each group does; dimension -1: of padding."""
    found: dict[tuple[str, int], set[int]] = {}
    for group in groups:
        if group.reason is None:
            for dim, slots in ((0, (*group.members, *group.passes)), (1, group.readers), (-1, group.pads)):
                for slot in slots:
                    found.setdefault((slot.layer, dim), set()).update(indices(slot, group.n_channels // 2))
    return found


@torch.no_grad()
def cut(model: nn.Module, what: dict[tuple[str, int], set[int]]) -> nn.Module:
    """Smaller tensors, and the sizes that modules note of them."""
    small = fx.symbolic_trace(copy.deepcopy(model))
    nodes = {node.name: node for node in small.graph.nodes}
    for (name, dim), rows in what.items():
        if dim < 0:
            fewer(nodes[name], rows)
            continue
        module = small.get_submodule(name)
        for key in tensors(module) if dim == 0 else ["weight"]:
            tensor = getattr(module, key)
            kept = torch.tensor([i for i in range(tensor.shape[dim]) if i not in rows])
            part = tensor.index_select(dim, kept)
            setattr(module, key, nn.Parameter(part) if isinstance(tensor, nn.Parameter) else part)
        if isinstance(module, nn.Conv2d) and module.groups > 1:
            module.groups = len(module.weight)
    small.recompile()
    return small


def fewer(node: fx.Node, rows: set[int]) -> None:
    """Channels of zeros that padding adds: some before, some after those that were there."""
    padding: Any = node.args[1]
    before = sum(row < padding[4] for row in rows)
    node.args = (node.args[0], (*padding[:4], padding[4] - before, padding[5] - len(rows) + before))


@torch.no_grad()
def silenced(model: nn.Module, what: dict[tuple[str, int], set[int]], dim: int) -> nn.Module:
    """0 in what makes the channels (0), or in what reads them (1)."""
    other = copy.deepcopy(model)
    for (name, d), rows in [item for item in what.items() if item[0][1] >= 0]:
        module = other.get_submodule(name)
        for key in (
            [k for k in tensors(module) if "running" not in k] if d == dim == 0 else ["weight"] * (d == dim)
        ):
            getattr(module, key).index_fill_(dim, torch.tensor(sorted(rows)), 0)
    return other


def toy(name: str) -> tuple[nn.Module, int]:
    torch.manual_seed(0)
    made = {"padded": Padded, "normed-gate": NormedGate}.get(name) or TOYS[name][0]
    return made().double(), 8


CUT = [
    "convnet-3",
    "resnet-20",
    "vgg11-bn",
    "densenet-10-4",
    "resnet18",
    "mobilenet_v2",
    "mobilenet_v3_small",
]
CUT_TOYS = [
    "dense",
    "mobile",
    "depthwise-bias",
    "gate",
    "convolved-gate",
    "flatten-function",
    "two-stems",
    "sigmoid",
]


@pytest.mark.parametrize("name", [*CUT, *CUT_TOYS, "padded", "normed-gate"])
def test_cutting_is_silencing(name: str) -> None:
    """Without one channel of every group the network runs, and says within rounding what it says with these
    channels at 0: at what reads them; and, where all on the way keep 0 at 0, at what makes them."""
    model, size = built(name)[::2] if name in CUT else toy(name)
    x = torch.randn(2, 3, size, size, generator=generator(0, "images"), dtype=torch.float64)
    groups = coupled_groups(model, x[:1])
    what = gone(groups)
    small = cut(model, what).eval()
    assert {s.layer for g in groups for s in g.members if g.reason is None} and what
    for dim in (0, 1):
        if (name, dim) != ("sigmoid", 0):
            torch.testing.assert_close(small(x), silenced(model, what, dim).eval()(x), rtol=1e-9, atol=1e-9)
    assert not torch.allclose(small(x), model.eval()(x), rtol=1e-4, atol=1e-6)


def test_looking_changes_nothing() -> None:
    """Modes and numbers are as before."""
    model = own("resnet-20", width=4).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    coupled_groups(model, torch.zeros(1, 3, 16, 16))
    assert all(module.training for module in model.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
