"""Trials read from the database in bulk: a query per table, and no object of Optuna's per cell.

Optuna reads the 2,000 trials of a study in seconds, most of it spent on making an object of every cell and
on parsing every distribution anew. For looking at, its own attributes and intermediate values are left out;
for its samplers (`read_whole`) they are not.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial
from sqlalchemy import ColumnElement, Connection, and_, select

from reprtune.record.optuna_private.session import reading

HISTORY = "history"  # the packed curve inside the attribute of a result, much longer than all the rest
AT_ONCE = 500  # trials asked for by their ids; SQLite takes some thousands
PACKAGE = str(models.__package__)  # in whose folder are the migrations of its tables
TRIALS = models.TrialModel.__table__
ATTRIBUTES = models.TrialUserAttributeModel.__table__
SYSTEM = models.TrialSystemAttributeModel.__table__
PARAMS = models.TrialParamModel.__table__
VALUES = models.TrialValueModel.__table__
STEPS = models.TrialIntermediateValueModel.__table__
Cells = defaultdict[int, dict[Any, Any]]


@dataclass(frozen=True)
class Chosen:
    """Which trials; the rows of many are fetched piece by piece, for which PostgreSQL is asked three times as often."""

    where: ColumnElement[bool]
    many: bool = True


def read_frozen(storage: RDBStorage, name: str, histories: bool = True) -> list[FrozenTrial]:
    """All trials of an Optuna study, by number; without `histories` these are passed over.

    Raises:
        KeyError: there is no study of that name.
    """
    chosen = Chosen(TRIALS.c.study_id == storage.get_study_id_from_name(name))
    with reading(storage) as connection:  # one transaction: the tables belong together
        return _read(connection, chosen, histories, whole=False)


def read_whole(
    connection: Connection, study_id: int, trial_ids: Sequence[int] | None = None
) -> list[FrozenTrial]:
    """The trials of a study with everything that Optuna's samplers look at, and without histories; all, or
    those of some ids."""
    ours = TRIALS.c.study_id == study_id
    if trial_ids is None:
        return _read(connection, Chosen(ours), histories=False, whole=True)
    parts = [trial_ids[i : i + AT_ONCE] for i in range(0, len(trial_ids), AT_ONCE)]
    chosen = [Chosen(and_(ours, TRIALS.c.trial_id.in_(part)), many=False) for part in parts]
    return [trial for one in chosen for trial in _read(connection, one, histories=False, whole=True)]


def _read(connection: Connection, chosen: Chosen, histories: bool, whole: bool) -> list[FrozenTrial]:
    rows = connection.execute(select(TRIALS).where(chosen.where).order_by(TRIALS.c.number)).all()
    attributes = _attributes(connection, ATTRIBUTES, chosen, histories)
    params, distributions = _params(connection, chosen)
    values = _values(connection, chosen)
    system = _attributes(connection, SYSTEM, chosen, True) if whole else defaultdict(dict)
    steps = _steps(connection, chosen) if whole else defaultdict(dict)
    return [
        FrozenTrial(
            number=row.number, state=row.state, value=None, trial_id=row.trial_id,
            values=[v for _, v in sorted(values[row.trial_id].items())] or None,
            datetime_start=_local(row.datetime_start), datetime_complete=_local(row.datetime_complete),
            params=params[row.trial_id], distributions=distributions[row.trial_id],
            user_attrs=attributes[row.trial_id], system_attrs=system[row.trial_id],
            intermediate_values=steps[row.trial_id],
        )
        for row in rows
    ]  # fmt: skip


def _local(stored: dt.datetime | None) -> dt.datetime | None:
    """Optuna stores UTC and shows local time, both without saying so."""
    if stored is None:
        return None
    return stored.replace(tzinfo=dt.timezone.utc).astimezone().replace(tzinfo=None)


def _cells(connection: Connection, table: Any, chosen: Chosen) -> Iterator[Any]:
    """The rows of a table that belong to the chosen trials, in the order in which they were written."""
    query = select(table).join(TRIALS, TRIALS.c.trial_id == table.c.trial_id)
    query = query.where(chosen.where).order_by(table.primary_key.columns[0])
    yield from connection.execute(query.execution_options(yield_per=500) if chosen.many else query)


def _attributes(connection: Connection, table: Any, chosen: Chosen, histories: bool) -> Cells:
    found: Cells = defaultdict(dict)
    for row in _cells(connection, table, chosen):
        value = json.loads(row.value_json)
        if not histories and isinstance(value, dict):
            value.pop(HISTORY, None)
        found[row.trial_id][row.key] = value
    return found


def _params(connection: Connection, chosen: Chosen) -> tuple[Cells, Cells]:
    values: Cells = defaultdict(dict)
    kinds: Cells = defaultdict(dict)
    for row in _cells(connection, PARAMS, chosen):
        kind = _distribution(row.distribution_json)
        values[row.trial_id][row.param_name] = kind.to_external_repr(row.param_value)
        kinds[row.trial_id][row.param_name] = kind
    return values, kinds


@lru_cache(maxsize=256)
def _distribution(text: str) -> BaseDistribution:
    return json_to_distribution(text)


def _values(connection: Connection, chosen: Chosen) -> Cells:
    read = models.TrialValueModel.stored_repr_to_value
    found: Cells = defaultdict(dict)
    for row in _cells(connection, VALUES, chosen):
        found[row.trial_id][row.objective] = read(row.value, row.value_type)
    return found


def _steps(connection: Connection, chosen: Chosen) -> Cells:
    read = models.TrialIntermediateValueModel.stored_repr_to_intermediate_value
    found: Cells = defaultdict(dict)
    for row in _cells(connection, STEPS, chosen):
        found[row.trial_id][row.step] = read(row.intermediate_value, row.intermediate_value_type)
    return found
