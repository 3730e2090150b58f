"""The README's way through one real study: what is left in Optuna, in MLflow and in the report."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections import Counter
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from reprtune.record.database import open_storage
from reprtune.record.schema import StudyRecord
from reprtune.record.storage import read_study
from reprtune.states.store import StateStore
from studies.smoke import STUDY
from tests.command import Command
from tests.work.tiny_worker import create, work

# mlflow 3.17 on SQLAlchemy 2.1 warns of itself
STATUSES = {TrialState.COMPLETE: "FINISHED", TrialState.PRUNED: "KILLED", TrialState.FAIL: "FAILED"}


@pytest.fixture(scope="module")
def record(finished: Command) -> StudyRecord:
    return read_study(open_storage(finished.settings.storage_url), STUDY.name)


@pytest.fixture(scope="module")
def report(finished: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "here"
    said = finished("study", "report", STUDY.name, "--output", str(folder))
    assert said.stdout.strip() == str(folder / "report.html")
    return folder


def by_slot(trials: list[optuna.trial.FrozenTrial]) -> dict[int, optuna.trial.FrozenTrial]:
    """The attempt that used each slot up: one for each."""
    used = [t for t in trials if t.user_attrs["result"]["outcome"] != "infeasible"]
    assert len({t.user_attrs["slot"] for t in used}) == len(used)
    return {t.user_attrs["slot"]: t for t in used}


def test_optuna_has_every_slot_once_inside_the_space(finished: Command) -> None:
    """Exactly the budget; parameters inside their ranges; objectives minimised, with their names."""
    study = optuna.load_study(study_name=STUDY.name, storage=finished.settings.storage_url)
    assert study.metric_names == list(STUDY.objectives)
    assert [d.name for d in study.directions] == ["MINIMIZE", "MINIMIZE"]
    slots = by_slot(study.trials)
    assert sorted(slots) == list(range(STUDY.slots))
    for trial in study.trials:
        assert trial.params.keys() == STUDY.params.keys()
        assert all(trial.params[name] in (r.values() or ()) for name, r in STUDY.params.items())
    for trial in slots.values():
        assert (trial.values is not None) == (trial.state == TrialState.COMPLETE)
        fits = trial.params["cycles"] * (trial.params["s1_epochs"] + trial.params["s2_epochs"]) <= 6
        assert fits, "a draw that does not fit uses no slot up"
    controls = optuna.load_study(study_name=f"{STUDY.name}.controls", storage=finished.settings.storage_url)
    cells = [(t.user_attrs["arm"], t.user_attrs["seed"]) for t in controls.trials]
    assert Counter(cells) == {(arm, seed): 1 for arm in ("standard", "random-drop") for seed in (0, 1)}
    assert all(t.state == TrialState.COMPLETE for t in controls.trials)


def test_histories_tell_the_whole_training(record: StudyRecord) -> None:
    """Complete trials end at the last step; drops and restores where the schedule has them; a stopped one
    ends at a rung, as the whole network just before its second drop."""
    for trial in record.final():
        history = trial.history
        assert history is not None
        s1, s2 = (8 * trial.params[f"s{i}_epochs"] for i in (1, 2))
        drops = [c * (s1 + s2) + s1 for c in range(trial.params["cycles"])]
        if trial.outcome == "complete":
            assert trial.last_step == history.total_steps == 48
            assert [d.step for d in history.drops] == drops
            assert trial.values is not None
            assert trial.values["val_error"] == history.points[-1].val_error
            assert trial.values["train_gflops"] == pytest.approx(history.points[-1].gflops)
        else:
            assert trial.outcome == "stopped"
            assert trial.last_step in history.rungs and history.points[-1].phase == "full"
            assert min(history.rungs) == s1 + s2 + s1
        n_drop = round(trial.params["prune_ratio"] * 16)  # conv2 and conv3 of 8 filters
        assert all(sum(map(len, d.dropped.values())) == n_drop for d in history.drops)
        assert all("conv1" not in d.dropped for d in history.drops)


def test_the_common_beginning_is_trained_once(record: StudyRecord) -> None:
    """All trials of the base seed begin alike for S1 of 1 or 2 epochs; that is spent once, and what is
    recorded as each trial's own cost is what it would have been alone."""
    trials = [t for t in (*record.trials, *record.controls) if t.outcome in ("complete", "stopped")]
    alike = [t for t in trials if t.seed == STUDY.base.seed]
    spent = sum(t.result["steps_spent"] for t in alike)
    alone = sum(t.result["steps_alone"] for t in alike)
    assert all(t.result["steps_alone"] == t.last_step for t in alike)
    assert spent <= alone - 8 * (len(alike) - 1)  # at least the first epoch of all but one


