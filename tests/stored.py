"""Studies in a storage without any training."""

from __future__ import annotations

import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage

from reprtune.record import storage as stored
from reprtune.record.database import open_storage
from reprtune.record.schema import StudyRecord
from reprtune.record.view import StudyView
from reprtune.spec.codec import digest
from reprtune.spec.study import StudySpec
from reprtune.study.queueing import fill_new
from tests.flat import with_fields
from tests.tiny_study import STUDY

LEASE = {"worker": "w", "host": "h", "device": "cpu"}


def record(spec: StudySpec) -> StudyRecord:
    """What `create` would store, with facts of 2 steps per epoch."""
    facts = {"steps_per_epoch": 2, "total_steps": 8, "data_digest": "d"}
    return StudyRecord(spec=spec, digest=digest(spec), facts=facts, created=time.time(), version="0")


@cache
def _empty_tables() -> bytes:
    """An SQLite database with Optuna's tables; making them takes longer than most tests."""
    with tempfile.TemporaryDirectory() as folder:
        open_storage(f"sqlite:///{folder}/x.db").engine.dispose()
        return Path(folder, "x.db").read_bytes()


def empty_storage(path: Path) -> RDBStorage:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_empty_tables())
    return open_storage(f"sqlite:///{path}")


def new_study(where: str | Path, *, spec: StudySpec = STUDY, **changes: Any) -> tuple[RDBStorage, StudySpec]:
    """The tiny study, or another, with some fields changed, in an empty database at this URL or in a new file."""
    spec = with_fields(spec, **changes) if changes else spec
    storage = empty_storage(where) if isinstance(where, Path) else open_storage(where)
    new = record(spec)
    stored.create(storage, new, lambda: fill_new(StudyView(storage, spec.name), new))
    return storage, spec


def foreign_study(storage: RDBStorage, name: str) -> None:
    """A study of somebody else with one trial."""
    study = optuna.create_study(storage=storage, study_name=name)
    study.add_trial(optuna.trial.create_trial(value=1.0))
