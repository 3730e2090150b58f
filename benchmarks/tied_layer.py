"""What does a layer save whose filters are made of others? Each beside the whole layer, in turns in one run.

    python -m benchmarks.tied_layer --layers 64x64x32x3 256x256x8x3 --share 0.5 --batches 1 64

A layer is CHANNELSxFILTERSxSIDExKERNEL: random weights, `--share` of its filters tied to the nearest transform of
others. Parameters and multiply-adds are counted, `--rounds` calls in inference are timed; a ratio is of a tied layer
to the whole one in the same round, so that a slow moment of the machine slows both.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.machine import describe
from reprtune.training.export.latency import timed
from reprtune.training.platform.device import choose_device
from reprtune.training.platform.seeds import generator
from reprtune.training.surgery.multiply_adds import MultiplyAdds
from reprtune.training.surgery.spatial import matrices, transforms
from reprtune.training.surgery.tied_conv import TiedConv2d
from reprtune.training.surgery.ties import nearest

SIDES = (
    ("weights", "symmetries+sign"),
    ("weights", "affine"),
    ("features", "symmetries+sign"),
    ("features", "affine"),
)


def whole(channels: int, filters: int, kernel: int) -> nn.Conv2d:
    """The layer, with random weights."""
    layer = nn.Conv2d(channels, filters, kernel, padding=kernel // 2, bias=False)
    draw = generator(0, "tied layer")
    layer.weight.data = torch.randn(layer.weight.shape, generator=draw) / (channels * kernel**2) ** 0.5
    return layer


def tied(layer: nn.Conv2d, share: float, placement: str, name: str) -> TiedConv2d:
    """The last filters are tied to the others."""
    size = (layer.kernel_size[0], layer.kernel_size[1])
    n = layer.out_channels
    dropped = torch.arange(n) >= n - round(share * n)
    ties = nearest(layer.weight, dropped, matrices(name, size))
    return TiedConv2d(layer, ties, transforms(name, size), placement)


@torch.no_grad()
def macs(layer: nn.Module, x: Tensor) -> int:
    """Multiply-adds of one call."""
    with MultiplyAdds() as counter:
        layer(x)
    return counter.total


def rows(text: str, share: float, batch: int, device: torch.device, rounds: int) -> list[dict[str, Any]]:
    """The tied layers of one layer, each against the whole one."""
    channels, filters, side, kernel = map(int, text.split("x"))
    plain = whole(channels, filters, kernel)
    layers = [tied(plain, share, *each) for each in SIDES]
    x = torch.randn(batch, channels, side, side, generator=generator(0, "maps")).to(device)
    placed = [layer.to(device).eval() for layer in (plain, *layers)]
    times = timed(placed, x, rounds, math.inf).ratios[1:]
    return [
        {
            "layer": text,
            "batch": batch,
            "placement": placement,
            "transforms": name,
            "params": sum(p.numel() for p in layer.parameters()) / plain.weight.numel(),
            "macs": macs(layer, x) / macs(plain, x),
            "time": asdict(ratio),
        }
        for (placement, name), layer, ratio in zip(SIDES, layers, times, strict=True)
    ]


def table(found: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    lines = [
        "| layer | batch | placement | transforms | parameters | multiply-adds | time: median (quartiles) | n |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in found:
        took = row["time"]
        lines.append(
            f"| {row['layer']} | {row['batch']} | {row['placement']} | {row['transforms']} | {row['params']:.2f} "
            f"| {row['macs']:.2f} | {took['median']:.2f} ({took['low']:.2f}-{took['high']:.2f}) | {took['n']} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--layers", nargs="+", default=["64x64x32x3", "256x256x8x3"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 64])
    parser.add_argument("--share", type=float, default=0.5, help="of the filters that is tied")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1, help="of the CPU, as trials have them by default")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--json", type=Path, help="write every number there")
    options = parser.parse_args()
    if not 0 < options.share < 1:
        sys.exit(f"--share must be above 0 and below 1, but got {options.share}.")
    device = choose_device(options.device)
    torch.set_num_threads(options.threads)
    found = [
        row
        for text in options.layers
        for batch in options.batches
        for row in rows(text, options.share, batch, device, options.rounds)
    ]
    machine = describe(device)
    print(table(found))
    print(
        f"\nratios to the whole layer, {options.share:g} of its filters tied, {torch.get_num_threads()} threads;"
    )
    print(", ".join(f"{k} {v}" for k, v in machine.items()))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"machine": machine, "rows": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
