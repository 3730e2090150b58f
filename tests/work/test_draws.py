"""What is drawn for a slot: it depends on the study and its trials, not on who asks or how often one stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from reprtune.spec.duration import Duration
from reprtune.spec.space import Choice, DurationRange, FloatRange, IntRange, Range
from reprtune.study.queueing import refill
from reprtune.work.queue import Queue
from reprtune.work.samplers import distribution
from tests.work.queueing import end, outcomes, pending, search_queue, take

# -- draws ----------------------------------------------------------------------------------------


def draws(queue: Queue, n: int, worker: Callable[[int], str] = str) -> list[dict[str, Any]]:
    """Take and complete so many slots one after the other; better ones have a smaller learning rate."""
    params = []
    for i in range(n):
        trial = take(queue, worker(i))
        params.append(dict(trial.params))
        end(queue, trial, values=[trial.params["lr"], 1.0 + trial.params["cycles"]])
    return params


def test_draws_depend_on_the_study_and_not_on_who_asks(tmp_path: Path) -> None:
    """Also beyond the random start of TPE, which is 10 trials long; another study seed draws otherwise."""
    one = draws(search_queue(tmp_path / "1.db", slots=14), 14)
    two = draws(search_queue(tmp_path / "2.db", slots=14), 14, lambda i: f"other-{i % 3}")
    other = draws(search_queue(tmp_path / "3.db", slots=14, seed=1), 14)
    assert one == two != other
    assert len({p["lr"] for p in one}) == 14, "no two draws share a seed"


def test_an_interrupted_study_draws_as_an_uninterrupted_one(tmp_path: Path) -> None:
    """Slot 5 is given back twice, slot 12 once: the other draws stay the same, and they keep theirs."""
    whole = draws(search_queue(tmp_path / "1.db", slots=14), 14)
    queue = search_queue(tmp_path / "2.db", slots=14)
    found = draws(queue, 5)
    for again in (True, True, False):
        trial = take(queue)
        assert trial.user_attrs["slot"] == 5 and dict(trial.params) == whole[5]
        if again:
            queue.give_back(trial, {"outcome": "interrupted"})
    end(queue, trial, values=[trial.params["lr"], 1.0 + trial.params["cycles"]])
    found += [dict(trial.params), *draws(queue, 6)]
    queue.give_back(take(queue), {"outcome": "interrupted"})
    assert [*found, *draws(queue, 2)] == whole
    assert [o for _, o in outcomes(queue)].count("interrupted") == 3 and pending(queue) == 0


def test_two_workers_at_once_draw_differently(tmp_path: Path) -> None:
    """Neither sees the other's result, and still no two settings are equal."""
    queue = search_queue(tmp_path / "x.db", slots=8)
    params = [take(queue, f"w{i % 2}").params for i in range(8)]
    assert len({p["lr"] for p in params}) == 8


@pytest.mark.parametrize(
    ("range_", "expected"),
    [
        (Choice(options=("a", 2, 0.5, True)), CategoricalDistribution(("a", 2, 0.5, True))),
        (FloatRange(low=0.1, high=0.6, step=0.05), FloatDistribution(0.1, 0.6, step=0.05)),
        (FloatRange(low=0.001, high=1.0, log=True), FloatDistribution(0.001, 1.0, log=True)),
        (IntRange(low=1, high=9, step=2), IntDistribution(1, 9, step=2)),
        (
            DurationRange(low=Duration.parse("2ep"), high=Duration.parse("9ep"), step=Duration.parse("3ep")),
            IntDistribution(2, 8, step=3),
        ),
        (
            DurationRange(
                low=Duration.parse("10it"), high=Duration.parse("20it"), step=Duration.parse("5it")
            ),
            IntDistribution(10, 20, step=5),
        ),
    ],
)
def test_every_kind_of_range_has_its_distribution(range_: Range, expected: BaseDistribution) -> None:
    """Durations as whole numbers of their unit, up to their last step."""
    assert distribution(range_) == expected


# -- draws that do not fit ------------------------------------------------------------------------


def test_an_infeasible_draw_costs_no_budget_and_is_drawn_anew(queue: Queue) -> None:
    """The same slot waits again, without parameters, and comes before all others."""
    first = take(queue)
    end(queue, first, "infeasible")
    assert pending(queue) == 4 and refill(queue.view) == 1 and refill(queue.view) == 0
    second = take(queue)
    assert second.user_attrs["slot"] == 0 and second.number == 4
    assert second.params["lr"] != first.params["lr"]
