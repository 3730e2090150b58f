"""Networks of another structure than their specification builds.

A Form is a JSON mapping: `kind`, and what the code of that kind needs to rebuild the structure.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from reprtune.errors import StateError

Form = Mapping[str, Any]
STRUCTURES: dict[
    str, str
] = {}  # kind -> `module:function` of what rebuilds it: (model, form, example) -> model


def reformed(model: nn.Module, form: Form, example: Tensor) -> nn.Module:
    """A network of that structure, made of `model`; its weights are to be loaded.

    Args:
        model: of the structure before, on the CPU; may be changed. example: one input, (1, C, H, W).

    Raises:
        StateError: the form is of no kind known here.
    """
    target = STRUCTURES.get(str(form.get("kind")))
    if target is None:
        raise StateError(
            f"A network has the form {form.get('kind')!r}, which this version does not know.",
            f"Known: {', '.join(STRUCTURES) or 'none'}.",
        )
    module, _, name = target.partition(":")
    found: nn.Module = getattr(importlib.import_module(module), name)(model, form, example)
    return found
