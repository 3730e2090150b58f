"""The storage of the studies and the tracking store, for `doctor`: asked, and not touched."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import sqlalchemy
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection, make_url

from reprtune.doctor import places as doctor_places
from reprtune.doctor.findings import Finding
from reprtune.doctor.shared import connections, way_out
from reprtune.errors import ReprtuneError
from reprtune.passwords import DATABASES, hide
from reprtune.record import places
from reprtune.record.database import is_absent
from reprtune.record.locks import lock_key
from reprtune.record.optuna_private.reading import PACKAGE
from reprtune.settings import Settings
from reprtune.tracking.mlflow import places as tracked_places
from reprtune.tracking.mlflow.connection import NOT_HERE, ONE_FOLDER, connect
from reprtune.tracking.tracker import OFF

WAIT_SECONDS = 5
SERVER = (
    "Start the server, or name another with {flag} or {variable}; check address, port, firewall and rights."
)
OPTUNA = ("Optuna", PACKAGE, "alembic", "trials")
MLFLOW = ("MLflow", "mlflow.store", "db_migrations", "experiments")


def storage(settings: Settings) -> Iterator[Finding]:
    """Can the studies' database be reached, locked and written, and is it of this version?"""
    url = settings.storage_url
    try:
        absent = is_absent(url)
    except ReprtuneError as error:
        yield Finding("storage", "problem", error.message, error.hint or "")
        return
    yield from _database("storage", url, absent, OPTUNA, "--storage", "REPRTUNE_STORAGE")


def tracking(settings: Settings) -> Iterator[Finding]:
    """The same of MLflow's database, or its server: does it answer, and does it let us in?"""
    if not settings.tracks:
        yield Finding("mlflow", "ok", OFF)
        return
    uri = settings.mlflow_uri
    scheme = uri.partition(":")[0].partition("+")[0]
    if scheme in DATABASES:
        path = _file(uri)
        absent = path is not None and not path.exists()
        yield from _database("mlflow", uri, absent, MLFLOW, "--tracking-uri", "MLFLOW_TRACKING_URI")
        yield from _files(settings, absent=absent)
    elif scheme in ("http", "https"):
        yield from _server(uri)
    else:
        mend = "Use a database (sqlite:///...) or a server (http://...)."
        yield Finding(
            "mlflow", "warning", f"{hide(uri)} is no database and no server that is known here", mend
        )


def _database(
    check: str, url: str, absent: bool, of: tuple[str, str, str, str], flag: str, variable: str
) -> Iterator[Finding]:
    at = hide(url)
    if (path := _file(url)) is not None:
        yield from _on_network(check, path)
    if absent:
        yield Finding(check, "ok", f"{at} is not there yet; `study create` makes it")
        return
    mend = SERVER.format(flag=flag, variable=variable)
    try:
        with _connection(url, path) as connection:
            yield from _contents(check, at, connection, of)
            yield from _writing(check, connection)
    except Exception as error:  # noqa: BLE001 - drivers have their own
        text = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        yield Finding(check, "problem", hide(f"{at} cannot be used: {text}"), way_out(text, mend))


@contextlib.contextmanager
def _connection(url: str, path: Path | None) -> Iterator[Connection]:
    """To a database that is there; never makes a file."""
    options: dict[str, Any] = {}
    if path is not None:
        where = f"file:{quote(str(path.resolve()))}?mode=rw"
        options["creator"] = lambda: sqlite3.connect(
            where, uri=True, timeout=WAIT_SECONDS, isolation_level=None
        )
    elif make_url(url).get_driver_name() in ("psycopg", "psycopg2"):
        options["connect_args"] = {"connect_timeout": WAIT_SECONDS}
    engine = sqlalchemy.create_engine(url, **options)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _contents(
    check: str, at: str, connection: Connection, of: tuple[str, str, str, str]
) -> Iterator[Finding]:
    """Its tables, and the version of their form."""
    program, package, folder, table = of
    tables = sqlalchemy.inspect(connection).get_table_names()
    if table not in tables:
        others = f" beside {len(tables)} tables of something else" if tables else ""
        yield Finding(check, "ok", f"{at} answers and has no tables of {program} yet{others}; they are made")
        return
    here = _head(package, folder)
    found = [row[0] for row in connection.execute(sqlalchemy.text("SELECT version_num FROM alembic_version"))]
    if found == [here]:
        yield Finding(check, "ok", f"{at} answers; its tables are of this {program}'s version ({here})")
        return
    upgrade = f"{'optuna storage upgrade --storage' if program == 'Optuna' else 'mlflow db upgrade'} URL"
    text = f"{at}: its tables are of version {', '.join(found) or '?'}, and this {program} has {here}"
    yield Finding(
        check, "problem", text, f"An older one: {upgrade} (keep a copy). A newer one: update {program}."
    )


def _head(package: str, folder: str) -> str | None:
    """The newest form of a program's tables, as its migrations say."""
    import importlib

    config = Config()
    module = importlib.import_module(package)
    config.set_main_option(
        "script_location", str(Path(str(module.__file__)).parent / folder).replace("%", "%%")
    )
    return ScriptDirectory.from_config(config).get_current_head()


def _writing(check: str, connection: Connection) -> Iterator[Finding]:
    """May we write, and does its lock work? Nothing is written."""
    backend = connection.engine.dialect.name
    connection.rollback()
    if backend == "sqlite":
        yield _lock_sqlite(check, connection)
    elif backend == "postgresql":
        yield from _ask_postgresql(check, connection)
        yield from connections(check, connection)


