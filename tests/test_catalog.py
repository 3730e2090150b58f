"""The registry of names: everything listed exists, and everything else is refused helpfully."""

from __future__ import annotations

import dataclasses

import pytest

from reprtune.errors import SpecError, did_you_mean
from reprtune.spec import catalog
from reprtune.spec.method import MethodSpec
from reprtune.spec.parts.criteria import Ortho
from reprtune.spec.parts.places import PLACES
from reprtune.spec.stop_rules import StopRule
from reprtune.spec.task import ModelSpec, TaskSpec

ENTRIES = [(kind, entry) for kind, entries in catalog.CATALOG.items() for entry in entries]
IDS = [f"{kind}-{entry.name}" for kind, entry in ENTRIES]
each_entry = pytest.mark.parametrize(("kind", "entry"), ENTRIES, ids=IDS)


@each_entry
def test_target_resolves(kind: str, entry: catalog.Entry) -> None:
    """The code behind every name can be imported: a function, or a method's composition."""
    found = catalog.resolve(kind, entry.example)
    assert isinstance(found, MethodSpec) if kind == "methods" else callable(found)


@each_entry
def test_entry_explains_itself(kind: str, entry: catalog.Entry) -> None:
    """Every entry has one line for a reader, and its example is a name of its own kind."""
    assert entry.line
    assert "\n" not in entry.line
    assert catalog.find(kind, entry.example) is entry
    assert entry.example in catalog.names(kind)


@each_entry
def test_fields_exist(kind: str, entry: catalog.Entry) -> None:
    """The options an entry lists are fields of the specification: of its part or stop rule, where it is one."""
    if kind in catalog.KINDS:
        part = PLACES[catalog.KINDS[kind]].find(entry.name)
        assert set(entry.fields) == {f.name for f in dataclasses.fields(part)}
    elif kind == "stop-rules":
        assert list(entry.fields) == StopRule.find(entry.name).option_names()
    elif kind == "methods":
        assert not entry.fields
    else:
        known = {"datasets": TaskSpec, "models": ModelSpec}[kind]
        assert set(entry.fields) <= {f.name for f in dataclasses.fields(known)}


def test_every_part_is_in_the_catalog() -> None:
    """Each place has a kind of entries, in the order of its parts, and no part is left out."""
    assert {*catalog.KINDS.values()} == {*PLACES}
    for kind, place in catalog.KINDS.items():
        assert catalog.names(kind) == PLACES[place].names()
        assert catalog.SINGULAR[kind] == PLACES[place].noun


def test_names_are_unique() -> None:
    """Within a kind, an example belongs to exactly one entry."""
    for kind, entries in catalog.CATALOG.items():
        for name in catalog.names(kind):
            assert sum(bool(e.pattern.fullmatch(name)) for e in entries) == 1, (kind, name)


def test_every_kind_has_a_singular() -> None:
    """Messages can name one thing of each kind."""
    assert set(catalog.SINGULAR) == set(catalog.CATALOG)


@pytest.mark.parametrize(
    ("kind", "name", "argument"),
    [
        ("models", "convnet-3", "3"),
        ("models", "convnet-18", "18"),
        ("models", "resnet-110", "110"),
        ("models", "vgg16-bn", "16"),
        ("models", "densenet-40-12", "40-12"),
        ("models", "torchvision:resnet18", "resnet18"),
        ("models", "python:my.nets:make_2", "my.nets:make_2"),
        ("datasets", "python:leaves:load", "leaves:load"),
        ("models", "python:my-nets.py:make", "my-nets.py:make"),
        ("datasets", "python:../my lab/a:b.py:load", "../my lab/a:b.py:load"),
        ("datasets", "npz:images/my set.npz", "images/my set.npz"),
        ("datasets", "npz:a:b", "a:b"),
        ("datasets", "digits", ""),
        ("criteria", "ortho-dim", ""),
        ("methods", "repr", ""),
    ],
)
def test_argument(kind: str, name: str, argument: str) -> None:
    """`N` stands for a number and `PATH` for anything that is left; a plain name has no argument."""
    assert catalog.argument(kind, name) == argument


@pytest.mark.parametrize(
    ("kind", "name", "message", "hint"),
    [
        ("models", "resnet", "There is no model 'resnet'.", "Did you mean resnet-20?"),
        ("models", "convnet-N", "There is no model 'convnet-N'.", "Did you mean convnet-3?"),
        ("models", "xconvnet-3", "There is no model 'xconvnet-3'.", "Did you mean convnet-3?"),
        ("datasets", "cifar-10", "There is no dataset 'cifar-10'.", "Did you mean cifar10?"),
        ("models", "python:nets", "There is no model 'python:nets'.", "Did you mean python:MODULE:FACTORY?"),
        (
            "models",
            "python:nets.py:make()",
            "There is no model 'python:nets.py:make()'.",
            "Did you mean python:",
        ),
        ("models", "python:my-nets:make", "There is no model 'python:my-nets:make'.", "Did you mean python:"),
        ("datasets", "npz:", "There is no dataset 'npz:'.", "Did you mean npz:PATH?"),
        ("criteria", "orto", "There is no criterion 'orto'.", "Did you mean ortho?"),
        ("restores", "orthogonall", "There is no restore rule 'orthogonall'.", "Did you mean orthogonal?"),
        ("methods", "RePr", "There is no method 'RePr'.", "Did you mean repr?"),
    ],
)
def test_unknown_name(kind: str, name: str, message: str, hint: str) -> None:
    """An unknown name is refused, the nearest known one proposed and all of them listed."""
    with pytest.raises(SpecError) as caught:
        catalog.find(kind, name)
    assert caught.value.message == message
    assert caught.value.hint is not None
    assert caught.value.hint.startswith(hint)
    for known in catalog.names(kind):
        assert known in caught.value.hint


def test_nothing_near() -> None:
    """With nothing similar known, the known names are listed without a proposal."""
    assert did_you_mean("zzz", ["alpha", "beta"]) == "Known: alpha, beta."
    assert did_you_mean("zzz", []) == "Known: none."


def test_presets() -> None:
    """`standard` has nothing; `repr` has cycles, with the paper's criterion and share."""
    standard, repr_ = catalog.resolve("methods", "standard"), catalog.resolve("methods", "repr")
    assert standard == MethodSpec()
    assert (repr_.option("cycles"), repr_.criterion, repr_.option("prune_ratio")) == (3, Ortho(), 0.3)


def test_of_many_words_the_nearest_are_named_and_the_rest_counted() -> None:
    """Nobody reads through 80 of them; up to 20 are all listed."""
    known = [f"arm-{n}-s{seed}" for n in range(16) for seed in range(5)]
    hint = did_you_mean("arm-7-s9", known)
    assert hint.startswith("Did you mean arm-7-s") and "There are 80, such as arm-0-s0, arm-0-s1" in hint
    assert hint.count("arm-") <= 8
    assert all(word in did_you_mean("x", known[:20]) for word in known[:20])
