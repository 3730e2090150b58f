"""What `study run` and `study confirm` share: workers on this machine, with progress, notification and a last word."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from commands.options import is_quiet, run_event
from reprtune.settings import program

if TYPE_CHECKING:
    from reprtune.settings import Settings
    from reprtune.work.launch import Summary


def launch(
    settings: Settings,
    name: str,
    workers: int,
    notify: str | None,
    done: int,
    total: int,
    *,
    trials: int | None = None,
    accept_code: bool = False,
) -> Summary:
    """Work on the study until nothing is left to take here, and say how it stands.

    Args:
        done, total: slots, for the progress. trials: begin at most so many; None = all.
        accept_code: go on although the code here is not the study's.
    """
    from dashboards.live import Silent, StudyProgress
    from dashboards.terminal import best_numbers, status, status_numbers
    from dashboards.trial_page import drawn
    from reprtune.work.launch import Launcher
    from reprtune.work.notify import notifying

    progress: Silent | StudyProgress = Silent() if is_quiet() else StudyProgress(done, total)
    launcher = Launcher(
        settings, name, workers, trials, drawn, progress, progress.say,
        accept_code=accept_code,
    )  # fmt: skip
    with notifying(notify, name, lambda text: click.echo(text, err=True)) as notice:
        with contextlib.closing(progress):
            summary = launcher.run()
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
