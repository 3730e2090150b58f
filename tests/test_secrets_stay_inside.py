"""Secrets of all kinds of characters go into the real commands in every way they can, and none comes out."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest
import sqlalchemy

from reprtune.doctor import machine as doctor_machine
from tests.command import TINY, Command
from tests.postgres import Locked, PostgreSQL
from tests.secret import HARD, Secret, draw

NOWHERE = "127.0.0.1:9"
ENVIRONMENT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
SEED = int(os.environ.get("REPRTUNE_TEST_SEED", "0"))  # another one draws other secrets


def encoded(text: str) -> str:
    return quote(text, safe="")


def files(folder: Path) -> Iterator[str]:
    """Name and content of whatever a command wrote."""
    for path in folder.rglob("*"):
        yield str(path)
        if path.is_file():
            yield path.read_bytes().decode("latin-1")


def stored(url: str) -> str:
    """All rows of all tables of a database."""
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        tables = sqlalchemy.inspect(connection).get_table_names()
        rows = [connection.execute(sqlalchemy.text(f'SELECT * FROM "{table}"')).all() for table in tables]
    engine.dispose()
    return "\n".join(str(row) for table in rows for row in table)


def command_lines(process: int) -> list[str]:
    """Of a process's descendants, as `ps` shows them to every user of the machine."""
    lines = []
    for child in psutil.Process(process).children(recursive=True):
        try:
            lines.append(" ".join(child.cmdline()))
        except psutil.Error:
            continue
    return lines


def wrong_places(rng: random.Random, locked: Locked) -> list[tuple[str, Secret, dict[str, str], str]]:
    """(carrier, secret, environment, what its error has to show), one for each carrier of a password."""
    here, made = f"{locked.user}:***@/{locked.database}", []

    def add(carrier: str, shown: str, environment: Mapping[str, str], secret: Secret) -> None:
        values = {
            name: value.format(raw=secret.text, it=encoded(secret.text))
            for name, value in environment.items()
        }
        made.append((carrier, secret, values, shown))

    database = f"postgresql+psycopg://{locked.user}:{{it}}@/{locked.database}?host={locked.folder}"
    query = f"postgresql+psycopg:///{locked.database}?host={locked.folder}&user={locked.user}&password={{it}}"
    server, storage, tracking = f"http://me:{{it}}@{NOWHERE}", "REPRTUNE_STORAGE", "MLFLOW_TRACKING_URI"
    add("storage", here, {storage: database}, draw(rng))
    add("storage, in its query", f"user={locked.user}", {storage: query}, draw(rng))
    add(
        "storage, of no server",
        "me:***@127.0.0.1:9/x",
        {storage: f"postgresql+psycopg://me:{{it}}@{NOWHERE}/x"},
        draw(rng),
    )
    add("storage, as options", "host=db", {storage: "host=db user=me password='{it}' dbname=x"}, draw(rng))
    add("storage, no host", "me:***", {storage: "postgresql+psycopg://me:{it}"}, draw(rng))
    for letter in ("@", "/", "#", "?", *rng.sample(HARD, 3)):
        add(
            f"storage, plain {letter}",
            ":***@",
            {storage: database.replace("{it}", "{raw}")},
            draw(rng, letter),
        )
        add(
            f"server, plain {letter}",
            "me:***@",
            {tracking: server.replace("{it}", "{raw}")},
            draw(rng, letter),
        )
    add("server", f"me:***@{NOWHERE}", {tracking: server}, draw(rng))
    add("server, in its query", NOWHERE, {tracking: f"http://{NOWHERE}/?token={{it}}"}, draw(rng))
    add("MLflow's database", here, {tracking: database}, draw(rng))
    hidden = {
        "MLFLOW_TRACKING_USERNAME": "me",
        "MLFLOW_TRACKING_PASSWORD": "{raw}",
        "AWS_SECRET_ACCESS_KEY": "{raw}",
    }
    add("login", NOWHERE, {tracking: f"http://{NOWHERE}", **hidden}, draw(rng))
    add("token", NOWHERE, {tracking: f"http://{NOWHERE}", "MLFLOW_TRACKING_TOKEN": "{it}"}, draw(rng))
    return made


def test_no_error_of_a_place_that_is_wrong_shows_its_password(postgresql: PostgreSQL, tmp_path: Path) -> None:
    """A wrong password, a server that is not there, an address that cannot be read: the error names host, user and
    database, nothing of the secret, and no file holds it."""
    runs = tmp_path / "runs"
    Command(runs).quick("study", "create", TINY, "--tracking-uri", "none")
    rng = random.Random(SEED)
    locked = postgresql.locked("right")
    for carrier, secret, environment, shown in wrong_places(rng, locked):
        command = Command(runs, {**ENVIRONMENT, **environment})
        asked = ("list",) if carrier.startswith("storage") else ("delete", "tiny", "--with-mlflow", "--yes")
        result = command.quick("study", *asked, code=None)
        said = f"{carrier}: {result.output}"
        assert result.exit_code in (1, 2) and result.stdout == "", said
        assert not secret.is_in(result.output) and shown in result.output, f"{secret} in {said}"
        assert not any(secret.is_in(text) for text in files(command.runs)), carrier
        if "plain" in carrier and result.exit_code == 2:
            assert "percent-encoded" in result.output, said


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # connections of ended commands
def test_a_study_with_passwords_holds_none_of_them(
    postgresql: PostgreSQL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Created, trained by two workers, looked at and reported, with the right password of its database and that of an
    MLflow server that is not there: none in a command line of a worker, in what is printed, in a file, in a row."""
    monkeypatch.setattr(doctor_machine, "_reachable", lambda _host: False)
    rng = random.Random(SEED + 1)
    of_database, of_server = draw(rng), draw(rng)
    url = postgresql.locked(of_database.text).url(encoded(of_database.text))
    server = f"http://me:{encoded(of_server.text)}@{NOWHERE}"
    environment = {**ENVIRONMENT, "REPRTUNE_STORAGE": url, "MLFLOW_TRACKING_PASSWORD": of_server.text}
    command = Command(tmp_path / "runs", environment)
    said = [command.quick("study", "create", TINY).output]
    command.environment = {**environment, "MLFLOW_TRACKING_URI": server}
    process, lines = command.start("study", "run", "tiny", "--trials", "2", "--workers", "2"), []
    while process.poll() is None:
        lines += command_lines(process.pid)
        time.sleep(0.1)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert any("spawn_main" in line for line in lines) and f"me:***@{NOWHERE}" in err, err
    said += [out, err, *set(lines)]
    for words in (
        ("status", "tiny"),
        ("show", "tiny"),
        ("list", "--json"),
        ("report", "tiny"),
        ("sync", "tiny"),
    ):
        said.append(command.quick("study", *words, code=None).output)
    said.append(json.dumps(command.quick("doctor", "--study", "tiny", code=None).output))
    everything = [*said, *files(command.runs), stored(url)]
    for secret in (of_database, of_server):
        leaks = [text[:300] for text in everything if secret.is_in(text)]
        assert leaks == [], secret
    assert "tiny" in everything[-1] and len(everything) > 20
