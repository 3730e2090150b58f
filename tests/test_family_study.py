"""The studies `family` and `methods`: what is compared with what, whether it fits other lengths, and a tiny run of each."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dashboards.report import report_files
from reprtune.record.database import open_storage
from reprtune.record.schema import StudyRecord
from reprtune.record.storage import read_study
from reprtune.spec.duration import Duration
from reprtune.spec.edit import changed
from reprtune.spec.scale import scaled_study
from reprtune.spec.study import StudySpec
from reprtune.spec.trial import TrialSpec
from reprtune.training.chain.chain import Chain
from reprtune.training.chain.plan import learning_rates, plan
from studies.family import SMALLER, STUDY, TWO_NETWORKS
from studies.methods_search import METHODS
from studies.methods_search import STUDY as SEARCH
from tests.command import Command
from tests.tiny_study import STUDY as TINY
from tests.training.tiny import LOADED_DATA, go
from tests.work.tiny_worker import create, work

CIFAR = {
    "dataset": "cifar10",
    "total": "30ep",
    "assignments": ("base.task.train_images=10000", "base.model.pool=true"),
}
STEPS_PER_EPOCH = {"digits": 16, "cifar10": 117}  # 1,024 and 7,500 images in batches of 64
ON_CIFAR = scaled_study(STUDY, **CIFAR)  # type: ignore[arg-type]
OWN: dict[str, set[str]] = {  # method -> what the search varies of it
    "repr": {"cycles", "s1_epochs", "s2_epochs", "prune_ratio"},
    "transforms": {"cycles", "s1_epochs", "s2_epochs", "prune_ratio"},
    "dsd": {"cycles", "s1_epochs", "s2_epochs", "weight_ratio"},
    "sfp": {"prune_ratio"},
    "redo": {"prune_ratio"},
    "c-sgd": {"kept_share", "pull"},
    "knowledge-evolution": {"fixed_share", "generations"},
    "ban": {"generations"},
    "grafting": {"blend_a"},
}


def trials(study: StudySpec) -> dict[str, TrialSpec]:
    """Arm -> its trial with the first seed."""
    return {arm: trial for arm, seed, trial in study.arm_cells() if seed == 0}


def budget(trial: TrialSpec) -> float:
    return float(trial.method.n_members * trial.training.total.value)


@pytest.mark.parametrize("study", [STUDY, ON_CIFAR], ids=["digits", "cifar10"])
def test_arms_are_compared_within_one_budget(study: StudySpec) -> None:
    """Each with others of exactly its own: 1 but for those of two networks and what is trained twice as long."""
    found = trials(study)
    length = float(study.base.training.total.value)
    double = {arm.name for arm in TWO_NETWORKS}
    assert {name: budget(trial) / length for name, trial in found.items()} == {
        name: 2 if name in double else 1 for name in found
    }
    for arm in study.arms:
        others = arm.against or (() if arm.name in ("standard", "standard-twice") else ("standard",))
        assert {budget(found[other]) for other in others} <= {budget(found[arm.name])}


@pytest.mark.parametrize("study", [STUDY, ON_CIFAR], ids=["digits", "cifar10"])
def test_every_arm_fits_its_length(study: StudySpec) -> None:
    """With whole steps, nothing longer than the total; what restores in the end, well before it."""
    per = STEPS_PER_EPOCH[study.base.task.dataset]
    for name, trial in trials(study).items():
        trial.check_fits(per)
        items = plan(trial, per)
        assert items[-1].stop == trial.training.total.steps(per), name


def test_lengths_keep_their_shares() -> None:
    """Of 30 epochs as of 100; what happens after every epoch still does."""
    long, short = trials(STUDY), trials(ON_CIFAR)
    for name, trial in long.items():
        for word in ("s1", "s2", "srip_until"):
            length = trial.method.option(word)
            if length is not None and word in str(next(a for a in STUDY.arms if a.name == name).changes):
                assert short[name].method.option(word).value == length.value * 30 / 100, (name, word)
        if trial.method.option("period") is not None:
            assert short[name].method.option("period") == Duration.parse("1ep")
    assert str(short["standard-twice"].training.total) == "60ep"


@pytest.mark.parametrize("study", [STUDY, ON_CIFAR], ids=["digits", "cifar10"])
def test_filters_of_a_cluster_grow_equal(study: StudySpec) -> None:
    """Sum over steps of lr (pull + decay) / (1 - momentum) is at least 20, so that the trim loses nothing."""
    trial = trials(study)["c-sgd"]
    training = trial.training
    rates = learning_rates(training, STEPS_PER_EPOCH[study.base.task.dataset]).astype(np.float64)
    strength = trial.method.option("pull") + training.weight_decay
    assert rates.sum() * strength / (1 - training.momentum) >= 20


@pytest.mark.parametrize(
    ("arm", "control", "tolerance"), [("c-sgd", "narrow", 0), ("kept-tied", "fewer-weights", 0.02)]
)
def test_what_ends_smaller_is_compared_with_what_is_as_small(
    arm: str, control: str, tolerance: float
) -> None:
    """In number of parameters at the end, trained for a few steps."""
    short = scaled_study(STUDY, total="10ep", assignments=("base.task.train_images=128",))
    ends = []
    for name in (arm, control):
        run = Chain(trials(short)[name], LOADED_DATA)
        go(run)
        ends.append(run.networks.measured()["params"])
    assert ends[0] == pytest.approx(ends[1], rel=tolerance)
    whole = Chain(changed(trials(short)["standard"], {"training.total": "1ep"}), LOADED_DATA)
    go(whole)
    assert ends[1] < 0.8 * whole.networks.measured()["params"]
    assert arm in {one.name for one in SMALLER}


def test_there_is_a_rule_for_every_arm_that_claims_something() -> None:
    """Against the arms that it names; of none that is there only as a control of others."""
    claim = {rule.arm for rule in STUDY.rules}
    silent = {
        "standard",
        "standard-twice",
        "random-drop",
        "averaging",
        "ensemble",
        "smoothed",
        "narrow",
        "redo",
    }
    assert claim == {arm.name for arm in STUDY.arms} - silent - {"fewer-weights"}
    named = {arm.name: arm.against or ("standard",) for arm in STUDY.arms}
    assert all(rule.control in named[rule.arm] for rule in STUDY.rules)


# -- the search over methods ------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_draw_has_the_options_of_its_method_and_no_others(method: str) -> None:
    """And makes a trial, at both ends of every range of them."""
    for end in (0, -1):
        drawn = SEARCH.draw(
            lambda name, range_, e=end: method if name == "method" else (range_.values() or [])[e]
        )
        assert drawn.keys() == {"method", *OWN[method]}
        SEARCH.trial(drawn)
    assert SEARCH.is_conditional and OWN.keys() == set(METHODS)


def tiny_search(slots: int) -> StudySpec:
    small = ("base.task.train_images=128", "base.model.width=16", "base.training.batch_size=32")
    return scaled_study(SEARCH, total="10ep", assignments=(*small, f"slots={slots}", "controls.seeds=[0,1]"))


def test_the_search_over_methods_runs_and_reports(tmp_path: Path) -> None:
    """Exactly its slots, each with options of its own method, and a page."""
    settings = create(tmp_path, spec=replace(tiny_search(5), name=TINY.name))
    record = work(settings)
    assert_slots(record, 5)
    html = report_files(record, 0.0)["report.html"]
    assert b"standard-twice" in html and b"method" in html


def assert_slots(record: StudyRecord, slots: int) -> None:
    used = [t for t in record.trials if t.outcome in ("complete", "stopped", "diverged")]
    assert sorted(t.slot for t in used) == list(range(slots))
    for trial in used:
        assert trial.params.keys() == {"method", *OWN[trial.params["method"]]}
    assert sorted((str(t.arm), t.seed) for t in record.controls if t.outcome == "complete") == [
        ("standard", 0), ("standard", 1), ("standard-twice", 0), ("standard-twice", 1),
    ]  # fmt: skip


@pytest.mark.slow
def test_the_search_goes_on_after_a_kill(command: Command) -> None:
    """A worker is killed with SIGKILL in the middle; the same command ends with exactly the slots."""
    options = ("--total", "20ep", "--set", "base.task.train_images=512", "--set", "base.model.width=16")
    command(
        "study",
        "create",
        "methods",
        *options,
        "--set",
        "slots=8",
        "--set",
        "controls.seeds=[0,1]",
        "--name",
        "m",
    )
    process = command.start("study", "run", "m", "--workers", "2")
    killed = None
    for _ in range(600):
        running = [t for t in read(command).trials if t.outcome == "running" and t.lease.get("worker")]
        if running:
            killed = int(running[0].lease["worker"].split(":")[1])
            break
        time.sleep(0.1)
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=120)
    command("study", "resume", "m", "--workers", "2")
    record = read(command)
    assert any(t.outcome in ("lost", "interrupted") for t in record.trials)
    assert_slots(record, 8)
    command("study", "report", "m")


def read(command: Command) -> StudyRecord:
    storage = open_storage(command.settings.storage_url)
    try:
        return read_study(storage, "m", histories=True)
    finally:
        storage.engine.dispose()


@pytest.mark.slow
def test_the_study_of_the_family_runs(tmp_path: Path) -> None:
    """Every arm to its end, at a tiny length; the report speaks of each beside its controls."""
    small = ("base.task.train_images=128", "base.training.batch_size=32", "arms.seeds=[0]")
    tiny = scaled_study(STUDY, total="10ep", assignments=small)
    record = work(create(tmp_path, spec=replace(tiny, name=TINY.name)))
    assert {str(t.arm) for t in record.controls if t.outcome == "complete"} == {
        arm.name for arm in STUDY.arms
    }
    files = report_files(record, 0.0)
    table = files["controls.csv"].decode().splitlines()
    for arm in STUDY.arms:
        for other in arm.against:
            assert any(line.startswith(f"{arm.name},") and f",{other}," in line for line in table)
