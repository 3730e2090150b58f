"""`list`: the names of every kind, and with `--long` the whole card of each."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from commands.listing import KINDS
from dashboards.cards import card, piece, value
from reprtune.spec import catalog
from reprtune.spec.cards import OWN_FORM, cards
from reprtune.spec.codec import to_plain
from reprtune.spec.edit import parse_assignment
from reprtune.spec.parts.members import Ring
from reprtune.spec.parts.places import PLACES, RECORDS
from reprtune.spec.parts.selections import Share
from reprtune.spec.stop_rules import StopRule
from tests.command import Command

LISTED = [kind for kind in KINDS if kind != "studies"]
PARTS = [(kind, part) for kind, place in catalog.KINDS.items() for part in PLACES[place].kinds]


NAMED = [*PARTS, *(("stop-rules", rule) for rule in StopRule.kinds)]


def card_of(kind: str, name: str) -> dict[str, Any]:
    return next(card for card in cards(kind) if card["name"] == name)


def test_every_kind_of_the_catalog_can_be_listed() -> None:
    """Named in the command, which is to start fast, and here compared with the catalog; in its order."""
    assert [kind for kind in KINDS if kind not in ("records", "studies")] == [*catalog.CATALOG]
    assert card_of("records", "networks")["budget"] == "K"
    assert [card["name"] for card in cards("records")] == [*RECORDS]


@pytest.mark.parametrize(("kind", "part"), NAMED, ids=lambda x: x if isinstance(x, str) else x.kind)
def test_a_card_has_all_that_its_part_says(kind: str, part: Any) -> None:
    """Or stop rule: every text of its card, each option with its default and its null, and whether it can be trained."""
    found, said = card_of(kind, part.kind), dataclasses.asdict(part.card)
    assert {key: found[key] for key in said if key != "code"} == {
        k: v for k, v in said.items() if k != "code"
    }
    assert bool(found["missing"]) == (not part.card.code)
    assert [option["name"] for option in found["options"]] == part.option_names()
    text = " ".join(card(found).split())
    for key in ("line", "paper", "when", "traps", "needs"):
        assert " ".join(found[key].split()) in text
    for option in found["options"]:
        assert f"{option['name']} = {value(option['default'])}" in text


def test_options_stand_with_their_defaults_words_and_nulls() -> None:
    """By hand: of a share and of a ring; the null of what is the default already is not said."""
    share = {option["name"]: option for option in card_of("selections", "share")["options"]}
    assert share["prune_ratio"] == {"name": "prune_ratio", "default": 0.3, "null": 0, "words": []}
    assert share["scope"] == {
        "name": "scope",
        "default": "global",
        "null": "layer",
        "words": ["global", "layer"],
    }
    lines = card(card_of("exchanges", "ring")).splitlines()
    assert lines[0] == "ring" and not any(line.startswith("  state") for line in lines)
    assert "  options  blend_by = entropy; words: entropy, l1, constant; null: constant" in lines
    assert "           blend_level = layer; words: layer, filter" in lines
    assert "  budget   K x the training of one network" in lines


def test_one_of_your_own_stands_last_where_there_can_be_one() -> None:
    """With what its function must take."""
    for kind, place in catalog.KINDS.items():
        own = [found for found in cards(kind) if found["name"] == OWN_FORM]
        assert bool(own) == (PLACES[place].own is not None)
        assert own == cards(kind)[len(PLACES[place].kinds) :]
    assert "score(filters, context)" in card_of("criteria", OWN_FORM)["line"]


def test_a_card_says_what_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a part without code, and of a method that has it."""
    monkeypatch.setattr(Ring, "card", dataclasses.replace(Ring.card, code=""))
    state = "  state    not built yet: it can be written down, not trained"
    assert state in card(card_of("exchanges", "ring")).splitlines()
    grafting = card_of("methods", "grafting")
    assert grafting["missing"] == ["exchange = ring"]
    assert "  state    not built yet (exchange = ring): it can be written down, not trained\n" in card(
        grafting
    )


def test_the_card_of_a_method_has_its_parts_and_networks() -> None:
    """By hand: of grafting, of ReDo, and of plain training, which has none."""
    grafting = card_of("methods", "grafting")
    assert grafting["missing"] == [] and grafting["networks"] == 2
    assert grafting["parts"] == [
        {"place": "schedule", "kind": "every"},
        {"place": "exchange", "kind": "ring"},
        {"place": "networks"},
    ]
    text = card(grafting)
    assert (
        "  parts    schedule: every\n           exchange: ring\n           networks: as by default\n" in text
    )
    assert "  paper    Filter Grafting, arXiv 2001.05868\n" in text
    assert text.endswith("  budget   2 x the training of one network")
    redo = card_of("methods", "redo")
    assert {
        "place": "selection",
        "kind": "share",
        "prune_ratio": 0.05,
        "scope": "layer",
        "exclude_first": False,
    } in (redo["parts"])
    assert card_of("methods", "standard")["parts"] == card_of("methods", "redo")["missing"] == []
    assert "parts" not in card(card_of("methods", "standard"))


def test_a_piece_in_one_line_is_what_one_types() -> None:
    """Every default is read back from its text."""
    assert piece({"place": "selection", "kind": "share", "exclude_first": False, "exclude": ["a", "b"]}) == (
        "share (exclude_first = false, exclude = [a, b])"
    )
    assert piece({"place": "networks"}) == "as by default"
    assert piece({"place": "networks", "n_members": 3}) == "n_members = 3"
    for part in (Share(), Ring()):
        for name, default in part.options().items():
            _, read = parse_assignment(f"method.{name}={value(to_plain(default))}")
            assert read == to_plain(default)


@pytest.mark.parametrize("kind", KINDS)
def test_long_lists_are_text_or_json(command: Command, kind: str) -> None:
    """The same names in both, no line too long, and nothing is made."""
    rows = json.loads(command.quick("list", kind, "--long", "--json").stdout)
    text = command.quick("list", kind, "--long").stdout
    assert [block.splitlines()[0] for block in text.rstrip("\n").split("\n\n")] == [
        row["name"] for row in rows
    ]
    assert max(map(len, text.splitlines())) < 80
    assert not command.runs.exists()


def test_the_short_list_says_what_is_not_built(command: Command) -> None:
    """Beside what can be trained; in JSON as `built`."""
    text = command.quick("list", "drops").stdout
    assert text.count("not built yet") == 0
    rows = json.loads(command.quick("list", "drops", "--json").stdout)
    assert {row["name"]: row["built"] for row in rows} == {
        "exact": True, "weights-only": True, "single-weights": True, "tied": True,
    }  # fmt: skip
