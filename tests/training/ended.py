"""A trial whose networks are trimmed by hand at its end, as an ending would do it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from reprtune.history import Happening
from reprtune.training.chain.chain import Chain
from reprtune.training.export.network import files, from_chain, write
from tests.training import hand_trim
from tests.training.hand_sliced import SmallConvNet, convnet_indices, fill
from tests.training.tiny import finish

KEEP = {"conv1": [0, 2, 3, 5], "conv2": [1, 4], "conv3": [0, 1, 2, 3, 4]}
EXAMPLE = torch.zeros(1, 1, 8, 8)


def trim(run: Chain, *keeps: dict[str, list[int]]) -> None:
    """Each member becomes the network of its `keep`."""
    for member, keep in zip(run.networks.members, keeps, strict=True):
        form = hand_trim.form(**keep)
        model = hand_trim.trimmed(copy.deepcopy(member.model), form, EXAMPLE)
        member.become(model, form)
        told = Happening(kind="end", step=run.networks.step_done, member=member.number)
        run.networks.happenings = (*run.networks.happenings, told)


def small(whole: nn.Module, keep: dict[str, list[int]]) -> nn.Module:
    """The network of the smaller size, sliced by hand from the whole one."""
    kept = [torch.tensor(keep[f"conv{i}"]) for i in (1, 2, 3)]
    model = SmallConvNet(1, [len(rows) for rows in kept], 10, True, set())
    fill(model, whole, convnet_indices(kept, True))
    return model.eval()


def export(run: Chain, folder: Path, **origin: Any) -> Path:
    write(files(from_chain(run, **origin)), folder)
    return folder


def trained_and_trimmed(trial: Any, folder: Path, keep: dict[str, list[int]] | None = None) -> Chain:
    """Exported to `folder`."""
    run = finish(trial)
    trim(run, *[keep or KEEP] * len(run.networks.members))
    export(run, folder)
    return run
