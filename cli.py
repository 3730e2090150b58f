#!/usr/bin/env python
"""reprtune on the command line. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import click

from commands.completion import completion
from commands.data import data
from commands.db import db
from commands.doctor import doctor
from commands.listing import list_
from commands.options import QUIET, Translated
from commands.reference import reference_
from commands.study import study
from commands.train import train
from commands.trial import trial
from commands.ui import ui
from commands.worker import worker
from reprtune.passwords import guard_output


@click.group(cls=Translated, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="reprtune", prog_name="reprtune")
@click.option(
    "-q", "--quiet", is_flag=True, help="Results and errors only: no progress, no hints what to do next."
)
@click.pass_context
def cli(context: click.Context, quiet: bool) -> None:
    """Does RePr (or a relative) make your network better, which part does it, with which settings?

    \b
    The way to an answer:
      python cli.py study create repr-ablation
      python cli.py study run repr-ablation --workers 2
      python cli.py study report repr-ablation
    """
    context.meta[QUIET] = quiet


for command in (list_, train, study, worker, trial, ui, data, db, doctor, completion, reference_):
    cli.add_command(command)


if __name__ == "__main__":
    guard_output()
    cli()
