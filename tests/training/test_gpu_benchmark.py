"""The GPU's benchmark as far as a CPU can run it."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from benchmarks import gpu, rounds
from benchmarks.rounds import Found
from benchmarks.sides import Side, SideError, Team, make_images
from tests.conftest import ROOT

BLOCKED = ("optuna", "mlflow", "plotly")


def without(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Python in a process, and processes of it, in which Optuna, MLflow and plotly cannot be imported."""
    for name in BLOCKED:
        (folder / f"{name}.py").write_text(f"raise ImportError('{name} is blocked')\n")
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", BLOCKED)
def test_what_is_blocked_cannot_be_imported(tmp_path: Path, name: str) -> None:
    """The two tests below could not pass by another copy."""
    assert f"{name} is blocked" in without(tmp_path, "-c", f"import {name}").stderr


def test_it_is_imported_without_what_studies_and_reports_need(tmp_path: Path) -> None:
    """reprtune.training and reprtune.spec are all it takes on a GPU machine."""
    done = without(tmp_path, "-m", "benchmarks.gpu", "--help")
    assert done.returncode == 0 and "--minutes" in done.stdout, done.stderr


@pytest.mark.slow
def test_it_runs_without_what_studies_and_reports_need(tmp_path: Path) -> None:
    """Both sides are timed and compared, each in its process."""
    found = tmp_path / "found.json"
    words = ["--device", "cpu", "--quick", "--models", "convnet-3", "--json", str(found)]
    done = without(tmp_path, "-m", "benchmarks.gpu", *words)
    assert done.returncode == 0, done.stderr
    rows = json.loads(found.read_text())["rows"]
    assert [row["side"] for row in rows] == ["plain fp32", "ours fp32"]
    assert all(row["seconds_per_epoch"]["n"] == 2 and row["seconds_per_epoch"]["min"] > 0 for row in rows)
    assert rows[0]["ratio"]["median"] == 1
    assert "| convnet-3 | ours fp32 |" in done.stdout


def ends(group: int, seconds: float = 30.0) -> bool:
    """Is no process of the group left, soon? multiprocessing's own helper ends a little later than others."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_what_was_measured_is_kept_after_ctrl_c(tmp_path: Path) -> None:
    """The file is there after the first round; the table is printed, and no process stays."""
    found = tmp_path / "found.json"
    words = [
        "--device",
        "cpu",
        "--models",
        "convnet-3",
        "--steps",
        "2",
        "--rounds",
        "10000",
        "--json",
        str(found),
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.gpu", *words],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    with process:
        while not found.exists():
            assert process.poll() is None
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 130 and "| convnet-3 | ours fp32 |" in said
    assert all(row["seconds_per_epoch"]["n"] >= 1 for row in json.loads(found.read_text())["rows"])
    assert ends(process.pid)


@pytest.mark.slow
def test_a_side_that_fails_says_why(tmp_path: Path) -> None:
    """In its process: a network that is not there, no answer in time, and a process that is killed."""
    data = tmp_path / "images.npz"
    make_images(data)
    side = gpu.ours("eager", "fp32")
    team = Team(side, "no-such-network", data, torch.device("cpu"), 2, 2)
    with pytest.raises(SideError, match="no-such-network"):
        team.warm_up()
    team.stop()
    team = Team(side, "convnet-3", data, torch.device("cpu"), 2, 2, patience=0.1)
    with pytest.raises(SideError, match=r"no answer in 0.1 s"):
        team.warm_up()
    team.stop()
    team = Team(side, "convnet-3", data, torch.device("cpu"), 2, 2)
    team.warm_up()
    assert team.round() > 0
    for process in multiprocessing.active_children():
        process.kill()
    with pytest.raises(SideError, match="exit code -9"):
        team.round()
    team.stop()
    assert not multiprocessing.active_children()


def test_the_most_telling_sides_come_first() -> None:
    """The plain loop as torch runs it, then the graph in bf16; packed ones after those that are alone in bf16."""
    sides = gpu.sides(torch.device("cuda"), quick=False)
    assert [side.name for side in sides][:3] == ["plain tf32", "graph bf16", "graph tf32"]
    assert [side.processes for side in sides if side.processes > 1] == [2, 3, 4]
    assert [side.name for side in sides if side.ours and not side.graph] == [
        "eager bf16", "eager tf32", "eager fp32",
    ]  # fmt: skip
    assert {side.precision for side in sides if side.processes > 1} == {"bf16"}
    assert {side.share for side in sides if not side.ours} == {0.25}


def test_seconds_and_ratios_from_images_per_second() -> None:
    """An epoch is 50,000 images; ratios are taken within a round; only the bf16 graph is judged."""
    compared = gpu.sides(torch.device("cuda"), quick=False)[:4]
    found = Found(
        speeds={"plain tf32": {0: 1000.0, 1: 2000.0}, "graph bf16": {0: 50_000.0, 1: 20_000.0, 2: 25_000.0},
                "graph tf32": {1: 10_000.0}},
        missing={"graph tf32": "failed: OutOfMemoryError: CUDA out of memory"},
    )  # fmt: skip
    rows = gpu.summary("convnet-3", compared, found)
    plain, graph, tf32, eager = rows
    assert plain["seconds_per_epoch"] == {"n": 2, "median": 37.5, "min": 25.0, "max": 50.0}
    assert graph["ratio"] == {"n": 2, "median": 30.0, "min": 10.0, "max": 50.0}
    assert tf32["ratio"] == {"n": 1, "median": 5.0, "min": 5.0, "max": 5.0}
    judged = ("estimated_seconds", "goal_seconds", "goal_ratio")
    assert [graph[name] for name in judged] == [0.074, 0.06, 20.0]
    assert all(row[name] is None for row in (plain, tf32, eager) for name in judged)
    text = gpu.table(rows, "plain tf32")
    assert (
        "| convnet-3 | graph bf16 | 2.000 (1.000-2.500) | 0.074 | <= 0.06 | 30.00 (10.00-50.00) | >= 20 | 3 |"
    ) in text
    assert "| convnet-3 | eager bf16 | not begun |  |  |  |  | 0 |" in text
    assert (
        "Fewer than 3 rounds, so hardly more than a guess: convnet-3, plain tf32; convnet-3, graph tf32."
        in text
    )
    assert "Ended early: convnet-3, graph tf32: failed: OutOfMemoryError: CUDA out of memory." in text


class Clock:
    """Stands for the `time` module: it moves on when somebody works."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


