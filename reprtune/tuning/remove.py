"""Remove a study."""

from __future__ import annotations

import shutil

from reprtune.record import storage as stored
from reprtune.record.database import open_storage
from reprtune.record.schema import StudyRecord
from reprtune.settings import Settings
from reprtune.states.store import StateStore
from reprtune.tuning.journal import Journal


def delete_study(settings: Settings, study: StudyRecord) -> None:
    """Remove its trials, its training states and its journal on this machine; MLflow's runs stay.

    The record goes last, so that an interrupted delete can be repeated.
    """
    StateStore(settings.states).forget(study.digest)
    shutil.rmtree(Journal(settings.journal_dir, study.spec.name).root, ignore_errors=True)
    stored.delete(open_storage(settings.storage_url), study.spec.name)
