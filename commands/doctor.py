"""`doctor`: is everything here that a study needs?"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from commands.options import (
    completing,
    examples,
    json_option,
    make_settings,
    places,
    spoken,
    stored_names,
    to_json,
)

if TYPE_CHECKING:
    from reprtune.doctor.findings import Check, Finding
    from reprtune.settings import Settings

WIDTH = 10
MARKS = {"ok": "ok", "warning": "WARNING", "problem": "PROBLEM"}


@click.command(
    epilog=examples(
        "doctor",
        "doctor repr-ablation --json",
        "doctor --device cuda",
        "doctor --storage postgresql+psycopg://me@db/reprtune --states /shared/states",
    )
)
@click.argument("name", required=False, shell_complete=completing(stored_names))
@json_option
@places("runs_dir", "storage", "tracking_uri", "data_dir", "states_dir", "device")
def doctor(name: str | None, as_json: bool, **where: Any) -> None:
    """Look at device, memory, data, storage, MLflow, folders and packages, and say how to mend what is wrong.

    With the NAME of a study also: are its data, our code and your own here those it was created with? Looking
    makes nothing. Exit code 1 where there is a problem; warnings are none.
    """
    settings = make_settings(**where)
    from reprtune.doctor.findings import examine

    found: list[Finding] = []
    for finding in examine(checks(settings, name)):
        found.append(finding)
        if not as_json:
            click.echo("\n".join(_lines(finding)))
    counts = Counter(finding.verdict for finding in found)
    if as_json:
        click.echo(to_json([vars(finding) for finding in found]))
    else:
        click.echo(", ".join(f"{counts[verdict]} {verdict}" for verdict in MARKS))
    if counts["problem"]:
        raise click.exceptions.Exit(1)


def checks(settings: Settings, name: str | None) -> dict[str, Check]:
    """All checks in the order of their report. What they import is loaded here, so that no check's time is
    spent on it."""
    from reprtune.doctor import gpu as doctor_gpu
    from reprtune.doctor import machine as doctor_machine
    from reprtune.doctor import places as doctor_places
    from reprtune.doctor import shared as doctor_shared
    from reprtune.doctor import stores as doctor_stores

    folder = doctor_places.folder
    found: dict[str, Check] = {
        "device": partial(doctor_machine.device, settings),
        "MPS": partial(doctor_gpu.sharing, settings),
        "memory": partial(doctor_machine.memory, settings),
        "threads": doctor_places.processors,
        "clock": doctor_places.clock,
        "packages": doctor_places.packages,
        "runs": partial(folder, "runs", settings.runs_dir, flag="--runs"),
        "states": partial(folder, "states", settings.states, flag="--states"),
        "sharing": partial(doctor_shared.states, settings),
        "storage": partial(doctor_stores.storage, settings),
        "mlflow": partial(doctor_stores.tracking, settings),
        "data": partial(doctor_machine.data, settings),
    }
    if name is not None:
        found["study"] = partial(doctor_machine.study, settings, name)
    return found


def _lines(finding: Finding) -> list[str]:
    text = f"{MARKS[finding.verdict]:<9}{finding.check:<{WIDTH}} {finding.text}"
    return [text, *([f"{'':9}{'':{WIDTH}} {spoken(finding.mend)}"] if finding.mend else [])]
