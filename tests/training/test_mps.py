"""Whether NVIDIA's Multi-Process Service runs is seen by the files of its daemon."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reprtune.training.platform import mps


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty pipe directory."""
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path))
    return tmp_path


def test_the_pipe_directory_is_nvidias_unless_another_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The variable that the daemon and its clients read, and /tmp/nvidia-mps without it."""
    monkeypatch.delenv("CUDA_MPS_PIPE_DIRECTORY", raising=False)
    assert mps.pipe_directory() == Path("/tmp/nvidia-mps")
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path))
    assert mps.pipe_directory() == tmp_path


def test_it_runs_where_its_pipe_is_and_its_process_lives(folder: Path) -> None:
    """Nothing there; a pipe alone; a process that lives; one that has ended and left both behind."""
    assert not mps.is_running()
    os.mkfifo(folder / "control")
    assert mps.is_running()
    (folder / "nvidia-cuda-mps-control.pid").write_text(f"{os.getpid()}\n")
    assert mps.is_running()
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    (folder / "nvidia-cuda-mps-control.pid").write_text(f"{ended.pid}\n")
    assert not mps.is_running()


@pytest.mark.parametrize("said", ["", "no number\n"])
def test_a_process_number_that_says_nothing_is_left_aside(folder: Path, said: str) -> None:
    """The pipe is there."""
    os.mkfifo(folder / "control")
    (folder / "nvidia-cuda-mps-control.pid").write_text(said)
    assert mps.is_running()


def test_a_daemon_of_another_user_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process may not be signalled, so it lives."""

    def refuse(_process: int, _signal: int) -> None:
        raise PermissionError

    os.mkfifo(folder / "control")
    (folder / "nvidia-cuda-mps-control.pid").write_text("1\n")
    monkeypatch.setattr(os, "kill", refuse)
    assert mps.is_running()
