"""`study launch`: workers on the nodes of a cluster."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from commands.completion import SCRIPT
from commands.options import examples, hint, make_settings, places, read_stored, study_argument
from commands.until import LENGTH
from reprtune.settings import program

TIME = re.compile(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)")
LEAST_SECONDS = 300  # the last two minutes of it are for leaving


class Walltime(click.ParamType):
    """A length of time as SLURM writes it, or in letters; gives seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = TIME.fullmatch(value) or LENGTH.fullmatch(value)
        parts = [int(part or 0) for part in found.groups()] if found else [0]
        seconds = sum(n * unit for n, unit in zip(parts, (86400, 3600, 60, 1), strict=False)) if found else 0
        if seconds < LEAST_SECONDS:
            self.fail(
                f"{value!r} is no time like 08:00:00, 1-12:00:00 or 8h, of five minutes at least.", param, ctx
            )
        return seconds


@click.command(
    epilog=examples(
        "study launch repr-ablation --slurm --nodes 4 --gpus-per-node 1 --time 08:00:00 --partition gpu",
        "study launch repr-ablation --slurm --nodes 4 --print",
    )
)
@study_argument
@click.option(
    "--slurm", is_flag=True, required=True, help="Through SLURM, the only cluster that is known here."
)
@click.option(
    "--nodes", type=click.IntRange(1, 1000), default=1, show_default=True, help="Nodes, each by itself."
)
@click.option(
    "--gpus-per-node",
    type=click.IntRange(0, 16),
    default=0,
    show_default=True,
    help="And workers: one for each.",
)
@click.option(
    "--time",
    "seconds",
    type=Walltime(),
    metavar="TIME",
    default="08:00:00",
    show_default=True,
    help="Time of a node; then it leaves its place to others and is queued again, until nothing is left.",
)
@click.option("--partition", metavar="NAME", help="Partition of the nodes (default: SLURM's).")
@click.option("--print", "only_print", is_flag=True, help="Print a script for sbatch, and submit nothing.")
@places("runs_dir", "storage", "tracking_uri", "data_dir", "states_dir")
def launch(
    name: str, slurm: bool, nodes: int, gpus_per_node: int, seconds: int, partition: str | None,  # noqa: ARG001
    only_print: bool, **where: Any,
) -> None:  # fmt: skip
    """Let the nodes of a SLURM cluster work on a study: an array of jobs, which SLURM starts where there is room.

    Its folders (--runs, --states, --data-dir) and this checkout with its environment must be there on the nodes; the
    internet need not. A node whose time is up, or that is wanted for others, saves, and goes on later or elsewhere.
    """
    from reprtune.spec.study import check_name
    from reprtune.work.slurm import Job, script, submit

    check_name(name)
    settings = make_settings(**where)
    command = (
        ("worker", name) if gpus_per_node < 2 else ("study", "run", name, "--workers", str(gpus_per_node))
    )
    start = (_absolute(sys.argv[0]),) if program() == "reprtune" else (sys.executable, str(SCRIPT))
    job = Job(
        name=name, words=(*start, *command), folder=SCRIPT.parent, nodes=nodes, gpus_per_node=gpus_per_node, seconds=seconds,
        partition=partition,
    )  # fmt: skip
    if only_print:
        click.echo(script(job, settings), nl=False)
        return
    _check_reachable(settings.storage_url)
    read_stored(name, where)
    ids = submit(job, settings)
    click.echo(f"Submitted {', '.join(ids)}")
    hint(f"  what they print is in {settings.runs_dir / 'slurm'}; squeue --me shows where they are")
    hint(f"  next: {program()} study status {name} --watch")


def _absolute(path: str) -> str:
    return str(Path(path).resolve())


def _check_reachable(url: str) -> None:
    """A file is no database for several machines; an address of this machine alone is worth a word."""
    from reprtune.errors import StorageError

    if url.startswith("sqlite"):
        raise StorageError(
            "The nodes need a database that all of them reach, and the storage is an SQLite file.",
            "Name a PostgreSQL with --storage; `python cli.py db start` runs one of your own.",
        )
    if urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1"):
        hint("  warning: the storage is on localhost, which on a node is that node", err=True)
