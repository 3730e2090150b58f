"""Studies whose penalty and teacher were fields of the training, read as today's.

`older_losses.json` holds canonical texts verbatim as that version wrote them, with what it made of their arms.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from reprtune.errors import SpecError
from reprtune.spec.codec import from_plain, to_plain
from reprtune.spec.edit import changed
from reprtune.spec.older import as_today
from reprtune.spec.study import StudySpec
from reprtune.spec.trial import TrialSpec

STORED: list[dict[str, Any]] = json.loads(Path(__file__).with_name("older_losses.json").read_text())
OLDER = {json.loads(stored["text"])["name"]: stored for stored in STORED}
FIELDS = ("ortho_penalty", "teacher", "teacher_weight", "teacher_temperature")
each_study = pytest.mark.parametrize("name", OLDER)


def read(name: str) -> StudySpec:
    return from_plain(StudySpec, as_today(json.loads(OLDER[name]["text"])))


def meant(plain: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A trial of that version: all that is still called so, and the losses by hand."""
    penalty, folder, weight, temperature = (plain["training"][field] for field in FIELDS)
    losses: list[dict[str, Any]] = [{"kind": "overlap", "ortho_penalty": penalty}] if penalty else []
    if folder is not None:
        losses += [{"kind": "teacher", "teacher_folder": folder, "teacher_weight": weight,
                    "teacher_temperature": temperature}]  # fmt: skip
    training = {name: value for name, value in plain["training"].items() if name not in FIELDS}
    model = {**plain["model"], "weights": None}  # all networks were new then
    return {
        **plain,
        "model": model,
        "training": training,
        "method": {**plain["method"], "losses": []},
    }, losses


def check(trial: TrialSpec, stored: dict[str, Any]) -> None:
    today = to_plain(trial)
    losses = [loss for loss in today["method"].pop("losses") if loss.get("ortho_penalty") != 0]
    expected, expected_losses = meant(stored)
    assert losses == expected_losses
    assert {**today, "method": {**today["method"], "losses": []}} == expected


@each_study
def test_the_texts_are_verbatim(name: str) -> None:
    """They have the digests that were stored beside them."""
    assert hashlib.sha256(OLDER[name]["text"].encode()).hexdigest() == OLDER[name]["digest"]


@each_study
def test_arms_mean_what_they_meant(name: str) -> None:
    """Each is the trial that version made of it, its losses among the parts of its method; a penalty of 0 is none."""
    arms = {arm: trial for arm, _, trial in read(name).arm_cells()}
    assert list(arms) == list(OLDER[name]["arms"])
    for arm, trial in arms.items():
        check(trial, OLDER[name]["arms"][arm])


@each_study
def test_draws_keep_their_names(name: str) -> None:
    """What was varied is called as it was in Optuna, and lands where it belongs."""
    study = read(name)
    stored = {p.rpartition(".")[2] for p in json.loads(OLDER[name]["text"])["sections"][1]["space"]}
    assert {*study.names.values()} == stored
    values = {"ortho_penalty": 0.05, "teacher_weight": 0.25}
    trial = study.trial({word: values[word] for word in stored})
    assert {word: trial.method.option(word) for word in stored} == {word: values[word] for word in stored}


def test_a_trial_and_what_was_changed_in_one_are_read_too() -> None:
    """With all its fields, with those of its training alone, and as paths."""
    plain = json.loads(OLDER["taught"]["text"])["base"]
    check(from_plain(TrialSpec, as_today(plain)), plain)
    few = from_plain(TrialSpec, as_today({"training": {"ortho_penalty": 0.5}}))
    assert few == changed(TrialSpec(), {"method.losses": "overlap", "method.ortho_penalty": 0.5})
    assert as_today({"training.ortho_penalty": 0.5, "training.lr": 1}) == {
        "training.lr": 1, "method.losses": [{"kind": "overlap", "ortho_penalty": 0.5}],
    }  # fmt: skip
    assert as_today({"training.teacher_weight": 0.5}) == {"method.losses.teacher_weight": 0.5}
    assert as_today({"training": {"ortho_penalty": 0, "lr": 1}}) == {"training": {"lr": 1}}


@pytest.mark.parametrize("path", ["training.teacher", "method"])
def test_what_cannot_be_said_any_more(path: str) -> None:
    """Folders that are drawn, and whole methods that are drawn beside losses, are not read otherwise."""
    plain = json.loads(OLDER["taught"]["text"])
    plain["sections"][1]["space"][path] = {"kind": "choice", "options": ["standard", "repr"]}
    with pytest.raises(SpecError, match=r"varies training\.teacher, or whole methods"):
        as_today(plain)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("head", ["", "base."])
def test_what_a_person_types_says_where_it_is_now(field: str, head: str) -> None:
    """The field, and what to write instead, which works."""
    base = TrialSpec() if not head else read("penalised")
    with pytest.raises(SpecError) as caught:
        changed(base, {f"{head}training.{field}": 0.5})
    assert (
        caught.value.message
        == f"There is no field {head}training.{field} any more: it is an option of a loss."
    )
    assert "method.losses=" in str(caught.value.hint)
