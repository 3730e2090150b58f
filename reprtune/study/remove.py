"""Remove a study."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optuna.storages import RDBStorage
from optuna.trial import TrialState

from reprtune.errors import StudyError
from reprtune.record import storage as stored
from reprtune.record.database import open_storage
from reprtune.record.optuna_private.trials import stale_trial_ids, trial_id
from reprtune.record.schema import StudyRecord
from reprtune.settings import Settings, lease_seconds
from reprtune.spec.study import check_name
from reprtune.states.store import StateStore
from reprtune.tracking.events import STUDY_KEY, identity
from reprtune.tracking.journal import Journal
from reprtune.tracking.mlflow.connection import connect, named_errors, runs_of
from reprtune.tracking.mlflow.experiments import MADE_FOR

if TYPE_CHECKING:
    from mlflow.entities import Experiment
    from mlflow.tracking import MlflowClient


def check_idle(settings: Settings, study: StudyRecord) -> None:
    """Refuse while it is trained: its workers would fail on what is gone.

    Raises:
        StudyError: a worker was heard of within the grace period.
    """
    if workers := _workers(open_storage(settings.storage_url), study.spec.name):
        raise StudyError(
            f"{study.spec.name!r} is being trained by {', '.join(workers)}.",
            "Stop its workers first (Ctrl-C where they run); one that was killed counts as gone after "
            f"{lease_seconds()[1]} s.",
        )


def _workers(storage: RDBStorage, name: str) -> list[str]:
    """Who trains it, and was heard of within the grace period."""
    found: set[str] = set()
    for part in (name, stored.controls_name(name), stored.confirmation_name(name)):
        with contextlib.suppress(KeyError):  # not every study has all parts
            study_id = storage.get_study_id_from_name(part)
            stale = stale_trial_ids(storage, study_id)
            running = storage.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))
            alive = [t.user_attrs for t in running if trial_id(t) not in stale]
            found |= {str(attrs["lease"]["worker"]) for attrs in alive if "lease" in attrs}
    return sorted(found)


def delete_study(settings: Settings, study: StudyRecord) -> None:
    """Remove its trials, its training states and its journal on this machine; MLflow's runs stay.

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


@dataclass(frozen=True)
class InMlflow:
    """What MLflow has of a study.

    Attributes:
        run_ids: of its runs that are not deleted, its own the last. experiment: None when it is not there.
        takes_experiment: it was made for this study, and no other's runs are in it.
    """

    uri: str
    client: MlflowClient
    run_ids: tuple[str, ...] = ()
    experiment: Experiment | None = None
    takes_experiment: bool = False

    def delete(self) -> None:
        """Delete the runs, and the experiment where nothing else is in it. Interrupted, it can be repeated.

        MLflow keeps what is deleted until its administrator calls `mlflow gc`; the experiment's name becomes
        free at once, because it is deleted under another.

        Raises:
            TrackingError: the store cannot be reached, or does not allow it.
        """
        with named_errors(self.uri):
            for run_id in self.run_ids:
                self.client.delete_run(run_id)
            if self.experiment is not None and self.takes_experiment:
                experiment_id, name = self.experiment.experiment_id, self.experiment.name
                if not self.client.search_runs([experiment_id], max_results=1):  # nobody came meanwhile
                    self.client.rename_experiment(experiment_id, f"{name} (deleted {time.time():.0f})")
                    self.client.delete_experiment(experiment_id)


def find_in_mlflow(settings: Settings, study: StudyRecord) -> InMlflow:
    """Look for what `study delete --with-mlflow` is to delete; changes nothing.

    Raises:
        TrackingError: the store cannot be reached.
    """
    with named_errors(settings.mlflow_uri):
        client = connect(settings.mlflow_uri)
        experiment = _experiment(client, study)
        if experiment is None:
            return InMlflow(settings.mlflow_uri, client)
        of_study = identity(study.instance, STUDY_KEY)
        runs = runs_of(client, experiment.experiment_id, study.instance)
        runs.sort(key=lambda run: run.data.tags.get("reprtune.identity") == of_study)
        ids = tuple(run.info.run_id for run in runs)
        others = client.search_runs([experiment.experiment_id], max_results=len(ids) + 1)
        takes = experiment.tags.get(MADE_FOR) == study.digest and len(others) == len(ids)
        return InMlflow(settings.mlflow_uri, client, ids, experiment, takes)


def _experiment(client: MlflowClient, study: StudyRecord) -> Experiment | None:
    """The active experiment of a study: with its number and its name or its runs, or else with its name."""
    from mlflow.exceptions import MlflowException

    named: Mapping[str, Any] = study.facts.get("experiment", {"name": study.spec.name})
    candidates = [client.get_experiment_by_name(named["name"])]
    if "id" in named:
        try:
            candidates.insert(0, client.get_experiment(named["id"]))
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
    for found in candidates:
        if found is None or found.lifecycle_stage != "active":
            continue
        is_ours = found.name == named["name"] or found.tags.get(MADE_FOR) == study.digest
        if is_ours or runs_of(client, found.experiment_id, study.instance):
            return found
    return None
