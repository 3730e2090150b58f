"""The classification networks of torchvision, with fresh weights and without auxiliary heads."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from torch import nn

from reprtune.errors import ModelError, SpecError
from reprtune.spec.task import ModelSpec
from reprtune.training.models.output import check_output, try_forward
from reprtune.training.platform.torchvision_import import models

PREFIX = "torchvision:"
CHANNELS = 3
# Two networks take more options: heads that return a tuple, and beginnings whose default warns.
OPTIONS: dict[str, dict[str, Any]] = {
    name: {"aux_logits": False, "transform_input": False, "init_weights": True}
    for name in ("googlenet", "inception_v3")
}


def names() -> list[str]:
    """Every classification network of the torchvision that is installed."""
    return list(models.list_models(module=models))


def build(
    spec: ModelSpec, argument: str, in_channels: int, input_size: tuple[int, int], n_classes: int
) -> nn.Module:
    """The network `argument` of torchvision for images of `in_channels` x `input_size`.

    Raises:
        SpecError: torchvision has no classification network of this name.
        ModelError: the images are not of three channels, or of a size it cannot read.
    """
    _check_name(spec, argument)
    if in_channels != CHANNELS:
        raise ModelError(
            f"{spec.name} reads images of {CHANNELS} channels, but the images have {in_channels}.",
            "Choose a network of our own (python cli.py list models), or store the images with "
            f"{CHANNELS} channels (numpy.repeat along the second dimension).",
        )
    options = OPTIONS.get(argument, {})
    model: nn.Module = models.get_model(argument, weights=None, num_classes=n_classes, **options)
    try:
        output = try_forward(model, in_channels, input_size, training=False)
    except Exception as error:
        raise ModelError(
            f"{spec.name} cannot read images of {input_size[0]}x{input_size[1]} px: {error}",
            _sizes(argument),
        ) from error
    check_output(spec.name, output, n_classes, "evaluation")
    return model


def _check_name(spec: ModelSpec, argument: str) -> None:
    known = names()
    if argument in known:
        return
    if argument in models.list_models():
        raise SpecError(
            f"model.name must be a classification network of torchvision, but {spec.name!r} is one for "
            "detection, segmentation, video, optical flow or quantized numbers.",
            _hint(argument, known),
        )
    raise SpecError(f"torchvision has no network {argument!r}.", _hint(argument, known))


def _hint(argument: str, known: Sequence[str]) -> str:
    """The nearest name; torchvision has too many to list them all."""
    near = difflib.get_close_matches(argument.lower(), known, n=1, cutoff=0.5)
    start = f"Did you mean {PREFIX}{near[0]}? " if near else ""
    return f"{start}It has {len(known)}, such as {PREFIX}resnet50, {PREFIX}mobilenet_v2 and {PREFIX}vgg16_bn."


def _sizes(argument: str) -> str:
    """What torchvision says about the sizes of images."""
    height, width = next(iter(models.get_model_weights(argument))).meta["min_size"]
    return f"torchvision gives {height}x{width} px as its smallest size."
