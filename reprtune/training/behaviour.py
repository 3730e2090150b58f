"""From a part's value to what it does: the code its card names, or the person's own, with its options."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable
from typing import Any

from reprtune.errors import SpecError, did_you_mean
from reprtune.spec.parts.part import OWN, Own, Part
from reprtune.training import user_code


def behaviour(part: Part, *left_out: str) -> Callable[..., Any]:
    """What a part does, as a function of its place's arguments.

    Args:
        left_out: options that somebody else sees to.

    Raises:
        SpecError: an own part has no such option. ReprtuneError: its code cannot be imported.
    """
    options = {name: value for name, value in part.options().items() if name not in left_out}
    if isinstance(part, Own):
        code = user_code.load(part.name.removeprefix(OWN), SpecError)
        check_options(part, code.factory)
        return functools.partial(code.call_with, options)
    module, _, name = part.card.code.partition(":")
    found = getattr(importlib.import_module(module), name)
    return functools.partial(found, **options) if options else found  # type: ignore[no-any-return]


def module_of(part: Part) -> str | None:
    """The module of a part of ours; None for one of the person's own."""
    return None if isinstance(part, Own) else part.card.code.partition(":")[0]


def check_options(part: Own, function: Callable[..., Any]) -> None:
    """Raise SpecError where an own part's options are not the keyword arguments of its function."""
    known = inspect.signature(function).parameters.values()
    names = [p.name for p in known if p.kind is p.KEYWORD_ONLY]
    for name in part.options():
        if name not in names:
            raise SpecError(
                f"There is no field method.{part.place}.{name}: {part.name} has "
                f"{'the options ' + ', '.join(names) if names else 'no options (they are keyword-only arguments)'}.",
                did_you_mean(name, names) if names else "Leave it out.",
            )
    for p in known:
        if p.kind is p.KEYWORD_ONLY and p.default is p.empty and p.name not in part.options():
            raise SpecError(
                f"{part.name} needs the option {p.name}, which has no default.",
                f"Give it, such as method.{part.place}.{p.name}=1.",
            )
