"""Parts of a person's own: options by keyword-only arguments, what they return checked, all else left alone."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from reprtune.errors import PartError, SpecError
from reprtune.spec.parts.criteria import L2, Criterion
from reprtune.spec.parts.losses import LossTerm
from reprtune.spec.parts.members import Average, Gradient
from reprtune.spec.parts.restores import Old, Restore
from reprtune.training.parts import behaviour as behaviour_module
from reprtune.training.parts.behaviour import behaviour, module_of
from reprtune.training.parts.criteria import ScoreContext, score_filters
from reprtune.training.parts.overlaps import detached
from reprtune.training.parts.restores import Restored, RuleContext, restore_filters
from reprtune.training.surgery.subnetwork import SubNetwork
from tests.training.own_code import Folder, folder
from tests.training.small_net import LAYERS, context, network

__all__ = ["folder"]

NAME = "python:part.py:f"
NORM = """import torch

def f(filters, context):
    norms = {name: w.double().flatten(1).norm(dim=1) for name, w in filters.items()}
    return {name: -norm / norm.mean() for name, norm in norms.items()}
"""


def criterion(folder: Folder, text: str, **options: Any) -> Callable[..., Any]:
    folder.write("part.py", text)
    return behaviour(Criterion.read({"kind": NAME, **options}, "method.criterion"))


def scored(folder: Folder, body: str, net: SubNetwork | None = None) -> dict[str, Tensor]:
    """Scores of the small network by `body`, statements that end in a return."""
    net = net or network()
    return criterion(folder, f"import torch\n\ndef f(filters, context):\n    {body}\n")(
        detached(net), context(net)
    )


def restored(folder: Folder, returned: str, seed: int = 0) -> Restored:
    """New weights of filters 1 and 3 of a layer of 4, whose weights are 0, 1, 2, ..."""
    folder.write("part.py", "import torch\nfrom reprtune.training.parts.restores import Restored\n\n"
                 f"def f(weight, dropped, context, *, size=1.0):\n    return {returned}\n")  # fmt: skip
    weight = torch.arange(4 * 3 * 2 * 2).reshape(4, 3, 2, 2).float()
    dropped = torch.tensor([False, True, False, True])
    rules = RuleContext(torch.Generator().manual_seed(seed), lambda: weight + 100)
    found = restore_filters(Restore.read(NAME, "method.restore"), weight, dropped, rules)
    assert torch.equal(weight.flatten(), torch.arange(48.0))
    return found


# -- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize("future", ["", "from __future__ import annotations\n"])
@pytest.mark.parametrize(
    ("kind", "value", "got"),
    [
        ("float", 2, 2.0), ("float", 0.5, 0.5), ("int", 2, 2), ("bool", True, True), ("str", "a", "a"),
        ("", [1, "a"], [1, "a"]), ("object", None, None), ("list[int]", ["a"], ["a"]),
    ],
)  # fmt: skip
def test_options_are_keyword_only_arguments(
    folder: Folder, future: str, kind: str, value: Any, got: Any
) -> None:
    """Of the type that the annotation says, where that is a number, a text, or true or false; others as given."""
    says = f": {kind}" if kind else ""
    text = f"{future}seen = []\ndef f(filters, context, *, x{says}, y=7):\n    seen.append((x, y))\n    return filters\n"
    call = criterion(folder, text, x=value)
    net = network()
    with pytest.raises(PartError):
        call(detached(net), context(net))  # returns no scores, but has been called
    (seen,) = call.args[1].func.__self__.factory.__globals__["seen"]
    assert seen == (got, 7) and type(seen[0]) is type(got)


@pytest.mark.parametrize(
    ("signature", "options", "message", "hint"),
    [
        ("*, power: float = 1", {"power": "x"}, "method.criterion.power must be a number, but got 'x'.", ""),
        ("*, power: float = 1", {"power": True}, "method.criterion.power must be a number, but got True.", ""),
        ("*, power: int = 1", {"power": 0.5}, "method.criterion.power must be a whole number, but got 0.5.", ""),
        ("*, power: bool = True", {"power": 1}, "method.criterion.power must be true or false, but got 1.", ""),
        ("*, power: str = ''", {"power": 1}, "method.criterion.power must be a text, but got 1.", ""),
        (
            "*, power=1, scale=1", {"pover": 2},
            f"There is no field method.criterion.pover: {NAME} has the options power, scale.", "Did you mean power?",
        ),
        (
            "", {"power": 2},
            f"There is no field method.criterion.power: {NAME} has no options (they are keyword-only arguments).",
            "Leave it out.",
        ),
        ("power=1", {"power": 2}, f"There is no field method.criterion.power: {NAME} has no options", "Leave it"),
        ("**more", {"power": 2}, f"There is no field method.criterion.power: {NAME} has no options", "Leave it"),
        (
            "*, power, scale=1", {"scale": 2}, f"{NAME} needs the option power, which has no default.",
            "method.criterion.power=1",
        ),
    ],
)  # fmt: skip
def test_other_options_are_refused_before_anything_runs(
    folder: Folder, signature: str, options: dict[str, Any], message: str, hint: str
) -> None:
    """With the words of the options of our own parts."""
    text = f"def f(filters, context, {signature}):\n    return {{}}\n"
    with pytest.raises(SpecError) as error:
        criterion(folder, text, **options)
    assert error.value.message.startswith(message) and hint in (error.value.hint or "")


@pytest.mark.parametrize("given", ["filters", "", "a, b, c, d", "a, *, context"])
def test_a_part_of_other_arguments_is_refused_before_anything_runs(folder: Folder, given: str) -> None:
    """A criterion is given filters and a context, a restore rule weight, dropped and context."""
    with pytest.raises(
        PartError, match=r"python:part.py:f must take \(filters, context\), but it is \("
    ) as error:
        criterion(folder, f"def f({given}): pass\n")
    assert "after a *" in str(error.value.hint)
    with pytest.raises(
        PartError, match=r"python:part.py:f must take \(weight, dropped, context\), but it is \("
    ):
        behaviour(Restore.read(NAME, "method.restore"))


def test_a_part_that_is_not_there_is_an_error_of_parts(folder: Folder) -> None:
    """Not one of the specification, which may be right elsewhere."""
    with pytest.raises(PartError, match=r"python:absent\.py:f: there is no file"):
        behaviour(Criterion.read("python:absent.py:f", "method.criterion"))


def test_parts_of_ours_have_the_code_that_their_card_names() -> None:
    """With their options, but for those that somebody else sees to."""
    found = behaviour(Average(own_share=0.25))
    assert isinstance(found, functools.partial)
    assert found.func.__module__ == "reprtune.training.parts.exchanges.average"
    assert found.keywords == {"own_share": 0.25}
    assert behaviour(Old(restore_scale="old"), "restore_scale").__name__ == "restore_old"
    assert module_of(L2()) == "reprtune.training.parts.criteria.norm"
    assert module_of(Criterion.read(NAME, "c")) == behaviour_module.OWN_PARTS


# -- criteria -------------------------------------------------------------------------------------


def test_an_own_criterion_scores_as_ours_of_the_same_formula(folder: Folder) -> None:
    """Of the layers that were asked for."""
    net = network()
    filters = {name: w for name, w in detached(net).items() if name != "conv1"}
    folder.write("part.py", NORM)
    found = score_filters(Criterion.read(NAME, "method.criterion"), filters, context(net))
    assert list(found) == ["conv2", "conv3"]
    for name, expected in score_filters(L2(), filters, context(net)).items():
        assert torch.equal(found[name], expected)


def test_scores_become_float64_on_the_cpu(folder: Folder) -> None:
    """Whatever floating point they are of, with or without a graph; layers nobody asked for are left out."""
    found = scored(folder, "return {n: torch.ones(len(w)) for n, w in context.network.parameters.items()}"
                   " | {n: torch.arange(len(w)).bfloat16().requires_grad_() for n, w in filters.items()}")  # fmt: skip
    assert list(found) == list(LAYERS)
    for name, scores in found.items():
        assert scores.tolist() == list(range(LAYERS[name]))
        assert scores.dtype == torch.float64 and not scores.requires_grad


def test_infinite_scores_are_welcome(folder: Folder) -> None:
    """The first and the last to go."""
    found = scored(folder, "return {n: torch.full((len(w),), float('inf')) for n, w in filters.items()}")
    assert all(scores.isposinf().all() for scores in found.values())


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return None", "must return scores by layer, but returned a NoneType"),
        ("return [torch.ones(len(w)) for w in filters.values()]", "must return scores by layer, but returned a list"),
        ("return {}", "must score every layer it is given, but leaves out conv1"),
        ("return {'conv1': torch.ones(5)}", "must score every layer it is given, but leaves out conv2"),
        ("return {n: [1.0] * len(w) for n, w in filters.items()}", "scores for conv1 as a tensor, but returned a list"),
        ("return {n: 1.0 for n in filters}", "scores for conv1 as a tensor, but returned a float"),
        ("return {n: w.flatten(1).norm(dim=1).detach().numpy() for n, w in filters.items()}", "conv1 as a tensor, but returned a ndarray"),
        ("return {n: torch.arange(len(w)) for n, w in filters.items()}", "conv1 in floating point, but returned torch.int64"),
        ("return {n: torch.ones(len(w)).cfloat() for n, w in filters.items()}", "conv1 in floating point, but returned torch.complex64"),
        ("return {n: w.flatten(1).norm(dim=1) for n, w in filters.items()} | {'conv2': torch.ones(3)}", "scores for conv2 of the shape 4, but returned 3"),
        ("return {n: torch.ones(len(w), 1) for n, w in filters.items()}", "scores for conv1 of the shape 5, but returned 5 x 1"),
        ("return {n: w.sum() for n, w in filters.items()}", "scores for conv1 of the shape 5, but returned a single number"),
        (
            "return {n: torch.ones(len(w)) for n, w in filters.items()} | {'conv3': torch.tensor([0, 1, 0, 2.]) / 0 * 0}",
            "must return numbers, but of the 4 scores of conv3 4 are NaN",
        ),
    ],
)  # fmt: skip
def test_what_is_no_score_is_named_with_its_layer(folder: Folder, body: str, message: str) -> None:
    """And with the part, what was wrong, and what was meant."""
    with pytest.raises(PartError) as error:
        scored(folder, body)
    assert error.value.message.startswith(f"{NAME} must ") and message in error.value.message
    assert error.value.hint


def test_an_own_criterion_sees_the_network_as_it_is_used(folder: Folder) -> None:
    """In evaluation mode, whatever it was in, and without gradients of before; it may do what it likes with
    gradients and torch's default generator. Afterwards all is as it was."""
    net = network()
    first, *others = net.parameters.values()
    first.grad = torch.full_like(first, 7)
    state, modes = copy.deepcopy(net.model.state_dict()), [m.training for m in net.model.modules()]
    rng = torch.get_rng_state()
    body = """model = context.network.model
    assert not any(m.training for m in model.modules()) and all(p.grad is None for p in model.parameters())
    for x, y in context.batches():
        torch.nn.functional.cross_entropy(context.network.forward(x), y).backward()
    grads = {n: context.network.parameters[f"{n}.weight"].grad for n in filters}
    return {n: -(w * grads[n]).flatten(1).sum(1).abs() + torch.rand(len(w)) for n, w in filters.items()}"""
    found = scored(folder, body, net)
    assert all(len(scores.unique()) == LAYERS[name] for name, scores in found.items())
    assert modes == [m.training for m in net.model.modules()] and {True, False} == set(modes)
    assert all(torch.equal(state[name], tensor) for name, tensor in net.model.state_dict().items())
    assert (first.grad == 7).all() and all(p.grad is None for p in others)
    assert torch.equal(rng, torch.get_rng_state())


