"""`study compare`: two stored studies side by side."""

from __future__ import annotations

from typing import Any

import click

from commands.options import completing, examples, json_option, places, read_stored, stored_names, to_json


@click.command(
    epilog=examples(
        "study compare repr-ablation repr-ablation-wide",
        "study compare cifar ours --storage-b sqlite:///other.db --csv differences.csv",
    )
)
@click.argument("first", metavar="A", shell_complete=completing(stored_names))
@click.argument("second", metavar="B", shell_complete=completing(stored_names))
@json_option
@click.option("--csv", "csv_file", metavar="FILE", help="Also write a row for each arm there.")
@click.option(
    "--storage-b", metavar="TEXT", help="Optuna storage URL of the second study (default: the same)."
)
@places("runs_dir", "storage")
def compare(
    first: str, second: str, as_json: bool, csv_file: str | None, storage_b: str | None, **where: Any
) -> None:
    """What two studies say about the same arms: errors where they measured on the same images with the same budget,
    effects where they did not. What cannot be compared is refused, with the reason."""
    from pathlib import Path

    from dashboards import compare as words
    from reprtune.analysis.compare import plain, side_by_side
    from reprtune.errors import StudyError
    from reprtune.files import write_atomically

    other = {**where, "storage": storage_b} if storage_b else where
    a, b = read_stored(first, where, histories=True), read_stored(second, other, histories=True)
    found = side_by_side(a, b)
    if found.is_empty:
        raise StudyError(
            f"{first!r} and {second!r} have no arm of the same name, and not both a search: there is nothing to compare.",
            "Give arms that are the same the same name in both studies.",
        )
    if csv_file:
        write_atomically(Path(csv_file), words.csv_rows(found).encode())
    click.echo(to_json(plain(found)) if as_json else words.text(found))
