"""Does dropping and restoring filters help at all? Arms against standard training, paired by seed.

    python -m benchmarks.arms --dataset npz:cifar10.npz --train-images 10000 --augment none crop+flip

Every arm of a seed trains on the same images in the same order from the same beginning, for the same total;
what differs is what ranks the filters. Errors are those at the end, validation and test; the interval of the
differences to the standard arm is the paired t interval at 95 %. States are kept in --states, so that
the same command goes on after an interruption, and arms share their beginnings.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

from scipy import stats

from benchmarks.machine import describe
from reprtune.spec.edit import changed, parse_assignment
from reprtune.spec.trial import TrialSpec
from reprtune.states.store import StateStore
from reprtune.training.chain.chain import Chain, LoadedData
from reprtune.training.platform.device import choose_device

BASE = {
    "model.name": "convnet-3",
    "model.pool": True,
    "training.total": "60ep",
    "training.lr": 0.05,
    "training.lr_schedule": "cosine",
    "training.precision": "bf16",
    "training.segment": "2ep",
    "method.cycles": 2,
    "method.s1": "12ep",
    "method.s2": "6ep",
    "method.prune_ratio": 0.3,
}
STANDARD = "standard"


@dataclass(frozen=True)
class End:
    """How a trial ended: errors as fractions."""

    val_error: float
    test_error: float
    train_loss: float
    gflops: float


def trial(options: argparse.Namespace, arm: str, augment: str, seed: int) -> TrialSpec:
    own = {"method.cycles": 0} if arm == STANDARD else {"method.criterion": arm}
    data = {"task.dataset": options.dataset, "task.augment": augment, "seed": seed}
    if options.train_images is not None:
        data["task.train_images"] = options.train_images
    given = dict(parse_assignment(text) for text in options.assignments)
    return changed(TrialSpec(), {**BASE, **data, **given, **own})


def finish(spec: TrialSpec, loaded_data: LoadedData, store: StateStore) -> End:
    """Train to the end, or find it done."""
    run = Chain(spec, loaded_data, store, keep="beginnings")
    for _ in run:
        pass
    last = run.history.points[-1]
    return End(last.val_error, run.test().error, last.train_loss, last.gflops)


def difference(values: list[float], base: list[float]) -> str:
    """Mean of the paired differences in percentage points, with the t interval of 95 %."""
    pairs = [100 * (v - b) for v, b in zip(values, base, strict=True)]
    mean = statistics.mean(pairs)
    if len(pairs) < 3 or statistics.stdev(pairs) < 1e-9:  # all alike: no spread to judge by
        return f"{mean:+.2f}"
    half = stats.t.ppf(0.975, len(pairs) - 1) * statistics.stdev(pairs) / len(pairs) ** 0.5
    return f"{mean:+.2f} ({mean - half:+.2f} to {mean + half:+.2f})"


def table(ends: dict[str, list[End]]) -> str:
    """Markdown; errors in percent."""
    heads = ("arm", "val error %", "to standard", "test error %", "to standard", "train loss", "cost")
    rows = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    base = ends[STANDARD]
    for arm, found in ends.items():
        cells = [arm]
        for field in ("val_error", "test_error"):
            values, others = ([getattr(e, field) for e in group] for group in (found, base))
            spread = f" (sd {100 * statistics.stdev(values):.2f})" if len(values) > 1 else ""
            cells += [f"{100 * statistics.mean(values):.2f}{spread}", difference(values, others)]
        cost = statistics.mean(e.gflops for e in found) / statistics.mean(e.gflops for e in base)
        cells += [f"{statistics.mean(e.train_loss for e in found):.3f}", f"{cost:.2f}"]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--train-images", type=int)
    parser.add_argument("--augment", nargs="+", default=["none"])
    parser.add_argument("--arms", nargs="+", default=[STANDARD, "random", "l2", "ortho"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--set", dest="assignments", action="append", default=[], metavar="PATH=VALUE")
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--states", type=Path, default=Path("runs/states"))
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    options.arms = list(dict.fromkeys([STANDARD, *options.arms]))
    return options


def main() -> None:
    options = parse()
    device = choose_device(options.device)
    loaded_data, store = LoadedData(options.data_dir, device), StateStore(options.states)
    for augment in options.augment:
        ends: dict[str, list[End]] = {arm: [] for arm in options.arms}
        for seed in range(options.seeds):
            for arm in options.arms:
                end = finish(trial(options, arm, augment, seed), loaded_data, store)
                ends[arm].append(end)
                print(f"{augment}, {arm}, seed {seed}: {end.val_error:.4f}", file=sys.stderr, flush=True)
        print(f"\n{options.dataset}, augmentation {augment}, {options.seeds} seeds\n\n{table(ends)}")
    print(f"\n{json.dumps(describe(device))}")


if __name__ == "__main__":
    main()
