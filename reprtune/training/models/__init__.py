"""The networks of the catalog, built from a specification and a seed."""

from __future__ import annotations

import torch
from torch import nn

from reprtune.spec import catalog
from reprtune.spec.task import ModelSpec
from reprtune.training.platform.seeds import derive


def build_model(
    spec: ModelSpec,
    in_channels: int,
    input_size: tuple[int, int],
    n_classes: int,
    seed: int,
    network: int = 0,
) -> nn.Module:
    """A freshly initialised network on the CPU, float32, channels-last.

    Args:
        in_channels, input_size: channels, (height, width) of the images.
        seed: of the trial. network: which of the trial's networks; each has its own beginning.

    Raises:
        SpecError: the number or the name is not one of this kind of network.
        ModelError: it cannot read such images; or a person's own factory fails, or gives no such network.
    """
    build = catalog.resolve("models", spec.name)
    argument = catalog.argument("models", spec.name)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive(seed, "init", network))
        model: nn.Module = build(spec, argument, in_channels, input_size, n_classes)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
