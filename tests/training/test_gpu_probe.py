"""The GPU's probe as far as a CPU can run it, on a machine with as little installed as it promises."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks.probe import processes, sections, stand_ins
from benchmarks.probe.results import Results, Skipped
from benchmarks.probe.sections import SECTIONS, Part
from benchmarks.probe.trials import distance
from tests.conftest import ROOT

MISSING = (
    "optuna", "mlflow", "plotly", "safetensors", "filelock", "sqlalchemy", "sklearn", "scipy", "statsmodels",
    "pandas", "psutil", "click", "tqdm", "jinja2", "pytest", "hypothesis",
)  # fmt: skip
ON_GPU_ONLY = {"kernels", "leak", "dropout", "memory", "streams", "compile"}
SOON = {"same", "held", "resume", "precisions"}


def probe(folder: Path, *words: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """The probe on the CPU where nothing of `MISSING` can be imported, and the JSON that it wrote."""
    blocked = folder / "blocked"
    blocked.mkdir()
    for name in MISSING:
        (blocked / f"{name}.py").write_text(f"raise ImportError('{name} is blocked')\n")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.probe", "--device", "cpu", "--out", str(folder / "out"), *words],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(blocked)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done, json.loads((folder / "out" / "probe.json").read_text())


def assert_well(done: subprocess.CompletedProcess[str], found: dict[str, Any], wanted: set[str]) -> None:
    """Each section passed, or says why it was skipped; every check holds; no image or state is left behind."""
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(found["sections"]) == wanted
    outcomes = {name: section["outcome"] for name, section in found["sections"].items()}
    assert outcomes == {name: "skipped" if name in ON_GPU_ONLY else "passed" for name in wanted}
    assert all(found["sections"][name]["why"] for name in wanted & ON_GPU_ONLY)
    assert found["checks"]
    assert all(check["ok"] for check in found["checks"].values())
    assert found["machine"]["stand-ins for"] == ["safetensors", "filelock"]


def test_correctness_runs_on_a_machine_with_little_installed(tmp_path: Path) -> None:
    """Stand-ins for safetensors and filelock; what only a GPU can do says so."""
    wanted = SOON | ON_GPU_ONLY
    done, found = probe(tmp_path, "--only", ",".join(sorted(wanted)))
    assert_well(done, found, wanted)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["probe.json"]


@pytest.mark.slow
def test_every_section_runs_on_a_cpu(tmp_path: Path) -> None:
    """With times of the graph that is played, of eager steps and of the plain loop."""
    done, found = probe(tmp_path)
    assert_well(done, found, set(SECTIONS))
    times = found["epoch_seconds"]["convnet-3"]
    assert {"graph fp32", "eager fp32", "plain loop fp32", "lever: without hold"} <= set(times)
    assert all(seconds > 0 for seconds in times.values())
    assert len(found["measured"]["whole epochs of convnet-3"]) == 3


def test_a_section_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """With the names of those that are."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.probe", "--only", "speed", "--out", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and "same, held, steps" in done.stderr and "but got speed" in done.stderr


# -- sections ------------------------------------------------------------------------------------------


def run_sections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: dict[str, Part], budget: float = 100.0
) -> dict[str, Any]:
    """What is written of these sections, on a machine that seems to have a GPU's trials."""
    monkeypatch.setattr(sections, "SECTIONS", parts)
    results = Results(tmp_path / "probe.json", budget)
    trials: Any = SimpleNamespace(on_cuda=False, device=torch.device("cpu"))
    sections.run_sections(results, trials, list(parts))
    return json.loads((tmp_path / "probe.json").read_text())["sections"]


def broken(_results: Results, _trials: object) -> None:
    raise ZeroDivisionError("what a pity")


def useless(_results: Results, _trials: object) -> None:
    raise Skipped("nothing to do")


def checking(*held: bool) -> Callable[[Results, object], None]:
    """A section whose facts hold or not."""

    def call(results: Results, _trials: object) -> None:
        for number, ok in enumerate(held):
            results.check(f"fact {number}", ok)

    return call


