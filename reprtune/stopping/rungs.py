"""Early stopping: a trial is compared only at its rungs, with the others at the same step.

Why rungs: curves of methods that drop filters look like saws, and comparing them at different phases stops good
trials. What a rule says is a value of `reprtune.spec.stop_rules`; its card names the class here that decides.
"""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Sequence
from typing import Any

from reprtune.spec.stop_rules import StopRule
from reprtune.stopping.curves import Rival, Standing
from reprtune.stopping.judge import Judge


def should_stop(rule: StopRule, standing: Standing, rivals: Sequence[Rival]) -> bool:
    """Whether the trial that stands so at a rung is to be stopped.

    Args:
        rivals: with several seeds per trial, the others' curves of the same seed.

    Raises:
        ValueError: when its error is not a number, or it has a cost but a rival has none.
    """
    if math.isnan(standing.error):
        raise ValueError("error must be a number at a rung, but is NaN: that trial has diverged.")
    return judge(rule).stops(standing, rivals)


def judge(rule: StopRule) -> Judge[Any]:
    """Who decides as the rule says."""
    found: Judge[Any] = _judges(type(rule))(rule)
    return found


@functools.cache
def _judges(kind: type[StopRule]) -> type[Judge[Any]]:
    module, _, name = kind.card.code.partition(":")
    found: type[Judge[Any]] = getattr(importlib.import_module(module), name)
    return found
