"""A trained network as four files that need no reprtune.

weights.pt          parameters and buffers by name (torch.save), for whoever has the code of the network
network.pt2         the whole network in evaluation mode with its weights, as torch.export has it, for any
                    number of images; not there where torch.export cannot write the network
description.json    what it is: specification, form and normalisation of its images, errors, digests
load.py             `load()` returns the network

A trial of several networks is a folder `member-0`, `member-1`, ... for each, with these files, and a description.json
beside them of the trial as a whole.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import reprtune
from reprtune.errors import ReprtuneError
from reprtune.history import Drop, Point, Restore
from reprtune.spec.codec import from_plain, to_plain
from reprtune.spec.objectives import COST, ERROR
from reprtune.spec.trial import TrialSpec
from reprtune.training.chain.chain import Chain
from reprtune.training.chain.member import Member
from reprtune.training.chain.network_numbers import model_numbers, network_numbers
from reprtune.training.chain.state import decode
from reprtune.training.export.exported import DESCRIPTION, PROGRAM, WEIGHTS
from reprtune.training.export.load_script import load_script
from reprtune.training.export.program import built, filled, program
from reprtune.training.surgery.filters import find_filters
from reprtune.training.surgery.forms import Form
from reprtune.training.surgery.subnetwork import SubNetwork

FILES = (WEIGHTS, PROGRAM, DESCRIPTION, "load.py")
FACTS = ("input_shape", "n_classes", "mean", "std", "data_digest")
MEMBER = re.compile(r"member-\d+")  # the folder of one of several networks


@dataclass(frozen=True, eq=False, kw_only=True)
class Network:
    """Attributes:
    weights: parameters and buffers by name, on any device, as the forward pass takes them.
    n_absent: filters that are dropped; their weights, or what reads them, are 0.
    forms: in which ways its structure differs from what its specification builds.
    numbers: its size and the cost of its use by the names of objectives: without dropped filters.
    latency: how long it takes beside the network that its specification builds, where that was measured; for each
        number of images, see `export.latency`.
    """

    weights: Mapping[str, Tensor]
    n_absent: int
    forms: tuple[Form, ...] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)
    latency: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Trained:
    """The networks of a trial at the end of their training.

    Attributes:
        networks: of each member.
        facts: of the task, the keys of `FACTS`; mean and std per channel, in pixel values / 255.
        points, drops, restores: its history. state: name of the state it is in, or None.
        member_errors, ensemble_error: at the last point, of several members; else empty and None.
        origin: where it comes from (study, slot, outcome), for people.
        steps_before: optimizer steps of all networks of the trials that it begins from.
    """

    spec: TrialSpec
    networks: tuple[Network, ...]
    facts: Mapping[str, Any]
    points: Sequence[Point]
    drops: Sequence[Drop]
    restores: Sequence[Restore]
    state: str | None
    origin: Mapping[str, Any]
    member_errors: tuple[float, ...] = ()
    ensemble_error: float | None = None
    steps_before: int = 0

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """C, H, W."""
        channels, height, width = self.facts["input_shape"]
        return channels, height, width


def from_chain(chain: Chain, **origin: Any) -> Trained:
    """The networks of a chain that has come to its end."""
    trial, task = chain.networks, chain.networks.task
    values = (list(task.input_shape), task.n_classes, list(task.mean), list(task.std), task.digest)
    return Trained(
        spec=chain.spec,
        networks=tuple(map(_trained, trial.members)),
        facts=dict(zip(FACTS, values, strict=True)),
        points=trial.points,
        drops=trial.drops,
        restores=trial.restores,
        state=chain.last_name,
        origin=origin,
        member_errors=trial.member_errors[-1] if trial.member_errors else (),
        ensemble_error=trial.ensemble_errors[-1] if trial.ensemble_errors else None,
        steps_before=trial.steps_before,
    )


def _trained(member: Member) -> Network:
    """A member as it stands."""
    return Network(
        weights=member.model.state_dict(),
        n_absent=member.n_absent,
        forms=member.forms,
        numbers=member.numbers(),
    )


def from_state(
    payload: bytes, spec: TrialSpec, facts: Mapping[str, Any], name: str, **origin: Any
) -> Trained:
    """The networks in a stored state.

    Args:
        facts: of the study, with the keys of `FACTS`. name: of the state.

    Raises:
        StateError: the bytes are no state.
    """
    tensors, notes = decode(payload)
    errors, ensemble = notes["member_errors"], notes["ensemble_errors"]
    return Trained(
        spec=spec,
        networks=tuple(_stored(spec, tensors, notes, k, facts) for k in range(spec.method.n_members)),
        facts={key: facts[key] for key in FACTS},
        points=from_plain(tuple[Point, ...], notes["points"], "points"),
        drops=from_plain(tuple[Drop, ...], notes["drops"], "drops"),
        restores=from_plain(tuple[Restore, ...], notes["restores"], "restores"),
        state=name,
        origin=origin,
        member_errors=tuple(errors[-1]) if errors else (),
        ensemble_error=ensemble[-1] if ensemble else None,
        steps_before=notes["steps_before"],
    )


def _stored(
    spec: TrialSpec,
    tensors: Mapping[str, Tensor],
    notes: Mapping[str, Any],
    number: int,
    facts: Mapping[str, Any],
) -> Network:
    """One of the members in a state."""
    start, keep = f"net{number}/", tensors[f"keep{number}"]
    weights = {k.removeprefix(start): t for k, t in tensors.items() if k.startswith(start)}
    forms, shape = tuple(notes["forms"][number]), facts["input_shape"]
    if any(told["kind"] == "end" and told["member"] == number for told in notes["happenings"]):
        model = built(spec.model, forms, tuple(shape), facts["n_classes"])
        return Network(weights=weights, n_absent=0, forms=forms, numbers=model_numbers(model, shape))
    network = _sub_network(spec, forms, weights, keep, facts)
    return Network(
        weights=network.model.state_dict(),
        n_absent=int((~keep).sum()),
        forms=forms,
        numbers=network_numbers(network),
    )


def _sub_network(
    spec: TrialSpec,
    forms: Sequence[Form],
    weights: Mapping[str, Tensor],
    keep: Tensor,
    facts: Mapping[str, Any],
) -> SubNetwork:
    """The network with what is dropped."""
    channels, height, width = facts["input_shape"]
    model = built(spec.model, forms, (channels, height, width), facts["n_classes"], spec.seed)
    filters = find_filters(model, torch.zeros(1, channels, height, width))
    model.load_state_dict(weights)
    network = SubNetwork(model, filters, {}, spec.after.method.dropped_as.filters)
    network.set_keep(keep)
    return network


# -- the files -------------------------------------------------------------------------------------


def files(trained: Trained) -> dict[str, bytes]:
    """The content of every file by its name, of several networks `member-0/weights.pt` and so on.

    A network that torch.export cannot write comes without its program; the description then says why,
    and load.py builds it from its code.
    """
    if len(trained.networks) == 1:
        return _files_of(trained, 0)
    content = {DESCRIPTION: _json(_description(trained))}
    for number in range(len(trained.networks)):
        of_member = _files_of(trained, number).items()
        content |= {f"member-{number}/{name}": data for name, data in of_member}
    return content


def _files_of(trained: Trained, number: int) -> dict[str, bytes]:
    """One network as a whole."""
    network, spec = trained.networks[number], trained.spec
    weights = {name: t.detach().cpu().contiguous() for name, t in network.weights.items()}
    shape, n_classes = trained.input_shape, trained.facts["n_classes"]
    found = program(replace(spec.model, weights=None), network.forms, shape, n_classes)
    content = {WEIGHTS: _saved(weights)}
    why = found if isinstance(found, str) else None
    if not isinstance(found, str):
        content[PROGRAM] = filled(found, weights)
    content[DESCRIPTION] = _json(_description_of(trained, number, why))
    content["load.py"] = load_script(spec.model, network.forms, shape, n_classes, why).encode()
    return content


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, indent=2).encode() + b"\n"


def _saved(weights: Mapping[str, Tensor]) -> bytes:
    file = io.BytesIO()
    torch.save(dict(weights), file)
    return file.getvalue()


def _description(trained: Trained) -> dict[str, Any]:
    """The description of a trial as a whole; its costs are sums, its error the mean over the members."""
    spec, last = trained.spec, trained.points[-1] if trained.points else None
    shape = " x ".join(["N", *map(str, trained.facts["input_shape"])])
    several = len(trained.networks) > 1
    return {
        "what": f"{spec.model.name} for {spec.task.dataset}, trained by reprtune",
        **trained.origin,
        **({"members": [f"member-{k}" for k in range(len(trained.networks))]} if several else {}),
        "input": f"float32, {shape}: (pixels / 255 - mean) / std, for each channel",
        "output": f"float32, N x {trained.facts['n_classes']}: logits",
        **trained.facts,
        ERROR: last.val_error if last else None,
        **({"ensemble_error": trained.ensemble_error} if several else {}),
        "seed": spec.seed,
        "history": {
            "steps": last.step if last else 0,
            "networks": len(trained.networks),
            "steps_before": trained.steps_before,
            COST: last.gflops if last else 0.0,
            "seconds": last.seconds if last else 0.0,
        },
        "state": trained.state,
        "versions": {"reprtune": reprtune.__version__, "torch": str(torch.__version__)},
        "spec": to_plain(spec),
    }


def _description_of(trained: Trained, number: int, why: str | None) -> dict[str, Any]:
    """The description of one network; one among several has its number and its own error."""
    about = _description(trained)
    own = {
        "filters_absent_at_the_end": trained.networks[number].n_absent,
        "dropped_at": {
            str(d.step): sum(map(len, d.dropped.values())) for d in trained.drops if d.member == number
        },
        "restored_at": [r.step for r in trained.restores if r.member == number],
    }
    if "members" in about:
        about = {k: v for k, v in about.items() if k not in ("members", "ensemble_error")}
        error = trained.member_errors[number] if trained.member_errors else None
        about |= {"member": number, ERROR: error}
        steps = ("steps", "networks", "steps_before")
        about["history"] = {key: about["history"][key] for key in steps}  # the others are of all together
    about["history"] |= own
    network = trained.networks[number]
    about |= {"forms": list(network.forms), **network.numbers}
    if network.latency:
        about["latency"] = list(network.latency)
    return {**about, "program": None if why else PROGRAM, "no_program_because": why}


# -- the folder ------------------------------------------------------------------------------------


def check_folder(folder: Path, *, force: bool) -> None:
    """Refuse a folder that `write` would refuse, before anything is trained.

    Raises:
        ReprtuneError: it is there, and not to be replaced, or holds anything but an exported network.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    if not force:
        raise ReprtuneError(
            f"{folder} is there already.", "Name another folder, or replace the network in it with --force."
        )
    strange = _strangers(folder)
    if strange:
        raise ReprtuneError(
            f"{folder} holds what no exported network has: {', '.join(strange[:3])}. It is left alone.",
            "Name another folder.",
        )


