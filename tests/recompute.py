"""Every number that a report states, computed again from its tables by other means.

`python -m tests.recompute FOLDER` prints each statement and whether it agrees, and fails if one does not.
Tables and JSON are read as any reader would; of the project's own code nothing is used. Fronts come from the
definition, slopes from all pairs, intervals and tests from statsmodels, importances from Optuna itself.
"""

from __future__ import annotations

import itertools
import json
import math
import random
import statistics
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import statsmodels.api
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

CHANCE = 0.9  # error by chance among ten classes, as the data of every test have


@dataclass(frozen=True)
class Statement:
    """What is stated, as the report has it and as it comes out here."""

    what: str
    stated: Any
    found: Any

    @property
    def agrees(self) -> bool:
        return same(self.stated, self.found)


def same(a: Any, b: Any) -> bool:
    """Equal, numbers within rounding: 1e-7 of their size, or 1e-9."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return math.isclose(a, b, rel_tol=1e-7, abs_tol=1e-9)
    return bool(a == b)


class Report:
    """The files of a report."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows = self.table("trials.csv")
        self.search = [r for r in self.rows if r["section"] == "search"]
        self.manifest = json.loads((folder / "manifest.json").read_text())
        self.params: dict[str, Any] = self.page("importance")["params"]

    def table(self, name: str) -> list[dict[str, str]]:
        frame = pd.read_csv(self.folder / name, dtype=str, keep_default_na=False)
        return frame.to_dict("records")  # type: ignore[return-value]

    def page(self, name: str) -> Any:
        return json.loads((self.folder / "figures" / f"{name}.json").read_text())

    def complete(self) -> list[dict[str, str]]:
        return [r for r in self.search if r["outcome"] == "complete"]

    def value(self, row: Mapping[str, str], name: str) -> Any:
        """A parameter of a row as it was drawn; None where it has none."""
        text, range_ = row[name], self.params[name]
        if text == "":
            return None
        if range_["kind"] == "choice":
            return next(o for o in range_["options"] if str(o) == text)
        return float(text) if range_["kind"] == "float" else int(text)

    def seen(self, objective: str) -> list[tuple[dict[str, Any], float]]:
        """Parameters and objective of every complete trial."""
        found = [({n: self.value(r, n) for n in self.params}, r[objective]) for r in self.complete()]
        return [({n: v for n, v in p.items() if v is not None}, float(y)) for p, y in found if y != ""]


def statements(folder: Path) -> Iterator[Statement]:
    """All that can be computed again."""
    report = Report(folder)
    yield Statement(
        "attempts by outcome", report.manifest["attempts"], Counter(r["outcome"] for r in report.search)
    )
    yield from _best(report)
    yield from _front(report)
    yield from _importances(report)
    yield from _trends(report)
    yield from _interactions(report)
    yield from _controls(report)
    yield from _confirmation(report)


def _best(report: Report) -> Iterator[Statement]:
    stated = report.page("controls")["best"]
    known = [r for r in report.complete() if r["val_error"]]
    if not known:
        yield Statement("best of the search", stated, None)
        return
    cost = {r["optuna_trial"]: float(r["train_gflops"] or "inf") for r in known}
    first = min(known, key=lambda r: (float(r["val_error"]), cost[r["optuna_trial"]], int(r["optuna_trial"])))
    yield Statement("best of the search: its number", stated["number"], int(first["optuna_trial"]))
    yield Statement("best of the search: its error", stated["val_error"], float(first["val_error"]))


def _front(report: Report) -> Iterator[Statement]:
    page = report.page("pareto")
    measures = page["measures"]
    rows = [r for r in report.complete() if all(r[m] for m in measures)]
    points = np.array([[float(r[m]) for m in measures] for r in rows]).reshape(-1, len(measures))
    numbers = [int(r["optuna_trial"]) for r in rows]
    on_front = [
        n for n, p in zip(numbers, points, strict=True)
        if not ((points <= p).all(axis=1) & (points < p).any(axis=1)).any()
    ]  # fmt: skip
    yield Statement("front", sorted(p["number"] for p in page["front"]), sorted(on_front))
    yield Statement(
        "front in trials.csv", [int(r["optuna_trial"]) for r in rows if r["front_rank"] == "0"], on_front
    )
    yield Statement("dominated trials, their number", page["n_dominated"], len(numbers) - len(on_front))
    if (stated := page["hypervolume"]) is not None:
        front = points[[n in on_front for n in numbers]]
        yield Statement("hypervolume", stated["share"], _covered(front, points.min(0), points.max(0)))


