"""The name of a training state: the digest of everything that led to it.

Two trials that agree up to a point have the same names up to there, whatever comes after; that is
what makes resuming, running again and sharing one thing. Not in a name: the machine, the GPU model,
the git commit, the planned total.
"""

from __future__ import annotations

import functools
import hashlib
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from reprtune.spec.codec import digest, to_plain
from reprtune.spec.method import MethodSpec
from reprtune.spec.trial import TrialSpec
from reprtune.training import user_code
from reprtune.training.schedule import Event, Item

FREE_FIELDS = ("total", "lr", "lr_schedule", "lr_milestones", "lr_gamma", "lr_warmup", "lr_period")
TEACHER_FIELDS = ("teacher", "teacher_weight", "teacher_temperature")

DROP_FIELDS = ("criterion", "scope", "layer_cap", "exclude_first", "exclude_shortcuts", "exclude", "drop")
RESTORE_FIELDS = ("restore", "restore_scale", "restore_bn", "restore_optimizer", "restore_next")


@functools.cache
def source_digest() -> str:
    """Digest of this package's source: other code makes other states."""
    folder = Path(__file__).parent
    sha = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        sha.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return sha.hexdigest()


def root_name(spec: TrialSpec, task_digest: str, device_kind: str, teacher_digest: str | None = None) -> str:
    """Name of the state before the first step.

    Args:
        teacher_digest: of the network that is imitated, wherever it lies; None = there is none.

    Raises:
        ModelError, DataError: a factory of the person's own cannot be imported.
    """
    fields = to_plain(spec.training)
    training = {k: v for k, v in fields.items() if k not in FREE_FIELDS + TEACHER_FIELDS}
    teacher = [teacher_digest, *(fields[field] for field in TEACHER_FIELDS[1:])]
    return digest(
        {
            "task": task_digest,
            "augment": spec.task.augment,
            "cutout": spec.task.cutout if "cutout" in spec.task.augment else None,
            "model": spec.model,
            "training": training,
            "teacher": teacher if teacher_digest is not None else None,
            "seed": spec.seed,
            "source": source_digest(),
            "user_code": user_code.digests(spec),
            "torch": torch.__version__,
            "torchvision": version("torchvision") if spec.model.name.startswith("torchvision:") else None,
            "device": device_kind,
        }
    )


def next_name(name: str, item: Item, method: MethodSpec, n_drop: int, lrs: NDArray[np.float64]) -> str:
    """Name of the state that `item` leads to from the state `name`.

    A drop enters with the number of filters it drops, not with the ratio, and only the parts of the
    method it uses; a segment with the learning rates of its own steps.
    """
    if isinstance(item, Event):
        if item.kind == "drop":
            rules = [getattr(method, field) for field in DROP_FIELDS] + [n_drop]
        else:
            rules = [getattr(method, field) for field in RESTORE_FIELDS]
        return digest([name, item.kind, item.cycle, rules])
    rates = hashlib.sha256(np.ascontiguousarray(lrs[item.start : item.stop]).tobytes()).hexdigest()
    return digest([name, item.start, item.stop, rates])