def test_all_is_as_it_was_after_an_error_too(folder: Folder) -> None:
    """Modes, gradients and the generator."""
    net, rng = network(), torch.get_rng_state()
    with pytest.raises(PartError, match="ZeroDivisionError"):
        scored(folder, "torch.rand(3); 1 / 0", net)
    assert net.model.training and torch.equal(rng, torch.get_rng_state())


def test_draws_depend_on_the_trial_the_member_and_the_cycle(folder: Folder) -> None:
    """And on nothing else, so that a resumed trial draws the same."""
    call = criterion(
        folder,
        "import torch\ndef f(filters, context):\n    return {n: torch.rand(len(w)) for n, w in filters.items()}\n",
    )
    net = network()

    def draw(seed: int, cycle: int, member: int) -> list[float]:
        torch.rand(7)
        return call(detached(net), ScoreContext(seed, cycle, net, list, member))["conv1"].tolist()

    cases = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    draws = [draw(*case) for case in cases]
    assert draws == [draw(*case) for case in cases] and len({tuple(d) for d in draws}) == 4


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        ("filters['conv2'].mul_(2)", "conv2.weight"),
        ("filters['conv1'][0] = 0", "conv1.weight"),
        ("with torch.no_grad(): context.network.parameters['fc.bias'].zero_()", "fc.bias"),
        (
            "context.network.model.train(); context.network.forward(next(iter(context.batches()))[0])",
            "bn1.running_mean, bn1.running_var, bn1.num_batches_tracked, bn3.running_mean, bn3",
        ),
    ],
)  # fmt: skip
def test_a_criterion_that_changes_the_network_is_refused(folder: Folder, body: str, changed: str) -> None:
    """Weights and statistics; torch counts how often each was written."""
    end = "\n    return {n: torch.ones(len(w)) for n, w in filters.items()}"
    with pytest.raises(PartError, match="must only look, but it changed") as error:
        scored(folder, body + end)
    assert changed in error.value.message and NAME in error.value.message


