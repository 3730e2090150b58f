"""How much faster than a plain loop is a training step here? Both sides in one run, rounds interleaved.

    python -m benchmarks.step_speed --steps 30 --rounds 7

Every side trains the same network on the same random images of CIFAR-10's shape, cropped and flipped,
batch 128, SGD with momentum, 30 % of the filters dropped. Each round runs the sides one after the other,
in turning order; a ratio compares two sides within one round, so that a slow moment of the machine
slows both. Throughput counts the whole machine: our way is one process of one thread per core, each with
a trial of its own, the plain way one process with all threads. `plain, packed` says how much of the
difference is that packing alone.

The plain loop loads its images in its own process on a CPU, whose cores are all busy training anyway, and
with one loading worker per core, up to 8, on a GPU; `--num-workers` tries another number.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import cores, describe
from benchmarks.rounds import Found, measure, spread
from benchmarks.sides import BATCH_SIZE, N_IMAGES, Side
from reprtune.training.platform.device import choose_device

BASELINE = "plain fp32"
BUSY = 0.3  # processes running beside us, mean over the last minute
TARGETS = {  # on a CPU, against the plain loop in float32
    ("convnet-3", "ours bf16"): 3.5,
    ("convnet-3", "ours fp32"): 1.8,
    ("resnet-20", "ours bf16"): 2.4,
    ("resnet-20", "ours fp32"): 1.5,
}


def sides(device: torch.device, num_workers: int | None) -> list[Side]:
    """What is compared on this device."""
    n, on_cuda = cores(), device.type == "cuda"
    loaders = num_workers if num_workers is not None else min(n, 8) if on_cuda else 0
    if on_cuda:
        return [
            Side(BASELINE, ours=False, precision="fp32", processes=1, threads=n, num_workers=loaders),
            Side("plain bf16", ours=False, precision="bf16", processes=1, threads=n, num_workers=loaders),
            Side("ours fp32", ours=True, precision="fp32", processes=1, threads=1),
            Side("ours bf16", ours=True, precision="bf16", processes=1, threads=1),
        ]
    return [
        Side(BASELINE, ours=False, precision="fp32", processes=1, threads=n, num_workers=loaders),
        Side("plain bf16", ours=False, precision="bf16", processes=1, threads=n, num_workers=loaders),
        Side("plain fp32, packed", ours=False, precision="fp32", processes=n, threads=1),
        Side("ours fp32", ours=True, precision="fp32", processes=n, threads=1),
        Side("ours bf16", ours=True, precision="bf16", processes=n, threads=1),
    ]


def summary(model: str, found: Found) -> list[dict[str, Any]]:
    """Per side: images per second, and the ratio to the baseline within each round."""
    return [
        {
            "model": model,
            "side": name,
            "images_per_second": spread(list(speeds.values())),
            "ratio": spread(found.ratios(name, BASELINE)),
            "target": TARGETS.get((model, name)),
        }
        for name, speeds in found.speeds.items()
    ]


def table(rows: list[dict[str, Any]], on_cpu: bool) -> str:
    """The rows in Markdown."""
    lines = [
        "| network | side | images/s | s per 50,000 | ratio to plain fp32: median (min-max) | n | target |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        speed, ratio = row["images_per_second"]["median"], row["ratio"]
        target = f">= {row['target']:g}" if on_cpu and row["target"] else ""
        lines.append(
            f"| {row['model']} | {row['side']} | {speed:.0f} | {50_000 / speed:.2f} "
            f"| {ratio['median']:.2f} ({ratio['min']:.2f}-{ratio['max']:.2f}) | {ratio['n']} | {target} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", default="convnet-3,resnet-20", help="networks, with commas between")
    parser.add_argument("--steps", type=int, default=30, help="steps of a round in each process")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--json", type=Path, help="write every number there")
    parser.add_argument("--num-workers", type=int, help="loading workers of the plain loop")
    options = parser.parse_args()
    device = choose_device(options.device)
    compared, machine = sides(device, options.num_workers), describe(device)
    if float(machine["load before"]) > BUSY:
        print("The machine is busy: the ratios will say more about that than about us.", file=sys.stderr)
    rows, raw = [], {}
    for model in options.models.split(","):
        found = measure(model, compared, device, options.steps, options.rounds)
        if found.missing:
            sys.exit("; ".join(f"{model}, {name}: {why}" for name, why in found.missing.items()))
        raw[model] = {name: list(speeds.values()) for name, speeds in found.speeds.items()}
        rows += summary(model, found)
    print(table(rows, device.type == "cpu"))
    setting = f"batch {BATCH_SIZE}, {N_IMAGES} images, {options.steps} steps a round"
    print(f"\n{setting}; " + ", ".join(f"{k} {v}" for k, v in machine.items()))
    if options.json:
        result = {
            "when": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "machine": machine, "device": str(device),
            "steps": options.steps, "batch_size": BATCH_SIZE, "n_images": N_IMAGES,
            "sides": [asdict(side) for side in compared], "rows": rows, "images_per_second": raw,
        }  # fmt: skip
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
