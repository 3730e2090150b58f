"""What came of the rows, for people and for programs."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.faults.matrix import ROWS
from tests.faults.row import Outcome

LIBRARIES = ("torch", "optuna", "mlflow", "sqlalchemy", "psycopg")
LONGEST_SAID = 160


def as_line(outcome: Outcome) -> str:
    """For a terminal."""
    row = outcome.row
    counts = f"{outcome.seconds:5.0f} s {outcome.attempts:3} attempts"
    lines = [f"{row.name:18} {outcome.verdict:7} {counts}  {row.what}"]
    lines += [f"{'':18} said: {outcome.said}"] if outcome.said else []
    lines += [f"{'':18} {line}" for wrong in outcome.wrong for line in wrong.splitlines()]
    return "\n".join(lines)


def as_json(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    return [{**vars(outcome), "row": outcome.row.name} for outcome in outcomes]


def from_json(path: Path) -> dict[str, Outcome]:
    """What was written of rows that still exist."""
    found = json.loads(path.read_text())
    return {one["row"]: Outcome(**{**one, "row": ROWS[one["row"]]}) for one in found if one["row"] in ROWS}


def as_markdown(outcomes: Sequence[Outcome]) -> str:
    """The table, with when and on what it came about."""
    table = ["| fault | outcome | seconds | attempts | what was said |", "|---|---|---|---|---|"]
    for one in outcomes:
        said = one.said or ("; ".join(one.wrong).replace("\n", " ") if one.verdict != "ok" else "")
        said = re.sub(r"(?:/[\w.-]+)+/(?=[\w.-])", ".../", said)  # folders of that moment and of that machine
        said = said if len(said) <= LONGEST_SAID else f"{said[:LONGEST_SAID]}..."
        cells = (one.row.what, one.verdict, f"{one.seconds:.0f}", str(one.attempts), said.replace("|", "\\|"))
        table.append("| " + " | ".join(cells) + " |")
    left = [row.what for name, row in ROWS.items() if name not in {one.row.name for one in outcomes}]
    rest = ["", f"Not tried that time: {'; '.join(left)}."] if left else []
    return "\n".join([_where(len(outcomes)), "", *table, *rest, ""])


def _where(n: int) -> str:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)
    return (
        f"{time.strftime('%Y-%m-%d')}, n = 1 for each of {n} faults, {os.cpu_count()} cores of {_processor()}, Python "
        f"{platform.python_version()}, {versions}."
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()
