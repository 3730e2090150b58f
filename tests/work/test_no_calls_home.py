"""Nothing that we start speaks to another machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser import SIGNS_OF_A_TEST
from tests.command import TINY
from tests.conftest import ROOT

# Imported by every Python that starts, workers too: names and addresses of other machines are written down, and refused.
GUARD = """
import os, socket
LOCAL = ("127.", "localhost", "::1", "0.0.0.0")

def refuse(address):
    with open(os.environ["CALLS"], "a") as file:
        file.write(f"{address}\\n")
    raise OSError(f"refused: {address}")

def guarded(original):
    def connect(self, address):
        if self.family != socket.AF_UNIX and not str(address[0]).startswith(LOCAL):
            refuse(address)
        return original(self, address)
    return connect

resolve = socket.getaddrinfo
def getaddrinfo(host, *rest, **more):
    name = host.decode() if isinstance(host, bytes) else host
    if name and not name.startswith(LOCAL):
        refuse(name)
    return resolve(host, *rest, **more)

socket.socket.connect, socket.socket.connect_ex = guarded(socket.socket.connect), guarded(socket.socket.connect_ex)
socket.getaddrinfo = getaddrinfo
with open(os.environ["CALLS"] + ".guarded", "a") as file:
    file.write("x")
"""


def guarded(folder: Path) -> dict[str, str]:
    """An environment like a person's: MLflow keeps quiet by itself where it sees signs of a test."""
    (folder / "guard").mkdir()
    (folder / "guard" / "sitecustomize.py").write_text(GUARD)
    inherited = {
        k: v
        for k, v in os.environ.items()
        if k not in (*SIGNS_OF_A_TEST, "DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY")
    }
    return {
        **inherited, "PYTHONPATH": str(folder / "guard"), "CALLS": str(folder / "calls"),
        "REPRTUNE_RUNS": str(folder / "runs"), "OMP_NUM_THREADS": "1",
    }  # fmt: skip


def test_the_guard_refuses(tmp_path: Path) -> None:
    """Else the test below could not fail."""
    code = "import socket; socket.create_connection(('example.org', 80))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=guarded(tmp_path), capture_output=True, check=False
    )
    assert done.returncode == 1 and (tmp_path / "calls").read_text() == "example.org\n"


@pytest.mark.slow
def test_a_study_from_create_to_delete_speaks_to_nobody(tmp_path: Path) -> None:
    """Commands, workers, MLflow, Optuna, torch: no name is asked for, no connection made."""
    environment = guarded(tmp_path)
    for words in (
        ["create", TINY], ["run", "tiny", "--trials", "2"], ["sync", "tiny"], ["report", "tiny"],
        ["delete", "tiny", "--with-mlflow", "--yes"],
    ):  # fmt: skip
        done = subprocess.run(
            [sys.executable, "cli.py", "study", *words], cwd=ROOT, env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert not (tmp_path / "calls").exists(), (tmp_path / "calls").read_text()
    assert len((tmp_path / "calls.guarded").read_text()) >= 6  # five commands and a worker
