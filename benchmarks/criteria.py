"""Which criterion knows best what the loss would do without a filter?

    python -m benchmarks.criteria --dataset npz:cifar10.npz --train-images 10000 --epochs 15

Trains convnet-3 with pooling once per seed, ranks all of its filters by every criterion of the catalog, and
compares with the oracle: the rise of the loss when the filter alone is left out. The criteria see the score
part and the oracle another one, val, so that no criterion agrees with it because both saw the same images;
the oracle on the score part is a row like any other and shows how much agreement there is to be had.

Pearson's and Spearman's correlation over all filters of the network, and Spearman's within a layer (mean
over layers): mean over seeds, with the smallest and the largest in brackets. Scores of layers without a
common scale compare only within a layer.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from scipy.stats import pearsonr, spearmanr
from torch import Tensor

from benchmarks.machine import describe
from reprtune.spec import catalog
from reprtune.spec.duration import Duration
from reprtune.spec.parts.criteria import Criterion, Oracle
from reprtune.spec.presets import compose
from reprtune.spec.task import ModelSpec, TaskSpec
from reprtune.spec.training import TrainingSpec
from reprtune.spec.trial import TrialSpec
from reprtune.training.chain.chain import Chain, LoadedData
from reprtune.training.chain.trial_networks import TrialNetworks
from reprtune.training.data.batches import evaluation_batches
from reprtune.training.data.task import Part
from reprtune.training.parts.criteria import ScoreContext, score_filters
from reprtune.training.parts.overlaps import detached
from reprtune.training.platform.device import choose_device

Scores = Mapping[str, Tensor]
MEASURES = ("pearson", "spearman", "spearman within a layer")


def specification(options: argparse.Namespace, seed: int) -> TrialSpec:
    """Standard training of the network that is ranked."""
    return TrialSpec(
        task=TaskSpec(
            dataset=options.dataset, train_images=options.train_images,
            score_frac=options.score_frac, val_frac=options.val_frac,
        ),
        model=ModelSpec(name=options.model, pool=options.model.startswith("convnet")),
        training=TrainingSpec(
            total=Duration.parse(f"{options.epochs}ep"), lr=options.lr, precision=options.precision
        ),
        method=compose(cycles=0),
        seed=seed,
    )  # fmt: skip


def context(networks: TrialNetworks, part: Part) -> ScoreContext:
    """As a drop gives it, with images of `part`."""
    batches = partial(evaluation_batches, part, networks.task.mean, networks.task.std)
    return ScoreContext(networks.spec.seed, 0, networks.network, batches)


def agreement(scores: Scores, others: Scores) -> dict[str, float]:
    """Correlations over all filters, and the mean of those within the layers."""
    a, b = (torch.cat([s[name] for name in others]).numpy() for s in (scores, others))
    within = [spearmanr(scores[name].numpy(), others[name].numpy()).statistic for name in others]
    values = (pearsonr(a, b).statistic, spearmanr(a, b).statistic, statistics.mean(within))
    return {name: float(value) for name, value in zip(MEASURES, values, strict=True)}


def measure(options: argparse.Namespace, seed: int, loaded_data: LoadedData) -> list[dict[str, object]]:
    """One row per criterion; `seconds` is for one ranking of the whole network."""
    run = Chain(specification(options, seed), loaded_data)
    for _ in run:
        pass
    networks = run.networks
    weights, error = detached(networks.network), run.history.points[-1].val_error
    oracle = score_filters(Oracle(), weights, context(networks, networks.task.val))
    rows: list[dict[str, object]] = []
    found: dict[str, Scores] = {}
    for name in catalog.names("criteria"):
        begun = time.perf_counter()
        found[name] = score_filters(
            Criterion.read(name, "criterion"), weights, context(networks, networks.task.score)
        )
        seconds = time.perf_counter() - begun
        rows.append({"criterion": name, "seed": seed, "seconds": seconds, **agreement(found[name], oracle)})
    pair = agreement(found["ortho-released"], found["ortho"])
    rows.append({"criterion": "ortho-released against ortho", "seed": seed, "seconds": None, **pair})
    print(f"seed {seed}: val error {error:.3f}", file=sys.stderr)
    return [{**row, "val_error": error} for row in rows]


def table(rows: list[dict[str, object]]) -> str:
    """Mean (least to greatest) over seeds, best agreement first, in Markdown."""
    groups: dict[str, list[dict]] = {}
    for row in rows:
        groups.setdefault(str(row["criterion"]), []).append(row)
    lines = [f"| criterion | {' | '.join(MEASURES)} | s |", "|---|" + "---|" * (len(MEASURES) + 1)]
    for name, group in sorted(groups.items(), key=lambda g: -_mean(g[1], "spearman")):
        cells = [_spread([row[m] for row in group]) for m in MEASURES]
        seconds = "" if group[0]["seconds"] is None else f"{_mean(group, 'seconds'):.3f}"
        lines.append(f"| {name} | {' | '.join(cells)} | {seconds} |")
    return "\n".join(lines)


def _mean(rows: list[dict], field: str) -> float:
    return statistics.mean(row[field] for row in rows)


def _spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dataset", default="digits", help="a data set of the catalog")
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--train-images", type=int, help="default: all of the train part")
    parser.add_argument("--score-frac", type=float, default=0.05)
    parser.add_argument("--val-frac", type=float, default=0.2, help="share of the images of the oracle")
    parser.add_argument("--model", default="convnet-3")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"), help="of the training")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, help="also write every number here")
    options = parser.parse_args()
    device = choose_device(options.device)
    torch.set_num_threads(1)
    loaded_data = LoadedData(options.data_dir, device)
    rows = [row for seed in range(options.seeds) for row in measure(options, seed, loaded_data)]
    if options.json:
        options.json.write_text(json.dumps({"machine": describe(device), "rows": rows}, indent=1))
    print(table(rows))
    print("\n" + ", ".join(f"{key} {value}" for key, value in describe(device).items()))


if __name__ == "__main__":
    main()
