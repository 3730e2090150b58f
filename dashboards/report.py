"""One study as a folder: a self-contained page, the JSON of each figure, tables, and a manifest."""

from __future__ import annotations

import csv
import hashlib
import importlib.metadata
import io
import json
import math
import os
import platform
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import reprtune
from dashboards.arms import arm_words
from dashboards.html import Section, render
from dashboards.page import Words
from dashboards.pages import Page, pages_of
from dashboards.runs import run_addresses
from dashboards.tables import KINDS, table_files
from dashboards.units import count, listed, moment
from reprtune.analysis.effect_rows import EFFECT_COLUMNS, effect_rows
from reprtune.analysis.tables import (
    COMPARISON_COLUMNS,
    CONFIRMATION_COLUMNS,
    CONTROL_COLUMNS,
    DECISION_COLUMNS,
    comparison_rows,
    confirmation_rows,
    control_rows,
    decision_rows,
    trial_columns,
    trial_rows,
)
from reprtune.analysis.try_rows import try_columns, try_rows
from reprtune.errors import StudyError
from reprtune.record.schema import StudyRecord
from reprtune.spec.codec import to_plain

MANIFEST = "manifest.json"
TABLES = (
    ("trials.csv", "all attempts (CSV)"),
    ("decisions.csv", "decisions (CSV)"),
    ("controls.csv", "{arms} (CSV)"),
    ("effects.csv", "effects of {arms} (CSV)"),
    ("tuning.csv", "tries of {arms} (CSV)"),
    ("confirmation.csv", "confirmation (CSV)"),
    ("comparisons.csv", "comparisons of the confirmation (CSV)"),
)


def write_report(record: StudyRecord, folder: Path, *, mlflow: str | None = None) -> Path:
    """Write the report of a study, finished or not, into `folder`; returns the path of the page.

    Everything is made before anything is written, each file is replaced at once, and the manifest,
    which names the others with their digests, comes last. Other files in the folder are left alone.
    Trials are linked to their runs where `mlflow`, the address of MLflow's page, is given.

    Raises:
        StudyError: the folder cannot be written.
    """
    files = report_files(record, time.time(), mlflow)
    try:
        _place(files, folder)
    except OSError as error:
        raise StudyError(
            f"The report cannot be written to {folder}: {error.strerror or error}.",
            "Give a folder that you can write to.",
        ) from error
    return folder / "report.html"


def report_files(record: StudyRecord, now: float, mlflow: str | None = None) -> dict[str, bytes]:
    """Name -> content of every file of the report made at `now`, the manifest last."""
    pages = pages_of(record)
    infos = {key: page.info(record) for key, page in pages.items()}
    words = {key: pages[key].words(info) for key, info in infos.items()}
    texts = {"report.html": _html(record, pages, infos, words, now, mlflow)}
    texts |= {f"figures/{key}.json": json_text(info) for key, info in infos.items()}
    for key, said in words.items():
        texts |= table_files(key, said.table) if said.table else {}
    texts["trials.csv"] = csv_text(trial_columns(record), trial_rows(record))
    texts["decisions.csv"] = csv_text(DECISION_COLUMNS, decision_rows(record))
    texts["controls.csv"] = csv_text(CONTROL_COLUMNS, control_rows(record))
    texts["effects.csv"] = csv_text(EFFECT_COLUMNS, effect_rows(record))
    if record.tries:
        texts["tuning.csv"] = csv_text(try_columns(record), try_rows(record))
    texts["confirmation.csv"] = csv_text(CONFIRMATION_COLUMNS, confirmation_rows(record))
    texts["comparisons.csv"] = csv_text(COMPARISON_COLUMNS, comparison_rows(record))
    files = {name: text.encode() for name, text in texts.items()}
    return {**files, MANIFEST: json_text(_manifest(record, files, now)).encode()}


def _html(
    record: StudyRecord,
    pages: Mapping[str, Page],
    infos: Mapping[str, Any],
    words: Mapping[str, Words],
    now: float,
    mlflow: str | None,
) -> str:
    arms = arm_words(record.spec)
    offered = [(file, text) for file, text in TABLES if record.tries or file != "tuning.csv"]
    tables = tuple((file, text.format(arms=arms.many)) for file, text in offered)
    sections = [
        Section(
            key=key,
            title=words[key].title or page.title,
            short=words[key].short or page.short,
            words=words[key],
            drawing=page.figure(infos[key]),
            links=((f"figures/{key}.json", "this page (JSON)"), *tables),
            table_links=tuple((f"tables/{key}.{kind}", name) for kind, name in KINDS),
        )
        for key, page in pages.items()
    ]
    parts = [
        (record.trials, "of the search"),
        (record.tries, "of tries"),
        (record.controls, f"of the {arms.many}"),
    ]
    said = listed([f"{count(len(trials), 'attempt')} {what}" for trials, what in parts if trials])
    subtitle = f"Study report of {moment(now)}: {said or 'no attempt yet'}."
    footer = (
        f"Written by reprtune {reprtune.__version__}. {MANIFEST} names every file with its digest. "
        "How to read it, page by page, and what not to conclude: docs/report.md of reprtune."
    )
    runs = run_addresses(record, mlflow) if mlflow else {}
    return render(record.spec.name, subtitle, sections, footer, runs=runs)


def _manifest(record: StudyRecord, files: Mapping[str, bytes], now: float) -> dict[str, Any]:
    packages = ("plotly", "optuna", "scipy")
    return {
        "study": record.spec.name,
        "digest": record.digest,
        "created": record.created,
        "made": now,
        "versions": {
            "reprtune": reprtune.__version__,
            "study": record.version,
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in packages},
        },
        "attempts": record.counts(),
        "controls": len(record.controls),
        **({"tries": len(record.tries)} if record.tries else {}),
        "files": {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            for name, content in files.items()
        },
    }


def json_text(value: Any) -> str:
    """Readable JSON; numbers that are not finite become null."""
    return json.dumps(_finite(to_plain(value)), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def csv_text(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """A header and the rows."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _place(files: Mapping[str, bytes], folder: Path) -> None:
    """Write all files beside `folder`, then move them in; a new folder appears at once."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    stage = folder.parent / f".{folder.name}.{secrets.token_hex(4)}"
    stage.mkdir()
    try:
        for name, content in files.items():
            (stage / name).parent.mkdir(exist_ok=True)
            (stage / name).write_bytes(content)
        if not folder.exists():
            stage.rename(folder)
            return
        for name in files:
            (folder / name).parent.mkdir(exist_ok=True)
            os.replace(stage / name, folder / name)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
