"""The connection to the database, and what is said when it fails."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import optuna
import pytest
import sqlalchemy

from reprtune.errors import SpecError, StorageError
from reprtune.record.away import StorageAway
from reprtune.record.database import is_absent, open_storage, retried
from reprtune.settings import lease_seconds, storage_wait_seconds
from tests.postgres import PostgreSQL


def test_a_new_sqlite_file_is_made_with_its_folders_and_many_may_read_while_one_writes(
    tmp_path: Path,
) -> None:
    """WAL mode is what lets readers and a writer work at once."""
    url = f"sqlite:///{tmp_path}/a/b/x.db"
    storage = open_storage(url)
    with storage.engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("PRAGMA journal_mode")).scalar() == "wal"
    assert (tmp_path / "a" / "b" / "x.db").exists()
    assert storage.get_heartbeat_interval() == 5 and storage.grace_period == 30


def test_looking_for_a_file_makes_nothing(tmp_path: Path) -> None:
    """`is_absent` is for commands that only read."""
    assert is_absent(f"sqlite:///{tmp_path}/a/x.db")
    assert list(tmp_path.iterdir()) == []
    open_storage(f"sqlite:///{tmp_path}/x.db")
    assert not is_absent(f"sqlite:///{tmp_path}/x.db")
    assert not is_absent("postgresql+psycopg://me@nowhere/x")


def test_a_place_where_no_file_can_be_is_named(tmp_path: Path) -> None:
    """Below a regular file nothing can be made, not even by root."""
    (tmp_path / "file").touch()
    url = f"sqlite:///{tmp_path}/file/x/y.db"
    for call in (is_absent, open_storage):
        with pytest.raises(StorageError, match=f"Cannot open.*{tmp_path}/file") as raised:
            call(url)
        assert "--storage" in str(raised.value.hint)


@pytest.mark.parametrize(
    ("url", "message", "hint"),
    [
        ("garbage", "not of the form", "postgresql+psycopg://"),
        ("sqlite://", "memory of one process", "Name a file"),
        ("sqlite:///:memory:", "memory of one process", "Name a file"),
        ("nothing://me:secret@x/y", "needs a driver", "pip install"),
        ("mysql+pymysql://me:secret@127.0.0.1:1/x", "needs a driver", "pip install"),
        ("postgresql+psycopg://me:secret@127.0.0.1:1/x", "Connection refused", "--storage"),
    ],
)
def test_a_wrong_url_is_named_without_its_password(url: str, message: str, hint: str) -> None:
    """One error with the rule and the fix."""
    with pytest.raises(StorageError, match=message) as raised:
        open_storage(url)
    assert hint in str(raised.value.hint) and "secret" not in str(raised.value)


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It accepts connections and is silent."""
    monkeypatch.setattr("reprtune.record.database.CONNECT_SECONDS", 2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"postgresql+psycopg://me@127.0.0.1:{silent.getsockname()[1]}/x"
        with pytest.raises(StorageError, match="Cannot open"):
            open_storage(url)


@pytest.mark.parametrize("content", [b"this is a text, not a database" * 50, b"\0" * 5000])
def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    """Named, and not one byte changed."""
    path = tmp_path / "x.db"
    path.write_bytes(content)
    with pytest.raises(StorageError, match="Cannot open"):
        open_storage(f"sqlite:///{path}")
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_left_as_it_is(tmp_path: Path) -> None:
    """MLflow's database has migrations of its own, which Optuna does not know."""
    path = tmp_path / "mlflow.db"
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        connection.execute(sqlalchemy.text("INSERT INTO alembic_version VALUES ('1b5f0d9ad7c1')"))
    engine.dispose()
    with pytest.raises(StorageError, match="Cannot open"):
        open_storage(f"sqlite:///{path}")


def test_postgresql_opens_as_a_real_one(postgresql: PostgreSQL) -> None:
    """Twice, for the second time finds the tables."""
    url = postgresql.new()
    open_storage(url).engine.dispose()
    storage = open_storage(url)
    assert storage.get_all_studies() == []
    storage.engine.dispose()


def failing(times: int, error: Exception) -> Callable[[], str]:
    errors = [error] * times

    def call() -> str:
        if errors:
            raise errors.pop()
        return "done"

    return call


def internal(cause: Exception) -> Exception:
    """As Optuna wraps what SQLAlchemy raises."""
    error = optuna.exceptions.StorageInternalError("An exception is raised during the commit.")
    error.__cause__ = cause
    return error


CLOSED = sqlalchemy.exc.OperationalError("SELECT 1", {}, Exception("server closed"))


@pytest.mark.parametrize("error", [CLOSED, internal(CLOSED), StorageAway("server closed")])
def test_a_database_that_comes_back_is_waited_for(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Pauses of 1, 2, 4, 8 and then 15 s, as long as the environment says; that it is away and back is said once;
    then words instead of a traceback."""
    monkeypatch.setenv("REPRTUNE_STORAGE_WAIT_SECONDS", "100")
    pauses: list[float] = []
    patient = partial(retried, wait=pauses.append, clock=lambda: sum(pauses))
    assert patient(failing(6, error)) == "done"
    assert pauses == [1, 2, 4, 8, 15, 15]
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2 and "server closed" in said[0] and "100 s" in said[0] and "again" in said[1]
    pauses.clear()
    with pytest.raises(StorageError, match="server closed"):
        patient(failing(99, error))
    assert 85 <= sum(pauses) <= 100


def test_what_the_database_refuses_is_not_asked_again() -> None:
    """A table that is not there does not come by waiting."""
    error = sqlalchemy.exc.ProgrammingError("SELECT 1", {}, Exception("no such table"))
    for refused in (error, internal(error)):
        with pytest.raises(StorageError, match="no such table"):
            retried(failing(1, refused), wait=lambda _: pytest.fail("waited"))


def test_other_errors_are_not_waited_for() -> None:
    """A defect is shown at once."""
    with pytest.raises(ZeroDivisionError):
        retried(failing(1, ZeroDivisionError()), wait=lambda _: pytest.fail("waited"))


@pytest.mark.parametrize(
    ("heartbeat", "grace"), [("0", "30"), ("5", "5"), ("x", "30"), ("5", "-1"), ("1.5", "3")]
)
def test_lease_times_are_checked(heartbeat: str, grace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole numbers, 1 <= heartbeat < grace; defaults where they are unset or empty."""
    monkeypatch.setenv("REPRTUNE_HEARTBEAT_SECONDS", "")
    assert lease_seconds() == (5, 30)
    monkeypatch.setenv("REPRTUNE_HEARTBEAT_SECONDS", heartbeat)
    monkeypatch.setenv("REPRTUNE_GRACE_SECONDS", grace)
    with pytest.raises(SpecError, match=f"are {heartbeat} and {grace}"):
        lease_seconds()


@pytest.mark.parametrize("text", ["-1", "1.5", "long"])
def test_how_long_to_wait_is_a_whole_number(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Else it is said before anything waits, with the variable and its default."""
    monkeypatch.setenv("REPRTUNE_STORAGE_WAIT_SECONDS", text)
    with pytest.raises(SpecError, match=rf"REPRTUNE_STORAGE_WAIT_SECONDS must be .*'{text}'") as raised:
        storage_wait_seconds()
    assert "1800" in str(raised.value.hint)


@pytest.mark.filterwarnings("ignore:.*was deleted while still open:ResourceWarning")
def test_libraries_log_nothing_of_a_connection_that_is_gone(
    postgresql: PostgreSQL, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever works on is told by an error, in our words; SQLAlchemy's own traceback beside it would only frighten."""
    storage = open_storage(postgresql.new())
    with closing(storage.engine.connect().execution_options(stream_results=True)) as connection:
        pid = connection.execute(sqlalchemy.text("SELECT pg_backend_pid()")).scalar_one()
        rows = connection.execute(sqlalchemy.text("SELECT generate_series(1, 100000)"))
        ending = sqlalchemy.create_engine(storage.engine.url, poolclass=sqlalchemy.pool.NullPool)
        with ending.connect() as other:
            other.execute(sqlalchemy.text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        rows.close()
        connection.invalidate()
    storage.engine.dispose()
    del rows, connection
    gc.collect()  # while the cursor that cannot be closed may say so
    assert not caplog.records
