"""`study confirm`: the leaders of a study and its controls on fresh seeds, measured on the test part."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import click

from commands.launching import launch, raise_for_failed
from commands.options import (
    accept_option,
    completing,
    deterministic_option,
    examples,
    hint,
    make_settings,
    notify_option,
    places,
    read_stored,
    study_argument,
)
from reprtune.settings import program


def complete_slots(ctx: click.Context) -> Iterable[str]:
    """Slots of the search that may be confirmed, best first; none where the study cannot be read."""
    from reprtune.errors import ReprtuneError
    from reprtune.record.leaders import ranked

    where = {place: ctx.params.get(place) for place in ("runs_dir", "storage")}
    # Click leaves arguments in ctx.args where the line ends with an option that has no value yet.
    name = ctx.params.get("name") or next(iter(ctx.args), "")
    with contextlib.suppress(ReprtuneError):
        return [str(trial.slot) for trial in ranked(read_stored(name, where))]
    return []


@click.command(
    epilog=examples(
        "study confirm repr-ablation --workers 2",
        "study confirm repr-ablation --top 3 --seeds 10",
        "study confirm repr-ablation --top 1 --slot 17 --slot 3",
    )
)
@study_argument
@click.option(
    "--top", type=click.IntRange(min=0),
    help="So many leaders: lowest validation error, different settings (default: 3, or those there are).",
)  # fmt: skip
@click.option(
    "--seeds", "n_seeds", type=click.IntRange(min=1),
    help="So many fresh seeds for each (default: 5, or as many as there are).",
)  # fmt: skip
@click.option(
    "--slot", "slots", multiple=True, metavar="SLOT", shell_complete=completing(complete_slots),
    help="A further slot of the search, e.g. one on its front; may be repeated.",
)  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes on this machine."
)
@accept_option
@notify_option
@deterministic_option
@places("runs_dir", "storage", "tracking_uri", "data_dir", "states_dir", "device")
def confirm(
    name: str, top: int | None, n_seeds: int | None, slots: tuple[str, ...], workers: int, accept_code: bool,
    notify: str | None, **where: Any,
) -> None:  # fmt: skip
    """Train the leaders and all controls of a finished study again, on fresh seeds, and measure them on the test part.

    The same command goes on after Ctrl-C or a crash, and helps from other machines; once all is done it
    changes nothing. More --seeds, a larger --top or further --slot extend what is there. Choose the number
    of seeds beforehand: adding seeds because a result looks promising makes its p-value too small.
    """
    from dashboards.units import count
    from reprtune.record.database import open_storage
    from reprtune.study.confirm import prepare_confirmation

    settings = make_settings(**where)
    read_stored(name, where)  # looking makes nothing where there is no storage
    storage = open_storage(settings.storage_url)
    plan = prepare_confirmation(
        storage, name, top, n_seeds, slots, accept_code=accept_code, settings=settings
    )
    seeds = ", ".join(map(str, plan.seeds))
    hint(f"{name}: {', '.join(plan.arms)}; seeds {seeds}; {count(plan.n_new, 'run')} queued now", err=True)
    summary = launch(settings, read_stored(name, where), workers, notify, accept_code=accept_code)
    if summary.interrupted:
        hint(f"  next: {program()} study confirm {name}", err=True)
        raise click.exceptions.Exit(130)
    hint(f"  next: {program()} study {'confirm' if summary.pending else 'report'} {name}")
    raise_for_failed(summary.study)
