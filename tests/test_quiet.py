"""`-q`: what was asked for and what went wrong, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing

import pytest

from reprtune.settings import Settings
from tests.command import TINY, Command
from tests.study.test_confirm import FITTING
from tests.work.tiny_worker import create, work

TRAIN = ["train", "--total", "4ep", "--set", "task.train_images=128", "--set", "method.cycles=1"]


@pytest.fixture
def command(settings: Settings) -> Iterator[Command]:
    """With an MLflow store of its own: one that cannot be reached would be spoken of."""
    with closing(Command(settings.runs_dir)) as command:
        yield command


def test_create_says_what_was_made(command: Command) -> None:
    """And neither what it tries nor what comes next; a second time the same."""
    for begin in ("Created tiny\n", "Already there, unchanged: tiny\n"):
        said = command.quick("-q", "study", "create", TINY)
        assert said.stdout.startswith(begin) and "4 trials of controls, 4 trials of search" in said.stdout
        assert "next:" not in said.stdout and said.stderr == ""
    assert "next:" in command.quick("study", "create", TINY).stdout


@pytest.mark.slow  # no other rule than that of `study confirm`
def test_run_prints_how_it_ended(command: Command) -> None:
    """No line per trial on stderr; the study's status on stdout, without the next step."""
    create(command.runs, slots=2, space=FITTING, control_seeds=(0,))
    said = command("--quiet", "study", "run", "tiny")
    assert said.stdout.startswith("tiny: 2 of 2 slots of the search and 2 of 2 controls are finished\n")
    assert "next:" not in said.stdout and "then:" not in said.stdout and said.stderr == ""
    assert command.quick("-q", "study", "status", "tiny").stdout == said.stdout
    assert "next:" in command.quick("study", "status", "tiny").stdout


@pytest.mark.slow
def test_confirm_prints_how_it_ended(command: Command) -> None:
    """As `study run` does; what it queues is not announced."""
    work(create(command.runs, slots=2, space=FITTING, control_seeds=(0,)))
    said = command("-q", "study", "confirm", "tiny", "--top", "1", "--seeds", "1")
    assert "3 of 3 runs are finished" in said.stdout and "next:" not in said.stdout and said.stderr == ""


def test_train_prints_its_result(command: Command) -> None:
    """As a table, or as JSON; without its course."""
    said = command.quick("-q", *TRAIN, "--json")
    assert json.loads(said.stdout)["outcome"] == "complete" and said.stderr == ""
    again = command.quick("-q", *TRAIN)
    assert "after 8 steps" in again.stdout and again.stderr == ""


@pytest.mark.parametrize(
    ("words", "code"), [(["study", "show", "nothing"], 1), (["train", "--set", "training.lr=-1"], 2)]
)
def test_errors_are_said_all_the_same(command: Command, words: list[str], code: int) -> None:
    """The same words and the same exit code."""
    quiet, plain = command.quick("-q", *words, code=code), command.quick(*words, code=code)
    assert quiet.stderr == plain.stderr != ""
