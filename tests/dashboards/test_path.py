"""The page of a path: what it leads with is what was planted, and nothing is concluded while runs are left."""

from __future__ import annotations

from dashboards import path
from dashboards.pages import pages_of
from dashboards.units import points
from tests.analysis.test_path import GAINS, trained


def test_leads_with_the_whole_and_the_change_that_gains_most() -> None:
    """Planted: -6 points in all, of which restore gives -5."""
    record = trained(lambda made: 0.2 + sum(GAINS[name] for name in made))
    said = path.words(path.info(record)).lead
    assert said[0].startswith("From ours to theirs the test error changes by " + points(-0.06))
    assert said[1].startswith("restore gains most, " + points(-0.05))
    assert "path" in pages_of(record)


def test_nothing_is_concluded_while_runs_are_left() -> None:
    """After the first stage one change is made."""
    record = trained(lambda made: 0.2 + sum(GAINS[name] for name in made), stop_after=3 * 6)
    assert path.words(path.info(record)).lead == ("1 change of 4 made so far; runs of the next are left.",)


def test_no_change_gains() -> None:
    """Where every change does harm the page says so, and which does least."""
    record = trained(lambda made: 0.2 + 0.01 * len(made))
    assert path.words(path.info(record)).lead[1].startswith("No single change gains")


def test_figure_and_table_hold_every_change() -> None:
    """4 + 3 + 2 + 1 changes were tried; the line has the start and four changes."""
    info = path.info(trained(lambda made: 0.2 + sum(GAINS[name] for name in made)))
    table = path.words(info).table
    assert table is not None
    assert len(table.rows) == 10
    made = next(trace for trace in path.figure(info).data if trace.name == "made")
    assert len(made.x) == 5
