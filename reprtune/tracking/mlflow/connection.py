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
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reprtune.errors import TrackingError
from reprtune.passwords import DATABASES, hide, hide_in, learn
from reprtune.record.links import IDENTITY_TAG
from reprtune.record.locks import tables_lock
from reprtune.settings import Settings
from reprtune.spec.codec import canonical_json, to_plain
from reprtune.spec.study import StudySpec
from reprtune.spec.task import TaskSpec
from reprtune.tracking.elsewhere import ONE_STORE, named_here, store_fact, store_run, warning
from reprtune.tracking.events import STUDY_KEY, identity
from reprtune.tracking.mlflow import places
from reprtune.tracking.mlflow.datasets import DatasetPart, as_entities, dataset_parts
from reprtune.tracking.mlflow.experiments import find_or_make
from reprtune.tracking.mlflow.words import NOTE

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient
    from sqlalchemy.engine import Engine

CONNECT_SECONDS = 8
MEET_SECONDS = 2.0  # for which one of several waits that have made one run at the same moment
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": str(CONNECT_SECONDS),
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # a lost answer to "create a run" must not make it twice
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
MOVED = "The runs folder was moved: the files of MLflow's runs, in {old} before, are looked for and put in {new} now."
NOT_HERE = "MLflow keeps the files of this study's runs in {folder}, which is not on this machine."
ONE_FOLDER = "Share that folder under this name, or let all machines use an MLflow server; all else is sent."
NO_DRIVER = {"boto3": "'.[s3]'", "psycopg": "'.[postgresql]'"}


@dataclass(frozen=True)
class TrackedStudy:
    """A study's place in MLflow: its experiment, and its own run, the parent of all others.

    Attributes:
        task: of the study's base. datasets: the parts of its data. fact: what the study remembers of its place.
        notes: what a person is to know of it. absent: where its files are kept, if that is not on this machine.
    """

    client: MlflowClient
    experiment_id: str
    parent_id: str
    task: TaskSpec
    datasets: tuple[DatasetPart, ...] = ()
    fact: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    absent: Path | None = None

    def is_there(self) -> bool:
        """Not so on a server that was emptied, where another experiment may have our number by now.

        Raises:
            Exception: of MLflow, when it cannot be asked.
        """
        from mlflow.exceptions import MlflowException

        try:
            info = self.client.get_run(self.parent_id).info
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
        return bool(info.lifecycle_stage == "active" and info.experiment_id == self.experiment_id)


def reach(uri: str) -> None:
    """Ask the store for something, so that one that is down or does not let us in is known before anything is written.

    Raises:
        TrackingError: within about 20 s, naming the URI and the way out.
    """
    with named_errors(uri):
        connect(uri).search_experiments(max_results=1)


