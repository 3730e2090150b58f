"""A run whose database is stopped and started again: it waits, says so, and goes on; and how little it asks of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy

from reprtune.spec.edit import changed
from tests.command import Command
from tests.postgres import PostgreSQL, running_server
from tests.tiny_study import STUDY
from tests.work.test_launch import FAST, FITTING, begun, check_every_slot_once, finish, wait_for
from tests.work.tiny_worker import create

SLOTS = 4


@pytest.fixture
def server() -> Iterator[PostgreSQL]:
    """One that others do not need."""
    with running_server() as server:
        yield server


def command(tmp_path: Path, server: PostgreSQL, wait_seconds: int) -> Command:
    """With a study that takes some time."""
    environment = {
        **FAST,
        "REPRTUNE_STORAGE": server.new(),
        "REPRTUNE_STORAGE_WAIT_SECONDS": str(wait_seconds),
    }
    command = Command(tmp_path / "runs", environment)
    base = changed(STUDY.base, {"training.total": "100ep"})
    create(command.runs, storage=command.settings.storage, slots=SLOTS, space=FITTING, base=base)
    return command


@pytest.mark.slow  # a shorter one: faults/test_faults.py
@pytest.mark.parametrize("seconds", [10, 35, 300])
def test_a_database_that_comes_back_finds_all_workers_waiting(
    tmp_path: Path, server: PostgreSQL, seconds: int
) -> None:
    """Every slot ends once, exit code 0; that it was away and is back is said once, whatever the number of workers."""
    with closing(command(tmp_path, server, 900)) as machine:
        process = machine.start("study", "run", "tiny", "--workers", "2")
        wait_for(lambda: len({t.user_attrs["lease"]["worker"] for t in begun(machine)}) == 2)
        server.stop()
        time.sleep(seconds)
        server.start()
        said = finish(process, 0)
        assert (
            said.count(". Waiting for it, for at most 900 s") == 1 == said.count("The storage answers again")
        ), said
        check_every_slot_once(machine, SLOTS)


@pytest.mark.slow  # the words without processes: record/test_database.py
def test_a_database_that_stays_away_ends_the_run_with_words(tmp_path: Path, server: PostgreSQL) -> None:
    """After as long as the environment says; then the same command goes on, and nothing was lost."""
    with closing(command(tmp_path, server, 5)) as machine:
        process = machine.start("study", "run", "tiny")
        wait_for(lambda: begun(machine))
        server.stop()
        said = finish(process, 1)
        assert "The storage cannot be used" in said and "the same command goes on" in said
        server.start()
        machine("study", "run", "tiny")
        check_every_slot_once(machine, SLOTS)


@pytest.mark.slow  # half a minute for one number
def test_a_run_holds_one_connection_and_one_for_each_worker(tmp_path: Path, server: PostgreSQL) -> None:
    """So that 33 machines with two workers each share PostgreSQL's default of 100."""
    with closing(command(tmp_path, server, 60)) as machine:
        process = machine.start("study", "run", "tiny", "--workers", "2")
        wait_for(lambda: len({t.user_attrs["lease"]["worker"] for t in begun(machine)}) == 2)
        engine = sqlalchemy.create_engine(machine.settings.storage_url, poolclass=sqlalchemy.pool.NullPool)
        count = sqlalchemy.text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        most = 0
        while process.poll() is None:
            with engine.connect() as connection:
                most = max(most, connection.execute(count).scalar_one())
            time.sleep(0.05)
        finish(process, 0)
        assert 2 <= most <= 3
