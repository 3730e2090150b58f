"""The parts of docs/parts.md, as they stand there: what they score and restore, and a trial with both."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from reprtune.spec.edit import changed
from reprtune.spec.parts.criteria import L1, Criterion
from reprtune.spec.parts.members import Exchange
from reprtune.spec.parts.restores import Restore
from reprtune.spec.trial import TrialSpec
from reprtune.states.store import StateStore
from reprtune.training.parts.behaviour import behaviour
from reprtune.training.parts.criteria import score_filters
from reprtune.training.parts.overlaps import detached
from reprtune.training.parts.restores import RuleContext, restore_filters
from reprtune.training.parts.schedules import Event
from studies.load import load
from tests.training.exchanging import EveryNorm, context_of, copies, differing, members_of, networks
from tests.training.own_code import Folder
from tests.training.parts_page import commands, folder, page, settings
from tests.training.small_net import context, network
from tests.training.tiny import LOADED_DATA, SPEC, Chain, finish

__all__ = ["folder", "page"]

SCORE, RESTORE = "python:my_criterion.py:score", "python:my_restore.py:restore"
SWAP = "python:my_exchange.py:exchange"
PARTS = ("my_criterion.py", "my_gradient.py", "my_restore.py", "my_exchange.py", "my_loss.py")


def typed(base: TrialSpec = SPEC) -> TrialSpec:
    """A trial with what all `train` commands of the page set, but that between networks."""
    found: dict[str, Any] = {}
    for command in commands(["train", "repr"]):
        found |= settings(command)
    assert len(found) == 6
    return changed(base, found)


@pytest.mark.parametrize("file", PARTS)
def test_a_part_is_short(page: Folder, file: str) -> None:
    """Under 20 lines, the comment with its name included."""
    assert len((page.path / file).read_text().splitlines()) < 20


@pytest.mark.parametrize("power", [1, 2, 0.5])
def test_the_criterion_of_the_page_scores(page: Folder, power: float) -> None:
    """Minus the mean of |w| to the power, over the layer's mean; with the power 1, which is its default, as l1."""
    net = network()
    given = {"kind": SCORE, "power": power} if power != 1 else SCORE
    found = score_filters(Criterion.read(given, "method.criterion"), detached(net), context(net))
    for layer, weight in detached(net).items():
        sizes = [sum(abs(x) ** power for x in row) / len(row) for row in weight.double().flatten(1).tolist()]
        mean = sum(sizes) / len(sizes)
        assert found[layer].tolist() == pytest.approx([-size / mean for size in sizes])
    if power == 1:
        for layer, scores in score_filters(L1(), detached(net), context(net)).items():
            assert torch.allclose(found[layer], scores)


def test_the_criterion_of_the_page_takes_filters_that_are_0(page: Folder) -> None:
    """A layer of them too."""
    net = network()
    filters = {"conv1": torch.zeros(5, 3, 3, 3), "conv2": torch.tensor([0.0, 1, 0, 3]).reshape(4, 1, 1, 1)}
    found = score_filters(Criterion.read(SCORE, "method.criterion"), filters, context(net))
    assert found["conv1"].tolist() == [0] * 5 and found["conv2"].tolist() == [0, -1, 0, -3]


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_the_restore_rule_of_the_page_restores(page: Folder, noise: float) -> None:
    """The mean of the survivors, and normal draws of the context's generator times the share and their spread."""
    weight = torch.tensor([[1.0, 2.0], [7.0, 7.0], [3.0, 6.0], [9.0, 9.0]]).reshape(4, 2, 1, 1)
    dropped = torch.tensor([False, True, False, True])
    rule = Restore.read({"kind": RESTORE, "noise": noise}, "method.restore")
    given = RuleContext(torch.Generator().manual_seed(3), lambda: weight)
    found = restore_filters(rule, weight, dropped, given)
    assert found.levels == ("own", "own")
    new = found.weight.flatten(1)
    expected = torch.tensor([2.0, 4.0]).expand(2, 2)
    if noise == 0:
        assert torch.equal(new, expected)
    else:
        draws = torch.randn(2, 2, 1, 1, generator=torch.Generator().manual_seed(3))
        spread = (14 / 4) ** 0.5  # of 1, 2, 3, 6: mean 3, squares 4 + 1 + 0 + 9
        assert torch.allclose(new, expected + noise * spread * draws.flatten(1))


