"""Seconds per epoch on a GPU: a plain loop, our steps one kernel after another, and as a graph, alone and packed.

    python -m benchmarks.gpu --steps 100 --rounds 7

On random images of CIFAR-10's shape (of 64 px for ResNet-50): 30 % of the filters dropped, crops and flips, batch
128. Rounds of all sides are interleaved, in turning order, and a ratio compares two sides within one round.
An epoch is 50,000 images; with several processes it is what all of them together need for so many.

It needs no more than reprtune.training and reprtune.spec: no Optuna, MLflow or plotly.
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
from benchmarks.sides import BATCH_SIZE, Side
from benchmarks.step_speed import BASELINE, measure, spread
from reprtune.training.device import choose_device

EPOCH = 50_000  # images
SIZES = {"convnet-3": 32, "resnet-20": 32, "torchvision:resnet50": 64}
PACKED = (2, 3, 4)  # processes at once
TARGET_SECONDS = {"convnet-3": 0.08, "resnet-20": 0.2}  # per epoch, on an H200
TARGET_RATIO = 20.0  # to the plain loop


def sides(device: torch.device, quick: bool) -> list[Side]:
    """What is compared; on a CPU, where there are no graphs, as much as shows that the benchmark runs."""

    def side(name: str, precision: str, *, graph: bool = True, processes: int = 1) -> Side:
        return Side(name, ours=True, precision=precision, processes=processes, threads=1, graph=graph)

    on_cuda = device.type == "cuda"
    workers = min(cores(), 8) if on_cuda else 0
    plain = [
        Side(f"plain {kind}", ours=False, precision=kind, processes=1, threads=cores(), num_workers=workers)
        for kind in ("fp32", "bf16")
    ]
    if not on_cuda or quick:
        return [plain[0], side("ours fp32", "fp32")]
    eager = [side(f"eager {kind}", kind, graph=False) for kind in ("fp32", "bf16")]
    alone = [side(f"graph {kind}", kind) for kind in ("fp32", "bf16")]
    packed = [side(f"graph bf16, {n} processes", "bf16", processes=n) for n in PACKED]
    return [*plain, *eager, *alone, *packed]


def summary(model: str, speeds: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Per side: seconds per epoch, and how many times faster than the plain loop within each round."""
    base = speeds[BASELINE]
    return [
        {
            "model": model,
            "side": name,
            "seconds_per_epoch": spread([EPOCH / v for v in values]),
            "ratio": spread([a / b for a, b in zip(values, base, strict=True)]),
            "target_seconds": TARGET_SECONDS.get(model) if name.startswith("graph") else None,
            "target_ratio": TARGET_RATIO if name.startswith("graph") and model in TARGET_SECONDS else None,
        }
        for name, values in speeds.items()
    ]


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    lines = [
        "| network | side | s/epoch: median (min-max) | target (H200) | x plain fp32 (min-max) | target | n |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        seconds, ratio = row["seconds_per_epoch"], row["ratio"]
        wanted = f"<= {row['target_seconds']:g}" if row["target_seconds"] else ""
        faster = f">= {row['target_ratio']:g}" if row["target_ratio"] else ""
        lines.append(
            f"| {row['model']} | {row['side']} "
            f"| {seconds['median']:.3f} ({seconds['min']:.3f}-{seconds['max']:.3f}) | {wanted} "
            f"| {ratio['median']:.2f} ({ratio['min']:.2f}-{ratio['max']:.2f}) | {faster} | {ratio['n']} |"
        )
    return "\n".join(lines)


def versions(device: torch.device) -> dict[str, str]:
    """Of what runs on the GPU, beside hardware, versions and commit."""
    facts = describe(device)
    if device.type == "cuda":
        facts["cuda"] = str(torch.version.cuda)
        facts["cudnn"] = str(torch.backends.cudnn.version())  # type: ignore[no-untyped-call]
    return facts


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", default=",".join(SIZES), help="networks, with commas between")
    parser.add_argument("--steps", type=int, default=100, help="steps of a round in each process")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    parser.add_argument("--quick", action="store_true", help="two sides and two short rounds: does it run?")
    parser.add_argument("--json", type=Path, help="write every number there")
    options = parser.parse_args()
    device = choose_device(options.device)
    n_steps, n_rounds = (2, 2) if options.quick else (options.steps, options.rounds)
    compared, machine = sides(device, options.quick), versions(device)
    rows = []
    for model in options.models.split(","):
        speeds = measure(model, compared, device, n_steps, n_rounds, SIZES.get(model, 32))
        rows += summary(model, speeds)
    print(table(rows))
    print(
        f"\nbatch {BATCH_SIZE}, {n_steps} steps a round; " + ", ".join(f"{k} {v}" for k, v in machine.items())
    )
    if options.json:
        result = {
            "when": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "machine": machine, "device": str(device),
            "steps": n_steps, "batch_size": BATCH_SIZE, "sides": [asdict(side) for side in compared],
            "rows": rows,
        }  # fmt: skip
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    from reprtune.errors import ReprtuneError

    try:
        main()
    except ReprtuneError as error:
        sys.exit(f"Error: {error}")
