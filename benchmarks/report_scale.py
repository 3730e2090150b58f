"""What does it cost to look at a large study? Targets: `status` below 2 s and `report` below 30 s with
2,000 trials; with 10,000 a report below 120 s and 30 MB.

    python -m benchmarks.report_scale --trials 2000 --trials 10000

A finished study is written to SQLite in bulk (`benchmarks.recorded`); then each command runs as a person
runs it, in a new process with one thread. Printed are wall-clock and CPU seconds, the peak of memory, and
what was written.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.machine import describe
from benchmarks.recorded import fill
from reprtune.record.database import open_storage

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ("status", "list", "show", "report")
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
# A process that only starts the command, so that the peak of memory is the command's own.
MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(code)
"""


def measured(command: list[str]) -> tuple[float, float, float]:
    """(wall-clock seconds, CPU seconds, peak of memory in MB) of a command of ours.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, sys.executable, "cli.py", *command],
        cwd=ROOT, env={**os.environ, **THREADS}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    cpu, peak = done.stdout.split()
    return time.perf_counter() - begun, float(cpu), float(peak) / (1e6 if sys.platform == "darwin" else 1e3)


def table(n: int, runs: Path) -> list[str]:
    """A row for each command on a study of `n` trials."""
    begun = time.perf_counter()
    fill(open_storage(f"sqlite:///{runs / 'reprtune.db'}"), n)
    size = (runs / "reprtune.db").stat().st_size / 1e6
    rows = [f"{n:>7} trials: {size:.0f} MB in SQLite, made in {time.perf_counter() - begun:.0f} s"]
    for command in COMMANDS:
        name = [] if command == "list" else ["scale"]
        wall, cpu, peak = measured(["study", command, *name, "--runs", str(runs)])
        rows.append(f"{command:>8} {wall:8.1f} s wall {cpu:8.1f} s CPU {peak:8.0f} MB")
    files = [p for p in (runs / "reports").rglob("*") if p.is_file()]
    page = next(p for p in files if p.name == "report.html").stat().st_size / 1e6
    everything = sum(p.stat().st_size for p in files) / 1e6
    return [*rows, f"    page {page:.1f} MB, folder {everything:.1f} MB in {len(files)} files"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, action="append", help="default: 2000")
    given = parser.parse_args()
    print(describe(torch.device("cpu")))
    for n in given.trials or [2000]:
        with tempfile.TemporaryDirectory() as folder:
            print("\n".join(table(n, Path(folder))), flush=True)


if __name__ == "__main__":
    main()
