"""How fast do image files arrive, and how long does a training wait for them?

    nice -n 5 python -m benchmarks.loader --images 10000 --rounds 3

Writes a folder of JPEG files, smooth shapes under noise, and compares the beginning of an epoch, shuffled,
cropped and flipped, batch 64: our streamed part, torchvision's ImageFolder under a plain DataLoader with the same
transforms, both with 1 and 2 workers, and our resident part. Then it trains a network on the streamed part and says
what share of the time the training loop waited for images. Rounds are interleaved, in turning order.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.machine import describe
from reprtune.spec.task import ModelSpec, TaskSpec
from reprtune.training.data.batches import Batches
from reprtune.training.data.pictures import Pictures
from reprtune.training.data.prepare import prepare
from reprtune.training.data.task import Task, load_task
from reprtune.training.models import build_model
from reprtune.training.platform.device import choose_device
from reprtune.training.platform.seeds import generator
from reprtune.training.platform.torchvision_import import datasets, transforms

BATCH_SIZE = 64
N_CLASSES = 10
Epoch = Iterator[tuple[Tensor, Tensor]]


def write_images(root: Path, n_images: int, side: int) -> None:
    """`n_images` for training and 20 for the test: a low-resolution picture enlarged, with noise, as JPEG."""
    rng = np.random.default_rng(0)
    for i in range(n_images + 2 * N_CLASSES):
        part = "train" if i < n_images else "test"
        folder = root / part / f"class{i % N_CLASSES}"
        folder.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
        smooth = np.asarray(coarse.resize((side + i % 33, side), Image.Resampling.BICUBIC), np.int16)
        noisy = smooth + rng.integers(-12, 13, smooth.shape, np.int16)
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(folder / f"{i:06}.jpg", quality=90)


def ours(task: Task, n_workers: int) -> Callable[[int], Epoch]:
    pictures = Pictures(task.train, augment="crop+flip", mean=task.mean, std=task.std)
    batches = Batches(pictures, BATCH_SIZE)

    def epoch(number: int) -> Epoch:
        os.environ["REPRTUNE_LOADERS"] = str(n_workers)
        batches.start_epoch(generator(number, "epoch"))
        for step in range(batches.steps_per_epoch):
            yield batches.batch(step)

    return epoch


def plain(root: Path, side: int, n_workers: int, device: torch.device) -> Callable[[int], Epoch]:
    steps = transforms.Compose(
        [
            transforms.Resize(side, antialias=True),
            transforms.CenterCrop(side),
            transforms.RandomCrop(side, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToImage(),
            transforms.ToDtype(torch.float32, scale=True),
            transforms.Normalize([0.5] * 3, [0.25] * 3),
        ]
    )
    loader = DataLoader(
        datasets.ImageFolder(root / "train", transform=steps),
        batch_size=BATCH_SIZE, shuffle=True, drop_last=True, num_workers=n_workers,
        pin_memory=device.type == "cuda",
    )  # fmt: skip

    def epoch(_number: int) -> Epoch:
        for x, y in loader:
            yield x.to(device), y.to(device)

    return epoch


def speed(epoch: Epoch, device: torch.device) -> float:
    """Images per second, the start of the workers included."""
    begun, n = time.perf_counter(), 0
    for x, _ in epoch:
        n += len(x)
    _wait(device)
    return n / (time.perf_counter() - begun)


def waiting_share(
    epoch: Epoch, model: str, side: int, device: torch.device, n_steps: int
) -> tuple[float, float]:
    """(share of the time in which the loop waited for images, images per second) of `n_steps` training steps."""
    network = build_model(ModelSpec(name=model), 3, (side, side), N_CLASSES, 0).to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    waited, begun = 0.0, time.perf_counter()
    for _ in range(n_steps):
        asked = time.perf_counter()
        x, y = next(epoch)
        waited += time.perf_counter() - asked
        torch.nn.functional.cross_entropy(network(x), y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        _wait(device)  # else the wait for the device would be taken for one for images
    whole = time.perf_counter() - begun
    return waited / whole, n_steps * BATCH_SIZE / whole


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def spread(values: list[float], digits: int = 0) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def interleaved(
    sides: dict[str, Callable[[int], Epoch]], n_rounds: int, n_batches: int, device: torch.device
) -> dict[str, list[float]]:
    """Side -> images per second of each round."""
    speeds: dict[str, list[float]] = {name: [] for name in sides}
    order = deque(sides)
    for i in range(n_rounds):
        for name in order:
            speeds[name].append(speed(itertools.islice(sides[name](i), n_batches), device))
        order.rotate()
        print(f"round {i + 1} of {n_rounds}", file=sys.stderr)
    return speeds


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--side", type=int, default=128, help="of the images that the network sees, in px")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, default=60, help="of a round")
    parser.add_argument("--model", default="resnet-20", help="what is trained")
    parser.add_argument("--steps", type=int, default=20, help="of the training that is watched")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    device, side = choose_device(options.device), options.side
    torch.set_num_threads(1)
    machine = describe(device)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "images"
        begun = time.perf_counter()
        write_images(root, options.images, side + 16)
        written = time.perf_counter()
        spec = TaskSpec(dataset=f"imagefolder:{root}", image_size=side, score_frac=0.01, val_frac=0.01)
        prepare(spec.dataset, Path(folder) / "data", image_size=side)
        prepared = time.perf_counter()
        resident, streamed = (_load(spec, Path(folder) / "data", device, limit) for limit in (2**62, 0))
        sides = {
            "plain, 1 worker": plain(root, side, 1, device),
            "streamed, 1 worker": ours(streamed, 1),
            "plain, 2 workers": plain(root, side, 2, device),
            "streamed, 2 workers": ours(streamed, 2),
            "resident": ours(resident, 0),
        }
        speeds = interleaved(sides, options.rounds, options.batches, device)
        print("| side | images/s: median (min-max) | ratio to plain, 1 worker | n |\n|---|---|---|---|")
        base = speeds["plain, 1 worker"]
        for name, values in speeds.items():
            ratios = [a / b for a, b in zip(values, base, strict=True)]
            print(f"| {name} | {spread(values)} | {spread(ratios, 2)} | {len(values)} |")
        print(f"\n| training {options.model} | waiting, % of the time | images/s | n |\n|---|---|---|---|")
        for name, epoch in sides.items():
            pairs = [
                waiting_share(epoch(100 + i), options.model, side, device, options.steps)
                for i in range(options.rounds)
            ]
            shares, rates = zip(*pairs, strict=True)
            print(
                f"| {name} | {spread([100 * s for s in shares], 1)} | {spread(list(rates))} | {len(rates)} |"
            )
    print(
        f"\n{options.images} JPEG files of {side + 16} px, cut to {side}, batch {BATCH_SIZE}, {options.steps} steps; "
        f"written in {written - begun:.0f} s, prepared in {prepared - written:.0f} s; "
        + ", ".join(f"{k} {v}" for k, v in machine.items())
    )


def _load(spec: TaskSpec, data_dir: Path, device: torch.device, limit: int) -> Task:
    os.environ["REPRTUNE_RESIDENT_BYTES"] = str(limit)
    return load_task(spec, data_dir, device)


if __name__ == "__main__":
    main()
