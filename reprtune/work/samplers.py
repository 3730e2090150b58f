"""Who draws the parameters of a slot, and what from.

A draw depends on the study's seed, the slot, how often the slot was drawn before, and the trials there
are; never on who asks. So no two workers share a stream, and a study that is resumed draws as if it had
not been interrupted.
"""

from __future__ import annotations

from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from reprtune.spec.codec import digest
from reprtune.spec.space import Choice, DurationRange, FloatRange, IntRange, Range
from reprtune.spec.study import StudySpec

GENERATIONS = 4  # of NSGA-II at least, where there are slots enough
POPULATION = (4, 50)  # smallest and largest; the largest is Optuna's default


def distribution(range_: Range) -> BaseDistribution:
    """A range as Optuna's distribution; durations as whole numbers of their unit."""
    if isinstance(range_, Choice):
        return CategoricalDistribution(range_.options)
    if isinstance(range_, FloatRange):
        return FloatDistribution(range_.low, range_.high, log=range_.log, step=range_.step)
    if isinstance(range_, IntRange):
        return IntDistribution(range_.low, range_.high, step=range_.step)
    assert isinstance(range_, DurationRange)
    values = range_.values()
    return IntDistribution(values[0], values[-1], step=int(range_.step.value))


def make_sampler(spec: StudySpec, slot: int, n_redraws: int) -> BaseSampler:
    """The study's sampler, seeded by what it draws for, so that no two draws share a seed."""
    search = spec.search
    assert search is not None
    seed = int(digest([search.seed, slot, n_redraws])[:8], 16)
    if search.sampler == "random":
        return RandomSampler(seed=seed)
    if search.sampler == "qmc":
        return OneSequence(spec, search.seed, slot + search.slots * n_redraws, seed)
    if search.sampler == "nsga2":
        return NSGAIISampler(population_size=population_size(search.slots), seed=seed)
    if search.sampler == "gp":
        return GPSampler(seed=seed, deterministic_objective=False)  # another seed, another error
    if spec.is_conditional:  # else parameters that are not in every draw would be drawn one by one
        return TPESampler(seed=seed, multivariate=True, group=True)
    return TPESampler(seed=seed)


def population_size(slots: int) -> int:
    """Of NSGA-II: a population larger than the study would be a random search."""
    low, high = POPULATION
    return max(low, min(high, slots // GENERATIONS))


class OneSequence(QMCSampler):
    """A point of the study's one scrambled sequence of Sobol, chosen by the slot.

    Optuna's own sampler draws a study's first trial at random, since it learns the space from it, and
    takes the next point by a count in the storage, where a worker killed between count and draw leaves a
    hole. Here the first draws of the slots are the first points, and draws anew are points far behind.

    Args:
        study_seed: of the sequence. position: of the point in the sequence, from 0. seed: of parameters that are no part of it.
    """

    def __init__(self, spec: StudySpec, study_seed: int, position: int, seed: int) -> None:
        independent = RandomSampler(seed=seed)
        sequence = int(digest([study_seed, "qmc"])[:8], 16)
        super().__init__(scramble=True, seed=sequence, independent_sampler=independent)
        self._position = position
        ranges = {name: distribution(range_) for name, range_ in spec.params.items()}
        self._space = {name: ranges[name] for name in sorted(ranges) if not ranges[name].single()}

    def infer_relative_search_space(self, *_: object) -> dict[str, BaseDistribution]:
        return self._space

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._independent_sampler.sample_independent(study, trial, param_name, param_distribution)

    def _find_sample_id(self, *_: object) -> int:
        return self._position