def _covered(front: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """Share of the box dominated, counted cell by cell between all coordinates of the front."""
    xs, ys = (sorted({*front[:, i], low[i], high[i]}) for i in (0, 1))
    area = sum(
        (x1 - x0) * (y1 - y0)
        for (x0, x1), (y0, y1) in itertools.product(itertools.pairwise(xs), itertools.pairwise(ys))
        if ((front[:, 0] <= x0) & (front[:, 1] <= y0)).any()
    )
    return float(area / np.prod(high - low))


def _importances(report: Report) -> Iterator[Statement]:
    for answer in report.page("importance")["importances"]["answers"]:
        if answer["shares"] is None:
            continue
        seen = report.seen(answer["objective"])
        if answer["n"] < len(seen):  # thinned, by the rule that is stated
            seen = random.Random(0).sample(seen, answer["n"])
        names = list(answer["shares"])
        found = optuna.importance.get_param_importances(
            rebuilt(seen, {n: report.params[n] for n in names}), evaluator=_evaluator(answer), params=names
        )
        what = f"importance, {answer['method']} of {answer['objective']}"
        yield Statement(what, answer["shares"], {n: found[n] for n in names})


def _evaluator(answer: Mapping[str, Any]) -> Any:
    if answer["method"] == "fanova":
        return optuna.importance.FanovaImportanceEvaluator(seed=0)
    return optuna.importance.PedAnovaImportanceEvaluator(target_quantile=answer["best_share"])


def rebuilt(seen: Sequence[tuple[dict[str, Any], float]], params: Mapping[str, Any]) -> optuna.Study:
    """An Optuna study of one minimised objective with these trials."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    for drawn, value in seen:
        known = {n: v for n, v in drawn.items() if n in params}
        ranges = {n: distribution(params[n]) for n in known}
        study.add_trial(optuna.trial.create_trial(params=known, distributions=ranges, value=value))
    return study


def distribution(range_: Mapping[str, Any]) -> Any:
    if range_["kind"] == "choice":
        return CategoricalDistribution(range_["options"])
    if range_["kind"] == "float":
        low, high, step = range_["low"], range_["high"], range_["step"]
        high = high if step is None else low + step * math.floor((high - low) / step + 1e-9)
        return FloatDistribution(low, round(high, 12), step=step, log=range_["log"])
    low, high, step = _whole(range_)
    return IntDistribution(low, low + (high - low) // step * step, step=step)


def _whole(range_: Mapping[str, Any]) -> tuple[int, int, int]:
    """Low, high and step; durations without their unit."""
    low, high, step = (
        int("".join(c for c in str(range_[k]) if c.isdigit())) for k in ("low", "high", "step")
    )
    return low, high, step


def ends(range_: Mapping[str, Any]) -> tuple[float, float]:
    found = distribution(range_)
    return float(found.low), float(found.high)


def _scaled(range_: Mapping[str, Any], values: Sequence[float]) -> np.ndarray:
    return np.log10(values) if range_.get("log") else np.asarray(values, dtype=float)


def _trends(report: Report) -> Iterator[Statement]:
    for trend in report.page("importance")["trends"]:
        seen = [(p[trend["param"]], y) for p, y in report.seen(trend["objective"]) if trend["param"] in p]
        what = f"{trend['objective']} over {trend['param']}"
        yield Statement(f"{what}: trials", trend["n"], len(seen))
        if trend["rank"] is not None and trend["n_used"] == trend["n"]:
            yield from _rank(what, trend["rank"], report.params[trend["param"]], seen)
        for level in trend["levels"]:
            yield from _level(what, level, seen)


def _rank(
    what: str, stated: Mapping[str, Any], range_: Mapping[str, Any], seen: Sequence[tuple[Any, float]]
) -> Iterator[Statement]:
    x, y = _scaled(range_, [a for a, _ in seen]), np.array([b for _, b in seen])
    rho = np.corrcoef(pd.Series(x).rank(), pd.Series(y).rank())[0, 1]
    yield Statement(f"{what}: rank correlation", stated["rho"], float(rho))
    slopes = [
        (d - b) / (c - a) for (a, b), (c, d) in itertools.combinations(zip(x, y, strict=True), 2) if c != a
    ]
    low, high = _scaled(range_, ends(range_))
    yield Statement(f"{what}: change", stated["change"], statistics.median(slopes) * float(high - low))


def _level(what: str, stated: Mapping[str, Any], seen: Sequence[tuple[Any, float]]) -> Iterator[Statement]:
    own = [y for v, y in seen if v == stated["value"]]
    others = [y for v, y in seen if v != stated["value"]]
    what = f"{what} = {stated['value']}"
    yield Statement(f"{what}: mean", [stated["n"], stated["mean"]], [len(own), statistics.fmean(own)])
    every = statistics.fmean([y for _, y in seen])
    yield Statement(f"{what}: mean against all", stated["to_all"], statistics.fmean(own) - every)
    if stated["low"] is not None:
        found = DescrStatsW(own).tconfint_mean()
        yield Statement(f"{what}: interval", [stated["low"], stated["high"]], list(map(float, found)))
    if stated["to_all_low"] is not None:
        found = CompareMeans(DescrStatsW(own), DescrStatsW(others)).tconfint_diff(usevar="unequal")
        found = [len(others) / len(seen) * float(end) for end in found]
        yield Statement(f"{what}: interval against all", [stated["to_all_low"], stated["to_all_high"]], found)


def _interactions(report: Report) -> Iterator[Statement]:
    measures = report.page("interactions")["measures"]
    for objective in dict.fromkeys(m["objective"] for m in measures):
        tested = [m for m in measures if m["objective"] == objective and m["p"] is not None]
        seen = [(p, y) for p, y in report.seen(objective) if p.keys() == report.params.keys()]
        p_values = []
        for m in tested:
            if m["n"] < len(seen):
                return  # thinned: another sample would give other numbers
            omega2, f, p = _pair(report.params, seen, m["first"], m["second"])
            p_values.append(p)
            what = f"{m['first']} with {m['second']} for {objective}: share, F, p"
            yield Statement(what, [m["omega2"], m["f"], m["p"]], [omega2, f, p])
        if tested:
            corrected = [float(p) for p in multipletests(p_values, method="holm")[1]]
            yield Statement(f"pairs for {objective}: p, Holm", [m["p_holm"] for m in tested], corrected)


def _pair(
    params: Mapping[str, Any], seen: Sequence[tuple[dict[str, Any], float]], a: str, b: str
) -> tuple[float, float, float]:
    """By two least-squares fits of statsmodels, in the parameters' own units."""
    y = np.array([value for _, value in seen])
    linear, main = {}, []
    for name, range_ in params.items():
        values = [p[name] for p, _ in seen]
        if range_["kind"] == "choice":
            columns = [[float(v == o) for v in values] for o in sorted(set(values), key=str)[1:]]
            linear[name], squares = columns, []
        else:
            x = _scaled(range_, values)
            linear[name] = [list(x)] if len(set(values)) > 1 else []
            squares = [list(x**2)] if len(set(values)) > 2 else []
        main += [*linear[name], *squares]
    products = [list(np.multiply(u, v)) for u, v in itertools.product(linear[a], linear[b])]
    small = statsmodels.api.OLS(y, np.column_stack([np.ones(len(y)), *main])).fit()
    large = statsmodels.api.OLS(y, np.column_stack([np.ones(len(y)), *main, *products])).fit()
    f, p, q = large.compare_f_test(small)
    omega2 = (small.ssr - large.ssr - q * large.mse_resid) / (large.centered_tss + large.mse_resid)
    return float(omega2), float(f), float(p)


def _by_seed(
    rows: Sequence[Mapping[str, str]], column: str, *, chance: bool = False
) -> dict[str, dict[int, float]]:
    """Arm -> seed -> the number in that column, of complete runs that decide their slot; with `chance`, diverged ones
    count with chance error."""
    found: dict[str, dict[int, float]] = {}
    for r in rows:
        if chance and r["outcome"] == "diverged" and r["decides_slot"] == "True":
            found.setdefault(r["arm"], {})[int(r["seed"])] = CHANCE
        if r["outcome"] == "complete" and r["decides_slot"] == "True" and r[column]:
            found.setdefault(r["arm"], {})[int(r["seed"])] = float(r[column])
    return found


def _difference(
    what: str, row: Mapping[str, str], own: Mapping[int, float], base: Mapping[int, float]
) -> Iterator[Statement]:
    """Mean and interval of the differences by seed, where the row has them."""
    pairs = [own[s] - base[s] for s in sorted(own.keys() & base.keys())]
    yield Statement(f"{what}: pairs", int(row["n_pairs"] or 0), len(pairs))
    if row["difference_mean"]:
        yield Statement(what, float(row["difference_mean"]), statistics.fmean(pairs))
    if row["difference_low"]:
        found = [float(end) for end in DescrStatsW(pairs).tconfint_mean()]
        yield Statement(
            f"{what}: interval", [float(row["difference_low"]), float(row["difference_high"])], found
        )


def _controls(report: Report) -> Iterator[Statement]:
    rows = [r for r in report.rows if r["section"] != "search"]
    errors, test = _by_seed(rows, "val_error"), _by_seed(rows, "test_error")
    for row in report.table("controls.csv"):
        arm, own = row["arm"], errors.get(row["arm"], {})
        yield Statement(f"arm {arm}: complete", int(row["n_complete"]), len(own))
        if own:
            yield Statement(f"arm {arm}: mean", float(row["val_error_mean"]), statistics.fmean(own.values()))
        if arm != "standard":
            measured = test if row["measured_on"] == "test" else errors
            pair = (measured.get(arm, {}), measured.get(row["control"] or "standard", {}))
            yield from _difference(f"arm {arm} minus {row['control']}", row, *pair)


def _confirmation(report: Report) -> Iterator[Statement]:
    """Leaders against controls on the test part."""
    runs = report.table("confirmation.csv")
    errors, judged = _by_seed(runs, "test_error"), _by_seed(runs, "test_error", chance=True)
    rows = report.table("comparisons.csv")
    for row in rows:
        own, base = errors.get(row["arm"], {}), errors.get(row["control"], {})
        what = f"confirmed {row['arm']} minus {row['control']}"
        yield from _difference(what, row, own, base)
        own, base = judged.get(row["arm"], {}), judged.get(row["control"], {})
        pairs = [own[s] - base[s] for s in own.keys() & base.keys()]
        if row["p"] and row["effect"]:
            yield Statement(f"{what}: p", float(row["p"]), float(DescrStatsW(pairs).ttest_mean()[1]))
        if row["better"]:
            better = sum(1.0 if d < 0 else 0.5 if d == 0 else 0.0 for d in pairs) / len(pairs)
            yield Statement(f"{what}: share of seeds that are better", float(row["better"]), better)
    if rows and all(row["p"] for row in rows):
        corrected = multipletests([float(row["p"]) for row in rows], method="holm")[1]
        yield Statement(
            "confirmed: p, Holm", [float(row["p_holm"]) for row in rows], list(map(float, corrected))
        )


def main(folder: str) -> int:
    """Print every statement; 1 when one does not agree."""
    wrong = n = 0
    for s in statements(Path(folder)):
        n += 1
        wrong += not s.agrees
        line = f"agrees   {s.what}" if s.agrees else f"DIFFERS  {s.what}: {s.stated} and {s.found}"
        sys.stdout.write(line + "\n")
    sys.stdout.write(f"{n - wrong} of {n} statements agree.\n")
    return 1 if wrong or not n else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("python -m tests.recompute FOLDER (the folder of a report)")
    sys.exit(main(sys.argv[1]))
