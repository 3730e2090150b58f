"""The place between backward and update: a rule sees the gradients of a step and changes them in place."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from reprtune.training.chain.chain import Chain
from reprtune.training.descent import cuda_graph
from reprtune.training.surgery.subnetwork import SubNetwork
from tests.training.own_code import Folder, folder
from tests.training.recorded import Capture
from tests.training.tiny import LOADED_DATA, assert_same_end, finish, names, spec

__all__ = ["folder"]

RULE = """
def scaled(network, gradients, *, factor: float = 1.0):
    for name, gradient in gradients.items():
        assert gradient.shape == network.parameters[name].shape
        gradient.mul_(factor)
"""
PLAIN = {"method": "standard", "training.momentum": 0.0, "training.weight_decay": 0.0}
HALF = {**PLAIN, "method.gradient": "python:rule.py:scaled", "method.gradient.factor": 0.5}


@pytest.fixture
def rule(folder: Folder) -> Folder:
    folder.write("rule.py", RULE)
    return folder


@pytest.mark.usefixtures("rule")
def test_half_the_gradients_are_half_the_learning_rate() -> None:
    """Bit for bit, for a half is exact: without momentum and decay a step is the rate times the gradient."""
    assert_same_weights(finish(spec(**HALF)), finish(spec(**PLAIN, **{"training.lr": 0.025})))


@pytest.mark.usefixtures("rule")
def test_a_rule_is_part_of_a_captured_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replayed with the rest: the captured trial is the eager one."""
    eager = finish(spec(**HALF))
    monkeypatch.setattr(cuda_graph, "why_eager", lambda *_: None)
    monkeypatch.setattr(cuda_graph, "capture_on_cuda", capture := Capture())
    captured = finish(spec(**HALF))
    assert capture.n_captures == 1
    assert_same_end(captured, eager)


@pytest.mark.usefixtures("rule")
def test_a_rule_sees_the_gradients_of_the_loss_itself() -> None:
    """Also in fp16, whose loss is scaled by 65,536 before the backward pass."""
    seen: list[float] = []

    def see(_: SubNetwork, gradients: dict[str, Tensor]) -> None:
        seen.append(max(float(g.abs().max()) for g in gradients.values()))

    run = Chain(spec(**{**PLAIN, "training.precision": "fp16"}), LOADED_DATA)
    run.networks.step.rule = see
    run.networks.batches.start_epoch(torch.Generator().manual_seed(0))
    run.networks.step(*run.networks.batches.batch(0))
    assert 0 < seen[0] < 10


def test_a_rule_is_in_the_name_of_every_state(rule: Folder) -> None:
    """Its options and its code are; a comment in its file is not."""
    before, other = names(spec(**HALF)), names(spec(**{**HALF, "method.gradient.factor": 0.25}))
    assert not set(before) & set(other) and not set(before) & set(names(spec(**PLAIN)))
    rule.write("rule.py", RULE + "# more\n")
    rule.forget()
    assert names(spec(**HALF)) == before
    rule.write("rule.py", RULE.replace("mul_", "div_"))
    rule.forget()
    assert not set(names(spec(**HALF))) & set(before)


def assert_same_weights(one: Chain, other: Chain) -> None:
    a, b = ({**run.networks.model.state_dict()} for run in (one, other))
    assert a.keys() == b.keys()
    assert all(torch.equal(tensor, b[name]) for name, tensor in a.items())
