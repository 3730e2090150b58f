"""The places of a method and the parts that go there: the contract that each of them keeps."""

from __future__ import annotations

import dataclasses
import importlib
import json
import types
import typing
from dataclasses import dataclass
from typing import Any

import pytest

from reprtune.errors import SpecError
from reprtune.spec.codec import canonical_json, from_plain, to_plain
from reprtune.spec.duration import Duration
from reprtune.spec.method import MethodSpec
from reprtune.spec.parts.criteria import L2, Criterion, Ortho, OwnCriterion
from reprtune.spec.parts.losses import OwnLoss
from reprtune.spec.parts.members import OwnExchange, OwnGradient
from reprtune.spec.parts.part import OWN, Card, Own, Part, option
from reprtune.spec.parts.places import NAMES, PLACES, RECORDS, full_path, homes, short_path
from reprtune.spec.parts.restores import OwnRestore, Random

PARTS = [(place, part) for place, base in PLACES.items() for part in base.kinds]
each_part = pytest.mark.parametrize(("place", "part"), PARTS, ids=[f"{p}-{k.kind}" for p, k in PARTS])
OPTIONS = [(place, kind, f) for place, kind in (*PARTS, *RECORDS.items()) for f in dataclasses.fields(kind)]
each_option = pytest.mark.parametrize(
    ("place", "kind", "field"), OPTIONS, ids=[f"{p}-{getattr(k, 'kind', p)}-{f.name}" for p, k, f in OPTIONS]
)
OWNS: dict[str, type[Own]] = {
    "criterion": OwnCriterion, "restore": OwnRestore, "exchange": OwnExchange, "gradient": OwnGradient,
    "losses": OwnLoss,
}  # fmt: skip
# Nulls that the part refuses, because they take it away: without cycles, filters or others there is none.
TAKE_AWAY = {
    "cycles": 0, "s1": "the total", "period": "the total", "prune_ratio": 0.0, "weight_ratio": 0.0,
    "n_members": 1, "teacher_weight": 0.0,
}  # fmt: skip


def test_places_are_the_fields_of_a_method() -> None:
    """Each field of a method is a place or a record, and holds parts of its own class; nothing else does."""
    assert {f.name for f in dataclasses.fields(MethodSpec)} == set(NAMES)
    hints = typing.get_type_hints(MethodSpec)
    for place, base in PLACES.items():
        assert base.place == place and issubclass(base, Part)
        assert hints[place] == (tuple[base, ...] if base.several else base | None)  # type: ignore[valid-type]
    for name, record in RECORDS.items():
        assert hints[name] == record | None


@each_part
def test_a_part_says_what_it_is(place: str, part: type[Part]) -> None:
    """Of its place, with a name that only it has there, and a card that says in a line what it is."""
    assert part.place == place and issubclass(part, PLACES[place])
    assert [kind.kind for kind in PLACES[place].kinds].count(part.kind) == 1
    assert part.kind == part.kind.lower().strip() and not part.kind.startswith(OWN) and part.kind != "none"
    assert part.card.line and "\n" not in part.card.line
    assert part.noun and part().name == part.kind


@each_part
def test_the_code_of_a_card_can_be_imported(place: str, part: type[Part]) -> None:
    """Where there is one; a part without is not built yet."""
    module, colon, name = part.card.code.partition(":")
    assert bool(module) == bool(colon) == bool(name)
    assert not module or callable(getattr(importlib.import_module(module), name))


@each_part
def test_a_part_is_read_from_its_name_its_table_and_itself(place: str, part: type[Part]) -> None:
    """All three, and its canonical text, give the same value."""
    value = part()
    for form in (part.kind, {"kind": part.kind}, value, to_plain(value), json.loads(canonical_json(value))):
        assert PLACES[place].read(form, f"method.{place}") == value
    assert to_plain(value)["kind"] == part.kind


@each_option
def test_options_are_told_apart_by_their_names(place: str, kind: Any, field: Any) -> None:
    """No word is an option in two places, nor the name of a place; parts of one place that share an option
    share its words, null and default."""
    assert homes()[field.name] == (place,)
    assert field.name not in NAMES and field.name != "kind"
    same = [f for _, _, f in OPTIONS if f.name == field.name]
    assert {(str(f.default), str(f.metadata)) for f in same} == {(str(field.default), str(field.metadata))}


@each_option
def test_the_path_of_an_option_is_shortened_and_written_out(place: str, kind: Any, field: Any) -> None:
    """`method.s1` and `method.schedule.s1` name the same, in a trial, a base and a space."""
    for head, tail in (("", ""), ("base.", ""), ("space.", ".high")):
        short, full = f"{head}method.{field.name}{tail}", f"{head}method.{place}.{field.name}{tail}"
        assert (full_path(short), short_path(full)) == (full, short)
        assert (full_path(full), short_path(short)) == (full, short)