# -- restore rules --------------------------------------------------------------------------------


def test_a_restore_rule_may_return_a_plain_tensor(folder: Folder) -> None:
    """The new weights in the order of the layer, in its dtype; their level is "own". It is given the layer,
    who was dropped, and the context."""
    found = restored(folder, "weight[dropped].double() + context.initial()[dropped]")
    assert found.levels == ("own", "own") and found.weight.dtype == torch.float32
    assert found.weight.flatten().tolist() == [2 * x + 100.0 for x in (*range(12, 24), *range(36, 48))]


def test_a_restore_rule_may_return_levels(folder: Folder) -> None:
    """As ours do."""
    found = restored(folder, "Restored(0 * weight[dropped], ['good', 'bad'])")
    assert found.levels == ("good", "bad") and not found.weight.any()


def test_draws_of_a_restore_rule_are_of_its_generator(folder: Folder) -> None:
    """Also those of torch's default generator, which is as it was afterwards."""
    rng = torch.get_rng_state()
    own = "torch.randn(weight[dropped].shape)"
    draws = [restored(folder, own, seed).weight for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert torch.equal(rng, torch.get_rng_state())


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("None", "must return weights as a tensor, but returned a NoneType"),
        ("[weight[1], weight[3]]", "must return weights as a tensor, but returned a list"),
        ("weight.clone()", "must return weights of the shape 2 x 3 x 2 x 2, but returned 4 x 3 x 2 x 2"),
        ("weight[dropped].flatten(1)", "must return weights of the shape 2 x 3 x 2 x 2, but returned 2 x 12"),
        ("weight[dropped].int()", "must return weights in floating point, but returned torch.int32"),
        ("weight[dropped] / 0", "must return finite weights, but 24 of 24 are NaN or infinite in torch.float32"),
        ("weight[dropped].double() * 1e300", "must return finite weights, but 24 of 24 are NaN or infinite"),
        ("Restored(weight[dropped], ('a',))", "must return a level, a text, for each of 2 filters, but returned ('a',)"),
        ("Restored(weight[dropped], (1, 2))", "must return a level, a text, for each of 2 filters, but returned (1, 2)"),
        ("Restored(None, ('a', 'b'))", "must return weights as a tensor, but returned a NoneType"),
        ("weight.mul_(1)[dropped]", "must only look, but it changed the layer's weight"),
    ],
)  # fmt: skip
def test_what_is_no_weight_is_named(folder: Folder, returned: str, message: str) -> None:
    """With the part, what was wrong, and what was meant."""
    with pytest.raises(PartError) as error:
        restored(folder, returned)
    assert error.value.message.startswith(f"{NAME} must ") and message in error.value.message
    assert error.value.hint


