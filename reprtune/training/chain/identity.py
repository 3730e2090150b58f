"""The name of a training state: the digest of everything that led to it.

Two trials that agree up to a point have the same names up to there, whatever comes after; that is
what makes resuming, running again and sharing one thing. Not in a name: the machine, the GPU model,
the git commit, the planned total.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from reprtune.spec import catalog
from reprtune.spec.codec import digest, to_plain
from reprtune.spec.parts.part import Own, Part
from reprtune.spec.parts.schedules import Phase
from reprtune.spec.trial import TrialSpec
from reprtune.training.chain.plan import Item
from reprtune.training.models.weights import Inherited
from reprtune.training.parts.behaviour import module_of
from reprtune.training.parts.schedules import Event
from reprtune.training.platform import user_code
from reprtune.training.platform.sources import PACKAGE, alone_digest, closure, digest_of, source_digest
from reprtune.training.surgery.forms import all_modules

FREE_FIELDS = ("total", "lr", "lr_schedule", "lr_milestones", "lr_gamma", "lr_warmup", "lr_period")
PLACES_ON_DISK = ("teacher_folder",)  # options of losses that say where something lies: its digest enters

# What runs a segment, and stores it.
SEGMENT_CODE = (f"{PACKAGE}.chain.member", f"{PACKAGE}.chain.evaluation", f"{PACKAGE}.chain.state")
TOGETHER = f"{PACKAGE}.chain.together"  # as well where a loss couples the members
ALONE = f"{PACKAGE}.chain.trial_networks"  # joins it to all else, and so counts without what it imports
WEIGHTS_CODE = f"{PACKAGE}.models.weights"  # of a trial that begins from another's network
EVENT_CODE = {  # kind of event -> what runs it, and the places of the method that act in it
    "begin": (f"{PACKAGE}.chain.beginning", ("criterion", "selection")),
    "drop": (f"{PACKAGE}.chain.dropping", ("criterion", "selection", "drop")),
    "restore": (f"{PACKAGE}.chain.restoring", ("restore", "restore_rules")),
    "exchange": (f"{PACKAGE}.chain.exchanging", ("exchange",)),
    "renew": (f"{PACKAGE}.chain.renewing", ("criterion", "selection", "restore", "restore_rules")),
    "end": (f"{PACKAGE}.chain.ending", ("ending",)),
}
COUNTED = ("drop", "renew")  # take a number of filters
# These enter by the number of filters dropped, and by the learning rates.
DECIDED = ("prune_ratio", "restore_lr", "restore_lr_scale")
# After them a phase may end by a criterion: its bound, and where it is asked, decide what comes.
BOUND = ("begin", "drop")


def root_name(
    spec: TrialSpec,
    task_digest: str,
    device_kind: str,
    loss_digests: Sequence[str] = (),
    inherited: Inherited | None = None,
) -> str:
    """Name of the state before the first step.

    Args:
        loss_digests: of what losses read, such as a network that is imitated, wherever it lies.
        inherited: what its networks begin from, wherever it lies; None = new weights.

    Raises:
        ModelError, DataError: a factory of the person's own cannot be imported.
    """
    fields = to_plain(spec.training)
    training = {k: v for k, v in fields.items() if k not in FREE_FIELDS}
    own = {spec.model.name, spec.task.dataset, *(part.name for part in in_segments(spec))}
    return digest(
        {
            "task": task_digest,
            "augment": spec.task.augment,
            "cutout": spec.task.cutout if "cutout" in spec.task.augment else None,
            "model": {k: v for k, v in to_plain(spec.model).items() if k != "weights"},
            "training": training,
            "losses": list(loss_digests),
            "seed": spec.seed,
            **_inherited(inherited),
            "segment": [_without_places(part) for part in in_segments(spec)],
            "networks": spec.method.networks,
            "source": [source_digest(*_segment_modules(spec)), alone_digest(ALONE)],
            "user_code": {name: code for name, code in user_code.digests(spec).items() if name in own},
            "torch": torch.__version__,
            "torchvision": version("torchvision") if spec.model.name.startswith("torchvision:") else None,
            "device": device_kind,
        }
    )


def _inherited(inherited: Inherited | None) -> dict[str, Any]:
    """Contents and structures of the networks that a trial begins from, and the code that takes them."""
    if inherited is None:
        return {}
    return {"inherited": [*inherited.digests, source_digest(WEIGHTS_CODE, *inherited.modules)]}


def next_name(name: str, item: Item, spec: TrialSpec, n_drop: int, lrs: NDArray[np.float64]) -> str:
    """Name of the state that `item` leads to from the state `name`.

    An event enters with the values and the code of what acts in it and of nothing else, a drop with the number
    of filters it drops instead of the ratio; a segment with the learning rates of its own steps.
    """
    if isinstance(item, Event):
        return digest([name, item.kind, item.cycle, *_acting(spec, item.kind, n_drop, len(lrs))])
    rates = hashlib.sha256(np.ascontiguousarray(lrs[item.start : item.stop]).tobytes()).hexdigest()
    return digest([name, item.start, item.stop, rates])


def _acting(spec: TrialSpec, kind: str, n_drop: int, total: int) -> list[Any]:
    """Values and code of what acts in an event, of a trial of so many steps."""
    values: list[Any] = [n_drop if kind in COUNTED else None]
    schedule = spec.method.schedule
    if kind in BOUND and isinstance(schedule, Phase) and schedule.until_distance is not None:
        values.append([schedule.until_distance, total])  # whose tenths are the rungs at which it is asked
    for place in EVENT_CODE[kind][1]:
        part = getattr(spec.method, place)
        plain = {} if part is None else to_plain(part)
        left_out = () if isinstance(part, Own) else DECIDED
        values.append({name: value for name, value in plain.items() if name not in left_out})
        if isinstance(part, Own):
            values.append(user_code.digests(spec)[part.name])
    return [values, source_digest(*_event_modules(spec, kind))]


# -- code ------------------------------------------------------------------------------------------


def code(spec: TrialSpec, items: Iterable[Item]) -> dict[str, str]:
    """Module -> digest, of all code of ours that the states of a trial are named by: what runs its segments and
    those of `items` that are events, with the parts that act in them and all that these import. The person's own
    code is not among it.
    """
    kinds = {item.kind for item in items if isinstance(item, Event)}
    acting = [name for kind in kinds for name in _event_modules(spec, kind)]
    if spec.model.weights is not None:  # in which forms is known where the folder is
        acting += [WEIGHTS_CODE, *all_modules()]
    found = {name: digest_of(path) for name, path in closure(*_segment_modules(spec), *acting).items()}
    return found | {ALONE: alone_digest(ALONE)}


def _segment_modules(spec: TrialSpec) -> list[str]:
    """What names the state before the first step; they and what they import run every segment."""
    network = catalog.find("models", spec.model.name).target.partition(":")[0]
    together = [TOGETHER] if spec.method.couples_members else []
    return [*SEGMENT_CODE, *together, network, *map(module_of, in_segments(spec))]


def _event_modules(spec: TrialSpec, kind: str) -> list[str]:
    """What names the state after an event; they and what they import run it."""
    runs, places = EVENT_CODE[kind]
    parts = (spec.method.dropped_as if place == "drop" else getattr(spec.method, place) for place in places)
    return [runs, *(module_of(part) for part in parts if isinstance(part, Part))]


def in_segments(spec: TrialSpec) -> list[Part]:
    """The parts that act within a segment."""
    return [part for place, part in spec.method.parts() if place in ("gradient", "losses")]


def _without_places(part: Part) -> dict[str, Any]:
    """As JSON values, wherever what a part of ours reads lies."""
    left_out = () if isinstance(part, Own) else PLACES_ON_DISK
    return {name: value for name, value in to_plain(part).items() if name not in left_out}
