"""The command line with trials that begin from another's network: what it says of time, steps and mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import cli
from tests.training import hand_trim
from tests.training.ended import trained_and_trimmed
from tests.training.tiny import spec

KEEP = {"conv1": [0, 2, 3, 5], "conv2": [1, 4]}
SMALL = ("--set", "model.width=6", "--set", "task.train_images=128", "--method", "standard", "--total", "1ep")


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    hand_trim.register(monkeypatch)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of 8 steps, trimmed by hand."""
    above = tmp_path_factory.mktemp("begun")
    with pytest.MonkeyPatch.context() as patch:
        hand_trim.register(patch)
        trained_and_trimmed(spec(method="standard", **{"training.total": "1ep"}), above / "first", KEEP)
    return above / "first"


def train(tmp_path: Path, *words: object) -> Result:
    return CliRunner().invoke(cli.cli, ["train", *SMALL, "--runs", str(tmp_path / "runs"), *map(str, words)])


def test_train_says_what_was_trained_before_and_how_long_it_takes(folder: Path, tmp_path: Path) -> None:
    """In words, and as numbers that are those of the description it has written."""
    begins = ("--set", f"model.weights={folder}")
    said = train(tmp_path, *begins, "--export", tmp_path / "next")
    assert said.exit_code == 0, said.output
    assert "trained before    8 steps, for the networks it began from" in said.stdout
    line = next(line for line in said.stdout.splitlines() if line.startswith("latency"))
    assert "1 image" in line and "64 images" in line and "ms before" in line and "1 thread" in line
    again = train(tmp_path, *begins, "--export", tmp_path / "next", "--force", "--json")
    result = json.loads(again.stdout)
    about = json.loads((tmp_path / "next" / "description.json").read_text())
    assert result["steps_before"] == 8 == about["history"]["steps_before"]
    assert result["latency"] == [about["latency"]] and about["forms"] == [hand_trim.form(**KEEP)]
    assert result["params"] == about["params"]


def test_a_network_as_its_specification_builds_it_is_not_timed(tmp_path: Path) -> None:
    """Neither is a word said of what was trained before."""
    said = train(tmp_path, "--export", tmp_path / "plain")
    assert said.exit_code == 0 and "latency" not in said.stdout and "trained before" not in said.stdout
    assert "latency" not in json.loads((tmp_path / "plain" / "description.json").read_text())


def test_a_wrong_folder_is_one_sentence(tmp_path: Path) -> None:
    """The field, the folder, what to do; nothing is trained, nothing left behind."""
    said = train(tmp_path, "--set", f"model.weights={tmp_path / 'none'}")
    assert (
        said.exit_code == 2
        and "model.weights must be a folder that the export command has written" in said.stderr
    )
    assert "train --export" in said.stderr and not list((tmp_path).rglob("*.state"))
