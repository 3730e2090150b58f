"""The first page says how far a study is, and the command that brings it one step on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dashboards.answer import answer
from dashboards.html import render
from dashboards.next_step import progress
from dashboards.page import Table, Words
from dashboards.pages import PAGES
from dashboards.report import report_files
from dashboards.runs import run_addresses
from dashboards.terminal import next_step
from reprtune.record.leaders import leader_arm, leaders
from reprtune.record.outcomes import Outcome
from tests.confirmed import confirmed as confirmed_of
from tests.confirmed import searched
from tests.factories import comparison, make_study, make_trial
from tests.flat import with_attempts

FINISHED = make_study(4, outcomes=("complete",), extras=())


def confirmed(*outcomes: str, arm: str = "slot-3"):
    trials = tuple(
        make_trial(FINISHED.spec, slot, outcome, arm=arm, seed=100 + slot)
        for slot, outcome in enumerate(outcomes)
    )
    return with_attempts(FINISHED, confirmation=trials)


@pytest.mark.parametrize(
    ("record", "state", "command"),
    [
        (make_study(0, extras=(), control_seeds=()), "Not begun", "study run synthetic --workers 2"),
        (
            make_study(4, outcomes=("complete",), extras=("running",)),
            "Unfinished: 4 of 5 search slots, 9 of 9 controls",
            "study resume synthetic --workers 2",
        ),
        (FINISHED, "Finished, not confirmed", "study confirm synthetic --top 3 --seeds 5"),
        (
            confirmed("complete", "running"),
            "Finished, confirmation under way",
            "study confirm synthetic",
        ),
        (confirmed("complete", "diverged"), "Finished, and tested on fresh seeds", "trial export synthetic "),
        (
            confirmed("complete", arm="slot-0"),
            "Finished, but slot 3 not confirmed",
            "study confirm synthetic --top 1",
        ),
    ],
    ids=["not begun", "unfinished", "finished", "confirming", "confirmed", "others confirmed"],
)
def test_the_state_and_the_next_command(record, state, command):
    """Each state of a study has its words and its command; both stand on the first page."""
    found = progress(record)
    assert found.state == state
    assert found.command.startswith(f"python cli.py {command}")
    words = PAGES["overview"].words(PAGES["overview"].info(record))
    assert (words.state, words.command) == (found.state, found.command)


@pytest.mark.parametrize("outcome", ["error", "out-of-memory"])
def test_what_failed_is_to_be_repaired_before_it_is_confirmed(outcome):
    """A finished study with failed slots names `study repair`; repaired or merely diverged ones need none."""
    failed = replace(FINISHED.controls[0], outcome=Outcome(outcome))
    record = with_attempts(FINISHED, controls=(failed, *FINISHED.controls[1:]))
    found = progress(record)
    assert (found.state, found.command) == ("Finished, not confirmed", "python cli.py study repair synthetic")
    assert "what made 1 slot fail" in found.step
    diverged = with_attempts(
        FINISHED, controls=(replace(failed, outcome=Outcome("diverged")), *record.controls[1:])
    )
    assert "study confirm" in progress(diverged).command
    again = (replace(failed, repaired=True), *FINISHED.controls)
    assert "study confirm" in progress(with_attempts(FINISHED, controls=again)).command


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (replace(FINISHED, facts={**FINISHED.facts, "n_test": 0}), "no test images"),
        (make_study(3, outcomes=("stopped",), extras=(), controls=()), "no trial of the search is complete"),
    ],
)
def test_what_cannot_be_confirmed_gets_no_command_to_confirm(record, why):
    """`study confirm` would refuse it."""
    found = progress(record)
    assert found.state == "Finished, not confirmed" and why in found.step and not found.command


MOST_DIVERGED = make_study(5, outcomes=("diverged", "diverged", "complete"), extras=())
STANDARD_DIVERGED = comparison(diverged_controls=[("standard", 0), ("standard", 1)])


@pytest.mark.parametrize(
    "record",
    [make_study(3, outcomes=("diverged",), extras=()), MOST_DIVERGED, STANDARD_DIVERGED],
    ids=["all", "most", "standard"],
)
def test_what_diverged_is_not_to_be_confirmed(record):
    """The next step is what to change; no command goes on with it, neither here nor on a terminal."""
    found = progress(record)
    assert found.state == "Finished, not confirmed" and not found.command
    assert "confirm nothing of it" in found.step and "--set base.training.lr=0.03" in found.step
    assert next_step(record) == ""
    page = PAGES["confirmation"]
    assert "study confirm" not in str(page.words(page.info(record)).missing)


def test_a_study_that_is_going_wrong_is_not_to_be_resumed():
    """All of four diverged so far; where some did not, the rest may tell more."""
    all_ = make_study(6, outcomes=(*["diverged"] * 4, "waiting", "waiting"), extras=())
    assert progress(all_).state.startswith("Unfinished: 4 of 6") and not progress(all_).command
    some = make_study(6, outcomes=(*["diverged"] * 3, "complete", "waiting", "waiting"), extras=())
    assert "study resume" in progress(some).command


def test_a_confirmation_that_is_there_is_read_whatever_diverged():
    """What was trained on fresh seeds stands for itself."""
    [lead] = leaders(MOST_DIVERGED, 1)
    trial = make_trial(MOST_DIVERGED.spec, 0, "complete", arm=leader_arm(lead.slot), seed=100)
    assert progress(with_attempts(MOST_DIVERGED, confirmation=(trial,))).command.startswith(
        "python cli.py trial"
    )


@pytest.mark.parametrize(("n", "more"), [(1, 4), (2, 3)])
def test_a_confirmation_that_decides_nothing_for_lack_of_pairs_gets_more_seeds(n: int, more: int):
    """An interval needs three pairs; five are asked for. With three the rule is decided, and nothing is asked."""
    few = confirmed_of(searched(0.2, 0.1), {"slot-1": [0.05, 0.06][:n], "standard": [0.09, 0.08][:n]})
    found = progress(few)
    assert found.command == f"python cli.py study extend synthetic --confirmation --seeds {more}"
    assert f"{n} pair" in found.step
    enough = {"slot-1": [0.05, 0.06, 0.052], "standard": [0.09, 0.08, 0.085]}
    assert "trial export" in progress(confirmed_of(searched(0.2, 0.1), enough)).command


def test_the_page_marks_verdicts_and_commands():
    """A verdict stands out where a sentence begins with it, a command where it is quoted; all else is escaped."""
    said = ("Harms: `study extend <a>` of Helps: b.", "Warning: c.", "It Harms: d.")
    page = render("t", "", [make_section(Words(lead=said, missing="`x`"))], "f")
    assert "<strong>Harms:</strong> <code>study extend &lt;a&gt;</code> of Helps: b." in page
    assert "<strong>Warning:</strong> c." in page and ">It Harms: d." in page and "<code>x</code>" in page


def test_a_comparison_has_no_search_to_finish():
    """Only the runs of its arms are counted."""
    record = comparison()
    open_ = replace(record.controls[0], outcome="running", values=None, history=None)
    found = progress(with_attempts(record, controls=(open_, *record.controls[1:])))
    assert found.state == "Unfinished: 8 of 9 runs"
    assert found.step.startswith("train the 1 slot still to be finished")


def test_commands_of_the_next_step_are_there():
    """What the page tells a person to type is a command of cli.py with these options."""
    import cli

    for record in (FINISHED, make_study(2, extras=()), confirmed("complete")):
        group, name, *words = progress(record).command.removeprefix("python cli.py ").split()
        command = cli.cli.commands[group].commands[name]
        options = {flag for parameter in command.params for flag in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options


def test_trials_lead_to_their_runs():
    """With MLflow's address each trial of a table is a link to the run of its slot; without, none is."""
    record = replace(FINISHED, facts={**FINISHED.facts, "experiment": {"name": "synthetic", "id": "7"}})
    addresses = run_addresses(record, "http://here:5/")
    assert addresses["3"] == addresses["slot 3"]
    assert addresses["3"].startswith("http://here:5/#/experiments/7/runs?searchFilter=")
    assert "search-0003" in addresses["3"] and "control-paper-s1" in addresses["paper, seed 1"]
    page = report_files(record, 0.0, "http://here:5")["report.html"].decode()
    assert 'href="http://here:5/#/experiments/7/runs' in page
    assert 'href="http://here' not in report_files(record, 0.0)["report.html"].decode()
    assert run_addresses(FINISHED, "http://here:5") == {}


def test_an_address_cannot_break_out_of_its_link():
    """What stands in an address is escaped."""
    table = Table(caption="c", header=("trial",), rows=(("1",),))
    section = make_section(Words(table=table, missing="nothing."))
    page = render("t", "", [section], "f", runs={"1": 'http://x/"><script>alert(1)</script>'})
    assert "<script>alert" not in page


def make_section(words: Words):
    import plotly.graph_objects as go

    from dashboards.html import Section

    return Section(key="k", title="t", words=words, drawing=go.Figure())


def test_the_answer_says_that_the_budget_cut_the_search_short():
    """Such slots are used up, so that nothing else would say so."""
    record = make_study(4, outcomes=("complete", "over-budget"), extras=())
    said = answer(record)
    assert "used up what it may spend: 2 of 4 slots were not begun" in said[0]
    assert "unfinished" not in " ".join(said) and not any("may spend" in s for s in answer(FINISHED))