class FakeTeam:
    """Warms up in 10 s and trains a round in 2 s, unless its side fails there."""

    clock: Clock
    failing: dict[str, int]  # side -> when it is asked for the n-th time, the warm-up included
    stopped: list[str]

    def __init__(self, side: Side, *_: object) -> None:
        self.name, self.asked = side.name, 0

    def _work(self, seconds: float) -> float:
        self.clock.now += seconds
        self.asked += 1
        if self.failing.get(self.name) == self.asked:
            raise SideError("it broke")
        return seconds

    def warm_up(self) -> None:
        self._work(10.0)

    def round(self) -> float:
        return self._work(2.0)

    def stop(self) -> None:
        self.stopped.append(self.name)


SIDES = [gpu.plain("tf32", 0), *(gpu.ours("graph", kind) for kind in ("bf16", "tf32", "fp32"))]
NAMES = [side.name for side in SIDES]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Of teams that take no time."""
    clock = Clock()
    monkeypatch.setattr(FakeTeam, "clock", clock, raising=False)
    monkeypatch.setattr(FakeTeam, "failing", {}, raising=False)
    monkeypatch.setattr(FakeTeam, "stopped", [], raising=False)
    monkeypatch.setattr(rounds, "Team", FakeTeam)
    monkeypatch.setattr(rounds, "time", clock)
    monkeypatch.setattr(rounds, "make_images", lambda *_: None)
    return clock


def measured(until: float, n_rounds: int = 5) -> Found:
    return rounds.measure("convnet-3", SIDES, torch.device("cpu"), 1, n_rounds, until=until)


def test_whole_rounds_end_within_the_time(clock: Clock) -> None:
    """Four sides warm up in 40 s and train in rounds of 8 s: of 100 s, 60 are left, of which five rounds need
    40; of 90 s, where the fourth is warm before half is over, rounds begin while they would end: six, not seven."""
    assert [len(rows) for rows in measured(100.0).speeds.values()] == [5, 5, 5, 5]
    clock.now = 0.0
    found = measured(90.0, n_rounds=9)
    assert [len(rows) for rows in found.speeds.values()] == [6, 6, 6, 6] and clock.now == 88.0
    assert sorted(FakeTeam.stopped[:4]) == sorted(NAMES)


def test_sides_for_which_no_time_is_left_are_said_to_be_missing(clock: Clock) -> None:
    """Half of 30 s is over when two are warm; with no time at all the first two are measured in one round."""
    found = measured(30.0)
    assert found.missing == {"graph tf32": "no time left", "graph fp32": "no time left"}
    assert [len(rows) for rows in found.speeds.values()] == [2, 2]  # 20 s + 2 rounds of 4 s
    clock.now = 0.0
    assert {name: len(rows) for name, rows in measured(1.0).speeds.items()} == {
        "plain tf32": 1,
        "graph bf16": 1,
    }


def test_a_side_that_fails_leaves_the_others_alone(clock: Clock) -> None:
    """In its warm-up, and in its second round: the round before stays."""
    FakeTeam.failing.update({"graph bf16": 1, "graph tf32": 3})
    found = measured(1000.0, n_rounds=3)
    assert found.missing == {"graph bf16": "failed: it broke", "graph tf32": "failed: it broke"}
    assert {name: len(rows) for name, rows in found.speeds.items()} == {
        "plain tf32": 3, "graph tf32": 1, "graph fp32": 3,
    }  # fmt: skip
    assert found.ratios("graph tf32", "plain tf32") == [1.0]
    assert sorted(FakeTeam.stopped) == sorted(NAMES)
