"""The best of a search, and whether its gain is more than luck: by hand, by other formulas and by simulation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, special, stats

from dashboards.answer import answer
from reprtune.analysis.luck import BestOfSearch, Sizes, best_of_search, chance, p_luck
from reprtune.record.schema import SeedRun, StudyRecord, TrialRecord
from tests.factories import make_spec, make_study, make_trial
from tests.flat import with_attempts

STANDARD = (0.10, 0.11, 0.12)  # mean 0.11, standard deviation 0.01


def study(
    errors: Sequence[float],
    standard: Sequence[float] = STANDARD,
    more: Sequence[TrialRecord] = (),
    **fields: object,
) -> StudyRecord:
    """Complete trials with these errors, then `more`; and the arm `standard`, a seed for each of its errors."""
    record = make_study(
        len(errors), outcomes=("complete",), extras=(), control_seeds=range(len(standard)), **fields
    )  # type: ignore[arg-type]
    trials = [_ends(t, e) for t, e in zip(record.trials, errors, strict=True)]
    arms = [_ends(t, standard[t.seed]) for t in record.controls if t.arm == "standard"]
    return with_attempts(record, trials=[*trials, *more], controls=arms)


def _ends(trial: TrialRecord, error: float) -> TrialRecord:
    return replace(trial, values={"val_error": error, "train_gflops": 10.0})


def found(record: StudyRecord) -> BestOfSearch:
    best = best_of_search(record)
    assert best is not None
    return best


def said(record: StudyRecord) -> str:
    return next(
        text for text in answer(record) if text.startswith(("Standard training", "No run of the standard"))
    )


# -- the best -----------------------------------------------------------------------------------------


def test_best_of_search_by_hand() -> None:
    """The lowest error among complete trials, held against the mean of standard."""
    record = study([0.3, 0.05, 0.2, 0.05, 0.1], (0.08,) * 3)
    record = with_attempts(record, trials=[*record.trials, make_trial(record.spec, 99, "stopped")])
    best = found(record)
    assert (best.number, best.n_settings) == (
        1,
        5,
    )  # the earlier of two equals; the stopped one is no candidate
    assert best.to_standard == pytest.approx(-0.03) and best.n_standard == 3
    assert best.cost_factor == pytest.approx(1)
    assert best_of_search(make_study(3, outcomes=("diverged",), extras=())) is None


def test_without_a_standard_arm_nothing_is_held_against_it() -> None:
    """Neither difference nor luck nor cost."""
    best = found(study([0.1, 0.2], ()))
    assert (best.to_standard, best.p_luck, best.chance_gain, best.cost_factor) == (None, None, None, None)


@pytest.mark.parametrize(
    ("outcome", "n"),
    [
        ("stopped", 1), ("diverged", 1), ("error", 1), ("out-of-memory", 0), ("over-budget", 0),
        ("waiting", 0), ("running", 0), ("interrupted", 0), ("lost", 0), ("infeasible", 0),
    ],
)  # fmt: skip
def test_all_that_was_trained_and_ended_counts(outcome: str, n: int) -> None:
    """Who was stopped might have been the best; of who runs, was never begun or is tried again nothing is kept back."""
    trial = make_trial(
        make_spec(), 50, outcome
    )  # of a slot over budget or out of memory: none of it was trained
    assert found(study([0.1, 0.2, 0.3], more=[trial])).k == 3 + n


@pytest.mark.parametrize("outcome", ["out-of-memory", "over-budget"])
def test_a_slot_that_failed_counts_where_it_was_trained_in_part(outcome: str) -> None:
    """By the steps that its attempts have behind them; once, however many attempts it had."""
    trial = replace(make_trial(make_spec(), 50, outcome), result={"steps_spent": 0, "steps_alone": 40})
    lost = replace(make_trial(make_spec(), 49, "lost"), slot=trial.slot)
    assert found(study([0.1, 0.2, 0.3], more=[lost, trial])).k == 4


def test_trials_of_several_seeds_spread_less() -> None:
    """Means of four seeds; one that was stopped in its first counts with the four that it was to have."""
    earlier = tuple(SeedRun(seed=s, measured={"val_error": 0.1, "train_gflops": 1.0}) for s in range(3))
    record = study([0.1, 0.2, 0.3], seeds=4)
    of_four = [replace(t, earlier=earlier, seed=3) for t in record.trials]
    best = found(with_attempts(record, trials=[*of_four, make_trial(record.spec, 60, "stopped")]))
    assert (best.n_seeds, best.k) == (4, 4)
    assert best.chance_gain == pytest.approx(0.01 * chance(3, ((4, 4),)))
    assert best.p_luck == pytest.approx(p_luck(1.0, 3, ((4, 4),)))  # 0.11 - 0.10 is one standard deviation
    assert "mean of 4 seeds, selected among 3 complete trials" in " ".join(
        answer(with_attempts(record, trials=of_four))
    )


@pytest.mark.parametrize("standard", [(0.11,), (0.1, 0.1, 0.1), (0.3, 0.1 + 0.2, 0.3)])
def test_without_spread_nothing_is_said_of_luck(standard: tuple[float, ...]) -> None:
    """One seed, all equal, and equal but for rounding."""
    best = found(study([0.05, 0.2], standard))
    assert (best.p_luck, best.chance_gain, best.with_more_seeds) == (None, None, None)


def test_what_was_not_chosen_by_its_error_is_not_judged_by_it() -> None:
    """The cheapest of many is not the luckiest of them in its error."""
    best = found(study([0.05, 0.2], objectives=("train_gflops",)))
    assert best.measure == "train_gflops" and best.to_standard is not None
    assert (best.p_luck, best.chance_gain) == (None, None)


# -- the probability ----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 5, 10, 40])
@pytest.mark.parametrize("m", [1, 4])
def test_one_trial_is_held_to_the_one_sided_prediction_bound(n: int, m: int) -> None:
    """Of Student's t: of one more mean of m values, after n."""
    expected = stats.t.ppf(0.95, n - 1) * math.sqrt(1 / n + 1 / m)
    assert chance(n, ((m, 1),)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("k", [1, 17, 300])
def test_with_ever_more_seeds_the_spread_is_known(k: int) -> None:
    """The bound comes to that of k draws whose mean and standard deviation are known."""
    assert chance(100_000, ((1, k),)) == pytest.approx(
        -stats.norm.ppf(-math.expm1(math.log(0.95) / k)), rel=1e-3
    )


def by_the_noncentral_t(t: float, n: int, sizes: Sizes) -> float:
    """The same integral over the lowest trial x: given it, sqrt(n) T is noncentral t about -sqrt(n) x."""

    def density(x: float) -> float:
        none = sum(k * special.log_ndtr(-math.sqrt(m) * x) for m, k in sizes)
        hazard = sum(
            k
            * math.sqrt(m)
            * math.exp(stats.norm.logpdf(math.sqrt(m) * x) - special.log_ndtr(-math.sqrt(m) * x))
            for m, k in sizes
        )
        return float(math.exp(none) * hazard * stats.nct.sf(t * math.sqrt(n), n - 1, -x * math.sqrt(n)))

    return float(integrate.quad(density, -9, 9, limit=400, epsabs=1e-8)[0])


@pytest.mark.parametrize("n", [2, 3, 10])
@pytest.mark.parametrize("sizes", [((1, 17),), ((3, 300),), ((1, 20), (2, 6), (9, 1))])
@pytest.mark.parametrize("t", [-1.0, 0.5, 3.0, 12.0])
def test_p_is_accurate_to_four_digits(n: int, sizes: Sizes, t: float) -> None:
    """Against the noncentral t distribution, integrated over the lowest trial."""
    assert p_luck(t, n, sizes) == pytest.approx(by_the_noncentral_t(t, n, sizes), abs=1e-4)


def null(n: int, k: int, rho: float, studies: int = 4000) -> float:
    """How often the gain is above what chance explains where nothing helps; errors of one seed share rho of their
    variance, and all trials have the first seed of standard."""
    rng = np.random.default_rng([n, k])
    common, own = math.sqrt(rho) * rng.standard_normal((studies, n)), math.sqrt(1 - rho)
    standard = common + own * rng.standard_normal((studies, n))
    trials = common[:, :1] + own * rng.standard_normal((studies, k))
    gain = standard.mean(axis=1) - trials.min(axis=1)
    return float(np.mean(gain > standard.std(axis=1, ddof=1) * chance(n, ((1, k),))))


@pytest.mark.parametrize(("n", "k"), [(2, 17), (3, 17), (3, 300), (5, 32), (10, 60)])
def test_five_of_a_hundred_studies_in_which_nothing_helps_are_said_to_gain(n: int, k: int) -> None:
    """Within three standard errors of 4,000 simulated studies; the more errors have in common the fewer."""
    error = math.sqrt(0.05 * 0.95 / 4000)
    assert abs(null(n, k, 0) - 0.05) < 3 * error
    assert null(n, k, 0.5) < 0.05 and null(n, k, 0.9) < 0.03


# -- the sentence -------------------------------------------------------------------------------------


def test_more_than_chance_explains_only_below_five_percent() -> None:
    """The gain on one side of the bound and on the other."""
    bound = 0.01 * chance(3, ((1, 2),))
    above = said(study([0.11 - bound - 1e-6, 0.2]))
    assert (
        "the gain seen in validation errors is more than chance explains (p = 0.050)." in above
        and "leave so much open" not in above
    )
    assert "chance may explain the gain seen (p = 0.050)." in said(study([0.11 - bound + 1e-6, 0.2]))


def test_few_seeds_say_what_is_missing() -> None:
    """How large a gain would have to be, and with ten seeds of the same spread; nothing of it from ten on."""
    bounds = [1 * chance(n, ((1, 2),)) for n in (3, 10)]
    text = said(study([0.10, 0.2]))
    assert f"the best of 2 trials lies less than {bounds[0]:.2f} points below it in 95 of 100 studies" in text
    assert text.endswith(
        f"3 seeds of standard leave so much open that a gain would have to exceed {bounds[0]:.2f} points; with 10 seeds "
        f"of the same spread, {bounds[1]:.2f}."
    )
    many = said(study([0.10, 0.2], [0.10 + 0.002 * i for i in range(10)]))
    assert "chance may explain the gain seen" in many and "leave so much open" not in many


def test_a_bound_below_an_error_of_0_is_called_so() -> None:
    """Where the whole error of standard is less than what chance explains."""
    text = said(study([0.01, 0.2], (0.02, 0.03, 0.04)))
    assert "leave so much open that even an error of 0 would not show a gain; with 10 seeds" in text
    assert text.endswith(f"it would have to exceed {chance(10, ((1, 2),)):.2f} points.")


def test_those_that_were_cut_short_are_named_in_the_sentence() -> None:
    """Where there are any."""
    record = study(
        [0.10, 0.2], more=[make_trial(make_spec(), 50, "stopped"), make_trial(make_spec(), 51, "diverged")]
    )
    assert "the best of 4 trials (those cut short count) lies" in said(record)
    assert "cut short" not in said(study([0.10, 0.2]))


@pytest.mark.parametrize(
    ("standard", "text"),
    [
        ((0.11,), "One seed gives no spread, so chance cannot be told from gain."),
        (
            (0.11, 0.11, 0.11),
            "All its seeds ended at the same error: there is no spread to tell chance from gain by.",
        ),
        ((0.01, 0.02, 0.03), "lies 3.00 percentage points above that mean."),
        ((0.05, 0.05, 0.05), "the best of the search is as high as that mean."),
    ],
)
def test_nothing_is_said_of_luck_without_spread_or_gain(standard: tuple[float, ...], text: str) -> None:
    """The sentence ends with why, or with the difference."""
    assert said(study([0.05, 0.2], standard)).endswith(text)


def test_an_error_of_no_image_is_not_called_certain() -> None:
    """0 of 287 has no standard error; up to 1.04 % would show as 0 in one of twenty studies: 0.9896 ** 287."""
    assert pytest.approx(0.05, rel=0.01) == 0.9896**287
    assert (
        "With 287 validation images, an error of 1.04 % would show as 0 in one of twenty."
        in answer(study([0.0, 0.2]))[-1]
    )
    assert "an error of that size has a standard error of 1.77 points" in answer(study([0.1, 0.2]))[-1]
