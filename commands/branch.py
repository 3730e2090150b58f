"""`study branch`: another continuation of a trial, as an arm beside its trunk."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import click

from commands.options import (
    accept_option,
    completing,
    examples,
    hint,
    make_settings,
    places,
    read_stored,
    set_option,
    study_argument,
)
from reprtune.settings import program


def complete_trunks(ctx: click.Context) -> Iterable[str]:
    """Slots that a branch may leave; none where the study cannot be read."""
    from reprtune.errors import ReprtuneError
    from reprtune.record.slots import by_name

    where = {place: ctx.params.get(place) for place in ("runs_dir", "storage")}
    name = ctx.params.get("name") or next(iter(ctx.args), "")
    with contextlib.suppress(ReprtuneError):
        slots = by_name(read_stored(name, where)).items()
        return [
            slot for slot, trial in slots if trial.params or "branch" not in (trial.settings or {"branch": 0})
        ]
    return []


def read_seeds(_ctx: click.Context, _param: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    """`0,1,2` as numbers."""
    if text is None:
        return None
    try:
        return tuple(int(seed) for seed in text.split(","))
    except ValueError:
        raise click.BadParameter(
            f"seeds are whole numbers with commas, such as 0,1,2, but got {text!r}"
        ) from None


@click.command(
    epilog=examples(
        "study branch repr-ablation repr-s0 --at cycle=2 --set method.criterion=random",
        "study branch repr-ablation repr-s0 --at cycle=1 --set method=standard --name one-cycle-only",
        "study branch repr-ablation 7 --at 20ep --set training.lr=0.01 --seeds 0,1,2",
    )
)
@study_argument
@click.argument("slot", shell_complete=completing(complete_trunks))
@click.option(
    "--at", metavar="POINT", required=True,
    help="After the end of a cycle, like cycle=2, or a length of training, like 20ep or 4000it.",
)  # fmt: skip
@set_option
@click.option(
    "--name", "arm", metavar="ARM", help="Name of the arm (default: says trunk, point and changes)."
)
@click.option(
    "--seeds", metavar="N,N,...", callback=read_seeds,
    help="Train it with these (default: those of its trunk, so that all are paired).",
)  # fmt: skip
@accept_option
@places("runs_dir", "storage", "data_dir")
def branch(
    name: str, slot: str, at: str, assignments: tuple[str, ...], arm: str | None, seeds: tuple[int, ...] | None,
    accept_code: bool, **where: Any,
) -> None:  # fmt: skip
    """Let a trial go on otherwise from a point on: another criterion, no further cycles, longer, another rate.

    What --set says holds from there on, in the trial's own time: its schedules count from the first step. SLOT names
    the trunk, a slot of the search or one of an arm; all seeds of that arm are branched. The branch is queued now as an
    arm beside its trunk, and trained by `study run`. Repeating the command changes nothing.
    """
    from dashboards.units import count
    from reprtune.record.database import open_storage
    from reprtune.spec.branch import Branch
    from reprtune.spec.edit import parse_assignment
    from reprtune.study.branch import branch_study

    settings = make_settings(**where)
    read_stored(name, where)  # looking makes nothing where there is no storage
    changes = dict(parse_assignment(text) for text in assignments)
    done = branch_study(
        open_storage(settings.storage_url), name, settings, slot, Branch(at=at, changes=changes), arm, seeds,
        accept_code=accept_code,
    )  # fmt: skip
    if done.n_new is None:
        click.echo(f"{name}: the branch {done.arm} is there already; nothing was added")
    else:
        seeds_text = ", ".join(map(str, done.section.seeds))
        click.echo(
            f"{name}: {done.arm} branches {done.trunk} at {at}; seeds {seeds_text}; {count(done.n_new, 'run')} queued now"
        )
        hint(
            "  it is added when there may be results to see: reports tell it as explored, with neither p nor verdict"
        )
    hint(f"  next: {program()} study run {name}")
