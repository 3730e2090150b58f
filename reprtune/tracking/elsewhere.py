"""Which tracking store the runs of a study are in, and whether another one is named here.

Machines that share a study and no tracking server would each fill a store of its own, in which the runs of all others
are missing. So a study remembers its store by the tracker's number of the study's own run, which no other store has and
which a store keeps that is moved; beside it stands for people where the store was, and on which machine.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

FACT = "experiment"  # of a study
ONE_STORE = (
    "Name one for all machines, a server or a PostgreSQL, with --tracking-uri or MLFLOW_TRACKING_URI; "
    "`study sync NAME --adopt` brings all runs to it and makes it the study's."
)


def store_fact(name: str, experiment_id: str, run_id: str, address: str) -> dict[str, str]:
    """What a study remembers of its place in a tracking store.

    Args:
        name, experiment_id: of its experiment. run_id: of its own run. address: of the store, without passwords.
    """
    return {"name": name, "id": experiment_id, "run": run_id, "store": address, "host": platform.node()}


def store_run(facts: Mapping[str, Any]) -> str:
    """The number of the study's own run in its store; empty where none is remembered."""
    return str(facts.get(FACT, {}).get("run", ""))


def named_here(facts: Mapping[str, Any], address: str) -> bool:
    """Is the store at an address the study's by its name? A file is, on the machine where it was."""
    fact = facts.get(FACT, {})
    shared = not address.startswith("sqlite")
    return fact.get("store") == address and (shared or fact.get("host") == platform.node())


def warning(facts: Mapping[str, Any], address: str) -> str:
    """For a person, where the store at `address` is not the study's; the way out is `ONE_STORE`."""
    fact = facts.get(FACT, {})
    return (
        f"The runs of this study are in the tracking store {fact.get('store')} (of the machine {fact.get('host')}); "
        f"{address} is another one, and they scatter."
    )
