"""A trained network that another one learns from (distillation, arXiv 1503.02531).

A teacher is a folder that the export command has written:

    network.pt2         the network as torch.export has it, in evaluation mode, for any number of images
    weights.pt          its parameters and buffers
    description.json    input_shape [C, H, W], n_classes, and the mean and std its images are normalised with
"""

from __future__ import annotations

import hashlib
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
from reprtune.training.export.exported import (
    BROKEN,
    DESCRIPTION,
    PROGRAM,
    WEIGHTS,
    check_images,
    description,
    unsaid,
    wrong,
)
from reprtune.training.parts.losses import LossContext
from reprtune.training.parts.losses.softened import divergence, softened
from reprtune.training.surgery.multiply_adds import MultiplyAdds
from reprtune.training.surgery.subnetwork import SubNetwork

FIELD = "method.teacher_folder"


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
    about = _description(Path(folder))
    shape = tuple(about["input_shape"])
    check_images(FIELD, Path(folder), shape, about["n_classes"], (task.input_shape, task.n_classes))
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


def content(folder: str) -> str:
    """The digest of the network in a folder, whatever it is to teach.

    Raises:
        SpecError: it holds none.
    """
    return _network(folder, _description(Path(folder)), torch.device("cpu"))[1]


def _description(folder: Path) -> dict[str, Any]:
    """What the folder says of itself, its keys checked."""
    if not (folder / PROGRAM).is_file() and (folder / "member-0").is_dir():
        raise SpecError(
            f"{FIELD} must be the folder of one network, but {folder} holds several.",
            f"Name one of them, such as {folder / 'member-0'}.",
        )
    for name in (PROGRAM, WEIGHTS):
        if not (folder / name).is_file():
            raise wrong(FIELD, folder, f"has no {name}")
    about = description(FIELD, folder)
    try:
        found = {key: about[key] for key in ("input_shape", "n_classes", "mean", "std")}
    except KeyError as error:
        raise unsaid(FIELD, folder, error) from error
    if not len(found["mean"]) == len(found["std"]) == found["input_shape"][0]:
        raise wrong(FIELD, folder, f"has a {DESCRIPTION} with another number of means than of channels")
    return found


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
        raise wrong(FIELD, Path(folder), f"has files that are no network ({error!r})") from error
    module.requires_grad_(False)
    sha = hashlib.sha256(canonical_json([code, about]).encode())
    constants = {f"constant {name}": t for name, t in program.constants.items() if isinstance(t, Tensor)}
    for name, tensor in sorted({**weights, **constants}.items()):
        tensor = tensor.detach().cpu().contiguous()  # noqa: PLW2901
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode() + tensor.numpy().tobytes())
    return module, sha.hexdigest()
