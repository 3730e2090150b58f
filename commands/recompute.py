"""`trial run`: a recorded trial trained again, and compared."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import click

from commands.options import (
    accept_option,
    completing,
    deterministic_option,
    examples,
    is_quiet,
    json_option,
    make_settings,
    places,
    read_stored,
    study_argument,
    to_json,
)


def ended_slots(ctx: click.Context) -> Iterable[str]:
    """Slots that can be recomputed; none where the study cannot be read."""
    from reprtune.errors import ReprtuneError
    from reprtune.record.slots import by_name

    where = {place: ctx.params.get(place) for place in ("runs_dir", "storage")}
    with contextlib.suppress(ReprtuneError):
        slots = by_name(read_stored(ctx.params.get("name") or "", where))
        return [name for name, trial in slots.items() if trial.outcome.is_recomputed]
    return []


@click.command(
    "run",
    epilog=examples(
        "trial run repr-ablation 17",
        "trial run repr-ablation standard-s1 --json",
        "trial run repr-ablation slot-17-s3 --keep",
    ),
)
@study_argument
@click.argument("slot", shell_complete=completing(ended_slots))
@click.option("--keep", is_flag=True, help="Keep the folder with the states of the recomputation.")
@accept_option
@json_option
@deterministic_option
@places("runs_dir", "storage", "data_dir", "states_dir", "device")
def run(name: str, slot: str, keep: bool, accept_code: bool, as_json: bool, **where: Any) -> None:
    """Train a recorded trial again from nothing and say whether exactly the same comes out.

    SLOT is a number of the search, ARM-sSEED of a control, or slot-NUMBER-sSEED of the confirmation. Where
    trials have several seeds, NUMBER-sSEED is one of them and NUMBER all. Curves, drops, restores and final
    weights are compared exactly; a trial that was stopped is trained to where it stopped. The study and its
    states stay as they are. Exit code 0 when all is equal, 1 when not.
    """
    from dashboards.live import Silent, TrialProgress
    from reprtune.spec.codec import to_plain
    from reprtune.study.recompute import recompute

    record = read_stored(name, where, histories=True)
    with contextlib.closing(Silent() if is_quiet() else TrialProgress()) as progress:
        settings = make_settings(**where)
        found = recompute(settings, record, slot, progress, keep=keep, accept_code=accept_code)
    if as_json:
        click.echo(to_json({**to_plain(found), "equal": found.equal}))
    else:
        click.echo(_text(found))
    raise click.exceptions.Exit(0 if found.equal else 1)


def _text(found: Any) -> str:
    """What was compared, line by line, and the verdict."""
    lines = []
    for seed in found.seeds:
        lines.append(
            f"{found.study} {found.slot}, seed {seed.seed} ({found.outcome}): {seed.steps} steps recomputed"
        )
        lines += [f"  {check.what:<11} {check.detail}" for check in seed.checks]
    lines.append("equal" if found.equal else "NOT equal")
    lines += [f"  {found.code}"] if found.code else []
    if not found.equal:
        lines += [f"  another {change}" for change in found.changes] or [
            "  code, versions, device and host are those of the record, as far as it has them"
        ]
        lines.append(
            "  the same bits are promised on the same kind of CPU, torch build and number of threads, or on the "
            "same GPU with --deterministic; the name of a state holds torch's version and the training's source"
        )
    if found.folder:
        lines.append(f"states kept in {found.folder}")
    return "\n".join(lines)
