"""Specifications as canonical text: the same science, the same digest; anything else, another one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprtune.errors import SpecError
from reprtune.spec import task, training
from reprtune.spec.codec import canonical_json, differences, digest, from_plain, to_plain
from reprtune.spec.duration import Duration
from reprtune.spec.edit import changed
from reprtune.spec.levels import levels
from reprtune.spec.method import MethodSpec
from reprtune.spec.parts.selections import SCOPES
from reprtune.spec.presets import REPR
from reprtune.spec.stop_rules import Median
from reprtune.spec.study import StudySpec
from reprtune.spec.trial import TrialSpec
from studies.repr_ablation import STUDY as ABLATION
from studies.smoke import STUDY as SMOKE
from tests.spec.example import METHOD, TRIAL

# Every field of a trial and a value it does not have by default.
ANOTHER: dict[str, Any] = {
    "task.dataset": "cifar10", "task.train_images": 100, "task.score_frac": 0.1, "task.val_frac": 0.1,
    "task.split_seed": 1, "task.augment": "flip", "task.cutout": 4, "task.image_size": 32, "task.label_noise": 0.4,
    "model.name": "convnet-4", "model.width": 16, "model.batch_norm": False, "model.pool": True, "model.head": "flatten",
    "training.total": "41ep", "training.batch_size": 65, "training.lr": 0.2, "training.momentum": 0.8,
    "training.weight_decay": 0.0, "training.lr_schedule": "cosine", "training.lr_milestones": [0.5],
    "training.lr_gamma": 0.2, "training.precision": "bf16", "training.threads": 2, "training.segment": "2ep",
    "training.optimizer": "adam", "training.nesterov": True, "training.beta1": 0.8, "training.beta2": 0.99,
    "training.eps": 1e-6, "training.bias_correction": "filter", "training.lr_warmup": 0.2,
    "training.lr_period": "20ep", "training.label_smoothing": 0.1, "model.weights": "exported/network",
    "method.cycles": 2, "method.s1": "9ep", "method.s2": "5ep", "method.criterion": "l2",
    "method.prune_ratio": 0.4, "method.scope": "layer", "method.exclude_first": False,
    "method.restore": "random", "method.layer_cap": 0.5, "method.exclude_shortcuts": True,
    "method.exclude": ["conv2"], "method.drop": "weights-only", "method.restore_scale": "old",
    "method.restore_bn": "keep", "method.restore_optimizer": "keep", "method.restore_next": "zero",
    "method.restore_lr": "restart", "method.restore_lr_scale": 0.5, "method.schedule": "every", "method.selection": "dormant", "seed": 1,
}  # fmt: skip
ADAM = {"training.optimizer": "adam"}
NEEDS: dict[str, dict[str, Any]] = {  # what a field must stand beside
    "task.image_size": {"task.dataset": "imagefolder:/x"},
    "training.beta1": ADAM,
    "training.beta2": ADAM,
    "training.eps": ADAM,
    "training.bias_correction": ADAM,
    "method.selection": {"method.criterion": "activation"},
}  # fmt: skip


def without_and_with(path: str) -> tuple[TrialSpec, TrialSpec]:
    """Two trials that differ in the field at `path`."""
    base = changed(TrialSpec(), NEEDS.get(path, {}))
    return base, changed(base, {path: ANOTHER[path]})


def trials() -> st.SearchStrategy[TrialSpec]:
    """Trials with a random choice of the fields that have many values."""
    shares = st.floats(0.01, 0.5)
    fields = {
        "task.val_frac": shares, "task.score_frac": shares,
        "task.train_images": st.none() | st.integers(1, 10**6),
        "task.augment": st.sampled_from(task.AUGMENTATIONS),
        "model.width": st.none() | st.integers(2, 512),
        "model.head": st.sampled_from(task.HEADS), "task.label_noise": st.floats(0, 0.99),
        "training.lr": st.floats(1e-8, 10) | st.integers(1, 3),
        "training.lr_milestones": st.lists(st.floats(0.01, 0.99), unique=True, max_size=4).map(sorted),
        "training.total": st.integers(1, 10**6).map("{}it".format),
        "method.s1": st.integers(1, 99).map("{}ep".format),
        "method.prune_ratio": st.floats(0.01, 0.99), "method.scope": st.sampled_from(SCOPES),
        "seed": st.integers(0, 2**63),
    }  # fmt: skip
    return st.fixed_dictionaries({}, optional=fields).map(lambda f: changed(TrialSpec(), f))


@given(spec=trials())
def test_trial_round_trip(spec: TrialSpec) -> None:
    """A trial read back from its JSON text is the same value with the same digest."""
    again = from_plain(TrialSpec, json.loads(canonical_json(spec)))
    assert again == spec
    assert digest(again) == digest(spec)


@pytest.mark.parametrize("study", [ABLATION, SMOKE], ids=lambda s: s.name)
def test_study_round_trip(study: StudySpec) -> None:
    """A study read back from its JSON text is the same value with the same digest."""
    again = from_plain(StudySpec, json.loads(canonical_json(study)))
    assert again == study
    assert digest(again) == digest(study)


def test_known_texts_and_digests() -> None:
    """The canonical text, written by hand, and its SHA-256, computed by sha256sum."""
    assert canonical_json(Median()) == '{"kind":"median","min_comparable":5}'
    assert digest(Median()) == "ef871cb24372a50dc763ac3c7189cbaf0facb510954e388f0dded77eee5350f8"
    assert canonical_json(METHOD) == (
        '{"criterion":{"kind":"ortho"},"drop":{"kind":"exact"},"ending":null,"exchange":null,"gradient":null,'
        '"losses":[],"networks":null,"restore":{"kind":"orthogonal","restore_scale":"own"},'
        '"restore_rules":{"restore_bn":"reset","restore_lr":"continue","restore_lr_scale":0.1,"restore_next":"keep",'
        '"restore_optimizer":"reset"},"schedule":{"cycles":3,"kind":"cycles","s1":"20ep","s2":"10ep"},'
        '"selection":{"exclude":[],"exclude_first":true,"exclude_shortcuts":false,"kind":"share","layer_cap":1,'
        '"prune_ratio":0.3,"scope":"global"}}'
    )
    assert digest(METHOD) == "61e22ac17cc4e5df25219fe3418561feb9e728b13b2c2396c83d5966ae28422e"


def test_fields_that_came_later_are_silent_at_their_defaults() -> None:
    """A trial without them has the digest that it had before there were such fields (taken then), and reads what was
    stored then; one that has them says so, and can be changed back."""
    plain = to_plain(TrialSpec())
    assert digest(TrialSpec()) == "caf7182e7b240b3bd51798a3cac8502d7528487d634d6f42b7b7d8cd32006e9e"
    assert "label_noise" not in plain["task"] and "head" not in plain["model"]
    assert from_plain(TrialSpec, plain) == TrialSpec()
    set_ = changed(TrialSpec(), {"task.label_noise": 0.4, "model.head": "flatten"})
    assert (to_plain(set_)["task"]["label_noise"], to_plain(set_)["model"]["head"]) == (0.4, "flatten")
    assert changed(set_, {"task.label_noise": 0, "model.head": "average"}) == TrialSpec()


def test_every_field_has_another_value() -> None:
    """The table above names every field of a trial of RePr."""
    assert set(ANOTHER) == set(levels(TrialSpec()))


@pytest.mark.parametrize("path", sorted(ANOTHER))
def test_any_field_changes_the_digest(path: str) -> None:
    """Two trials that differ in one field have different digests."""
    one, other = without_and_with(path)
    assert digest(one) != digest(other)


def test_digests_are_all_different() -> None:
    """No two single changes lead to the same digest."""
    assert len({digest(without_and_with(path)[1]) for path in ANOTHER}) == len(ANOTHER)


def test_one_and_one_point_zero_are_one() -> None:
    """Equal specifications share a digest, however their numbers were written in Python or JSON."""
    written = training.TrainingSpec(lr=1, weight_decay=0)
    read = from_plain(training.TrainingSpec, {"lr": 1.0, "weight_decay": 0.0})
    assert written == read
    assert digest(written) == digest(read)


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"seed": "1"}, "seed must be a whole number, but got '1'."),
        ({"seed": True}, "seed must be a whole number, but got True."),
        ({"seed": 1.5}, "seed must be a whole number, but got 1.5."),
        ({"training": {"lr": "0.1"}}, "training.lr must be a number, but got '0.1'."),
        ({"training": {"lr": float("nan")}}, "training.lr must be a number, but got nan."),
        ({"training": {"lr": float("inf")}}, "training.lr must be a number, but got inf."),
        ({"training": {"lr_milestones": 0.5}}, "training.lr_milestones must be a list, but got 0.5."),
        ({"training": {"lr_milestones": ["a"]}}, "training.lr_milestones[0] must be a number, but got 'a'."),
        ({"model": {"batch_norm": 1}}, "model.batch_norm must be true or false, but got 1."),
        ({"task": {"dataset": 3}}, "task.dataset must be a text, but got 3."),
        ({"task": {"train_images": "all"}}, "task.train_images must be a whole number, but got 'all'."),
        ({"task": []}, "task must be a table of names and values, but got []."),
        ({"sede": 1}, "There is no field sede."),
        ({"training": {"momentun": 0.5}}, "There is no field training.momentun."),
    ],
)
def test_wrong_types(plain: dict[str, Any], message: str) -> None:
    """A value of the wrong type is refused with its path, the rule and the value."""
    with pytest.raises(SpecError) as caught:
        from_plain(TrialSpec, plain)
    assert caught.value.message == message


def test_misspelt_field_gets_the_nearest() -> None:
    """The hint proposes the nearest field."""
    with pytest.raises(SpecError) as caught:
        from_plain(TrialSpec, {"training": {"momentun": 0.5}})
    assert str(caught.value.hint).startswith("Did you mean momentum?")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"space": {"seed": {"kind": "integer", "low": 0, "high": 1}}},
         "search.space.seed.kind must be one of int, float, duration, choice, but got 'integer'."),
        ({"space": {"seed": 3}},
         "search.space.seed.kind must be one of int, float, duration, choice, but got None."),
        ({"space": {"seed": {"kind": "int", "low": 0}}}, "search.space.seed needs the field high, which is absent."),
        ({"space": {"seed": {"kind": "choice", "options": [[1]]}}},
         "search.space.seed.options[0] must be a text or a whole number or a number or true or false, but got [1]."),
        ({"objectives": "val_error"}, "search.objectives must be a list, but got 'val_error'."),
        ({"slots": "many"}, "search.slots must be a whole number, but got 'many'."),
        ({"slot": 3}, "There is no field search.slot."),
        ({"name": 3}, "sections[1].name must be a text, but got 3."),
        ({"kind": "serch"}, "search.kind must be one of arms, search, confirmation, but got 'serch'."),
    ],
)  # fmt: skip
def test_wrong_search(change: dict[str, Any], message: str) -> None:
    """The same inside a section, which is called by its name; ranges by their kind."""
    plain = to_plain(SMOKE)
    plain["sections"][1] |= change
    with pytest.raises(SpecError) as caught:
        from_plain(StudySpec, plain)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question": None}, "question must be a text, but got None."),
        ({"sections": {}}, "sections must be a list, but got {}."),
        ({"sections": [3]}, "sections[0].kind must be one of arms, search, confirmation, but got None."),
        ({"sections": [{"kind": "arms", "name": "a"}]}, "a needs the field design, which is absent."),
        ({"sections": [{"kind": "arms", "name": "a", "design": {"kind": "grid"}}]},
         "a.design.kind must be one of named, leave-one-out, add-one-in, one-at-a-time, full-factorial, fractional-factorial, path, but got 'grid'."),
        ({"sections": [{"kind": "arms", "name": "a", "design": {"kind": "named", "list": [{"changes": {}}]}}]},
         "a.design.list[0] needs the field name, which is absent."),
        ({"sections": [{"kind": "arms", "design": {"kind": "named", "list": [{"name": "b", "changes": 3}]}}]},
         "sections[0].design.list.b.changes must be a table of names and values, but got 3."),
    ],
)  # fmt: skip
def test_wrong_study(change: dict[str, Any], message: str) -> None:
    """In lists what has a name is called by it, all else by its index."""
    with pytest.raises(SpecError) as caught:
        from_plain(StudySpec, {**to_plain(SMOKE), **change})
    assert caught.value.message == message


def test_differences_name_each_field() -> None:
    """What differs between two specifications, field by field, with both values; nothing else."""
    old = TRIAL
    new = changed(old, {"method.s1": "9ep", "seed": 3})
    there = [("method.schedule.s1", "20ep", "9ep"), ("seed", 0, 3)]
    assert differences(to_plain(old), to_plain(new)) == there
    assert differences(to_plain(old), to_plain(old)) == []
    assert differences([1, 2], [1]) == [("", [1, 2], [1])]
    assert differences({"a": 1}, {"b": {"c": 2}}) == [("a", 1, None), ("b", None, {"c": 2})]


def test_differences_of_sections_are_named() -> None:
    """What has a name is compared by it: what was changed, left out or new; another order as a whole."""
    old = to_plain(SMOKE)
    arms, search = old["sections"]
    new = {**old, "sections": [{**arms, "seeds": [7]}, {**search, "slots": 99}]}
    assert differences(old, new) == [
        ("controls.seeds", arms["seeds"], [7]), ("search.slots", search["slots"], 99)
    ]  # fmt: skip
    assert differences(old, {**old, "sections": [search]}) == [("controls", arms, None)]
    assert differences({**old, "sections": [search]}, old) == [("controls", None, arms)]
    other = {**old, "sections": [search, arms]}
    assert differences(old, other) == [("sections", old["sections"], other["sections"])]
    twice = [{"name": "a", "x": 1}, {"name": "a", "x": 2}]
    assert differences({"l": twice}, {"l": twice[:1]}) == [("l", twice, twice[:1])]


def test_durations_inside() -> None:
    """A duration may also be given as the value it is."""
    plain = to_plain(REPR)
    plain["schedule"]["s1"] = Duration.parse("9ep")
    cycles = from_plain(MethodSpec, plain).cycles
    assert cycles is not None and cycles.s1 == Duration.parse("9ep")
