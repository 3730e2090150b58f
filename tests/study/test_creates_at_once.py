"""Several processes create a new study of one name at the same moment, where there is nothing yet."""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reprtune.errors import ReprtuneError
from reprtune.record import storage as stored
from reprtune.record.database import open_storage
from reprtune.settings import Settings
from reprtune.spec.study import StudySpec
from reprtune.study import create as creating
from reprtune.tracking.mlflow.connection import connect
from tests.study.two_databases import where  # noqa: F401 - a fixture
from tests.tiny_study import STUDY

OTHER = STUDY.with_section(replace(STUDY.search, sampler="qmc"))


@pytest.fixture
def settings(where: str | Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:  # noqa: F811
    import mlflow.tracking  # noqa: F401 - once, for all who are forked

    monkeypatch.setattr(creating, "dry_run", lambda *_: None)
    url = where if isinstance(where, str) else f"sqlite:///{where}"
    return Settings(runs_dir=tmp_path / "runs", storage=url, device="cpu")


def create(spec: StudySpec, settings: Settings, together: Any, say: Any) -> None:
    together.wait(60)
    try:
        made, _ = creating.create_study(spec, settings)
        say.put("made" if made else "found")
    except ReprtuneError as error:
        say.put(str(error))


def at_once(specs: Sequence[StudySpec], settings: Settings) -> list[str]:
    """What processes say that create these studies at the same moment."""
    context = multiprocessing.get_context("fork")
    together, said = context.Barrier(len(specs)), context.SimpleQueue()
    processes = [context.Process(target=create, args=(spec, settings, together, said)) for spec in specs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of newer Pythons, where threads are about
        for process in processes:
            process.start()
    for process in processes:
        process.join(200)
        process.kill()
    assert [process.exitcode for process in processes] == [0] * len(specs)
    return sorted(said.get() for _ in specs)


def test_one_makes_it_and_the_others_find_it(settings: Settings) -> None:
    """In the storage and in MLflow, both empty: no error, one study, one run of it. Who wants another study of that
    name is told in what it differs, and leaves nothing."""
    *others, made = at_once([STUDY, STUDY, OTHER], settings)
    storage = open_storage(settings.storage_url)
    study = stored.read_study(storage, "tiny")
    storage.engine.dispose()
    assert made == "made" and len(study.trials) == 4 and len(study.controls) == 4
    there, here = ("tpe", "qmc") if study.spec == STUDY else ("qmc", "tpe")
    refusals = [said for said in others if said != "found"]
    assert len(refusals) == (1 if study.spec == STUDY else 2)
    for said in refusals:
        assert "There is another study named 'tiny', which differs in" in said
        assert f"sampler: {there!r} there, {here!r} here" in said
    client = connect(settings.mlflow_uri)
    experiment = client.get_experiment_by_name("tiny")
    assert len(client.search_runs([experiment.experiment_id])) == 1
