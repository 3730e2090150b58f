"""A person's own network: FACTORY(in_channels, input_size, n_classes) of a module or file of theirs."""

from __future__ import annotations

from torch import nn

from reprtune.errors import ModelError
from reprtune.spec.task import ModelSpec
from reprtune.training.models.output import check_output, try_forward
from reprtune.training.platform import user_code


def build(
    spec: ModelSpec, argument: str, in_channels: int, input_size: tuple[int, int], n_classes: int
) -> nn.Module:
    """What the factory `argument` ("module:name" or "file.py:name") returns for images of `in_channels` x `input_size`.

    Raises:
        ModelError: there is no such factory; it fails; it returns no network; or the network fails, or
            gives anything else than N x n_classes scores, in training or in evaluation.
    """
    model = user_code.load(argument, ModelError).call(in_channels, input_size, n_classes)
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"{spec.name} must return a torch.nn.Module, but returned {type(model).__name__}.",
            "Return the network, built for (in_channels, input_size, n_classes).",
        )
    for mode in ("training", "evaluation"):
        try:
            output = try_forward(model, in_channels, input_size, training=mode == "training")
        except Exception as error:
            raise ModelError(
                f"{spec.name} fails in {mode} on two images of {in_channels} x {input_size[0]} x {input_size[1]}: "
                f"{type(error).__name__}: {error}",
                "Build it for the in_channels and the input_size (height, width) the factory is given.",
            ) from error
        check_output(spec.name, output, n_classes, mode)
    return model
