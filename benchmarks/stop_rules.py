"""Does a stop rule find as good a network for less? Real curves, replayed under our rules and Optuna's.

    python -m benchmarks.stop_rules record --n 220 --lines curves.jsonl    # about 50 minutes on one core
    python -m benchmarks.stop_rules replay --orders 200 --processes 2      # the tables of docs/stopping.md

`record` trains every trial to its end and writes the curves to a small file in `benchmarks/data`, which is
there already: `replay` needs no training. A pool of four workers takes the trials in shuffled orders, the same
for every rule. Where a rule has spent less on all of them than a budget, the pool goes on with random trials of
the same set, so that it is never idle. Budgets are shares of the cost of training all of them. Optuna's pruners are told of every epoch
(also those of the sub-network), as in its documentation, or, where it says so, of the rungs only; none is asked
after a trial's last epoch. Intervals are 95 % t intervals over the orders, given these trials.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import optuna
from numpy.typing import NDArray
from scipy import stats

from benchmarks.curves import FILE, Recorded, load, plain_training, save
from benchmarks.replay import (
    Judge,
    OptunaJudge,
    RungJudge,
    best_tenth,
    costs_when_complete,
    missing_volume,
    regret,
    replay,
    true_front,
)
from reprtune.spec.stop_rules import Median, NoStop, Percentile, StopRule, SuccessiveHalving

BUDGETS = (0.1, 0.2, 0.3, 0.4)
Job = tuple[str, str, bool]  # set, rule, several objectives?
SUPPLY = 12  # so many times the trials are there after the first time
RULES: dict[str, StopRule] = {
    "none": NoStop(),
    "median": Median(),
    "percentile 25": Percentile(),
    "percentile 10": Percentile(percentile=10),
    "percentile 75": Percentile(percentile=75),
    "successive-halving 2": SuccessiveHalving(reduction_factor=2),
    "successive-halving 3": SuccessiveHalving(),
    "successive-halving 4": SuccessiveHalving(reduction_factor=4),
}
PRUNERS: dict[str, Callable[[], optuna.pruners.BasePruner]] = {
    "MedianPruner": optuna.pruners.MedianPruner,
    "PercentilePruner(25)": partial(optuna.pruners.PercentilePruner, 25.0),
    "SuccessiveHalvingPruner": optuna.pruners.SuccessiveHalvingPruner,
    "HyperbandPruner": optuna.pruners.HyperbandPruner,
}
NAMES = (*RULES, *PRUNERS, *(f"{name}, at rungs" for name in PRUNERS))


@dataclass(frozen=True)
class Outcome:
    """What one order gave. Shares are of the cost, the best tenth or the front of all trials; `missing` and
    `front_lost` are of the two objectives."""

    regret: tuple[float, ...]  # at each of BUDGETS
    missing: tuple[float, ...]
    spent: float
    killed: float
    front_lost: float


def judge(name: str, runs: Sequence[Recorded], several: bool, set_name: str = "") -> Judge:
    """With the curve of plain training where all trials of the set have its learning rate."""
    if name in RULES:
        plain = plain_training("digits")
        standard = plain.curve if set_name == "lengths" else None
        return RungJudge(runs, RULES[name], several=several, stretches=plain.stretches, standard=standard)
    return OptunaJudge(runs, PRUNERS[name.removesuffix(", at rungs")](), at_rungs=name.endswith(", at rungs"))


def arrivals(n: int, seed: int) -> list[int]:
    """All trials in random order, then random ones: what a pool is given."""
    rng = random.Random(seed)
    return rng.sample(range(n), n) + rng.choices(range(n), k=SUPPLY * n)


def outcome(
    runs: Sequence[Recorded], order: Sequence[int], name: str, several: bool, n_workers: int, set_name: str = "",
) -> Outcome:  # fmt: skip
    """Of a pool that is given `order`; it begins with every trial once."""
    n, given, total = len(runs), [runs[i] for i in order], sum(run.cost for run in runs)
    budgets = [share * total for share in BUDGETS]
    ended = replay(
        given, range(len(given)), judge(name, given, several, set_name), n_workers,
        n_first=n, until=budgets[-1] / n_workers,
    )  # fmt: skip
    spent = costs_when_complete(ended, n_workers)
    lost = {order[e.run] for e in ended if e.run < n and not e.complete}
    best, front = best_tenth(runs), true_front(runs)
    return Outcome(
        regret=tuple(regret(given, spent, budget) for budget in budgets),
        missing=tuple(missing_volume(given, spent, budget) for budget in budgets),
        spent=sum(e.cost for e in ended if e.run < n) / total,
        killed=len(best & lost) / len(best),
        front_lost=len(front & lost) / len(front),
    )


def outcomes(job: Job, n_orders: int, n_workers: int, path: Path) -> list[Outcome]:
    """Of one set and rule over all orders."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    set_name, name, several = job
    runs = load(path)[set_name]
    orders = (arrivals(len(runs), seed) for seed in range(n_orders))
    return [outcome(runs, order, name, several, n_workers, set_name) for order in orders]


