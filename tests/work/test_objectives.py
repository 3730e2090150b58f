"""Objectives from a training to every page."""

from __future__ import annotations

import csv
import itertools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import optuna
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from dashboards.report import write_report
from reprtune.record.measures import at_the_end
from reprtune.record.schema import StudyRecord
from reprtune.settings import Settings
from reprtune.spec.duration import Duration
from reprtune.spec.edit import changed
from reprtune.spec.objectives import OBJECTIVES
from reprtune.spec.space import FloatRange
from reprtune.tracking.journal import Journal
from reprtune.training.chain.chain import Chain
from tests.conftest import ROOT
from tests.test_recompute import recompute
from tests.tiny_study import STUDY
from tests.training.removed import Removed
from tests.work.tiny_worker import LOADED_DATA, create, work

pytestmark = pytest.mark.usefixtures("short_lease")
# Two epochs of the whole network and two of the sub-network, which is left in the end.
ENDS_SMALL = changed(STUDY.base, {"method.s1": "2ep", "method.s2": "2ep", "model.width": 6})
SPACE = {"method.prune_ratio": FloatRange(low=0.1, high=0.6)}
NAMES = ("val_error", "inference_gflops", "params")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, StudyRecord]:
    """Twelve trials with two seeds each, whose networks end at different sizes, and the controls."""
    settings = create(
        tmp_path_factory.mktemp("sizes"), objectives=NAMES, base=ENDS_SMALL, space=SPACE, seeds=2, slots=12
    )
    return settings, work(settings)


def sizes(run: Chain) -> dict[str, float]:
    """Of a network with the absent filters cut out: operations as torch counts them, parameters by hand."""
    live, keep = run.networks, run.networks.network.keep
    absent = {n: (~keep[s]).nonzero().flatten() for n, s in live.filters.slices().items()}
    small = Removed(live.model.eval(), absent)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        small.logits(torch.zeros(1, *live.task.input_shape))
    widths = [live.task.input_shape[0], *(int(keep[s].sum()) for s in live.filters.slices().values())]
    convolutions = sum(9 * a * b + 2 * b for a, b in itertools.pairwise(widths))
    n_classes = live.task.n_classes
    params = convolutions + widths[-1] * n_classes + n_classes
    return {"inference_gflops": counter.get_total_flops() / 1e9, "params": params}


def test_the_network_of_the_end_is_measured_and_averaged_over_seeds(
    found: tuple[Settings, StudyRecord],
) -> None:
    """Of slots trained again alone; the two objectives of the network are told to Optuna beside the error."""
    settings, study = found
    assert study.counts() == {"complete": 12}
    trial = study.trials[3]
    runs = [Chain(replace(study.spec.trial(trial.params), seed=seed), LOADED_DATA) for seed in (0, 1)]
    assert all(sum(1 for _ in run) and not run.networks.network.is_full for run in runs)
    measured = [sizes(run) for run in runs]
    assert trial.values is not None and tuple(trial.values) == NAMES
    for name in NAMES[1:]:
        assert [run.measured[name] for run in trial.runs] == [m[name] for m in measured]
        assert trial.values[name] == mean(m[name] for m in measured)
    stored = optuna.load_study(study_name=STUDY.name, storage=settings.storage_url)
    assert stored.metric_names == list(NAMES)
    assert stored.trials[3].values == [trial.values[name] for name in NAMES]


def test_what_is_not_minimised_is_recorded_too(found: tuple[Settings, StudyRecord]) -> None:
    """The cost of trainings, and every number of the controls, of which the whole network's are known."""
    settings, study = found
    trial, standard = study.trials[0], next(t for t in study.controls if t.arm == "standard")
    assert at_the_end(trial, "train_gflops") == mean(
        r.history.points[-1].gflops for r in trial.runs if r.history
    )
    assert standard.values is not None and set(standard.values) == {"val_error"}
    run = Chain(study.spec.arm_cells()[standard.slot][2], LOADED_DATA)
    assert sum(1 for _ in run) and run.networks.network.is_full
    assert {name: at_the_end(standard, name) for name in NAMES[1:]} == sizes(run)
    _, end = Journal(settings.journal_dir, STUDY.name).read("search-0003")[-1]
    assert end["results"]["params"] == (study.trials[3].values or {})["params"]


