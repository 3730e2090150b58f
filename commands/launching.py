"""What `study run` and `study confirm` share: workers on this machine, with progress, notification and a last word."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from commands.options import is_quiet, run_event
from reprtune import signals
from reprtune.settings import program

NAMED = 5  # slots that failed
if TYPE_CHECKING:
    from reprtune.record.schema import StudyRecord
    from reprtune.settings import Settings
    from reprtune.work.launch import Summary


def raise_for_failed(study: StudyRecord) -> None:
    """A run is no success while slots have ended in errors, whoever worked on them.

    Raises:
        ReprtuneError: naming them, the last error, and the way out.
    """
    from reprtune.errors import ReprtuneError
    from reprtune.record.slots import slot_name
    from reprtune.study.repair import failed

    broken = failed(study)
    if not broken:
        return
    names = ", ".join(slot_name(trial) for trial in broken[:NAMED]) + (", ..." if len(broken) > NAMED else "")
    last = broken[-1].result.get("error", broken[-1].outcome.words)
    raise ReprtuneError(
        f"{len(broken)} of {study.planned()} slots of {study.spec.name!r} ended in errors: {names}; the last: {last}",
        f"Mend the cause, then queue them again with: {program()} study repair {study.spec.name}",
    )


def launch(
    settings: Settings,
    before: StudyRecord,
    workers: int,
    notify: str | None,
    *,
    trials: int | None = None,
    accept_code: bool = False,
    until: float | None = None,
) -> Summary:
    """Work on the study until nothing is left to take here, and say how it stands.

    Args:
        before: the study, as it is stored. trials: begin at most so many; None = all.
        accept_code: go on although the code here is not the study's.
        until: when the workers are to leave, in seconds since 1970; None = when nothing is left.
    """
    from dashboards.live import Silent, StudyProgress
    from dashboards.terminal import best_numbers, status, status_numbers
    from dashboards.trial_page import drawn
    from reprtune.work.launch import Launcher
    from reprtune.work.notify import notifying

    name, slots = before.spec.name, before.planned()
    progress: Silent | StudyProgress = (
        Silent() if is_quiet() else StudyProgress(slots - before.pending(), slots)
    )
    launcher = Launcher(
        settings, name, workers, trials, drawn, progress, progress.say,
        accept_code=accept_code, until=until,
    )  # fmt: skip
    with notifying(notify, name, lambda text: click.echo(text, err=True)) as notice:
        with contextlib.closing(progress):
            summary = launcher.run()
        if summary.interrupted:
            signals.ignore(signals.REPEATED)  # it ends already
        notice.event = run_event(summary)
        notice.facts = status_numbers(summary.study) | best_numbers(summary.study)
    click.echo(status(summary.study))
    if summary.shipped.error:
        click.echo(
            f"  tracking: {summary.shipped.pending} events wait here ({summary.shipped.error}); "
            f"send them with: {program()} study sync {name}", err=True,
        )  # fmt: skip
    for line in summary.mended.words("MLflow", settings.states):
        click.echo(f"  tracking: {line}", err=True)
    return summary
