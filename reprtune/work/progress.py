"""What a worker writes down with each of its beats, for people who watch from anywhere."""

from __future__ import annotations

import time
from typing import Any

from reprtune.spec.objectives import ERROR
from reprtune.training.chain.chain import Chain


def progress(run: Chain, seed: int) -> dict[str, Any]:
    """Where a run is now (see `TrialRecord.progress`); may be called from any thread."""
    points = run.networks.points
    return {
        "step": run.networks.step_done,
        "total": run.total_steps,
        "seed": seed,
        "stored": run.steps_stored,
        "steps": run.steps_spent,
        "seconds": round(run.seconds_spent, 3),
        ERROR: points[-1].val_error if points else None,
        "time": round(time.time(), 3),
    }
