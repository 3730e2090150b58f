"""A training state as bytes: tensors and a history in safetensors' format. Loading runs no code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from reprtune.errors import StateError

_NOTES = "notes"


def encode(tensors: Mapping[str, Tensor], notes: Mapping[str, Any]) -> bytes:
    """Tensors by name, and `notes`, any JSON value."""
    text = torch.frombuffer(bytearray(json.dumps(notes).encode()), dtype=torch.uint8)
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return safetensors.torch.save({**plain, _NOTES: text})


def decode(payload: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The inverse of `encode`; tensors on the CPU.

    Raises:
        StateError: these bytes are something else.
    """
    try:
        tensors = safetensors.torch.load(payload)
        notes = json.loads(bytes(tensors.pop(_NOTES).numpy()))
    except (SafetensorError, KeyError, ValueError) as error:
        raise StateError(
            f"A training state must be tensors with notes, but these bytes are not: {error}."
        ) from error
    return tensors, notes


def bits_equal(a: Tensor, b: Tensor) -> bool:
    """Are both of one shape and type, with the same bits? NaN equals itself, and -0 is not 0."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return torch.equal(a.contiguous().view(-1).view(torch.uint8), b.contiguous().view(-1).view(torch.uint8))
