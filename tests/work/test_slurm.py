"""What is asked of SLURM: a script that says it, and no password in any file. A real SLURM: test_slurm_cluster.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reprtune.work.slurm import Element
from tests.command import Command
from tests.conftest import ROOT
from tests.work.tiny_worker import create

SECRET = "postgresql+psycopg://me:s3cret@db/x"


def printed(command: Command, *words: str) -> str:
    return command.quick("study", "launch", "tiny", "--slurm", "--print", *words).stdout


def test_the_script_asks_for_what_was_said(command: Command, tmp_path: Path) -> None:
    """An array with an element per node, which may be queued again, is asked to leave in time, and has a worker for
    each GPU; folders by their whole paths; bash understands it."""
    script = printed(
        command, "--nodes", "4", "--gpus-per-node", "2", "--time", "1-02:30:00", "--partition", "gpu",
        "--states", str(tmp_path / "with space"),
    )  # fmt: skip
    asked = {line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH")}
    assert {"array=0-3", "nodes=1", "gpus-per-node=2", "time=1-02:30:00", "partition=gpu", "requeue",
            "open-mode=append", "signal=B:TERM@120"} <= asked  # fmt: skip
    assert f"export REPRTUNE_STATES='{tmp_path / 'with space'}'" in script
    assert f"srun --ntasks=1 {sys.executable} {ROOT / 'cli.py'} study run tiny --workers 2 &" in script
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_with_one_gpu_or_none_an_element_is_one_worker(command: Command) -> None:
    """And asks for no GPU where none was named."""
    assert "cli.py worker tiny &" in printed(command) and "gpus" not in printed(command)
    assert "cli.py worker tiny &" in printed(command, "--gpus-per-node", "1")


def test_a_name_that_no_study_can_have_comes_into_no_script(command: Command) -> None:
    """It would be read as a line of it."""
    words = ("study", "launch", "x\nrm -r /", "--slurm", "--print")
    assert command.quick(*words, code=2).stdout == ""


def test_no_password_stands_in_the_script(command: Command) -> None:
    """It asks for the URL where it is submitted, and ends at once where there is none."""
    script = printed(command, "--storage", SECRET, "--tracking-uri", "http://me:s3cret@host")
    assert "s3cret" not in script
    done = subprocess.run(
        ["bash"], input=script, text=True, capture_output=True, check=False, env={"PATH": os.environ["PATH"]}
    )
    assert done.returncode != 0 and "REPRTUNE_STORAGE" in done.stderr


@pytest.mark.parametrize("time", ["0:00:10", "8", "soon", "08:61:00", "2m"])
def test_a_time_that_is_none_is_named(command: Command, time: str) -> None:
    """Or one that is over before anything is trained."""
    assert "--time" in command.quick("study", "launch", "tiny", "--slurm", "--time", time, code=2).stderr


def test_what_nodes_cannot_use_is_refused_before_anything_is_submitted(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database in a file; no SLURM; no submitit, with the way without it. `--slurm` is asked for."""
    create(command.runs)
    words = ("study", "launch", "tiny", "--slurm")
    assert "db start" in command.quick(*words, code=1).stderr
    assert "--slurm" in command.quick(*words[:-1], code=2).stderr
    monkeypatch.setattr("commands.cluster._check_reachable", lambda _: None)
    monkeypatch.setenv("PATH", "/nowhere")
    assert "sbatch" in command.quick(*words, code=1).stderr
    monkeypatch.setitem(sys.modules, "submitit", None)
    said = command.quick(*words, code=1).stderr
    assert "'.[slurm]'" in said and "--print" in said


def test_an_element_that_is_asked_to_leave_waits_for_its_worker_and_can_run_again(tmp_path: Path) -> None:
    """Submitit calls `checkpoint` from a signal, in the middle of the call; its own signal does not reach the worker."""
    pytest.importorskip("submitit")
    program = (
        "import pathlib, signal, time; signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path('saved').touch(), exit(130))); "
        "pathlib.Path('there').touch(); time.sleep(60)"
    )
    element = Element([sys.executable, "-c", program], str(tmp_path))
    again: list[object] = []

    def asked(*_: object) -> None:
        while not (tmp_path / "there").exists():
            signal.sigtimedwait([], 0.05)
        element._process.send_signal(signal.SIGUSR2)
        again.append(element.checkpoint())
        raise KeyboardInterrupt  # submitit ends the process here

    before = signal.signal(signal.SIGALRM, asked)
    signal.setitimer(signal.ITIMER_REAL, 0.7)
    try:
        with pytest.raises(KeyboardInterrupt):
            element()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert (tmp_path / "saved").exists()
    assert again[0].function.words == element.words  # type: ignore[attr-defined]
