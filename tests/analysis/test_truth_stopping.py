"""Where nobody is better, a stop rule stops everybody alike: the known truth of `benchmarks.truth`, in small."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks.truth.stopping import Judged, by, searches, spread
from reprtune.spec.stop_rules import Median, StopRule, SuccessiveHalving

STUDIES = 60


def p_of_equal_shares(trials: list[Judged]) -> float:
    """Of a chi-square test that the share stopped is the same for every number of rungs."""
    groups = by(trials, lambda t: min(t.n_rungs, 5)).values()
    counts = np.array([[sum(group), len(group) - sum(group)] for group in groups])
    return float(stats.chi2_contingency(counts).pvalue)


@pytest.mark.parametrize("data", ["digits", "cifar10"])
def test_equal_trials_are_stopped_alike_where_plain_training_is_known(data: str) -> None:
    """One offset per trial, and T itself as the measure: the share stopped is flat over the number of rungs."""
    assert p_of_equal_shares(searches(data, STUDIES, "T known", Median())) > 0.01


@pytest.mark.parametrize("rule", [Median(), SuccessiveHalving()])
def test_three_runs_of_plain_training_make_it_fairer_by_far(rule: StopRule) -> None:
    """On the curve of CIFAR-10, whose error falls by 12 points in an epoch: the shares by (S1, S2) scatter by more
    than 15 points with straight lines across that, and by less than half of it with differences; of the best fifth
    less than a third as many are stopped."""
    before, after = (searches("cifar10", STUDIES, mode, rule) for mode in ("before", "carried"))
    assert spread(before) > 0.15 and spread(after) < spread(before) / 2
    limit = np.quantile([t.offset for t in before], 0.2)
    lost = [np.mean([t.stopped for t in found if t.offset <= limit]) for found in (before, after)]
    assert lost[0] > 0.3 and lost[1] < lost[0] / 3


def test_the_flatness_can_be_missed() -> None:
    """The same test says no of the earlier rule."""
    assert p_of_equal_shares(searches("cifar10", STUDIES, "before", Median())) < 1e-6
