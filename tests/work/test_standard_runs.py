"""What a worker knows when it judges: the curve of plain training so far, and the stretches of every trial's rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reprtune.analysis.standard_curve import StandardCurves
from reprtune.record.optuna_private.trials import trial_id
from reprtune.spec.space import Choice, IntRange
from reprtune.spec.stop_rules import Median
from reprtune.stopping.curves import Standing
from tests.work.tiny_worker import create, make_worker, read, search_of, work

SPACE = {"method.cycles": IntRange(low=1, high=2), "method.criterion": Choice(options=("ortho", "l2"))}


def test_a_worker_judges_with_the_runs_of_standard_that_are_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every rung is judged with the mean of both seeds of `standard` and the stretches of its own rate; the record
    tells these, and the analysis finds the same curve. A run that was repaired counts no more."""
    asked: list[Standing] = []
    monkeypatch.setattr(
        "reprtune.work.early_stop.should_stop", lambda _, standing, __: bool(asked.append(standing))
    )
    settings = create(tmp_path, space=SPACE, stop=Median())
    record = work(settings)
    plain = [t for t in record.controls if t.arm == "standard"]
    errors = np.mean([[p.val_error for p in t.history.points] for t in plain], axis=0)
    steps = [p.step for p in plain[0].history.points]
    rates = ((0, "1"), (4, "0.1"), (6, "0.01"))  # 8 steps, 40 % and 70 % of them
    assert asked and {standing.stretches for standing in asked} == {rates}
    for standing in asked:
        assert [standing.standard.at(step) for step in steps] == pytest.approx(errors.tolist())
    assert [t.stretches for t in record.complete()] == [rates] * 4
    assert [StandardCurves(record).at().at(step) for step in steps] == pytest.approx(errors.tolist())
    queue = search_of(settings)
    monkeypatch.setattr(queue.view, "repaired", lambda name: (plain[0].number,) if name == "controls" else ())
    assert queue.standard().at(steps[0]) == pytest.approx(plain[1].history.points[0].val_error)


def test_the_curve_is_read_once_and_grows_with_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None before the first is complete; then each run's history is asked for once."""
    settings = create(tmp_path, space=SPACE, stop=Median())
    queue = search_of(settings)
    assert queue.standard() is None
    worker = make_worker(settings)
    worker.run()
    read_ids: list[int] = []
    get = queue.view.storage.get_trial
    monkeypatch.setattr(
        queue.view.storage, "get_trial", lambda number: (read_ids.append(number), get(number))[1]
    )
    first = queue.standard()
    assert first is not None and queue.standard() is first
    controls = next(s for s in queue.spec.sections if s.name == "controls")
    plain = [t for t in queue.view.frozen(queue.spec, controls) if t.user_attrs["arm"] == "standard"]
    assert sorted(read_ids) == sorted(map(trial_id, plain))
    worker.storage.engine.dispose()


@pytest.mark.parametrize("changes", [{}, {"space": SPACE, "controls": ()}])
def test_there_is_no_such_curve_where_trials_cannot_be_told_from_it(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    """The tiny study searches the learning rate; another has no arm of that name."""
    settings = create(tmp_path, stop=Median(), **changes)
    work(settings)
    assert search_of(settings).standard() is None
    assert StandardCurves(read(settings)).at() is None