def test_only_the_ends_of_trials_stay_in_the_folder_of_states(finished: Command, record: StudyRecord) -> None:
    """When nothing is left to share, beginnings and pauses are gone."""
    ends = {t.result["state"] for t in (*record.final(), *record.controls)}
    there = {path.stem for path in StateStore(finished.settings.states).folder.glob("??/*.state")}
    assert there == ends


def test_mlflow_has_a_run_for_each_slot_under_the_studys(finished: Command, record: StudyRecord) -> None:
    """Nested, with statuses, parameters, tags, every point once, configuration and plots with their script."""
    from reprtune.tracking.mlflow.connection import connect

    client = connect(finished.settings.mlflow_uri)
    experiment = client.get_experiment_by_name(STUDY.name)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    [parent] = [r for r in runs if r.data.tags["reprtune.role"] == "study"]
    assert parent.info.status == "FINISHED"
    children = {
        (r.data.tags["reprtune.arm"], int(r.data.tags["reprtune.slot"])): r for r in runs if r is not parent
    }
    assert len(children) == len(runs) - 1 == STUDY.slots + 4
    used = [t for t in (*record.trials, *record.controls) if t.outcome != "infeasible"]
    for trial in used:
        run = children[trial.arm or "search", trial.slot]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.info.status == {"complete": "FINISHED", "stopped": "KILLED"}[trial.outcome]
        assert run.data.tags["reprtune.outcome"] == trial.outcome
        for name, value in trial.params.items():
            assert str(value) == run.data.params[name]
            if not isinstance(value, str):
                assert run.data.metrics[f"hp.{name}"] == value
        assert trial.history is not None
        expected = [(p.step, p.val_error) for p in trial.history.points]
        sent = client.get_metric_history(run.info.run_id, "val_error")
        assert sorted((m.step, m.value) for m in sent) == expected
        network = {"network"} if trial.outcome == "complete" else set()
        artifacts = {a.path for a in client.list_artifacts(run.info.run_id)}
        assert artifacts == {"config.json", "plots.html"} | network


def test_mlflows_plots_need_no_network(finished: Command, tmp_path: Path) -> None:
    """They weigh little, and no script, style or font comes from elsewhere; config.json is the trial."""
    from reprtune.tracking.mlflow.connection import connect

    client = connect(finished.settings.mlflow_uri)
    experiment = client.get_experiment_by_name(STUDY.name)
    assert experiment is not None
    [run] = client.search_runs([experiment.experiment_id], "tags.`reprtune.arm` = 'standard'", max_results=1)
    page = Path(client.download_artifacts(run.info.run_id, "plots.html", str(tmp_path))).read_text()
    assert len(page) < 400_000 and page.count('role="img"') > 0
    outside = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert "<script src" not in outside and 'src="http' not in outside and 'href="http' not in outside
    config = Path(client.download_artifacts(run.info.run_id, "config.json", str(tmp_path))).read_text()
    assert set(map(str, json.loads(config)["method"].values())) == {"None", "[]"}


