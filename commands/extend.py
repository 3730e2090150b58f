"""`study extend` and `study repair`: more seeds for what is there, and slots that failed once more."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from commands.options import (
    accept_option,
    completing,
    examples,
    hint,
    make_settings,
    places,
    read_stored,
    study_argument,
)
from reprtune.settings import program

if TYPE_CHECKING:
    from reprtune.record.schema import StudyRecord


@click.command(
    epilog=examples(
        "study extend repr-ablation --arms --seeds 2",
        "study extend repr-ablation --confirmation --seeds 5",
    )
)
@study_argument
@click.option(
    "--arms", "what", flag_value="arms", default="arms", help="The arms, or controls (the default)."
)
@click.option("--confirmation", "what", flag_value="confirmation", help="The confirmation.")
@click.option(
    "--section", metavar="NAME", help="The section of this name, where a study has several of arms."
)
@click.option(
    "--seeds", "n_seeds", type=click.IntRange(min=1), required=True, help="So many more for every arm of it."
)
@accept_option
@places("runs_dir", "storage")
def extend(name: str, what: str, section: str | None, n_seeds: int, accept_code: bool, **where: Any) -> None:
    """Give the arms of a study, or its confirmation, further seeds, which nothing in it has had.

    They are queued now and trained by `study run`. Choose the number of seeds beforehand: adding seeds because a
    result looks promising makes its p-value too small.
    """
    from dashboards.units import count
    from reprtune.record.database import open_storage
    from reprtune.study.extend import extend_study

    record, settings = read_stored(name, where), make_settings(**where)  # looking makes nothing
    if section is None and what == "confirmation":
        section = _confirmation(record)
    done = extend_study(open_storage(settings.storage_url), name, n_seeds, section, accept_code=accept_code)
    seeds = ", ".join(map(str, done.seeds))
    click.echo(f"{name}: {done.section} has the further seeds {seeds}; {count(done.n_new, 'run')} queued now")
    hint(f"  next: {program()} study run {name}")


def _confirmation(record: StudyRecord) -> str:
    """The name of its section."""
    from reprtune.errors import StudyError

    if record.spec.confirmation is None:
        name = record.spec.name
        raise StudyError(
            f"{name!r} has no confirmation to extend.", f"Begin one with: python cli.py study confirm {name}"
        )
    return record.spec.confirmation.name


def failed_slots(ctx: click.Context) -> Iterable[str]:
    """Slots that failed; none where the study cannot be read."""
    from reprtune.errors import ReprtuneError
    from reprtune.record.slots import slot_name
    from reprtune.study.repair import failed

    where = {place: ctx.params.get(place) for place in ("runs_dir", "storage")}
    name = ctx.params.get("name") or next(iter(ctx.args), "")
    with contextlib.suppress(ReprtuneError):
        return [slot_name(trial) for trial in failed(read_stored(name, where))]
    return []


@click.command(epilog=examples("study repair repr-ablation", "study repair repr-ablation --slot 17"))
@study_argument
@click.option(
    "--slot", "slots", multiple=True, metavar="SLOT", shell_complete=completing(failed_slots),
    help="This slot only; may be repeated (default: all that failed).",
)  # fmt: skip
@places("runs_dir", "storage")
def repair(name: str, slots: tuple[str, ...], **where: Any) -> None:
    """Queue slots again that ended with an error or for lack of memory; `study run` trains them.

    Each keeps its settings and goes on from its last state. The failed attempt stays in the record, and counts no
    more. Mend the cause first: what failed for a reason of its own fails again.
    """
    from reprtune.record.database import open_storage
    from reprtune.study.repair import repair_study

    read_stored(name, where)  # looking makes nothing where there is no storage
    done = repair_study(open_storage(make_settings(**where).storage_url), name, slots)
    if not done.slots:
        click.echo(f"{name}: no slot has failed")
        return
    click.echo(f"{name}: queued again: {', '.join(done.slots)}")
    hint(f"  next: {program()} study run {name}")
