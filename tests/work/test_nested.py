"""Runs below runs: a slot's seeds below their slot."""

from __future__ import annotations

from typing import Any

import pytest

from reprtune.settings import Settings
from reprtune.tracking.events import begin_event, end_event, metrics_event
from reprtune.tracking.journal import Journal
from reprtune.tracking.mlflow.connection import connect, find_run
from reprtune.tracking.shipper import Shipper
from tests.tracking.tracked import DIGEST, STUDY, begin, look, point


def begin_seed(slot: str, seed: int, now: float = 1000.0) -> dict[str, Any]:
    return begin_event(
        STUDY, STUDY.trial({"cycles": 2}), digest=DIGEST, key=f"{slot}-s{seed}", parent=slot,
        name=f"slot 000, seed {seed}", role="search", slot=0, attempt=0, now=now,
    )  # fmt: skip


def run_id(settings: Settings, key: str) -> str:
    client = connect(settings.mlflow_uri)
    run = find_run(client, client.get_experiment_by_name("s").experiment_id, f"{DIGEST}/{key}")
    assert run is not None
    return str(run.info.run_id)


@pytest.mark.parametrize("order", [("slot", "seeds"), ("seeds", "slot")])
def test_seeds_hang_below_their_slot_whichever_comes_first(
    settings: Settings, order: tuple[str, str]
) -> None:
    """Study, slot, seeds: three levels; a slot's run made for its seeds gets its own name and values later."""
    journal = Journal(settings.journal_dir, STUDY.name)
    shipper = Shipper(settings, STUDY, DIGEST)
    for what in order:
        if what == "slot":
            journal.append("search-000", begin())
            journal.append("search-000", end_event("complete", metrics={"val_error": 0.5}, now=2000.0))
        else:
            for seed in (0, 1):
                journal.append(f"search-000-s{seed}", begin_seed("search-000", seed))
                journal.append(f"search-000-s{seed}", metrics_event([point(1)]))
        assert shipper.sync().error is None
    seen = look(settings)
    assert seen.keys() == {"s", "slot 000", "slot 000, seed 0", "slot 000, seed 1"}
    assert all(len(runs) == 1 for runs in seen.values())
    slot, study = run_id(settings, "search-000"), run_id(settings, "study")
    assert seen["slot 000"][0].tags["mlflow.parentRunId"] == study
    assert seen["slot 000"][0].status == "FINISHED" and seen["slot 000"][0].params["cycles"] == "2"
    for seed in (0, 1):
        (run,) = seen[f"slot 000, seed {seed}"]
        assert run.tags["mlflow.parentRunId"] == slot and run.steps("val_error") == [1]


def test_a_slot_that_was_deleted_gets_its_seeds_back(settings: Settings) -> None:
    """A seed that goes on hangs itself below the slot's new run."""
    journal = Journal(settings.journal_dir, STUDY.name)
    shipper = Shipper(settings, STUDY, DIGEST)
    journal.append("search-000", begin())
    journal.append("search-000-s0", begin_seed("search-000", 0))
    assert shipper.sync().error is None
    before = run_id(settings, "search-000")
    connect(settings.mlflow_uri).delete_run(before)
    journal.append("search-000-s0", begin_seed("search-000", 0, now=3000.0))
    assert shipper.sync().error is None
    assert run_id(settings, "search-000") != before
    assert look(settings)["slot 000, seed 0"][0].tags["mlflow.parentRunId"] == run_id(settings, "search-000")
