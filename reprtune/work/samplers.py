"""Who draws the parameters of a slot, and what from.

A draw depends on the study's seed, the slot, how often the slot was drawn before, and the trials there
are; never on who asks. So no two workers share a stream, and a study that is resumed draws as if it had
not been interrupted.
"""

from __future__ import annotations

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler

from reprtune.record.optuna_private.sequence import OneSequence
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
        return _sequence(spec, search.seed, slot + search.slots * n_redraws, seed)
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


def _sequence(spec: StudySpec, study_seed: int, position: int, seed: int) -> OneSequence:
    """A point of the study's one sequence: the first draws of the slots are the first points, and draws anew are
    points far behind."""
    space = {name: distribution(range_) for name, range_ in spec.params.items()}
    sequence = int(digest([study_seed, "qmc"])[:8], 16)
    return OneSequence(space, position=position, sequence=sequence, seed=seed)
