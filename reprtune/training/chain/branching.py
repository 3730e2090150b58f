"""What a branch is to a chain: how the states after it are named, and which states stay for branches.

Up to the point a trial with a branch is its trunk, and its states have the trunk's names; what differs afterwards is
in the names from there on, and nothing else is, so that what differs only later is shared for longer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from reprtune.errors import SpecError
from reprtune.spec.branch import Branch
from reprtune.spec.codec import digest
from reprtune.spec.trial import TrialSpec
from reprtune.training.chain.identity import next_name, root_name
from reprtune.training.chain.plan import Item, find_fork
from reprtune.training.chain.trial_networks import TrialNetworks


def state_names(
    items: Sequence[Item],
    fork: int,
    lrs: NDArray[np.float64],
    device_kind: str,
    networks: TrialNetworks,
    changed: Callable[[], TrialNetworks],
) -> list[str]:
    """The names of all states of a trial, that before the first step first.

    Args:
        fork: items done where its branch begins; all of them where it has none.
        networks: of the trunk. changed: makes those of the trial after the branch.
    """
    names = [_root(networks, device_kind)]
    acting = networks
    for index, item in enumerate(items):
        name = names[-1]
        if index == fork:
            acting = changed()  # now, so that what these refuse is refused before anything is trained
            # What segments are made of; rates, and what acts in events, are in the names of these.
            root = _root(acting, device_kind)
            name = name if root == names[0] else digest([name, "branch", root])
        names.append(next_name(name, item, acting.spec, acting.n_drop, lrs))
    return names


def _root(networks: TrialNetworks, device_kind: str) -> str:
    digests, inherited = networks.loss_digests, networks.inherited
    return root_name(networks.spec, networks.task.digest, device_kind, digests, inherited)


def kept_for(spec: TrialSpec, branches: Iterable[Branch], fork: int, steps_per_epoch: int) -> set[int]:
    """Items done where branches of this trial's trunk begin, its own among them, as far as it comes by.

    Args:
        fork: items done where its own begins; all of them where it has none.
    """
    found = set() if spec.branch is None else {fork}
    for branch in branches:
        with contextlib.suppress(SpecError):  # the trial of that branch says so itself
            other = find_fork(replace(spec, branch=branch), steps_per_epoch)
            found |= {len(other.before)} if other is not None else set()
    return {index for index in found if index <= fork}
