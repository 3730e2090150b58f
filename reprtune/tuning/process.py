"""What a launcher and its worker processes share. It needs no torch, and so starts quickly."""

from __future__ import annotations

import os
import platform
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from reprtune.spec.history import History

PlotPage = Callable[[History, str], str]  # a trial's page for MLflow, from its history and title


class Tickets(Protocol):
    """How many more slots may be begun in this run; shared by its workers."""

    def take(self) -> bool: ...
    def give_back(self) -> None: ...


@dataclass(frozen=True)
class Report:
    """What a worker tells its launcher: `begin`, `progress`, `end` of a slot, or `idle`."""

    kind: str
    title: str = ""
    step: int = 0
    total: int = 0
    val_error: float | None = None
    outcome: str = ""
    error: str = ""


def worker_name(index: int, pid: int | None = None) -> str:
    return f"{platform.node()}:{pid or os.getpid()}:{index}"


class LeaveOnSignal:
    """True once SIGINT or SIGTERM has come."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, *_: Any) -> None:
        self.asked = True

    def __call__(self) -> bool:
        return self.asked
