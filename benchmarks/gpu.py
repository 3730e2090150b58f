"""Seconds per epoch on a GPU: a plain loop, our steps one kernel after another, and as a graph, alone and packed.

    python -m benchmarks.gpu --minutes 8

On random images of CIFAR-10's shape (of 64 px for ResNet-50): 30 % of the filters dropped, crops and flips, batch
128. Rounds of all sides are interleaved, in turning order, and a ratio compares two sides within one round.
An epoch is 50,000 images; with several processes it is what all of them together need for so many.

`plain tf32` is what torch does when nobody says otherwise, TF32 for convolutions: ratios are to it. The most telling
sides come first, and what no time is left for is said to be missing. A side that fails is a line of the table.
Whatever was measured is printed and written also after Ctrl-C or SIGTERM.

It needs no more than reprtune.training and reprtune.spec: no Optuna, MLflow or plotly.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import cores, describe
from benchmarks.rounds import Found, measure, spread
from benchmarks.sides import BATCH_SIZE, Side
from reprtune.training.platform.device import choose_device

EPOCH = 50_000  # images
SIZES = {"convnet-3": 32, "resnet-20": 32, "torchvision:resnet50": 64}
STEPS = {"torchvision:resnet50": 100}  # of a round, where an epoch would take too long
EPOCH_STEPS = EPOCH // BATCH_SIZE
PLAIN_SHARE = 0.25  # the plain loop is so slow that a quarter of the steps says as much
PACKED = (2, 3, 4)  # processes at once
PATIENCE_SECONDS = 90.0  # three times what the slowest side may need: one that hangs must not cost the others
FEW = 3  # rounds, below which the table says so
TOLD = "graph bf16"  # the side that is judged; strict fp32 cannot reach its numbers
ESTIMATED_SECONDS = {"convnet-3": 0.074, "resnet-20": 0.25}  # per epoch on an H200; nobody has measured it
GOAL_SECONDS = {"convnet-3": 0.06, "resnet-20": 0.15}  # with fused kernels that are not written yet
GOAL_RATIO = 20.0  # to the plain loop


def sides(device: torch.device, quick: bool) -> list[Side]:
    """What is compared, the most telling first; on a CPU, where there are no graphs, as much as shows that the
    benchmark runs. The first is what the others are compared with."""
    if device.type != "cuda" or quick:
        return [plain("fp32", 0), ours("ours", "fp32")]
    workers = min(cores(), 8)
    return [
        plain("tf32", workers),
        ours("graph", "bf16"),
        ours("graph", "tf32"),
        ours("eager", "bf16"),
        plain("bf16", workers),
        ours("graph", "fp32"),
        *(ours("graph", "bf16", processes=n) for n in PACKED),
        ours("eager", "tf32"),
        plain("fp32", workers),
        ours("eager", "fp32"),
    ]


def plain(precision: str, num_workers: int) -> Side:
    return Side(
        f"plain {precision}", ours=False, precision=precision, processes=1, threads=cores(),
        num_workers=num_workers, share=PLAIN_SHARE,
    )  # fmt: skip


def ours(how: str, precision: str, processes: int = 1) -> Side:
    name = f"{how} {precision}" + (f", {processes} processes" if processes > 1 else "")
    graph = how != "eager"
    return Side(name, ours=True, precision=precision, processes=processes, threads=1, graph=graph)


def summary(model: str, compared: list[Side], found: Found) -> list[dict[str, Any]]:
    """Per side: seconds per epoch, and how many times faster than the first side within each round."""
    rows = []
    for side in compared:
        speeds, ratios = found.speeds.get(side.name, {}), found.ratios(side.name, compared[0].name)
        told = side.name == TOLD
        rows.append(
            {
                "model": model,
                "side": side.name,
                "seconds_per_epoch": spread([EPOCH / v for v in speeds.values()]) if speeds else None,
                "ratio": spread(ratios) if ratios else None,
                "missing": found.missing.get(side.name, "" if speeds else "not begun"),
                "estimated_seconds": ESTIMATED_SECONDS.get(model) if told else None,
                "goal_seconds": GOAL_SECONDS.get(model) if told else None,
                "goal_ratio": GOAL_RATIO if told and model in GOAL_SECONDS else None,
            }
        )
    return rows


def table(rows: list[dict[str, Any]], base: str) -> str:
    """The rows in Markdown, and below them what is missing, and why."""
    lines = [
        f"| network | side | s/epoch: median (min-max) | estimate (H200) | goal | x {base} (min-max) | goal | n |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        seconds, ratio = row["seconds_per_epoch"], row["ratio"]
        cells = [
            row["model"],
            row["side"],
            _three(seconds, 3) if seconds else row["missing"],
            f"{row['estimated_seconds']:g}" if row["estimated_seconds"] else "",
            f"<= {row['goal_seconds']:g}" if row["goal_seconds"] else "",
            _three(ratio, 2) if ratio else "",
            f">= {row['goal_ratio']:g}" if row["goal_ratio"] else "",
            str(seconds["n"] if seconds else 0),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, *_remarks(rows)])


def _three(values: dict[str, float], digits: int) -> str:
    return f"{values['median']:.{digits}f} ({values['min']:.{digits}f}-{values['max']:.{digits}f})"


def _remarks(rows: list[dict[str, Any]]) -> list[str]:
    few = [
        f"{row['model']}, {row['side']}"
        for row in rows
        if 0 < (row["seconds_per_epoch"] or {"n": 0})["n"] < FEW
    ]
    cut = [
        f"{row['model']}, {row['side']}: {row['missing']}"
        for row in rows
        if row["missing"] and row["seconds_per_epoch"]
    ]
    remarks = [f"Fewer than {FEW} rounds, so hardly more than a guess: {'; '.join(few)}."] if few else []
    remarks += [f"Ended early: {'; '.join(cut)}."] if cut else []
    return ["", *remarks] if remarks else []


class Report:
    """What is printed at the end and written after every round."""

    def __init__(self, options: argparse.Namespace, device: torch.device, compared: list[Side]) -> None:
        self.path: Path | None = options.json
        self.compared, self.models = compared, options.models.split(",")
        self.found = {model: Found() for model in self.models}
        self.about: dict[str, Any] = {
            "when": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "machine": describe(device), "device": str(device),
            "batch_size": BATCH_SIZE, "sides": [asdict(side) for side in compared],
        }  # fmt: skip

    def rows(self) -> list[dict[str, Any]]:
        return [row for model, found in self.found.items() for row in summary(model, self.compared, found)]

    def write(self) -> None:
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps({**self.about, "rows": self.rows()}, indent=2) + "\n")

    def show(self) -> None:
        print(table(self.rows(), self.compared[0].name))
        machine = ", ".join(f"{key} {value}" for key, value in self.about["machine"].items())
        print(f"\nbatch {BATCH_SIZE}; {machine}", flush=True)


def compare(report: Report, device: torch.device, options: argparse.Namespace) -> None:
    """Every network has an equal share of the time that is left."""
    end = time.monotonic() + 60 * options.minutes
    for number, model in enumerate(report.models):
        now = time.monotonic()
        n_steps, n_rounds = (
            (2, 2) if options.quick else (options.steps or STEPS.get(model, EPOCH_STEPS), options.rounds)
        )
        measure(
            model, report.compared, device, n_steps, n_rounds,
            size=SIZES.get(model, 32), found=report.found[model], after_round=report.write, patience=PATIENCE_SECONDS,
            until=now + (end - now) / (len(report.models) - number),
        )  # fmt: skip


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", default=",".join(SIZES), help="networks, with commas between")
    parser.add_argument("--minutes", type=float, default=8.0, help="no round begins that would last longer")
    parser.add_argument(
        "--steps", type=int, help="of a round in each process; default: an epoch, ResNet-50 100"
    )
    parser.add_argument("--rounds", type=int, default=7, help="at most")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    parser.add_argument("--quick", action="store_true", help="two sides and two short rounds: does it run?")
    parser.add_argument("--json", type=Path, help="write every number there")
    return parser.parse_args()


def main() -> int:
    """Exit code: 0, 1 where a side failed, 130 after an interruption."""
    options = parse()
    device = choose_device(options.device)
    report = Report(options, device, sides(device, options.quick))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    code = 0
    try:
        compare(report, device, options)
    except KeyboardInterrupt:
        print("Interrupted: what was measured so far.", file=sys.stderr)
        code = 130
    report.write()
    report.show()
    failed = any(
        why.startswith("failed") for found in report.found.values() for why in found.missing.values()
    )
    return code or int(failed)


if __name__ == "__main__":
    from reprtune.errors import ReprtuneError

    try:
        sys.exit(main())
    except ReprtuneError as error:
        sys.exit(f"Error: {error}")
