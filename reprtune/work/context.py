"""What all attempts of a worker share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from reprtune.spec.study import StudySpec
from reprtune.states.store import StateStore
from reprtune.tracking.journal import Journal
from reprtune.training.chain.chain import LoadedData
from reprtune.work.budget import Budget


@dataclass(frozen=True)
class WorkerContext:
    """What a worker gives to each of its attempts: the study, the data, the places to write to, and when to leave.

    Attributes:
        digest: of the study. instance: of the stored study. steps_per_epoch: a fact of the study.
        leaving: True once the worker is asked to stop. tags: of the machine and the checkout.
        budget: of the search.
        device: described for people and records. code: short digest of what the trials run. uncapturable: `network_key` -> why, see `process.Known`.
        packages: that are installed here, where they are not those that the study was created with.
    """

    spec: StudySpec
    digest: str
    instance: str
    steps_per_epoch: int
    loaded_data: LoadedData
    store: StateStore
    journal: Journal
    worker: str
    leaving: Callable[[], bool]
    tags: Mapping[str, str]
    budget: Budget
    device: str
    code: str = ""
    uncapturable: Mapping[str, str] = field(default_factory=dict)
    packages: str | None = None
