"""What else happened in a trial: on its page, in the tracker, and when it is recomputed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dashboards import happenings
from dashboards.trial_page import trial_html
from reprtune.history import Happening, History
from reprtune.study.recompute import compare_histories
from reprtune.tracking.events import metrics_event
from tests.factories import make_study

PLAIN = make_study(1, outcomes=("complete",), extras=()).trials[0].history
assert PLAIN is not None
FIRST, LAST = PLAIN.points[0], PLAIN.points[-1]
TOLD = (
    Happening(kind="begin", step=0, numbers={"clusters": 20.0}),
    Happening(kind="measure", step=FIRST.step, numbers={"distance": 0.25}),
    Happening(kind="measure", step=FIRST.step, member=1, numbers={"distance": 0.5}),
    Happening(kind="measure", step=LAST.step, numbers={"distance": 0.0}),
    Happening(kind="end", step=LAST.step, numbers={"params": 1000.0, "latency_ms": 3.0}),
)
TRIAL = replace(PLAIN, happenings=TOLD)


def test_what_was_measured_is_a_line_for_each_network() -> None:
    """Over epochs, on a logarithmic axis, which a 0 has no place on; the table has all of it."""
    info = happenings.info(TRIAL)
    lines = happenings.figure(info).data
    epoch = FIRST.step / TRIAL.steps_per_epoch
    assert [(line.name, line.x, line.y) for line in lines] == [
        ("distance, member 0", (epoch,), (0.25,)), ("distance, member 1", (epoch,), (0.5,)),
    ]  # fmt: skip
    table = happenings.words(info).table
    assert table is not None
    assert [(row[0], row[2], row[3], row[4]) for row in table.rows] == [
        ("begin", "0", "clusters", "20"), ("measure", "0", "distance", "0.25"),
        ("measure", "1", "distance", "0.5"), ("measure", "0", "distance", "0"),
        ("end", "0", "params", "1,000"), ("end", "0", "latency_ms", "3"),
    ]  # fmt: skip


def test_a_trial_in_which_nothing_else_happened_has_no_such_page() -> None:
    """Nor an empty figure; one with an end alone has words in its place."""
    assert happenings.TITLE in trial_html(TRIAL, "t") and happenings.TITLE not in trial_html(PLAIN, "t")
    ended = happenings.info(replace(PLAIN, happenings=TOLD[-1:]))
    assert happenings.words(ended).missing == "Nothing was measured while it trained."
    assert happenings.words(ended).table is not None


def test_the_tracker_gets_the_numbers_of_the_first_network() -> None:
    """By kind and name, at the step and time of their point; without a point there is no time."""
    found = metrics_event([FIRST, LAST], happenings=TOLD)["metrics"]
    told = {(m["key"], m["step"]): m["value"] for m in found if "." in m["key"]}
    assert told == {
        ("measure.distance", FIRST.step): 0.25, ("measure.distance", LAST.step): 0.0,
        ("end.params", LAST.step): 1000.0, ("end.latency_ms", LAST.step): 3.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("numbers", "equal"),
    [({"params": 1000.0, "latency_ms": 9.0}, True), ({"params": 999.0, "latency_ms": 3.0}, False)],
)
def test_times_are_not_recomputed(numbers: dict[str, float], equal: bool) -> None:
    """Another latency is no difference, another size is."""
    now = replace(TRIAL, happenings=(*TOLD[:-1], replace(TOLD[-1], numbers=numbers)))
    (check,) = (c for c in compare_histories(now, TRIAL) if c.what == "happenings")
    assert check.equal is equal
    assert "happenings" not in {c.what for c in compare_histories(PLAIN, PLAIN)}


def test_histories_of_older_versions_have_none() -> None:
    """The field may be absent."""
    assert History(total_steps=1, steps_per_epoch=1).happenings == ()