@pytest.mark.parametrize(
    "path",
    ["seed", "method", "method.criterion", "method.restore_rules", "method.criterion.margin", "method.margin",
     "training.lr", "method.criterion.prune_ratio", "xmethod.s1", "a.method.s1"],
)  # fmt: skip
def test_other_paths_stay_as_they_are(path: str) -> None:
    """Places, fields elsewhere, options that no shipped part has, or that a part of another place has."""
    assert full_path(path) == short_path(path) == path


def _classes(hint: Any) -> Any:
    """What isinstance takes: unions as they are, a generic without what it holds."""
    return hint if isinstance(hint, types.UnionType) else typing.get_origin(hint) or hint


@each_option
def test_every_option_has_a_null(place: str, kind: Any, field: Any) -> None:
    """A legal value of its type, or one that takes the part away; and where it is a text, one of its words."""
    null, words = field.metadata["null"], field.metadata["words"]
    hint = typing.get_type_hints(kind)[field.name]
    assert bool(words) == (hint is str)
    assert not words or {field.default, null} <= {*words}
    made = {field.name: Duration.parse(null) if hint is Duration and null != "the total" else null}
    if field.name in TAKE_AWAY:
        assert null == TAKE_AWAY[field.name]
        with pytest.raises(SpecError):
            kind(**made)
    else:
        value = kind(**made)
        plain = to_plain(getattr(value, field.name))
        again = from_plain(hint, plain, field.name)
        assert again == getattr(value, field.name) and isinstance(again, _classes(hint))


@each_part
def test_an_unknown_option_is_refused(place: str, part: type[Part]) -> None:
    """The message names place, part and its options; the hint the nearest one, or a part that has it."""
    known = part.option_names()
    for name in ("maginr", *(f"{word}x" for word in known)):
        with pytest.raises(SpecError) as caught:
            PLACES[place].read({"kind": part.kind, name: 1}, f"method.{place}")
        assert caught.value.message == (
            f"method.{place}.{name} is no option of the {part.noun} {part.kind}, which has {', '.join(known) or 'none'}."
        )
        if name != "maginr":
            assert str(caught.value.hint).startswith(f"Did you mean {name[:-1]}?")


def test_an_option_of_another_part_of_the_place() -> None:
    """The hint says which parts have it."""
    with pytest.raises(SpecError) as caught:
        PLACES["schedule"].read({"kind": "every", "s1": "1ep"}, "method.schedule")
    assert caught.value.hint == "It is one of cycles."


@pytest.mark.parametrize("place", PLACES)
def test_an_unknown_part_is_refused(place: str) -> None:
    """By its name, with the nearest known one; what is no name and no table, with all that are known."""
    base, first = PLACES[place], PLACES[place].kinds[0]
    with pytest.raises(SpecError) as caught:
        base.read(f"{first.kind}x", f"method.{place}")
    assert caught.value.message == f"There is no {base.noun} '{first.kind}x'."
    assert str(caught.value.hint).startswith(f"Did you mean {first.kind}?")
    for wrong in (3, None, [], {}, {"kind": 3}, {"s1": "1ep"}):
        with pytest.raises(SpecError) as caught:
            base.read(wrong, f"method.{place}")
        assert caught.value.message == (
            f"method.{place} must be the name of a part, or a table with its kind and options, but got {wrong!r}."
        )
        assert str(caught.value.hint) == f"Known: {', '.join(base.names())}."


@pytest.mark.parametrize(
    ("place", "table", "message"),
    [
        ("selection", {"kind": "share", "prune_ratio": "0.3"}, "method.prune_ratio must be a number, but got '0.3'."),
        ("selection", {"kind": "share", "scope": "layers"}, "There is no method.scope 'layers'."),
        ("schedule", {"kind": "cycles", "s1": 3}, "method.s1 must be a number of epochs (ep) or optimizer steps"),
        ("restore", {"kind": "random", "restore_scale": 1}, "method.restore_scale must be a text, but got 1."),
        ("exchange", {"kind": "average", "own_share": 2.0}, "method.own_share must be between 0 and 1 inclusive"),
    ],
)  # fmt: skip
def test_values_of_options_are_checked(place: str, table: dict[str, Any], message: str) -> None:
    """Their types where they are read, their rules in the part itself; paths are the short ones."""
    with pytest.raises(SpecError) as caught:
        PLACES[place].read(table, f"base.method.{place}")
    assert caught.value.message.startswith(message)


