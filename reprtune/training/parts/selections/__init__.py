"""Who is taken, of what was ranked or without a rank.

A selection is `select(context, scores, **options)`: the context is that of a criterion, scores are the criterion's, or
None where the method has none; the result says what is taken: filters, (F,) bool on the CPU, or the names of whole
tensors. Its module may have `check(filters, **options)`, which raises what is known before anything is trained.
(`share`, whose options the score needs too, has its own form.)
"""

from __future__ import annotations

import importlib
from typing import Any

from reprtune.spec.method import MethodSpec
from reprtune.spec.parts.selections import Share
from reprtune.training.parts.behaviour import behaviour, module_of
from reprtune.training.parts.criteria import ScoreContext, score_filters
from reprtune.training.parts.criteria.requirements import check_requirements
from reprtune.training.parts.selections.share import candidates, select
from reprtune.training.surgery.filter_map import FilterMap


def choose(method: MethodSpec, context: ScoreContext) -> Any:
    """What the method takes of the network as it is, whole, in its turn: see the module's text."""
    selection, filters = method.selection, context.network.filters
    assert selection is not None
    layers = candidates(filters, selection) if isinstance(selection, Share) else list(filters.layers)
    ranked = {name: context.network.parameters[f"{name}.weight"].detach() for name in layers}
    scores = None if method.criterion is None else score_filters(method.criterion, ranked, context)
    if isinstance(selection, Share):
        assert scores is not None, "MethodSpec holds that there is a criterion"
        return select(scores, filters, selection)
    return behaviour(selection)(context, scores)


def check(method: MethodSpec, filters: FilterMap) -> None:
    """Raise SpecError where a selection without a number of its own cannot work on such a network."""
    selection = method.selection
    if selection is None or not selection.card.code or isinstance(selection, Share):
        return
    if method.criterion is not None:
        check_requirements(method.criterion.name, list(filters.layers), filters)
    of_part = getattr(importlib.import_module(module_of(selection)), "check", None)
    if of_part is not None:
        of_part(filters, **selection.options())
