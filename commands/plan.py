"""`study plan`: what a study would be, before anything runs."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable
from typing import Any

import click

from commands.options import (
    choices,
    completing,
    examples,
    json_option,
    known_studies,
    load_study,
    make_settings,
    places,
    read_stored,
    set_option,
    stored_names,
    to_json,
    total_option,
)


def plannable(ctx: click.Context) -> Iterable[str]:
    """Questions of `studies/`, and stored studies."""
    return dict.fromkeys([*known_studies(), *stored_names(ctx)])


class Points(click.FloatRange):
    """Percentage points above 0; `nan` is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value!r} is not a number of percentage points.", param, ctx)
        return number


@click.command(
    epilog=examples(
        "study plan repr-ablation",
        "study plan repr-ablation --dataset cifar10 --model resnet-20 --total 160ep --sd 0.3",
        "study plan my_question.py --set arms.seeds=9 --json",
    )
)
@click.argument("question", metavar="NAME|FILE.py", shell_complete=completing(plannable))
@choices(dataset="Another data set.", model="Another network.")
@total_option
@set_option
@click.option(
    "--sd",
    type=Points(0, 100, min_open=True),
    metavar="POINTS",
    help="Standard deviation of paired differences, in percentage points of error (default: that of the stored study of "
    "this name, where there is one).",
)
@json_option
@places("runs_dir", "storage", "data_dir")
def plan(
    question: str, dataset: str | None, model: str | None, total: str | None,
    assignments: tuple[str, ...], sd: float | None, as_json: bool, **where: Any,
) -> None:  # fmt: skip
    """What a study would be, before anything runs: arms, runs, their cost, and what their seeds could see.

    NAME is a question of studies/, else a stored study. Data are read, and nothing is trained or written.
    """
    from reprtune.spec.scale import scaled_study

    spec = scaled_study(
        _study(question, where), dataset=dataset, model=model, total=total, name=None, assignments=assignments
    )
    from dashboards.plan import plan_numbers, plan_text
    from reprtune.study.planning import plan_study

    measured = None if sd is not None else _measured(spec.name, where)
    given = sd / 100 if sd is not None else measured
    found = plan_study(spec, make_settings(**where), given, measured=measured is not None)
    click.echo(to_json(plan_numbers(found)) if as_json else plan_text(found))


def _study(question: str, where: dict[str, Any]) -> Any:
    """A question, else the stored study of that name."""
    from reprtune.errors import SpecError, StudyError

    try:
        return load_study(question)
    except SpecError:
        if question.endswith(".py") or question.startswith("python:"):
            raise
        with contextlib.suppress(StudyError):
            return read_stored(question, {k: v for k, v in where.items() if k != "data_dir"}).spec
        raise


def _measured(name: str, where: dict[str, Any]) -> float | None:
    """The sd in the stored study of that name; None without one."""
    from reprtune.analysis.plan import measured_sd
    from reprtune.errors import StudyError

    with contextlib.suppress(StudyError):
        return measured_sd(read_stored(name, {k: v for k, v in where.items() if k != "data_dir"}))
    return None
