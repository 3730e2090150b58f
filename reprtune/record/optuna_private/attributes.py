"""Attributes of a study: read by its name, in one question; and taken away, for which Optuna has no way."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from sqlalchemy import delete, select

from reprtune.record.optuna_private.session import reading

ATTRIBUTES = models.StudyUserAttributeModel.__table__
STUDIES = models.StudyModel.__table__


def read_attributes(storage: RDBStorage, name: str) -> dict[str, Any]:
    """All user attributes of a study.

    Raises:
        KeyError: there is none of that name.
    """
    both = STUDIES.outerjoin(ATTRIBUTES, STUDIES.c.study_id == ATTRIBUTES.c.study_id)
    query = select(ATTRIBUTES.c.key, ATTRIBUTES.c.value_json).select_from(both)
    with reading(storage) as connection:
        rows = connection.execute(query.where(STUDIES.c.study_name == name)).all()
    if not rows:
        raise KeyError(f"There is no study {name!r}.")
    return {key: json.loads(value) for key, value in rows if key is not None}


def delete_study_attributes(storage: RDBStorage, study_id: int, keys: Sequence[str]) -> None:
    """Those that are there."""
    chosen = (ATTRIBUTES.c.study_id == study_id) & ATTRIBUTES.c.key.in_(keys)
    with storage.engine.begin() as connection:
        connection.execute(delete(ATTRIBUTES).where(chosen))
