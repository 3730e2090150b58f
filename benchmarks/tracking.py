"""Does training wait for MLflow? The same study with a server that answers, is killed, or is silent; and the cost of a sample.

    python -m benchmarks.tracking --repeats 3

A study is created once for each run, then run by one worker process. Compared is what the record says of it: the seconds
that its trials trained, summed. Conditions alternate within a repeat; ratios are to `answers` in the same repeat.
`killed`: SIGKILL when the first slot has ended, started again 6 s later. `silent`: it accepts and never answers.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from reprtune.record.database import open_storage
from reprtune.record.storage import read_study
from reprtune.settings import Settings
from reprtune.work.monitor import INTERVAL_SECONDS, Sampler

CONDITIONS = ("answers", "killed", "silent")
DOWN_SECONDS = 6.0
STUDY = ("study", "create", "repr-smoke", "--name", "bench")


class Server:
    """`mlflow server` with a database of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.folder, self.uri = folder, f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        words = ["server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        words += ["--backend-store-uri", f"sqlite:///{self.folder}/server.db"]
        words += ["--artifacts-destination", str(self.folder / "artifacts")]
        environment = {**os.environ, "DO_NOT_TRACK": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *words], env=environment, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.1)

    def kill(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@contextlib.contextmanager
def silence() -> Iterator[str]:
    """The address of somebody who accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def command(runs: Path, uri: str, *words: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "REPRTUNE_RUNS": str(runs), "MLFLOW_TRACKING_URI": uri}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "cli.py", *words], env=environment, **quiet)  # type: ignore[call-overload]


def run(condition: str, server: Server) -> tuple[float, int]:
    """(seconds that the trials trained, steps)."""
    with tempfile.TemporaryDirectory() as folder, silence() as silent:
        runs = Path(folder)
        settings = Settings(runs_dir=runs)
        assert command(runs, server.uri, *STUDY).wait() == 0
        process = command(runs, silent if condition == "silent" else server.uri, "study", "run", "bench")
        if condition == "killed":
            while (
                process.poll() is None and not read_study(open_storage(settings.storage_url), "bench").final()
            ):
                time.sleep(0.2)
            server.kill()
            time.sleep(DOWN_SECONDS)
            server.start()
        assert process.wait() == 0
        study = read_study(open_storage(settings.storage_url), "bench", histories=False)
        results = [
            trial.result for trial in (*study.trials, *study.controls) if "seconds_spent" in trial.result
        ]
        assert command(runs, server.uri, "study", "delete", "bench", "--with-mlflow", "--yes").wait() == 0
    return sum(r["seconds_spent"] for r in results), sum(r["steps_spent"] for r in results)


def sample_cost(n: int = 200) -> float:
    """Median milliseconds of processor time of one sample of the machine."""
    sample, costs = Sampler(Path()), []
    for _ in range(n):
        begun = time.thread_time()
        sample()
        costs.append(1000 * (time.thread_time() - begun))
    return statistics.median(costs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    cost = sample_cost()
    print(
        f"one sample: {cost:.2f} ms, every {INTERVAL_SECONDS:.0f} s: {cost / INTERVAL_SECONDS / 10:.4f} %",
        flush=True,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the server ends too
    milliseconds: dict[str, list[float]] = {name: [] for name in CONDITIONS}
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        server.start()
        try:
            for repeat in range(repeats):
                for name in CONDITIONS[repeat % 3 :] + CONDITIONS[: repeat % 3]:
                    seconds, steps = run(name, server)
                    milliseconds[name].append(1000 * seconds / steps)
                    print(f"repeat {repeat}, {name:8} {milliseconds[name][-1]:.3f} ms per step", flush=True)
        finally:
            server.kill()
    for name in CONDITIONS[1:]:
        ratios = [a / b for a, b in zip(milliseconds[name], milliseconds["answers"], strict=True)]
        spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
        print(f"{name:8} / answers: median {statistics.median(ratios):.3f} ({spread}, n={len(ratios)})")


if __name__ == "__main__":
    main()
