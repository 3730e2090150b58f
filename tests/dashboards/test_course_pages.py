"""What the pages about the course of a study show: curves, overlap, early stopping, workers."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import Any

import pytest

from dashboards import curves, early_stopping, history, overlap, timeline
from reprtune.record.schema import SeedRun, StudyRecord
from reprtune.spec.stop_rules import NoStop, SuccessiveHalving
from reprtune.spec.study import Arm
from tests.factories import make_study
from tests.flat import with_attempts


def with_seeds(record: StudyRecord) -> StudyRecord:
    """Every begun trial has finished seed 0 before, and is at seed 1."""
    return with_attempts(
        record,
        trials=tuple(
            replace(t, seed=1, earlier=(SeedRun(seed=0, history=t.history, state="x"),)) if t.history else t
            for t in record.trials
        ),
    )  # fmt: skip


def test_each_seed_is_a_line_of_its_own() -> None:
    """Seeds that were finished before are complete, whatever became of the last one."""
    one = make_study(6, outcomes=("stopped",), extras=(), control_seeds=())
    info = curves.info(with_seeds(one))
    assert [(c.label, c.outcome) for c in info.curves[:2]] == [
        ("slot 0, seed 0", "complete"), ("slot 0, seed 1", "stopped"),
    ]  # fmt: skip
    assert info.n == len(info.curves) == 12
    assert [c.label for c in curves.info(one).curves] == [f"slot {i}" for i in range(6)]


def test_of_many_curves_a_stated_choice_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The best, the front and the controls are always among them, and the page says how many of how many."""
    monkeypatch.setattr(curves, "MAX_CURVES", 40)
    record = make_study(130, outcomes=("complete",), extras=())
    info = curves.info(record)
    assert info.n == 139 > len(info.curves) >= 40
    assert curves.info(record) == info  # the same choice every time
    assert sum(c.role == "standard" for c in info.curves) == 3 and info.curves[0].role == "best"
    assert f"Drawn are {len(info.curves):,} of {info.n:,} curves" in curves.words(info).reading


