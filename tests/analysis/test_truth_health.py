"""On studies of known truth, checks warn of what is wrong and are silent where nothing is: few studies of each."""

from __future__ import annotations

import pytest

from benchmarks.truth.health import TRUTHS, warned
from reprtune.analysis import health

N = 20
QUICK = ("divergence", "budget", "draws", "repeats", "stopping", "luck", "arms-seeds")


@pytest.mark.parametrize("name", QUICK)
def test_healthy_studies_are_left_alone(name: str) -> None:
    """Where the rate of false alarms is 5 %, five or more of twenty would be seen in 0.3 % of such tests."""
    _, make = TRUTHS[name][0]
    assert warned(name, make, N) <= 4


@pytest.mark.parametrize("name", QUICK)
def test_sick_studies_are_warned_of(name: str) -> None:
    """More than half of them: of a stop rule whose rungs say nothing, only those whose best trial came badly off there."""
    _, make = TRUTHS[name][-1]
    assert warned(name, make, N) > N / 2


def test_every_check_has_a_truth() -> None:
    """But that of the arms' divergence, which counts as that of the search does, and of the confirmation's seeds, which
    are judged as the arms'."""
    assert set(health.CHECKS) - set(TRUTHS) == {"arms-divergence", "confirmation-seeds"}
