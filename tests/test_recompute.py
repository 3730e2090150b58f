"""What a report states comes out again by other means, and what does not is found."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace

import pytest

from dashboards.report import write_report
from reprtune.record.schema import SeedRun, StudyRecord
from reprtune.spec.space import Choice, FloatRange, IntRange
from tests import recompute
from tests.confirmed import confirmed, searched
from tests.factories import make_study
from tests.flat import with_attempts


def with_second_seed(record: StudyRecord) -> StudyRecord:
    """Every complete trial has an earlier seed whose errors are those of the last one and 0.01 more."""

    def run(t):
        last = t.runs[-1].measured
        return SeedRun(seed=1, history=t.history, measured={**last, "val_error": last["val_error"] + 0.01})

    return with_attempts(
        record,
        trials=tuple(
            replace(
                t, earlier=(run(t),), values={k: v + 0.005 * (k == "val_error") for k, v in t.values.items()}
            )
            if t.values
            else t
            for t in record.trials
        ),
    )


STUDIES = {
    "mixed": make_study(48, outcomes=("complete", "complete", "complete", "stopped")),
    "one objective, several seeds": with_second_seed(make_study(24, objectives=("val_error",), extras=())),
    "other space": make_study(
        40,
        outcomes=("complete",),
        extras=(),
        space={
            "training.lr": FloatRange(low=0.001, high=0.5, log=True),
            "method.prune_ratio": FloatRange(low=0.1, high=0.55, step=0.1),
            "method.cycles": IntRange(low=1, high=4, step=2),
            "model.batch_norm": Choice(options=(True, False)),
        },
    ),
    "few": make_study(3, outcomes=("complete", "error"), extras=()),
    "none": make_study(0, extras=(), control_seeds=()),
}


@pytest.mark.parametrize("study", STUDIES)
def test_every_number_comes_out_again(study, tmp_path):
    """No statement of a report differs from what its own tables give by other means."""
    write_report(STUDIES[study], tmp_path / "out")
    found = list(recompute.statements(tmp_path / "out"))
    assert [(s.what, s.stated, s.found) for s in found if not s.agrees] == []
    if study == "mixed":  # nothing was quietly passed over
        said = " ".join(s.what for s in found)
        for kind in (
            "hypervolume",
            "ped-anova",
            "fanova",
            "rank correlation",
            "against all",
            "p, Holm",
            "interval",
        ):
            assert kind in said


def test_a_confirmation_comes_out_again(tmp_path):
    """Paired differences on the test part, their intervals, p and Holm; p counts a diverged run with chance error."""
    errors = {
        "slot-0": (0.04, 0.05, 0.045, 0.06),
        "standard": (0.06, 0.055, 0.07, 0.064),
        "paper": (0.05, 0.05, 0.066, "diverged"),
        "random-drop": (0.07, 0.05, 0.06, 0.055),
    }
    write_report(confirmed(searched(0.05, 0.06, 0.07), errors), tmp_path / "out")
    found = [s for s in recompute.statements(tmp_path / "out") if s.what.startswith("confirmed")]
    assert [(s.what, s.stated, s.found) for s in found if not s.agrees] == []
    said = [s.what for s in found]
    assert "confirmed slot-0 minus standard: interval" in said and "confirmed: p, Holm" in said


def test_a_wrong_number_is_found(tmp_path, capsys):
    """One share changed by a thousandth fails the check, and is named."""
    folder = write_report(STUDIES["one objective, several seeds"], tmp_path / "out").parent
    assert recompute.main(str(folder)) == 0
    path = folder / "figures" / "importance.json"
    page = json.loads(path.read_text())
    page["importances"]["answers"][0]["shares"]["cycles"] += 0.001
    path.write_text(json.dumps(page))
    assert recompute.main(str(folder)) == 1
    assert "DIFFERS  importance, ped-anova of val_error" in capsys.readouterr().out


def test_it_runs_as_a_command(monkeypatch):
    """`python -m tests.recompute` without a folder says how to call it, and fails."""
    monkeypatch.setattr("sys.argv", ["recompute"])
    with pytest.raises(SystemExit, match="FOLDER"):
        runpy.run_path(recompute.__file__, run_name="__main__")
