"""Several processes that meet an empty database at the same moment, and one that has no connection to spare."""

from __future__ import annotations

import multiprocessing
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from reprtune.errors import StorageError
from reprtune.record import database
from reprtune.record.database import open_storage
from reprtune.tracking.mlflow.connection import connect
from tests.postgres import PostgreSQL
from tests.study.two_databases import where  # noqa: F401 - a fixture

N = 6


def meet(what: str, url: str, together: Any) -> None:
    together.wait(60)
    if what == "studies":
        assert open_storage(url).get_all_studies() == []
    else:
        assert connect(url).search_experiments()


@pytest.mark.parametrize("what", ["studies", "MLflow"])
def test_all_who_meet_an_empty_database_open_it(what: str, where: str | Path) -> None:  # noqa: F811
    """Six at the same moment: one makes the tables, nobody fails."""
    import mlflow.tracking  # noqa: F401 - once, for all who are forked

    url = where if isinstance(where, str) else f"sqlite:///{where}"
    context = multiprocessing.get_context("fork")
    together = context.Barrier(N)
    processes = [context.Process(target=meet, args=(what, url, together)) for _ in range(N)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of newer Pythons, where threads are about
        for process in processes:
            process.start()
    for process in processes:
        process.join(120)
        process.kill()
    assert [process.exitcode for process in processes] == [0] * N


@contextmanager
def before(statement: str, call: Callable[[Any], object]) -> Iterator[None]:
    """Do something, with its cursor, before every such statement of this process."""

    def listen(_: Any, cursor: Any, text: str, *rest: Any) -> None:
        if statement in text:
            call(cursor)

    sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", listen)
    try:
        yield
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "before_cursor_execute", listen)


def test_who_makes_the_tables_may_be_slow(postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slower than a holder of a study's lock may be: the server does not throw it out."""
    monkeypatch.setenv("REPRTUNE_HEARTBEAT_SECONDS", "1")
    monkeypatch.setenv("REPRTUNE_GRACE_SECONDS", "2")
    waits = []
    with before("INSERT INTO version_info", lambda _: waits.append(time.sleep(2.5))):
        open_storage(postgresql.new()).engine.dispose()
    assert len(waits) == 1


def test_who_is_thrown_out_while_it_opens_tries_again(postgresql: PostgreSQL) -> None:
    """Nothing was done in its transaction: the server has undone it."""
    url, thrown_out = postgresql.new(), []
    open_storage(url).engine.dispose()

    def be_slow_once(cursor: Any) -> None:
        if not thrown_out:
            thrown_out.append(cursor.execute("SET idle_in_transaction_session_timeout = '10ms'"))
            time.sleep(0.2)

    with before("FROM alembic_version", be_slow_once):
        open_storage(url).engine.dispose()
    assert thrown_out


def fill(url: str) -> list[sqlalchemy.Connection]:
    """Take connections until there are none; PostgreSQL keeps some for its administrator, who we are here."""
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.NullPool)
    held = []
    while True:
        try:
            held.append(engine.connect())
        except sqlalchemy.exc.OperationalError:
            return held


def test_a_full_server_is_waited_for_and_named(
    postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no free connection: who opens waits for one; if none comes, it is said what to change."""
    url = postgresql.new()
    open_storage(url).engine.dispose()
    held = fill(url)
    try:
        monkeypatch.setattr(database, "OPEN_SECONDS", 1)
        with pytest.raises(StorageError, match="no free connection") as raised:
            open_storage(url)
        assert "max_connections" in str(raised.value.hint) and "fewer workers" in str(raised.value.hint)
        monkeypatch.setattr(database, "OPEN_SECONDS", 60)
        threading.Timer(0.5, held.pop().close).start()
        storage = open_storage(url)
        assert storage.get_all_studies() == []
        storage.engine.dispose()
    finally:
        for connection in held:
            connection.close()


def test_all_threads_of_a_process_share_one_connection(postgresql: PostgreSQL) -> None:
    """The beats of a worker wait for the moment in which its own work needs none."""
    url = postgresql.new()
    storage, most = open_storage(url), 0
    count = sqlalchemy.text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.NullPool)
    threads = [threading.Thread(target=storage.get_all_studies) for _ in range(20)]
    with engine.connect() as watching:
        time.sleep(0.3)  # until the server has taken leave of those that made the tables
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            most = max(most, watching.execute(count).scalar_one() - 1)
            watching.rollback()
    assert most == 1
    storage.engine.dispose()
