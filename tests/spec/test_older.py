"""Studies that a version with flat methods stored, read as today's.

`older_studies.json` holds canonical texts verbatim as that version wrote them, with what it made of their bases,
arms and some draws.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprtune.errors import SpecError
from reprtune.spec.codec import canonical_json, from_plain, to_plain
from reprtune.spec.edit import changed
from reprtune.spec.levels import levels
from reprtune.spec.older import FLAT, as_today
from reprtune.spec.older_losses import WERE
from reprtune.spec.presets import REPR, STANDARD
from reprtune.spec.stop_rules import Median
from reprtune.spec.study import StudySpec
from reprtune.spec.trial import TrialSpec
from studies.repr_ablation import STUDY as ABLATION
from studies.smoke import STUDY as SMOKE
from tests.spec.example import STUDY

STORED: list[dict[str, Any]] = json.loads(Path(__file__).with_name("older_studies.json").read_text())
OLDER = {json.loads(stored["text"])["name"]: stored for stored in STORED}
each_study = pytest.mark.parametrize("name", OLDER)


def read(name: str) -> StudySpec:
    return from_plain(StudySpec, as_today(json.loads(OLDER[name]["text"])))


def check(trial: TrialSpec, said: dict[str, Any]) -> None:
    """The trial is what the older version said: field by field, or plain training where there were no cycles."""
    assert (trial.training.lr, str(trial.training.total)) == (said["lr"], said["total"])
    if said["method"]["cycles"] == 0:
        assert trial.method == STANDARD
        return
    there = {
        path.removeprefix("method."): v for path, v in levels(trial).items() if path.startswith("method.")
    }
    assert (there.pop("schedule"), there.pop("selection")) == ("cycles", "share")
    assert there.pop("restore_lr_scale") == 0.1  # which nothing had then, and which does nothing by default
    if "restore_scale" not in there:  # a rule with norms of its own had the word that says so
        assert said["method"]["restore"] == "zero" and said["method"]["restore_scale"] == "own"
        there["restore_scale"] = "own"
    assert there == said["method"]


@each_study
def test_the_texts_are_verbatim(name: str) -> None:
    """They have the digests that were stored beside them."""
    assert hashlib.sha256(OLDER[name]["text"].encode()).hexdigest() == OLDER[name]["digest"]


@each_study
def test_an_older_study_means_what_it_meant(name: str) -> None:
    """Its base, every arm and every draw, by the parameters that are stored with its trials."""
    study, stored = read(name), OLDER[name]
    check(study.base, stored["base"])
    arms = {arm: trial for arm, seed, trial in study.arm_cells() if seed == study.comparisons[0].seeds[0]}
    assert list(arms) == list(stored["arms"])
    for arm, trial in arms.items():
        check(trial, stored["arms"][arm])
    for draw in stored["draws"]:
        check(study.trial(draw["params"]), draw)


@each_study
def test_all_but_methods_is_as_it_was(name: str) -> None:
    """Question, space, sampler, seeds and so on, in the sections that they belong to now; of the space only the paths
    are written out, and the stop rule has the options that are its own."""
    plain, today = json.loads(OLDER[name]["text"]), to_plain(read(name))
    own = {"name", "question", "decision", "cost"}
    assert today.keys() == {*own, "base", "sections", "rules"} and not today["rules"]
    assert {key: today[key] for key in own} == {key: plain[key] for key in own}
    sections = {section["name"]: section for section in today["sections"]}
    assert [*sections] == ["controls"] * bool(plain["controls"]) + ["search"] * bool(plain["slots"])
    if plain["controls"]:
        assert sections["controls"]["seeds"] == plain["control_seeds"]
    if plain["slots"]:
        check_search(sections["search"], plain)
    were = {name: plain["base"]["training"].pop(name) for name in WERE}
    assert were == WERE, "no losses, which are parts of the method now"
    base = {k: v for k, v in plain["base"].items() if k != "method"}
    base["model"] = {**base["model"], "weights": None}  # all networks were new then
    assert {k: v for k, v in today["base"].items() if k != "method"} == base


def check_search(today: dict[str, Any], plain: dict[str, Any]) -> None:
    """It has the fields of the study that were its own: all of them but those of the question and the controls."""
    same = set(plain) - {
        "name", "question", "decision", "cost", "base", "controls", "control_seeds", "space", "stop"
    }  # fmt: skip
    assert today.keys() == {*same, "kind", "name", "space", "stop"}
    assert {key: today[key] for key in same} == {key: plain[key] for key in same}
    assert [*today["space"].values()] == [*plain["space"].values()]
    assert today["stop"].pop("kind") == plain["stop"]["rule"]
    assert today["stop"].items() <= plain["stop"].items()


def test_a_shipped_study_trains_what_it_does_today() -> None:
    """The ablation as it was stored has the base and the search of the ablation that is shipped, and its arms."""
    stored = read("repr-ablation")
    assert (stored.base, stored.search) == (ABLATION.base, ABLATION.search)
    assert all(arm in ABLATION.arms for arm in stored.arms)


def test_arms_keep_their_words_where_these_mean_the_same() -> None:
    """Only those that today's method would take otherwise, or refuse, have a whole method instead."""
    older = {arm["name"]: arm["changes"] for arm in json.loads(OLDER["older-arms"]["text"])["controls"]}
    today = {
        arm["name"]: arm["changes"]
        for arm in as_today(json.loads(OLDER["older-arms"]["text"]))["sections"][0]["design"]["list"]
    }
    assert {name for name in older if today[name] != older[name]} == {
        "again",
        "idle",
        "table",
        "part-table",
        "zero",
    }
    assert today["again"] == {"method": to_plain(changed(TrialSpec(), {"method.cycles": 2}).method)}
    assert today["idle"] == {"method": to_plain(STANDARD)}


