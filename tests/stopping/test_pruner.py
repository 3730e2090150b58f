from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from reprtune.errors import SpecError
from reprtune.spec.stop_rules import Median, NoStop, Percentile, StopRule, SuccessiveHalving
from reprtune.stopping.pruner import RungPruner

EPOCHS, N_TRIALS = 60, 150


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


@dataclass(frozen=True)
class Saw:
    """A trial with cycles of its own length: each drops filters for a third of it, which costs error.

    `errors[t]` is the error after epoch t + 1; `ends` are the epochs just before a drop, and the last.
    """

    errors: list[float]
    ends: list[int]


def make_saw(rng: random.Random) -> Saw:
    cycle, floor, speed = rng.randint(6, 20), rng.uniform(0.05, 0.4), rng.uniform(6, 16)
    dip = rng.uniform(0.1, 0.4)
    errors = []
    for epoch in range(1, EPOCHS + 1):
        healing = ((epoch - 1) % cycle) / cycle  # 0 just after the drop of the cycle before
        dropped = epoch > cycle and healing < 1 / 3
        error = floor + (0.9 - floor) * math.exp(-epoch / speed) + dip * dropped + rng.gauss(0, 0.003)
        errors.append(min(0.9, error))
    ends = list(range(cycle, EPOCHS, cycle))
    return Saw(errors, [*ends, EPOCHS] if ends[-1] != EPOCHS else ends)


def run(
    saws: list[Saw], pruner: optuna.pruners.BasePruner, *, at_ends: bool, sign: float = 1.0
) -> optuna.Study:
    """Train every saw in order, reporting at the ends of cycles or after every epoch."""

    def objective(trial: optuna.Trial) -> float:
        saw = saws[trial.number]
        for epoch in saw.ends if at_ends else range(1, EPOCHS + 1):
            trial.report(sign * saw.errors[epoch - 1], epoch)
            if epoch < EPOCHS and trial.should_prune():
                raise optuna.TrialPruned
        return sign * saw.errors[-1]

    direction = "minimize" if sign > 0 else "maximize"
    study = optuna.create_study(
        pruner=pruner, direction=direction, sampler=optuna.samplers.RandomSampler(seed=0)
    )
    study.optimize(objective, n_trials=len(saws))
    return study


def killed(study: optuna.Study, numbers: set[int]) -> float:
    pruned = {t.number for t in study.trials if t.state == TrialState.PRUNED}
    return len(pruned & numbers) / len(numbers)


def epochs_spent(study: optuna.Study) -> int:
    return sum(t.last_step or 0 for t in study.trials)


