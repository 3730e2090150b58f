"""Many slots queued at once, as `Study.enqueue_trial` queues one.

Optuna writes a transaction for each, in which it counts those before: 10,000 slots take a minute.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, func, insert, select

from reprtune.record.optuna_private.reading import ATTRIBUTES, SYSTEM, TRIALS
from reprtune.record.optuna_private.session import connected

FIXED = "fixed_params"  # Optuna's name of the parameters that a queued trial comes with


@dataclass(frozen=True)
class Queued:
    """A trial that is queued: its user attributes, and the parameters that it comes with."""

    attrs: Mapping[str, Any]
    params: Mapping[str, Any] = field(default_factory=dict)


def enqueue(storage: RDBStorage, study_id: int, trials: Sequence[Queued]) -> None:
    """Queue trials, in their order: all of them or none. Nobody else may queue trials in the study meanwhile."""
    if not trials:
        return
    with connected(storage) as connection:
        ids = _waiting(connection, study_id, len(trials))
        both = list(zip(ids, trials, strict=True))
        connection.execute(insert(SYSTEM), [_cell(one, FIXED, dict(trial.params)) for one, trial in both])
        cells = [_cell(one, *item) for one, trial in both for item in trial.attrs.items()]
        if cells:
            connection.execute(insert(ATTRIBUTES), cells)


def drawn_params(trial: FrozenTrial) -> dict[str, Any]:
    """The parameters of a trial, those too that it came with and whose worker died before it had taken them up."""
    return {**trial.system_attrs.get(FIXED, {}), **trial.params}


def _waiting(connection: Connection, study_id: int, n: int) -> list[int]:
    """Ids of `n` new waiting trials, by their number."""
    ours = TRIALS.c.study_id == study_id
    first = connection.execute(select(func.count()).select_from(TRIALS).where(ours)).scalar_one()
    numbers = range(first, first + n)
    rows = [{"study_id": study_id, "number": number, "state": TrialState.WAITING} for number in numbers]
    connection.execute(insert(TRIALS), rows)
    new = select(TRIALS.c.trial_id).where(ours, TRIALS.c.number >= first).order_by(TRIALS.c.number)
    return list(connection.execute(new).scalars())


def _cell(trial_id: int, key: str, value: Any) -> dict[str, Any]:
    return {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