def test_a_trial_is_read_too() -> None:
    """With all its fields, with some, and with the changes of a confirmed slot."""
    plain = to_plain(TrialSpec())
    assert from_plain(TrialSpec, as_today({**plain, "method": FLAT})) == TrialSpec()
    few = as_today({"method": {"cycles": 0, "s1": "5ep"}, "training.lr": 0.2})
    assert few == {"method": to_plain(STANDARD), "training.lr": 0.2}
    with pytest.raises(SpecError, match=r"There is no field method\.margin\."):
        as_today({"method": {**FLAT, "margin": 1}})
    never = as_today({"method": {**FLAT, "restore": "zero", "restore_scale": "old"}})
    with pytest.raises(SpecError, match=r"restore_scale is no option of the restore rule zero"):
        from_plain(TrialSpec, never)


@pytest.mark.parametrize(
    "plain",
    [
        {"stop": to_plain(Median())}, {"stop": "none"}, to_plain(STUDY), to_plain(SMOKE), to_plain(ABLATION), to_plain(TrialSpec()), {}, {"method.s1": "5ep"}, None, 3,
        {"method": "standard"}, {"method": {}}, {"method": to_plain(REPR)}, {"method": {"criterion": "l2"}},
    ],
)  # fmt: skip
def test_todays_are_left_untouched(plain: Any) -> None:
    """Given back as they are, the same object."""
    assert as_today(plain) is plain


def test_no_cycles_in_an_older_space() -> None:
    """Standard training was no standard training where cycles were drawn beside the method: not read otherwise."""
    plain = json.loads(OLDER["older-methods"]["text"])
    plain["space"]["method.cycles"] = {"kind": "int", "low": 1, "high": 2, "step": 1}
    with pytest.raises(SpecError, match=r"its space chooses whole methods and varies method\.cycles"):
        as_today(plain)


anything = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(
    [[], {}, ["a"], {"kind": "share"}, {"kind": 3}, "none", "repr", 0, 10**30, 0.5]
)  # fmt: skip


@given(data=st.data())
def test_what_was_damaged_is_refused(data: st.DataObject) -> None:
    """Up to three values of an older text replaced or removed: a study, or an error of ours."""
    plain = json.loads(data.draw(st.sampled_from(STORED))["text"])
    for _ in range(data.draw(st.integers(1, 3))):
        node: Any = plain
        while isinstance(node, (dict, list)) and node:
            key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
            if isinstance(node[key], (dict, list)) and node[key] and data.draw(st.booleans()):
                node = node[key]
                continue
            if data.draw(st.booleans()):
                node[key] = copy.deepcopy(data.draw(anything))
            else:
                del node[key]
            break
    with contextlib.suppress(SpecError):
        study = from_plain(StudySpec, as_today(plain))
        assert from_plain(StudySpec, as_today(json.loads(canonical_json(study)))) == study
