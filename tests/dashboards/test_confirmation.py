"""The confirmation's page and the sentences of the answer: what is claimed, and what is not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scipy import stats

from dashboards import confirmation as page
from dashboards.answer import answer
from dashboards.terminal import status
from dashboards.units import points
from reprtune.record.schema import StudyRecord
from tests.confirmed import Errors, confirmed, searched
from tests.flat import with_attempts

BETTER: Errors = {
    "slot-1": [0.050, 0.051, 0.049, 0.0505, 0.0515],
    "slot-0": [0.061, 0.060, 0.062, 0.0615, 0.0590],
    "standard": [0.090, 0.092, 0.088, 0.0907, 0.0911],
    "paper": [0.0605, 0.060, 0.0618, 0.0625, 0.0592],
    "random-drop": [0.051, 0.050, 0.050, 0.0505, 0.0505],
}


def record(errors: Errors = BETTER) -> StudyRecord:
    return confirmed(searched(0.2, 0.045), errors)


def sentences(errors: Errors = BETTER) -> list[str]:
    return [s for s in answer(record(errors)) if not s.startswith("Arm")]


def test_before_it_nothing_is_called_confirmed() -> None:
    """The page says so with the command; the answer too, and names no test error."""
    study = searched(0.2, 0.1)
    words = page.words(page.info(study))
    assert words.missing is not None and words.missing.startswith("Not confirmed")
    assert "python cli.py study confirm synthetic" in words.missing and not page.figure(page.info(study)).data
    said = " ".join(answer(study))
    assert "Not confirmed: one seed" in said and "points of test error" not in said
    assert said.count("Nothing here is confirmed on fresh seeds or on test images.") == 1


def test_a_study_that_is_not_finished_is_finished_first() -> None:
    """The command stands there for later."""
    study = searched(0.2, 0.1)
    open_ = replace(study.trials[1], outcome="waiting", values=None)
    study = with_attempts(study, trials=(study.trials[0], open_))
    assert "once the study is finished" in str(page.words(page.info(study)).missing)


def test_the_answer_begins_with_the_best_of_the_search_on_test_images() -> None:
    """Against standard first: verdict, difference, interval, seeds, and p corrected for all three rules."""
    first = sentences()[0]
    ours, standard = BETTER["slot-1"], BETTER["standard"]
    low, high = stats.ttest_rel(ours, standard).confidence_interval(0.95)
    mean = sum(ours) / 5 - sum(standard) / 5  # type: ignore[arg-type]
    assert first.startswith("Helps: slot 1, the best of the search, against standard: ")
    assert f"{points(mean)} points of test error (95 % interval {points(low)} to {points(high)})" in first
    assert "5 fresh seeds, p < 0.001 after correction for 3 rules." in first


def test_no_more_is_claimed_than_is_shown() -> None:
    """Never a test error of another leader as the best; what is worse harms."""
    said = sentences()
    assert not any("slot 0" in s for s in said)
    assert "1 further leader: see the confirmation's page. None was chosen by its test error." in said
    worse = sentences({**BETTER, "slot-1": BETTER["standard"], "standard": BETTER["slot-1"]})
    assert worse[0].startswith("Harms: slot 1, the best of the search, against standard: +")


FRESH = "and is {} fresh seeds, same validation images: "


@pytest.mark.parametrize(
    ("test", "text"),
    [
        (  # validation errors are one point higher; 4.50 % in the search
            [0.050, 0.051, 0.049, 0.0505, 0.0515],
            FRESH.format("6.04 ± 0.10 % on 5")
            + "the selection flattered it by 1.54 points (95 % interval +1.42 to +1.66).",
        ),
        (
            [0.025, 0.055, 0.037],
            FRESH.format("4.90 ± 1.51 % on 3")
            + "the selection is not shown to have flattered it (+0.40 points, 95 % interval \N{MINUS SIGN}3.35 to +4.15).",
        ),
        (
            [0.020, 0.021, 0.022],
            FRESH.format("3.10 ± 0.10 % on 3")
            + "the selection did not flatter it (\N{MINUS SIGN}1.40 points, 95 % interval \N{MINUS SIGN}1.65 to \N{MINUS SIGN}1.15).",
        ),
        ([0.02, 0.03], "these are too few, so nothing is said of how far the selection flattered it."),
        ([0.05], "on 1 fresh seed, same validation images: these are too few, so nothing is said"),
        (
            [0.05] * 3,
            "they all differ from it by the same amount, so nothing is said of how far the selection",
        ),
    ],
)
def test_what_the_selection_flattered_is_said(test: list[float], text: str) -> None:
    """By the t interval of the mean over fresh seeds around 0; nothing from two seeds, or without spread."""
    [sentence] = [
        s
        for s in sentences({**BETTER, "slot-1": test})
        if s.startswith("The validation error of slot 1 was 4.50 %")
    ]
    assert text in sentence
    if len(test) > 2 and len(set(test)) > 1:
        low, high = stats.ttest_1samp([x + 0.01 for x in test], 0.045).confidence_interval(0.95)
        assert f"{points(low - 0.045)} to {points(high - 0.045)}" in sentence


def test_after_it_the_rest_is_called_what_it_is() -> None:
    """Validation errors are those of the search."""
    said = sentences()
    assert any(s.startswith("Only what is said of test images is confirmed") for s in said)
    assert not any("Not confirmed" in s or "Nothing here is confirmed" in s for s in said)


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        (
            {"slot-1": [0.1, 0.2], "standard": [0.2, 0.2]},
            "2 pairs of complete runs, and an interval needs 3.",
        ),
        (
            {"slot-1": ["error"] * 3, "standard": [0.2] * 3},
            "0 pairs of complete runs, and an interval needs 3. 3 seeds without a pair",
        ),
        ({"slot-1": ["waiting"] * 3, "standard": [0.2] * 3}, "unfinished: 3 of 6 runs are left"),
        (
            {"slot-1": [0.1] * 3, "standard": [0.2] * 3},
            "all 3 fresh seeds differ by the same \N{MINUS SIGN}10.00 points",
        ),
        ({"slot-1": [0.1, 0.2, "running"], "standard": [0.2] * 3}, "unfinished: 1 of 6 runs are left"),
        ({"slot-1": [0.1, 0.2, "diverged"], "standard": [0.2] * 3}, "diverged runs with chance error"),
        (
            {"slot-1": [0.1, 0.2, "diverged"], "standard": [0.2] * 3},
            "1 run of slot-1 diverged on fresh seeds.",
        ),
        ({"slot-1": [0.1, 0.2, 0.3]}, "has 20.00 ± 10.00 % error over 3 fresh seeds."),
        (
            {"paper": [0.1, 0.2, 0.25], "standard": [0.2] * 3},
            "Not shown to help: paper against standard: \N{MINUS SIGN}1.67 points",
        ),
    ],
)
def test_what_is_missing_is_said(errors: Errors, said: str) -> None:
    """Seeds, spread, runs, a control or a search."""
    assert said in " ".join(sentences(errors))


def test_a_confirmation_that_has_hardly_begun_says_only_that() -> None:
    """Not for each control that nothing is known yet."""
    said = sentences({"slot-1": ["waiting"] * 3, "standard": [0.2] * 3, "paper": ["waiting"] * 3})
    assert said[0].startswith(
        "Not decided yet: slot 1, the best of the search, against standard; paper against "
    )
    assert said[0].endswith(": 6 runs of the confirmation are left.")
    assert sum("Not decided yet" in sentence for sentence in said) == 1


def test_the_page_shows_every_seed_and_every_comparison() -> None:
    """Marks for 25 test errors and 30 differences; a row for each comparison, a fact for each arm."""
    info = page.info(record())
    figure, words = page.figure(info), page.words(info)
    marks = [len(t.x) for t in figure.data if t.name != "mean"]
    assert marks == [5, 5, 5, 5, 5, 30, 6]
    assert words.missing is None and words.table is not None and len(words.table.rows) == 6
    assert [term.partition(":")[0] for term, _ in words.facts] == list(BETTER)
    assert "(3, 4, 5, 6, 7)" in words.reading and "361 test images" in words.reading
    assert words.table.rows[0][:3] == ("slot-1", "standard", "5") and words.table.rows[0][5] == "< 0.001"


def test_the_status_counts_its_runs() -> None:
    """And gives the mean test errors that there are."""
    said = status(record({"slot-1": [0.1, 0.2, "running"], "standard": ["waiting"] * 3}))
    assert "confirmed: 2 of 6 runs are finished; mean test error: slot-1 15.00 % (n = 2)" in said
    assert "confirmed:" not in status(searched(0.1))
