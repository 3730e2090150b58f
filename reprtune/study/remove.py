"""Remove a study."""

from __future__ import annotations

import contextlib
import shutil
import time

from optuna.storages import RDBStorage
from optuna.trial import TrialState

from reprtune.errors import StudyError
from reprtune.record import storage as stored
from reprtune.record.database import open_storage
from reprtune.record.optuna_private.trials import stale_trial_ids, trial_id
from reprtune.record.schema import StudyRecord
from reprtune.record.workers import read_workers
from reprtune.settings import Settings
from reprtune.spec.study import check_name
from reprtune.states.store import StateStore
from reprtune.tracking.journal import Journal


def check_idle(settings: Settings, study: StudyRecord) -> None:
    """Refuse while it is trained: its workers would fail on what is gone.

    Raises:
        StudyError: a worker was heard of within the grace period.
    """
    grace = study.lease[1]
    if workers := _workers(open_storage(settings.storage_url), study.spec.name, grace):
        raise StudyError(
            f"{study.spec.name!r} is being trained by {', '.join(workers)}.",
            "Stop its workers first (Ctrl-C where they run); one that was killed counts as gone after "
            f"{grace} s.",
        )


def _workers(storage: RDBStorage, name: str, grace_seconds: int) -> list[str]:
    """Who trains it, or is there between two trials, as while it writes what one has come to, and was heard of within
    the grace period."""
    found: set[str] = set()
    for part in (name, *stored.sections_of(storage, name)):
        with contextlib.suppress(KeyError):  # not every study has all parts
            study_id = storage.get_study_id_from_name(part)
            stale = stale_trial_ids(storage, study_id, grace_seconds)
            running = storage.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))
            alive = [t.user_attrs for t in running if trial_id(t) not in stale]
            found |= {str(attrs["lease"]["worker"]) for attrs in alive if "lease" in attrs}
    there = read_workers(storage, name)
    now = time.time()
    return sorted(found | {worker for worker, fact in there.items() if now - fact["time"] <= grace_seconds})


def delete_study(settings: Settings, study: StudyRecord) -> None:
    """Remove its trials, its training states and its journal on this machine; what a tracker has of it stays.

    The record goes last, so that an interrupted delete can be repeated.
    """
    _delete(settings, study.spec.name, study.digest)


def delete_damaged(settings: Settings, name: str) -> None:
    """The same for a study that cannot be read; where it has lost its digest, its states stay.

    Raises:
        StudyError: there is no study of that name, or it is not ours. SpecError: no study can have that name.
    """
    check_name(name)
    digest = stored.read_attribute(open_storage(settings.storage_url), name).get("digest")
    _delete(settings, name, digest if isinstance(digest, str) and digest else None)


def _delete(settings: Settings, name: str, digest: str | None) -> None:
    if digest is not None:
        StateStore(settings.states).forget(digest)
    shutil.rmtree(Journal(settings.journal_dir, name).root, ignore_errors=True)
    stored.delete(open_storage(settings.storage_url), name)
