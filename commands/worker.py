"""`worker`: one more worker for a stored study, on any machine, for as long as you like."""

from __future__ import annotations

from typing import Any

import click

from commands.launching import launch
from commands.options import (
    accept_option,
    deterministic_option,
    examples,
    hint,
    make_settings,
    places,
    read_stored,
    study_argument,
    trials_option,
)
from commands.until import until_option
from reprtune.settings import program


@click.command(
    epilog=examples(
        "worker repr-ablation --until 08:00",
        "worker repr-ablation --storage postgresql+psycopg://me@db/reprtune --states /shared/states",
        "worker repr-ablation --device cuda:1 --trials 5",
    )
)
@study_argument
@until_option
@trials_option
@accept_option
@deterministic_option
@places("runs_dir", "storage", "tracking_uri", "data_dir", "states_dir", "device")
def worker(name: str, until: float | None, trials: int | None, accept_code: bool, **where: Any) -> None:
    """One worker for a stored study: start it on any machine at any time, and stop it when you like.

    It needs the URLs, the folder of states that all machines of the study share, and the data; nothing of the study
    itself, which it reads from the storage. It takes slots until none is left, or until --until, Ctrl-C or SIGTERM:
    then it saves where it stands and gives its slots back. `study run` is the same for several on this machine.
    """
    settings = make_settings(**where)
    before = read_stored(name, where)
    summary = launch(settings, before, 1, None, trials=trials, accept_code=accept_code, until=until)
    if summary.pending:
        hint(f"  {summary.pending} slots are left; any worker goes on: {program()} worker {name}")
    if summary.interrupted:
        raise click.exceptions.Exit(130)
