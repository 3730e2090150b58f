"""What a number of seeds can see, held against statsmodels' power of the paired t test."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower

from reprtune.analysis.paired import Difference, SeedValue, paired
from reprtune.analysis.power import MOST, needed, smallest


def of(values: list[float]) -> Difference:
    found = paired(
        [SeedValue(seed=i, value=v) for i, v in enumerate(values)],
        [SeedValue(seed=i, value=0.0) for i in range(len(values))],
    )
    assert found is not None
    return found


@pytest.mark.parametrize("n", [3, 5, 10, 30])
def test_the_smallest_effect_is_seen_in_four_of_five_studies(n: int) -> None:
    """The effect with a power of 80 % at this n, times the spread of the differences."""
    values = [0.01 * (i % 3) + 0.001 * i for i in range(n)]
    effect = TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8)
    assert smallest(of(values)) == pytest.approx(effect * np.std(values, ddof=1), rel=1e-4)


@pytest.mark.parametrize("mean", [0.002, 0.01, 0.03, 0.2])
def test_so_many_seeds_would_decide(mean: float) -> None:
    """The first whole number of pairs whose power reaches 80 % at the mean and spread that were seen; at least
    three, for an interval needs them."""
    values = [mean + d for d in (-0.02, -0.01, 0.0, 0.01, 0.02)]
    effect = mean / np.std(values, ddof=1)
    powers = {n: TTestPower().power(effect, n, 0.05, alternative="two-sided") for n in range(3, 1000)}
    assert needed(of(values)) == min(n for n, power in powers.items() if power >= 0.8)


def test_no_difference_would_take_more_than_anybody_trains() -> None:
    """A mean of about 0 is never decided: more than `MOST`."""
    assert needed(of([-0.01, 0.0, 0.01, 0.00001])) == MOST + 1


def test_without_an_interval_nothing_is_said() -> None:
    """Two pairs, and pairs without any spread, tell nothing of other seeds."""
    for values in ([0.1, 0.2], [0.1, 0.1, 0.1, 0.1]):
        assert smallest(of(values)) is None and needed(of(values)) is None
    assert smallest(None) is None and needed(None) is None
