"""A draw: made from one look at the other trials, and written as one, all its parameters or none.

Optuna looks anew at every trial for every parameter, and writes each as it is drawn. Of a worker that dies between
two of them the first would stay, and the others be drawn anew among other trials: a setting that no sampler has chosen.
"""

from __future__ import annotations

import copy
from collections.abc import Container
from typing import Any

from optuna import Trial
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import insert, select

from reprtune.record.optuna_private.reading import PARAMS, TRIALS
from reprtune.record.optuna_private.session import connected
from reprtune.record.optuna_private.trials import trial_id


class DrawnAtOnce:
    """A storage that keeps the parameters that are drawn to itself until they are written. All else is done by the
    storage behind it."""

    def __init__(self, storage: BaseStorage) -> None:
        self._storage = storage
        self._held: list[dict[str, Any]] = []
        self._seen: dict[int, list[FrozenTrial]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """As they were when they were looked at first."""
        if study_id not in self._seen:
            self._seen[study_id] = self._storage.get_all_trials(study_id, deepcopy=False)
        found = [t for t in self._seen[study_id] if states is None or t.state in states]
        return copy.deepcopy(found) if deepcopy else found

    def set_trial_param(self, trial: int, name: str, value: float, distribution: BaseDistribution) -> None:
        kind = distribution_to_json(distribution)
        row = {"trial_id": trial, "param_name": name, "param_value": value, "distribution_json": kind}
        self._held.append(row)

    def write(self, storage: RDBStorage, trial: Trial) -> None:
        """In one transaction.

        Raises:
            UpdateFinishedTrialError: it was taken away meanwhile.
        """
        if not self._held:
            return
        one = trial_id(trial)
        with connected(storage) as connection:
            found = select(TRIALS.c.state).where(TRIALS.c.trial_id == one).with_for_update()
            storage.check_trial_is_updatable(one, connection.execute(found).scalar_one())
            connection.execute(insert(PARAMS), self._held)
        self._held.clear()
        self._seen.clear()