def interval(values: Sequence[float] | NDArray[np.float64], *, digits: int = 1, signed: bool = False) -> str:
    """Mean and 95 % t interval, times 100."""
    x = 100 * np.asarray(values)
    half = stats.t.ppf(0.975, len(x) - 1) * stats.sem(x)
    return f"{x.mean():{'+' if signed else ''}.{digits}f} ± {half:.{digits}f}"


def table(found: Mapping[str, Sequence[Outcome]], *, several: bool) -> str:
    """Markdown; all numbers are per cent, or points of validation error. At each budget the row of `none` has
    the value itself, the others their difference to it, paired by order."""
    value, lost = ("missing", "front_lost") if several else ("regret", "killed")
    base = np.array([getattr(o, value) for o in found["none"]])
    heads = [f"at {share:.0%}" for share in BUDGETS]
    heads += ["front stopped" if several else "best tenth stopped", "cost spent"]
    lines = [f"| rule | {' | '.join(heads)} |", "|---|" + "---|" * len(heads)]
    for name, results in found.items():
        own = np.array([getattr(o, value) for o in results])
        columns = (own if name == "none" else own - base).T
        cells = [interval(column, digits=1 if several else 2, signed=name != "none") for column in columns]
        cells += [interval([getattr(o, lost) for o in results]), interval([o.spent for o in results])]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _known(path: Path | None) -> dict[Job, list[Outcome]]:
    if path is None or not path.exists():
        return {}
    rows = json.loads(path.read_text())
    return {tuple(row["job"]): [Outcome(**o) for o in row["outcomes"]] for row in rows}


def _replay(options: argparse.Namespace) -> None:
    sets = load(options.file)
    names = tuple(RULES) if options.ours else NAMES
    jobs: list[Job] = [(s, name, False) for name in names for s in sets]
    jobs += [(s, name, True) for name in RULES for s in sets]
    jobs.sort(key=lambda job: job[1] in PRUNERS)  # told of every epoch they take longest
    found = _known(options.json)
    left = [job for job in jobs if len(found.get(job, ())) != options.orders]
    work = partial(outcomes, n_orders=options.orders, n_workers=options.workers, path=options.file)
    with mp.get_context("spawn").Pool(options.processes) as pool:
        for i, (job, result) in enumerate(zip(left, pool.imap(work, left), strict=True)):
            found[job] = result
            print(f"{i + 1} of {len(left)}: {job}", file=sys.stderr)
            if options.json:
                rows = [{"job": job, "outcomes": [asdict(o) for o in os]} for job, os in found.items()]
                options.json.write_text(json.dumps(rows))
    for name, runs in sets.items():
        best = min(run.error for run in runs)
        print(f"\n{name}: {len(runs)} trials, {options.orders} orders, {options.workers} workers, "
              f"best error {best:.2%}, front of {len(true_front(runs))}")  # fmt: skip
        for several in (False, True):
            rows_ = {n: found[name, n, several] for n in NAMES if (name, n, several) in found}
            print(f"\n{table(rows_, several=several)}")


def _record(options: argparse.Namespace) -> None:
    import torch

    from benchmarks.machine import describe
    from benchmarks.record_curves import record

    runs = record(options.n, options.lines, options.data_dir)
    save(runs, options.file, describe(torch.device("cpu")))
    print(f"{len(runs)} trials in {options.file}, {options.file.stat().st_size / 1024:.0f} KiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(required=True)
    recording = commands.add_parser("record", help="train, and write the curves down; goes on where it was")
    recording.add_argument("--n", type=int, default=220, help="trials of each set")
    recording.add_argument("--lines", type=Path, required=True, help="a line per trial, while it goes on")
    recording.add_argument("--data-dir", type=Path, default=Path("data"))
    recording.set_defaults(call=_record)
    replaying = commands.add_parser("replay", help="replay them, and print the tables")
    replaying.add_argument("--orders", type=int, default=200)
    replaying.add_argument("--workers", type=int, default=4, help="of the simulated pool")
    replaying.add_argument("--processes", type=int, default=1, help="of this machine")
    replaying.add_argument("--ours", action="store_true", help="only our own rules")
    replaying.add_argument("--json", type=Path, help="keep every number here; goes on where it was")
    replaying.set_defaults(call=_replay)
    for command in (recording, replaying):
        command.add_argument("--file", type=Path, default=FILE, help="the curves")
    options = parser.parse_args()
    options.call(options)


if __name__ == "__main__":
    main()
