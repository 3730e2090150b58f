"""The tracker that the settings name."""

from __future__ import annotations

from reprtune.settings import Settings
from reprtune.tracking.mlflow.tracker import MLflow
from reprtune.tracking.tracker import Null, Tracker


def tracker_for(settings: Settings) -> Tracker:
    """MLflow, unless tracking is off. Nothing is asked or imported before one of its verbs is called."""
    return MLflow(settings) if settings.tracks else Null()
