"""Arbitrary words on the command line, and arbitrary contents of the storage: sentences, never tracebacks."""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

import cli
from reprtune.history import History
from reprtune.record import storage as stored
from reprtune.record.pack import pack
from tests.stored import foreign_study, new_study

ENDLESS = {"ui"}  # serves until Ctrl-C


def leaves(group: click.Group, *above: str) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if name not in ENDLESS:
            yield from leaves(command, *above, name) if isinstance(command, click.Group) else [(*above, name)]


LEAVES = list(leaves(cli.cli))
OPTIONS = [
    "--set", "--total", "--name", "--json", "--seed", "--trials", "--workers", "--interval", "--image-size", "-h",
    "--storage", "--device", "--dataset", "--model", "--method", "--precision", "--to", "--yes", "--nothing",
]  # fmt: skip
words = (
    st.text(max_size=20)
    | st.sampled_from(OPTIONS)
    | st.sampled_from(
        ["tiny", "0", "-1", "nan", "1e999", "\0", "\x1b[2J", "é", "a" * 300, "sqlite://", "cuda:99", "1ep"]
    )
)


def run(runs: Path, args: list[str]) -> Result:
    """In this process, with everything of its own in `runs`; a traceback fails."""
    environment = {"REPRTUNE_RUNS": str(runs), "REPRTUNE_DATA": str(runs / "data")}
    result = CliRunner(env=environment).invoke(cli.cli, args)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@given(command=st.sampled_from(LEAVES), args=st.lists(words, max_size=5))
def test_arbitrary_words_end_in_a_sentence(command: tuple[str, ...], args: list[str]) -> None:
    """Exit code 0, 1 or 2; what is wrong is said."""
    if command[0] in ("train", "doctor", "data", "db", "completion") and "-h" not in args:
        args = [*args, "--no-such-option"]  # these do something without a study: stop at the words themselves
    with tempfile.TemporaryDirectory() as folder:
        result = run(Path(folder, "runs"), [*command, *args])
    assert result.exit_code in (0, 1, 2) and "Traceback" not in result.output
    assert result.exit_code == 0 or result.stderr.strip()


# -- the storage -----------------------------------------------------------------------------------

junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(10**30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)
HISTORY = pack(History(total_steps=8, steps_per_epoch=2))
RESULT = {"outcome": "complete", "seconds_spent": 1.0, "steps_spent": 8, "history": HISTORY, "state": "x", "error": "e",
          "rungs": {"points": [[2, 0.5]], "planned_gflops": None}, "versions": {}, "device": "d", "host": "h"}  # fmt: skip
SEED = {"seed": 0, "val_error": 0.5, "train_gflops": 2.0, "params": 9.0, "state": "x",
        "rungs": {"points": [[2, 0.5]], "planned_gflops": None}}  # fmt: skip
