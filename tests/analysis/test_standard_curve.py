"""Plain training as the measure of a search: which runs it is of, and when they were known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from reprtune.analysis.standard_curve import KnownStretches, StandardCurves, is_usable
from reprtune.record.schema import SeedRun, StudyRecord, TrialRecord
from reprtune.spec.space import Choice, FloatRange
from reprtune.spec.study import Arm
from tests.factories import CONTROLS, SPACE, make_spec, make_study
from tests.flat import with_attempts


@pytest.mark.parametrize(
    ("fields", "usable"),
    [
        ({}, True),
        ({"space": {**SPACE, "method.restore_lr": Choice(options=("continue", "restart"))}}, True),
        ({"space": {**SPACE, "training.lr": FloatRange(low=0.01, high=0.1)}}, False),
        ({"space": {**SPACE, "model.width": Choice(options=(4, 8))}}, False),
        ({"controls": CONTROLS[1:]}, False),
        ({"controls": (Arm(name="standard", changes={"method.criterion": "l2"}),)}, False),
        ({"controls": (Arm(name="standard", changes={"method": "standard", "training.lr": 0.3}),)}, False),
        (
            {"controls": (Arm(name="standard", changes={"method": "standard", "training.total": "9ep"}),)},
            False,
        ),
    ],
)
def test_the_search_varies_the_method_alone_and_standard_is_the_rest(
    fields: dict[str, Any], usable: bool
) -> None:
    """Anything else that differs, in the search or in the arm, makes two curves that say nothing of each other."""
    assert is_usable(make_spec(**fields)) is usable


def plain(record: StudyRecord) -> list[TrialRecord]:
    return [t for t in record.controls if t.arm == "standard"]


def mean(trials: list[TrialRecord]) -> list[float]:
    return np.mean([[p.val_error for p in t.history.points] for t in trials], axis=0).tolist()


def test_a_run_counts_from_its_end_on_and_only_when_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first end there is no curve, then the mean of those that had ended; one that failed is left out."""
    monkeypatch.setattr("reprtune.stopping.standard.smoothed", lambda points, _: points)
    record = make_study(8)
    runs = sorted(plain(record), key=lambda t: t.ended)
    steps = [p.step for p in runs[0].history.points]
    curves = StandardCurves(record)
    assert curves.at(runs[0].ended - 1) is None
    for n, run in enumerate(runs, 1):
        assert [curves.at(run.ended).at(s) for s in steps] == pytest.approx(mean(runs[:n]))
    assert curves.at() is curves.at(runs[-1].ended), "made once"
    failed = replace(runs[0], outcome="diverged")
    others = [t for t in record.controls if t is not runs[0]]
    found = StandardCurves(with_attempts(record, controls=(failed, *others)))
    assert [found.at().at(s) for s in steps] == pytest.approx(mean(runs[1:]))


def test_an_older_record_has_the_stretches_of_its_schedule() -> None:
    """Of the base, or of what was drawn where the search varies the optimisation; what is recorded comes first."""
    told = ((0, "1"), (9, "0.5"))
    assert KnownStretches(make_spec(), 1).of(SeedRun(seed=0, stretches=told), {}) == told
    assert KnownStretches(make_spec(), 1).of(SeedRun(seed=0), {}) == ((0, "1"), (40, "0.1"), (70, "0.01"))
    searched = make_spec(space={"training.lr_gamma": FloatRange(low=0.1, high=0.5)})
    found = KnownStretches(searched, 2).of(SeedRun(seed=0), {"lr_gamma": 0.5})
    assert found == ((0, "1"), (80, "0.5"), (140, "0.25"))
