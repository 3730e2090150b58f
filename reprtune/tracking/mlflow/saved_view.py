"""What MLflow shows of a study at first sight: its question, and a table of runs with what matters in it.

MLflow's own table has none of our columns. Its page keeps saved views as tags of the experiment: JSON, with
the state of the page inside it deflated and in base64 (written by the page of MLflow 3.17; versions that
do not know them ignore them).
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable
from typing import Any

from reprtune.spec.objectives import ERROR, OBJECTIVES
from reprtune.spec.study import StudySpec
from reprtune.tracking.mlflow.words import NOTE

VIEW = "reprtune"  # `#/experiments/ID/runs?viewStateShareKey=reprtune` opens the view at once
VIEW_NAME = "Settings and results"


def experiment_tags(study: StudySpec, created_ms: int, *, own: bool = True) -> dict[str, str]:
    """Saved view of an experiment made for a study; the study's question too, if it is its `own`."""
    view = {
        "name": VIEW_NAME,
        "createdAt": created_ms,
        "updatedAt": created_ms,
        "state": deflated(view_state(study.params, study.compared)),
    }
    note = {NOTE: study.question} if own else {}
    return {**note, f"mlflow.sharedViewState.{VIEW}": json.dumps(view)}


def view_state(params: Iterable[str], objectives: Iterable[str]) -> dict[str, Any]:
    """The table of runs, lowest error first, with the objectives, outcome and every searched parameter."""
    metrics = [f"metrics.`{OBJECTIVES[name].metric}`" for name in objectives]
    columns = [*metrics, *(f"params.`{name}`" for name in params), "tags.`reprtune.outcome`"]
    return {
        "searchFilter": "",
        "orderByKey": f"metrics.`{OBJECTIVES[ERROR].metric}`",
        "orderByAsc": True,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": columns,
        "runsHiddenMode": "FIRST_10_RUNS",
        "hideEmptyCharts": True,
    }


def deflated(state: dict[str, Any]) -> str:
    """As MLflow's page packs it."""
    return "deflate;" + base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
