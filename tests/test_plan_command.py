"""`study plan`, as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

import cli
from tests.command import TINY, Command


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path / "runs")


def test_a_file_is_planned(command: Command) -> None:
    """Sections, runs, cost and what decides; nothing is made."""
    said = command.quick("study", "plan", TINY, "--sd", "0.5").stdout
    assert said.startswith("tiny, before anything runs\n\ncontrols (named: a list of arms)\n")
    assert "2 arms, seeds 0 and 1: 4 runs" in said and "4 trials at most" in said
    assert "4 runs, 16 epochs (32 steps)" in said  # two steps per epoch, four epochs
    assert "base against standard: 2 seeds" in said and "none, for an interval needs three" in said
    assert not command.runs.exists()


def test_options_are_those_of_create(command: Command) -> None:
    """Other seeds and another length."""
    said = command.quick(
        "study", "plan", TINY, "--total", "8ep", "--set", "controls.seeds=5", "--sd", "0.5"
    ).stdout
    assert "2 arms, seeds 0 to 4: 10 runs" in said and "80 epochs (160 steps)" in said
    assert "1.68 sd (0.84 points) for one comparison" in said  # TTestPower().solve_power(nobs=5, power=0.8)


def test_json(command: Command) -> None:
    """The same numbers."""
    found = json.loads(command.quick("study", "plan", TINY, "--json").stdout)
    assert found["name"] == "tiny" and found["sd"] is None
    assert [one["most"] for one in found["sections"]] == [4, 4]
    assert (found["arms"]["runs"], found["arms"]["steps"]) == (4, 32)


def test_a_stored_study_is_planned_by_its_name(command: Command) -> None:
    """Its spec comes from the storage, and the sd from its runs, once it has some."""
    command.quick(
        "study", "create", TINY, "--name", "mine", "--set", "controls.seeds=3", "--tracking-uri", "none"
    )
    said = command.quick("study", "plan", "mine").stdout
    assert said.startswith("mine, before anything runs") and "seeds 0 to 2: 6 runs" in said
    assert "is not known" in said


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("nothing",), 2, "There is no study 'nothing'"),
        ((TINY, "--sd", "0"), 2, "Invalid value for '--sd'"),
        ((TINY, "--sd", "nan"), 2, "Invalid value for '--sd'"),
        ((TINY, "--set", "controls.seeds=0"), 2, "controls.seeds must be at least 1"),
    ],
)
def test_what_is_wrong_is_named(command: Command, words: tuple[str, ...], code: int, message: str) -> None:
    """With the exit code of a value that breaks its rule."""
    assert message in command.quick("study", "plan", *words, code=code).stderr


def test_names_are_completed(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions of studies/, without a storage."""
    monkeypatch.setenv("REPRTUNE_RUNS", str(command.runs))
    found = ShellComplete(cli.cli, {}, "cli.py", "_CLI").get_completions(["study", "plan"], "repr-")
    assert "repr-ablation" in {one.value for one in found}
