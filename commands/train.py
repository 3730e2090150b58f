"""`train`: one network, without a study."""

from __future__ import annotations

import contextlib
from typing import Any

import click

from commands.options import (
    choices,
    examples,
    json_option,
    make_settings,
    places,
    set_option,
    to_json,
    total_option,
)

PLACES = ("runs_dir", "data_dir", "states_dir", "device")


@click.command(
    epilog=examples(
        "train",
        "train --method standard --total 40ep --seed 1",
        "train --dataset cifar10 --model resnet-20 --set method.criterion=l2 --set training.lr=0.05",
    )
)
@choices(dataset="Data set.", model="Network.", method="Training method.")
@total_option
@click.option("--seed", type=int, help="Seed of the trial (default: 0).")
@click.option("--precision", metavar="NAME", help="fp32 or bf16.")
@set_option
@click.option("--test", is_flag=True, help="Also measure the error on the test part, once, at the end.")
@json_option
@places(*PLACES)
def train(assignments: tuple[str, ...], test: bool, as_json: bool, **options: Any) -> None:
    """Train one network, without a study. Stopped or killed, the same command continues it."""
    from reprtune.spec.scale import scaled_trial
    from reprtune.spec.trial import TrialSpec

    settings = make_settings(**{place: options.pop(place) for place in PLACES})
    spec = scaled_trial(TrialSpec(), assignments=assignments, **options)
    from dashboards.terminal import TrialProgress, trial_result
    from reprtune.training.single import train_one

    with contextlib.closing(TrialProgress()) as progress:
        result = train_one(spec, settings, progress, test=test)
    click.echo(to_json(result) if as_json else trial_result(result))
    if result["outcome"] != "complete":
        raise click.exceptions.Exit(130 if result["outcome"] == "interrupted" else 1)
