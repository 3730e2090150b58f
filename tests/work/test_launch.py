"""Several workers, several launchers, killed and stopped: every slot ends exactly once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState

from reprtune.errors import ReprtuneError, TrackingError
from reprtune.record.trials import outcome
from reprtune.settings import Settings
from reprtune.spec.edit import changed
from reprtune.spec.space import IntRange
from reprtune.training.chain.chain import Chain
from reprtune.work.launch import Launcher
from reprtune.work.run_journal import RunJournal
from tests.command import Command, used_up
from tests.flat import with_fields
from tests.postgres import PostgreSQL
from tests.tiny_study import STUDY
from tests.work.tiny_worker import LOADED_DATA, create

# A short lease, and a tracking store that cannot be there: nothing here needs MLflow, and training goes on.
FAST = {
    "REPRTUNE_HEARTBEAT_SECONDS": "1",
    "REPRTUNE_GRACE_SECONDS": "15",
    "MLFLOW_TRACKING_URI": "sqlite:////proc/nowhere/mlflow.db",
}
FAULT = "TESTS_FAULT"  # what goes wrong in the workers of a launcher in this process
FITTING = {**STUDY.space, "method.cycles": IntRange(low=1, high=1)}  # every draw fits


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    with closing(Command(tmp_path / "runs", FAST)) as command:
        yield command


@pytest.fixture
def machines(tmp_path: Path, postgresql: PostgreSQL) -> Iterator[list[Command]]:
    """Two machines with runs folders of their own, one database and one folder of states."""
    shared = {**FAST, "REPRTUNE_STORAGE": postgresql.new(), "REPRTUNE_STATES": str(tmp_path / "states")}
    with ExitStack() as stack:
        yield [stack.enter_context(closing(Command(tmp_path / name, shared))) for name in ("one", "two")]


def wait_for(condition: Callable[[], Any], seconds: float = 300) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)
    return found


def finish(process: subprocess.Popen[str], code: int, seconds: float = 400) -> str:
    """Wait for the end; what was printed on stderr."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == code and "Traceback" not in err, f"{process.returncode}\n{out}\n{err}"
    return err


def running(command: Command) -> list[FrozenTrial]:
    return [t for t in command.trials("tiny") if t.state == TrialState.RUNNING and "lease" in t.user_attrs]


def begun(command: Command) -> list[FrozenTrial]:
    trials = [*command.trials("tiny"), *command.trials("tiny.controls")]
    return [t for t in trials if "lease" in t.user_attrs]


def hold_one_worker(command: Command) -> tuple[FrozenTrial, int]:
    """Stop a worker in the middle of a trial of the search; that trial and the worker's process."""

    def attempt() -> tuple[FrozenTrial, int] | None:
        for trial in running(command):
            pid = int(trial.user_attrs["lease"]["worker"].split(":")[1])
            os.kill(pid, signal.SIGSTOP)  # hold it still, to be sure what it is in the middle of
            if any(t.number == trial.number and len(t.params) == 4 for t in running(command)):
                return trial, pid
            os.kill(pid, signal.SIGCONT)
        return None

    return wait_for(attempt)


def kill_one_worker(command: Command) -> FrozenTrial:
    """Kill -9 a worker in the middle of a trial of the search; that trial."""
    trial, pid = hold_one_worker(command)
    os.kill(pid, signal.SIGKILL)
    return trial


def check_every_slot_once(command: Command, n_slots: int) -> None:
    """In Optuna: nothing waits or runs, each slot and control ended once, and ended well."""
    search, controls = command.trials("tiny"), command.trials("tiny.controls")
    assert used_up(search) == list(range(n_slots)) and used_up(controls) == list(range(4))
    assert all(t.state.is_finished() for t in (*search, *controls))
    ends = {outcome(t) for t in (*search, *controls)}
    assert ends <= {"complete", "infeasible", "lost", "interrupted"}, ends