def test_it_keeps_good_trials_that_the_median_pruner_kills() -> None:
    """Saw-tooth curves, cycles of 6 to 20 epochs: most bad trials are stopped, hardly any of the best tenth;
    compared after every epoch, at whatever phase, most of the best tenth are."""
    rng = random.Random(1)
    saws = [make_saw(rng) for _ in range(N_TRIALS)]
    by_error = sorted(range(N_TRIALS), key=lambda i: saws[i].errors[-1])
    best, worst = set(by_error[: N_TRIALS // 10]), set(by_error[N_TRIALS // 2 :])
    ours = run(saws, RungPruner(), at_ends=True)
    medians = run(saws, optuna.pruners.MedianPruner(), at_ends=False)
    assert killed(ours, best) <= 0.1
    assert killed(medians, best) > 0.5
    assert killed(ours, worst) > 0.5
    assert epochs_spent(ours) < 0.8 * N_TRIALS * EPOCHS
    assert ours.best_trial.number == by_error[0]


def test_maximising_is_minimising_with_the_sign_turned() -> None:
    """Accuracy instead of error stops exactly the same trials."""
    rng = random.Random(2)
    saws = [make_saw(rng) for _ in range(60)]
    states = [
        [t.state for t in run(saws, RungPruner(), at_ends=True, sign=sign).trials] for sign in (1.0, -1.0)
    ]
    assert states[0] == states[1]
    assert TrialState.PRUNED in states[0]


def study_with(values: dict[TrialState, int], error: float = 0.1) -> optuna.Study:
    """Trials of each state that reported `error` at steps 10 and 50."""
    study = optuna.create_study()
    for state, n in values.items():
        for _ in range(n):
            study.add_trial(
                create_trial(
                    state=state,
                    value=error if state == TrialState.COMPLETE else None,
                    intermediate_values={10: error, 50: error},
                )
            )
    return study


def decides(study: optuna.Study, reports: dict[int, float], **options: Any) -> bool:
    trial = create_trial(state=TrialState.RUNNING, intermediate_values=reports)
    trial.number = len(study.trials)
    return RungPruner(**options).prune(study, trial)


@pytest.mark.parametrize(
    ("state", "counts"),
    [
        (TrialState.COMPLETE, True),
        (TrialState.PRUNED, True),
        (TrialState.RUNNING, True),
        (TrialState.FAIL, False),
    ],
)
def test_which_states_are_compared_with(state: TrialState, counts: bool) -> None:
    """Complete, stopped and running trials; failed ones may have failed for being broken."""
    assert decides(study_with({state: 5}), {10: 0.9, 30: 0.9}) is counts


def test_no_decision_before_the_warm_up_is_over() -> None:
    """One report is not enough by default; with `warmup_reports=0` it is, with 2 the second is not."""
    study = study_with({TrialState.COMPLETE: 5})
    assert not decides(study, {10: 0.9})
    assert decides(study, {10: 0.9, 30: 0.9})
    assert decides(study, {10: 0.9}, warmup_reports=0)
    assert not decides(study, {10: 0.9, 30: 0.9}, warmup_reports=2)


@pytest.mark.parametrize(
    ("milestones", "step", "stopped"),
    [
        ((), 30, True),
        ((20,), 30, False),  # between the reports at 10 and 50
        ((10,), 30, False),  # a report at a milestone comes before it
        ((50,), 30, True),
        ((9,), 30, True),
        ((10, 40), 30, False),
        ((20,), 50, True),  # a report at that very step
    ],
)
def test_no_line_is_drawn_across_a_milestone(milestones: tuple[int, ...], step: int, stopped: bool) -> None:
    """Five trials that reported 0.1 at 10 and 50: what they had between is known only where the rate was one."""
    study = study_with({TrialState.COMPLETE: 5})
    assert decides(study, {5: 0.9, step: 0.9}, milestones=milestones) is stopped


@pytest.mark.parametrize("milestones", [(20, 10), (10, 10), (0,)])
def test_milestones_are_increasing_steps(milestones: tuple[int, ...]) -> None:
    """Said with the value and what to write."""
    with pytest.raises(SpecError, match="milestones must be"):
        RungPruner(milestones=milestones)


def test_no_decision_with_too_few_comparable_trials() -> None:
    """Four where five are asked for; or five that end before the step."""
    assert not decides(study_with({TrialState.COMPLETE: 4}), {10: 0.9, 30: 0.9})
    assert decides(study_with({TrialState.COMPLETE: 4}), {10: 0.9, 30: 0.9}, min_comparable=4)
    assert not decides(study_with({TrialState.COMPLETE: 5}), {10: 0.9, 51: 0.9})


def test_reports_that_are_not_numbers() -> None:
    """A trial's own NaN stops it, also at its first report; another's NaN counts as worst."""
    assert decides(optuna.create_study(), {10: math.nan})
    assert not decides(study_with({TrialState.PRUNED: 5}, math.nan), {10: 0.9, 30: 0.9})


def test_a_trial_that_reported_nothing_goes_on() -> None:
    """There is nothing to compare."""
    assert not decides(study_with({TrialState.COMPLETE: 5}), {})


def graded_study() -> optuna.Study:
    """Nine complete trials with errors of 0.1 to 0.9 at every step from 1 to 100."""
    study = optuna.create_study()
    for i in range(9):
        error = 0.1 + 0.1 * i
        trial = create_trial(
            state=TrialState.COMPLETE, value=error, intermediate_values={1: error, 100: error}
        )
        study.add_trial(trial)
    return study


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        ({"rule": "median"}, 0.5),
        ({"rule": "percentile"}, 0.3),
        ({"rule": "percentile", "percentile": 75}, 0.7),
        ({"rule": "successive-halving", "total": 100}, 0.1 + 0.8 / 3),
        ({"rule": "successive-halving", "reduction_factor": 5, "total": 100}, 0.26),
        ({"rule": "none"}, math.inf),
    ],
)
def test_each_rule_keeps_its_share(options: dict[str, Any], limit: float) -> None:
    """Quantiles of errors that go from 0.1 to 0.9; every rule that a study may name is there."""
    error = min(limit, 1.0)
    assert not decides(graded_study(), {10: 0.5, 40: error - 1e-6}, **options)
    assert decides(graded_study(), {10: 0.5, 40: error + 1e-6}, **options) is (limit < 1)
    assert options["rule"] in StopRule.names()


