"""Checks in words: a page of all of them, a sentence on the first page for each that fails."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dashboards import health, overview
from dashboards.checks import WORDS, found, remedy, sentence
from dashboards.terminal import status
from reprtune.analysis.check import Check, made, not_yet
from reprtune.analysis.health import CHECKS, checks
from reprtune.spec.training import TrainingSpec
from tests.factories import comparison, make_study
from tests.flat import with_attempts

DIVERGED = make_study(8, outcomes=("diverged",), extras=())
COMMON = {"n": 8, "n_diverged": 8, "stage": None, "lr": 0.1, "precision": "fp32", "batch_norm": True}


def test_every_check_has_words() -> None:
    """A check without them would break the page on the day it fails."""
    assert list(WORDS) == list(CHECKS)
    assert len({worded.title for worded in WORDS.values()}) == len(WORDS)


def test_the_first_page_names_every_check_that_fails() -> None:
    """One sentence for each, with what to do, before the answer; none where none fails."""
    info = overview.info(DIVERGED)
    failing = [c for c in checks(DIVERGED) if c.fails]
    assert info.warnings == tuple(sentence(c, "synthetic") for c in failing) and failing
    said = overview.words(info)
    assert said.lead[1 : 1 + len(failing)] == tuple(f"Warning: {text}" for text in info.warnings)
    assert said.sources[1 : 1 + len(failing)] == ("health",) * len(failing)
    assert overview.info(comparison()).warnings == ()


def test_the_same_advice_is_given_once() -> None:
    """Where the search and the arms diverged at the same stage, what to change is said of the first."""
    numbers = {**COMMON, "arms": 3, "diverging": "standard, paper"}
    both = (made("divergence", True, **COMMON), made("arms-divergence", True, **numbers))
    first, second = health.warnings(health.HealthInfo(name="s", checks=both))
    assert "--set base.training.lr=0.03" in first
    assert second == "8 of 8 runs of standard and paper diverged."


def test_the_page_lists_all_checks_those_that_fail_first() -> None:
    """With their result, and what to do where they fail only."""
    words = health.words(health.info(DIVERGED))
    assert words.table is not None
    assert [row[0] for row in words.table.rows] == [name for name, _ in words.facts]
    assert {row[0] for row in words.table.rows} == {WORDS[c.name].title for c in checks(DIVERGED)}
    results = [row[1] for row in words.table.rows]
    assert results == sorted(results, key=["warning", "good", "does not apply"].index)
    assert [bool(row[3]) for row in words.table.rows] == [r == "warning" for r in results]
    assert words.missing is not None and words.missing.startswith("1 of 10 checks warns, ")


@pytest.mark.parametrize(
    ("numbers", "change"),
    [
        ({}, "with a learning rate of 0.03 instead of 0.1 (--set base.training.lr=0.03)"),
        ({"precision": "fp16"}, "base.training.precision=bf16"),
        ({"batch_norm": False}, "with BatchNorm (--set base.model.batch_norm=true)"),
        ({"stage": "after a restore"}, "or with a lower method.prune_ratio"),
        ({"lr": None}, "--set space.training.lr.high=..."),
        (
            {"path": "training.lr", "diverged": 0.65, "others": 0.15, "p": 0.01},
            "with a lower end of training.lr (--set space.training.lr.high=0.15)",
        ),
        (
            {"path": "training.precision", "diverged": "fp16", "others": "fp32", "p": 0.01},
            "without fp16 among the options of training.precision",
        ),
        (
            {"path": "method.selection.prune_ratio", "diverged": 0.1, "others": 0.4, "p": 0.01},
            "with a higher end of method.prune_ratio (--set space.method.prune_ratio.low=0.4)",
        ),
    ],
)
def test_what_to_change_follows_from_what_is_known(numbers: dict[str, object], change: str) -> None:
    """A parameter that goes with divergence before all, then precision, then the learning rate."""
    assert change in remedy(made("divergence", True, **{**COMMON, **numbers}), "s")


def test_what_is_set_is_a_field() -> None:
    """The proposed learning rate is one that a study takes."""
    text = remedy(made("divergence", True, **COMMON), "s")
    assert "base.training.lr=0.03" in text and TrainingSpec(lr=0.03).lr < TrainingSpec().lr


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (made("effect", True, n=40, no_effect=True), "Over 40 complete settings no parameter is shown to make a difference: "),
        (
            made("prediction", True, n=40, r2=-0.05, least=0.1),
            "How a trial ends cannot be told from its settings (cross-validated R² \N{MINUS SIGN}0.05 over 40 complete settings): ",
        ),
        (
            made("stopping", True, rule="median", slot=3, rung=2, n_stopped=9),
            ("The rule median would stop the best trial (slot 3) at its rung 2, had it come last, so that a better one may "
            "be among the 9 stopped: next time take --set stop=none, or --set stop=percentile --set stop.percentile=75"),
        ),
        (
            made("luck", True, n=3, seeds=1, hopeless=False),
            "`python cli.py study extend s --arms --seeds 2`",
        ),
        (
            made("luck", True, n=5, seeds=1, hopeless=True, bound=0.036, error=0.0132),
            ("may lie 3.60 points below standard by luck, which has an error of 1.32 % with 5 seeds: no gain could be told from "
            "luck: confirm it on fresh seeds before you believe it, or give standard more seeds (`python cli.py study extend s "
            "--arms --seeds 5`)."),
        ),
        (made("luck", True, n=10, seeds=1, hopeless=True, bound=0.02, error=0.01), "before you believe it."),
        (
            made("arms-seeds", True, n=3, fewest=2, n_few=3, n_blind=0),
            ("3 of 3 comparisons of arms have fewer than 3 seeds, and so no interval: 5 seeds would do "
            "(`python cli.py study extend s --arms --seeds 3`)."),
        ),
        (
            made("arms-seeds", True, n=1, fewest=2, n_few=1, n_blind=0),
            "1 of 1 comparison of arms has fewer than 3 seeds, and so no interval: ",
        ),
        (
            made("confirmation-seeds", True, n=2, fewest=5, n_few=0, n_blind=1, arm="slot-3", control="standard", pairs=5, error=0.2, smallest=0.033, wanted=9),
            ("slot-3 beside standard (20.00 % error, 5 seeds) would have to differ by 3.30 points, so that equality is not shown: 9 "
            "seeds would see a tenth of the error (`python cli.py study extend s --confirmation --seeds 4`)."),
        ),
        (
            made("arms-seeds", True, n=2, fewest=3, n_few=0, n_blind=1, arm="paper", control="standard", pairs=3, error=0.02, smallest=0.09, wanted=1001),
            "it would take more than 1,000 seeds, so measure on more images",
        ),
        (
            made("draws", True, n=60, n_infeasible=50, fitting_share=0.2),
            "50 of 60 draws did not fit the total and were drawn again, so that ",
        ),
        (
            made("repeats", True, n=20, n_repeats=8, n_redrawn=90, most=14),
            "8 of 20 slots have the settings of another one, of 14 that the space has, so that the space is nearly used up: ",
        ),
        (
            made("budget", True, field="max_seconds", limit=3600.0, spent=900.0, slots=40, n_cut=0, n=5, expected=7200.0, low=5000.0),
            ("All 40 slots of the search will take about 2.0 h, as the 5 finished ones did, and its max_seconds is 1.0 h: "
            "conclude from the 5 finished ones, or create the study anew under another name with --set "
            "max_seconds=7900, or --set slots=20."),
        ),
    ],
)  # fmt: skip
def test_a_warning_is_one_sentence_with_numbers_and_what_to_do(check: Check, said: str) -> None:
    """By hand."""
    text = sentence(check, "s")
    assert said in text and text.endswith(".") and text.count(". ") == 0


def test_what_does_not_apply_says_why() -> None:
    """As its check has it, and there is nothing to do."""
    check = not_yet("budget", "The search has no limit of seconds or GFLOPs.")
    assert (found(check), remedy(check, "s")) == (check.reason, "")


def test_a_terminal_warns_of_what_needs_no_report() -> None:
    """Divergence and the budget, also where histories were not read; nothing on a healthy study."""
    bare = with_attempts(DIVERGED, trials=[replace(t, history=None) for t in DIVERGED.trials])
    assert "  warning:  8 of 8 trained slots of the search diverged: confirm nothing of it" in status(bare)
    assert "warning" not in status(make_study())
    short = make_study(8, outcomes=("complete",), extras=(), max_seconds=3.0)
    trials = [replace(t, result={**t.result, "seconds_spent": 1.0}) for t in short.trials[:5]]
    waiting = [replace(t, outcome="waiting", values=None, history=None, result={}) for t in short.trials[5:]]
    short = replace(with_attempts(short, trials=(*trials, *waiting)), spent=(5.0, 0.0))
    assert "  warning:  All 8 slots of the search will take about 8 s, as the 5 finished ones did" in status(
        short
    )
