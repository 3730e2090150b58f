"""`python -m benchmarks.latency`: exported folders side by side."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import latency
from tests.conftest import ROOT
from tests.training import hand_trim
from tests.training.ended import KEEP, export, trim
from tests.training.tiny import CPU, finish, spec


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.latency", *map(str, words)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A network as it was trained, and the same trimmed by hand."""
    above = tmp_path_factory.mktemp("latency")
    trained = finish(spec(method="standard", **{"training.total": "1ep"}))
    whole = export(trained, above / "whole")
    with pytest.MonkeyPatch.context() as patch:
        hand_trim.register(patch)
        trim(trained, KEEP)
        return whole, export(trained, above / "small")


def test_networks_are_compared_with_the_first(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """A row for each and each batch, with what the description says; the first one's ratio is 1; all of it as
    JSON too."""
    words = ("--batch", "1,4", "--rounds", 3, "--json", tmp_path / "found.json")
    done = run(*folders, *words)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert [(row["folder"], row["batch"]) for row in found["rows"]] == [
        (str(folder), batch) for batch in (1, 4) for folder in folders
    ]
    assert [row["forms"] for row in found["rows"]] == [[], ["hand-trim"]] * 2
    for row, folder in zip(found["rows"], folders * 2, strict=True):
        about = json.loads((folder / "description.json").read_text())
        assert (row["params"], row["val_error"]) == (about["params"], about["val_error"])
        assert row["seconds"]["n"] == 3 and row["seconds"]["median"] > 0 and row["ratio"]["median"] > 0
    assert all(row["ratio"]["median"] == 1 for row in found["rows"][::2])
    assert done.stdout.count("\n| ") == 4 and found["threads"] == 1 and found["machine"]["torch"]


def test_what_is_no_network_ends_it_with_a_sentence(tmp_path: Path) -> None:
    """A folder that is not there, one of several networks."""
    with pytest.raises(SystemExit, match="nowhere must be a folder that the export command has written"):
        latency.load("nowhere", CPU)
    (tmp_path / "both" / "member-0").mkdir(parents=True)
    with pytest.raises(SystemExit, match=r"holds several networks: .* such as .*member-0"):
        latency.load(str(tmp_path / "both"), CPU)


@pytest.mark.parametrize(
    "words", [["--rounds", "1"], ["--threads", "0"], ["--batch", "1,x"], ["--batch", "0"]]
)
def test_options_out_of_range_are_refused(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the rule, before anything is loaded."""
    monkeypatch.setattr(sys, "argv", ["latency", "folder", *words])
    with pytest.raises(SystemExit) as caught:
        latency.main()
    assert caught.value.code == 2 and "must be at least 2" in capsys.readouterr().err
