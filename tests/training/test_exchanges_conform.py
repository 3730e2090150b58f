"""What every exchange of the catalog must keep, on networks of several shapes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from reprtune.spec.parts.members import Average, Exchange, Internal, Noise, Ring
from reprtune.training.parts.behaviour import behaviour
from reprtune.training.surgery.preceding import entries
from tests.training.exchanging import EveryNorm, apply, context_of, copies, differing, members_of, networks
from tests.training.small_net import SmallNet

WEAK = 1e9  # every filter is
RULES: dict[str, Exchange] = {
    "average": Average(),
    "ring": Ring(),
    "ring l1": Ring(blend_by="l1"),
    "ring constant": Ring(blend_by="constant"),
    "ring rounded": Ring(blend_rounded=True),
    "ring filter": Ring(blend_level="filter"),
    "internal": Internal(weak_below=WEAK),
    "noise": Noise(weak_below=WEAK),
}
BETWEEN = [name for name, rule in RULES.items() if isinstance(rule, (Average, Ring))]
each_rule = pytest.mark.parametrize("name", RULES)
each_between = pytest.mark.parametrize("name", BETWEEN)


def kind_for(name: str) -> type[nn.Module]:
    return EveryNorm if name == "ring filter" else SmallNet


def test_every_exchange_is_here() -> None:
    """Each kind of the catalog."""
    assert {type(rule) for rule in RULES.values()} == {*Exchange.kinds}


@each_rule
@pytest.mark.parametrize("n", [2, 3, 5])
def test_it_changes_what_is_there(name: str, n: int) -> None:
    """In place: the networks' own tensors, of the same shapes and types, all finite, and returns nothing."""
    models = networks(n, kind_for(name))
    members = members_of(models)
    places = [{key: (t.data_ptr(), t.shape, t.dtype) for key, t in member.items()} for member in members]
    before = copies(members)
    assert behaviour(RULES[name])(members, context_of(models[0])) is None
    assert [{k: (t.data_ptr(), t.shape, t.dtype) for k, t in m.items()} for m in members] == places
    assert all(t.isfinite().all() for member in members for t in member.values())
    for model, old in zip(models, before, strict=True):
        assert differing(entries(model), old)


@each_rule
def test_it_is_repeatable_and_draws_from_nobody(name: str) -> None:
    """The same bits again, whatever torch's own generator has drawn; which is as it was afterwards."""
    ends = []
    for _ in range(2):
        models = networks(3, kind_for(name))
        torch.rand(3)
        rng = torch.get_rng_state()
        apply(RULES[name], models, number=2)
        assert torch.equal(rng, torch.get_rng_state())
        ends.append(members_of(models))
    assert not any(differing(one, other) for one, other in zip(*ends, strict=True))


@each_rule
def test_gradients_and_modes_stay(name: str) -> None:
    """And no parameter learns of it."""
    models = networks(2, kind_for(name))
    for parameter in models[0].parameters():
        parameter.grad = torch.full_like(parameter, 7)
    models[0].eval()
    apply(RULES[name], models)
    assert all((p.grad == 7).all() and p.grad_fn is None and p.requires_grad for p in models[0].parameters())
    assert not models[0].training and models[1].training


@each_between
@pytest.mark.parametrize("n", [2, 3, 5])
def test_members_that_were_equal_stay_equal(name: str, n: int) -> None:
    """To each other bit for bit, and within rounding to what they were; counts stay as they are."""
    models = networks(n, kind_for(name))
    for model in models[1:]:
        model.load_state_dict(models[0].state_dict())
    before = apply(RULES[name], models)[0]
    for member in members_of(models):
        assert not differing(member, entries(models[0]))
        for key, tensor in member.items():
            torch.testing.assert_close(tensor, before[key], rtol=3e-7, atol=0)
            assert tensor.is_floating_point() or torch.equal(tensor, before[key])


@each_between
def test_two_members_are_equal_afterwards(name: str) -> None:
    """Bit for bit in every entry, for their shares add up to 1 and a sum does not depend on its order."""
    if name == "average":
        assert RULES[name] == Average(own_share=0.5)
    models = networks(2, kind_for(name))
    apply(RULES[name], models)
    assert not differing(*members_of(models))


@each_between
def test_every_entry_is_blended(name: str) -> None:
    """Convolutions, biases, BatchNorm's scale, shift, statistics and count, linear layers."""
    models = networks(3, kind_for(name))
    before = apply(RULES[name], models)
    for model, old in zip(models, before, strict=True):
        assert differing(entries(model), old) == {*old}


@pytest.mark.parametrize("name", ["internal", "noise"])
def test_within_a_network_members_do_not_meet(name: str) -> None:
    """Each is what it would be alone, and of it only the weights of convolutions change; nothing where no filter
    is weak, which is the null."""
    for number in (0, 1):
        together, alone = networks(2), [networks(2)[0]]
        before = apply(RULES[name], together, number)
        apply(RULES[name], alone, number)
        assert not differing(entries(together[0]), entries(alone[0]))
        changed = differing(entries(together[1]), before[1])
        assert changed == {"conv1.weight", "conv2.weight", "conv3.weight"}
    untouched = networks(2)
    before = apply(type(RULES[name])(weak_below=0.0), untouched)  # type: ignore[call-arg]
    assert not any(differing(entries(m), old) for m, old in zip(untouched, before, strict=True))