@pytest.mark.parametrize(("share", "number"), [(0.0, 0), (0.3, 0), (0.3, 1), (0.5, 2), (1.0, 0)])
def test_the_exchange_of_the_page_exchanges(page: Folder, share: float, number: int) -> None:
    """A layer, and all that follows it, is as it was or as that of the member before; of one draw for each."""
    models = networks(3, EveryNorm)
    members, context = members_of(models), context_of(models[0], number)
    before = copies(members)
    behaviour(Exchange.read({"kind": SWAP, "share": share}, "method.exchange"))(members, context)
    for k, member in enumerate(members):
        for layer, following in (("conv1", {"conv1", "bn1"}), ("conv2", {"conv2", "bn2", "hidden", "fc"})):
            taken = bool(torch.rand((), generator=context.generator(k, layer)) < share)
            its = {name: t for name, t in member.items() if name.partition(".")[0] in following}
            assert its and not differing(its, before[k - taken])


def test_a_trial_with_the_exchange_trains_and_resumes(page: Folder, store: StateStore) -> None:
    """The command of the page; run again it trains nothing."""
    (command,) = commands(["averaging"])
    trial = changed(SPEC, {"method": "averaging", **settings(command)})
    run = finish(trial, store)
    assert trial.method.exchange is not None and trial.method.exchange.options() == {"share": 0.3}
    assert len(run.history.exchanges) == 6 and run.history.diverged_at is None
    assert finish(trial, store).steps_spent == 0


def test_the_study_of_the_page_varies_the_option_where_it_exists(page: Folder) -> None:
    """One search over three criteria, one of them with an option of its own."""
    study = load("my_question.py")
    assert set(study.names.values()) == {"prune_ratio", "criterion", "power"}
    for chosen, has in (("ortho", False), (SCORE, True)):
        params = study.draw(lambda name, range_, c=chosen: c if name == "criterion" else range_.ends()[0])
        assert ("power" in params) == has
        assert study.trial(params).method.criterion.name == chosen


def test_the_loss_of_the_page_is_minus_the_entropy(page: Folder) -> None:
    """Of two images with the answers 1/2, 1/2 and 1/4, 3/4, by hand, times the strength."""
    logits = torch.tensor([[0.0, 0.0], [0.0, 3.0]])
    logits[1, 1] = math.log(3)
    (part,) = typed().method.losses
    entropy = (math.log(2) + 0.25 * math.log(4) + 0.75 * math.log(4 / 3)) / 2
    found = behaviour(part)(logits, None, None, None)
    assert float(found) == pytest.approx(-0.2 * entropy)


def test_a_trial_with_all_parts_trains_and_resumes(page: Folder, store: StateStore) -> None:
    """The commands of the page; run again it trains nothing; with another loss every state is another."""
    trial = typed()
    run = finish(trial, store)
    assert trial.method.criterion.options() == {"power": 2} and trial.method.restore.options() == {
        "noise": 0.2
    }
    assert len(run.history.drops) == 2 and run.history.restores
    assert {level for r in run.history.restores for layer in r.levels.values() for level in layer} == {"own"}
    assert finish(trial, store).steps_spent == 0
    other = changed(trial, {"method.losses.strength": 0.1})
    assert not {*run.names} & {*Chain(other, LOADED_DATA).names}


@pytest.mark.parametrize(
    ("file", "old", "new", "kind"),
    [
        ("my_criterion.py", "1e-300", "1e-200", "drop"),
        ("my_restore.py", "correction=0", "correction=1", "restore"),
        ("my_loss.py", "dim=1).mean", "dim=-1).mean", "loss"),
        ("my_loss.py", "Confident answers", "Answers", None),
        ("my_criterion.py", "over the layer's mean", "a comment", None),
        ("my_restore.py", "and noise of", "a docstring", None),
    ],
)
def test_a_changed_part_shares_what_comes_before_it(
    page: Folder, file: str, old: str, new: str, kind: str | None
) -> None:
    """States are named anew from the first event that the part acts in, with a loss all; by a comment or docstring,
    none."""
    before = Chain(typed(), LOADED_DATA)
    page.forget()
    text = (page.path / file).read_text()
    assert old in text
    page.write(file, text.replace(old, new))
    after = Chain(typed(), LOADED_DATA)
    kinds = [item.kind if isinstance(item, Event) else None for item in before.items]
    first = -1 if kind == "loss" else kinds.index(kind) if kind else len(kinds)
    same = [a == b for a, b in zip(before.names, after.names, strict=True)]
    assert same == [i <= first for i in range(len(same))]
