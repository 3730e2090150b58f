"""What only a GPU can show, in under six minutes: correctness first, then seconds per epoch.

    PYTHONPATH=. python -m benchmarks.probe --out runs/gpu-probe

For a machine with a GPU on which little is installed: a checkout, torch, torchvision and numpy are enough. There is
no need of make, pytest, Optuna, MLflow, a data set or a network, and safetensors and filelock have stand-ins where
they are missing. On a machine that is lent for one command (here of 400 s at most), with DEST for what comes back:

    nvidia-smi; PYTHONUNBUFFERED=1 PYTHONPATH=. timeout 390 python -m benchmarks.probe --budget 360 --out DEST

Every section is guarded: one that fails says why, and the next one runs. What may break a process runs in one of its
own. No section begins that would not fit into the budget. Each result is a line; all of them are in DEST/probe.json,
which is written anew after every section. `--only steps,plain` runs these sections alone. Exit code 1: something
failed.

Without a GPU the same sections run with few steps, and `tests/training/recorded.py` plays the graph: that shows that
the probe runs, no more.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported

from benchmarks.machine import describe
from benchmarks.probe import stand_ins
from reprtune.errors import ReprtuneError
from reprtune.training.platform.device import choose_device
from reprtune.training.platform.nvidia import why_unused


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.probe", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--out", type=Path, default=Path("runs/gpu-probe"), help="folder of the results")
    parser.add_argument("--budget", type=float, default=330.0, help="seconds in all")
    parser.add_argument("--only", default="", help="sections, with commas between")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda:N")
    parser.add_argument("--child", help=argparse.SUPPRESS)  # what a section runs in a process of its own
    return parser.parse_args()


def main() -> int:
    options = parse()
    missing, device = stand_ins.install(), choose_device(options.device)
    from benchmarks.probe.processes import CHILDREN
    from benchmarks.probe.results import Results
    from benchmarks.probe.sections import SECTIONS, run_sections
    from benchmarks.probe.trials import Trials

    names = options.only.split(",") if options.only else list(SECTIONS)
    if unknown := sorted(set(names) - set(SECTIONS)):
        sys.exit(f"Error: --only must be of {', '.join(SECTIONS)}, but got {', '.join(unknown)}.")
    options.out.mkdir(parents=True, exist_ok=True)
    trials = Trials(options.out, device)
    if options.child:
        print(json.dumps(CHILDREN[options.child](trials)))
        return 0
    results = Results(options.out / "probe.json", options.budget)
    results.machine = describe(device) | {"stand-ins for": missing}
    results.say(str(results.machine))
    if device.type == "cpu":
        why = why_unused() or "it is not asked for, or there is none"
        results.say(f"NO GPU is used ({why}): this shows that the probe runs, and no more.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what `timeout` sends
    with contextlib.suppress(KeyboardInterrupt):
        run_sections(results, trials, names)
    trials.clean()
    return results.end()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ReprtuneError as error:
        sys.exit(f"Error: {error}")