@pytest.mark.parametrize(
    ("value", "options"),
    [
        (Median(min_comparable=3), {"rule": "median", "min_comparable": 3}),
        (Percentile(percentile=75), {"rule": "percentile", "percentile": 75}),
        (SuccessiveHalving(reduction_factor=5), {"rule": "successive-halving", "reduction_factor": 5}),
        (NoStop(), {"rule": "none"}),
    ],
)
def test_a_rule_may_be_given_as_its_value(value: StopRule, options: dict[str, Any]) -> None:
    """It decides as the same rule by its name, whatever the error; some go on and, but for `none`, some do not."""
    total = {"total": 100} if value.needs_total else {}
    found = []
    for error in (0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95):
        both = [
            decides(graded_study(), {10: 0.5, 40: error}, **given, **total)
            for given in ({"rule": value}, options)
        ]
        assert both[0] is both[1]
        found.append(both[0])
    assert not found[0] and found[-1] is value.stops


@pytest.mark.parametrize(("before", "stopped"), [(20, True), (34, False)])
def test_successive_halving_judges_once_per_level(before: int, stopped: bool) -> None:
    """Levels at 11 and 33 of 100: at step 60 only who had no report to be judged since 33."""
    reports = {5: 0.9, before: 0.9, 60: 0.9}
    assert decides(graded_study(), reports, rule="successive-halving", total=100) is stopped


def test_a_report_of_the_warm_up_is_no_rung() -> None:
    """The first report, at 34, was not judged, so that the second one still is at the level 33."""
    assert decides(graded_study(), {34: 0.9, 60: 0.9}, rule="successive-halving", total=100)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "successive-halving"}, "total"),
        ({"rule": "median", "total": 100}, "total"),
        ({"rule": "successive-halving", "total": 0}, "total must be at least 1"),
        ({"rule": "hyperband"}, "hyperband"),
        ({"rule": "median", "percentile": 25}, "percentile is no option of the stop rule median"),
        ({"rule": "none", "min_comparable": 3}, "min_comparable is no option of the stop rule none"),
        (
            {"rule": Percentile(), "min_comparable": 3},
            "min_comparable cannot stand beside the rule Percentile",
        ),
        ({"rule": SuccessiveHalving()}, "total goes with the rule successive-halving and no other"),
        ({"rule": 3}, "rule must be the name of a stop rule, or a table"),
    ],
)
def test_options_that_do_not_fit_the_rule_are_refused(options: dict[str, Any], message: str) -> None:
    """Levels need a total, and an option of another rule would silently do nothing."""
    with pytest.raises(SpecError, match=message):
        RungPruner(**options)


@pytest.mark.parametrize(("option", "value"), [("min_comparable", 0), ("warmup_reports", -1)])
def test_bad_options_name_the_field_and_the_rule(option: str, value: int) -> None:
    """Refused when the pruner is made, not in the middle of a study."""
    with pytest.raises(SpecError, match=rf"{option} must be at least .*{value}"):
        RungPruner(**{option: value})