def check_the_killed_slot_went_on(command: Command, killed: FrozenTrial) -> None:
    """Its lost attempt is the only one, and the one that ended well has its parameters."""
    trials = command.trials("tiny")
    assert [t.number for t in trials if outcome(t) == "lost"] == [killed.number]
    (again,) = [
        t for t in trials
        if t.user_attrs["slot"] == killed.user_attrs["slot"] and outcome(t) == "complete"
    ]  # fmt: skip
    assert again.params == trials[killed.number].params


MANY = pytest.mark.slow  # four workers and forty slots: no other rule, more to meet


@pytest.mark.parametrize(("n_workers", "slots"), [(2, 10), pytest.param(4, 40, marks=MANY)])
def test_workers_of_whom_one_is_killed_end_every_slot_once(
    command: Command, n_workers: int, slots: int
) -> None:
    """On SQLite. The killed worker's slot goes on, and another worker takes its place."""
    create(command.runs, slots=slots, space=FITTING)
    process = command.start("study", "run", "tiny", "--workers", str(n_workers))
    killed = kill_one_worker(command)
    said = finish(process, 0)
    assert "its slot is queued again, and another worker takes its place" in said
    assert "MLflow tracking fails, training goes on" in said
    check_every_slot_once(command, slots)
    check_the_killed_slot_went_on(command, killed)
    assert not list((command.runs / "states" / "claims").iterdir())


@pytest.mark.slow  # several machines by default: test_until.py
@pytest.mark.parametrize(("n_workers", "slots"), [(1, 10), (2, 40)])
def test_two_launchers_on_one_database_share_the_slots(
    machines: list[Command], n_workers: int, slots: int
) -> None:
    """On PostgreSQL: two machines with workers each, and a worker of one is killed on the way."""
    one, two = machines
    base = changed(STUDY.base, {"training.total": "200ep"})  # long enough for both machines to begin
    create(one.runs, storage=one.settings.storage, slots=slots, space=FITTING, base=base)
    processes = [machine.start("study", "run", "tiny", "--workers", str(n_workers)) for machine in machines]
    wait_for(lambda: len({t.user_attrs["lease"]["worker"] for t in begun(one)}) == 2 * n_workers)
    killed = kill_one_worker(one)
    for process in processes:
        finish(process, 0)
    check_every_slot_once(two, slots)
    check_the_killed_slot_went_on(two, killed)


@pytest.mark.slow  # without processes: test_leases.py, test_worker.py
def test_a_slot_whose_only_machine_died_is_resumed_elsewhere_from_its_last_state(
    tmp_path: Path, machines: list[Command]
) -> None:
    """After the grace period; it ends as if nothing had happened."""
    one, two = machines
    base = changed(STUDY.base, {"training.total": "400ep"})
    create(one.runs, storage=one.settings.storage, slots=1, controls=(), space=FITTING, base=base)
    process = one.start("study", "run", "tiny")
    wait_for(lambda: len(list((tmp_path / "states").rglob("*.state"))) >= 2)
    time.sleep(1.2)  # a state is stored every half second
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert [outcome(t) for t in one.trials("tiny")] == ["running"]
    assert "next: python cli.py study report tiny" in two("study", "resume", "tiny").stdout
    lost, done = one.trials("tiny")
    result = done.user_attrs["result"]
    assert (outcome(lost), outcome(done)) == ("lost", "complete") and done.params == lost.params
    assert 0 < result["steps_spent"] < result["steps_alone"] == 800
    run = Chain(with_fields(STUDY, base=base).trial(done.params), LOADED_DATA)
    assert sum(1 for _ in run) > 0 and run.history.points[-1].val_error == done.values[0]


