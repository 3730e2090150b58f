"""Who is taken: one file for each kind of selection, found by its card's code.

A selection that ranks has three functions:

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

from reprtune.spec.parts.selections import Selection
from reprtune.training.parts.behaviour import module_of


@dataclass(frozen=True)
class Selecting:
    """The functions of a kind; see the module's text."""

    ranked: Callable[..., dict[str, Tensor]]
    count: Callable[..., int]
    select: Callable[..., Any]


def selecting(selection: Selection) -> Selecting:
    """What a selection that ranks does."""
    module = importlib.import_module(module_of(selection))
    return Selecting(module.ranked, module.count, module.select)
