"""`study`: create, run, watch and read studies."""

from __future__ import annotations

from typing import Any

import click

from commands.branch import branch
from commands.cluster import launch as launch_on_cluster
from commands.compare import compare
from commands.confirm import confirm
from commands.extend import extend, repair
from commands.launching import launch, raise_for_failed
from commands.options import (
    Seconds,
    accept_option,
    choices,
    completing,
    deterministic_option,
    examples,
    hint,
    json_option,
    known_studies,
    load_study,
    make_settings,
    notify_option,
    places,
    read_stored,
    set_option,
    study_argument,
    to_json,
    total_option,
    tracking_is_off,
    trials_option,
)
from commands.plan import plan
from commands.until import until_option
from commands.watch import watch
from reprtune.settings import program


@click.group()
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
@click.option(
    "--experiment",
    metavar="TEXT",
    help="MLflow experiment to put it in, made where absent (default: one of its own). [MLFLOW_EXPERIMENT_NAME]",
)
@places("runs_dir", "storage", "tracking_uri", "data_dir", "device")
def create(
    question: str, dataset: str | None, model: str | None, total: str | None, name: str | None,
    assignments: tuple[str, ...], experiment: str | None, **where: Any,
) -> None:  # fmt: skip
    """Check a study, try every choice for a few steps, and store it. Repeating it changes nothing."""
    from reprtune.spec.scale import scaled_study

    settings = make_settings(**where, experiment=experiment)
    spec = scaled_study(
        load_study(question), dataset=dataset, model=model, total=total, name=name, assignments=assignments
    )
    from dashboards.lengths import lengths
    from dashboards.tuned_words import budget
    from reprtune.study.create import create_study
    from reprtune.study.foreseen import foreseen_in

    made, facts = create_study(spec, settings, lambda what: hint(f"  trying {what}", err=True))
    click.echo(f"{'Created' if made else 'Already there, unchanged:'} {spec.name}")
    sizes = [f"{spec.planned(section)} trials of {section.name}" for section in spec.sections]
    sizes.append(f"{lengths(spec, facts['steps_per_epoch'])} steps each")
    if spec.search is not None:
        sizes.append(f"{facts['fitting_share']:.0%} of the draws fit the total")
    click.echo(f"  {', '.join(sizes)}")
    for section in spec.comparisons:
        if section.tune is not None:
            click.echo(f"  tunes each arm of {section.name} first: {budget(section.tune)}")
    for rule in spec.applied_rules:
        click.echo(f"  decides: {rule.pair}")
    for line in foreseen_in(spec, facts["steps_per_epoch"]):
        hint(f"  warning: {line}", err=True)
    if not settings.tracks:
        click.echo(f"  {tracking_is_off()}")
    elif "experiment" in facts:
        click.echo(f"  MLflow: experiment {facts['experiment']['name']!r}")
    hint(f"  next: {program()} study run {spec.name} --workers 2")


@study.command(
    epilog=examples(
        "study run repr-ablation --workers 2",
        "study run repr-ablation --trials 5",
        "study run repr-ablation --workers 2 --until 08:00",
        """study run repr-ablation --notify 'curl -d "$REPRTUNE_MESSAGE" ntfy.sh/my-topic'""",
    )
)
@study_argument
@trials_option
@click.option(
    "--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes on this machine."
)
@until_option
@accept_option
@notify_option
@deterministic_option
@places("runs_dir", "storage", "tracking_uri", "data_dir", "states_dir", "device")
def run(
    name: str, trials: int | None, workers: int, until: float | None, accept_code: bool, notify: str | None,
    **where: Any,
) -> None:  # fmt: skip
    """Run what is left of a study, here; start it on as many machines as you like."""
    from dashboards.next_step import to_change

    settings = make_settings(**where)
    before = read_stored(name, where)
    summary = launch(
        settings,
        before,
        workers,
        notify,
        trials=trials,
        accept_code=accept_code,
        until=until,
    )
    if summary.interrupted:
        hint(f"  next: {program()} study resume {name}", err=True)
        raise click.exceptions.Exit(130)
    if summary.pending:
        hint(f"  next: {program()} study resume {name}")
        raise_for_failed(summary.study)
        return
    hint(f"  next: {program()} study report {name}")
    raise_for_failed(summary.study)
    if summary.study.spec.confirmation is None and (change := to_change(summary.study)):
        hint(f"  then: {change}")
    elif summary.study.spec.confirmation is None:
        hint(f"  then: {program()} study confirm {name}, for an answer on fresh seeds and test images")


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
study.add_command(launch_on_cluster)
study.add_command(plan)
study.add_command(compare)
study.add_command(confirm)
study.add_command(extend)
study.add_command(branch)
study.add_command(repair)


@study.command(
    epilog=examples("study status repr-ablation", "study status repr-ablation --watch --interval 10")
)
@study_argument
@json_option
@click.option(
    "--watch",
    "watching",
    is_flag=True,
    help="Draw it anew until it is finished; with --json, a line per change.",
)
@click.option(
    "--interval", type=Seconds(0.1, 3600), default=2.0, show_default=True, help="Seconds between looks."
)
@places("runs_dir", "storage", "tracking_uri")
def status(name: str, as_json: bool, watching: bool, interval: float, **where: Any) -> None:
    """How far a study is, who works on it, and its best trial so far."""
    from dashboards import terminal
    from reprtune.tracking.choose import tracker_for
    from reprtune.tracking.elsewhere import ONE_STORE

    if watching:
        watch(name, where, interval, as_json=as_json)
    else:
        record = read_stored(name, where)
        click.echo(to_json(terminal.status_numbers(record)) if as_json else terminal.status(record))
        if not as_json and not make_settings(**where).tracks:
            click.echo(f"  {tracking_is_off()}")
        if not as_json and (warned := tracker_for(make_settings(**where)).warns(record.facts, quickly=True)):
            click.echo(f"  tracking: {warned}")
            hint(f"  {ONE_STORE}")
        if not as_json and (step := terminal.next_step(record)):
            hint(step)


