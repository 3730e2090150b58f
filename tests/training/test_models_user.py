"""A person's own network: built, checked in both modes, trained and resumed like ours."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from reprtune.errors import ModelError
from reprtune.spec.task import ModelSpec
from reprtune.states.store import StateStore
from reprtune.training.chain.chain import Chain
from reprtune.training.models import build_model
from tests.conftest import ROOT
from tests.training.own_code import Folder, folder
from tests.training.tiny import LOADED_DATA, assert_same_end, finish, names, spec

__all__ = ["folder"]

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, c, n):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(c, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Conv2d(4, 4, 3),
        )
        self.fc = nn.Linear(4, n)
    def forward(self, x):
        return self.fc(self.body(x).mean((2, 3)))

def make(in_channels, input_size, n_classes):
    return Net(in_channels, n_classes)
"""
SPEC = ModelSpec(name="python:nets:make")


def build(seed: int = 0, size: int = 8) -> torch.nn.Module:
    return build_model(SPEC, 1, (size, size), 5, seed)


def write(folder: Folder, forward: str, make: str = "return Net(in_channels, n_classes)") -> None:
    text = NET.replace("return self.fc(self.body(x).mean((2, 3)))", forward)
    folder.write("nets.py", text.replace("return Net(in_channels, n_classes)", make))


def test_the_network_is_the_factorys(folder: Folder) -> None:
    """Channels-last, from the trial's seed alone, and untouched by being tried: in training mode, with
    BatchNorm's statistics at their beginning."""
    folder.write("nets.py", NET)
    model, again, other = build(), build(), build(seed=1)
    assert type(model).__name__ == "Net" and all(m.training for m in model.modules())
    weight = model.get_parameter("body.0.weight")
    assert weight.shape == (4, 1, 3, 3) and torch.equal(weight, again.get_parameter("body.0.weight"))
    assert not torch.equal(weight, other.get_parameter("body.0.weight"))
    four = model.get_parameter("body.4.weight")
    assert four.is_contiguous(memory_format=torch.channels_last)
    assert not model.get_buffer("body.1.running_mean").any()
    assert int(model.get_buffer("body.1.num_batches_tracked")) == 0


def test_the_factory_is_told_the_images(folder: Folder) -> None:
    """in_channels, (height, width) and n_classes, in this order."""
    write(folder, "return self.fc(self.body(x).mean((2, 3)))",
          "assert (in_channels, input_size, n_classes) == (1, (8, 6), 5); return Net(1, 5)")  # fmt: skip
    assert build_model(SPEC, 1, (8, 6), 5, 0) is not None
    with pytest.raises(ModelError, match=r"failed when called with \(1, \(8, 8\), 5\): AssertionError"):
        build()


@pytest.mark.parametrize("mode", ["training", "evaluation"])
@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("(y, y)", "returns tuple of 2"),
        ("[y]", "returns list of 1"),
        ("{'out': y, 'aux': y}", "returns dict of 2"),
        ("None", "returns NoneType"),
        ("__import__('collections').namedtuple('Out', 'logits aux')(y, y)", "returns Out of 2"),
        ("y[:, :4]", "it makes of 2 images 2 x 4"),
        ("y[:1]", "it makes of 2 images 1 x 5"),
        ("y[:, :, None]", "it makes of 2 images 2 x 5 x 1"),
        ("y.sum()", "it makes of 2 images a single number"),
        ("y > 0", "must return floating-point scores, but in {mode} it returns torch.bool"),
        ("1 / 0", "fails in {mode} on two images of 1 x 8 x 8: ZeroDivisionError"),
    ],
)
def test_other_outputs_are_refused_in_either_mode(folder: Folder, mode: str, value: str, what: str) -> None:
    """Auxiliary heads, other shapes and types, and failures, also where only one mode gives them."""
    sign = "" if mode == "training" else "not "
    write(folder, f"y = self.fc(self.body(x).mean((2, 3))); return ({value}) if {sign}self.training else y")
    text = what.format(mode=mode)
    with pytest.raises(ModelError, match=re.escape(text)) as error:
        build()
    assert f"in {mode}" in error.value.message and "python:nets:make" in error.value.message
    assert error.value.hint


@pytest.mark.parametrize(
    ("value", "kind"), [("None", "NoneType"), ("Net", "type"), ("lambda x: x", "function")]
)
def test_what_is_no_network_is_refused(folder: Folder, value: str, kind: str) -> None:
    """A factory that forgets to return, or returns the class."""
    write(folder, "pass", f"return {value}")
    with pytest.raises(ModelError, match=f"must return a torch.nn.Module, but returned {kind}"):
        build()


def test_the_code_is_in_the_names_of_states(folder: Folder) -> None:
    """Other code, another first name and all others; a comment renames nothing."""
    trial = spec(model={"name": SPEC.name})
    folder.write("nets.py", NET)
    before = names(trial)
    folder.forget()
    assert names(trial) == before
    folder.forget()
    folder.write("nets.py", f"'A network.'\n{NET}# changed\n")
    assert names(trial) == before
    folder.forget()
    folder.write("nets.py", NET.replace("0.2", "0.3"))
    assert not set(names(trial)) & set(before)


def test_an_own_network_resumes_exactly(folder: Folder, store: StateStore) -> None:
    """Dropout included: stopped after three segments or events and continued, it ends in the same bits."""
    folder.write("nets.py", NET)
    trial = spec(model={"name": SPEC.name})
    run = Chain(trial, LOADED_DATA, store)
    updates: Any = iter(run)
    for _ in range(3):
        next(updates)
    updates.close()
    assert run.networks.filters.layers == {"body.0": 4, "body.4": 4}
    assert_same_end(finish(trial, store), finish(trial))


def test_the_example_of_the_documentation_trains(folder: Folder) -> None:
    """The network and the data set that docs/networks.md shows, as they stand there."""
    text = (ROOT / "docs" / "networks.md").read_text()
    blocks = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", text, re.DOTALL)
    assert [name for name, _ in blocks] == ["mynet.py", "mydata.py"]
    for name, block in blocks:
        folder.write(name, block)
    trial = spec(
        model={"name": "python:mynet:make"}, task={"dataset": "python:mydata:load"}, training__total="3ep",
        method__cycles=1,
    )  # fmt: skip
    run = finish(trial)
    assert run.networks.drops and run.networks.restores
