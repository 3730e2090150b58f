"""`study status --watch`: a study that is drawn anew until it is finished."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import click

from commands.options import make_settings, read_stored

LOG_SECONDS = 60.0  # a log gets a line at least so often


def watch(name: str, where: dict[str, Any], interval: float, *, as_json: bool) -> None:
    """Show a study until nothing is left of it: redrawn on a terminal, else a line for everything new.

    Raises:
        StudyError: there is no such study, or it was deleted meanwhile.
    """
    live = sys.stdout.isatty() and not as_json
    show: Callable[[dict[str, Any]], None] = Screen() if live else Lines(as_json=as_json)
    try:
        for facts in moments(name, where, interval):
            show(facts)
    except KeyboardInterrupt:
        click.echo("No longer watching; the study itself goes on.", err=True)
        raise click.exceptions.Exit(130) from None


def moments(name: str, where: dict[str, Any], interval: float) -> Iterator[dict[str, Any]]:
    """The facts of the study every `interval` seconds, until it is finished. A database that is away for
    a while is waited for."""
    read_stored(name, where)  # an absent study or storage is an error now, and an outage only later
    from dashboards.watch import is_over, moment_facts
    from reprtune.errors import StorageError
    from reprtune.record import database, storage
    from reprtune.tracking.shipper import Shipper

    settings = make_settings(**where)
    reader = database.open_storage(settings.storage_url)
    away = False
    while True:
        try:
            study = database.retried(lambda: storage.read_study(reader, name, histories=False), seconds=0)
            away = False
        except StorageError as error:
            if not away:
                click.echo(f"{error.message} Waiting for it.", err=True)
            away = True
        else:
            waiting = Shipper(settings, study.spec, study.instance).pending()
            yield (facts := moment_facts(study, waiting, time.time()))
            if is_over(facts):
                return
        time.sleep(interval)


class Screen:
    """Draws over what it drew before."""

    def __init__(self) -> None:
        self.n_lines = 0

    def __call__(self, facts: dict[str, Any]) -> None:
        from dashboards.watch import screen

        width, height = shutil.get_terminal_size()
        lines = screen(facts, width, height - 1)
        back = f"\x1b[{self.n_lines}F" if self.n_lines else ""
        click.echo(back + "".join(f"\x1b[2K{line}\n" for line in lines) + "\x1b[0J", nl=False, color=True)
        self.n_lines = len(lines)


class Lines:
    """One line of text, or of JSON, for everything that is new."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.before: dict[str, Any] | None = None
        self.last = 0.0

    def __call__(self, facts: dict[str, Any]) -> None:
        from dashboards.watch import lasting, log_line, milestones

        now = lasting(facts) if self.as_json else milestones(facts)
        due = not self.as_json and facts["time"] - self.last >= LOG_SECONDS
        if now != self.before or due:
            self.before, self.last = now, facts["time"]
            click.echo(json.dumps(facts) if self.as_json else log_line(facts))
            sys.stdout.flush()
