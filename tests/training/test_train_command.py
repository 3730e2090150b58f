"""`python cli.py train`: killed at any moment, asked to stop, out of memory, diverged."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import cli
from reprtune.spec.scale import scaled_trial
from reprtune.spec.trial import TrialSpec
from reprtune.states.store import MAGIC, StateStore
from reprtune.training.chain import state
from reprtune.training.chain.chain import Chain
from reprtune.training.chain.member import Member
from reprtune.training.chain.trial_networks import TrialNetworks
from tests.conftest import ROOT
from tests.training.processes import Train
from tests.training.tiny import LOADED_DATA, same_bits

KILLS, SEED = 20, 20
SETTINGS = (
    "model.width=8", "method.cycles=2", "method.s1=6ep", "method.s2=5ep", "training.segment=1ep",
    "training.batch_size=32",
)  # fmt: skip
STEPS = 24 * 33
Whole = tuple[Chain, float]
OPTIONS = ("--total", "24ep", *(word for text in SETTINGS for word in ("--set", text)))


def uninterrupted(seed: int) -> Whole:
    """The same trial in this process, without states; and the seconds it took."""
    trial = scaled_trial(TrialSpec(), total="24ep", seed=seed, assignments=SETTINGS)
    run, begun = Chain(trial, LOADED_DATA), time.monotonic()
    for _ in run:
        pass
    return run, time.monotonic() - begun


@pytest.fixture(scope="module")
def whole() -> Whole:
    return uninterrupted(0)


def assert_same_state(path: str, run: Chain) -> None:
    """The stored weights, statistics and momentum are the run's, bit for bit, and so is the history."""
    payload = Path(path).read_bytes()[len(MAGIC) + 32 :]
    found, notes = state.decode(payload)
    expected, _ = state.decode(run.networks.save())
    assert set(found) == set(expected) and len(found) > 20
    assert all(same_bits(found[name], expected[name]) for name in found)
    assert [p["val_error"] for p in notes["points"]] == [p.val_error for p in run.history.points]


def test_killed_at_twenty_moments(tmp_path: Path, whole: Whole) -> None:
    """SIGKILL at seeded random moments over the life of a trial: while it starts, trains, evaluates or
    writes. The same command goes on each time, and the final state is the uninterrupted trial's."""
    draw = random.Random(SEED)
    n_killed, seed = 0, 0
    while n_killed < KILLS:  # another trial, should the first be finished before
        run, seconds = whole if seed == 0 else uninterrupted(seed)
        train = Train(tmp_path, (*OPTIONS, "--seed", str(seed)))
        exit_code: int | None = -signal.SIGKILL
        while exit_code != 0:
            process = train.start()
            if n_killed < KILLS:
                if draw.random() < 0.8:
                    train.wait_for_progress(process)
                time.sleep(draw.uniform(0, seconds / KILLS))
                process.kill()
            exit_code = train.end(process)
            assert exit_code in (0, -signal.SIGKILL), train.said()
            n_killed += exit_code != 0
        assert_same_state(train.result()["state"], run)
        seed += 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_asked_to_stop(tmp_path: Path, number: signal.Signals, whole: Whole) -> None:
    """Exit code 130, a state is saved where it stopped, and the same command continues and ends the same. A scheduler
    repeats its SIGTERM until the process has ended."""
    train = Train(tmp_path, OPTIONS)
    process = train.start()
    train.wait_for_progress(process)
    time.sleep(0.1)
    os.kill(process.pid or 0, number)
    while number == signal.SIGTERM and process.is_alive():
        os.kill(process.pid or 0, number)
        time.sleep(0.002)
    assert train.end(process) == 130, train.said()
    stopped = train.result()
    assert stopped["outcome"] == "interrupted"
    assert 0 < stopped["steps"] == stopped["steps_spent"] < STEPS
    assert train.end(train.start()) == 0, train.said()
    done = train.result()
    assert done["outcome"] == "complete"
    assert done["steps_spent"] == STEPS - stopped["steps"]
    assert_same_state(done["state"], whole[0])


