"""`data`: what the data sets need once."""

from __future__ import annotations

import contextlib
from typing import Any

import click

from commands.options import catalog_names, completing, examples, is_quiet, make_settings, places


@click.group()
def data() -> None:
    """Get data sets ready."""


@data.command(epilog=examples("data prepare cifar10", "data prepare imagefolder:pets --image-size 128"))
@click.argument("dataset", shell_complete=completing(lambda ctx: catalog_names("datasets", ctx)))
@click.option(
    "--image-size",
    type=click.IntRange(min=2),
    help="Side in px of the images of a folder, as task.image_size (default: 224).",
)
@places("data_dir")
def prepare(dataset: str, image_size: int | None, **where: Any) -> None:
    """Download, check and convert a data set once, so that training only reads it. Repeating costs nothing."""
    settings = make_settings(**where)
    from reprtune.spec import catalog

    catalog.find("datasets", dataset)  # a wrong name is said before torch is loaded
    from dashboards.live import Silent, WorkProgress
    from reprtune.training.data.prepare import prepare as prepared

    with contextlib.closing(Silent() if is_quiet() else WorkProgress()) as progress:
        summary = prepared(dataset, settings.data_dir, progress, image_size=image_size)
    click.echo(summary)
