"""A study that cannot be read: the others are listed all the same, and it can be deleted."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest
from click.testing import CliRunner
from optuna.storages import RDBStorage

import cli
from reprtune.errors import StudyError
from reprtune.record import storage as stored
from reprtune.record.database import open_storage
from reprtune.settings import Settings
from reprtune.states.store import StateStore
from reprtune.study.remove import delete_damaged
from reprtune.tracking.journal import Journal
from tests.command import Command
from tests.flat import with_fields
from tests.stored import foreign_study, new_study, record
from tests.tiny_study import STUDY


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """`tiny` in one storage with `worse`, a study whose specification was damaged; each has left a state."""
    settings = Settings(runs_dir=tmp_path)
    storage, _ = new_study(tmp_path / "reprtune.db")
    new = record(with_fields(STUDY, name="worse"))
    stored.create(storage, new)
    damage(storage, "worse", spec="{")
    store = StateStore(settings.states)
    for study, name in ((new, "aa" + "1" * 62), (record(STUDY), "bb" + "2" * 62)):
        store.put(name, b"x")
        store.note(study.digest, "end", [name])
    Journal(settings.journal_dir, "worse").append("study", {"event": "tags", "tags": {}})
    storage.engine.dispose()
    return settings


def damage(storage: RDBStorage, name: str, **changes: object) -> None:
    study = optuna.load_study(study_name=name, storage=storage)
    study.set_user_attr("reprtune", {**study.user_attrs["reprtune"], **changes})


def test_the_list_goes_on_and_names_it(settings: Settings) -> None:
    """As a row, and in JSON as an error in the place of numbers."""
    command = Command(settings.runs_dir)
    said = command.quick("study", "list").stdout.splitlines()
    assert said[1].split()[:4] == ["tiny", "0", "of", "4"]
    assert said[2].startswith("worse  cannot be read  In the study 'worse' the attribute 'reprtune.spec'")
    tiny, worse = json.loads(command.quick("study", "list", "--json").stdout)
    assert tiny["name"] == "tiny" and tiny["slots"] == 4
    assert worse.keys() == {"name", "error"} and worse["name"] == "worse"


def test_it_can_be_deleted_with_its_states_and_journal(settings: Settings) -> None:
    """After a question that says why it cannot be read; nothing of the other study goes."""
    words = ["study", "delete", "worse", "--runs", str(settings.runs_dir)]
    said = CliRunner().invoke(cli.cli, words, input="n\n")
    assert said.exit_code == 1 and "'reprtune.spec' cannot be read" in said.stderr
    command = Command(settings.runs_dir)
    assert "Removed worse" in command.quick("study", "delete", "worse", "--yes").stdout
    storage = open_storage(settings.storage_url)
    assert {s.study_name for s in storage.get_all_studies()} == {"tiny", "tiny.controls"}
    states = [path.name[:2] for path in settings.states.rglob("*.state")]
    assert states == ["bb"] and Journal(settings.journal_dir, "worse").slots() == []
    storage.engine.dispose()


def test_what_it_has_in_mlflow_cannot_be_told(settings: Settings) -> None:
    """--with-mlflow is refused, and nothing goes."""
    said = Command(settings.runs_dir).quick("study", "delete", "worse", "--yes", "--with-mlflow", code=1)
    assert "cannot be told" in said.stderr and "without --with-mlflow" in said.stderr
    assert "worse" in stored.names(open_storage(settings.storage_url))


def test_a_delete_that_was_killed_after_the_controls_is_repeated(settings: Settings) -> None:
    """Without its controls a study cannot be read, and is there still."""
    storage = open_storage(settings.storage_url)
    optuna.delete_study(study_name="tiny.controls", storage=storage)
    with pytest.raises(StudyError, match=r"'tiny\.controls' of a study is gone"):
        stored.read_study(storage, "tiny")
    Command(settings.runs_dir).quick("study", "delete", "tiny", "--yes")
    assert stored.names(storage) == ["worse"]
    storage.engine.dispose()


def test_a_digest_that_is_gone_leaves_all_states(settings: Settings) -> None:
    """Which ones are its own cannot be told."""
    storage = open_storage(settings.storage_url)
    damage(storage, "worse", digest="")
    delete_damaged(settings, "worse")
    assert len(list(settings.states.rglob("*.state"))) == 2 and stored.names(storage) == ["tiny"]
    storage.engine.dispose()


def test_studies_of_others_and_absent_ones_stay_an_error(settings: Settings) -> None:
    """No study is made or removed."""
    storage = open_storage(settings.storage_url)
    foreign_study(storage, "foreign")
    for name, why in (("foreign", "not made by reprtune"), ("absent", "There is no study 'absent'")):
        assert why in Command(settings.runs_dir).quick("study", "delete", name, "--yes", code=1).stderr
        with pytest.raises(StudyError, match=why):
            delete_damaged(settings, name)
    assert len(storage.get_all_studies()) == 5
    storage.engine.dispose()


@pytest.mark.parametrize("account", ["lots", [1.0], [1.0, "x"], None])
def test_a_damaged_account_of_the_budget_is_named(settings: Settings, account: object) -> None:
    """What a worker has spent is two numbers."""
    storage = open_storage(settings.storage_url)
    storage.set_study_user_attr(storage.get_study_id_from_name("tiny"), "spent h:1:0", account)
    with pytest.raises(StudyError, match="'spent h:1:0' is not of its form"):
        stored.read_study(storage, "tiny")
    storage.engine.dispose()
