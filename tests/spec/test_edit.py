"""Single fields changed by their path."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reprtune.errors import SpecError
from reprtune.spec.edit import changed, parse_assignment
from reprtune.spec.parts.criteria import L1, L2, OwnCriterion
from reprtune.spec.parts.losses import Overlap, Srip
from reprtune.spec.parts.restores import Random, Zero
from reprtune.spec.presets import ENSEMBLE, REPR, SFP, STANDARD
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
    assert new.method == replace(REPR, criterion=L2())
    assert (str(new.training.total), new.training.lr_milestones) == ("7ep", (0.25,))
    assert (new.task, new.model, new.seed) == (old.task, old.model, old.seed)
    assert old == TrialSpec()


@pytest.mark.parametrize("order", [1, -1])
def test_method_by_name(order: int) -> None:
    """A method's name replaces the whole composition; parts and then options refine it, whatever their order."""
    assert changed(changed(TrialSpec(), {"method.s1": "9ep"}), {"method": "repr"}).method == REPR
    changes = {"method": "sfp", "method.criterion": "l1", "method.prune_ratio": 0.2}
    assert SFP.selection is not None
    expected = replace(SFP, criterion=L1(), selection=replace(SFP.selection, prune_ratio=0.2))
    assert changed(TrialSpec(), dict([*changes.items()][::order])).method == expected
    with pytest.raises(SpecError, match="There is no method 'reper'"):
        changed(TrialSpec(), {"method": "reper"})


def test_an_option_may_leave_out_its_place() -> None:
    """`method.s1` is `method.schedule.s1`, at the front of a path and after `base.`."""
    short = changed(TrialSpec(), {"method.s1": "9ep", "method.restore_bn": "keep"})
    assert short == changed(
        TrialSpec(), {"method.schedule.s1": "9ep", "method.restore_rules.restore_bn": "keep"}
    )
    assert changed(STUDY, {"base.method.s1": "2ep"}) == changed(STUDY, {"base.method.schedule.s1": "2ep"})


def test_another_part_keeps_the_options_that_it_has() -> None:
    """The norms go on where they mean something; the same part again is no change; a table says all itself."""
    scaled = changed(TrialSpec(), {"method.restore_scale": "old", "method.prune_ratio": 0.2})
    assert changed(scaled, {"method.restore": "random"}).method.restore == Random(restore_scale="old")
    assert changed(scaled, {"method.restore": "zero"}).method.restore == Zero()
    assert changed(scaled, {"method.selection": "share"}) == scaled
    assert changed(scaled, {"method.restore": {"kind": "random"}}).method.restore == Random()
    made = changed(scaled, {"method.restore": Random(), "method.restore_scale": "clip"}).method
    assert made.restore == Random(restore_scale="clip")
    own = changed(scaled, {"method.criterion": "python:my.py:score", "method.criterion.margin": 2})
    assert changed(own, {"method.criterion": "python:my.py:score"}) == own
    other = changed(own, {"method.criterion": "python:my.py:other"})
    assert other.method.criterion == OwnCriterion(source="python:my.py:other")


def test_a_place_is_emptied_and_filled() -> None:
    """`none`, or null, takes out what is there; losses are several, and a name is one of them."""
    for nothing in ("none", None):
        assert changed(TrialSpec(), {"method.restore_rules": nothing}).method == replace(
            REPR, restore_rules=None
        )
        lossy = changed(TrialSpec(), {"method.losses": "overlap"})
        assert changed(lossy, {"method.losses": nothing}) == TrialSpec()
    lossy = changed(TrialSpec(), {"method.losses": "overlap", "method.ortho_penalty": 3})
    assert lossy.method.losses == (Overlap(ortho_penalty=3),)
    assert changed(lossy, {"method.losses": ["overlap", "srip"]}).method.losses == (Overlap(), Srip())
    assert changed(lossy, {"method.losses": "overlap"}) == lossy


@pytest.mark.parametrize("name", ["standard", "repr", "lr-restart"])
@pytest.mark.parametrize("others", [{}, {"method.n_members": 3}])
def test_no_cycles_are_standard_training(name: str, others: dict[str, Any]) -> None:
    """Schedule, and all that acts at its events, are taken away; members stay."""
    found = changed(TrialSpec(), {"method": name, "method.cycles": 0, **others}).method
    assert found == changed(TrialSpec(), {"method": "standard", **others}).method


def test_one_member_is_no_group() -> None:
    """The record of the networks goes; of a method that needs several it is refused."""
    assert changed(TrialSpec(), {"method": "ensemble", "method.n_members": 1}).method == STANDARD
    assert changed(TrialSpec(), {"method": "standard", "method.n_members": 2}).method == ENSEMBLE
    with pytest.raises(SpecError, match=r"method\.exchange = average goes on between several networks"):
        changed(TrialSpec(), {"method": "averaging", "method.n_members": 1})


