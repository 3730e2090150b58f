"""The connection to MLflow, and what a study has there before its first trial.

MLflow is imported only when a connection is made; workers never make one. It is slow to give up by
itself (four minutes on a server that is down), so it gets a short deadline of ours unless the user
has set one in the environment.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from filelock import FileLock

from reprtune.errors import TrackingError
from reprtune.settings import Settings
from reprtune.spec.codec import canonical_json, to_plain
from reprtune.spec.study import StudySpec
from reprtune.tuning.events import IDENTITY, STUDY_KEY, identity
from reprtune.tuning.views import experiment_tags

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

CONNECT_SECONDS = 8
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": str(CONNECT_SECONDS),
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


@dataclass(frozen=True)
class TrackedStudy:
    """A study's place in MLflow: its experiment, and its own run, the parent of all others."""

    client: MlflowClient
    experiment_id: str
    parent_id: str


def prepare(settings: Settings, study: StudySpec, digest: str) -> str:
    """Make schema, experiment and parent run, whatever of it is missing; the experiment's id.

    To be called once at `study create`, before workers start: MLflow's own schema creation breaks
    when several processes begin at once.

    Raises:
        TrackingError: within about 20 s, naming the URI and the way out.
    """
    return open_study(settings, study, digest).experiment_id


def open_study(settings: Settings, study: StudySpec, digest: str) -> TrackedStudy:
    """Connect, and find or make what the study has in MLflow. Safe to repeat.

    Raises:
        TrackingError: when the store cannot be reached or used.
    """
    with _named_errors(settings.mlflow_uri):
        client = connect(settings.mlflow_uri)
        experiment_id = _experiment(client, study, settings)
        parent = find_run(client, experiment_id, identity(digest, STUDY_KEY))
        if parent is None:
            tags = {IDENTITY: identity(digest, STUDY_KEY)}
            parent = client.create_run(experiment_id, tags=tags, run_name=study.name)
        _describe(client, parent, study, digest)
        return TrackedStudy(client, experiment_id, parent.info.run_id)


def connect(uri: str) -> MlflowClient:
    """A client of the tracking store, quiet and with a short deadline.

    Raises:
        Exception: of whatever kind, when a database cannot be reached; a server is not asked yet.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # else a line for every retry
    scheme = uri.partition(":")[0].partition("+")[0]
    if scheme in DATABASES:
        _try_database(uri, scheme)
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri)


def find_run(client: MlflowClient, experiment_id: str, run_identity: str) -> Run | None:
    """The oldest run with this identity; runs deleted by a person are not there."""
    where = f"tags.`{IDENTITY}` = '{run_identity}'"
    runs = client.search_runs([experiment_id], where, max_results=1, order_by=["start_time ASC"])
    return runs[0] if runs else None


def shown(uri: str) -> str:
    """The URI without its password."""
    parts = urlsplit(uri)
    if parts.password is None:
        return uri
    return urlunsplit(parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":***@", 1)))


def _experiment(client: MlflowClient, study: StudySpec, settings: Settings) -> str:
    name, own = study.name, settings.tracking_uri is None
    with FileLock(settings.runs_dir / ".mlflow.lock") if own else contextlib.nullcontext():
        found = client.get_experiment_by_name(name)  # creates the schema of an empty database
        if found is None:
            tags = experiment_tags(study, round(1000 * time.time()))
            return client.create_experiment(name, artifact_location=settings.mlflow_artifacts, tags=tags)
    if found.lifecycle_stage != "active":
        raise TrackingError(
            f"The MLflow experiment {name!r} at {shown(settings.mlflow_uri)} has been deleted, "
            "and MLflow keeps its name.",
            f"Restore it with `mlflow experiments restore --experiment-id {found.experiment_id}`, "
            "or give the study another name with --name.",
        )
    return found.experiment_id


def _describe(client: MlflowClient, parent: Run, study: StudySpec, digest: str) -> None:
    from mlflow.entities import Param, RunTag

    params = {
        "sampler": study.sampler,
        "slots": study.slots,
        "seed": study.seed,
        "objectives": ", ".join(study.objectives),
        "stop.rule": study.stop.rule,
        "stop.min_comparable": study.stop.min_comparable,
    }
    tags = {
        "reprtune.study": study.name,
        "reprtune.digest": digest,
        "reprtune.role": "study",
        "mlflow.note.content": f"{study.question}\n\n{study.decision}\n\nCost: {study.cost}",
    }
    if parent.data.params.items() >= {k: str(v) for k, v in params.items()}.items():
        return
    run_id = parent.info.run_id
    client.log_text(run_id, canonical_json(to_plain(study)), "spec.json")
    client.log_batch(
        run_id,
        tags=[RunTag(k, v) for k, v in tags.items()],
        params=[Param(k, str(v)) for k, v in params.items()],
        synchronous=True,
    )


def _try_database(uri: str, scheme: str) -> None:
    """One attempt with a deadline; MLflow's own would try for minutes."""
    import sqlalchemy

    if scheme == "sqlite":
        path = sqlalchemy.make_url(uri).database
        if path:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
    arguments: dict[str, Any] = {}
    if scheme in ("postgresql", "mysql"):
        arguments["connect_timeout"] = CONNECT_SECONDS
    engine = sqlalchemy.create_engine(uri, connect_args=arguments)
    try:
        sqlalchemy.inspect(engine).get_table_names()
    finally:
        engine.dispose()


@contextlib.contextmanager
def _named_errors(uri: str) -> Iterator[None]:
    try:
        yield
    except TrackingError:
        raise
    except Exception as error:  # requests, SQLAlchemy, the database driver and MLflow each have their own
        raise TrackingError(
            f"The MLflow tracking store {shown(uri)} cannot be used: {brief(error)}",
            "Start it, correct --tracking-uri (or MLFLOW_TRACKING_URI), or leave that out to use SQLite in "
            "the runs folder.",
        ) from error


def brief(error: BaseException) -> str:
    """The first line of an error, at most 300 characters."""
    text = str(error).strip() or type(error).__name__
    line = text.splitlines()[0]
    return line if len(line) <= 300 else line[:299] + "…"
