"""A draw that is written as one: all its parameters or none.

Optuna writes every parameter as it is drawn. Of a worker that dies between two of them the first would stay, and the
others be drawn anew among other trials: a setting that no sampler has chosen.
"""

from __future__ import annotations

from typing import Any

from optuna import Trial
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage

from reprtune.record.optuna_private.queueing import FIXED
from reprtune.record.optuna_private.trials import trial_id


class DrawnAtOnce:
    """A storage that keeps the parameters that are drawn to itself until they are written. All else is done by the
    storage behind it."""

    def __init__(self, storage: BaseStorage) -> None:
        self._storage = storage
        self._held: list[tuple[int, str, float, BaseDistribution]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def set_trial_param(self, trial: int, name: str, value: float, distribution: BaseDistribution) -> None:
        self._held.append((trial, name, value, distribution))

    def write(self, trial: Trial) -> None:
        """First all of them in one attribute, as those that a queued trial comes with: whoever takes the slot up
        after that keeps them."""
        if self._held:
            self._storage.set_trial_system_attr(trial_id(trial), FIXED, dict(trial.params))
        for one in self._held:
            self._storage.set_trial_param(*one)
