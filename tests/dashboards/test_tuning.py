"""What is shown of tuning: what was planted, and nothing that the numbers do not say."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.truth.tuned import SEEDS, SPACES, TRIES, finished, study
from dashboards import effects as effects_page
from dashboards import tuning as page
from dashboards.next_step import progress
from dashboards.pages import pages_of
from dashboards.report import report_files
from dashboards.shares import shares
from dashboards.terminal import status, status_numbers
from reprtune.analysis.compare import side_by_side
from reprtune.analysis.controls import arm_summaries
from reprtune.analysis.tables import trial_rows
from reprtune.record.outcomes import Outcome
from reprtune.record.schema import StudyRecord
from reprtune.spec.codec import from_plain, to_plain
from tests.factories import make_study

SPEC = study(2, SPACES["alike"])
DRAWN = [one.changes["training.lr"] for one, _ in SPEC.comparisons[0].tries(SPEC.base) if one.name.startswith("standard.")]  # fmt: skip
IN_ORDER = sorted(DRAWN)


def by_lr(settings: Mapping[str, Any], seed: int) -> tuple[float, float]:
    """A learning rate that is the k-th of those drawn has an error of 10 + k %, on fresh seeds 1 point more; test errors
    are others altogether."""
    error = 0.10 + 0.01 * IN_ORDER.index(settings["training.lr"])
    return error + (0.01 if seed < SEEDS else 0.0) + 0.001 * (seed % 5 - 2) * (seed < SEEDS), 0.3 + 0.001 * (
        seed % 5
    )


WHOLE = finished(SPEC, by_lr)


def cut(record: StudyRecord, n: int) -> StudyRecord:
    """As it was after its first `n` runs: the others wait, those of arms are not there yet."""
    trials = record.of("arms")
    waiting = [
        replace(t, outcome=Outcome.WAITING, values=None, result={}) for t in trials[n:] if t in record.tries
    ]
    return replace(record, attempts={"arms": (*trials[:n], *waiting)})


def lead(record: StudyRecord) -> str:
    return " ".join(page.words(page.info(record)).lead)


def test_it_leads_with_what_there_was_to_tune() -> None:
    """Of 8 tries from 10 to 17 % the median has 13.5 %, so 3.5 points; every arm chose the smallest learning rate; fresh runs
    are 1 point above."""
    said = lead(WHOLE)
    assert said.startswith("The best try of an arm has so many points less error than its median try: 3.50")
    assert "The smallest training.lr that was drawn is the best in 3 of 3 arms" in said
    assert (
        "Runs on fresh seeds have a validation error 1.00 points above that of the best try, mean over 3 arms"
        in said
    )
    assert f"Each of the 3 arms is tuned first, by {TRIES} tries of training.lr with 1 seed each" in said


def test_a_best_between_the_others_says_nothing_of_ends() -> None:
    """The third smallest is the best."""

    def third(settings: Mapping[str, Any], seed: int) -> tuple[float, float]:
        return 0.1 + 0.01 * abs(IN_ORDER.index(settings["training.lr"]) - 2), 0.2

    assert "goes further" not in lead(finished(SPEC, third))


def test_the_table_has_every_arm_with_its_choice_and_how_flat_it_is() -> None:
    """10, 11, 13.5 and 17 %; a standard deviation of 0.16 points over the seeds, so that only the best is as good."""
    table = page.words(page.info(WHOLE)).table
    assert table is not None and [row[0] for row in table.rows] == ["standard", "arm-1", "arm-2"]
    best = DRAWN.index(IN_ORDER[0])
    for row in table.rows:
        assert row[1] == f"try {best} (lr={IN_ORDER[0]:.3g})"
        assert row[2:8] == ("10.00 %", "11.00 %", "13.50 %", "17.00 %", "1 of 8", "11.00 ± 0.16 %")


def test_the_figure_has_every_try_and_the_fresh_runs() -> None:
    """3 arms with 8 tries each, a best and a mean for each."""
    traces = {t.name: t for t in page.figure(page.info(WHOLE)).data}
    assert len(traces["a try"].x) == 3 * TRIES
    assert list(traces["the best, which was chosen"].x) == pytest.approx([10.0] * 3)
    assert list(traces["its runs on fresh seeds, mean"].x) == pytest.approx([11.0] * 3)


def test_tries_are_compared_with_nothing() -> None:
    """Arms are those that are declared, with their own runs; tries are attempts all the same."""
    assert [(arm.arm, arm.n) for arm in arm_summaries(WHOLE)] == [
        ("standard", SEEDS),
        ("arm-1", SEEDS),
        ("arm-2", SEEDS),
    ]
    assert len(trial_rows(WHOLE)) == 3 * (TRIES + SEEDS)
    assert [(s.done, s.planned) for s in shares(WHOLE)] == [(3 * (TRIES + SEEDS),) * 2]


def test_other_pages_say_that_arms_were_tuned() -> None:
    """Effects, with the budget; a study without tuning has neither the page nor the sentence, and no file of tries."""
    assert f"by {TRIES} tries of training.lr" in " ".join(effects_page.words(effects_page.info(WHOLE)).lead)
    assert "tuning" in pages_of(WHOLE)
    plain = make_study(4, extras=())
    assert "tuning" not in pages_of(plain) and "tuning.csv" not in report_files(plain, 0.0)
    assert effects_page.info(plain).tuned == ()


def test_every_try_is_in_the_file() -> None:
    """One row each, with what was drawn and its error; the best of each arm is marked."""
    rows = list(csv.DictReader(io.StringIO(report_files(WHOLE, 0.0)["tuning.csv"].decode())))
    assert len(rows) == 3 * TRIES
    assert [float(row["training.lr"]) for row in rows[:TRIES]] == DRAWN
    assert [(row["arm"], row["val_error"]) for row in rows if row["is_best"] == "True"] == [
        (arm, "0.1") for arm in ("standard", "arm-1", "arm-2")
    ]


def test_status_says_what_was_chosen_and_what_is_left() -> None:
    """Finished; with the last try of arm-2 left; and before anything is trained."""
    best = DRAWN.index(IN_ORDER[0])
    assert f"  tuned:    arm-1: try {best} (lr={IN_ORDER[0]:.3g})" in status(WHOLE)
    part = cut(WHOLE, 3 * TRIES - 1)
    assert "  tuned:    arm-2: 1 run of tries left" in status(part)
    assert "1 run of tries left; 1 arm not chosen yet." in lead(part)
    numbers = status_numbers(WHOLE)["tuned"]["arm-1"]
    assert (numbers["best"], numbers["settings"]["training.lr"]) == (best, IN_ORDER[0])
    assert json.dumps(status_numbers(cut(WHOLE, 0))) and page.words(page.info(cut(WHOLE, 0))).missing
    assert progress(cut(WHOLE, 0)).state == "Not begun"


def test_studies_are_compared_by_what_their_arms_were_tuned_to() -> None:
    """Another choice is another trial, which is refused with its field; the same one is compared."""

    def turned(settings: Mapping[str, Any], seed: int) -> tuple[float, float]:
        return by_lr(
            {**settings, "training.lr": IN_ORDER[-1 - IN_ORDER.index(settings["training.lr"])]}, seed
        )

    other = {row.arm: row for row in side_by_side(WHOLE, finished(SPEC, turned)).rows}
    assert other["arm-1"].refused is not None
    assert other["arm-1"].refused.fields == (("training.lr", IN_ORDER[0], IN_ORDER[-1]),)
    assert all(row.refused is None for row in side_by_side(WHOLE, WHOLE).rows)


def test_failed_and_diverged_tries_are_told() -> None:
    """One of each; an arm of which every try failed stays as it is declared."""
    trials = list(WHOLE.of("arms"))
    ends = {("arm-1.try-0"): Outcome.DIVERGED, **{f"arm-2.try-{n}": Outcome.ERROR for n in range(TRIES)}}
    broken = [replace(t, outcome=ends[str(t.arm)], values=None, result={}) if t.arm in ends else t for t in trials if t.arm != "arm-2"]  # fmt: skip
    record = replace(WHOLE, attempts={"arms": tuple(broken)})
    said = lead(record)
    assert (
        "1 run of tries diverged, and counts with chance error" in said
        and f"{TRIES} runs of tries failed" in said
    )
    assert "arm-2: as declared, for no try has a result" in status(record)


@pytest.mark.parametrize("n", [0, 5, 3 * TRIES - 1, 3 * TRIES, 3 * (TRIES + SEEDS)])
def test_every_page_of_such_a_study_can_be_drawn(n: int) -> None:
    """However far it is; what a page knows reads back equal."""
    record = cut(WHOLE, n)
    for one in pages_of(record).values():
        info = one.info(record)
        one.figure(info)
        one.words(info)
    info = page.info(record)
    assert from_plain(page.TuningInfo, json.loads(json.dumps(to_plain(info), allow_nan=False))) == info
