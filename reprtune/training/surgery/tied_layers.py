"""A network whose tied filters are made of others in the layers themselves: the form `keep-tied`.

The form is JSON: `transforms` is the name of the set, `placement` as of `TiedConv2d`, and `layers` has for every layer
with ties `source` and `transform` (and `scale`, where one is not 1), a number for each of its filters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from reprtune.training.surgery.spatial import transforms
from reprtune.training.surgery.tied_conv import TiedConv2d
from reprtune.training.surgery.ties import Ties

KIND = "keep-tied"


def tied_form(ties: Mapping[str, Ties], name: str, placement: str) -> dict[str, Any]:
    """The form of a network with these ties, layer -> ties; layers without any are left out.

    Args:
        name: of the set of transforms.
    """
    layers = {layer: _plain(one) for layer, one in ties.items() if one.tied.any()}
    return {"kind": KIND, "transforms": name, "placement": placement, "layers": layers}


def _plain(ties: Ties) -> dict[str, list[float]]:
    plain = {"source": ties.source.tolist(), "transform": ties.transform.tolist()}
    return plain | ({"scale": ties.scale.tolist()} if (ties.scale != 1).any() else {})


def tied_structure(model: nn.Module, form: Mapping[str, Any], _example: Tensor) -> nn.Module:
    """The network with its tied layers in place of whole ones, in place; their kept filters and biases stay."""
    for name, plain in form["layers"].items():
        conv = model.get_submodule(name)
        if not isinstance(conv, nn.Conv2d) or conv.out_channels != len(plain["source"]):
            raise ValueError(f"{name} is no convolution with {len(plain['source'])} filters")
        source = torch.tensor(plain["source"])
        scale = torch.tensor(plain.get("scale", [1.0] * len(source)), dtype=torch.float64)
        ties = Ties(source, torch.tensor(plain["transform"]), scale)
        size = (conv.kernel_size[0], conv.kernel_size[1])
        new = TiedConv2d(conv, ties, transforms(form["transforms"], size), form["placement"])
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, new.train(conv.training))
    return model
