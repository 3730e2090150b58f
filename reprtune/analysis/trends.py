"""In which direction, and how far, each objective goes with each searched parameter.

Complete trials only; a sampler tries good regions more often, and in levels and curves the other parameters vary
too, so these are associations in the trials at hand, not effects.

*Notations*

    n        complete trials that have the parameter
    rank     direction of an ordered parameter given all the others (`reprtune.analysis.directions`)
    mean     of a level (one value), with its 95 % t interval: mean -+ t_{0.975, m-1} sd / sqrt(m), m >= 3
    to_all   mean of a level minus the mean of all: (1 - m/n) times its difference to the other levels' mean,
             and the interval likewise from Welch's of that difference
    curve    locally linear regression with tricube weights over the nearest 2/3 (Cleveland 1979, JASA 74,
             no robustness rounds); the band is 2.5 % to 97.5 % over bootstrap resamples of the trials
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import stats

from reprtune.analysis.directions import RankTrend, directions
from reprtune.analysis.importance import rows
from reprtune.analysis.level import LEVEL
from reprtune.analysis.rebuilt import Row
from reprtune.analysis.terms import place
from reprtune.record.schema import StudyRecord
from reprtune.spec.space import Choice, FloatRange, Range

MIN_LEVEL = 3
MIN_CURVE = 20
MAX_LEVELS = 6  # an ordered parameter with more values has a curve
MAX_TRIALS = 1000
N_GRID = 25
N_BOOTSTRAP = 100
FRACTION = 2 / 3


@dataclass(frozen=True, kw_only=True)
class Level:
    """The trials with one value; intervals need `MIN_LEVEL` of them (and, `to_all`, as many others)."""

    value: str | int | float | bool
    n: int
    mean: float
    low: float | None
    high: float | None
    to_all: float
    to_all_low: float | None
    to_all_high: float | None


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Trend:
    """One objective over one parameter.

    Attributes:
        n: complete trials that have both. n_used: those the curve is made of.
        rank: of an ordered parameter, else None; also None where `no_rank`, a sentence, says why.
        levels: of choices and of ordered parameters with few values; else empty.
        curve: of ordered parameters with many values, from `MIN_CURVE` trials on; else empty.
        reason: what is missing of levels and curve, and why, as a sentence.
    """

    objective: str
    param: str
    n: int
    n_used: int
    rank: RankTrend | None
    no_rank: str | None
    levels: tuple[Level, ...]
    curve: tuple[CurvePoint, ...]
    reason: str | None


def trends(record: StudyRecord, seed: int = 0) -> tuple[Trend, ...]:
    """Every objective over every searched parameter. Equal content is computed once."""
    return tuple(
        trend
        for objective in record.spec.objectives
        for trend in _trends(rows(record, objective), tuple(record.spec.params.items()), objective, seed)
    )


@lru_cache(maxsize=16)
def _trends(
    seen: tuple[Row, ...], params: tuple[tuple[str, Range], ...], objective: str, seed: int
) -> tuple[Trend, ...]:
    found = [(dict(drawn), value) for drawn, value in seen]
    some = [found[i] for i in _subsample(len(found), seed)]
    ranks = directions([drawn for drawn, _ in some], [value for _, value in some], dict(params))
    return tuple(
        _trend(
            [drawn[name] for drawn, _ in found if name in drawn],
            [value for drawn, value in found if name in drawn],
            name, range_, objective, ranks.get(name), seed,
        )
        for name, range_ in params
    )  # fmt: skip


def _trend(
    values: list[Any],
    y: list[float],
    name: str,
    range_: Range,
    objective: str,
    rank: RankTrend | str | None,
    seed: int,
) -> Trend:
    ordered = not isinstance(range_, Choice)
    different = sorted(set(values)) if ordered else [o for o in range_.values() or () if o in values]
    few = not ordered or len(different) <= MAX_LEVELS
    chosen = _subsample(len(y), seed)
    xs = np.array([place(range_, values[i]) for i in chosen]) if ordered else np.empty(0)
    ys = np.array([y[i] for i in chosen])
    return Trend(
        objective=objective,
        param=name,
        n=len(y),
        n_used=len(chosen),
        rank=rank if isinstance(rank, RankTrend) else None,
        no_rank=rank if isinstance(rank, str) else None,
        levels=_levels(values, y, different) if few else (),
        curve=_curve(xs, ys, range_, seed) if not few and len(y) >= MIN_CURVE else (),
        reason=_reason(name, len(y), len(different), few),
    )


def _reason(name: str, n: int, n_values: int, few: bool) -> str | None:
    if n_values == 1:
        return f"{name} took one value only, so it has no trend."
    if not few and n < MIN_CURVE:
        return f"A smooth trend over {name} needs {MIN_CURVE} complete trials, but there are {n}."
    return None


def _subsample(n: int, seed: int) -> list[int]:
    return list(range(n)) if n <= MAX_TRIALS else sorted(random.Random(seed).sample(range(n), MAX_TRIALS))


def _levels(values: Sequence[Any], y: Sequence[float], different: Sequence[Any]) -> tuple[Level, ...]:
    groups: Mapping[Any, np.ndarray] = {
        level: np.array([b for a, b in zip(values, y, strict=True) if a == level]) for level in different
    }
    return tuple(
        _level(level, group, np.concatenate([g for k, g in groups.items() if k != level] or [np.empty(0)]))
        for level, group in groups.items()
    )


def _level(value: Any, own: np.ndarray, others: np.ndarray) -> Level:
    weight = len(others) / (len(own) + len(others))
    to_others = float(own.mean() - others.mean()) if len(others) else 0.0
    mean, half, welch = float(own.mean()), None, None
    if len(own) >= MIN_LEVEL:
        t = float(stats.t.ppf((1 + LEVEL) / 2, len(own) - 1))
        half = t * float(own.std(ddof=1)) / math.sqrt(len(own))
        welch = _welch(own, others) if len(others) >= MIN_LEVEL else None
    return Level(
        value=value,
        n=len(own),
        mean=mean,
        low=None if half is None else mean - half,
        high=None if half is None else mean + half,
        to_all=weight * to_others,
        to_all_low=None if welch is None else weight * (to_others - welch),
        to_all_high=None if welch is None else weight * (to_others + welch),
    )


def _welch(a: np.ndarray, b: np.ndarray) -> float | None:
    """Half the width of Welch's interval of a difference of means; None without any spread."""
    u, v = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    if u + v <= (1e-12 * (abs(a.mean()) + abs(b.mean()))) ** 2:
        return None
    df = (u + v) ** 2 / (u**2 / (len(a) - 1) + v**2 / (len(b) - 1))
    return float(stats.t.ppf((1 + LEVEL) / 2, df) * math.sqrt(u + v))


