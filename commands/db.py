"""`db`: a private PostgreSQL for studies on several machines."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.options import examples, hint, json_option, make_settings, places, to_json

if TYPE_CHECKING:
    from reprtune.postgres.server import PrivateServer, Running

dir_option = click.option(
    "--dir", "folder", metavar="FOLDER", help="Folder of the database (default: postgresql in --runs)."
)


@click.group()
def db() -> None:
    """A private PostgreSQL for studies on several machines: needs no administrator, and a password to get in."""


@db.command(
    epilog=examples("db start", "db start --dir /data/studies-db --port 5433", "db start --host localhost")
)
@dir_option
@click.option(
    "--port", type=click.IntRange(1024, 65535), help="TCP port (default: as last time; a free one)."
)
@click.option(
    "--host",
    metavar="NAME",
    help="This machine's name or address as other machines reach it (default: its own); localhost: nobody else may.",
)
@places("runs_dir")
def start(folder: str | None, port: int | None, host: str | None, runs_dir: str | None) -> None:
    """Start the database, made at the first time, and print its URLs.

    It goes on when you log out; after the machine was restarted, give the same command: data, password and port stay.
    """
    from reprtune.passwords import asked_for
    from reprtune.postgres.server import MLFLOW, STUDIES

    server = _server(folder, runs_dir)
    began, running = server.start(port, host)
    click.echo(f"{'Started' if began else 'Runs already'}: {_facts(running)}")
    _urls(running)
    hint("  next: on every machine, and then the commands as ever:")
    for variable, database in (("REPRTUNE_STORAGE", STUDIES), ("MLFLOW_TRACKING_URI", MLFLOW)):
        url = running.elsewhere(database) or running.url(database)
        with asked_for():
            hint(f"    export {variable}={shlex.quote(url)}")


@db.command(epilog=examples("db stop", "db stop --dir /data/studies-db"))
@dir_option
@places("runs_dir")
def stop(folder: str | None, runs_dir: str | None) -> None:
    """Stop the database. Its data stay; workers that are at work wait for it for a while."""
    click.echo("Stopped" if _server(folder, runs_dir).stop() else "It did not run")


@db.command(epilog=examples("db status", "db status --json"))
@dir_option
@json_option
@places("runs_dir")
def status(folder: str | None, as_json: bool, runs_dir: str | None) -> None:
    """Does it run, and under which URL? Exit code 1 where it does not."""
    from reprtune.passwords import asked_for
    from reprtune.postgres.server import MLFLOW, STUDIES

    running = _server(folder, runs_dir).status()
    if as_json:
        facts: dict[str, object] = {"running": running is not None}
        if running is not None:
            facts |= {"url": running.url(STUDIES), "url_elsewhere": running.elsewhere(STUDIES),
                      "mlflow": running.url(MLFLOW), "mlflow_elsewhere": running.elsewhere(MLFLOW),
                      "connections": running.used, "max_connections": running.most}  # fmt: skip
        with asked_for():
            click.echo(to_json(facts))
    elif running is None:
        click.echo("It does not run")
    else:
        click.echo(f"Runs: {_facts(running)}")
        _urls(running)
    if running is None:
        raise click.exceptions.Exit(1)


def _server(folder: str | None, runs_dir: str | None) -> PrivateServer:
    from reprtune.postgres.server import PrivateServer

    return PrivateServer(Path(folder) if folder else make_settings(runs_dir=runs_dir).runs_dir / "postgresql")


def _facts(running: Running) -> str:
    return f"PostgreSQL {running.version}, {running.used} of {running.most} connections in use"


def _urls(running: Running) -> None:
    from reprtune.passwords import asked_for
    from reprtune.postgres.server import STUDIES

    with asked_for():
        click.echo(f"  this machine:    {running.url(STUDIES)}")
        if (url := running.elsewhere(STUDIES)) is not None:
            click.echo(f"  other machines:  {url}")
