"""Seeds that all differ by the same amount: no page, table or sentence draws a conclusion or an interval from that."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from dashboards.answer import answer
from dashboards.pages import PAGES
from dashboards.terminal import status
from reprtune.analysis.decisions import Verdict, decisions
from reprtune.analysis.tables import comparison_rows, control_rows
from reprtune.record.schema import StudyRecord, TrialRecord
from tests.confirmed import confirmed, searched
from tests.flat import with_attempts

NUMBER = r"([\N{MINUS SIGN}+-]?[\d.]+)"
SHIFTED = {0: 5 / 288, 1: 6 / 288, 2: 4 / 288}  # one image of 288 more with every seed
EQUAL = dict.fromkeys(SHIFTED, 0.1)
CONCLUSIONS = (
    *(rf"{NUMBER} to \1(?![\d.])", rf"\[{NUMBER}, \1\]"),  # an interval without width
    *(
        "lies below 0",
        "lies above 0",
        "a lower error than",
        "a higher error than",
        "more than chance",
        "flattered it by",
        "Helps: ",
        "Harms: ",
    ),
)


def study(errors: dict[int, float], by: float) -> StudyRecord:
    """Every other arm lies above standard by the same with each seed, in the arms and in the confirmation."""
    record = searched(0.3, 0.005)

    def ends(t: TrialRecord) -> TrialRecord:
        error = errors[t.seed] + by * (t.arm != "standard")
        return replace(
            t, values={"val_error": error, "train_gflops": 10.0}, result={**t.result, "test_error": error}
        )

    record = with_attempts(record, controls=[ends(t) for t in record.controls])
    fresh = list(errors.values())
    return confirmed(record, {"slot-1": [0.05] * 3, "standard": fresh, "paper": [e + by for e in fresh]})


def texts(record: StudyRecord) -> Iterator[str]:
    yield from answer(record)
    yield status(record)
    for page in PAGES.values():
        words = page.words(page.info(record))
        yield from (*words.lead, words.reading, words.missing or "", *(value for _, value in words.facts))
        yield from (cell for row in (words.table.rows if words.table else ()) for cell in row)


@pytest.mark.parametrize("by", [0.0, 1 / 288])
def test_no_text_concludes_from_a_constant_difference(by: float) -> None:
    """Standard itself has no spread, so neither has what it is compared with."""
    found = [
        (rule, text) for text in texts(study(EQUAL, by)) for rule in CONCLUSIONS if re.search(rule, text)
    ]
    assert found == []


def test_arms_that_differ_by_the_same_amount_have_no_interval() -> None:
    """Not in the sentence, nor in the tables; seeds that spread alike leave no spread between them."""
    record = study(SHIFTED, 1 / 288)
    said = [text for text in answer(record) if "paper against standard" in text]
    assert said and all("95 % interval" not in text and "Not decided yet" in text for text in said)
    assert all("lies above 0" not in text for text in texts(record))
    rows = [row for row in control_rows(record) if row["n_pairs"]]
    assert len(rows) == 2 and all(row["difference_low"] is row["difference_high"] is None for row in rows)


def test_comparisons_on_test_images_have_none_either() -> None:
    """Neither interval nor p, effect or verdict where all seeds differ by the same amount."""
    record = study(EQUAL, 1 / 288)
    [row] = [row for row in comparison_rows(record) if (row["arm"], row["control"]) == ("slot-1", "standard")]
    assert row["difference_mean"] == pytest.approx(-0.05)
    assert [row[name] for name in ("difference_low", "difference_high", "p", "p_holm", "effect")] == [
        None
    ] * 5
    assert {one.verdict for one in decisions(record)} <= {Verdict.OPEN, Verdict.NOT_SHOWN}


def test_the_rules_here_find_what_they_are_for() -> None:
    """An interval without width, in a sentence and in a table, is found; another one is not."""
    for text in ("the 95 % interval +0.35 to +0.35 lies", "+0.35 [+0.35, +0.35]"):
        assert any(re.search(rule, text) for rule in CONCLUSIONS[:2])
    assert not any(re.search(rule, "interval +0.35 to +0.351, [+0.3, +0.35]") for rule in CONCLUSIONS[:2])