def _curve(x: np.ndarray, y: np.ndarray, range_: Range, seed: int) -> tuple[CurvePoint, ...]:
    """On a grid over the values drawn; nothing where the neighbourhoods hold a single value."""
    grid = np.linspace(x.min(), x.max(), N_GRID)
    middle = _smooth(x, y, grid)
    if not np.isfinite(middle).all():
        return ()
    rng = np.random.default_rng(seed)
    draws = [rng.integers(len(x), size=len(x)) for _ in range(N_BOOTSTRAP)]
    band = np.array([_smooth(x[d], y[d], grid) for d in draws])
    band = np.where(np.isfinite(band), band, middle)  # a resample without neighbours there says nothing
    low, high = np.quantile(band, ((1 - LEVEL) / 2, (1 + LEVEL) / 2), axis=0)
    log = isinstance(range_, FloatRange) and range_.log
    return tuple(
        CurvePoint(x=float(10**a if log else a), y=float(b), low=float(c), high=float(d))
        for a, b, c, d in zip(grid, middle, low, high, strict=True)
    )


def _smooth(x: np.ndarray, y: np.ndarray, grid: np.ndarray) -> np.ndarray:
    from statsmodels.nonparametric.smoothers_lowess import lowess

    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(lowess(y, x, frac=FRACTION, it=0, xvals=grid))
