"""Tell a person that a run has ended, by a command of their own; it can never harm the run.

The command is given to the user's own shell as it stands. Nothing of the study is put into its text: all
values come in environment variables and as JSON on its standard input, so that no name or error message is
ever read as a command.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from reprtune.errors import ReprtuneError
from reprtune.passwords import hide

SECONDS = 30.0  # it is killed after that, with everything it has started
LONGEST = 10_000  # characters of a variable; systems refuse much longer ones. stdin has it all
EVENTS = {
    "finished": "nothing of the study is left to be trained",
    "paused": "the run ended as asked for, and slots are left",
    "interrupted": "stopped by a person or a scheduler",
    "failed": "the run ended with an error, or slots did",
}


@dataclass
class Notice:
    """What is told at the end of a run.

    Attributes:
        study: its name. event: a key of `EVENTS`.
        message: one sentence. facts: further plain values, filled in while the run goes on.
    """

    study: str
    event: str = "finished"
    message: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        return {**self.facts, "event": self.event, "study": self.study, "message": self.message}

    def environment(self) -> dict[str, str]:
        """`REPRTUNE_EVENT`, `REPRTUNE_STUDY` and so on; what is no text is JSON."""
        texts = {
            key: value if isinstance(value, str) else json.dumps(value) for key, value in self.plain().items()
        }
        return {f"REPRTUNE_{key.upper()}": text.replace("\0", "?")[:LONGEST] for key, text in texts.items()}


@contextlib.contextmanager
def notifying(
    command: str | None, study: str, say: Callable[[str], None], *, seconds: float = SECONDS
) -> Iterator[Notice]:
    """Run the body, then the command with what became of it; the body's errors go on as they are.

    Args:
        command: of the user's shell; None or empty = nobody is told.
        say: gets one sentence where the command itself failed.
    """
    notice, begun = Notice(study), time.monotonic()
    try:
        yield notice
    except BaseException as error:
        by_a_person = isinstance(error, KeyboardInterrupt)
        notice.event = "interrupted" if by_a_person else "failed"
        notice.message = EVENTS["interrupted"] if by_a_person else _sentence(error)
        raise
    finally:
        if command:
            notice.message = notice.message or EVENTS[notice.event]
            notice.facts |= {"host": platform.node(), "seconds": round(time.monotonic() - begun)}
            problem = send(command, notice, seconds)
            if problem:
                say(f"The command of --notify {problem}; the study is not touched by that.")


def _sentence(error: BaseException) -> str:
    text = error.message if isinstance(error, ReprtuneError) else f"{type(error).__name__}: {error}"
    return hide(text).splitlines()[0] if text.strip() else EVENTS["failed"]


def send(command: str, notice: Notice, seconds: float = SECONDS) -> str | None:
    """Run the command in a process group of its own.

    Returns:
        What went wrong with it, as the end of a sentence; None when all is well. Raises nothing.
    """
    environment: Mapping[str, str] = {**os.environ, **notice.environment()}
    try:
        process = subprocess.Popen(  # noqa: S602 - the user's own command; values come only by the environment
            command,
            shell=True,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return f"could not be started: {error}"
    try:
        _, said = process.communicate(json.dumps(notice.plain()) + "\n", timeout=seconds)
    except subprocess.TimeoutExpired:
        _kill(process)
        return f"did not end within {seconds:g} s and was killed"
    except KeyboardInterrupt:
        _kill(process)
        return "was stopped"
    except OSError as error:
        _kill(process)
        return f"could not be told: {error}"
    last = said.strip().splitlines()[-1:] or [""]
    why = f": {last[0][:200]}" if last[0] else ""
    return f"ended with code {process.returncode}{why}" if process.returncode else None


def _kill(process: subprocess.Popen[str]) -> None:
    """With everything it has started. It has not been waited for, so its number is still its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=5)
    for stream in (process.stdin, process.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
