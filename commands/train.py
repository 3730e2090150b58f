"""`train`: one network, without a study."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from commands.options import (
    choices,
    deterministic_option,
    examples,
    force_option,
    hint,
    is_quiet,
    json_option,
    make_settings,
    places,
    set_option,
    to_json,
    total_option,
)
from commands.trial import warn_of_missing_program

PLACES = ("runs_dir", "data_dir", "states_dir", "device", "deterministic")


@click.command(
    epilog=examples(
        "train",
        "train --method standard --total 40ep --seed 1",
        "train --total 40ep --export my-network",
        "train --dataset cifar10 --model resnet-20 --set method.criterion=l2 --set training.lr=0.05",
    )
)
@choices(dataset="Data set.", model="Network.", method="Training method.")
@total_option
@click.option("--seed", type=int, help="Seed of the trial (default: 0).")
@click.option("--precision", metavar="NAME", help="fp32, tf32, bf16 or fp16.")
@set_option
@click.option("--test", is_flag=True, help="Also measure the error on the test part, once, at the end.")
@json_option
@click.option(
    "--export", metavar="FOLDER", help="Also write the trained network there, as `trial export` does."
)
@force_option
@deterministic_option
@places(*PLACES[:4])
def train(
    assignments: tuple[str, ...], test: bool, as_json: bool, export: str | None, force: bool, **options: Any
) -> None:
    """Train one network, without a study. Stopped or killed, the same command continues it.

    Its curve, drops, settings and result become a page, RUNS/trained/ID.html, where ID is of its settings.
    """
    from reprtune.spec.codec import digest
    from reprtune.spec.scale import scaled_trial
    from reprtune.spec.trial import TrialSpec

    settings = make_settings(**{place: options.pop(place) for place in PLACES})
    spec = scaled_trial(TrialSpec(), assignments=assignments, **options)
    from dashboards.live import Silent, TrialProgress
    from dashboards.terminal import meaning, trial_result
    from reprtune.training.chain.chain import Chain
    from reprtune.training.chain.train_one import train_one
    from reprtune.training.export.latency import with_latency
    from reprtune.training.export.network import check_folder, files, from_chain, write

    latency: list[Any] = []

    def keep(run: Chain) -> None:
        if export is not None:
            trained = with_latency(from_chain(run, outcome="complete"), run.networks.device)
            latency.extend(list(network.latency) for network in trained.networks if network.latency)
            content = files(trained)
            write(content, Path(export), force=force)
            warn_of_missing_program(content)

    if export is not None:
        check_folder(Path(export), force=force)
    with contextlib.closing(Silent() if is_quiet() else TrialProgress()) as progress:
        result = train_one(spec, settings, progress, test=test, finish=keep, warn=_warn, ends=True)
    result["meaning"] = meaning(result["outcome"])
    if export is not None and result["outcome"] == "complete":
        result["network"] = export
        if latency:
            result["latency"] = latency
    result["page"] = _page(result, settings.trained_page(digest(spec)))
    click.echo(to_json(result) if as_json else trial_result(result))
    if result["outcome"] != "complete":
        raise click.exceptions.Exit(130 if result["outcome"] == "interrupted" else 1)


def _page(result: Mapping[str, Any], path: Path) -> str | None:
    """Write the page of a trial that was begun; what was trained is not lost where that cannot be done."""
    from dashboards.trained_page import trained_html
    from reprtune.files import write_atomically

    if result["history"] is None:
        return None
    try:
        write_atomically(path, trained_html(result).encode(), sync=False)
    except OSError as error:
        _warn(f"The page of this trial cannot be written to {path}: {error.strerror or error}.")
        return None
    return str(path)


def _warn(line: str) -> None:
    hint(f"warning: {line}", err=True)
