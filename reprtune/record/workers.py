"""Who is at work on a study, also between two of its trials: a fact of every worker, renewed with its beats.

A worker takes its own fact away when it leaves. That of one that was killed stays, says when it was heard of last,
and goes when another worker begins a day later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.storages import RDBStorage

from reprtune.processes import has_ended
from reprtune.record.checks import number, of, table, text, whole
from reprtune.record.optuna_private.attributes import delete_study_attributes, read_attributes

PREFIX = "worker "
FORGOTTEN_SECONDS = 86_400.0
SILENT_SECONDS = 30.0  # who has said nothing for so long may be gone
IS_FACT = of(
    {
        "host": text,
        "device": text,
        "since": number,
        "time": number,
        "machine": text,
        "pid": whole,
        "use": lambda value: table(value) and all(map(number, value.values())),
    },
    "host",
    "device",
    "since",
    "time",
)


def write_worker(storage: RDBStorage, name: str, worker: str, fact: Mapping[str, Any]) -> None:
    """That it is there: `host`, `device`, `since` and the `time` now (seconds since 1970, of its clock); `machine` and
    `pid`, by which others there know when it has ended; `use`: shares of its device, by name (`work.device_use`).
    """
    storage.set_study_user_attr(storage.get_study_id_from_name(name), f"{PREFIX}{worker}", dict(fact))


def read_workers(storage: RDBStorage, name: str) -> dict[str, dict[str, Any]]:
    """Worker -> what it said last. A fact that cannot be read is none: nobody's work depends on it."""
    attrs = read_attributes(storage, name)
    return {
        key.removeprefix(PREFIX): dict(fact)
        for key, fact in attrs.items()
        if key.startswith(PREFIX) and IS_FACT(fact)
    }


def present(workers: Mapping[str, Mapping[str, Any]], now: float) -> list[str]:
    """Those of them that were heard of just now, and are not known to have ended since."""
    return sorted(
        worker
        for worker, fact in workers.items()
        if now - fact["time"] <= SILENT_SECONDS and not is_gone(fact)
    )


def is_gone(fact: Mapping[str, Any]) -> bool:
    """Was it killed? It is known on its own machine."""
    return "pid" in fact and has_ended(fact.get("machine", ""), fact["pid"])


def forget_worker(storage: RDBStorage, name: str, worker: str) -> None:
    """It has left."""
    delete_study_attributes(storage, storage.get_study_id_from_name(name), [f"{PREFIX}{worker}"])


def forget_old(storage: RDBStorage, name: str, now: float) -> None:
    """Those of whom nothing was heard for a day."""
    old = [w for w, fact in read_workers(storage, name).items() if now - fact["time"] > FORGOTTEN_SECONDS]
    if old:
        study_id = storage.get_study_id_from_name(name)
        delete_study_attributes(storage, study_id, [f"{PREFIX}{worker}" for worker in old])
