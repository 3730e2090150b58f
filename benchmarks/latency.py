"""How long do exported networks take to answer, side by side?

    python -m benchmarks.latency networks/whole networks/trimmed --batch 1,64

Each folder is one that `trial export` or `train --export` has written, of one network. All take turns on the same
random images, round after round, each round beginning with another; a ratio compares two networks within one round,
so that a slow moment of the machine slows both. Numbers are medians with quartiles over the rounds. They hold for
this machine, this number of threads and this batch, and for programs of torch.export run by torch: neither for
another runtime, nor for the trained network in Python.
"""

from __future__ import annotations

import argparse
import json
import runpy
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.machine import describe
from reprtune.training.export.latency import ROUNDS, SECONDS, Spread, timed
from reprtune.training.platform.device import choose_device, set_numerics, threads
from reprtune.training.platform.seeds import generator

BUSY = 0.3  # processes running beside us, mean over the last minute


@dataclass(frozen=True, eq=False)
class Exported:
    """A folder: its path as it was given, what it says of itself, and its network."""

    folder: str
    about: dict[str, Any]
    network: Callable[[Tensor], Tensor]


def load(folder: str, device: torch.device) -> Exported:
    """The network of a folder on the device; SystemExit says what is wrong with the folder."""
    path = Path(folder)
    try:
        about = json.loads((path / "description.json").read_text())
        if about["program"] is None:
            network = runpy.run_path(str(path / "load.py"))["load"]().to(device)
        else:
            network = _program(path, device)
    except Exception as error:  # noqa: BLE001 - whatever a file that is no network makes torch raise
        if (path / "member-0").is_dir():
            sys.exit(f"{folder} holds several networks: name them one by one, such as {path / 'member-0'}.")
        sys.exit(
            f"{folder} must be a folder that the export command has written: {type(error).__name__}: {error}"
        )
    return Exported(folder, about, network)


def _program(path: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    program = torch.export.load(path / "network.pt2")
    if device.type != "cpu":
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, str(device))
    return program.module()


def measure(
    found: Sequence[Exported], batch: int, n: int, seconds: float, device: torch.device
) -> list[dict[str, Any]]:
    """A row for each network, on `batch` random images."""
    shape = found[0].about["input_shape"]
    x = torch.randn(batch, *shape, generator=generator(0, "latency")).to(device)
    timing = timed([one.network for one in found], x, n, seconds)
    return [
        {
            "folder": one.folder,
            **{key: one.about.get(key) for key in ("params", "val_error")},
            "forms": [form["kind"] for form in one.about.get("forms", [])],
            "batch": batch,
            "seconds": asdict(taken),
            "ratio": asdict(ratio),
        }
        for one, taken, ratio in zip(found, timing.seconds, timing.ratios, strict=True)
    ]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    lines = [
        "| network | forms | parameters | error | images | ms: median (quartiles) | ratio to the first | n |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        taken, ratio = Spread(**row["seconds"]), Spread(**row["ratio"])
        size = "" if row["params"] is None else f"{row['params']:.0f}"
        error = "" if row["val_error"] is None else f"{100 * row['val_error']:.2f} %"
        lines.append(
            f"| {row['folder']} | {', '.join(row['forms'])} | {size} | {error} | {row['batch']} "
            f"| {1e3 * taken.median:.3g} ({1e3 * taken.low:.3g}-{1e3 * taken.high:.3g}) "
            f"| {ratio.median:.3f} ({ratio.low:.3f}-{ratio.high:.3f}) | {taken.n} |"
        )
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help="of an exported network")
    parser.add_argument("--batch", default="1,64", help="numbers of images, with commas between")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="at most; 2 or more")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each batch, about")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    parser.add_argument("--device", default="cpu", help="auto, cpu or cuda")
    parser.add_argument("--json", type=Path, help="write every number there")
    options = parser.parse_args()
    options.batches = [int(n) if n.isdigit() else 0 for n in options.batch.split(",")]
    if options.rounds < 2 or options.threads < 1 or min(options.batches) < 1:
        parser.error("--rounds must be at least 2, --threads and every number of --batch at least 1.")
    return options


def main() -> None:
    options = arguments()
    device = choose_device(options.device)
    set_numerics(device)
    machine = describe(device)
    if float(machine["load before"]) > BUSY:
        print("The machine is busy: times will say more about that than about the networks.", file=sys.stderr)
    found = [load(folder, device) for folder in options.folders]
    if len({tuple(one.about["input_shape"]) for one in found}) > 1:
        shapes = ", ".join(f"{one.folder} {one.about['input_shape']}" for one in found)
        sys.exit(f"Networks side by side must read images of one shape, but got {shapes}.")
    rows = []
    with threads(options.threads):
        for batch in options.batches:
            rows += measure(found, batch, options.rounds, options.seconds, device)
    print(table(rows))
    print(f"\nthreads {options.threads}, {device}; " + ", ".join(f"{k} {v}" for k, v in machine.items()))
    if options.json:
        when = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        result = {
            "when": when,
            "machine": machine,
            "threads": options.threads,
            "device": str(device),
            "rows": rows,
        }
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
