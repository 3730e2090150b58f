"""Points of one sequence of Sobol, chosen by whoever asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import QMCSampler, RandomSampler
from optuna.trial import FrozenTrial


class OneSequence(QMCSampler):
    """A point of one scrambled sequence of Sobol.

    Optuna's own sampler draws a study's first trial at random, since it learns the space from it, and
    takes the next point by a count in the storage, where a worker killed between count and draw leaves a
    hole. Here space and place are given.

    Args:
        space: parameters of the sequence. position: of the point in it, from 0.
        sequence: seed of the scrambling, the same for all points. seed: of parameters that are no part of it.
    """

    def __init__(
        self, space: Mapping[str, BaseDistribution], *, position: int, sequence: int, seed: int
    ) -> None:
        independent = RandomSampler(seed=seed)
        super().__init__(scramble=True, seed=sequence, independent_sampler=independent)
        self._position = position
        self._space = {name: space[name] for name in sorted(space) if not space[name].single()}

    def infer_relative_search_space(self, *_: object) -> dict[str, BaseDistribution]:
        return self._space

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._independent_sampler.sample_independent(study, trial, param_name, param_distribution)

    def _find_sample_id(self, *_: object) -> int:
        return self._position