def test_the_report_is_whole_and_agrees_with_optuna(finished: Command, report: Path) -> None:
    """One page, its numbers as JSON and CSV, and a manifest whose checksums hold."""
    manifest = json.loads((report / "manifest.json").read_text())
    for name, checksum in manifest["files"].items():
        found = checksum["sha256"] if isinstance(checksum, dict) else checksum
        assert hashlib.sha256((report / name).read_bytes()).hexdigest() == found
    on_disk = {p.relative_to(report).as_posix() for p in report.rglob("*") if p.is_file()}
    assert on_disk == {*manifest["files"], "manifest.json"}
    assert all(json.loads(p.read_text()) for p in (report / "figures").glob("*.json"))
    study = optuna.load_study(study_name=STUDY.name, storage=finished.settings.storage_url)
    with (report / "trials.csv").open() as file:
        rows = {int(row["optuna_trial"]): row for row in csv.DictReader(file) if row["section"] == "search"}
    for trial in study.trials:
        if trial.values is not None:
            row = rows[trial.number]
            assert float(row["val_error"]) == pytest.approx(trial.values[0])
            assert float(row["train_gflops"]) == pytest.approx(trial.values[1])


def test_running_a_finished_study_again_does_nothing(finished: Command, record: StudyRecord) -> None:
    """Exit code 0, the same trials, no state more."""
    finished("study", "run", STUDY.name, "--workers", "2")
    again = read_study(open_storage(finished.settings.storage_url), STUDY.name)
    assert again.trials == record.trials and again.controls == record.controls


def test_creating_it_again_changes_nothing(finished: Command, record: StudyRecord) -> None:
    """The same study is already there; another one of its name is refused, field by field."""
    said = finished.quick("study", "create", STUDY.name)
    assert "Already there, unchanged" in said.stdout
    refused = finished.quick(
        "study", "create", STUDY.name, "--set", "slots=7", "--set", "training.lr=0.05", code=1
    ).stderr
    assert "slots: 6 there, 7 here" in refused
    assert "base.training.lr: 0.1 there, 0.05 here" in refused
    assert "--name" in refused
    again = read_study(open_storage(finished.settings.storage_url), STUDY.name)
    assert again == record


def test_what_status_list_and_show_print(finished: Command) -> None:
    """Data on stdout; JSON where asked for."""
    assert "6 of 6 slots" in finished.quick("study", "status", STUDY.name).stdout
    status = json.loads(finished.quick("study", "status", STUDY.name, "--json").stdout)
    assert (status["slots"], status["pending"]) == (6, 0)
    assert STUDY.name in finished.quick("study", "list").stdout
    assert [row["name"] for row in json.loads(finished.quick("study", "list", "--json").stdout)] == [
        STUDY.name
    ]
    shown = finished.quick("study", "show", STUDY.name).stdout
    assert STUDY.question in shown and "base.method.s1" in shown
    assert json.loads(finished.quick("study", "show", STUDY.name, "--json").stdout)["name"] == STUDY.name


def test_delete_removes_the_study_and_its_states_and_leaves_mlflow(command: Command) -> None:
    """Without --yes a person is asked; with it the record and the states are gone, MLflow's runs are not."""
    from reprtune.tracking.mlflow.connection import connect

    work(create(command.runs, slots=2, controls=()))
    command.quick("study", "sync", "tiny")
    n_states = len(list(command.settings.states.glob("??/*.state")))
    assert n_states > 0
    command.quick("study", "delete", "tiny", code=1)  # nobody answers the question
    assert json.loads(command.quick("study", "list", "--json").stdout) != []
    command.quick("study", "delete", "tiny", "--yes")
    assert json.loads(command.quick("study", "list", "--json").stdout) == []
    assert list(command.settings.states.glob("??/*.state")) == []
    names = [s.study_name for s in optuna.get_all_study_summaries(command.settings.storage_url)]
    assert names == []
    client = connect(command.settings.mlflow_uri)
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    assert len(client.search_runs([experiment.experiment_id])) == 3
