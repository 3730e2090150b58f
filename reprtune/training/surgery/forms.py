"""Forms: in which way the structure of a network differs from the one that its specification builds.

A form is a JSON mapping `{"kind": ..., ...}`: it goes into states, descriptions and names. It changes structure
alone: a number of the new network stood in the old one, and nothing is added up or drawn. Whatever must be combined
(the kernels that read a cluster, say) is written into the old network before, so that both compute the same; and
numbers loaded after it are those of the new structure. Several forms are applied in their order, each to the
network that the one before has made.

The code of each kind is found by its name, so that only networks that have such a form are named by it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from reprtune.errors import ModelError, did_you_mean

Form = Mapping[str, Any]

# Kind -> `module:function` of what rebuilds it: (network, form, example) -> the new network.
STRUCTURES: dict[str, str] = {
    "keep-tied": "reprtune.training.surgery.tied_layers:tied_structure",
    "trim": "reprtune.training.surgery.trim:trimmed_structure",
}


def reformed(model: nn.Module, form: Form, example: Tensor) -> nn.Module:
    """The network in another form, with the numbers it had, in the mode it was in; `model` may be used up by it.

    Args:
        example: one input, (1, C, H, W), where the network is.

    Raises:
        ModelError: there is no form of this kind, or it does not fit the network.
    """
    kind = check_form(form)
    module, _, name = STRUCTURES[kind].partition(":")
    rebuild = getattr(importlib.import_module(module), name)
    try:
        new: nn.Module = rebuild(model, form, example)
    except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise ModelError(
            f"The form {kind!r} does not fit {type(model).__name__} ({type(error).__name__}: {error}).",
            "A form belongs to the network that it was made for, of the same name, width and images.",
        ) from error
    return new.train(model.training)


def all_reformed(model: nn.Module, forms: Iterable[Form], example: Tensor) -> nn.Module:
    """The network in all of these forms, one after another; as it is without any."""
    for form in forms:
        model = reformed(model, form, example)
    return model


def check_form(form: Any) -> str:
    """The kind of a form.

    Raises:
        ModelError: it is none that is known.
    """
    kind = form.get("kind") if isinstance(form, Mapping) else None
    if not isinstance(kind, str) or kind not in STRUCTURES:
        raise ModelError(
            f"A form must be a mapping whose kind is known, but got {form!r:.100}.",
            did_you_mean(str(kind), STRUCTURES),
        )
    return kind


def modules(forms: Sequence[Form]) -> tuple[str, ...]:
    """The modules of ours that these forms are made by, for names of states."""
    return tuple(sorted({STRUCTURES[check_form(form)].partition(":")[0] for form in forms}))


def all_modules() -> tuple[str, ...]:
    """Of every kind there is."""
    return tuple(sorted({target.partition(":")[0] for target in STRUCTURES.values()}))