SOUND: dict[str, Any] = {
    "result": RESULT, "lease": {"worker": "w", "host": "h", "device": "cpu"}, "rungs": {"points": [[2, 0.5]]},
    "progress": {"step": 1, "total": 8, "time": 0.0}, "slot": 0, "arm": "a", "seed": 0, "seed-0": SEED, "settings": {}, "mine": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the study `tiny`, and one of somebody else."""
    path = tmp_path_factory.mktemp("template") / "reprtune.db"
    storage, _ = new_study(path)
    foreign_study(storage, "foreign")
    storage.engine.dispose()
    return path


@st.composite
def attributes(draw: st.DrawFn) -> tuple[str, Any]:
    """An attribute of a trial: made up, or a sound one of which a part was replaced, cut off or removed."""
    name = draw(st.sampled_from(sorted(SOUND)))
    if draw(st.booleans()):
        return name, draw(junk)
    value = copy.deepcopy(SOUND[name])
    if isinstance(value, dict) and value:
        key = draw(st.sampled_from(sorted(value)))
        if draw(st.booleans()):
            del value[key]
        elif isinstance(value[key], str):
            value[key] = value[key][: draw(st.integers(0, len(value[key])))]
        else:
            value[key] = draw(junk)
    return name, value


def read_all(template: Path, change: Any) -> None:
    """Every reader of a storage that was changed: a result, or a sentence that names the study."""
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        shutil.copy(template, runs / "reprtune.db")
        storage = stored_open(runs)
        change(storage)
        storage.engine.dispose()
        for words in (["study", "show", "tiny"], ["study", "status", "tiny"], ["study", "report", "tiny"],
                      ["study", "list"], ["study", "delete", "tiny", "--yes"]):  # fmt: skip
            result = run(runs, words)
            assert result.exit_code in (0, 1), result.output
            if result.exit_code == 1:
                assert "'tiny" in result.stderr


def stored_open(runs: Path) -> Any:
    from reprtune.record.database import open_storage

    return open_storage(f"sqlite:///{runs / 'reprtune.db'}")


def set_attribute(storage: Any, name: str, value: Any) -> None:
    study_id = storage.get_study_id_from_name("tiny")
    storage.set_trial_user_attr(storage.get_all_trials(study_id)[0]._trial_id, name, value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("result", "lost", "'result' is not of its form: 'lost'"),
        ("result", {**RESULT, "history": HISTORY[:20]}, "'history' cannot be unpacked"),
        ("result", {**RESULT, "seconds_spent": 1e300}, "'result' is not of its form"),
        ("lease", {"worker": 3}, "'lease' is not of its form"),
        ("slot", -1, "'slot' is not of its form: -1"),
        ("seed-0", {"seed": 0}, "'seed-0' is not of its form"),
        ("seed-0", {**SEED, "val_error": "low"}, "'seed-0' is not of its form"),
        ("seed-0", {**SEED, "params": "many"}, "'seed-0' is not of its form"),
        ("seed-0", {k: v for k, v in SEED.items() if k != "train_gflops"}, "'seed-0' is not of its form"),
        ("result", {**RESULT, "inference_gflops": []}, "'result' is not of its form"),
        ("progress", {"step": "many"}, "'progress' is not of its form"),
    ],
)
def test_damage_is_named(template: Path, tmp_path: Path, name: str, value: Any, said: str) -> None:
    """With the study, the number of the trial, the attribute and what is in it."""
    shutil.copy(template, tmp_path / "reprtune.db")
    storage = stored_open(tmp_path)
    set_attribute(storage, name, value)
    storage.engine.dispose()
    result = run(tmp_path, ["study", "report", "tiny"])
    assert result.exit_code == 1 and f"In trial 0 of the study 'tiny' the attribute {said}" in result.stderr


@settings(max_examples=4)
@given(attribute=attributes(), state=st.sampled_from(["waiting", "running", "fail", "complete"]))
def test_arbitrary_attributes_of_trials(template: Path, attribute: tuple[str, Any], state: str) -> None:
    """Of trials in every state; a trial without a slot is passed over."""
    from optuna.trial import TrialState

    def change(storage: Any) -> None:
        study_id = storage.get_study_id_from_name("tiny")
        trial_id = storage.get_all_trials(study_id)[0]._trial_id
        storage.set_trial_user_attr(trial_id, *attribute)
        if state != "waiting":
            storage.set_trial_state_values(trial_id, TrialState.RUNNING)
        if state in ("fail", "complete"):
            values = [0.5] if state == "complete" else None
            storage.set_trial_state_values(trial_id, TrialState[state.upper()], values)

    read_all(template, change)


@settings(max_examples=4)
@given(
    part=st.sampled_from(["tiny", "tiny.controls"]),
    field=st.sampled_from(["spec", "digest", "facts", "created", "version", "role", ""]),
    value=junk | st.sampled_from(["{}", "[", '{"name":"tiny"}', "search", "controls"]),
    remove=st.booleans(),
)
def test_arbitrary_attributes_of_studies(
    template: Path, part: str, field: str, value: Any, remove: bool
) -> None:
    """The attribute that makes a study ours, as a whole and each of its fields."""

    def change(storage: Any) -> None:
        study_id = storage.get_study_id_from_name(part)
        ours = storage.get_study_user_attrs(study_id)[stored.ATTRIBUTE]
        kept = {k: v for k, v in ours.items() if k != field}
        new = value if not field else kept if remove else {**kept, field: value}
        storage.set_study_user_attr(study_id, stored.ATTRIBUTE, new)

    read_all(template, change)


@pytest.mark.slow
@settings(max_examples=60)
@given(attribute=attributes(), state=st.sampled_from(["waiting", "running", "fail", "complete"]))
def test_many_attributes_of_trials(template: Path, attribute: tuple[str, Any], state: str) -> None:
    """The same with many more examples."""
    test_arbitrary_attributes_of_trials.hypothesis.inner_test(template, attribute, state)  # type: ignore[attr-defined]
