"""A trial as people read it: every field that is there, by the path that they write, and nothing else."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from reprtune.spec import catalog
from reprtune.spec.edit import changed
from reprtune.spec.levels import level, levels
from reprtune.spec.parts.losses import Distillation, LossTerm
from reprtune.spec.parts.members import Networks, OwnExchange
from reprtune.spec.parts.places import full_path
from reprtune.spec.trial import TrialSpec

RECORDS = {"restore_bn", "restore_optimizer", "restore_next", "restore_lr", "restore_lr_scale"}
SHARE = {"prune_ratio", "scope", "layer_cap", "exclude_first", "exclude_shortcuts", "exclude"}


def of_method(changes: dict[str, Any]) -> dict[str, Any]:
    """The levels of the method, without `method.`."""
    found = levels(changed(TrialSpec(), changes))
    return {
        path.removeprefix("method."): value for path, value in found.items() if path.startswith("method.")
    }


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("standard", set()),
        ("ensemble", {"n_members", "same_order", "member_lr"}),
        ("averaging", {"schedule", "period", "until", "exchange", "own_share", "n_members", "same_order",
                       "member_lr"}),
        ("lr-restart", {"schedule", "cycles", "s1", "s2"} | RECORDS),
        ("repr", {"schedule", "cycles", "s1", "s2", "criterion", "selection", "drop", "restore", "restore_scale"}
         | RECORDS | SHARE),
        ("sfp", {"schedule", "period", "until", "criterion", "selection", "restore"} | RECORDS | SHARE),
        ("ban", {"schedule", "generations", "selection", "restore", "restore_scale", "losses", "teachers",
                 "temperature", "distill_weight", "distill_labels"} | RECORDS),
    ],
)  # fmt: skip
def test_what_is_not_there_has_no_level(name: str, words: set[str]) -> None:
    """Empty places, and options of parts that nobody chose, do not appear; every other field does."""
    assert of_method({"method": name}).keys() == words


def test_levels_are_plain_values_by_short_paths() -> None:
    """Of a place its part's name, of an option its value as it is written."""
    changes = {"method.s1": "9ep", "method.criterion": "l2", "method.exclude": ["conv2"], "training.lr": 0.2}
    found = levels(changed(TrialSpec(), changes))
    assert {path: found[path] for path in changes} == changes
    assert (found["method.restore"], found["method.restore_bn"], found["method.prune_ratio"]) == (
        "orthogonal", "reset", 0.3,
    )  # fmt: skip


def test_fields_outside_the_method_are_all_there() -> None:
    """By their paths, whatever their values are."""
    trial = TrialSpec()
    parts = {name: getattr(trial, name) for name in ("task", "model", "training")}
    expected = {f"{name}.{f.name}" for name, part in parts.items() for f in dataclasses.fields(part)} | {
        "seed"
    }
    assert {path for path in levels(trial) if not path.startswith("method.")} == expected
    assert levels(trial)["model.width"] is None


def test_own_parts_have_the_levels_that_they_were_given() -> None:
    """Their names, and their options at their place, which no shipped part's option is mistaken for."""
    given = {
        "method.criterion": "python:my.py:score",
        "method.criterion.prune_ratio": 2,
        "method.criterion.far": True,
    }
    found = of_method(given)
    assert (found["criterion"], found["criterion.prune_ratio"], found["criterion.far"]) == (
        "python:my.py:score", 2, True,
    )  # fmt: skip
    assert found["prune_ratio"] == 0.3
    swap = dataclasses.replace(
        changed(TrialSpec(), {"method": "averaging"}).method, exchange=OwnExchange(source="python:my:swap")
    )
    assert levels(TrialSpec(method=swap))["method.exchange"] == "python:my:swap"


def test_several_losses_are_joined() -> None:
    """As the augmentations of the images are."""

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Other(LossTerm):
        kind = "other"
        weight: float = 0.5

    method = dataclasses.replace(TrialSpec().method, losses=(Distillation(), Other()), networks=Networks())
    found = levels(TrialSpec(method=method))
    assert (found["method.losses"], found["method.temperature"], found["method.losses.weight"]) == (
        "distillation+other", 2, 0.5,
    )  # fmt: skip


@pytest.mark.parametrize("name", catalog.names("methods"))
def test_one_level_by_either_path(name: str) -> None:
    """Short or full, it is the one that `levels` gives; a trial without it has none."""
    trial = changed(TrialSpec(), {"method": name})
    found = levels(trial)
    for path in (*found, *levels(TrialSpec()), "method.margin", "method"):
        assert level(trial, path) == level(trial, full_path(path)) == found.get(path)
