"""The best of a search beside standard training: how much of its gain is what the best of many equal trials has by luck.

*Notations*

    luck      sd (over the root of a trial's seeds) times the expected maximum of k standard normal draws, the integral of
              k x phi(x) Phi(x)^(k-1): what the best of k equal trials gains by chance
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import integrate, stats

from reprtune.analysis.attempts import deciding
from reprtune.analysis.controls import BASELINE, errors_at_the_end, mean_of, ratio
from reprtune.record.measures import at_the_end
from reprtune.record.ranking import best, order
from reprtune.record.repeats import joined
from reprtune.record.schema import StudyRecord
from reprtune.spec.objectives import COST, ERROR


@dataclass(frozen=True, kw_only=True)
class BestOfSearch:
    """The best trial of the search, chosen on the very number it is the best in.

    Attributes:
        measure: what it was chosen by, and value: its number. n_seeds: whose mean that is.
        val_error: None where it is not known. k: settings with a complete trial, of which it is the best.
        cost_factor: training cost relative to the standard arm.
        to_standard: its error minus the mean of the standard arm; no interval.
        luck: what the best of k equal trials would be expected to gain by chance alone, from the
            standard arm's spread over seeds (of a mean of `n_seeds`: over their root); 0 or above. None where it
            was not chosen by its error.
    """

    number: int
    slot: int
    seed: int
    n_seeds: int
    params: Mapping[str, Any]
    measure: str
    value: float
    val_error: float | None
    k: int
    cost_factor: float | None
    to_standard: float | None
    luck: float | None


def best_of_search(record: StudyRecord) -> BestOfSearch | None:
    """The best of the search (see `record.ranking`), its error held against the standard arm."""
    trial, measure = best(record), order(record.spec)[0]
    value = at_the_end(trial, measure) if trial is not None else None
    if trial is None or value is None:
        return None
    error = at_the_end(trial, ERROR)
    base = [t for t in deciding(record.controls) if t.arm == BASELINE]
    numbers = [e.value for e in errors_at_the_end(base)]
    k = sum(at_the_end(t, measure) is not None for t in joined(record.trials))
    return BestOfSearch(
        number=trial.number,
        slot=trial.slot,
        seed=trial.seed,
        n_seeds=len(trial.runs),
        params=dict(trial.params),
        measure=measure,
        value=value,
        val_error=error,
        k=k,
        cost_factor=ratio(at_the_end(trial, COST), mean_of(base, COST)),
        to_standard=error - statistics.fmean(numbers) if numbers and error is not None else None,
        luck=(
            expected_gain(k, statistics.stdev(numbers) / math.sqrt(len(trial.runs)))
            if len(numbers) > 1 and measure == ERROR
            else None
        ),
    )


def expected_gain(k: int, sd: float) -> float:
    """By how much the best of `k` draws from one normal distribution is expected to beat its mean."""
    x = np.linspace(-9, 9, 20_001)
    density = k * stats.norm.pdf(x) * stats.norm.cdf(x) ** (k - 1)
    return sd * float(integrate.trapezoid(x * density, x))
