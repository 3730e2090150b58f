"""The text of `load.py`, which goes with an exported network (see export)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reprtune.importing import PREFIX
from reprtune.spec import catalog
from reprtune.spec.objectives import ERROR
from reprtune.spec.task import ModelSpec
from reprtune.training.surgery.forms import Form

SCRIPT = '''"""Loads the network beside this file. Needs {needs}."""

import json
from pathlib import Path

import torch

FOLDER = Path(__file__).resolve().parent
ABOUT = json.loads((FOLDER / "description.json").read_text())


def load():
{load}


def normalise(pixels):
    """Images as `load()` wants them, float32 {shape}, from pixels 0 to 255."""
    mean, std = (torch.tensor(ABOUT[key]).reshape(1, -1, 1, 1) for key in ("mean", "std"))
    return (pixels.float() / 255 - mean) / std


if __name__ == "__main__":
    logits = load()(torch.zeros(1, *ABOUT["input_shape"]))
    said = f"validation error {{ABOUT['{error}']}}, logits {{tuple(logits.shape)}}"
    print(f"{{ABOUT['what']}}, {{said}}")
'''
FROM_PROGRAM = '''    """The network in evaluation mode: normalised images -> logits."""
    return torch.export.load(FOLDER / "network.pt2").module()'''
FROM_CODE = '''    """The network in evaluation mode: normalised images -> logits.

    Needs the code that the network was built with: torch.export could not write it
    (description.json says why).
    """
{build}
    network.load_state_dict(torch.load(FOLDER / "weights.pt", weights_only=True))
    return network.eval()'''
BY_REPRTUNE = """    from reprtune.spec.codec import from_plain
    from reprtune.spec.task import ModelSpec
    from reprtune.training.models import build_model

    model = from_plain(ModelSpec, ABOUT["spec"]["model"])
    network = build_model(model, {channels}, ({height}, {width}), {n_classes}, seed=0)"""
BY_FACTORY = """    from {where} import {factory}

    network = {factory}({channels}, ({height}, {width}), {n_classes})"""
BY_FILE = """    import runpy
    import sys

    sys.path.insert(0, {folder!r})
    {factory} = runpy.run_path({where!r})[{factory!r}]
    network = {factory}({channels}, ({height}, {width}), {n_classes})"""
IN_FORM = """
    from reprtune.training.surgery.forms import all_reformed

    network = all_reformed(network, ABOUT["forms"], torch.zeros(1, *ABOUT["input_shape"]))"""


def load_script(
    model: ModelSpec,
    forms: Sequence[Form],
    input_shape: tuple[int, int, int],
    n_classes: int,
    why: str | None,
) -> str:
    """The script.

    Args:
        forms: of the network's structure. input_shape: C, H, W.
        why: torch.export could not write the network; None = it could.
    """
    channels, height, width = input_shape
    load, needs = FROM_PROGRAM, "torch and nothing else"
    if why is not None:
        is_users = model.name.startswith(PREFIX)
        needs = "torch and the code of the network" if is_users else "torch and reprtune"
        if is_users and forms:
            needs = "torch, reprtune and the code of the network"
        where, _, factory = catalog.argument("models", model.name).rpartition(":")
        form = BY_REPRTUNE if not is_users else BY_FILE if where.endswith(".py") else BY_FACTORY
        build = (form + (IN_FORM if forms else "")).format(
            where=where, folder=str(Path(where).parent), factory=factory,
            channels=channels, height=height, width=width, n_classes=n_classes,
        )  # fmt: skip
        load = FROM_CODE.format(build=build)
    shape = f"N x {channels} x {height} x {width}"
    return SCRIPT.format(load=load, needs=needs, shape=shape, error=ERROR)
