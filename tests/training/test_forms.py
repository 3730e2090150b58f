"""Forms: a network of another structure than its specification builds."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from torch import nn

from reprtune.errors import ModelError
from reprtune.spec.task import ModelSpec
from reprtune.training.models import build_model
from reprtune.training.platform.sources import file_of
from reprtune.training.surgery import forms
from reprtune.training.surgery.filters import find_filters
from reprtune.training.surgery.forms import all_reformed, reformed
from tests.training import hand_trim
from tests.training.hand_sliced import SmallConvNet, convnet_indices, fill

EXAMPLE = torch.zeros(1, 1, 8, 8)


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    hand_trim.register(monkeypatch)


def convnet(seed: int = 0) -> nn.Module:
    return build_model(ModelSpec(width=6), 1, (8, 8), 10, seed)


def test_forms_are_applied_in_their_order() -> None:
    """Each to the network of the one before: filters 1, 3, 5 and of those the last two are filters 3 and 5; the
    numbers are those that stood there."""
    steps = [hand_trim.form(conv1=[1, 3, 5]), hand_trim.form(conv1=[1, 2], conv2=[0, 4])]
    found = all_reformed(convnet().eval(), steps, EXAMPLE)
    small = SmallConvNet(1, [2, 2, 6], 10, True, set()).eval()
    kept = [torch.tensor(rows) for rows in ([3, 5], [0, 4], range(6))]
    fill(small, convnet(), convnet_indices(kept, True))
    x = torch.randn(4, 1, 8, 8)
    torch.testing.assert_close(found(x), small(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_stays(training: bool) -> None:
    """A network in training is in training afterwards, in evaluation in evaluation, all modules of it."""
    found = reformed(convnet().train(training), hand_trim.form(conv2=[0]), EXAMPLE)
    assert {module.training for module in found.modules()} == {training}


def test_without_a_form_it_is_the_network_itself() -> None:
    """Nothing is copied."""
    model = convnet()
    assert all_reformed(model, (), EXAMPLE) is model


@pytest.mark.parametrize("form", [{"kind": "hand-trimm"}, {}, "trim", {"kind": 3}, ["hand-trim"]])
def test_what_is_no_form_is_refused(form: Any) -> None:
    """The kinds that are known are named."""
    with pytest.raises(ModelError, match="A form must be a mapping whose kind is known") as caught:
        reformed(convnet(), form, EXAMPLE)
    assert "hand-trim" in str(caught.value.hint)


def test_a_form_of_another_network_is_refused() -> None:
    """It keeps filter 9, of which there is none."""
    with pytest.raises(ModelError, match="form 'hand-trim' does not fit ConvNet") as caught:
        reformed(convnet(), hand_trim.form(conv1=[9]), EXAMPLE)
    assert caught.value.hint


def test_only_what_a_network_has_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The modules of its own forms, each once, sorted; all of them where a study cannot know which."""
    monkeypatch.setitem(forms.STRUCTURES, "a", "somewhere.a:f")
    assert forms.modules([]) == ()
    assert forms.modules([hand_trim.form(), {"kind": "a"}, {"kind": "a"}]) == (
        "somewhere.a", "tests.training.hand_trim",
    )  # fmt: skip
    assert set(forms.all_modules()) >= {"somewhere.a", "tests.training.hand_trim"}


class Halves(nn.Module):
    """A convolution whose code torch.fx cannot follow: it loops over its input."""

    __module__ = "reprtune.training.surgery.somewhere"  # as the layers of forms are

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight = nn.Parameter(conv.weight.detach())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.conv2d(image[None], self.weight, padding=1) for image in x])


def test_layers_of_a_form_are_taken_whole() -> None:
    """Their code is not followed: what they read stays whole, all before it can be dropped, and their cost counts."""
    model = convnet()
    before = find_filters(model, EXAMPLE)
    model.conv3 = Halves(model.get_submodule("conv3"))  # type: ignore[arg-type]
    found = find_filters(model, EXAMPLE)
    assert found.layers == {"conv1": 6}
    assert found.kept_out["conv2"] == "its output passes through conv3 (Halves)"
    assert found.macs(torch.ones(6, dtype=torch.bool)) == before.macs(torch.ones(18, dtype=torch.bool))


@pytest.mark.parametrize("kind", sorted(forms.STRUCTURES))
def test_the_code_of_every_kind_is_there(kind: str) -> None:
    """A function of a module of ours, so that it is named where it acts."""
    module, _, name = forms.STRUCTURES[kind].partition(":")
    assert callable(getattr(importlib.import_module(module), name)) and file_of(module) is not None
