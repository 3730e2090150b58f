"""What MLflow has of a study, found and deleted."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reprtune.passwords import hide
from reprtune.record.links import IDENTITY_TAG
from reprtune.record.schema import StudyRecord
from reprtune.settings import Settings
from reprtune.tracking.events import STUDY_KEY, identity
from reprtune.tracking.mlflow.connection import connect, named_errors, runs_of
from reprtune.tracking.mlflow.experiments import MADE_FOR

if TYPE_CHECKING:
    from mlflow.entities import Experiment
    from mlflow.tracking import MlflowClient


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

    @property
    def words(self) -> str:
        found = f"with {len(self.run_ids)} runs in MLflow at {hide(self.uri)}"
        if self.takes_experiment and self.experiment is not None:
            found += f" and their experiment {self.experiment.name!r}"
        return found

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
        runs.sort(key=lambda run: run.data.tags.get(IDENTITY_TAG) == of_study)
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
