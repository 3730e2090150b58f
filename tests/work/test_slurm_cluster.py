"""A real SLURM, on this machine: nodes that lose their place, and a study that loses nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState

from reprtune.record.trials import outcome
from reprtune.spec.edit import changed
from reprtune.spec.space import IntRange
from reprtune.training.chain.chain import Chain
from tests import slurm
from tests.command import Command, used_up
from tests.flat import with_fields
from tests.postgres import PostgreSQL
from tests.slurm import Cluster
from tests.tiny_study import STUDY
from tests.work.tiny_worker import LOADED_DATA, create

pytestmark = [
    pytest.mark.slow,  # minutes: SLURM waits before it starts again what it has queued again
    pytest.mark.skipif(bool(slurm.missing()), reason=slurm.missing()),
]
FITTING = {**STUDY.space, "method.cycles": IntRange(low=1, high=1)}
LONG = changed(STUDY.base, {"training.total": "800ep"})  # 1600 steps, each epoch of two evaluated


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with slurm.running_cluster() as cluster:
        yield cluster


@pytest.fixture
def user(tmp_path: Path, cluster: Cluster, postgresql: PostgreSQL) -> Iterator[Command]:
    """Who types the commands; the study is stored, with two long slots."""
    shared: dict[str, str] = {**cluster.environment, "REPRTUNE_STORAGE": postgresql.new(), "MLFLOW_TRACKING_URI": "none",
              "REPRTUNE_HEARTBEAT_SECONDS": "1", "REPRTUNE_GRACE_SECONDS": "60"}  # fmt: skip
    with closing(Command(tmp_path / "runs", shared)) as command:
        command.runs.mkdir()
        create(command.runs, storage=command.settings.storage, slots=2, controls=(), space=FITTING, base=LONG)
        yield command


def submit(user: Command, cluster: Cluster, way: str, n: int) -> list[str]:
    """As the docs say, through submitit or with sbatch; the elements of the array."""
    words = ("study", "launch", "tiny", "--slurm", "--nodes", str(n), "--time", "1h")
    if way == "submitit":
        said = user(*words).stdout
        return re.findall(r"\d+(?:_\d+)?", said.splitlines()[0])
    path = user.runs / "job.sh"
    path.write_text(user(*words, "--print").stdout)
    said = cluster("sbatch", "--chdir", str(user.runs), str(path), environment=user._environment())
    return [f"{said.split()[-1]}_{i}" for i in range(n)]


def training(user: Command) -> list[FrozenTrial]:
    """Trials some of whose steps are done."""
    trials = [t for t in user.trials("tiny") if t.state == TrialState.RUNNING]
    return [t for t in trials if t.user_attrs.get("progress", {}).get("step", 0) > 60]


def check_nothing_lost(user: Command) -> list[FrozenTrial]:
    """Each slot ended once, none was lost on the way, and each came to what an undisturbed run comes to."""
    trials = user.trials("tiny")
    assert used_up(trials) == [0, 1]
    assert {outcome(t) for t in trials} <= {"complete", "interrupted", "infeasible", "repeated"}
    done = [t for t in trials if outcome(t) == "complete"]
    for trial in done:
        run = Chain(with_fields(STUDY, base=LONG, space=FITTING).trial(trial.params), LOADED_DATA)
        for _ in run:
            pass
        assert run.history.points[-1].val_error == trial.values[0]
    return done


def logs(user: Command) -> str:
    return "\n".join(p.read_text() for p in sorted(user.runs.rglob("*.[lo][ou][gt]")))


def node(row: dict[str, Any]) -> str:
    return str(row["NodeList"])


@pytest.mark.parametrize("way", ["sbatch", "submitit"])
def test_a_trial_begun_on_one_node_ends_on_the_other(user: Command, cluster: Cluster, way: str) -> None:
    """Its node is drained and its job queued again: it saves, and goes on elsewhere from where it was."""
    [job] = submit(user, cluster, way, 1)
    cluster.wait(lambda: training(user), "a trial that is trained")
    first = node(cluster.jobs()[job])
    cluster("scontrol", "update", f"nodename={first}", "state=drain", "reason=test")
    try:
        cluster("scontrol", "requeue", cluster.jobs()[job]["JobId"])
        ended = cluster.wait_for(job, "COMPLETED")
    finally:
        cluster("scontrol", "update", f"nodename={first}", "state=resume")
    assert {first, node(ended)} == {"n1", "n2"} and ended["Restarts"] == "1", logs(user)
    done = check_nothing_lost(user)
    assert [t for t in done if t.user_attrs.get("attempt")], "no trial was handed over"
    assert all(t.user_attrs["result"]["steps_alone"] == 1600 for t in done)


@pytest.mark.parametrize("way", ["sbatch", "submitit"])
def test_an_array_that_is_preempted_goes_on_when_its_nodes_are_free(
    user: Command, cluster: Cluster, way: str
) -> None:
    """Two elements work beside each other; a job of a higher partition takes both nodes for a moment."""
    jobs = submit(user, cluster, way, 2)
    cluster.wait(lambda: len(training(user)) == 2, "two trials that are trained")
    assert {node(cluster.jobs()[job]) for job in jobs} == {"n1", "n2"}
    more = cluster("sbatch", "--partition=high", "--nodes=2", "--chdir", str(user.runs), "--wrap", "sleep 5")
    cluster.wait_for(more.split()[-1], "COMPLETED")
    for job in jobs:
        ended = cluster.wait_for(job, "COMPLETED")
        assert int(ended["Restarts"]) >= 1, logs(user)
    check_nothing_lost(user)


def test_a_job_that_is_cancelled_gives_its_slot_back_and_stays_away(user: Command, cluster: Cluster) -> None:
    """SLURM asks in the same way; nobody queues it again."""
    [job] = submit(user, cluster, "sbatch", 1)
    cluster.wait(lambda: training(user), "a trial that is trained")
    cluster("scancel", cluster.jobs()[job]["JobId"])
    cluster.wait_for(job, "CANCELLED")
    cluster.wait(lambda: not [t for t in user.trials("tiny") if t.state == TrialState.RUNNING], "given back")
    assert cluster.jobs()[job]["JobState"] == "CANCELLED", logs(user)
    assert sorted({outcome(t) for t in user.trials("tiny")}) == ["interrupted", "waiting"]