@pytest.mark.slow  # the signal is in test_stopping_signals.py too
def test_some_trials_then_ctrl_c_then_the_rest_are_exactly_the_budget(command: Command) -> None:
    """`--trials` begins so many; Ctrl-C reaches the whole group: exit code 130, nothing left running,
    parameters kept; the same command goes on to the end."""
    create(command.runs, slots=8, space=FITTING)
    said = command("study", "run", "tiny", "--trials", "3", "--workers", "2").stdout
    assert len(used_up(command.trials("tiny.controls"))) == 3 and not used_up(command.trials("tiny"))
    assert "next: python cli.py study resume tiny" in said
    process = command.start("study", "run", "tiny")
    wait_for(lambda: used_up(command.trials("tiny")))
    os.killpg(process.pid, signal.SIGINT)
    assert "Stopping: the workers save where they stand" in finish(process, 130)
    trials = [*command.trials("tiny"), *command.trials("tiny.controls")]
    assert not [t for t in trials if t.state == TrialState.RUNNING]
    assert [t for t in trials if t.state == TrialState.WAITING]
    drawn = {t.user_attrs["slot"]: t.params for t in command.trials("tiny") if t.params}
    command("study", "run", "tiny", "--trials", "50")
    check_every_slot_once(command, 8)
    assert drawn.items() <= {t.user_attrs["slot"]: t.params for t in command.trials("tiny")}.items()


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no /proc to find children by")
@pytest.mark.parametrize("n_children", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_workers_that_are_still_starting_hear_a_sigterm_to_the_launcher(
    command: Command, n_children: int
) -> None:
    """As a scheduler sends it. They ignore signals while they import; it is said again until they can hear. Before the
    first of them there is Python's own helper alone: no slot is begun then."""
    create(command.runs, slots=40)
    process = command.start("study", "run", "tiny")
    wait_for(lambda: len(children(process.pid)) >= n_children)
    process.send_signal(signal.SIGTERM)
    finish(process, 130)
    assert not used_up(command.trials("tiny")) and not running(command)


def test_a_second_ctrl_c_kills(command: Command) -> None:
    """At once, a worker that cannot save too; its slot waits again with its parameters."""
    create(command.runs, slots=100, space=FITTING)  # more than are over before one is held
    process = command.start("study", "run", "tiny")
    held, _ = hold_one_worker(command)
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    finish(process, 130)
    trials = command.trials("tiny")
    assert outcome(trials[held.number]) == "lost"
    again = trials[-1]
    assert (again.user_attrs["slot"], outcome(again)) == (held.user_attrs["slot"], "waiting")
    assert again.system_attrs["fixed_params"] == trials[held.number].params


# -- a launcher in this process --------------------------------------------------------------------


class FromHere(Settings):
    """Settings that make a worker import this module."""


def die(*_: Any) -> None:
    """Instead of writing a trial's results."""
    os._exit(3)


def unwritable(*_: Any) -> None:
    """The same with a full disk."""
    raise TrackingError("Cannot write the journal.", "Free some space.")


if (fault := os.environ.get(FAULT)) and multiprocessing.current_process().name != "MainProcess":
    RunJournal.write_results = {"die": die, "unwritable": unwritable}[fault]  # type: ignore[method-assign]


def launch(folder: Path, said: list[str]) -> None:
    launcher = Launcher(
        settings=FromHere(**vars(create(folder, slots=4, controls=(), space=FITTING))),
        name="tiny",
        n_workers=1,
        n_trials=None,
        draw=str,
        observe=lambda *_: None,
        say=said.append,
    )
    launcher.run()


@pytest.mark.slow  # without processes: test_replacing.py
def test_workers_that_die_again_and_again_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a loop for ever; what they finished stays, and how many slots are left is said."""
    monkeypatch.setattr("reprtune.work.launch.MAX_RESTARTS", 1)
    monkeypatch.setenv(FAULT, "die")
    said: list[str] = []
    with pytest.raises(ReprtuneError, match=r"2 workers ended .*with code 3.* 2 slots are left"):
        launch(tmp_path, said)
    assert [s for s in said if "Worker 0 ended with code 3" in s and "(1 of 1)" in s]


def test_an_error_that_stops_all_is_raised_by_the_launcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its words come from the worker; its slot waits again."""
    monkeypatch.setenv(FAULT, "unwritable")
    with pytest.raises(ReprtuneError, match="Cannot write the journal"):
        launch(tmp_path, [])