def test_paths_into_a_study() -> None:
    """A range of the space is found although its own name has dots, and lists are replaced whole."""
    new = changed(
        STUDY,
        {
            "sections.search.space.method.s1.high": "3ep",
            "base.task.dataset": "cifar10",
            "sections.controls.seeds": [7],
        },
    )
    assert str(new.space["method.schedule.s1"].high) == "3ep"  # type: ignore[union-attr]
    assert (new.base.task.dataset, new.comparisons[0].seeds) == ("cifar10", (7,))
    assert str(STUDY.space["method.schedule.s1"].high) == "2ep"  # type: ignore[union-attr]
    assert changed(STUDY, {"sections.search.space.method.schedule.s1.high": "3ep"}).space == new.space


@pytest.mark.parametrize(
    ("path", "message", "hint"),
    [
        ("sections.serch.slots", "There is no field sections.serch.slots.", "Did you mean sections.search?"),
        ("sections.search.slot", "There is no field search.slot.", "Did you mean slots?"),
        ("sections.search.slots.x", "There is no field search.slots.x.", "Did you mean slots?"),
        ("sections.search.kind", "search.kind must be one of arms, search, confirmation, but got 1.", None),
        ("sections.search", "search.kind must be one of arms, search, confirmation, but got 1.", None),
        ("sections.search.space.method.s1.hihg", "There is no field search.space.method.schedule.s1.hihg.",
         "Did you mean high?"),
        ("sections.search.space.method.s3.high", "There is no field sections.search.space.method.s3.high.", None),
    ],
)  # fmt: skip
def test_errors_in_sections(path: str, message: str, hint: str | None) -> None:
    """A section is called by its name, as a person types it."""
    with pytest.raises(SpecError) as caught:
        changed(STUDY, {path: 1})
    assert caught.value.message == message
    if hint is not None:
        assert str(caught.value.hint).startswith(hint)


@pytest.mark.parametrize(
    ("path", "value", "message", "hint"),
    [
        ("sede", 1, "There is no field sede.", "Did you mean seed?"),
        ("method.criterio", "l2", "There is no field method.criterio.", "Did you mean method.criterion?"),
        ("method.prune_ration", 1, "There is no field method.prune_ration.", "Did you mean method.prune_ratio?"),
        ("methods.criterion", "l2", "There is no field methods.criterion.", "Did you mean method?"),
        ("seed.x", 1, "There is no field seed.x: seed has no parts.", None),
        ("method.s1.x", 1, "method.schedule.s1.x is no option of the schedule cycles", "Did you mean s1?"),
        ("", 1, "There is no field .", "Known: task"),
        ("method.criterion", "l3", "There is no criterion 'l3'.", "Did you mean l2?"),
        ("method.cycles", "two", "method.cycles must be a whole number, but got 'two'.", None),
        ("method.cycles", 0.0, "method.cycles must be a whole number, but got 0.0.", None),
        ("method.n_members", True, "method.networks.n_members must be a whole number, but got True.", None),
        ("method.cycles", -1, "method.cycles must be at least 1, but got -1.", None),
        ("training", 3, "training must be a table of names and values, but got 3.", None),
        ("method", 3, "method must be a table of names and values, but got 3.", None),
        ("method.criterion", 3, "method.criterion must be the name of a part, or a table", "Known: ortho,"),
        ("method.losses", 3, "method.losses must be a list, but got 3.", None),
        ("method.temperature", 3, "method.temperature does nothing: the method has no loss.", "Take a method"),
        ("method.period", "1ep", "method.schedule.period is no option of the schedule cycles, which has cycles, s1",
         "It is one of every."),
        ("method.criterion.margin", 1, "method.criterion.margin is no option of the criterion ortho, which has none.",
         "Leave it out."),
        ("method.selection.scop", 1, "method.selection.scop is no option of the selection share, which has prune_",
         "Did you mean scope?"),
        ("method.networks.n_member", 2, "There is no field method.networks.n_member.", "Did you mean n_members?"),
    ],
)  # fmt: skip
def test_errors(path: str, value: Any, message: str, hint: str | None) -> None:
    """Unknown paths get the nearest one, options of no part that is there the part that has them; wrong values
    the same error as anywhere else."""
    with pytest.raises(SpecError) as caught:
        changed(TrialSpec(), {path: value})
    assert caught.value.message.startswith(message)
    if hint is not None:
        assert str(caught.value.hint).startswith(hint)


@pytest.mark.parametrize(
    ("path", "noun", "method"),
    [
        ("method.prune_ratio", "selection", "repr"),
        ("method.s1", "schedule", "repr"),
        ("method.period", "schedule", "averaging"),
        ("method.own_share", "exchange", "averaging"),
        ("method.pull", "gradient rule", "c-sgd"),
    ],
)
def test_an_option_of_a_part_that_is_not_there(path: str, noun: str, method: str) -> None:
    """Refused in the words that were typed, with a method that has it."""
    with pytest.raises(SpecError) as caught:
        changed(TrialSpec(), {"method": "standard", path: 1})
    assert caught.value.message == f"{path} does nothing: the method has no {noun}."
    assert caught.value.hint == f"Take a method that has it, such as {method}, or leave it out."