def test_of_many_slots_a_stated_choice_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line of the lowest so far is of all slots."""
    monkeypatch.setattr(history, "MAX_DRAWN", 100)
    record = make_study(160, outcomes=("error",) * 9 + ("complete",), extras=(), control_seeds=())
    info = history.info(record)
    assert len(info.trials) == 160 and len(info.drawn) == 100
    assert "100 of 160 slots are drawn" in history.words(info).reading
    assert len(info.progress[0].lowest) == 16


def test_overlap_is_read_before_drops_and_after_restores() -> None:
    """In the order of time, and its means by kind of criterion are those of every run."""
    record = make_study(16, extras=())
    info = overlap.info(record)
    first = info.courses[0]
    assert [r.moment for r in first.readings[:2]] == ["drop", "restore"]
    assert all(a.epoch <= b.epoch for a, b in zip(first.readings, first.readings[1:], strict=False))
    for mean in info.means:
        own = [
            statistics.fmean(d.overlap.values())
            for t in (*record.trials, *record.controls)
            if t.history and _is_ortho(record, t) == (mean.family == "ortho")
            for d in t.history.drops
            if d.cycle == mean.cycle
        ]
        assert mean.n == len(own) and abs(mean.before - statistics.fmean(own)) < 1e-12
    assert {m.family for m in info.means} == {"ortho", "other"}


def _is_ortho(record: StudyRecord, trial) -> bool:
    """Controls: standard drops nothing, paper is ortho, random-drop is not."""
    if trial.arm is not None:
        return trial.arm == "paper"
    return str(trial.params["criterion"]).startswith("ortho")


def test_the_menu_of_the_overlap_changes_the_layers_and_their_mean() -> None:
    """The last two traces; the first choice is what the figure shows."""
    info = overlap.info(make_study(8, extras=()))
    fig = overlap.figure(info)
    choice = fig.layout.meta["choices"][0]
    assert choice["trace"] == [len(fig.data) - 2, len(fig.data) - 1]
    for place, trace in enumerate(choice["trace"]):
        assert list(fig.data[trace].x) == list(choice["data"]["x"][place])
        assert list(fig.data[trace].y) == list(choice["data"]["y"][place])
    assert len(fig.layout.meta["choices"]) == len(info.courses)


def test_many_runs_are_a_stated_choice_of_the_overlap() -> None:
    """Thirty in the menu, with the means of all."""
    info = overlap.info(make_study(60, outcomes=("complete",), extras=()))
    assert len(info.courses) == overlap.MAX_TRIALS and info.n_with == 66
    assert "30 of 66 runs" in overlap.words(info).reading


def test_a_study_without_a_rule_says_so() -> None:
    """There is no account of what was never done."""
    record = make_study(6, outcomes=("complete",), extras=(), stop=NoStop())
    assert early_stopping.words(early_stopping.info(record)).missing == "The study stops no trial early."


def test_the_account_adds_up_its_table() -> None:
    """One row per stopped trial, and the sentence has their number."""
    record = make_study(30, extras=())
    trials = tuple(
        replace(t, rungs=tuple(t.history.full_points()[:-1] or t.history.full_points())) if t.history else t
        for t in record.trials
    )
    info = early_stopping.info(with_attempts(record, trials=trials))
    words = early_stopping.words(info)
    n = sum(t.outcome == "stopped" and bool(t.rungs) for t in trials)
    assert n > 3 and words.table is not None and len(words.table.rows) == n == len(info.account.stopped)
    assert f"stopped {n} trials" in words.lead[0]
    assert "What it may have cost" in words.lead[1]


@pytest.mark.parametrize(
    ("fields", "by_difference", "carried"),
    [
        ({}, True, True),
        ({"stop": SuccessiveHalving()}, True, False),
        ({"controls": (Arm(name="paper", changes={"method": "repr"}),)}, False, False),
    ],
)
def test_the_account_says_which_points_of_a_rival_count(
    fields: dict[str, Any], by_difference: bool, carried: bool
) -> None:
    """Differences where there are runs of standard, a stopped trial's last one where the rule counts it, and
    always that no line is drawn across a jump of the learning rate."""
    reading = early_stopping.words(early_stopping.info(make_study(30, extras=(), **fields))).reading
    assert ("differences to plain training" in reading) is by_difference
    assert ("counts at later steps with its last difference" in reading) is carried
    assert "only where neither learning rate jumps between them" in reading


def test_thousands_of_attempts_are_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neighbours of a worker with the same outcome join; none is lost from the count, and it is said."""
    monkeypatch.setattr(timeline, "MAX_SPANS", 300)
    record = make_study(400, outcomes=("complete",) * 40 + ("error",), extras=(), control_seeds=())
    info = timeline.info(record)
    assert info.n_attempts == 400 == sum(b.n for b in info.blocks)
    assert len(info.blocks) < 100
    assert "drawn as one block" in timeline.words(info).reading
    few = timeline.info(make_study(20, extras=()))
    assert all(b.n == 1 for b in few.blocks)


def test_too_many_workers_are_drawn_by_host() -> None:
    """A row for each host; the table keeps a row for each worker."""
    record = make_study(100, extras=(), control_seeds=())
    leases = [{"worker": f"w{i}", "host": f"h{i % 4}", "device": "cpu"} for i in range(100)]
    trials = tuple(replace(t, lease=lease) for t, lease in zip(record.trials, leases, strict=True))
    info = timeline.info(with_attempts(record, trials=trials))
    words = timeline.words(info)
    assert info.by_host and sorted(info.lanes) == ["h0", "h1", "h2", "h3"]
    assert "A row is a host: 100 workers" in words.reading
    assert words.table is not None and len(words.table.rows) == 100


def test_what_was_lost_is_counted() -> None:
    """Interrupted and lost attempts are named beside the utilisation."""
    words = timeline.words(timeline.info(make_study(12)))
    assert "1 out-of-memory, 1 error, 1 interrupted, 1 lost" in words.lead[0]
