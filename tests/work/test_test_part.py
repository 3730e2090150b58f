"""The test part at the end of the runs of arms: once where there is one, and nothing where there is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.tiny_study import STUDY
from tests.work.tiny_worker import LOADED_DATA, create, work


def test_arms_are_measured_without_a_test_part_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of arms come to their end as ever; no test error is made up for them, and the search has none anyway."""
    task = LOADED_DATA.task(STUDY.base.task)
    without = replace(task, test=replace(task.test, x=task.test.x[:0], y=task.test.y[:0]))
    monkeypatch.setattr(type(LOADED_DATA), "task", lambda *_: without)
    record = work(create(tmp_path, slots=1, control_seeds=(0,)))
    assert {t.outcome for t in record.controls} == {"complete"} and record.facts["n_test"] == 0
    assert not any("test_error" in t.result for t in record.everything)
