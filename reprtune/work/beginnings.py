"""What the trials of arms train first: most arms of an ablation begin alike, and what two of them have in common one
trains, and the other waits for. So what begins otherwise is taken up first."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from reprtune.errors import SpecError
from reprtune.spec.codec import digest, to_plain
from reprtune.spec.trial import TrialSpec
from reprtune.training.chain.identity import FREE_FIELDS, in_segments
from reprtune.training.chain.plan import Segment, plan, trial_rates


class Queued(Protocol):
    """A trial of Optuna's."""

    @property
    def user_attrs(self) -> Mapping[str, Any]: ...


Shared = tuple[str, int]  # what is trained first, and how many steps that are


def beginning(spec: TrialSpec, steps_per_epoch: int, shared_steps: Collection[int]) -> Shared:
    """What two trials have in common whose first steps are the same, as far as their values say: up to where something
    happens in this trial, or first in another one.

    Args:
        shared_steps: where others can leave it.

    Raises:
        SpecError: the schedule does not fit the total.
    """
    trunk, stop = spec.trunk, 0
    for item in plan(trunk, steps_per_epoch):
        if not isinstance(item, Segment):
            break
        stop = item.stop
        if stop in shared_steps:
            break
    rates = np.ascontiguousarray(trial_rates(trunk, steps_per_epoch)[:stop])
    training = {k: v for k, v in to_plain(trunk.training).items() if k not in FREE_FIELDS}
    values = [to_plain(trunk.task), to_plain(trunk.model), training, trunk.method.networks, trunk.seed]
    acting = [to_plain(part) for part in in_segments(trunk)]
    return digest([*values, *acting, hashlib.sha256(rates.tobytes()).hexdigest()]), stop


@dataclass
class Beginnings:
    """What the trials of one section train first.

    Args:
        trial_spec: of a trial of it. steps_per_epoch, shared_steps: as `beginning` takes them.
    """

    trial_spec: Callable[[Any], TrialSpec]
    steps_per_epoch: int
    shared_steps: Callable[[], Collection[int]]
    _known: dict[str, Shared] = field(default_factory=dict)  # by arm, for its seeds differ in nothing else

    def taken(self, running: Iterable[Queued]) -> Counter[str]:
        """What is trained first by trials that are at it now -> by how many."""
        return Counter(name for name in map(self.ahead, running) if name)

    def ahead(self, trial: Queued) -> str:
        """What it trains first; empty where that is behind it, or not known before it is drawn."""
        arm = trial.user_attrs.get("arm")
        if arm is None:
            return ""
        if arm not in self._known:
            self._known[arm] = self._beginning(trial)
        name, stop = self._known[arm]
        if not name or trial.user_attrs.get("progress", {}).get("step", 0) >= stop:
            return ""
        return f"{name}-{trial.user_attrs['seed']}"

    def _beginning(self, trial: Queued) -> Shared:
        try:
            return beginning(
                replace(self.trial_spec(trial), seed=0), self.steps_per_epoch, self._shared_steps
            )
        except SpecError:  # whoever takes it says so
            return "", 0

    @cached_property
    def _shared_steps(self) -> Collection[int]:
        return self.shared_steps()
