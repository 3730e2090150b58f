"""A report has the pages, and speaks the words, of what its study is made of."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from dashboards import controls, history, overview
from dashboards.answer import answer
from dashboards.next_step import progress
from dashboards.pages import PAGES, pages_of
from dashboards.report import report_files
from reprtune.analysis.attempts import deciding
from reprtune.analysis.controls import arm_summaries
from reprtune.analysis.tables import trial_rows
from reprtune.record.schema import StudyRecord
from reprtune.spec.designs.arm import Arm
from reprtune.spec.sections.arms import Arms
from tests.factories import comparison, make_study, make_trial
from tests.flat import with_attempts

ABOUT_SEARCHING = {"importance", "pareto", "slices", "interactions", "history", "stopping"}
WITH_BOTH = make_study(12, extras=())
ALONE = make_study(12, extras=(), controls=(), control_seeds=())


def page_of(record: StudyRecord) -> str:
    """The report's words, without scripts."""
    page = report_files(record, 0.0)["report.html"].decode()
    return page[: page.index("<script")] + page[page.index("<main") :].split("<script", 1)[0]


def test_a_comparison_has_no_page_about_searching() -> None:
    """Neither on the page nor among the files; what is decided comes second, its arms third."""
    files = report_files(comparison(), 0.0)
    shown = list(pages_of(comparison()))
    none = {"regimes", "factors", "path", "tuning"}
    assert set(PAGES) - set(shown) == {*ABOUT_SEARCHING, *none} and shown[:3] == [
        "overview",
        "decisions",
        "controls",
    ]
    assert {name for name in files if name.startswith("figures/")} == {f"figures/{key}.json" for key in shown}
    assert not any(f'id="{key}"' in files["report.html"].decode() for key in ABOUT_SEARCHING)


@pytest.mark.parametrize("record", [WITH_BOTH, ALONE], ids=["both", "search alone"])
def test_a_search_has_every_page(record: StudyRecord) -> None:
    """Also where it has nothing to be held against, which the page of the controls says; but none about arms then, nor
    about designs that it has not."""
    none = {"regimes", "factors", "path", "tuning"} | (
        set() if record.spec.arms else {"effects", "slopes", "arms_pareto"}
    )
    assert list(pages_of(record)) == [key for key in PAGES if key not in none]


def test_a_comparison_speaks_of_arms() -> None:
    """No search, no slots of none, no controls: whatever is said anywhere in its words."""
    record = comparison()
    record = replace(record, spec=replace(record.spec, cost="", sections=(renamed(record.spec.arms),)))
    record = replace(record, attempts={"arms": tuple(replace(t, section="arms") for t in record.controls)})
    for study in (record, replace(record, attempts={})):
        said = [*answer(study), progress(study).state, progress(study).step]
        for page in pages_of(study).values():
            info = page.info(study)
            words = page.words(info)
            table = [words.table.caption, *words.table.header] if words.table else []
            said += [
                words.title or page.title,
                words.short or page.short,
                *words.lead,
                words.reading,
                words.picture,
            ]
            said += [words.missing or "", *table, *(f"{name} {value}" for name, value in words.facts)]
        assert [s for s in said if "control" in s.lower() or "search" in s.lower() or "0 of 0" in s] == []
    assert [s for s in said if "the front" in s.lower()] == []  # which only a search has
    assert controls.words(controls.info(record)).title == "Arms"
    assert overview.info(record).plan.startswith("3 arms, 9 runs, 100ep each")


def renamed(arms: tuple[Arm, ...]) -> Arms:
    return Arms(name="arms", design=arms)  # type: ignore[arg-type]  # a plain list will do


def test_beside_a_search_arms_are_its_controls() -> None:
    """With the name of their section where it is another."""
    words = controls.words(controls.info(WITH_BOTH))
    assert (words.title, words.short) == ("Controls", "Controls")
    assert overview.info(WITH_BOTH).budget == "12 of 12 search slots, 9 of 9 controls"
    spec = replace(WITH_BOTH.spec, sections=(renamed(WITH_BOTH.spec.arms), WITH_BOTH.spec.search))
    arms = tuple(replace(t, section="arms") for t in WITH_BOTH.controls)
    named = replace(WITH_BOTH, spec=spec, attempts={"search": WITH_BOTH.trials, "arms": arms})
    assert controls.words(controls.info(named)).title == "Controls: arms"
    assert list(overview.info(named).sections) == ["search", "arms"]


