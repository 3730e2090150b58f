"""`trial`: what is left of a single trial of a study."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from commands.options import (
    completing,
    examples,
    force_option,
    make_settings,
    places,
    read_stored,
    study_argument,
)
from commands.recompute import run


def slot_names(ctx: click.Context) -> Iterable[str]:
    """Slots whose network may be exported; none where the study cannot be read."""
    from reprtune.errors import ReprtuneError
    from reprtune.record.slots import by_name

    where = {place: ctx.params.get(place) for place in ("runs_dir", "storage")}
    try:
        slots = by_name(read_stored(ctx.params.get("name") or "", where))
    except ReprtuneError:
        return []
    found = [name for name, trial in slots.items() if trial.outcome.is_exported]
    seeds = [f"{t.slot}-s{run.seed}" for t in slots.values() for run in t.runs if t.earlier]
    return [*found, *seeds]


@click.group()
def trial() -> None:
    """Take what a single trial of a study has left, or train it again."""


trial.add_command(run)


@trial.command(
    epilog=examples("trial export repr-ablation 17", "trial export repr-ablation standard-s1 --to my-network")
)
@study_argument
@click.argument("slot", shell_complete=completing(slot_names))
@click.option("--to", "folder", metavar="FOLDER", help="Where to (default: networks/NAME/SLOT in --runs).")
@force_option
@places("runs_dir", "storage", "states_dir")
def export(name: str, slot: str, folder: str | None, force: bool, **where: Any) -> None:
    """Write a trained network as files that need only torch: weights, program, description, load.py.

    SLOT is a number of the search, as `study status` and the report show it, or ARM-sSEED of a control.
    Where trials have several seeds, NUMBER-sSEED is one of them and NUMBER the last.
    A trial that was stopped early gives the network it had then. One of several networks gives a folder for each.
    """
    record, settings = read_stored(name, where), make_settings(**where)
    from reprtune.record.slots import find_seed, seed_name

    found, run = find_seed(record, slot)
    slot = seed_name(record, found, run.seed)
    target = Path(folder) if folder else settings.runs_dir / "networks" / name / slot
    from reprtune.study.export import slot_network
    from reprtune.training.export.latency import with_latency
    from reprtune.training.export.network import check_folder, files, write
    from reprtune.training.platform.device import choose_device

    check_folder(target, force=force)
    trained = with_latency(slot_network(settings, record, slot), choose_device("cpu"))
    content = files(trained)
    write(content, target, force=force)
    if trained.origin["outcome"] == "stopped":
        click.echo(
            f"Slot {slot} was stopped early: this is its network after {trained.points[-1].step} steps.",
            err=True,
        )
    warn_of_missing_program(content)
    if taken := [network.latency for network in trained.networks if network.latency]:
        from dashboards.latency import latencies

        click.echo(f"latency: {latencies(taken)}", err=True)
    click.echo(target)


def warn_of_missing_program(content: Iterable[str]) -> None:
    """On stderr, where torch.export could not write the network."""
    if not any(name.endswith("network.pt2") for name in content):
        click.echo(
            "torch.export cannot write this network (description.json says why): load.py builds it from its "
            "code and loads weights.pt.",
            err=True,
        )
