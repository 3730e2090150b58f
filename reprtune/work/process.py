"""What a launcher and its worker processes share. It needs no torch, and so starts quickly."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

EXIT_CODES = {
    "device": 71,
    "capture": 75,
    "failing": 76,
    "hung": 77,
}  # of a worker that had to leave, by `Left.why`


class Tickets(Protocol):
    """How many more slots may be begun in this run; shared by its workers."""

    def take(self) -> bool: ...
    def give_back(self) -> None: ...


@dataclass(frozen=True)
class WorkerMessage:
    """What a worker tells its launcher: `begin`, `progress`, `end` of a slot, `idle`; `busy`: it turns to a trial that
    it holds, `trial_id`, on its `device`; `said`: its `title` is for the person who started it; or `crash`: it ends
    with an `error`, whose traceback it has printed. The launcher adds to an `end` how many of the study's slots are
    `finished` now, of how many `slots`; 0 of 0 where the database is away."""

    kind: str
    title: str = ""
    step: int = 0
    total: int = 0
    val_error: float | None = None
    outcome: str = ""
    error: str = ""
    trial_id: int | None = None
    device: str = ""
    finished: int = 0
    slots: int = 0


@dataclass(frozen=True)
class Left:
    """Why a worker ends although its study goes on: its process may not be usable any more, another one is.

    Attributes:
        why: `device`: nothing can be computed on it any more; `capture`: a step could not be captured as a graph;
            `failing`: one slot after the other ended with an error; `hung`: a training stood still.
        reason: one line. device: of the worker. network: of a `capture`, see `uncapturable.network_key`.
        began: did it take a slot? Then it got somewhere, and the slot counts how often it was lost.
    """

    why: Literal["device", "capture", "failing", "hung"]
    reason: str
    device: str
    network: str = ""
    began: bool = False


class MustLeave(Exception):  # noqa: N818 - the worker's word to its launcher
    """This process is to end, and to use its device no more."""

    def __init__(self, left: Left) -> None:
        super().__init__(f"{left.why}: {left.reason}")
        self.left = left


@dataclass(frozen=True)
class Known:
    """What workers before it have found out for a worker that starts.

    Attributes:
        device: of the worker whose place it takes; None = it chooses one as the settings say.
        uncapturable: `network_key` -> why its step cannot be captured as a graph.
    """

    device: str | None = None
    uncapturable: Mapping[str, str] = field(default_factory=dict)


def worker_name(index: int, pid: int | None = None) -> str:
    return f"{platform.node()}:{pid or os.getpid()}:{index}"
