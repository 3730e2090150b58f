"""A form made by hand: a convnet without some of its filters, `{"kind": "hand-trim", "keep": {"conv1": [0, 2], ...}}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reprtune.training.models.convnet import ConvNet
from reprtune.training.surgery import forms

KIND = "hand-trim"


def register(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let forms of this kind be known."""
    monkeypatch.setitem(forms.STRUCTURES, KIND, f"{__name__}:trimmed")


def form(**keep: list[int]) -> dict[str, Any]:
    return {"kind": KIND, "keep": keep}


def trimmed(model: nn.Module, form: Mapping[str, Any], example: Tensor) -> nn.Module:
    """The convnet of the filters kept; layers that are not named keep all of theirs."""
    assert isinstance(model, ConvNet)
    before = torch.arange(example.shape[1])
    for i in range(1, model.n_layers + 1):
        conv = model.get_submodule(f"conv{i}")
        assert isinstance(conv, nn.Conv2d)
        rows = torch.tensor(form["keep"].get(f"conv{i}", range(conv.out_channels)))
        small = nn.Conv2d(len(before), len(rows), 3, padding=1, bias=conv.bias is not None)
        small.weight = nn.Parameter(conv.weight.detach()[rows][:, before].clone())
        if conv.bias is not None:
            small.bias = nn.Parameter(conv.bias.detach()[rows].clone())
        setattr(model, f"conv{i}", small)
        if model.batch_norm:
            old, norm = model.get_submodule(f"bn{i}").state_dict(), nn.BatchNorm2d(len(rows))
            norm.load_state_dict({k: v[rows] if v.dim() else v for k, v in old.items()})
            setattr(model, f"bn{i}", norm)
        before = rows
    fc = nn.Linear(len(before), model.fc.out_features)
    fc.load_state_dict({"weight": model.fc.weight.detach()[:, before], "bias": model.fc.bias.detach()})
    model.fc = fc
    return model