def test_whatever_becomes_of_a_section_the_next_one_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It raises, it has nothing to do, one of its facts does not hold: each says why."""
    parts = {
        "raises": Part(broken, 1), "skips": Part(useless, 1), "wrong": Part(checking(True, False, True), 1),
        "right": Part(checking(True), 1),
    }  # fmt: skip
    found = run_sections(tmp_path, monkeypatch, parts)
    assert {name: (s["outcome"], s["why"]) for name, s in found.items()} == {
        "raises": ("failed", "ZeroDivisionError: what a pity"),
        "skips": ("skipped", "nothing to do"),
        "wrong": ("failed", "fact 1"),
        "right": ("passed", ""),
    }
    assert "FAIL  fact 1" in capsys.readouterr().out


def test_a_section_that_would_not_fit_does_not_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """5 s on a CPU, of 4 that are left."""
    found = run_sections(tmp_path, monkeypatch, {"broken": Part(broken, 1)}, budget=4.0)
    assert found["broken"]["outcome"] == "skipped" and "it may need 5" in found["broken"]["why"]


def test_no_section_begins_on_a_device_that_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked after a failure, and only then."""
    monkeypatch.setattr(sections, "fault", lambda _device: "an illegal address")
    parts = {"right": Part(checking(True), 1), "raises": Part(broken, 1), "next": Part(checking(True), 1)}
    found = run_sections(tmp_path, monkeypatch, parts)
    assert [s["outcome"] for s in found.values()] == ["passed", "failed", "skipped"]
    assert found["next"]["why"] == "the device is broken: an illegal address"


def test_the_exit_code_tells_a_failure_and_an_interruption(tmp_path: Path) -> None:
    """A section that passed or was skipped is well; one that failed, or that runs while the probe ends, is not."""
    for outcomes, code in ((["passed", "skipped"], 0), (["passed", "failed"], 1), (["passed", "begun"], 1)):
        results = Results(tmp_path / "probe.json", 1.0)
        for number, outcome in enumerate(outcomes):
            results.begin(str(number)).outcome = outcome
        assert results.end() == code


# -- processes -----------------------------------------------------------------------------------------


def child(code: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code], stdout=pipe, stderr=pipe, text=True)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("print('noise'); print('{\"how\": 1}')", {"how": 1}),
        ("raise SystemExit('out of paper')", {"error": "exit code 1: out of paper"}),
        ("pass", {"error": "exit code 0: "}),
    ],
)
def test_a_child_says_what_it_found_or_what_went_wrong(code: str, said: dict[str, Any]) -> None:
    """Its last line is JSON; its exit code and its errors otherwise."""
    assert processes._end(child(code), time.monotonic() + 60) == said


def test_a_child_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """When its time is over."""
    process = child("import time; time.sleep(60)")
    assert processes._end(process, time.monotonic()) == {"error": "no answer within 100 s"}
    assert process.returncode == -9


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("deterministic", [{"sha256": "a"}] * 2, [{"sha256": "a"}, {"sha256": "b"}]),
        ("warned", [{"raised": []}], [{"raised": ["UserWarning: x"]}]),
        ("capture", [{"first": "CaptureFailed: x"}], [{"first": ""}]),
        ("broken", [{"before": None, "error": "RuntimeError: x", "after": "gone"}],
         [{"before": None, "error": "RuntimeError: x", "after": None}]),
        ("second", [{"how": ["CUDA graph"] * 2, "losses": [[2.0], [2.0005]]}],
         [{"how": ["CUDA graph"] * 2, "losses": [[2.0], [2.5]]}]),
    ],
)  # fmt: skip
def test_what_children_say_is_judged(
    tmp_path: Path, name: str, right: list[dict[str, Any]], wrong: list[dict[str, Any]]
) -> None:
    """Holds for what should be; not for what should not, and not for an error."""
    for found, ok in ((right, True), (wrong, False), ([{"error": "exit code 1: "}] * len(right), False)):
        results = Results(tmp_path / "probe.json", 1.0)
        processes.JUDGES[name](results, found)
        assert [check["ok"] for check in results.checks.values()] == [ok]


# -- trials and stand-ins ------------------------------------------------------------------------------


def test_distance_is_the_largest_relative_one() -> None:
    """By hand: 0.3 of 3 is 0.1; NaN and a name that only one has are infinitely far."""
    one = {"a": torch.tensor([3.3, 0.0]), "b": torch.ones(2)}
    two = {"a": torch.tensor([3.0, 0.0]), "b": torch.ones(2)}
    assert distance(one, two) == (pytest.approx(0.1, rel=1e-4), "a")
    assert distance(two, two) == (0.0, "")
    assert distance({"a": torch.tensor([math.nan])}, {"a": torch.ones(1)}) == (math.inf, "a")
    assert distance(one, {"a": two["a"]}) == (math.inf, "b")


def test_tensors_come_back_from_the_stand_in() -> None:
    """Bit for bit; other bytes are an error of safetensors' name."""
    tensors = {"a": torch.arange(6).reshape(2, 3), "b": torch.tensor(0.1)}
    found = stand_ins.load(stand_ins.save(tensors))
    assert set(found) == {"a", "b"} and all(torch.equal(found[k], tensors[k]) for k in tensors)
    with pytest.raises(stand_ins.SafetensorError):
        stand_ins.load(b"something else")
