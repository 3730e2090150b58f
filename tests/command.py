"""The command line as a person meets it: another process, or quickly in this one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from click.testing import CliRunner, Result
from optuna.trial import FrozenTrial, TrialState

from reprtune.record.database import open_storage
from reprtune.record.trials import outcome
from reprtune.settings import Settings
from tests.conftest import ROOT

TINY = str(ROOT / "tests" / "tiny_study.py")


@dataclass
class Command:
    """`python cli.py` with a runs folder of its own."""

    runs: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path = ROOT  # in which it is typed
    checkout: Path = ROOT  # of which it is the command line
    said: dict[str, subprocess.CompletedProcess[str]] = field(default_factory=dict)
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        storage = self.environment.get("REPRTUNE_STORAGE")
        return Settings(runs_dir=self.runs, storage=storage)

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "OMP_NUM_THREADS": "1", "REPRTUNE_RUNS": str(self.runs), **self.environment}

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A process group of its own, so that a signal to it is what Ctrl-C sends."""
        process = subprocess.Popen(
            [sys.executable, str(self.checkout / "cli.py"), *words],
            cwd=self.folder,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def close(self) -> None:
        """Nothing that a test started outlives it."""
        for process in self.started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with contextlib.suppress(ValueError):
                process.communicate()

    def __call__(self, *words: str, code: int = 0, seconds: float = 500) -> subprocess.CompletedProcess[str]:
        """Run to the end; `code` is the exit code that is right."""
        process = self.start(*words)
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            raise AssertionError(f"{words} took more than {seconds} s:\n{out}\n{err}") from None
        assert process.returncode == code, f"{words}: exit code {process.returncode}\n{out}\n{err}"
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess(words, code, out, err)

    def quick(self, *words: str, code: int | None = 0) -> Result:
        """The same in this process; whatever is not an exit code is a defect and raised here. None: any code."""
        import cli

        result = CliRunner(env={"REPRTUNE_RUNS": str(self.runs), **self.environment}).invoke(cli.cli, words)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert code in (None, result.exit_code), f"{words}: exit code {result.exit_code}\n{result.output}"
        return result

    def trials(self, study: str) -> list[FrozenTrial]:
        """What Optuna says of one of its studies."""
        storage = open_storage(self.settings.storage_url)
        try:
            return storage.get_all_trials(storage.get_study_id_from_name(study))
        finally:
            storage.engine.dispose()


def used_up(trials: list[FrozenTrial]) -> list[int]:
    """Slots of the attempts that came to an end, sorted; with one entry for each such attempt. One whose worker
    was killed after it had written its result, and before Optuna's state, is lost."""
    ends = ("complete", "stopped", "diverged", "out-of-memory", "error")
    return sorted(t.user_attrs["slot"] for t in trials if outcome(t) in ends)


def states(trials: list[FrozenTrial]) -> set[TrialState]:
    return {t.state for t in trials}
