"""Every sampler: exact budgets with several workers, draws that nobody else gets, resumed as uninterrupted."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from reprtune.spec.sections.search import SAMPLERS
from reprtune.spec.space import Choice, FloatRange
from reprtune.study.queueing import refill
from reprtune.work.queue import Queue
from reprtune.work.samplers import population_size
from tests.work.queueing import end, pending, search_queue, take
from tests.work.tiny_worker import create, work_together

pytestmark = pytest.mark.usefixtures("short_lease")
RATE = FloatRange(low=0.001, high=0.1, log=True)


def finish(queue: Queue, n: int) -> list[dict[str, Any]]:
    """Take and complete so many slots; those with a small learning rate and few cycles are better."""
    drawn = []
    for _ in range(n):
        trial = take(queue)
        drawn.append(dict(trial.params))
        end(queue, trial, values=[trial.params["lr"], float(trial.params["cycles"])])
    return drawn


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_first_draws_of_different_slots_differ(tmp_path: Path, sampler: str) -> None:
    """Eight workers at once, none of which sees a result; a study made anew draws the same, another seed else."""
    draws = []
    for folder, seed in (("1", 0), ("2", 0), ("3", 1)):
        queue = search_queue(tmp_path / f"{folder}.db", slots=8, sampler=sampler, seed=seed)
        draws.append([take(queue, f"w{i}").params["lr"] for i in range(8)])
    assert len(set(draws[0])) == 8 and draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_resumed_study_draws_as_an_uninterrupted_one(tmp_path: Path, sampler: str) -> None:
    """Slots 3 and 9 are given back, the worker of the last one vanishes; all keep their draws."""
    n = 12 if sampler == "gp" else 16  # beyond the random start of each
    whole = finish(search_queue(tmp_path / "1.db", slots=n, sampler=sampler), n)
    queue = search_queue(tmp_path / "2.db", slots=n, sampler=sampler)
    found = finish(queue, 3)
    queue.give_back(take(queue), {"outcome": "interrupted"})
    found += finish(queue, 6)
    queue.give_back(take(queue), {"outcome": "interrupted"})
    found += finish(queue, n - 10)
    take(queue, "gone")
    assert queue.release_worker("gone") == 1 and refill(queue.view) == 1
    found += finish(queue, 1)
    assert found == whole and pending(queue) == 0


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_two_workers_end_every_slot_once(tmp_path: Path, sampler: str) -> None:
    """Also where half of the draws do not fit and are made again."""
    study = work_together(create(tmp_path, sampler=sampler, slots=5, controls=()), 2)
    assert sorted(t.slot for t in study.final()) == [0, 1, 2, 3, 4] and study.pending() == 0
    assert {t.outcome for t in study.trials} <= {"complete", "infeasible"}
    assert study.counts()["complete"] == 5


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_draw_that_does_not_fit_is_followed_by_another(tmp_path: Path, sampler: str) -> None:
    """The same slot, five times: no draw comes again."""
    queue = search_queue(tmp_path / "x.db", sampler=sampler)
    drawn = []
    for _ in range(5):
        trial = take(queue)
        assert trial.user_attrs["slot"] == 0
        drawn.append(trial.params["lr"])
        trial.set_constraint("fits", 0.5)
        end(queue, trial, "infeasible")
        refill(queue.view)
    assert len(set(drawn)) == 5


def test_sobols_sequence_covers_the_space_from_the_first_draw_on(tmp_path: Path) -> None:
    """Of its first 16 points one lies in each sixteenth of every range, and 4 have each of 4 choices."""
    options = ("ortho", "l2", "l1", "random")
    space = {
        "training.lr": RATE,
        "method.prune_ratio": FloatRange(low=0.2, high=0.6),
        "method.criterion": Choice(options=options),
    }
    queue = search_queue(tmp_path / "x.db", slots=16, sampler="qmc", space=space)
    drawn = [take(queue).params for _ in range(16)]
    rates = [math.log(p["lr"] / 0.001) / math.log(100) for p in drawn]
    ratios = [(p["prune_ratio"] - 0.2) / 0.4 for p in drawn]
    for places in (rates, ratios):
        assert sorted(int(16 * place) for place in places) == list(range(16))
    assert sorted(p["criterion"] for p in drawn) == sorted(options * 4)


@pytest.mark.parametrize(("slots", "size"), [(1, 4), (16, 4), (32, 8), (100, 25), (200, 50), (10_000, 50)])
def test_populations_leave_room_for_generations(slots: int, size: int) -> None:
    """A quarter of the slots; never fewer than 4, never more than Optuna's 50."""
    assert population_size(slots) == size


def test_the_genetic_algorithm_has_descendants_in_a_small_study(tmp_path: Path) -> None:
    """16 slots: 4 draws at random, then rates that a parent of an earlier generation had or mutations."""
    queue = search_queue(tmp_path / "x.db", slots=16, sampler="nsga2")
    finish(queue, 16)
    trials = queue.trials()
    generations = [next(v for k, v in t.system_attrs.items() if k.endswith("generation")) for t in trials]
    assert generations == sorted([0, 1, 2, 3] * 4)
    rates = [t.params["lr"] for t in trials]
    inherited = [rate for i, rate in enumerate(rates[4:], 4) if rate in rates[:i]]
    assert len(set(rates[:4])) == 4 and len(inherited) >= 4
