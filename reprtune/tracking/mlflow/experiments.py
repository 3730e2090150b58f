"""Which of MLflow's experiments a study is in: found, or made."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from reprtune.errors import TrackingError
from reprtune.settings import Settings
from reprtune.spec.study import StudySpec
from reprtune.tracking.mlflow.saved_view import experiment_tags

if TYPE_CHECKING:
    from mlflow.entities import Experiment
    from mlflow.tracking import MlflowClient

MADE_FOR = "reprtune.made_for"  # digest of the study that an experiment was made for


def find_or_make(
    client: MlflowClient,
    study: StudySpec,
    digest: str,
    settings: Settings,
    stored: Mapping[str, Any] | None,
    study_run: str,
) -> Experiment:
    """The experiment of a study.

    Args:
        digest: of the stored study. stored: its experiment as it was at create, `name` and `id`; None at
            create, when it is the one named in the settings, else one of the study's own name.
        study_run: how the study's own run is found, which tells a renamed experiment from a stranger
            that has its number on a server that was emptied.

    Raises:
        TrackingError: it has been deleted.
        Exception: of MLflow.
    """
    name = stored["name"] if stored else settings.experiment or study.name
    own_database = settings.tracking_uri is None
    with FileLock(settings.runs_dir / ".mlflow.lock") if own_database else contextlib.nullcontext():
        found = client.get_experiment_by_name(name)  # creates the schema of an empty database
        if stored and (found is None or found.experiment_id != stored["id"]):
            found = _renamed(client, stored, study_run) or found
        if found is None:
            found = _make(client, name, study, digest, settings)
    if found.lifecycle_stage != "active":
        raise TrackingError(
            f"The MLflow experiment {found.name!r} has been deleted, and MLflow keeps its name.",
            f"Restore it with `mlflow experiments restore --experiment-id {found.experiment_id}`"
            + ("." if stored else ", or name another one with --experiment."),
        )
    return found


def _renamed(client: MlflowClient, stored: Mapping[str, Any], study_run: str) -> Experiment | None:
    """The experiment with the stored number, if the study's own run is in it."""
    from mlflow.exceptions import MlflowException

    try:
        there = client.get_experiment(str(stored["id"]))
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    return there if client.search_runs([there.experiment_id], study_run, max_results=1) else None


def _make(client: MlflowClient, name: str, study: StudySpec, digest: str, settings: Settings) -> Experiment:
    from mlflow.exceptions import MlflowException

    tags = experiment_tags(study, round(1000 * time.time()), own=name == study.name)
    tags[MADE_FOR] = digest.partition("@")[0]
    try:
        made = client.create_experiment(name, artifact_location=settings.mlflow_artifacts, tags=tags)
    except MlflowException:
        found = client.get_experiment_by_name(name)  # somebody else was faster
        if found is None:
            raise
        return found
    return client.get_experiment(made)
