#!/usr/bin/env python
"""reprtune on the command line. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from reprtune.settings import Settings
    from reprtune.spec.study import StudySpec

F = TypeVar("F", bound=Callable[..., Any])
TRAIN_PLACES = ("runs_dir", "data_dir", "states_dir", "device")
KINDS = ("datasets", "models", "criteria", "restores", "methods", "studies")


class Translated(click.Group):
    """The one place where our errors become a line on stderr and an exit code: 1, or 2 for a value
    that breaks its rule; 130 after Ctrl-C."""

    def invoke(self, ctx: click.Context) -> Any:
        from reprtune.errors import ReprtuneError

        try:
            return super().invoke(ctx)
        except ReprtuneError as error:
            failure = click.ClickException(str(error))
            failure.exit_code = error.exit_code  # type: ignore[misc]
            raise failure from error
        except KeyboardInterrupt:
            raise click.exceptions.Exit(130) from None


def examples(*lines: str) -> str:
    """Examples at the end of a command's help, printed as they are."""
    return "\b\nExamples:\n" + "\n".join(f"  python cli.py {line}" for line in lines)


def completing(names: Callable[[click.Context], Iterable[str]]) -> Callable[..., list[str]]:
    """A completion function: those of `names` that go on from what was typed."""

    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
        return [name for name in names(ctx) if name.startswith(incomplete)]

    return complete


def catalog_names(kind: str, _ctx: click.Context) -> Iterable[str]:
    from reprtune.spec import catalog

    return catalog.names(kind)


def stored_names(ctx: click.Context) -> Iterable[str]:
    """Names of the stored studies; none where the storage cannot be read."""
    from reprtune.errors import ReprtuneError
    from reprtune.record import database, storage

    with contextlib.suppress(ReprtuneError):
        url = make_settings(
            runs_dir=ctx.params.get("runs_dir"), storage=ctx.params.get("storage")
        ).storage_url
        return [] if database.is_absent(url) else storage.names(database.open_storage(url))
    return []


def known_studies() -> Iterable[str]:
    from studies import STUDIES

    return STUDIES


def load_study(name: str) -> StudySpec:
    """A study of `studies/` by name, or the `STUDY` of a person's own file."""
    from studies.load import load

    return load(name)


def make_settings(**given: Any) -> Settings:
    from reprtune.settings import Settings

    return Settings.from_environment(**given)


def to_json(value: Any) -> str:
    import json

    return json.dumps(value, indent=2)


def places(*names: str) -> Callable[[F], F]:
    """The options that say where things are; each can also come from the environment."""
    texts = {
        "runs_dir": ("--runs", "REPRTUNE_RUNS", "Folder of everything written (default: runs)."),
        "storage": ("--storage", "REPRTUNE_STORAGE", "Optuna storage URL (default: SQLite in --runs)."),
        "tracking_uri": ("--tracking-uri", "MLFLOW_TRACKING_URI", "MLflow (default: SQLite in --runs)."),
        "data_dir": ("--data-dir", "REPRTUNE_DATA", "Folder of the data sets (default: data)."),
        "states_dir": ("--states", "REPRTUNE_STATES", "Folder of training states (default: in --runs)."),
        "device": ("--device", "REPRTUNE_DEVICE", "auto, cpu, cuda or cuda:N (default: auto)."),
    }

    def decorate(command: F) -> F:
        for name in reversed(names):
            flag, variable, text = texts[name]
            command = click.option(flag, name, metavar="TEXT", help=f"{text} [{variable}]")(command)
        return command

    return decorate


def choices(**texts: str) -> Callable[[F], F]:
    """Options that name something of the catalog."""

    def decorate(command: F) -> F:
        for name, text in reversed(texts.items()):
            command = click.option(
                f"--{name}",
                metavar="NAME",
                shell_complete=completing(partial(catalog_names, f"{name}s")),
                help=f"{text} See: list {name}s.",
            )(command)
        return command

    return decorate


total_option = click.option(
    "--total",
    metavar="DURATION",
    help="Length of training, like 40ep or 4000it; S1 and S2 (and their ranges) keep their shares.",
)
set_option = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="PATH=VALUE",
    help="Change a field, e.g. method.criterion=l2.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
study_argument = click.argument("name", shell_complete=completing(stored_names))


@click.group(cls=Translated, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="reprtune", prog_name="reprtune")
def cli() -> None:
    """Does RePr (or a relative) make your network better, which part does it, with which settings?

    \b
    The way to an answer:
      python cli.py study create repr-ablation
      python cli.py study run repr-ablation --workers 2
      python cli.py study report repr-ablation
    """


