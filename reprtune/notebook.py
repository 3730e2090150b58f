"""What a notebook needs, under one roof: `reprtune` offers every name of this file, and loads it with the first.

The values that describe a study are light; what trains, stores or reads loads its libraries when it is called. All
of it writes where the command line does, so that `python cli.py study report NAME` goes on from a notebook, and a
notebook from a command.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reprtune.errors import ReprtuneError, SpecError, StudyError, did_you_mean
from reprtune.history import History
from reprtune.settings import Settings
from reprtune.spec.codec import from_plain
from reprtune.spec.decisions import LEADER, Rule
from reprtune.spec.designs.arm import Arm
from reprtune.spec.designs.named import named
from reprtune.spec.duration import Duration
from reprtune.spec.method import MethodSpec
from reprtune.spec.presets import compose
from reprtune.spec.sections.arms import Arms
from reprtune.spec.sections.confirmation import Confirmation
from reprtune.spec.sections.lengths import plain_lengths
from reprtune.spec.sections.search import Search
from reprtune.spec.space import Choice, DurationRange, FloatRange, IntRange
from reprtune.spec.stop_rules import Median, NoStop, Percentile, SuccessiveHalving
from reprtune.spec.study import StudySpec
from reprtune.spec.task import ModelSpec, TaskSpec
from reprtune.spec.training import TrainingSpec
from reprtune.spec.trial import TrialSpec

if TYPE_CHECKING:
    from reprtune.record.schema import StudyRecord

__all__ = [
    "LEADER",
    "Arm",
    "Arms",
    "Choice",
    "Confirmation",
    "Duration",
    "DurationRange",
    "FloatRange",
    "History",
    "IntRange",
    "Median",
    "MethodSpec",
    "ModelSpec",
    "NoStop",
    "Percentile",
    "ReprtuneError",
    "Rule",
    "Search",
    "StudySpec",
    "SuccessiveHalving",
    "TaskSpec",
    "TrainingSpec",
    "TrialSpec",
    "compose",
    "create_study",
    "epochs",
    "named",
    "plain_lengths",
    "read_study",
    "run_study",
    "run_trial",
    "steps",
    "trials_table",
]

Place = str | Path | bool | None


def epochs(n: float) -> Duration:
    """`n` epochs: `epochs(20)` is `"20ep"`.

    Raises:
        SpecError: it is no number from 0 on.
    """
    return Duration.parse(f"{n}ep", "epochs")


def steps(n: int) -> Duration:
    """`n` optimizer steps: `steps(4000)` is `"4000it"`.

    Raises:
        SpecError: it is no whole number from 0 on.
    """
    return Duration.parse(f"{n}it", "steps")


def run_trial(
    spec: TrialSpec, *, runs: str | Path | None = None, test: bool = False, **places: Place
) -> dict[str, Any]:
    """Train one network, without a study; interrupted, the same call continues it.

    Args:
        runs, places: as of `create_study`.
        test: also measure the error on the test part, once, at the end.

    Returns:
        What `train --json` says: `outcome`, every objective, `steps`, `seconds` and more; `history` is a `History`, or
        None where nothing was trained.

    Raises:
        ReprtuneError: as the command does; a `SpecError` before anything is trained.
    """
    settings = _settings(runs, places)
    from reprtune.training.chain.train_one import train_one

    result = train_one(spec, settings, lambda *_: None, test=test)
    history = result["history"]
    return {**result, "history": None if history is None else from_plain(History, history)}


def create_study(spec: StudySpec, *, runs: str | Path | None = None, **places: Place) -> StudyRecord:
    """Check a study, try every choice for a few steps, and store it. Repeating it changes nothing.

    Args:
        runs: folder of everything written; None = what `REPRTUNE_RUNS` says, or `runs`.
        places: further fields of `reprtune.settings.Settings`, such as `data_dir`, `device`, `storage`, or
            `tracking_uri="none"`; those that are left out are what the environment says.

    Raises:
        ReprtuneError: as `study create` does, before anything is written.
    """
    settings = _settings(runs, places)
    from reprtune.study import create

    create.create_study(spec, settings)
    return read_study(spec.name, runs=runs, **places)


def run_study(name: str, *, runs: str | Path | None = None, workers: int = 1, **places: Place) -> StudyRecord:
    """Run what is left of a study on this machine, until nothing is; interrupted, the same call goes on.

    Workers are processes of their own, which import the program that started them: in a script, not in a notebook,
    the call stands below `if __name__ == "__main__":`.

    Args:
        runs, places: as of `create_study`. workers: how many processes.

    Returns:
        The study as it is then; `pending()` counts what is left.

    Raises:
        ReprtuneError: as `study run` does.
    """
    if workers < 1:
        raise SpecError(f"workers must be at least 1, but got {workers}.", "It counts processes.")
    read_study(name, runs=runs, **places)  # looking makes nothing where there is no storage
    from reprtune.console import root
    from reprtune.importing import first_on_path
    from reprtune.work.launch import Launcher

    with first_on_path(root()):  # an installed reprtune has it where only its own program looks
        from dashboards.trial_page import drawn

    def unseen(*_: object) -> None:
        """Nobody watches."""

    Launcher(_settings(runs, places), name, workers, None, drawn, unseen, unseen).run()
    return read_study(name, runs=runs, **places)


def read_study(name: str, *, runs: str | Path | None = None, **places: Place) -> StudyRecord:
    """A stored study with all its attempts and their curves. Looking makes nothing.

    Args:
        runs, places: as of `create_study`.

    Raises:
        StudyError: there is no study of that name, or it is damaged. StorageError: the storage cannot be reached.
    """
    url = _settings(runs, places).storage_url
    from reprtune.record import database, storage

    if database.is_absent(url):
        raise StudyError(
            f"There is no study {name!r}: the storage {url} is not there.",
            "Create the study first, or say with runs= or storage= where it is.",
        )
    return storage.read_study(database.open_storage(url), name)


def trials_table(record: StudyRecord) -> list[dict[str, Any]]:
    """Every attempt of the search and of the arms as one row of plain values, what `trials.csv` of a report holds;
    `pandas.DataFrame(trials_table(record))` is a table."""
    from reprtune.analysis.tables import trial_rows

    return [{**row, "outcome": str(row["outcome"])} for row in trial_rows(record)]


def _settings(runs: str | Path | None, places: Mapping[str, Place]) -> Settings:
    known = [field.name for field in fields(Settings) if field.name != "runs_dir"]
    for place in places:
        if place not in known:
            raise SpecError(f"There is no place {place!r}.", did_you_mean(place, known))
    return Settings.from_environment(runs_dir=runs, **places)
