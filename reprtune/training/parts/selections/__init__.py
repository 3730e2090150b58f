"""Who is taken, of what was ranked or without a rank: one file for each kind, found by its card's code.

A selection is `select(context, scores, **options)`: the context is that of a criterion, scores are the criterion's, or
None where the method has none; the result says what is taken: filters, (F,) bool on the CPU, the names of whole tensors,
or clusters. Its module may have `check(network, **options)`, which raises what is known before anything is trained.

One that takes a number of the highest scores has three functions instead:

    ranked(network, selection) -> layer -> what is ranked, the parameter itself without its graph
    count(network, selection)  -> how many are taken; raises SpecError where that is none
    select(scores, filters, selection) -> who is taken: (F,) bool on the CPU of filters, or layer -> bool of
                                          single weights
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from reprtune.spec.method import MethodSpec
from reprtune.spec.parts.selections import Selection, Share, Weights
from reprtune.training.parts.behaviour import behaviour, module_of
from reprtune.training.parts.criteria import ScoreContext, score_filters
from reprtune.training.parts.criteria.requirements import check_requirements
from reprtune.training.surgery.subnetwork import SubNetwork


@dataclass(frozen=True)
class Selecting:
    """The functions of a kind that takes a number of the highest; see the module's text."""

    ranked: Callable[..., dict[str, Tensor]]
    count: Callable[..., int]
    select: Callable[..., Any]


def ranks(selection: Selection) -> bool:
    """Does it take a number of the highest scores?"""
    return isinstance(selection, (Share, Weights))


def selecting(selection: Selection) -> Selecting:
    """What a selection that takes a number of the highest does."""
    module = importlib.import_module(module_of(selection))
    return Selecting(module.ranked, module.count, module.select)


def choose(method: MethodSpec, context: ScoreContext) -> Any:
    """What the method takes of the network as it is, whole, in its turn: see the module's text."""
    selection, network = method.selection, context.network
    assert selection is not None
    if ranks(selection):
        assert method.criterion is not None, "MethodSpec holds that there is one"
        functions = selecting(selection)
        scores = score_filters(method.criterion, functions.ranked(network, selection), context)
        return functions.select(scores, network.filters, selection)
    if method.criterion is None:
        return behaviour(selection)(context, None)
    filters = {name: network.parameters[f"{name}.weight"].detach() for name in network.filters.layers}
    return behaviour(selection)(context, score_filters(method.criterion, filters, context))


def check(method: MethodSpec, network: SubNetwork) -> None:
    """Raise SpecError where a selection without a number of its own cannot work on such a network."""
    selection = method.selection
    if selection is None or ranks(selection):
        return
    if method.criterion is not None:
        check_requirements(method.criterion.name, list(network.filters.layers), network.filters)
    of_part = getattr(importlib.import_module(module_of(selection)), "check", None)
    if of_part is not None:
        of_part(network, **selection.options())
