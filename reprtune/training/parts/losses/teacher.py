"""A trained network that another one learns from (distillation, arXiv 1503.02531).

A teacher is a folder that the export command has written:

    network.pt2         the network as torch.export has it, in evaluation mode, for any number of images
    weights.pt          its parameters and buffers
    description.json    input_shape [C, H, W], n_classes, and the mean and std its images are normalised with
"""

from __future__ import annotations

import hashlib
import json
import pickle
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reprtune.errors import SpecError
from reprtune.spec.codec import canonical_json
from reprtune.training.data.task import Task
from reprtune.training.descent.losses import Term
from reprtune.training.parts.losses import LossContext
from reprtune.training.parts.losses.softened import divergence, softened
from reprtune.training.surgery.multiply_adds import MultiplyAdds
from reprtune.training.surgery.subnetwork import SubNetwork

PROGRAM, WEIGHTS, DESCRIPTION = "network.pt2", "weights.pt", "description.json"
BROKEN = (
    OSError,
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
    EOFError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)


@dataclass(frozen=True, eq=False)
class Teacher:
    """Attributes:
    network: images normalised its own way -> logits.
    scale, shift: (1, C, 1, 1); take images from the student's normalisation to the teacher's.
    digest: hex SHA-256 of its operations, its weights and its normalisation; not of where it lies.
    macs: multiply-adds of its answer for one image.
    """

    network: Callable[[Tensor], Tensor]
    scale: Tensor
    shift: Tensor
    digest: str
    macs: float

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Logits (B, K) float32 for images as the student sees them (B, C, H, W)."""
        return self.network(torch.addcmul(self.shift, x, self.scale)).float()


class FromFolder(Term):
    """w T^2 KL(softmax(u / T) || softmax(z / T)) with a teacher's answers u, in the place of the share w of the
    cross-entropy.

    Raises:
        SpecError: as `load_teacher`.
    """

    def __init__(
        self, context: LossContext, *, teacher_folder: str, teacher_weight: float, teacher_temperature: float
    ) -> None:
        def load() -> Teacher:
            return load_teacher(teacher_folder, context.task, context.device)

        self.teacher: Teacher = context.once(teacher_folder, load)
        self.of_labels = self.weight = teacher_weight
        self.temperature = teacher_temperature
        self.digest = self.teacher.digest

    def __call__(self, logits: Tensor, labels: Tensor, images: Tensor, network: SubNetwork) -> Tensor:  # noqa: ARG002 - of a place
        answers = softened(self.teacher(images), self.temperature)
        return self.weight * divergence(logits, answers, self.temperature)

    def flops_per_image(self) -> float:
        return 2 * self.teacher.macs


def load_teacher(folder: str, task: Task, device: torch.device) -> Teacher:
    """The network in `folder`, ready to answer for the images of `task`.

    Raises:
        SpecError: the folder holds something else, or a network for other images or classes.
    """
    about = _description(folder)
    shape = tuple(about["input_shape"])
    if shape != task.input_shape:
        raise SpecError(
            f"method.teacher_folder must read images of {_times(task.input_shape)} as the task has them, but the "
            f"network in {folder} reads {_times(shape)}.",
            "Export a teacher that was trained on images of this size.",
        )
    if about["n_classes"] != task.n_classes:
        raise SpecError(
            f"method.teacher_folder must know the {task.n_classes} classes of the task, but the network in "
            f"{folder} knows {about['n_classes']}.",
            "Export a teacher that was trained on this task.",
        )
    network, digest = _network(folder, about, device)
    mean, std, own_mean, own_std = (
        torch.tensor(values, device=device).reshape(1, -1, 1, 1)
        for values in (task.mean, task.std, about["mean"], about["std"])
    )
    # Of two images: a program may treat a single one as a constant.
    example = torch.zeros(2, *shape, device=device)
    with torch.no_grad(), MultiplyAdds() as counter:
        network(example)
    macs = counter.total / len(example)
    return Teacher(network, std / own_std, (mean - own_mean) / own_std, digest, macs)


def _description(folder: str) -> dict[str, Any]:
    """What the folder says of itself, its keys checked."""
    _check_one(folder)
    for name in (PROGRAM, WEIGHTS, DESCRIPTION):
        if not (Path(folder) / name).is_file():
            raise _wrong(folder, f"has no {name}")
    try:
        about = json.loads((Path(folder) / DESCRIPTION).read_text())
        found = {key: about[key] for key in ("input_shape", "n_classes", "mean", "std")}
    except BROKEN as error:
        raise _wrong(folder, f"has a {DESCRIPTION} that does not say what it should ({error!r})") from error
    if not len(found["mean"]) == len(found["std"]) == found["input_shape"][0]:
        raise _wrong(folder, f"has a {DESCRIPTION} with another number of means than of channels")
    return found


def _check_one(folder: str) -> None:
    """Raise SpecError for a folder that holds several networks."""
    if not (Path(folder) / PROGRAM).is_file() and (Path(folder) / "member-0").is_dir():
        raise SpecError(
            f"method.teacher_folder must be the folder of one network, but {folder} holds several.",
            f"Name one of them, such as {Path(folder) / 'member-0'}.",
        )


def _network(
    folder: str, about: Mapping[str, Any], device: torch.device
) -> tuple[Callable[[Tensor], Tensor], str]:
    """The network on the device, and its digest."""
    try:
        program = torch.export.load(Path(folder) / PROGRAM)
        weights = torch.load(Path(folder) / WEIGHTS, map_location="cpu", weights_only=True)
        code = program.graph_module.code
        if device.type != "cpu":
            from torch.export.passes import move_to_device_pass

            program = move_to_device_pass(program, str(device))
        module = program.module()
        module.load_state_dict(weights)
    except BROKEN as error:
        raise _wrong(folder, f"has files that are no network ({error!r})") from error
    module.requires_grad_(False)
    sha = hashlib.sha256(canonical_json([code, about]).encode())
    constants = {f"constant {name}": t for name, t in program.constants.items() if isinstance(t, Tensor)}
    for name, tensor in sorted({**weights, **constants}.items()):
        tensor = tensor.detach().cpu().contiguous()  # noqa: PLW2901
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode() + tensor.numpy().tobytes())
    return module, sha.hexdigest()


def _wrong(folder: str, what: str) -> SpecError:
    return SpecError(
        f"method.teacher_folder must be a folder that the export command has written, but {folder} {what}.",
        "Write one with `trial export` or `train --export`, and give its path.",
    )


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
