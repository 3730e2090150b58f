"""The GPU's benchmark as far as a CPU can run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import gpu
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
    assert done.returncode == 0 and "--rounds" in done.stdout, done.stderr


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


def test_a_gpu_is_compared_eager_captured_and_packed() -> None:
    """Alone and up to four processes at once; only eager sides go without a graph."""
    sides = gpu.sides(torch.device("cuda"), quick=False)
    assert [side.processes for side in sides] == [1, 1, 1, 1, 1, 1, 2, 3, 4]
    assert [side.name for side in sides if side.ours and not side.graph] == ["eager fp32", "eager bf16"]
    assert {side.precision for side in sides if side.processes > 1} == {"bf16"}


def test_seconds_and_ratios_from_images_per_second() -> None:
    """An epoch is 50,000 images; ratios are taken within a round; targets stand beside graphs alone."""
    rows = gpu.summary("convnet-3", {"plain fp32": [1000.0, 2000.0], "graph bf16": [50_000.0, 20_000.0]})
    plain, graph = rows
    assert plain["seconds_per_epoch"] == {"n": 2, "median": 37.5, "min": 25.0, "max": 50.0}
    assert graph["ratio"] == {"n": 2, "median": 30.0, "min": 10.0, "max": 50.0}
    assert (plain["target_seconds"], graph["target_seconds"], graph["target_ratio"]) == (None, 0.08, 20.0)
    assert "| convnet-3 | graph bf16 | 1.750 (1.000-2.500) | <= 0.08 | 30.00 (10.00-50.00) | >= 20 | 2 |" in (
        gpu.table(rows)
    )
