"""A trained network that the networks of another trial begin from: the folder that the export command has written.

    weights.pt          its parameters and buffers
    description.json    its specification, the forms of its structure, its images and classes, and what it took

A folder of one network is the beginning of every member of a trial. A folder of several, `member-0`, `member-1`, ...,
is that of a trial of as many members, each of which begins from its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reprtune.errors import SpecError
from reprtune.spec.codec import canonical_json, digest, from_plain
from reprtune.spec.task import ModelSpec
from reprtune.training.export.exported import BROKEN, WEIGHTS, check_images, description, unsaid, wrong
from reprtune.training.models import build_model
from reprtune.training.surgery.forms import Form, all_reformed, check_form, modules

FIELD = "model.weights"
STRUCTURE = [f.name for f in fields(ModelSpec) if f.name != "weights"]  # what a network is built by


@dataclass(frozen=True, eq=False)
class Start:
    """What one network begins from.

    Attributes:
        forms: of its structure, beside what the specification builds. weights: by name, on the CPU.
        digest: hex SHA-256 of both; not of where they lie.
    """

    forms: tuple[Form, ...]
    weights: Mapping[str, Tensor]
    digest: str


@dataclass(frozen=True)
class Inherited:
    """What the members of a trial begin from, for its names and its account.

    Attributes:
        digests: of each member's `Start`. modules: of ours, that make their structures.
        steps: optimizer steps of all networks that were trained for it, in its own trial and in those before.
    """

    digests: tuple[str, ...]
    modules: tuple[str, ...]
    steps: int


@dataclass(frozen=True, eq=False)
class Exported:
    """What a folder holds: the starts of each of its networks, and their steps as in `Inherited`."""

    starts: tuple[Start, ...]
    steps: int

    def of(self, number: int) -> Start:
        """What the member `number` begins from."""
        return self.starts[number if len(self.starts) > 1 else 0]

    def inherited(self, n_members: int) -> Inherited:
        starts = [self.of(number) for number in range(n_members)]
        found = modules([form for start in starts for form in start.forms])
        return Inherited(tuple(start.digest for start in starts), found, self.steps)


def read_weights(
    spec: ModelSpec, input_shape: tuple[int, ...], n_classes: int, n_members: int
) -> Exported | None:
    """The networks that `spec.weights` names; None where it names none.

    Args:
        input_shape: C, H, W. n_members: networks of the trial that is to begin from them.

    Raises:
        SpecError: the folder holds something else; a network of another specification, for other images or
            classes; one that ended with filters dropped; or another number of them.
    """
    if spec.weights is None:
        return None
    folder = Path(spec.weights)
    about = description(FIELD, folder)
    parts = about.get("members")
    folders = [folder] if parts is None else [folder / str(name) for name in parts]
    if len(folders) not in (1, n_members) or not folders:
        raise SpecError(
            f"model.weights must be the folder of one network, or of as many as the trial has ({n_members}), but "
            f"{folder} holds {len(folders)}.",
            f"Name one of them, such as {folders[0] if folders else folder / 'member-0'}, or set "
            f"method.n_members={len(folders)}.",
        )
    for one in folders:
        _check_fits(spec, one, description(FIELD, one), input_shape, n_classes)
    starts = tuple(_start(spec, one, input_shape, n_classes) for one in folders)
    return Exported(starts, _steps(folder, about))


def check_alike(spec: ModelSpec, layers: Sequence[Mapping[str, int]]) -> None:
    """The members of a trial must have the same layers with as many filters each, for a drop takes as many of each
    member; which of them were cut off may differ.

    Raises:
        SpecError: they have not.
    """
    for number, own in enumerate(layers):
        if own != layers[0]:
            name = next(n for n in {**layers[0], **own} if own.get(n) != layers[0].get(n))
            raise SpecError(
                f"model.weights must hold networks with as many filters in each layer, but in {spec.weights} "
                f"{name} has {layers[0].get(name, 0)} in member-0 and {own.get(name, 0)} in member-{number}.",
                "Begin from one of them, in every member or in a trial of one network.",
            )


def content(folder: str) -> tuple[str, int]:
    """The digest of the networks in a folder, whatever they are for, and the steps that were trained for them.

    Raises:
        SpecError: it holds none.
    """
    about = description(FIELD, Path(folder))
    parts = about.get("members")
    folders = [Path(folder)] if parts is None else [Path(folder) / str(name) for name in parts]
    found = [_read(one, description(FIELD, one)) for one in folders]
    return digest([start.digest for start in found]), _steps(Path(folder), about)


# -- a folder --------------------------------------------------------------------------------------


def _steps(folder: Path, about: Mapping[str, Any]) -> int:
    """Of all networks, in this trial and before."""
    try:
        past = about["history"]
        return int(past["steps"]) * int(past.get("networks", 1)) + int(past.get("steps_before", 0))
    except BROKEN as error:
        raise unsaid(FIELD, folder, error) from error


def _start(spec: ModelSpec, folder: Path, input_shape: tuple[int, ...], n_classes: int) -> Start:
    """The network of a folder, tried on the structure it is for."""
    start = _read(folder, description(FIELD, folder))
    channels, height, width = input_shape
    model = build_model(spec, channels, (height, width), n_classes, seed=0)
    try:
        model = all_reformed(model, start.forms, torch.zeros(1, channels, height, width))
        model.load_state_dict(start.weights)
    except BROKEN as error:
        text = str(error).strip().splitlines()
        raise wrong(
            FIELD, folder, f"has weights that do not fit {spec.name} ({' '.join(text[:2])})"
        ) from error
    return start


def _read(folder: Path, about: Mapping[str, Any]) -> Start:
    if not (folder / WEIGHTS).is_file():
        raise wrong(FIELD, folder, f"has no {WEIGHTS}")
    try:
        forms = tuple(dict(form) for form in about.get("forms", ()))
        for form in forms:
            check_form(form)
        weights = torch.load(folder / WEIGHTS, map_location="cpu", weights_only=True)
        sha = hashlib.sha256(canonical_json(forms).encode())
        for name, tensor in sorted(weights.items()):
            plain = tensor.detach().contiguous()
            sha.update(f"{name} {plain.dtype} {tuple(plain.shape)}\n".encode())
            sha.update(plain.view(-1).view(torch.uint8).numpy().tobytes())
    except BROKEN as error:
        raise wrong(FIELD, folder, f"has files that are no network ({error!r:.200})") from error
    return Start(forms, weights, sha.hexdigest())


def _check_fits(
    spec: ModelSpec, folder: Path, about: Mapping[str, Any], input_shape: tuple[int, ...], n_classes: int
) -> None:
    try:
        there = from_plain(ModelSpec, about["spec"]["model"], "model")
        shape, classes, past = tuple(about["input_shape"]), about["n_classes"], about["history"]
        n_absent = int(past.get("filters_absent_at_the_end", 0))
    except BROKEN as error:
        raise unsaid(FIELD, folder, error) from error
    for field in STRUCTURE:
        ours, theirs = getattr(spec, field), getattr(there, field)
        if ours != theirs:
            raise SpecError(
                f"model.weights must hold a network whose model.{field} is {ours}, as the trial's is, but that of "
                f"{folder} has {theirs}.",
                f"{_set(field, theirs)} What an ending has cut off is known from the folder.",
            )
    check_images(FIELD, folder, shape, classes, (input_shape, n_classes))
    if n_absent:
        raise SpecError(
            f"model.weights must hold a whole network, but that of {folder} ended with {n_absent} filters dropped: "
            "they are 0 in it, or made of others, and would not come back.",
            "Export a trial that ends after its last restore (fewer method.cycles, or a longer training.total).",
        )


def _set(field: str, value: Any) -> str:
    return f"Leave model.{field} out." if value is None else f"Set model.{field}={json.dumps(value)}."