# -- gradient rules -------------------------------------------------------------------------------


def gradient_rule(folder: Folder, signature: str, body: str, **options: Any) -> Callable[..., Any]:
    folder.write("part.py", f"def f({signature}):\n    {body}\n")
    return behaviour(Gradient.read({"kind": NAME, **options}, "method.gradient"))


def test_a_gradient_rule_changes_gradients_in_place(folder: Folder) -> None:
    """With its options, and returns nothing."""
    gradients = {"conv": torch.tensor([1.0, 2.0])}
    rule = gradient_rule(folder, "network, gradients, *, share=0.5", "gradients['conv'].mul_(share)", share=3)
    assert rule(network(), gradients) is None
    assert gradients["conv"].tolist() == [3, 6]


@pytest.mark.parametrize(
    ("returned", "got"), [("gradients", "dict"), ("gradients['conv'] / 2", "Tensor"), ("False", "bool")]
)
def test_a_gradient_rule_that_returns_something_is_refused(folder: Folder, returned: str, got: str) -> None:
    """What it returns would be lost."""
    rule = gradient_rule(folder, "network, gradients", f"return {returned}")
    with pytest.raises(PartError) as caught:
        rule(network(), {"conv": torch.ones(2)})
    assert caught.value.message == f"{NAME} must return nothing, but returned a {got}."
    assert "in place" in (caught.value.hint or "")