# -- a person's own -------------------------------------------------------------------------------


@pytest.mark.parametrize("place", OWNS)
@pytest.mark.parametrize(
    "source",
    [
        "python:my_file.py:Name",
        "python:some/where/my-file.py:score",
        "python:mine.criteria:score",
        "python:mine:f_2",
    ],
)
def test_an_own_part_is_a_value(place: str, source: str) -> None:
    """From its name or its table, with any options, and back; nothing of it needs to exist."""
    given = {"margin": 0.5, "n": 3, "layers": ["a", "b"], "deep": {"x": None}, "on": True}
    value = PLACES[place].read({"kind": source, **given}, f"method.{place}")
    assert value == OWNS[place](source=source, given=given)
    assert (value.name, value.options()) == (source, given)
    assert to_plain(value) == {"kind": source, **given}
    assert PLACES[place].read(json.loads(canonical_json(value)), "") == value
    assert PLACES[place].read(source, "") == OWNS[place](source=source)
    assert hash(value) == hash(PLACES[place].read(to_plain(value), ""))


def test_which_places_take_an_own_part() -> None:
    """The four whose code is a function of what it is given; elsewhere the name is unknown."""
    assert {place for place, base in PLACES.items() if base.own is not None} == set(OWNS)
    assert all(PLACES[place].own is own and own.place == place for place, own in OWNS.items())
    with pytest.raises(SpecError, match=r"There is no schedule 'python:a:b'\."):
        PLACES["schedule"].read("python:a:b", "method.schedule")


@pytest.mark.parametrize(
    "source",
    ["python:", "python:mine", "python:mine:", "python::name", "python:my.py", "python:mine:a.b", "python:a b:c",
     "python:my-mod:f", "python:a\0.py:f", "python:mine:f()"],
)  # fmt: skip
def test_the_name_of_an_own_part_has_its_form(source: str) -> None:
    """A file that ends in .py, or a module, and a name of Python in it."""
    with pytest.raises(SpecError) as caught:
        Criterion.read(source, "method.criterion")
    assert caught.value.message == f"There is no criterion {source!r}: one of your own has another form."
    assert caught.value.hint == "Write python:FILE.py:NAME or python:MODULE:NAME."


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a b": 1}, "method.criterion has an option 'a b', which is no name of Python."),
        (
            {"a": object},
            "method.criterion.a must be a text, a number, true, false, a list or a table, but got",
        ),
        ({"a": float("nan")}, "method.criterion.a must be a number, but got nan."),
        ({"a": [1, 2**64]}, "method.criterion.a[1] must be below 2^64"),
        (
            {"a": {"b": {3: 4}}},
            "method.criterion.a.b must be a text, a number, true, false, a list or a table",
        ),
    ],
)
def test_own_options_can_be_stored(given: dict[str, Any], message: str) -> None:
    """Whatever JSON can say, and a function can take by name."""
    with pytest.raises(SpecError) as caught:
        OwnCriterion(source="python:mine:score", given=given)
    assert caught.value.message.startswith(message)


def test_own_options_are_kept_as_they_are_stored() -> None:
    """A tuple is a list, a duration a text and 1.0 is 1, so that what is read back is equal; a later change of
    the table that was given does not reach the part."""
    given: dict[str, Any] = {"a": (1.0, 2), "b": Duration.parse("3ep")}
    part = OwnCriterion(source="python:mine:score", given=given)
    given["c"] = 1
    assert part.options() == {"a": [1, 2], "b": "3ep"}


# -- what the classes promise ---------------------------------------------------------------------


def test_parts_are_compared_with_their_options() -> None:
    """Equal where kind and options are; hashable, so that methods can be counted."""
    assert Random() == Random() != Random(restore_scale="old")
    assert L2() != Ortho() and len({L2(), L2(), Ortho()}) == 2


def test_a_new_part_is_a_class_with_its_options() -> None:
    """Kind, card, options with default, null and words: nothing else is asked of one."""

    @dataclass(frozen=True, kw_only=True)
    class Nearest(Criterion):
        kind = "nearest"
        card = Card(line="nearest first")
        reach: float = option(0.5, null=0.0)
        to: str = option("mean", null="mean", words=("mean", "median"))

    assert to_plain(Nearest(to="median")) == {"kind": "nearest", "reach": 0.5, "to": "median"}
    assert Nearest.option_names() == ["reach", "to"]
    with pytest.raises(SpecError, match=r"There is no method\.to 'mode'\."):
        Nearest(to="mode")
