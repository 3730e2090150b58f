"""Where MLflow keeps the files of runs, in a project that was moved, and on a machine that has no such folder.

MLflow writes the whole path of that folder into its database, for every experiment and every run. A runs folder of ours
that was moved or copied takes its database along, which then names the folder of before: it is set right there, so that
files land beside the database again, and MLflow's own page finds them. In a database that several machines use the
folder is one machine's: no other makes one of that name.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from reprtune.settings import DATABASES, Settings

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


def former(settings: Settings, places: Iterable[str]) -> list[str]:
    """Those of them that a runs folder had for its files where it was before; none where they are the same folder."""
    here = settings.mlflow_artifacts
    if here is None or own_database(settings) is None:
        return []
    name = here.rpartition("/")[2]
    return [p for p in places if p.startswith("file:") and p.endswith(f"/{name}") and not _same(p, here)]


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
            before = former(settings, folders(connection))
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


def _same(one: str, other: str) -> bool:
    """The same folder under two names, as where it is mounted twice."""
    first, second = path_of(one), path_of(other)
    if first is None or second is None or first == second:
        return one == other
    return first.exists() and second.exists() and first.samefile(second)
