"""The values of stop rules: options of their own, their texts, and the forms in which a person or an older version
writes them."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from reprtune.errors import SpecError
from reprtune.spec.codec import canonical_json, from_plain, to_plain
from reprtune.spec.edit import changed
from reprtune.spec.older import as_today
from reprtune.spec.scale import full_study_path
from reprtune.spec.sections.search import Search
from reprtune.spec.space import FloatRange
from reprtune.spec.stop_rules import Median, NoStop, Percentile, StopRule, SuccessiveHalving
from reprtune.spec.study import StudySpec
from tests.flat import with_fields
from tests.spec.example import STUDY

SPACE = {"training.lr": FloatRange(low=0.1, high=0.2)}
each_rule = pytest.mark.parametrize("rule", StopRule.kinds, ids=StopRule.names())
OPTIONS = {
    "median": {"min_comparable": 5},
    "percentile": {"min_comparable": 5, "percentile": 25},
    "successive-halving": {"min_comparable": 5, "reduction_factor": 3},
    "none": {},
}


def test_all_rules_are_visited_here() -> None:
    """By hand: the names in their order, each rule with its own options and no other."""
    assert StopRule.names() == list(OPTIONS)
    assert {kind.kind: kind().options() for kind in StopRule.kinds} == OPTIONS


@each_rule
def test_a_rule_is_read_from_its_name_its_table_and_itself(rule: type[StopRule]) -> None:
    """Its plain form is its kind beside its options."""
    value = rule()
    assert to_plain(value) == {"kind": rule.kind, **OPTIONS[rule.kind]}
    for form in (rule.kind, {"kind": rule.kind}, value, json.loads(canonical_json(value))):
        assert from_plain(StopRule, form, "stop") == value


@each_rule
def test_a_rule_explains_itself(rule: type[StopRule]) -> None:
    """In one line, with when to take it; nulls of its options are what the rule does without the idea."""
    assert rule.card.line and "\n" not in rule.card.line and rule.card.when and not rule.card.budget
    nulls = {f.name: f.metadata["null"] for f in dataclasses.fields(rule)}
    known = {"min_comparable": 1, "percentile": 100.0, "reduction_factor": 1}
    assert nulls == {name: known[name] for name in OPTIONS[rule.kind]}


@pytest.mark.parametrize(
    ("plain", "message", "hint"),
    [
        ("medain", "There is no stop rule 'medain'.", "Did you mean median?"),
        ({"kind": "hyperband"}, "There is no stop rule 'hyperband'.", "Known: median, perc"),
        (None, "stop must be the name of a stop rule, or a table with its kind and options", "Known: median,"),
        ({"kind": 3}, "stop must be the name of a stop rule, or a table", "Known: median,"),
        ({"kind": "median", "percentile": 30},
         "stop.percentile is no option of the stop rule median", "It is one of percentile."),
        ({"kind": "percentile", "reduction_factor": 3},
         "stop.reduction_factor is no option of the stop rule percentile", "It is one of successive-halving."),
        ({"kind": "none", "min_comparable": 5}, "stop.min_comparable is no option of the stop rule none",
         "It is one of median, percentile, successive-halving."),
        ({"kind": "percentile", "percentil": 30}, "stop.percentil is no option", "Did you mean percentile?"),
        ({"kind": "median", "min_comparable": 0}, "stop.min_comparable must be at least 1, but got 0.", None),
        ({"kind": "percentile", "min_comparable": 0}, "stop.min_comparable must be at least 1", None),
        ({"kind": "successive-halving", "min_comparable": 0}, "stop.min_comparable must be at least 1", None),
        ({"kind": "median", "min_comparable": 2.5}, "stop.min_comparable must be a whole number", None),
        ({"kind": "percentile", "percentile": 0}, "stop.percentile must be between 0 and 100, but got 0.0", None),
        ({"kind": "percentile", "percentile": 100}, "stop.percentile must be between 0 and 100", None),
        ({"kind": "successive-halving", "reduction_factor": 1},
         "stop.reduction_factor must be at least 2, but got 1.", None),
    ],
)  # fmt: skip
def test_refused(plain: Any, message: str, hint: str | None) -> None:
    """Each message names the field, the rule and the value, and where an option belongs."""
    with pytest.raises(SpecError) as caught:
        from_plain(StopRule, plain, "stop")
    assert caught.value.message.startswith(message)
    assert str(caught.value.hint).startswith(str(hint))


def older_study(stop: Any) -> dict[str, Any]:
    """The example as a version without sections stored it, with this stop rule."""
    study = to_plain(STUDY)
    controls, search = study.pop("sections")
    own = {name: value for name, value in search.items() if name not in ("kind", "name")}
    arms = {"controls": controls["design"]["list"], "control_seeds": controls["seeds"]}
    return {**study, **own, **arms, "stop": stop}


def older(rule: str, min_comparable: int = 5, **options: Any) -> dict[str, Any]:
    """A stop rule as one flat table of all options."""
    table = {"percentile": None, "reduction_factor": None, **options}
    return {"rule": rule, "min_comparable": min_comparable, **table}


@pytest.mark.parametrize(
    ("plain", "value"),
    [
        (older("median"), Median()),
        (older("median", 3), Median(min_comparable=3)),
        (older("percentile"), Percentile()),
        (older("percentile", percentile=10), Percentile(percentile=10.0)),
        (older("successive-halving", 2), SuccessiveHalving(min_comparable=2)),
        (older("successive-halving", reduction_factor=4), SuccessiveHalving(reduction_factor=4)),
        (older("none"), NoStop()),
        (older("none", 3), NoStop()),
        ({"rule": "none"}, NoStop()),
        ({"rule": "percentile", "percentile": 40}, Percentile(percentile=40.0)),
    ],
)
def test_a_flat_rule_of_an_older_study_is_read_as_todays(plain: dict[str, Any], value: StopRule) -> None:
    """What was None was as by default; with `none` the number of comparable trials did nothing."""
    assert from_plain(StudySpec, as_today(older_study(plain))) == with_fields(STUDY, stop=value)


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        (older("medain"), "There is no stop rule 'medain'"),
        ({"rule": 3}, "stop must be the name of a stop rule"),
        (older("median", percentile=25), r"stop\.percentile is no option of the stop rule median"),
        (older("none", percentile=25), r"stop\.percentile is no option of the stop rule none"),
        (older("median", 0), r"stop\.min_comparable must be at least 1"),
    ],
)
def test_a_damaged_flat_rule_is_refused(plain: dict[str, Any], message: str) -> None:
    """As it was; nothing is left out that said something."""
    with pytest.raises(SpecError, match=message):
        from_plain(StudySpec, as_today(older_study(plain)))


FIVE, THREE = Search(space=SPACE, stop=Median()), Search(space=SPACE, stop=Median(min_comparable=3))


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ({"stop": "percentile"}, Percentile(min_comparable=3)),
        ({"stop": "percentile", "stop.percentile": 10}, Percentile(min_comparable=3, percentile=10.0)),
        ({"stop.percentile": 10, "stop": "percentile"}, Percentile(min_comparable=3, percentile=10.0)),
        ({"stop.percentile": 10, "stop.rule": "percentile"}, Percentile(min_comparable=3, percentile=10.0)),
        ({"stop.kind": "successive-halving"}, SuccessiveHalving(min_comparable=3)),
        ({"stop.min_comparable": 7}, Median(min_comparable=7)),
        ({"stop": "median"}, Median(min_comparable=3)),
        ({"stop": "none"}, NoStop()),
        ({"stop.rule": "none"}, NoStop()),
        ({"stop": Percentile()}, Percentile()),
        ({"stop": {"kind": "percentile", "percentile": 10}}, Percentile(percentile=10.0)),
        ({"stop": NoStop()}, NoStop()),
    ],
)
def test_a_rule_is_put_into_a_search(changes: dict[str, Any], value: StopRule) -> None:
    """By name it keeps the options that it has too, whatever the order of the settings; a value says all itself."""
    assert changed(THREE, changes) == dataclasses.replace(THREE, stop=value)


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ({"stop": "percentile"}, Percentile()),
        ({"stop.percentile": 10, "stop.rule": "percentile"}, Percentile(percentile=10.0)),
        ({"search.stop.percentile": 10, "search.stop": "percentile"}, Percentile(percentile=10.0)),
        ({"stop.min_comparable": 7}, Median(min_comparable=7)),
    ],
)
def test_a_rule_is_put_into_the_search_of_a_study(changes: dict[str, Any], value: StopRule) -> None:
    """By the words that a person types."""
    paths = {full_study_path(STUDY, path): value for path, value in changes.items()}
    assert changed(STUDY, paths) == with_fields(STUDY, stop=value)


def test_nothing_is_kept_from_a_rule_without_options() -> None:
    """The way to `none` and back is the way to the default; a percentile goes with its rule."""
    assert changed(changed(THREE, {"stop": "none"}), {"stop": "median"}) == FIVE
    narrow = changed(THREE, {"stop": "percentile", "stop.percentile": 10})
    assert changed(narrow, {"stop": "median"}) == THREE
    assert changed(narrow, {"stop": "percentile"}) == narrow


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stop": "medain"}, "There is no stop rule 'medain'"),
        ({"stop.rule": "medain"}, "There is no stop rule 'medain'"),
        ({"stop": None}, "stop must be the name of a stop rule, or a table .* but got None"),
        ({"stop": 3, "stop.rule": "median", "stop.percentile": 3}, r"stop\.percentile is no option"),
        ({"stop.percentile": 10}, r"stop\.percentile is no option of the stop rule median"),
        (
            {"stop": "none", "stop.min_comparable": 3},
            r"stop\.min_comparable is no option of the stop rule none",
        ),
        ({"stop.a.b": 3}, r"stop\.a\.b is no option"),
    ],
)
def test_what_cannot_be_put_into_a_search(changes: dict[str, Any], message: str) -> None:
    """An option of another rule does not change the rule."""
    with pytest.raises(SpecError, match=message):
        changed(THREE, changes)


def test_a_trial_has_no_stop_rule() -> None:
    """Only a search has."""
    with pytest.raises(SpecError, match="There is no field stop"):
        changed(STUDY.base, {"stop": "none"})
