"""What the commands share: their errors, options, completions, and how a stored study is read."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import click

from reprtune.settings import program

if TYPE_CHECKING:
    from reprtune.settings import Settings
    from reprtune.spec.study import StudySpec

F = TypeVar("F", bound=Callable[..., Any])


class Translated(click.Group):
    """The one place where our errors become a line on stderr and an exit code: 1, or 2 for a value
    that breaks its rule; 130 after Ctrl-C."""

    def invoke(self, ctx: click.Context) -> Any:
        from reprtune.errors import ReprtuneError

        try:
            return super().invoke(ctx)
        except ReprtuneError as error:
            failure = click.ClickException(spoken(str(error)))
            failure.exit_code = error.exit_code  # type: ignore[misc]
            raise failure from error
        except KeyboardInterrupt:
            click.echo("Stopped. The same command can be given again.", err=True)
            raise click.exceptions.Exit(130) from None

    def get_help(self, ctx: click.Context) -> str:
        return spoken(super().get_help(ctx))


def spoken(text: str) -> str:
    """The text with the program called as the person called it."""
    return text.replace("python cli.py", program())


QUIET = "reprtune.quiet"  # in the context of a command: is only wanted what was asked for?


def is_quiet() -> bool:
    """Was the program told to leave out progress and hints (`-q`)?"""
    return bool(click.get_current_context().meta.get(QUIET))


def hint(text: str, *, err: bool = False) -> None:
    """Print what nobody asked for, unless it is not wanted: what is being done, or what to do next."""
    if not is_quiet():
        click.echo(text, err=err)


class Seconds(click.FloatRange):
    """A length of time between two bounds; `nan` is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        return number


def examples(*lines: str) -> str:
    """Examples at the end of a command's help, printed as they are."""
    return "\b\nExamples:\n" + "\n".join(f"  {program()} {line}" for line in lines)


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


def tracking_is_off() -> str:
    """What is said where nothing is tracked."""
    from reprtune.tracking.tracker import OFF

    return OFF


def run_event(summary: Any) -> str:
    """How a run (`work.launch.Summary`) ended, as `--notify` says it."""
    if summary.interrupted:
        return "interrupted"
    if any(trial.is_final and trial.outcome.is_broken for trial in summary.study.everything):
        return "failed"
    return "paused" if summary.pending else "finished"


def to_json(value: Any) -> str:
    import json

    return json.dumps(value, indent=2)


def places(*names: str) -> Callable[[F], F]:
    """The options that say where things are; each can also come from the environment."""
    texts = {
        "runs_dir": ("--runs", "REPRTUNE_RUNS", "Folder of everything written (default: runs)."),
        "storage": ("--storage", "REPRTUNE_STORAGE", "Optuna storage URL (default: SQLite in --runs)."),
        "tracking_uri": (
            "--tracking-uri",
            "MLFLOW_TRACKING_URI",
            "MLflow (default: SQLite in --runs), or none.",
        ),
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


def complete_assignment(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Paths that end in `=`; after that, the words which may stand there."""
    from reprtune.errors import ReprtuneError
    from reprtune.spec import paths

    path, equals, typed = incomplete.partition("=")
    if equals:
        return [f"{path}={value}" for value in paths.completed(path, typed)]
    found = paths.of_trial()
    if question := ctx.params.get("question") or next(iter(ctx.args), None):  # click has not sorted it in yet
        with contextlib.suppress(ReprtuneError):
            found = paths.of_study(load_study(question))
    return [f"{path}=" for path in found if path.startswith(incomplete)]


set_option = click.option(
    "--set",
    "assignments",
    multiple=True,
    shell_complete=complete_assignment,
    metavar="PATH=VALUE",
    help="Change a field, e.g. method.criterion=l2.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
accept_option = click.option(
    "--accept-code",
    is_flag=True,
    help="Go on although the code here, or torch, is not what the study was created with.",
)
force_option = click.option(
    "--force", is_flag=True, help="Replace the exported network that is in the folder."
)
deterministic_option = click.option(
    "--deterministic",
    is_flag=True,
    default=None,
    help="The same bits every time on a GPU too, for some speed. [REPRTUNE_DETERMINISTIC]",
)
notify_option = click.option(
    "--notify",
    metavar="COMMAND",
    envvar="REPRTUNE_NOTIFY",
    help="Run by your shell at the end, on failure and on interruption, with REPRTUNE_EVENT, REPRTUNE_STUDY, "
    "REPRTUNE_MESSAGE and more in its environment and JSON on its stdin. [REPRTUNE_NOTIFY]",
)
trials_option = click.option(
    "--trials", type=click.IntRange(min=1), help="Begin at most so many slots now (default: all)."
)
study_argument = click.argument("name", shell_complete=completing(stored_names))


def read_stored(name: str, where: dict[str, Any], *, histories: bool = False) -> Any:
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