@study.command("list", epilog=examples("study list"))
@json_option
@places("runs_dir", "storage")
def list_studies(as_json: bool, **where: Any) -> None:
    """The studies in the storage."""
    from dashboards import terminal
    from reprtune.record import database, storage

    url = make_settings(**where).storage_url
    read = ({}, {}) if database.is_absent(url) else storage.read_studies(database.open_storage(url))
    click.echo(to_json(terminal.listed_numbers(*read)) if as_json else terminal.listed(*read))


@study.command(epilog=examples("study show repr-ablation", "study show repr-ablation --json"))
@study_argument
@json_option
@places("runs_dir", "storage")
def show(name: str, as_json: bool, **where: Any) -> None:
    """A study as it is stored: question, every field, what was found at create, the best trials."""
    from dashboards import terminal
    from reprtune.spec.codec import canonical_json

    record = read_stored(name, where)
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
    from reprtune.tracking.choose import tracker_for

    record, settings = read_stored(name, where, histories=True), make_settings(**where)
    folder = Path(output) if output else settings.report_dir(name)
    click.echo(write_report(record, folder, mlflow=tracker_for(settings).web_address))


@study.command(epilog=examples("study sync repr-ablation"))
@study_argument
@click.option(
    "--adopt", is_flag=True, help="From now on this is the tracking store that the study's runs go to."
)
@places("runs_dir", "storage", "tracking_uri", "states_dir")
def sync(name: str, adopt: bool, **where: Any) -> None:
    """Send what waits in this machine's journal to MLflow, and again what is gone there; nothing is doubled. What no
    machine can tell any more, as of a worker that was killed, is taken from the record, and networks from the states."""
    from dashboards.trial_page import drawn
    from reprtune.errors import TrackingError
    from reprtune.record.database import open_storage
    from reprtune.record.tracked import write_tracked
    from reprtune.tracking.elsewhere import FACT
    from reprtune.tracking.shipper import Shipper
    from reprtune.work.mend_runs import mend_runs

    record, settings = read_stored(name, where, histories=True), make_settings(**where)
    if not settings.tracks:
        click.echo(tracking_is_off())
        return
    shipper = Shipper(
        settings,
        record.spec,
        record.instance,
        report=lambda said: click.echo(said, err=True),
        draw=drawn,
        facts=record.facts,
    )
    result = shipper.sync(verify=True)
    click.echo(f"{result.sent} events sent, {result.pending} waiting")
    if result.error:
        raise TrackingError(result.error, "Nothing is lost: run the same command again when MLflow answers.")
    mended = mend_runs(settings, record, drawn, every_file=True)
    for line in mended.words("MLflow", settings.states):
        click.echo(line)
    if mended.error:
        raise TrackingError(mended.error, "Nothing is lost: run the same command again when MLflow answers.")
    if adopt:
        write_tracked(open_storage(settings.storage_url), name, mended.facts[FACT])
        click.echo(f"{name} remembers that its runs are in {mended.facts[FACT]['store']}")


@study.command(epilog=examples("study delete repr-ablation", "study delete repr-ablation --with-mlflow"))
@study_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--with-mlflow",
    is_flag=True,
    help="Also its runs in MLflow, and its experiment there if it made it and nothing else is in it.",
)
@places("runs_dir", "storage", "tracking_uri", "states_dir")
def delete(name: str, yes: bool, with_mlflow: bool, **where: Any) -> None:
    """Remove a study and its training states. Reports and exported networks stay, and MLflow's runs too
    without --with-mlflow."""
    from reprtune.errors import StudyError
    from reprtune.study.remove import check_idle, delete_study
    from reprtune.tracking.choose import tracker_for

    settings = make_settings(**where)
    try:
        record = read_stored(name, where)
    except StudyError as error:
        _delete_damaged(name, settings, error, yes=yes, with_mlflow=with_mlflow)
        return
    check_idle(settings, record)
    there = tracker_for(settings).find(record) if with_mlflow else None
    if with_mlflow and not settings.tracks:
        click.echo(tracking_is_off(), err=True)
    n = len(record.everything)
    what = f"{name} and its {n} trials"
    if there is not None and there.words:
        what += f", {there.words}"
    if not yes:
        click.confirm(f"Remove {what}?", abort=True)
    if there is not None:
        there.delete()
    delete_study(settings, record)
    click.echo(f"Removed {what}")


def _delete_damaged(name: str, settings: Any, error: Any, *, yes: bool, with_mlflow: bool) -> None:
    """Delete a study that is there and cannot be read."""
    from reprtune.errors import StudyError
    from reprtune.record import database, storage
    from reprtune.study.remove import delete_damaged

    url = settings.storage_url
    if database.is_absent(url) or name not in storage.names(database.open_storage(url)):
        raise error
    if with_mlflow:
        raise StudyError(
            f"Which runs in MLflow belong to {name!r} cannot be told: {error.message}",
            "Delete it without --with-mlflow, and its experiment on MLflow's page.",
        )
    if not yes:
        click.echo(f"It cannot be read: {error.message}", err=True)
        click.confirm(f"Remove {name} all the same?", abort=True)
    delete_damaged(settings, name)
    click.echo(f"Removed {name}, which could not be read")
