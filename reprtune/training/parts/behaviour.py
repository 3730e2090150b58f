"""From a part's value to what it does: the code its card names, or the person's own, with its options."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

from reprtune.spec.parts.part import Own, Part

# Found by name, as all parts are: only who has one is named by it.
OWN_PARTS = "reprtune.training.parts.own_parts"


def behaviour(part: Part, *left_out: str) -> Callable[..., Any]:
    """What a part does, as a function of its place's arguments.

    Args:
        left_out: options of a part of ours that somebody else sees to.

    Raises:
        SpecError: an own part has no such option. PartError: its code cannot be imported, or takes other
            arguments; and, when it is called, it fails or returns something else than its place wants.
    """
    if isinstance(part, Own):
        return importlib.import_module(OWN_PARTS).checked(part)
    options = {name: value for name, value in part.options().items() if name not in left_out}
    module, _, name = part.card.code.partition(":")
    found = getattr(importlib.import_module(module), name)
    return functools.partial(found, **options) if options else found


def module_of(part: Part) -> str:
    """The module of ours that runs a part; the person's own code has a digest of its own (`user_code`)."""
    return OWN_PARTS if isinstance(part, Own) else part.card.code.partition(":")[0]
