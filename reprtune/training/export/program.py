"""A network as a program of torch.export, which needs nothing but torch."""

from __future__ import annotations

import functools
import io
import json
import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from reprtune.spec.codec import canonical_json
from reprtune.spec.task import ModelSpec
from reprtune.training.models import build_model
from reprtune.training.surgery.forms import Form, all_reformed


def built(
    model: ModelSpec, forms: Sequence[Form], input_shape: tuple[int, int, int], n_classes: int, seed: int = 0
) -> nn.Module:
    """The network of that structure with some weights, in evaluation mode."""
    channels, height, width = input_shape
    network = build_model(model, channels, (height, width), n_classes, seed).eval()
    return all_reformed(network, forms, torch.zeros(1, *input_shape))


def program(
    model: ModelSpec, forms: Sequence[Form], input_shape: tuple[int, int, int], n_classes: int
) -> ExportedProgram | str:
    """The network with some weights, in evaluation mode, for any number of images; or why there is none."""
    return _traced(model, canonical_json(forms), input_shape, n_classes)


@functools.lru_cache(maxsize=4)
def _traced(
    model: ModelSpec, forms: str, input_shape: tuple[int, int, int], n_classes: int
) -> ExportedProgram | str:
    """Kept, because it takes a second and all trials of a study usually have the same network."""
    network = built(model, json.loads(forms), input_shape, n_classes)
    example = torch.zeros(2, *input_shape)
    try:
        return torch.export.export(network, (example,), dynamic_shapes=({0: Dim("batch")},), strict=False)
    except Exception as error:  # noqa: BLE001 - whatever a person's own network makes torch.export raise
        return f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')}"


@torch.no_grad()
def filled(program: ExportedProgram, weights: Mapping[str, Tensor]) -> bytes:
    """The program with these weights. They are copied into its own, which keep their memory format."""
    for name, tensor in program.state_dict.items():
        tensor.copy_(weights[name])
    file = io.BytesIO()
    with warnings.catch_warnings():  # torch warns of weights in channels-last format; they are whole
        warnings.filterwarnings("ignore", message="No complete tensor found")
        torch.export.save(program, file)
    return file.getvalue()