def test_a_gradient_rule_takes_what_its_place_gives(folder: Folder) -> None:
    """Refused before it is called; and so is an option that it has not."""
    with pytest.raises(PartError, match=r"must take \(network, gradients\), but it is \(gradients\)"):
        gradient_rule(folder, "gradients", "pass")
    folder.forget()
    with pytest.raises(SpecError, match=r"no field method\.gradient\.shar: .* has the options share"):
        gradient_rule(folder, "network, gradients, *, share=0.5", "pass", shar=1)


# -- losses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("returned", "got"),
    [
        ("1.0", "a float"), ("None", "a NoneType"), ("logits", "torch.float32 of shape (2, 3)"),
        ("labels.sum()", "torch.int64 of shape ()"), ("logits.sum(1)", "torch.float32 of shape (2,)"),
    ],
)  # fmt: skip
def test_what_a_loss_returns_is_checked(folder: Folder, returned: str, got: str) -> None:
    """One floating-point number, as a tensor."""
    folder.write("part.py", f"def f(logits, labels, images, network, *, a=1.0):\n    return {returned}\n")
    call = behaviour(LossTerm.read({"kind": NAME, "a": 2}, "method.losses"))
    with pytest.raises(PartError) as caught:
        call(torch.ones(2, 3), torch.zeros(2, dtype=torch.int64), torch.ones(2, 1, 4, 4), network())
    assert caught.value.message == (
        f"{NAME} must return one floating-point number as a tensor, but returned {got}."
    )


def test_a_loss_takes_what_its_place_gives(folder: Folder) -> None:
    """Refused before it is called."""
    folder.write("part.py", "def f(logits, labels):\n    return logits.sum()\n")
    with pytest.raises(PartError, match=r"must take \(logits, labels, images, network\)"):
        behaviour(LossTerm.read(NAME, "method.losses"))
