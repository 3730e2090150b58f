"""The command of --notify: told everything, and unable to harm a run."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path

import pytest

from reprtune.errors import StorageError
from reprtune.work.notify import Notice, notifying, send


def told(folder: Path) -> dict[str, object]:
    return json.loads((folder / "told.json").read_text())


@pytest.mark.parametrize(
    ("error", "event", "message"),
    [
        (None, "finished", "nothing of the study is left to be trained"),
        (KeyboardInterrupt(), "interrupted", "stopped by a person or a scheduler"),
        (StorageError("The disk is away.", "Mend it."), "failed", "The disk is away."),
        (RuntimeError("two\nlines"), "failed", "RuntimeError: two"),
    ],
)
def test_every_end_is_told_and_errors_go_on(
    tmp_path: Path, error: BaseException | None, event: str, message: str
) -> None:
    """The same in the JSON on stdin and in the environment; the error is raised as it was."""
    said: list[str] = []
    command = f'cat > {tmp_path}/told.json; printf %s "$REPRTUNE_EVENT|$REPRTUNE_STUDY" > {tmp_path}/env'
    expected = contextlib.nullcontext() if error is None else pytest.raises(type(error))
    with expected, notifying(command, "tiny", said.append) as notice:
        notice.facts = {"pending": 3}
        if error is not None:
            raise error
    content = told(tmp_path)
    assert (content["event"], content["study"], content["message"]) == (event, "tiny", message)
    assert content["pending"] == 3 and isinstance(content["host"], str)
    assert (tmp_path / "env").read_text() == f"{event}|tiny" and said == []


def test_what_the_body_says_counts(tmp_path: Path) -> None:
    """An event set inside is the one that is told."""
    with notifying(f"cat > {tmp_path}/told.json", "tiny", print) as notice:
        notice.event = "paused"
    assert told(tmp_path)["event"] == "paused"


@pytest.mark.parametrize("command", [None, ""])
def test_without_a_command_nobody_is_told(command: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """No process is started."""
    monkeypatch.setattr("subprocess.Popen", None)
    with notifying(command, "tiny", print):
        pass


def test_values_are_never_commands(tmp_path: Path) -> None:
    """A message full of the shell's characters arrives letter by letter, and does nothing."""
    wild = f"$(touch {tmp_path}/bad) `touch {tmp_path}/bad`; touch {tmp_path}/bad '\" \\ \n | & > é"
    notice = Notice("tiny", message=wild, facts={"odd": "a\0b", "none": None, "list": [1]})
    assert send(f'printf %s "$REPRTUNE_MESSAGE" > {tmp_path}/told; env > {tmp_path}/env', notice) is None
    assert (tmp_path / "told").read_text() == wild and not (tmp_path / "bad").exists()
    lines = (tmp_path / "env").read_text().splitlines()
    assert {"REPRTUNE_ODD=a?b", "REPRTUNE_NONE=null", "REPRTUNE_LIST=[1]"} <= set(lines)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("exit 3", "ended with code 3"),
        ("echo no route >&2; exit 1", "ended with code 1: no route"),
        ("no-such-program-anywhere", "ended with code 127"),
        ("exec 0<&-; exit 0", ""),
    ],
)
def test_a_failing_command_is_one_sentence(command: str, said: str) -> None:
    """With its code and its last words; a command that does not read its stdin is none."""
    problem = send(command, Notice("tiny", facts={"much": "x" * 1_000_000}))
    assert (problem or "").startswith(said) and (problem is None) == (not said)


def test_a_hanging_command_is_killed_with_its_children(tmp_path: Path) -> None:
    """After the deadline, and the run goes on with one sentence about it."""
    said: list[str] = []
    command = f"sleep 300 & echo $! > {tmp_path}/child; trap '' TERM; sleep 300"
    with notifying(command, "tiny", said.append, seconds=0.5):
        pass
    assert len(said) == 1 and "did not end within 0.5 s and was killed" in said[0]
    assert is_gone(int((tmp_path / "child").read_text()))


def is_gone(pid: int) -> bool:
    """Ended, if only as a zombie whose parent does not look; asked again for a while."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False
