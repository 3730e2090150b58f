"""What Optuna's evaluators of importance say of trials, also with their outcomes exchanged.

*Notations*

    raw     importance as the method has it, not normalised: PED-ANOVA's divergence between the best trials and all
            (Watanabe et al. 2023, arXiv 2304.10255), fANOVA's share of a forest's variance (Hutter et al. 2014)
    share   raw over the sum of all parameters', in [0, 1]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reprtune.analysis.rebuilt import Row, as_study
from reprtune.spec.space import Range

if TYPE_CHECKING:
    from optuna.importance import BaseImportanceEvaluator

METHODS = ("ped-anova", "fanova")
N_TREES = 64
MAX_DEPTH = 64


@dataclass(frozen=True, kw_only=True)
class Forest:
    """Of fANOVA; PED-ANOVA has none."""

    n_trees: int = N_TREES
    max_depth: int = MAX_DEPTH


WHOLE = Forest()


class Evaluator:
    """One method over the settings of some trials."""

    def __init__(self, seen: Sequence[Row], params: Mapping[str, Range], best_share: float | None) -> None:
        """`best_share`: what share of the trials PED-ANOVA counts as the best; None asks fANOVA."""
        drawn = {name for known, _ in seen for name, _ in known if name in params}
        self._params, self._best_share = tuple(params), best_share
        self._study = as_study(seen, {name: range_ for name, range_ in params.items() if name in drawn})
        self._is_empty = not drawn

    def raw(self, values: Sequence[float], forest: Forest, seed: int) -> dict[str, float]:
        """With these outcomes, in the order of the trials; 0 of all where nothing tells them apart."""
        if self._is_empty or len(set(values)) < 2:
            return dict.fromkeys(self._params, 0.0)
        for trial, value in zip(self._study.get_trials(), values, strict=True):
            trial.value = float(value)
        try:
            found = self._evaluator(forest, seed).evaluate(self._study)
        except RuntimeError:  # fANOVA: no tree of the forest has split anything
            found = {}
        return {name: float(found.get(name, 0)) for name in self._params}

    def _evaluator(self, forest: Forest, seed: int) -> BaseImportanceEvaluator:
        from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator

        if self._best_share is None:
            return FanovaImportanceEvaluator(seed=seed, n_trees=forest.n_trees, max_depth=forest.max_depth)
        return PedAnovaImportanceEvaluator(target_quantile=self._best_share)


def shares(
    seen: Sequence[Row],
    params: Mapping[str, Range],
    best_share: float | None,
    *,
    forest: Forest = WHOLE,
    seed: int = 0,
) -> dict[str, float] | None:
    """None when no parameter explains anything."""
    raw = Evaluator(seen, params, best_share).raw([value for _, value in seen], forest, seed)
    total = sum(raw.values())
    return {name: value / total for name, value in raw.items()} if total > 0 else None
