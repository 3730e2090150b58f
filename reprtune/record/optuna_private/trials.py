"""What Optuna keeps of a trial or a study without a public name: ids, heartbeats, drawing a parameter."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from optuna import Study, Trial
from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import select

from reprtune.record.optuna_private.session import reading

TRIALS = models.TrialModel.__table__.c


def trial_id(trial: Trial | FrozenTrial) -> int:
    """The id by which the storage knows it, over all studies; its number counts within one."""
    return trial._trial_id  # noqa: SLF001 - it has no public name


def study_id(study: Study) -> int:
    """The id by which the storage knows it."""
    return study._study_id  # noqa: SLF001 - it has no public name


def state_of(storage: RDBStorage, trial_id: int) -> TrialState:
    """The state of a trial, of which nothing else is read.

    Raises:
        KeyError: it is gone, with its study.
    """
    with reading(storage) as connection:
        state = connection.execute(select(TRIALS.state).where(TRIALS.trial_id == trial_id)).scalar()
    if state is None:
        raise KeyError(f"There is no trial {trial_id}.")
    return state


def number_trial(trial: FrozenTrial, number: int) -> None:
    """Give a trial that no storage holds the number and the id that one would give it."""
    trial.number = trial._trial_id = number  # noqa: SLF001 - it has no public name


def suggest(trial: Trial, name: str, distribution: BaseDistribution) -> Any:
    """The value of a parameter: drawn by the study's sampler, unless it is fixed or was drawn before. What
    `Study.ask` does for each of its `fixed_distributions`."""
    return trial._suggest(name, distribution)  # noqa: SLF001 - public are only methods for each kind


def beat(storage: RDBStorage, trial: Trial | FrozenTrial) -> None:
    """Say in the storage that the worker of a running trial lives."""
    storage.record_heartbeat(trial_id(trial))


def stale_trial_ids(storage: RDBStorage, study: int, grace_seconds: int) -> Collection[int]:
    """Ids of the running trials that have had no beat for so long, by the clock of the database.

    Args:
        study: id of the study.
    """
    storage.grace_period = grace_seconds  # else that of this machine
    return storage._get_stale_trial_ids(study)  # noqa: SLF001 - public is only the failing of them