def _lock_sqlite(check: str, connection: Connection) -> Finding:
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        connection.exec_driver_sql("ROLLBACK")
    except sqlalchemy.exc.OperationalError as error:
        text = str(error.orig)
        if "locked" in text:
            mend = "Another process writes for long: wait, or use PostgreSQL for many workers."
            return Finding(check, "warning", f"it was locked by others for {WAIT_SECONDS} s", mend)
        return Finding(
            check, "problem", f"it cannot be written: {text}", "Get the right to write to file and folder."
        )
    return Finding(check, "ok", "it can be locked for writing")


def _ask_postgresql(check: str, connection: Connection) -> Iterator[Finding]:
    def one(sql: str) -> Any:
        return connection.execute(sqlalchemy.text(sql)).scalar()

    skew = float(one("SELECT extract(epoch FROM clock_timestamp())")) - time.time()
    if one("SELECT pg_is_in_recovery()") or one("SHOW transaction_read_only") == "on":
        yield Finding(check, "problem", "it is read-only (a standby?)", "Use the primary server.")
    elif not one("SELECT has_schema_privilege(current_user, current_schema(), 'CREATE')"):
        yield Finding(
            check, "warning", "this user may not make tables there", "GRANT CREATE ON SCHEMA public TO ..."
        )
    else:
        yield Finding(check, "ok", "it can be written")
    key = lock_key("doctor")
    if one(f"SELECT pg_try_advisory_lock({key})"):
        one(f"SELECT pg_advisory_unlock({key})")
        yield Finding(check, "ok", "its lock works")
    else:
        yield Finding(check, "ok", "its lock is held by a worker just now")
    if abs(skew) > doctor_places.SKEW_SECONDS:
        mend = "Let both follow the same time server (NTP)."
        yield Finding(check, "warning", f"its clock is {skew:+.0f} s from this machine's", mend)


def _on_network(check: str, path: Path) -> Iterator[Finding]:
    above = next((p for p in (path, *path.absolute().parents) if p.exists()), Path("/"))
    if (kind := places.file_system(above)) in doctor_places.NETWORK:
        mend = "Put it on a local disk; where several machines work on a study, use PostgreSQL: `python cli.py db start`."
        text = f"SQLite on a network file system ({kind}): its locks may fail there and damage it"
        yield Finding(check, "problem", text, mend)


def _file(url: str) -> Path | None:
    with contextlib.suppress(sqlalchemy.exc.ArgumentError):
        parsed = make_url(url)
        return Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None
    return None


def _server(uri: str) -> Iterator[Finding]:
    """A tracking server: reached, logged in to, and where its artifacts go."""
    import mlflow

    client = connect(uri)
    try:
        experiments = client.search_experiments(max_results=1)
    except Exception as error:  # noqa: BLE001 - requests, urllib3 and MLflow each have their own
        yield _refused(uri, error)
        return
    yield Finding("mlflow", "ok", f"{hide(uri)} answers and lets us in; MLflow {mlflow.__version__} here")
    for experiment in experiments:
        yield from _artifacts(experiment.artifact_location, server=True)


def _refused(uri: str, error: Exception) -> Finding:
    text = hide(str(error)).strip().splitlines()[0][:300]
    if any(code in text for code in ("401", "403", "Permission denied", "not authenticated")):
        mend = "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
        return Finding("mlflow", "problem", f"{hide(uri)} does not let us in: {text}", mend)
    mend = SERVER.format(flag="--tracking-uri", variable="MLFLOW_TRACKING_URI")
    return Finding(
        "mlflow", "problem", f"{hide(uri)} cannot be used: {text}", f"{mend} Training goes on without it."
    )


def _files(settings: Settings, *, absent: bool) -> Iterator[Finding]:
    """Where a database says that the files of its runs are, and where those of its next study will be."""
    uri, root = settings.mlflow_uri, settings.mlflow_artifacts
    kept, moved = list[str](), list[str]()
    if not absent:
        with (
            contextlib.suppress(Exception),
            _connection(uri, _file(uri)) as connection,
        ):  # why not is said already
            kept, moved = (
                tracked_places.folders(connection, used=True),
                tracked_places.former(settings, connection),
            )
    for old in moved:
        text = f"the runs folder was moved: MLflow still looks for files in {tracked_places.path_of(old)}"
        yield Finding(
            "artifacts", "warning", text, "The next run, or `study sync NAME`, sets that right by itself."
        )
    for place in sorted({*kept, *filter(None, [root])} - {*moved}):
        if place in kept and (folder := tracked_places.absent(settings, place)) is not None:
            yield Finding("artifacts", "problem", NOT_HERE.format(folder=folder), ONE_FOLDER)
        else:
            yield from _artifacts(place)


def _artifacts(location: str, *, server: bool = False) -> Iterator[Finding]:
    """Can files be put where an experiment keeps them?"""
    parts = urlsplit(location)
    if parts.scheme == "mlflow-artifacts":
        yield Finding("artifacts", "ok", "files go through the server")
    elif parts.scheme in ("", "file"):
        path = Path(unquote(parts.path))
        found = list(doctor_places.folder("artifacts", path, flag="--runs"))
        if server and any(f.verdict == "problem" for f in found):
            mend = "Share that folder with the server, or start the server with --serve-artifacts."
            found = [
                Finding("artifacts", "problem", f"the server keeps files in {path}, not writable here", mend)
            ]
        yield from found
    else:
        driver = {"s3": "boto3", "gs": "google.cloud.storage"}.get(parts.scheme)
        missing = driver is not None and not _installed(driver)
        mend = f"pip install {driver}" if missing else ""
        where = f"{parts.scheme}://{parts.hostname or ''}"
        text = f"files go to {where}" + (f", which needs {driver}" if missing else "; not tried")
        yield Finding("artifacts", "problem" if missing else "ok", text, mend)


def _installed(module: str) -> bool:
    from importlib import util

    try:
        return util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
