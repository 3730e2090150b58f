"""The rule for gradients and the whole method of docs/parts.md, as they stand there."""

from __future__ import annotations

import pytest
import torch

from reprtune.spec.edit import changed
from reprtune.spec.parts.members import Gradient
from reprtune.spec.trial import TrialSpec
from reprtune.states.store import StateStore
from reprtune.training.parts.behaviour import behaviour
from studies.load import load
from tests.training.own_code import Folder
from tests.training.parts_page import commands, folder, page, settings
from tests.training.tiny import SPEC, finish, names, spec

__all__ = ["folder", "page"]

CHANGE = "python:my_gradient.py:change"


def typed() -> TrialSpec:
    """The tiny trial with what the command of the page sets."""
    (command,) = commands([f"method.gradient={CHANGE}"])
    return changed(SPEC, {"method": "standard", **settings(command)})


def test_the_method_is_short(page: Folder) -> None:
    """Under 30 lines of composition and study, the imports left out."""
    text = (page.path / "my_method.py").read_text().splitlines()
    assert len([line for line in text if line and not line.startswith(("from ", "# "))]) < 30


@pytest.mark.usefixtures("page")
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_the_rule_takes_the_mean_away(share: float) -> None:
    """By hand: the rows of kernels and linear layers lose the share of their mean, a vector stays."""
    gradients = {
        "conv": torch.tensor([[1.0, 3.0], [0.0, 10.0]]).reshape(2, 2, 1, 1),
        "fc": torch.tensor([[2.0, 4.0, 6.0]]),
        "bias": torch.tensor([5.0, 7.0]),
    }
    rule = behaviour(Gradient.read({"kind": CHANGE, "share": share}, "method.gradient"))
    assert rule(None, gradients) is None
    assert gradients["conv"].flatten().tolist() == [1 - 2 * share, 3 - 2 * share, -5 * share, 10 - 5 * share]
    assert gradients["fc"].tolist() == [[2 - 4 * share, 4 - 4 * share, 6 - 4 * share]]
    assert gradients["bias"].tolist() == [5, 7]


@pytest.mark.usefixtures("page")
def test_a_trial_with_the_rule_trains_and_resumes(store: StateStore) -> None:
    """The command of the page; with the share 0 it is plain training, and run again it trains nothing."""
    run = finish(typed(), store)
    assert typed().method.gradient is not None and typed().method.gradient.options() == {"share": 0.5}
    assert not run.diverged and finish(typed(), store).steps_spent == 0
    plain = finish(spec(method="standard"))
    without = finish(changed(typed(), {"method.gradient.share": 0.0}))
    same = plain.networks.model.state_dict()
    assert all(torch.equal(t, same[name]) for name, t in without.networks.model.state_dict().items())
    assert not torch.equal(run.networks.model.state_dict()["conv1.weight"], same["conv1.weight"])


@pytest.mark.usefixtures("page")
def test_the_method_of_the_page_is_made_of_own_and_shipped_parts(store: StateStore) -> None:
    """Four arms of one length, which train; the last is held against each of the others."""
    study = load("my_method.py")
    cells = {arm: trial for arm, _, trial in study.arm_cells()}
    assert list(cells) == ["standard", "repr", "ungraded", "mine"]
    assert study.arms[-1].against == ("standard", "repr", "ungraded")
    kinds = {place: part.name for place, part in cells["mine"].method.parts()}
    assert kinds == {
        "schedule": "cycles", "criterion": "python:my_criterion.py:score", "selection": "share", "drop": "exact",
        "restore": "python:my_restore.py:restore", "gradient": CHANGE,
    }  # fmt: skip
    tiny = {"task": SPEC.task, "model": SPEC.model, "training": SPEC.training,
            "method.s1": "1ep", "method.s2": "1ep"}  # fmt: skip
    run = finish(changed(cells["mine"], tiny), store)
    assert len(run.history.drops) == 2 and not run.diverged
    assert finish(changed(cells["mine"], tiny), store).steps_spent == 0
    ungraded = names(changed(cells["ungraded"], tiny))
    assert not set(ungraded) & set(run.names)
    assert set(ungraded) & set(names(changed(cells["repr"], tiny)))
