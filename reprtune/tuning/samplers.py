"""Who draws the parameters of a slot, and what from."""

from __future__ import annotations

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, TPESampler

from reprtune.spec.codec import digest
from reprtune.spec.space import Choice, DurationRange, FloatRange, IntRange, Range
from reprtune.spec.study import StudySpec


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
    """A sampler seeded by what it draws for, so that no two draws share a seed, whoever asks, and the draw
    of a slot depends on nothing but the trials there are."""
    return TPESampler(seed=int(digest([spec.seed, slot, n_redraws])[:8], 16))
