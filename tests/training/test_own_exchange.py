"""An exchange of the person's own: what it is given, its draws, and what it must leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from reprtune.errors import PartError, SpecError
from reprtune.spec.parts.members import Exchange
from reprtune.training.parts.behaviour import behaviour
from tests.training.exchanging import context_of, copies, differing, members_of, networks
from tests.training.own_code import Folder, folder
from tests.training.tiny import spec, trial_networks

__all__ = ["folder"]

NAME = "python:part.py:f"


def rule(folder: Folder, body: str, options: str = "", **given: Any) -> Callable[..., Any]:
    """`def f(members, context)` with that body, one statement a line."""
    lines = "\n    ".join(body.split("; "))
    folder.write("part.py", f"import torch\n\ndef f(members, context{options}):\n    {lines}\n")
    folder.forget()
    return behaviour(Exchange.read({"kind": NAME, **given}, "method.exchange"))


def test_it_changes_members_in_place(folder: Folder) -> None:
    """Given the tensors themselves, the context and its options, without gradients."""
    body = (
        "assert not torch.is_grad_enabled(); "
        "[m[f'{layer}.weight'].mul_(share) for m in members for layer in context.convolutions]"
    )
    models = networks(2)
    before = copies(members_of(models))
    rule(folder, body, ", *, share: float = 2.0", share=4)(members_of(models), context_of(models[0]))
    for member, old in zip(members_of(models), before, strict=True):
        assert differing(member, old) == {"conv1.weight", "conv2.weight", "conv3.weight"}
        assert torch.equal(member["conv2.weight"], 4 * old["conv2.weight"])


def test_its_draws_are_seeded(folder: Folder) -> None:
    """Those of torch's default generator by the trial and the number of the exchange; that is as it was."""
    body = "members[0]['fc.bias'].copy_(torch.rand(5))"

    def drawn(number: int, seed: int) -> list[float]:
        models = networks(1)
        torch.rand(7)
        rng = torch.get_rng_state()
        rule(folder, body)(members_of(models), context_of(models[0], number, seed))
        assert torch.equal(rng, torch.get_rng_state())
        found: list[float] = models[0].get_parameter("fc.bias").tolist()
        return found

    draws = [drawn(0, 1), drawn(1, 1), drawn(0, 2)]
    assert draws == [drawn(0, 1), drawn(1, 1), drawn(0, 2)] and len({tuple(d) for d in draws}) == 3


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return members", "must return nothing, but returned a list."),
        ("members[1]['fc.bias'] = members[0]['fc.bias']", "must change tensors in place, but put another at fc.bias of member 1."),
        ("del members[0]['fc.bias']", "must change tensors in place, but put another at fc.bias of member 0."),
        ("members[0]['fc.bais'] = 1", "must change tensors that are there, but member 0 has no fc.bais."),
        ("members[0]['fc.bias'].div_(0)", "must leave finite numbers, but fc.bias of member 0 holds NaN or infinite ones."),
        ("members[1]['fc.bias'].resize_(7)",
         "must leave shapes and types as they are, but fc.bias of member 1 was (5,) in torch.float32 and is (7,)"),
        ("members[1]['fc.bias'].data = members[1]['fc.bias'].double()",
         "must leave shapes and types as they are, but fc.bias of member 1 was (5,) in torch.float32 and is (5,) in"),
    ],
)  # fmt: skip
def test_what_it_leaves_is_checked(folder: Folder, body: str, message: str) -> None:
    """With the part, the entry and the member."""
    models = networks(2)
    with pytest.raises(PartError) as caught:
        rule(folder, body)(members_of(models), context_of(models[0]))
    assert caught.value.message.startswith(f"{NAME} {message}")


def test_what_was_not_finite_may_stay(folder: Folder) -> None:
    """As masks of minus infinity are."""
    models = networks(1)
    members = members_of(models)
    members[0]["fc.bias"].fill_(-torch.inf)
    rule(folder, "members[0]['conv2.bias'].zero_()")(members, context_of(models[0]))
    assert not members[0]["conv2.bias"].any()


@pytest.mark.parametrize("given", ["members", "", "a, b, c", "a, *, context"])
def test_other_arguments_are_refused_before_anything_is_trained(folder: Folder, given: str) -> None:
    """When the networks of a trial are made."""
    folder.write("part.py", f"def f({given}): pass\n")
    trial = spec(**{"method": "averaging", "method.exchange": NAME})
    with pytest.raises(PartError, match=r"python:part.py:f must take \(members, context\), but it is \("):
        trial_networks(trial)


def test_other_options_are_refused_before_anything_is_trained(folder: Folder) -> None:
    """In the words of our own parts."""
    folder.write("part.py", "def f(members, context, *, share=1): pass\n")
    trial = spec(**{"method": "averaging", "method.exchange": {"kind": NAME, "shar": 1}})
    with pytest.raises(SpecError, match=r"no field method\.exchange\.shar: .* has the options share"):
        trial_networks(trial)


def test_an_exception_of_it_is_told_with_its_line(folder: Folder) -> None:
    """As of every part."""
    models = networks(1)
    with pytest.raises(PartError, match="ZeroDivisionError") as caught:
        rule(folder, "1 / 0")(members_of(models), context_of(models[0]))
    assert "line 4" in str(caught.value.hint)
