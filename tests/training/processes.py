"""`train` in processes of its own that begin in an instant: forked from one that has imported everything.

The child runs the command line, is killed or asked to stop like any process, and its exit code is that
of `python cli.py train ...`. What it says goes to files.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PRELOADED = [
    __name__, "cli", "dashboards.terminal", "tqdm", "sklearn.datasets", "torch._dynamo", "reprtune.training.chain.train_one",
    "torch.fx.experimental.symbolic_shapes", "reprtune.training.parts.criteria.ortho",
    "reprtune.training.data.digits", "reprtune.training.models.convnet", "reprtune.training.parts.restores.orthogonal",
]  # fmt: skip
SECONDS = 100.0


def context() -> multiprocessing.context.ForkServerContext:
    """The server starts with the first process and serves the whole test session."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(p for p in dict.fromkeys(paths) if p)
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload(PRELOADED)
    return forking


def _main(words: list[str], out: str, err: str) -> None:
    for path, descriptor in ((out, 1), (err, 2)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(ROOT)
    import cli

    sys.argv = ["cli.py", *words]
    cli.cli(words)


@dataclass
class Train:
    """`train` with fixed options.

    Attributes:
        folder: for states and what the processes say.
    """

    folder: Path
    options: tuple[str, ...]
    n_started: int = 0
    exit_codes: list[int | None] = field(default_factory=list)

    def start(self) -> BaseProcess:
        self.n_started += 1
        words = ["train", *self.options, "--json", "--runs", str(self.folder / "runs"), "--device", "cpu"]
        process = context().Process(
            target=_main, args=(words, str(self._file("out")), str(self._file("err")))
        )
        process.start()
        return process

    def _file(self, what: str) -> Path:
        return self.folder / f"{self.n_started}.{what}"

    def said(self) -> str:
        """On stderr, by the process started last, so far."""
        return self._file("err").read_text() if self._file("err").exists() else ""

    def wait_for_progress(self, process: BaseProcess) -> None:
        """Until the first line of progress, or the end."""
        while "/" not in self.said() and process.is_alive():
            time.sleep(0.002)

    def end(self, process: BaseProcess) -> int | None:
        """Wait for it; its exit code, -9 when it was killed."""
        process.join(SECONDS)
        assert process.exitcode is not None, "it hangs"
        self.exit_codes.append(process.exitcode)
        return process.exitcode

    def result(self) -> dict[str, Any]:
        """What the process started last printed."""
        found: dict[str, Any] = json.loads(self._file("out").read_text())
        return found