def test_a_search_alone_counts_no_controls() -> None:
    """And says once that it has none."""
    assert progress(ALONE).step == "train the leaders on fresh seeds, and test each once on test images."
    assert overview.info(ALONE).budget == "12 of 12 search slots" and "0 of 0" not in page_of(ALONE)
    assert any(s.startswith("The study has no controls") for s in answer(ALONE))
    assert overview.info(ALONE).plan.startswith("12 trials, ")


def test_two_sections_of_arms_do_not_share_slots() -> None:
    """Numbers and slots count within a section; each has its own bar, and every arm its runs."""
    record = comparison()
    more = Arms(name="more", design=(Arm(name="twice", changes={}),), seeds=(0, 1))  # type: ignore[arg-type]
    trials = tuple(replace(make_trial(record.spec, n, arm="twice", seed=n), section="more") for n in (0, 1))
    both = replace(record, spec=record.spec.with_section(more), attempts={**record.attempts, "more": trials})
    assert len(deciding(both.controls)) == 11
    assert {a.arm: a.n for a in arm_summaries(both)} == {
        "standard": 3,
        "paper": 3,
        "random-drop": 3,
        "twice": 2,
    }
    assert overview.info(both).sections == {"controls": {"complete": 9}, "more": {"complete": 2}}
    assert all(row["decides_slot"] for row in trial_rows(both))


def test_further_seeds_of_arms_are_shown() -> None:
    """An extension is planned, counted, and part of each mean."""
    record = comparison(control_seeds=(0, 1, 2, 7))
    assert overview.info(record).budget == "12 of 12 runs"
    assert [len(a.errors) for a in arm_summaries(record)] == [4, 4, 4]
    assert [e.seed for e in arm_summaries(record)[0].errors] == [0, 1, 2, 7]


def test_a_repaired_attempt_is_shown_and_does_not_count() -> None:
    """Its slot waits again; the tables say what it was."""
    record = make_study(4, outcomes=("complete",), extras=())
    failed = replace(make_trial(record.spec, 3, "error"), repaired=True)
    waiting = make_trial(record.spec, 4, "waiting", slot=3)
    record = with_attempts(record, trials=(*record.trials[:3], failed, waiting))
    assert progress(record).state == "Unfinished: 3 of 4 search slots, 9 of 9 controls"
    assert [t.number for t in deciding(record.trials)] == [0, 1, 2, 4]
    info = overview.info(record)
    assert info.sections["search"] == {"waiting": 1, "complete": 3}
    assert (info.attempts, info.repaired) == ({"waiting": 1, "complete": 3}, {"error": 1})
    assert record.counts() == {"waiting": 1, "complete": 3}
    table = overview.words(info).table
    assert table is not None and table.header[:3] == ("outcome", "attempts", "repaired")
    assert ("error", "0", "1") in [row[:3] for row in table.rows]
    assert [row["repaired"] for row in trial_rows(record)[:5]] == [False, False, False, True, False]
    assert "slot 3" not in json.dumps([p.label for p in history.info(record).trials])


def test_the_line_of_the_course_counts_a_setting_once() -> None:
    """At its first slot, with the mean of its seeds; each slot keeps a point of its own, and names the one it repeats."""
    record = make_study(2, outcomes=("complete",), extras=())
    first, second = (
        replace(t, values={"val_error": e, "train_gflops": 1.0})
        for t, e in zip(record.trials, (0.2, 0.1), strict=True)
    )
    again = replace(second, repeats=0, seed=1_000_000, params=first.params)
    record = with_attempts(record, trials=(first, again))
    said = " ".join(answer(record))
    assert "mean of 2 seeds, selected among 2 complete trials of 1 different setting" in said
    info = history.info(record)
    assert [(low.slot, low.value) for low in info.progress[0].lowest] == [(0, pytest.approx(0.15))]
    assert [p.error for p in info.trials] == [0.2, 0.1]
    table = history.words(info).table
    assert table is not None and [row[-1] for row in table.rows] == ["", "0"]
