"""Attributes of a study that are taken away, for which Optuna has no way."""

from __future__ import annotations

from collections.abc import Sequence

from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from sqlalchemy import delete

ATTRIBUTES = models.StudyUserAttributeModel.__table__


def delete_study_attributes(storage: RDBStorage, study_id: int, keys: Sequence[str]) -> None:
    """Those that are there."""
    chosen = (ATTRIBUTES.c.study_id == study_id) & ATTRIBUTES.c.key.in_(keys)
    with storage.engine.begin() as connection:
        connection.execute(delete(ATTRIBUTES).where(chosen))