@cli.command("list", epilog=examples("list criteria", "list models --json"))
@click.argument("kind", type=click.Choice(KINDS))
@json_option
def list_(kind: str, as_json: bool) -> None:
    """What there is to choose from."""
    from dashboards.terminal import table
    from reprtune.spec import catalog

    if kind == "studies":
        entries = [{"name": name, "line": load_study(name).question} for name in known_studies()]
    else:
        fields = ("name", "line", "cost", "needs", "fields")
        entries = [{f: getattr(e, f) for f in fields} for e in catalog.CATALOG[kind]]
    rows = [(entry["name"], entry["line"]) for entry in entries]
    click.echo(to_json(entries) if as_json else table(rows, (kind, "what it is")))


@cli.command(
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
@places(*TRAIN_PLACES)
def train(assignments: tuple[str, ...], test: bool, as_json: bool, **options: Any) -> None:
    """Train one network, without a study. Stopped or killed, the same command continues it."""
    from reprtune.spec.scale import scaled_trial
    from reprtune.spec.trial import TrialSpec

    settings = make_settings(**{place: options.pop(place) for place in TRAIN_PLACES})
    spec = scaled_trial(TrialSpec(), assignments=assignments, **options)
    from dashboards.terminal import TrialProgress, trial_result
    from reprtune.training.single import train_one

    with contextlib.closing(TrialProgress()) as progress:
        result = train_one(spec, settings, progress, test=test)
    click.echo(to_json(result) if as_json else trial_result(result))
    if result["outcome"] != "complete":
        raise click.exceptions.Exit(130 if result["outcome"] == "interrupted" else 1)


@cli.group()
def study() -> None:
    """Create, run, watch and read studies."""


@study.command(
    epilog=examples(
        "study create repr-ablation",
        "study create repr-ablation --dataset cifar10 --model resnet-20 --total 160ep",
        "study create my_question.py --set slots=64 --set space.method.s1.high=12ep",
    )
)
@click.argument("question", metavar="NAME|FILE.py", shell_complete=completing(lambda _: known_studies()))
@choices(dataset="Another data set.", model="Another network.")
@total_option
@click.option("--name", help="Name of the stored study (default: says what it was scaled to).")
@set_option
@places("runs_dir", "storage", "tracking_uri", "data_dir", "device")
def create(
    question: str, dataset: str | None, model: str | None, total: str | None, name: str | None,
    assignments: tuple[str, ...], **where: Any,
) -> None:  # fmt: skip
    """Check a study, try every choice for a few steps, and store it. Repeating it changes nothing."""
    from reprtune.spec.scale import scaled_study

    settings = make_settings(**where)
    spec = scaled_study(
        load_study(question), dataset=dataset, model=model, total=total, name=name, assignments=assignments
    )
    from reprtune.tuning.create import create_study

    made, facts = create_study(spec, settings, lambda what: click.echo(f"  trying {what}", err=True))
    click.echo(f"{'Created' if made else 'Already there, unchanged:'} {spec.name}")
    click.echo(
        f"  {spec.slots} slots, {len(spec.control_cells())} controls, {facts['total_steps']} steps each; "
        f"{facts['fitting_share']:.0%} of the draws fit the total"
    )
    click.echo(f"  next: python cli.py study run {spec.name} --workers 2")


@study.command(epilog=examples("study run repr-ablation --workers 2", "study run repr-ablation --trials 5"))
@study_argument
@click.option("--trials", type=click.IntRange(min=1), help="Begin at most so many slots now (default: all).")
@click.option(
    "--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes on this machine."
)
@places("runs_dir", "storage", "tracking_uri", "data_dir", "states_dir", "device")
def run(name: str, trials: int | None, workers: int, **where: Any) -> None:
    """Run what is left of a study, here; start it on as many machines as you like."""
    from dashboards.html import add_library
    from dashboards.terminal import StudyProgress, status
    from dashboards.trial_page import trial_draft
    from reprtune.tuning.launch import Launcher

    settings = make_settings(**where)
    before = read(name, where)
    total = before.spec.slots + len(before.spec.control_cells())
    progress = StudyProgress(total - before.pending(), total)
    with contextlib.closing(progress):
        pages = trial_draft, add_library
        summary = Launcher(settings, name, workers, trials, *pages, progress, progress.say).run()
    click.echo(status(summary.study))
    if summary.shipped.error:
        click.echo(
            f"  MLflow:   {summary.shipped.pending} events wait here ({summary.shipped.error}); "
            f"send them with: python cli.py study sync {name}", err=True,
        )  # fmt: skip
    if summary.interrupted:
        raise click.exceptions.Exit(130)
    next_step = f"study report {name}" if summary.pending == 0 else f"study resume {name}"
    click.echo(f"  next: python cli.py {next_step}")


study.add_command(
    click.Command(
        "resume",
        callback=run.callback,
        params=run.params,
        help="Go on with a study that was stopped or killed, here or on another machine: the same as `run`.",
        epilog=examples(
            "study resume repr-ablation", "study resume repr-ablation --storage postgresql+psycopg://me@db/x"
        ),
    )
)


def read(name: str, where: dict[str, Any], *, histories: bool = False) -> Any:
    """A stored study. Looking makes nothing: an SQLite file that is not there stays away."""
    from reprtune.errors import StudyError
    from reprtune.record import database, storage

    url = make_settings(**where).storage_url
    if database.is_absent(url):
        raise StudyError(
            f"There is no study {name!r}: the storage {url} is not there.",
            "Create the study first, or say where it is with --runs or --storage.",
        )
    return storage.read_study(database.open_storage(url), name, histories=histories)


@study.command(epilog=examples("study status repr-ablation"))
@study_argument
@json_option
@places("runs_dir", "storage")
def status(name: str, as_json: bool, **where: Any) -> None:
    """How far a study is, who works on it, and its best trial so far."""
    from dashboards import terminal

    record = read(name, where)
    click.echo(to_json(terminal.status_numbers(record)) if as_json else terminal.status(record))


@study.command("list", epilog=examples("study list"))
@json_option
@places("runs_dir", "storage")
def list_studies(as_json: bool, **where: Any) -> None:
    """The studies in the storage."""
    from dashboards import terminal
    from reprtune.record import database, storage

    url = make_settings(**where).storage_url
    records = [] if database.is_absent(url) else storage.read_studies(database.open_storage(url))
    rows = [(r.spec.name, f"{len(r.final())} of {r.spec.slots}", r.spec.question) for r in records]
    text = terminal.table(rows, ("study", "finished", "question")) if rows else "There are no studies yet."
    click.echo(to_json([terminal.status_numbers(r) for r in records]) if as_json else text)


@study.command(epilog=examples("study show repr-ablation", "study show repr-ablation --json"))
@study_argument
@json_option
@places("runs_dir", "storage")
def show(name: str, as_json: bool, **where: Any) -> None:
    """A study as it is stored: question, every field, what was found at create, the best trials."""
    from dashboards import terminal
    from reprtune.spec.codec import canonical_json

    record = read(name, where)
    click.echo(canonical_json(record.spec) if as_json else terminal.show(record))


@study.command(
    epilog=examples("study report repr-ablation", "study report repr-ablation --output /tmp/report")
)
@study_argument
@click.option("--output", metavar="FOLDER", help="Where to write it (default: reports/NAME in --runs).")
@places("runs_dir", "storage")
def report(name: str, output: str | None, **where: Any) -> None:
    """Write the report: one self-contained page, its numbers as JSON and CSV. Works on unfinished studies."""
    from pathlib import Path

    from dashboards.report import write_report

    record = read(name, where, histories=True)
    click.echo(write_report(record, Path(output) if output else make_settings(**where).report_dir(name)))


@study.command(epilog=examples("study sync repr-ablation"))
@study_argument
@places("runs_dir", "storage", "tracking_uri")
def sync(name: str, **where: Any) -> None:
    """Send what waits in this machine's journal to MLflow; what is there already is not doubled."""
    from dashboards.html import add_library
    from reprtune.errors import TrackingError
    from reprtune.tuning.shipper import Shipper

    record = read(name, where)
    result = Shipper(make_settings(**where), record.spec, record.instance, finish_page=add_library).sync()
    click.echo(f"{result.sent} events sent, {result.pending} waiting")
    if result.error:
        raise TrackingError(result.error, "Nothing is lost: run the same command again when MLflow answers.")


@study.command(epilog=examples("study delete repr-ablation"))
@study_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@places("runs_dir", "storage", "states_dir")
def delete(name: str, yes: bool, **where: Any) -> None:
    """Remove a study and its training states. MLflow's runs and written reports stay."""
    from reprtune.tuning.remove import delete_study

    record = read(name, where)
    if not yes:
        click.confirm(f"Remove {name} and its {len(record.trials)} trials?", abort=True)
    delete_study(make_settings(**where), record)
    click.echo(f"Removed {name}")


if __name__ == "__main__":
    cli()
