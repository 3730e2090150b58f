"""How well the settings of a search tell how a trial ends: R^2 on trials that a forest has not seen.

Below `LITTLE` the ends look alike whatever was set, or differ in a way that so few trials do not show; then no
parameter can be chosen from them. Ax warns of a model by the same number (health checks of Ax 1.3).

*Notations*

    y_i, g_i   objective of complete trial i, and what a forest of the other folds says of its settings
    R^2        1 - sum (y_i - g_i)^2 / sum (y_i - mean y)^2, a mean over repetitions of the folds; chance is at or below 0
"""

from __future__ import annotations

import random
import statistics
from functools import lru_cache

import numpy as np

from reprtune.analysis.features import features
from reprtune.analysis.importance import rows
from reprtune.analysis.rebuilt import Row
from reprtune.record.schema import StudyRecord
from reprtune.spec.space import Range

LITTLE = 0.1
MIN_COMPLETE = 20
MAX_TRIALS = 300
N_FOLDS = 5
N_REPEATS = 3
N_TREES = 30
MIN_IN_LEAF = 2


def predictability(record: StudyRecord, seed: int = 0) -> float | None:
    """R^2 of the first objective; None of fewer than 20 complete trials, or where all ended alike."""
    seen = rows(record, record.spec.objectives[0])
    return _predictability(seen, tuple(record.spec.params.items()), seed)


@lru_cache(maxsize=16)
def _predictability(seen: tuple[Row, ...], params: tuple[tuple[str, Range], ...], seed: int) -> float | None:
    if len(seen) < MIN_COMPLETE or len({value for _, value in seen}) < 2:
        return None
    if len(seen) > MAX_TRIALS:
        seen = tuple(random.Random(seed).sample(seen, MAX_TRIALS))
    x = features([dict(drawn) for drawn, _ in seen], dict(params))
    y = np.array([value for _, value in seen])
    return statistics.fmean(_r2(x, y, seed + i) for i in range(N_REPEATS))


def _r2(x: np.ndarray, y: np.ndarray, seed: int) -> float:
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.metrics import r2_score
    from sklearn.model_selection import KFold, cross_val_predict

    forest = RandomForestRegressor(n_estimators=N_TREES, min_samples_leaf=MIN_IN_LEAF, random_state=seed)
    folds = KFold(N_FOLDS, shuffle=True, random_state=seed)
    return float(r2_score(y, cross_val_predict(forest, x, y, cv=folds)))
