"""Where MLflow keeps the files of runs, in a project that was moved, and on a machine that has no such folder.

MLflow writes the whole path of that folder into its database, for every experiment and every run. A runs folder of ours
that was moved or copied takes its database along, which then names the folder of before: it is set right there, so that
files land beside the database again, and MLflow's own page finds them. In a database that several machines use the
folder is one machine's: no other makes one of that name.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from reprtune.passwords import DATABASES
from reprtune.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

PATHS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
)


def own_database(settings: Settings) -> Path | None:
    """The file of a tracking store that lies in the runs folder, whose files lie there too; None of any other."""
    import sqlalchemy

    if not settings.mlflow_uri.startswith("sqlite"):
        return None
    name = sqlalchemy.make_url(settings.mlflow_uri).database
    path = Path(name).resolve() if name else None
    return path if path is not None and path.parent == settings.runs_dir.resolve() else None


def folders(connection: Connection, *, used: bool = False) -> list[str]:
    """Where the files of all experiments go, or of those that hold runs, each place once."""
    import sqlalchemy

    if "experiments" not in sqlalchemy.inspect(connection).get_table_names():
        return []
    ask = "SELECT DISTINCT artifact_location FROM experiments"
    if used:
        ask += " WHERE experiment_id IN (SELECT experiment_id FROM runs)"
    return sorted(row[0] for row in connection.execute(sqlalchemy.text(ask)) if row[0])


def former(settings: Settings, connection: Connection) -> list[str]:
    """Where a runs folder had its files before it was moved or copied: it has them too now, or they are nowhere else.
    Not the folder of another, which shares its database."""
    here = settings.mlflow_artifacts
    own = None if here is None or own_database(settings) is None else path_of(here)
    if own is None:
        return []
    there = [(p, path_of(p)) for p in folders(connection) if p != here]
    return [
        place
        for place, path in there
        if path is not None
        and path.name == own.name
        and not (path.exists() and own.exists() and path.samefile(own))
        if not path.exists() or any((own / run).is_dir() for run in _runs_in(connection, place))
    ]


def _runs_in(connection: Connection, place: str) -> list[str]:
    """Ids of the runs whose files are below a place; the folder of a run has its id as a name."""
    import sqlalchemy

    ask = sqlalchemy.text("SELECT run_uuid FROM runs WHERE substr(artifact_uri, 1, :n) = :place")
    return [row[0] for row in connection.execute(ask, {"n": len(place), "place": place})]


def follow(settings: Settings) -> list[str]:
    """Set the paths in a database right whose runs folder was moved; the folders they were in before.

    Raises:
        Exception: of SQLAlchemy.
    """
    import sqlalchemy

    path, here = own_database(settings), settings.mlflow_artifacts
    if path is None or not path.exists():
        return []
    engine = sqlalchemy.create_engine(settings.mlflow_uri)
    try:
        with engine.connect() as connection:
            before = former(settings, connection)
        with engine.begin() as connection:
            tables = sqlalchemy.inspect(connection).get_table_names()
            for old in before:
                for table, column in PATHS:
                    if table in tables:
                        change = (
                            f"UPDATE {table} SET {column} = :new || substr({column}, :n + 1) "  # noqa: S608 - our words
                            f"WHERE {column} = :old OR substr({column}, 1, :n + 1) = :old || '/'"
                        )
                        words = {"new": here, "old": old, "n": len(old)}
                        connection.execute(sqlalchemy.text(change), words)
    finally:
        engine.dispose()
    return [str(path_of(old)) for old in before]


def has_run(settings: Settings, run_id: str) -> bool | None:
    """Whether a database holds a run; None where it cannot be asked, or is none."""
    import sqlalchemy

    uri = settings.mlflow_uri
    if uri.partition(":")[0].partition("+")[0] not in DATABASES:
        return None
    url = sqlalchemy.make_url(uri)
    if url.get_backend_name() == "sqlite" and not (url.database and Path(url.database).exists()):
        return False
    engine = sqlalchemy.create_engine(url)
    try:
        with engine.connect() as connection:
            ask = sqlalchemy.text("SELECT 1 FROM runs WHERE run_uuid = :run")
            return connection.execute(ask, {"run": run_id}).first() is not None
    except sqlalchemy.exc.SQLAlchemyError:
        return None
    finally:
        engine.dispose()


def path_of(location: str) -> Path | None:
    """The folder on this machine that a place of files names; None where a server or a store keeps them."""
    parts = urlsplit(location)
    return Path(unquote(parts.path)) if parts.scheme in ("", "file") and parts.path.startswith("/") else None


def absent(settings: Settings, location: str) -> Path | None:
    """The folder of a place of files, if it is another machine's; our own is made where it is first needed."""
    path = path_of(location)
    return None if path is None or path.is_dir() or own_database(settings) is not None else path
