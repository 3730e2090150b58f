"""Single fields changed by their path."""

from __future__ import annotations

from typing import Any

import pytest

from reprtune.errors import SpecError
from reprtune.spec.edit import changed, parse_assignment
from reprtune.spec.trial import TrialSpec
from studies.smoke import STUDY


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("method.criterion=l2", "method.criterion", "l2"),
        ("method.prune_ratio=0.4", "method.prune_ratio", 0.4),
        ("task.train_images=null", "task.train_images", None),
        ("model.pool=true", "model.pool", True),
        ("training.lr_milestones=[0.3, 0.6]", "training.lr_milestones", [0.3, 0.6]),
        ("training.total=4ep", "training.total", "4ep"),
        ("task.dataset=npz:a=b.npz", "task.dataset", "npz:a=b.npz"),
        (" seed =1", "seed", 1),
        ('method.criterion="l2"', "method.criterion", "l2"),
    ],
)
def test_assignment(text: str, path: str, value: object) -> None:
    """The value is JSON where it can be and a text otherwise; only the first `=` divides."""
    assert parse_assignment(text) == (path, value)


@pytest.mark.parametrize("text", ["seed", "=3", "  =3", ""])
def test_no_assignment(text: str) -> None:
    """Without a path and an `=` there is nothing to set."""
    with pytest.raises(SpecError) as caught:
        parse_assignment(text)
    assert caught.value.message == f"A setting is written path.to.field=value, but got {text!r}."


def test_changes_only_what_is_named() -> None:
    """The copy has the new values, everything else as before; the original stays as it was."""
    old = TrialSpec()
    new = changed(old, {"method.criterion": "l2", "training.total": "7ep", "training.lr_milestones": [0.25]})
    assert (new.method.criterion, str(new.training.total), new.training.lr_milestones) == (
        "l2",
        "7ep",
        (0.25,),
    )
    assert (new.task, new.model, new.seed, new.method.s1) == (old.task, old.model, old.seed, old.method.s1)
    assert old == TrialSpec()


def test_method_by_name() -> None:
    """A method's name replaces the whole composition; later settings refine it."""
    assert changed(TrialSpec(), {"method": "standard"}).method.cycles == 0
    assert changed(TrialSpec(), {"method": "standard", "method.cycles": 2}).method.cycles == 2
    with pytest.raises(SpecError, match="There is no method 'reper'"):
        changed(TrialSpec(), {"method": "reper"})


def test_paths_into_a_study() -> None:
    """A range of the space is found although its own name has dots, and lists are replaced whole."""
    new = changed(
        STUDY, {"space.method.s1.high": "3ep", "base.task.dataset": "cifar10", "control_seeds": [7]}
    )
    assert str(new.space["method.s1"].high) == "3ep"  # type: ignore[union-attr]
    assert (new.base.task.dataset, new.control_seeds) == ("cifar10", (7,))
    assert str(STUDY.space["method.s1"].high) == "2ep"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("path", "value", "message", "hint"),
    [
        ("sede", 1, "There is no field sede.", "Did you mean seed?"),
        ("method.criterio", "l2", "There is no field method.criterio.", "Did you mean method.criterion?"),
        ("methods.criterion", "l2", "There is no field methods.criterion.", "Did you mean method?"),
        ("seed.x", 1, "There is no field seed.x: seed has no parts.", None),
        ("", 1, "There is no field .", "Known: task"),
        ("method.criterion", "l3", "There is no criterion 'l3'.", "Did you mean l2?"),
        ("method.cycles", "two", "method.cycles must be a whole number, but got 'two'.", None),
        ("method.cycles", -1, "method.cycles must be at least 0, but got -1.", None),
        ("training", 3, "training must be a table of names and values, but got 3.", None),
    ],
)
def test_errors(path: str, value: Any, message: str, hint: str | None) -> None:
    """Unknown paths get the nearest one; wrong values the same error as anywhere else."""
    with pytest.raises(SpecError) as caught:
        changed(TrialSpec(), {path: value})
    assert caught.value.message == message
    if hint is not None:
        assert str(caught.value.hint).startswith(hint)