def prepare(
    settings: Settings, study: StudySpec, digest: str, facts: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """Make schema, experiment and parent run, whatever of it is missing; what the study is to remember of them.

    Raises:
        TrackingError: within about 20 s, naming the URI and the way out.
    """
    return dict(open_study(settings, study, digest, facts).fact)


def open_study(
    settings: Settings, study: StudySpec, digest: str, facts: Mapping[str, Any] | None = None
) -> TrackedStudy:
    """Connect, and find or make what the study has in MLflow. Safe to repeat.

    Args:
        digest: of the stored study. facts: of the stored study, where there are any yet; `experiment` says
            which one it is in.

    Raises:
        TrackingError: when the store cannot be reached or used.
    """
    facts = facts or {}
    run_identity = identity(digest, STUDY_KEY)
    datasets = dataset_parts(study.base.task, facts)
    with named_errors(settings.mlflow_uri):
        client = connect(settings.mlflow_uri)
        notes = [MOVED.format(old=old, new=settings.runs_dir) for old in places.follow(settings)]
        experiment = find_or_make(
            client, study, digest, settings, facts.get("experiment"), _where(run_identity)
        )
        parent, absent = find_run(client, experiment.experiment_id, run_identity), None
        if parent is None:  # whoever makes it makes the folder for its files too
            parent = make_run(client, experiment.experiment_id, run_identity, study.name)
        elif parent.data.params:  # it has been described, and so it had files
            absent = places.absent(settings, experiment.artifact_location)
        if absent is not None:
            notes.append(f"{NOT_HERE.format(folder=absent)} {ONE_FOLDER}")
        else:
            _describe(client, parent, study, digest, datasets)
        run_id, at = parent.info.run_id, hide(settings.mlflow_uri)
        if store_run(facts) not in ("", run_id) and not named_here(facts, at):
            notes.append(f"{warning(facts, at)} {ONE_STORE}")
        return TrackedStudy(
            client, experiment.experiment_id, run_id, study.base.task, datasets,
            fact=store_fact(experiment.name, experiment.experiment_id, run_id, at), notes=tuple(notes), absent=absent,
        )  # fmt: skip


def connect(uri: str) -> MlflowClient:
    """A client of the tracking store, quiet and with a short deadline.

    Raises:
        Exception: of whatever kind, when a database cannot be reached; a server is not asked yet.
    """
    learn(uri)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # else a line for every retry
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # what it logs, it raises as well
    scheme = uri.partition(":")[0].partition("+")[0]
    from mlflow.tracking import MlflowClient

    if scheme in DATABASES:
        _open_database(uri, scheme)
    return MlflowClient(tracking_uri=uri)


def has_run(uri: str, run_id: str) -> bool | None:
    """Whether a store holds a run; None where it cannot be asked."""
    try:
        connect(uri).get_run(run_id)
    except Exception as error:  # noqa: BLE001 - MLflow, requests and drivers have their own
        return False if getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST" else None
    return True


def find_run(client: MlflowClient, experiment_id: str, run_identity: str) -> Run | None:
    """The oldest run with this identity; runs deleted by a person are not there."""
    runs = client.search_runs(
        [experiment_id], _where(run_identity), max_results=1, order_by=["start_time ASC"]
    )
    return runs[0] if runs else None


def make_run(
    client: MlflowClient,
    experiment_id: str,
    run_identity: str,
    name: str,
    tags: Mapping[str, str] | None = None,
    start_ms: int | None = None,
) -> Run:
    """A new run with an identity that none had; or the one that another process has made at the same moment.

    MLflow would keep both. So whoever has made one looks again: where there is one with a lower id, its own goes. Whose
    own is the lowest waits for the others to go; those that stay were alone when their makers looked, and its own goes.
    Who is late by more than that wait may be left with a deleted run: that is an error, and made good the next time.
    """
    where = _where(run_identity)
    while True:
        given = {IDENTITY_TAG: run_identity, **(tags or {})}
        made = client.create_run(experiment_id, start_ms, given, run_name=name)
        own, found = made.info.run_id, client.search_runs([experiment_id], where)
        if len(found) > 1 and own == _lowest(found).info.run_id:
            time.sleep(MEET_SECONDS)
            found = client.search_runs([experiment_id], where)
        if len(found) <= 1:
            return made
        client.delete_run(own)
        before = ""
        while found := client.search_runs([experiment_id], where):
            if (there := _lowest(found)).info.run_id == before:
                return there
            before = there.info.run_id
            time.sleep(1.5 * MEET_SECONDS)  # its maker may still be waiting, and let it go


def _lowest(runs: Iterable[Run]) -> Run:
    return min(runs, key=lambda run: str(run.info.run_id))


def runs_of(client: MlflowClient, experiment_id: str, digest: str) -> list[Run]:
    """All runs of a study that are not deleted, its own among them."""
    runs: list[Run] = []
    token: str | None = None
    while True:
        where = f"tags.`{IDENTITY_TAG}` LIKE '{digest}/%'"
        page = client.search_runs([experiment_id], where, max_results=1000, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs


def _where(run_identity: str) -> str:
    return f"tags.`{IDENTITY_TAG}` = '{run_identity}'"


def _describe(
    client: MlflowClient, parent: Run, study: StudySpec, digest: str, datasets: tuple[DatasetPart, ...]
) -> None:
    from mlflow.entities import Param, RunTag

    params: dict[str, Any] = {"objectives": ", ".join(study.objectives)}
    if (search := study.search) is not None:
        params |= {"sampler": search.sampler, "slots": search.slots, "seed": search.seed}
        params |= {"stop.rule": search.stop.kind}
        params |= {f"stop.{name}": value for name, value in search.stop.options().items()}
    tags = {
        "reprtune.study": study.name,
        "reprtune.digest": digest,
        "reprtune.role": "study",
        NOTE: _note(study),
    }
    if parent.data.params.items() >= {k: str(v) for k, v in params.items()}.items():
        return
    run_id = parent.info.run_id
    client.log_text(run_id, canonical_json(to_plain(study)), "spec.json")
    if datasets:
        client.log_inputs(run_id, datasets=as_entities(datasets))
    client.log_batch(
        run_id,
        tags=[RunTag(k, v) for k, v in tags.items()],
        params=[Param(k, str(v)) for k, v in params.items()],
        synchronous=True,
    )


def _note(study: StudySpec) -> str:
    """What the study asks, by what it is decided, and what it takes, as MLflow's page shows it."""
    rules = "\n".join(f"- {rule.line}" for rule in study.applied_rules)
    decided = rules and f"Decided by:\n\n{rules}"
    return "\n\n".join(filter(None, (study.question, study.decision, decided, f"Cost: {study.cost}")))


def _open_database(uri: str, scheme: str) -> None:
    """One attempt with a deadline, where MLflow's own would try for minutes; and its tables, where there are none:
    one process at a time, for its own making of them breaks when several begin at once."""
    import sqlalchemy
    from mlflow.tracking import MlflowClient

    url = sqlalchemy.make_url(uri)
    if scheme == "sqlite" and url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    arguments: dict[str, Any] = {}
    if scheme in ("postgresql", "mysql"):
        arguments["connect_timeout"] = CONNECT_SECONDS
        os.environ.setdefault("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")  # else it keeps some for itself
    engine = sqlalchemy.create_engine(url, connect_args=arguments, poolclass=sqlalchemy.pool.NullPool)
    if _has_tables(engine):
        return
    with tables_lock(url, engine):
        if not _has_tables(engine):
            MlflowClient(tracking_uri=uri).search_experiments(max_results=1)


def _has_tables(engine: Engine) -> bool:
    """Has somebody made MLflow's tables, to the last step of it: an experiment named Default?"""
    import sqlalchemy

    with engine.connect() as connection:
        there = sqlalchemy.inspect(connection).has_table("experiments")
        return there and connection.execute(sqlalchemy.text("SELECT 1 FROM experiments")).first() is not None


@contextlib.contextmanager
def named_errors(uri: str) -> Iterator[None]:
    """Whatever requests, SQLAlchemy, a driver or MLflow raises, as a TrackingError."""
    try:
        yield
    except Exception as error:
        hide_in(error)
        raise in_words(error, uri) from error


def in_words(error: Exception, uri: str) -> TrackingError:
    """What is wrong with the tracking store, and the way out."""
    if isinstance(error, TrackingError):
        return error
    text, user = str(error), os.environ.get("MLFLOW_TRACKING_USERNAME")
    by = f"the user {user!r}" if user else "anybody without a name"
    if "error code 401" in text:
        return TrackingError(
            f"The MLflow server {hide(uri)} does not let {by} in (401).",
            "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, for that server.",
        )
    if "error code 403" in text or getattr(error, "error_code", "") == "PERMISSION_DENIED":
        return TrackingError(
            f"The MLflow server {hide(uri)} does not allow {by} to do that (403): {brief(error)}",
            "Ask its administrator for the permission EDIT on the experiment, or name another with --experiment.",
        )
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return TrackingError(
            f"The certificate of the MLflow server {hide(uri)} is not trusted here.",
            "Set MLFLOW_TRACKING_SERVER_CERT_PATH to its certificate (or MLFLOW_TRACKING_INSECURE_TLS=true).",
        )
    driver = getattr(error, "name", None) if isinstance(error, ImportError) else None
    if driver in NO_DRIVER:
        return TrackingError(
            f"The MLflow tracking store {hide(uri)} needs {driver}, which is not installed.",
            f"In the checkout: pip install -e {NO_DRIVER[driver]} -c constraints.txt",
        )
    return TrackingError(
        f"The MLflow tracking store {hide(uri)} cannot be used: {brief(error)}",
        "Start it, correct --tracking-uri (or MLFLOW_TRACKING_URI), or leave that out to use SQLite in "
        "the runs folder.",
    )


def brief(error: BaseException) -> str:
    """The first line of an error, at most 300 characters, without passwords."""
    text = hide(str(error)).strip() or type(error).__name__
    line = text.splitlines()[0]
    return line if len(line) <= 300 else line[:299] + "…"