def write(content: Mapping[str, bytes], folder: Path, *, force: bool = False) -> None:
    """Make the folder with these files, whole or not at all.

    Raises:
        ReprtuneError: as `check_folder`; or it cannot be written.
    """
    check_folder(folder, force=force)
    draft, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{end}") for end in ("part", "old"))
    try:
        draft.mkdir(parents=True)
        for name, data in content.items():
            (draft / name).parent.mkdir(exist_ok=True)
            (draft / name).write_bytes(data)
        if folder.exists():
            os.rename(folder, old)
        os.rename(draft, folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.rename(old, folder)
        raise ReprtuneError(
            f"Cannot write the network to {folder}: {error.strerror or error}.",
            "Free some space, or name a folder you may write.",
        ) from error
    finally:
        for left in (draft, old):
            shutil.rmtree(left, ignore_errors=True)


def _strangers(folder: Path) -> list[str]:
    """Names in a folder that are not of an exported network; a file or a link is a stranger itself."""
    if folder.is_symlink() or not folder.is_dir():
        return [folder.name]
    strange = {path.name for path in folder.iterdir()} - {*FILES, "__pycache__"}
    members = {name for name in strange if MEMBER.fullmatch(name)}
    inside = {name: _strangers(folder / name) for name in members}
    return sorted({*(strange - members), *(f"{m}/{name}" for m, names in inside.items() for name in names)})
