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
from reprtune.stopping.curves import Rival, Standard, Standing
from reprtune.stopping.judge import Judge
from reprtune.stopping.stretches import Stretches


def should_stop(
    rule: StopRule,
    step: int,
    error: float,
    cost: float | None,
    rivals: Sequence[Rival],
    *,
    earlier: Sequence[int] = (),
    total: int | None = None,
    stretches: Stretches = (),
    standard: Standard | None = None,
) -> bool:
    """Whether the trial that has `error` at its rung `step` is to be stopped.

    Args:
        cost: its planned final cost in a study of several objectives; None with one objective.
        rivals: with several seeds per trial, the others' curves of the same seed.
        earlier: the trial's own rungs before this one. total: its length in steps. Both are for rules that
            pass rungs over, which without a total judge at every rung.
        stretches: of the trial's learning rate; none = it has no milestones.
        standard: the curve of plain training, in which only trials of its learning rates are compared.

    Raises:
        ValueError: when `error` is not a number, or `cost` is given but a rival's is missing.
    """
    if math.isnan(error):
        raise ValueError("error must be a number at a rung, but is NaN: that trial has diverged.")
    return judge(rule).stops(Standing(step, error, cost, earlier, total, stretches, standard), rivals)


def judge(rule: StopRule) -> Judge[Any]:
    """Who decides as the rule says."""
    found: Judge[Any] = _judges(type(rule))(rule)
    return found


@functools.cache
def _judges(kind: type[StopRule]) -> type[Judge[Any]]:
    module, _, name = kind.card.code.partition(":")
    found: type[Judge[Any]] = getattr(importlib.import_module(module), name)
    return found
