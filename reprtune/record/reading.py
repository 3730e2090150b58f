"""Trials read from the database in bulk: a query per table, and no object of Optuna's per cell.

Optuna reads the 2,000 trials of a study in seconds, most of it spent on making an object of every cell and
on parsing every distribution anew. What is left out here: its own attributes and intermediate values.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial
from sqlalchemy import Connection, select

HISTORY = "history"  # the packed curve inside the attribute of a result, much longer than all the rest
TRIALS = models.TrialModel.__table__
ATTRIBUTES = models.TrialUserAttributeModel.__table__
PARAMS = models.TrialParamModel.__table__
VALUES = models.TrialValueModel.__table__
Cells = defaultdict[int, dict[Any, Any]]


def read_frozen(storage: RDBStorage, name: str, histories: bool = True) -> list[FrozenTrial]:
    """All trials of an Optuna study, by number; without `histories` these are passed over.

    Raises:
        KeyError: there is no study of that name.
    """
    study_id = storage.get_study_id_from_name(name)
    with storage.engine.connect() as connection:  # one transaction: the tables belong together
        rows = connection.execute(
            select(TRIALS).where(TRIALS.c.study_id == study_id).order_by(TRIALS.c.number)
        ).all()
        attributes = _attributes(connection, study_id, histories)
        params, distributions = _params(connection, study_id)
        values = _values(connection, study_id)
    return [
        FrozenTrial(
            number=row.number, state=row.state, value=None, trial_id=row.trial_id,
            values=[v for _, v in sorted(values[row.trial_id].items())] or None,
            datetime_start=row.datetime_start, datetime_complete=row.datetime_complete,
            params=params[row.trial_id], distributions=distributions[row.trial_id],
            user_attrs=attributes[row.trial_id], system_attrs={}, intermediate_values={},
        )
        for row in rows
    ]  # fmt: skip


def _cells(connection: Connection, table: Any, study_id: int) -> Iterator[Any]:
    """The rows of a table that belong to the study's trials, in the order in which they were written."""
    chosen = select(table).join(TRIALS, TRIALS.c.trial_id == table.c.trial_id)
    chosen = chosen.where(TRIALS.c.study_id == study_id).order_by(table.primary_key.columns[0])
    yield from connection.execution_options(yield_per=500).execute(chosen)


def _attributes(connection: Connection, study_id: int, histories: bool) -> Cells:
    found: Cells = defaultdict(dict)
    for row in _cells(connection, ATTRIBUTES, study_id):
        value = json.loads(row.value_json)
        if not histories and isinstance(value, dict):
            value.pop(HISTORY, None)
        found[row.trial_id][row.key] = value
    return found


def _params(connection: Connection, study_id: int) -> tuple[Cells, Cells]:
    values: Cells = defaultdict(dict)
    kinds: Cells = defaultdict(dict)
    for row in _cells(connection, PARAMS, study_id):
        kind = _distribution(row.distribution_json)
        values[row.trial_id][row.param_name] = kind.to_external_repr(row.param_value)
        kinds[row.trial_id][row.param_name] = kind
    return values, kinds


@lru_cache(maxsize=256)
def _distribution(text: str) -> BaseDistribution:
    return json_to_distribution(text)


def _values(connection: Connection, study_id: int) -> Cells:
    found: Cells = defaultdict(dict)
    for row in _cells(connection, VALUES, study_id):
        found[row.trial_id][row.objective] = models.TrialValueModel.stored_repr_to_value(
            row.value, row.value_type
        )
    return found
