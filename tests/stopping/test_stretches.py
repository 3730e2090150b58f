"""The stretches of a learning rate, against the rates that the training has at every step."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from reprtune.spec.edit import changed
from reprtune.spec.training import TrainingSpec
from reprtune.spec.trial import TrialSpec
from reprtune.stopping.stretches import around, stretches_of
from reprtune.training.chain.plan import learning_rates, restarts, trial_rates
from reprtune.work.stretches import trial_stretches

SPE = 7


def spec(**settings: Any) -> TrialSpec:
    return changed(TrialSpec(), {path.replace("__", "."): value for path, value in settings.items()})


def cycled(rng: random.Random, **settings: Any) -> TrialSpec:
    """Random lengths of cycles and milestones."""
    s1, s2, n = rng.randint(3, 12), rng.randint(1, 6), rng.randint(1, 3)
    stones = sorted(rng.sample(range(1, 100), rng.randint(0, 3)))
    fixed = {
        "training__total": f"{n * (s1 + s2) * SPE + rng.randint(1, 200)}it", "method__s1": f"{s1}ep",
        "method__s2": f"{s2}ep", "method__cycles": n, "training__lr_milestones": [s / 100 for s in stones],
    }  # fmt: skip
    return spec(**{**fixed, **settings})


@pytest.mark.parametrize("restore_lr", ["continue", "restart", "scaled"])
@pytest.mark.parametrize("schedule", ["step", "constant"])
def test_the_factor_is_that_of_every_step_and_a_stretch_ends_where_it_changes(
    schedule: str, restore_lr: str
) -> None:
    """Of 40 random trials: the error after s steps stands at the rate of step s - 1; next to each other are
    different factors only."""
    rng = random.Random(f"{schedule} {restore_lr}")
    for _ in range(40):
        one = cycled(rng, training__lr_schedule=schedule, method__restore_lr=restore_lr)
        found, factors = trial_stretches(one, SPE), trial_rates(one, SPE) / one.training.lr
        for step in range(1, len(factors) + 1):
            after, until, course = around(found, step)
            assert float(course) == pytest.approx(factors[step - 1], rel=1e-5)
            assert after < step <= until
        changes = [0, *(np.flatnonzero(~np.isclose(factors[1:], factors[:-1], rtol=1e-9)) + 1).tolist()]
        assert [at for at, _ in found] == changes


@pytest.mark.parametrize("restore_lr", ["continue", "restart"])
@pytest.mark.parametrize("schedule", ["cosine", "one-cycle", "cyclic"])
def test_a_smooth_schedule_has_a_milestone_only_where_it_begins(schedule: str, restore_lr: str) -> None:
    """Where a restore lets it begin anew, or a cyclic one comes to its next period; two trials have the same course at
    a step only where their factors there are the same."""
    rng = random.Random(schedule)
    trials = [
        cycled(rng, training__lr_schedule=schedule, method__restore_lr=restore_lr, training__lr_period="5ep",
               training__lr_milestones=[0.4, 0.7])
        for _ in range(30)
    ]  # fmt: skip
    known = [(trial_stretches(one, SPE), trial_rates(one, SPE) / one.training.lr) for one in trials]
    for one, (found, factors) in zip(trials, known, strict=True):
        begins = {0, *restarts(one, SPE)}
        if schedule == "cyclic":
            begins |= {
                start + i * 5 * SPE
                for start, stop in zip(sorted(begins), [*sorted(begins)[1:], len(factors)], strict=True)
                for i in range(1 + (stop - start - 1) // (5 * SPE))
            }
        assert {at for at, _ in found} == begins
    for step in rng.sample(range(1, 60), 20):
        there = [
            (around(found, step)[2], factors[step - 1]) for found, factors in known if len(factors) >= step
        ]
        for course, factor in there:
            assert all(other == pytest.approx(factor) for same, other in there if same == course)


def test_new_generations_and_members_of_other_rates_have_courses_of_their_own() -> None:
    """A generation begins a stretch though the rate goes on; networks that share out the rate are not plain
    training."""
    plain = stretches_of(TrainingSpec(), SPE)
    born = trial_stretches(changed(spec(method="ban"), {"method.restore_lr": "continue"}), SPE)
    ends = [at for at, course in born if "generation" in course]
    assert ends and set(plain) < {*plain, *born} and {at for at, _ in plain} <= {at for at, _ in born}
    spread = spec(method="standard", method__n_members=2)
    assert trial_stretches(spread, SPE) == plain
    own = trial_stretches(changed(spread, {"method.member_lr": "spread"}), SPE)
    assert [at for at, _ in own] == [at for at, _ in plain] and not {c for _, c in own} & {
        c for _, c in plain
    }


def test_no_stretches_are_one() -> None:
    """From before everything to after it; a single step is in the stretch that ends with it."""
    assert around((), 5) == (float("-inf"), float("inf"), "")
    two = ((0, "1"), (40, "0.1"))
    assert around(two, 40) == (float("-inf"), 40, "1")
    assert around(two, 41) == (40, float("inf"), "0.1")


def test_the_default_schedule_by_hand() -> None:
    """100 epochs of one step: a tenth from step 40 on, a hundredth from step 70 on, as the training has it."""
    training = TrainingSpec()
    assert stretches_of(training, 1) == ((0, "1"), (40, "0.1"), (70, "0.01"))
    rates = learning_rates(training, 1)
    assert rates[39] == pytest.approx(0.1) and rates[40] == pytest.approx(0.01)
