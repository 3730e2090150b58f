"""Reading in bulk gives what Optuna and the slow, careful way give."""

from __future__ import annotations

import base64
import json
import random
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from benchmarks.recorded import fill
from reprtune.errors import SpecError
from reprtune.history import History
from reprtune.record import storage as stored
from reprtune.record.database import experimental_allowed
from reprtune.record.optuna_private.reading import read_frozen
from reprtune.record.pack import pack, unpack
from reprtune.record.trials import to_record
from reprtune.spec.codec import canonical_json, from_plain, to_plain
from tests.factories import make_history
from tests.stored import empty_storage, new_study
from tests.tiny_study import STUDY

PARAMS = {"prune_ratio": 0.3, "cycles": 2, "criterion": "ortho"}


def history() -> History:
    return make_history(PARAMS, random.Random(0))


@pytest.fixture(params=["UTC", "Asia/Kathmandu"])
def _zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine's clock shows the time of this zone."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_zone")
def test_trials_are_those_that_optuna_reads(tmp_path: Path) -> None:
    """State, times, draws, values and attributes of every trial, waiting and running ones too; other
    studies of the database are left out. A time is the same moment wherever it is read."""
    storage = empty_storage(tmp_path / "x.db")
    fill(storage, 40)
    fill(storage, 10, name="other")
    study = optuna.load_study(study_name="scale", storage=storage)
    study.add_trial(optuna.trial.create_trial(values=[float("inf"), 1.0], user_attrs={"slot": 41}))
    with experimental_allowed():
        running = study.ask()
    running.suggest_categorical("choice", ["a", None, True])
    running.set_user_attr("slot", 42)
    study.enqueue_trial({}, user_attrs={"slot": 40})
    study.add_trial(optuna.trial.create_trial(state=TrialState.FAIL))
    expected = storage.get_all_trials(study._study_id)
    found = read_frozen(storage, "scale")
    assert len(found) == len(expected) > 40
    names = ("number", "state", "values", "params", "distributions", "user_attrs", "datetime_start")
    for one, other in zip(found, expected, strict=True):
        for name in (*names, "datetime_complete", "_trial_id"):
            assert getattr(one, name) == getattr(other, name), name
        assert list(one.params) == list(other.params)
    assert {t.state for t in found} == set(TrialState)
    assert started(running) == pytest.approx(time.time(), abs=600)


def started(trial: optuna.Trial) -> float | None:
    found = read_frozen(trial.study._storage._backend, "scale")
    return to_record(found[trial.number], STUDY, STUDY.section("search")).started


def test_without_histories_nothing_else_is_missing(tmp_path: Path) -> None:
    """A status sees the same study, but for the curves."""
    storage = empty_storage(tmp_path / "x.db")
    fill(storage, 30)
    full = stored.read_study(storage, "scale")
    short = stored.read_study(storage, "scale", histories=False)
    assert any(t.history for t in full.trials) and not any(t.history for t in short.trials)
    assert [(t.number, t.outcome, t.values, t.rungs, t.result) for t in full.trials] == [
        (t.number, t.outcome, t.values, t.rungs, t.result) for t in short.trials
    ]
    assert all("history" not in t.user_attrs.get("result", {}) for t in read_frozen(storage, "scale", False))


def test_a_study_that_is_not_there_is_no_empty_one(tmp_path: Path) -> None:
    """The name is looked up, as Optuna does it."""
    storage, _ = new_study(tmp_path / "x.db")
    with pytest.raises(KeyError):
        read_frozen(storage, "tinny")


def test_a_packed_history_is_read_as_the_careful_way_reads_it() -> None:
    """Value by value and type by type: whole numbers where a number is expected become numbers."""
    text = pack(history())
    slow = from_plain(History, json.loads(zlib.decompress(base64.b64decode(text))))
    fast = unpack(text)
    assert fast == slow == history()
    assert repr(fast) == repr(slow)  # 1.0 is not 1


def test_histories_of_older_records_are_read() -> None:
    """They are in base85."""
    old = base64.b85encode(zlib.compress(canonical_json(history()).encode(), 6)).decode()
    assert unpack(old) == history()


@pytest.mark.parametrize(
    ("where", "value", "said"),
    [
        (("points", 0, "lr"), "0.1", r"points\[0\].lr must be a number"),
        (("points", 1, "val_error"), float("nan"), r"points\[1\].val_error must be a number"),
        (("points", 0, "step"), 1.5, r"points\[0\].step must be a whole number"),
        (("points", 0, "step"), True, r"points\[0\].step must be a whole number"),
        (("points", 0, "more"), 1, r"points\[0\].more"),
        (("points",), {}, r"points must be a list"),
        (("drops", 0, "dropped", "conv2"), ["1"], r"drops\[0\].dropped.conv2\[0\] must be a whole number"),
        (("drops", 0, "dropped", "conv2"), 1, r"drops\[0\].dropped.conv2 must be a list"),
        (("drops", 0, "step"), "x", r"drops\[0\].step must be a whole number"),
        (("layers",), 3, r"layers must be a table"),
    ],
)
def test_a_wrong_field_is_named(where: tuple[str | int, ...], value: object, said: str) -> None:
    """However fast it is read, no wrong value passes."""
    plain = to_plain(history())
    inner = plain
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = value
    text = base64.b64encode(zlib.compress(json.dumps(plain).encode())).decode()
    with pytest.raises(SpecError, match=said):
        unpack(text)