def test_a_report_holds_every_objective(found: tuple[Settings, StudyRecord], tmp_path: Path) -> None:
    """Its tables, and all that it states of them comes out again."""
    _, study = found
    folder = write_report(study, tmp_path / "out").parent
    with (folder / "trials.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["section"] == "search"]
    for row, trial in zip(rows, study.trials, strict=True):
        assert {n: float(row[n]) for n in NAMES} == trial.values and float(row["train_gflops"]) > 0
    statements = list(recompute.statements(folder))
    assert [(s.what, s.stated, s.found) for s in statements if not s.agrees] == []
    assert any("of params" in s.what or "for params" in s.what for s in statements)


def test_the_versions_are_stored_with_the_study(tmp_path: Path) -> None:
    """As they are when it is created."""
    settings = create(tmp_path, slots=1, controls=())
    facts = work(settings).facts
    assert facts["objective_versions"] == {name: o.version for name, o in OBJECTIVES.items()}


SCRIPT = """
import csv, json, sys
from pathlib import Path
from reprtune.spec import objectives
name = "final_loss"
objectives.OBJECTIVES[name] = objectives.Objective(
    name=name, line="cross-entropy at the end", title="final loss", short="loss", best="the surest", unit="nats",
    sizes=((1.0, "nat"),), column="loss", source="val_loss",
)
from dashboards.report import write_report
from dashboards.terminal import show
from reprtune.analysis import chance, ranges
from reprtune.spec.paths import completed
from reprtune.tracking.mlflow.saved_view import view_state
ranges.N_HALVES = {"ped-anova": 8, "fanova": 3}
chance.N_EXCHANGES = {"ped-anova": 40, "fanova": 4}
from tests.work.tiny_worker import create, work
folder = Path(sys.argv[1])
study = work(create(folder, objectives=("val_error", name), seeds=2, slots=12, controls=()))
page = write_report(study, folder / "out")
rows = list(csv.DictReader((folder / "out" / "trials.csv").open()))
done = [r for r in rows if r["outcome"] == "complete"]
print(json.dumps({
    "losses": [[s.history.points[-1].val_loss for s in t.runs] for t in study.complete()],
    "values": [t.values[name] for t in study.complete()], "table": [float(r[name]) for r in done],
    "page": page.read_text(), "shown": show(study), "tab": completed("objectives", "val_error,f"),
    "columns": view_state([], study.spec.compared)["selectedColumns"],
}))
"""


def test_an_entry_of_the_table_is_all_that_a_new_objective_needs(tmp_path: Path) -> None:
    """It is recorded for each seed, averaged, tabled, drawn on every page, shown and completed."""
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    out: dict[str, Any] = json.loads(done.stdout)
    assert out["values"] == pytest.approx([mean(losses) for losses in out["losses"]])
    assert out["table"] == out["values"] and len(out["values"]) == 12
    for said in ("Accuracy against final loss", "final loss, nat", "loss (nat)", "Minimised: final_loss"):
        assert said in out["page"]
    assert "slot  Optuna trial  val error  loss" in out["shown"]
    assert out["tab"] == ["val_error,final_loss"] and "metrics.`val_loss`" in out["columns"]


def test_the_example_ends_as_the_sub_network() -> None:
    """Else this file would measure whole networks only."""
    method, total = ENDS_SMALL.method, ENDS_SMALL.training.total
    assert method.cycles.s1.value + method.cycles.s2.value == total.value and total == Duration.parse("4ep")