def test_the_real_command(tmp_path: Path, whole: Whole) -> None:
    """`python cli.py train` as a person starts it: killed with -9, and completed by the same command."""
    words = [sys.executable, "cli.py", "train", *OPTIONS, "--runs", str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(words, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "validation error" in process.stderr.readline()
        process.kill()
    assert process.returncode == -signal.SIGKILL
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "continued from" in done.stderr.splitlines()[0]
    assert "outcome           complete: trained to the end" in done.stdout
    [line] = [text for text in done.stdout.splitlines() if text.startswith("state ")]
    assert_same_state(line.split(maxsplit=1)[1], whole[0])


# -- in this process ----------------------------------------------------------------------------------

Invoke = Callable[..., Any]


@pytest.fixture
def train(tmp_path: Path) -> Invoke:
    """`train` on the tiny trial; the result of click."""

    def invoke(*words: str) -> Any:
        tiny = (
            "--total",
            "3ep",
            "--method",
            "standard",
            "--set",
            "model.width=4",
            "--set",
            "task.train_images=64",
        )
        return CliRunner().invoke(cli.cli, ["train", *tiny, "--runs", str(tmp_path), *words])

    return invoke


def test_a_trial_that_diverges(train: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1, and what happened in words; the second time it is known without a step."""
    words = ("--set", "training.lr=1e6", "--set", "training.batch_size=4")
    first = train(*words)
    assert first.exit_code == 1
    assert "diverged: the loss became infinite or not a number; a lower training.lr may help" in first.output
    monkeypatch.setattr(Member, "advance", None)
    second = train(*words, "--json")
    assert second.exit_code == 1
    result = json.loads(second.stdout)
    assert result["outcome"] == "diverged"
    assert result["history"]["diverged_at"] == result["steps"] > 0
    assert Path(result["state"]).exists()


def test_a_device_out_of_memory(train: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1 and a way out; with memory the same command goes on from the last state."""
    real = Member.advance

    def advance(networks: TrialNetworks, index: int) -> None:
        if networks.step_done == 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        real(networks, index)

    monkeypatch.setattr(Member, "advance", advance)
    monkeypatch.setattr("reprtune.training.chain.chain.STORE_SECONDS", 0.0)
    first = train()
    assert first.exit_code == 1, first.output
    assert "out-of-memory: the device had too little memory; lower training.batch_size" in first.output
    monkeypatch.setattr(Member, "advance", real)
    second = train()
    assert second.exit_code == 0
    assert "continued from 2/3" in second.output


def test_a_full_disk(train: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1 and one sentence with its way out; nothing half-written is left."""

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", no_space)
    result = train()
    assert result.exit_code == 1
    assert "Error: Cannot write states in" in result.output
    assert "Free some space, then run the same command again" in result.output
    assert "Traceback" not in result.output


def test_an_unwritable_folder(train: Invoke, tmp_path: Path) -> None:
    """Said at once, with the option that names another."""
    (tmp_path / "file").write_text("in the way")
    result = train("--states", str(tmp_path / "file"))
    assert result.exit_code == 1
    assert "Cannot prepare states in" in result.output and "--states" in result.output


def test_signals_are_as_before_afterwards(train: Invoke) -> None:
    """Whoever calls it in a process of theirs keeps their own handlers."""
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    assert train().exit_code == 0
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_second_command_waits_for_the_first(train: Invoke, tmp_path: Path) -> None:
    """While another process holds the next segment nothing is trained; afterwards it goes on."""
    trial = scaled_trial(
        TrialSpec(), total="3ep", method="standard", assignments=["model.width=4", "task.train_images=64"]
    )
    other = StateStore(tmp_path / "states", "somebody")
    claims = [other.claim(name) for name in Chain(trial, LOADED_DATA).names[1:]]
    threading.Timer(0.5, lambda: [claim.release() for claim in claims if claim is not None]).start()
    begun = time.monotonic()
    assert train().exit_code == 0
    assert time.monotonic() - begun > 0.4


def test_the_result_as_json(train: Invoke) -> None:
    """Everything a script needs, and the test error only when it is asked for."""
    result = json.loads(train("--json").stdout)
    assert (result["outcome"], result["steps"]) == ("complete", 3)
    assert result["val_error"] == result["history"]["points"][-1]["val_error"]
    assert result["spec"]["model"]["width"] == 4
    assert "test_error" not in result
    tested = json.loads(train("--json", "--test").stdout)
    assert 0 <= tested["test_error"] <= 1
