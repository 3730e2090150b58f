"""A study that is watched: its pace by hand, its facts, and when a line is new."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dashboards.watch import is_over, lasting, log_line, milestones, moment_facts, screen
from reprtune.analysis.pace import find_pace, share_done
from reprtune.processes import has_ended, machine
from reprtune.record.schema import SeedRun, StudyRecord, TrialRecord
from tests.command import Command
from tests.flat import with_attempts, with_fields
from tests.stored import new_study, record
from tests.tiny_study import STUDY


def trial(slot: int, outcome: str, seconds: float | None = None, **more: object) -> TrialRecord:
    ended = None if seconds is None else 1000.0 + seconds
    return TrialRecord(section="search", number=slot, slot=slot, arm=None, seed=0, outcome=outcome, started=1000.0, ended=ended,
                       **more)  # type: ignore[arg-type]  # fmt: skip


def study(*trials: TrialRecord, slots: int = 8) -> StudyRecord:
    """Of `slots` slots, all queued, and no controls."""
    begun = {t.slot for t in trials}
    queued = [trial(slot, "waiting") for slot in range(slots) if slot not in begun]
    spec = with_fields(STUDY, slots=slots, controls=())
    return with_attempts(record(spec), trials=(*trials, *queued))


HALF = {"step": 4, "total": 8, "steps": 4, "seconds": 2.0, "time": 1000.0, "val_error": 0.25}
RUNNING = trial(3, "running", progress=HALF, lease={"worker": "h:1:0", "host": "h", "device": "cpu"})
DONE = [
    trial(slot, "complete", seconds, values={"val_error": 0.1}) for slot, seconds in enumerate((10, 20, 30))
]


def test_pace_by_hand() -> None:
    """Three slots of 10, 20 and 30 s; of 8 there are 5 left, one of them half done: 4.5 slots of 20 s, one at a
    time; Student's t with 2 degrees of freedom at 95 % is 2.919986."""
    pace = find_pace(study(*DONE, RUNNING), 1040.0)
    assert (pace.finished, pace.total, pace.running) == (3, 8, 1)
    half = 2.919986 * 10 * math.sqrt(4.5 + 4.5**2 / 3)
    assert pace.left == pytest.approx(90) and pace.per_hour == pytest.approx(180)
    assert pace.high == pytest.approx(90 + half, rel=1e-6)
    assert pace.low == pytest.approx(max(0.0, 90 - half), abs=1e-6)


def test_what_ended_within_the_last_hour_is_counted() -> None:
    """They ended at 1010, 1020 and 1030: an hour and 15 s after the first began, two of them."""
    assert [find_pace(study(*DONE), now).last_hour for now in (1040.0, 4615.0, 9000.0)] == [3, 2, 0]
    assert "2 slots in the last hour, " in log_line(moment_facts(study(*DONE, RUNNING), 0, 4615.0))


@pytest.mark.parametrize(
    "trials", [(), (RUNNING,), (*DONE[:2], RUNNING), tuple(DONE)], ids=["none", "no", "few", "idle"]
)
def test_without_grounds_there_is_no_estimate(trials: tuple[TrialRecord, ...]) -> None:
    """Fewer than three finished slots, or nobody at work."""
    pace = find_pace(study(*trials), 1040.0)
    assert pace.left is None and pace.low is None and pace.per_hour is None


def test_a_trial_of_two_seeds_is_a_quarter_done_in_the_middle_of_its_first() -> None:
    """Steps count within their seed."""
    assert share_done(RUNNING, 2) == 0.25 and share_done(trial(1, "running")) == 0.0


def test_the_share_never_falls_when_a_seed_ends() -> None:
    """Its seed is in the record before the next beat: until then that says nothing of the next seed."""
    at_the_end = {**HALF, "step": 8, "seed": 0}
    first = replace(RUNNING, progress=at_the_end)
    second = replace(first, seed=1, earlier=(SeedRun(seed=0),))
    assert share_done(first, 2) == share_done(second, 2) == 0.5
    assert share_done(replace(second, progress={**HALF, "seed": 1}), 2) == 0.75


def test_a_seed_of_several_is_named() -> None:
    """With one there is nothing to name."""
    several = study(RUNNING)
    several = replace(several, spec=with_fields(several.spec, seeds=2))
    assert "4/8 of seed 0" in screen(moment_facts(several, 0, 1000.0), 200, 50)[-1]
    assert "of seed" not in screen(moment_facts(study(RUNNING), 0, 1000.0), 200, 50)[-1]


def test_who_works_on_nothing_is_told_what_goes_on() -> None:
    """The search, or the confirmation once that alone is left."""
    waiting = replace(trial(0, "waiting"), arm="slot-0", settings={}, seed=999)
    confirming = with_attempts(study(*DONE, slots=3), confirmation=(waiting,))
    assert any("study confirm tiny" in line for line in screen(moment_facts(confirming, 0, 1.0), 200, 50))
    assert any("study resume tiny" in line for line in screen(moment_facts(study(*DONE), 0, 1.0), 200, 50))


def test_facts_say_who_trains_what() -> None:
    """Slot, step, speed and last error of a running trial; silence after half a minute; the best so far."""
    facts = moment_facts(study(*DONE, RUNNING), 7, now=1040.0)
    [row] = facts["running"]
    assert (row["slot"], row["worker"], row["step"], row["total"]) == ("3", "h:1:0", 4, 8)
    assert (row["steps_per_second"], row["val_error"], row["silent"]) == (2.0, 0.25, True)
    assert facts["best"]["slot"] == "0" and facts["mlflow_waiting"] == 7 and not is_over(facts)
    assert not moment_facts(study(RUNNING), 0, now=1010.0)["running"][0]["silent"]
    assert json.loads(json.dumps(facts)) == facts


def test_a_worker_between_two_trials_works_on_it() -> None:
    """As long as it was heard of just now; then nobody does. It is news when one comes, not when it beats."""
    fact = {"host": "h", "device": "cuda:1", "since": 0.0, "time": 1000.0}
    idle = replace(study(*DONE), workers={"h:2:0": fact})
    lines = screen(facts := moment_facts(idle, 0, now=1010.0), 200, 50)
    assert lines[-1].split() == ["h:2:0", "cuda:1", "between", "two", "trials", "10", "s"]
    assert not any("nobody works on it" in line for line in lines)
    assert any("nobody works on it" in line for line in screen(moment_facts(idle, 0, now=1031.0), 200, 50))
    later = replace(idle, workers={"h:2:0": {**fact, "time": 1015.0}})
    assert lasting(moment_facts(later, 0, now=1016.0)) == lasting(facts)
    assert lasting(moment_facts(study(*DONE), 0, now=1016.0)) != lasting(facts)


def test_a_worker_that_trains_is_named_once() -> None:
    """By its trial, with the age of its last beat and of its last step."""
    fact = {"host": "h", "device": "cpu", "since": 0.0, "time": 1000.0}
    busy = replace(RUNNING, progress={**HALF, "moved": 880.0})
    watched = moment_facts(replace(study(busy), workers={"h:1:0": fact}), 0, now=1005.0)
    assert watched["between_trials"] == []
    row = screen(watched, 200, 50)[-1]
    assert row.split() == ["3", "h:1:0", "cpu", "4/8", "50%", "2", "5", "s", "2.1", "min", "25.00", "%"]


@pytest.mark.parametrize(
    ("use", "shown"),
    [
        ({"cpu": 0.973}, "97% cpu"),
        ({"cpu": 1.0, "gpu": 0.88, "memory": 0.312}, "88% gpu, 31% memory"),
        ({}, ""),
    ],
    ids=["cpu", "gpu", "unknown"],
)
def test_what_a_worker_uses_of_its_device_is_shown(use: dict[str, float], shown: str) -> None:
    """With a trial or between two; another share is nothing new."""
    fact = {"host": "h", "device": "cpu", "since": 0.0, "time": 1000.0, "use": use}
    busy, idle = study(*DONE, RUNNING), study(*DONE)
    for one in (busy, idle):
        *_, header, row = screen(moment_facts(replace(one, workers={"h:1:0": fact}), 0, 1005.0), 200, 50)
        assert row[header.index("use") : header.index("step ")].strip() == shown
    now, later = (
        lasting(moment_facts(replace(one, workers={"h:1:0": {**fact, "use": used}}), 0, 1005.0))
        for one, used in ((busy, use), (busy, {"cpu": 0.5}))
    )
    assert now == later


def test_a_worker_that_was_killed_on_this_machine_works_on_nothing() -> None:
    """From the moment on, not after half a minute; of another machine's nothing is known but its last beat."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        fact = {
            "host": "h",
            "device": "cpu",
            "since": 0.0,
            "time": 1000.0,
            "machine": machine(),
            "pid": process.pid,
        }
        busy = replace(study(*DONE, RUNNING), workers={"h:1:0": fact})
        idle = replace(study(*DONE), workers={"h:1:0": fact})

        def shown(one: StudyRecord) -> tuple[bool, bool]:
            text = "\n".join(screen(moment_facts(one, 0, 1001.0), 200, 50))
            return "h:1:0" in text, "nobody works on it" in text

        assert shown(busy) == shown(idle) == (True, False)
        process.kill()
        while not has_ended(machine(), process.pid):
            time.sleep(0.01)
        assert shown(busy) == (True, True) and shown(idle) == (False, True)
        assert moment_facts(busy, 0, 1001.0)["running"][0]["gone"]
        elsewhere = replace(idle, workers={"h:1:0": {**fact, "machine": "elsewhere"}})
        assert shown(elsewhere) == (True, False)


def test_the_last_failures_are_told_with_their_reasons() -> None:
    """Three of them, and how many there were before."""
    broken = [trial(n, "error", 1.0, result={"error": f"reason {n}"}) for n in range(5)]
    lines = screen(moment_facts(study(*broken), 0, now=1010.0), 200, 50)
    said = [line.strip() for line in lines if "failed" in line]
    assert said == ["failed: 2 before these", *(f"failed: slot {n}: reason {n}" for n in (2, 3, 4))]


@pytest.mark.parametrize(("width", "height"), [(40, 4), (200, 50)])
def test_a_screen_is_never_overrun(width: int, height: int) -> None:
    """However many trials run, and whatever their errors hold."""
    broken = trial(7, "error", 1.0, result={"error": "\x1b[2J\nbad"})
    running = [replace(RUNNING, slot=n, number=n) for n in range(20)]
    lines = screen(moment_facts(study(broken, *running, slots=40), 0, now=1010.0), width, height)
    assert len(lines) <= height and all(len(line) <= width and "\x1b" not in line for line in lines)


def test_a_log_tells_what_happens_and_not_every_step() -> None:
    """A step further is nothing new; another outcome is."""
    before = milestones(moment_facts(study(RUNNING), 0, now=1010.0))
    further = replace(RUNNING, progress={**HALF, "step": 5})
    assert milestones(moment_facts(study(further), 3, now=1011.0)) == before
    after = moment_facts(
        study(replace(RUNNING, outcome="complete", values={"val_error": 0.5})), 0, now=1012.0
    )
    assert milestones(after) != before and "best: 50.00 % validation error" in log_line(after)


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_watching_ends_with_the_study(
    command: Command, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...]
) -> None:
    """By itself, exit code 0, with one line for a study that is finished."""
    new_study(Path(command.runs) / "reprtune.db")[0].engine.dispose()
    monkeypatch.setattr("dashboards.watch.is_over", lambda _facts: True)
    lines = command.quick("study", "status", "tiny", "--watch", *flags).stdout.splitlines()
    assert len(lines) == 1 and "tiny" in lines[0]


def test_ctrl_c_ends_watching_only(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 130, and the words say that the study goes on."""

    def stop(_seconds: float) -> None:
        raise KeyboardInterrupt

    new_study(Path(command.runs) / "reprtune.db")[0].engine.dispose()
    monkeypatch.setattr("commands.watch.time.sleep", stop)
    said = command.quick("study", "status", "tiny", "--watch", code=130)
    assert "the study itself goes on" in said.stderr


@pytest.mark.parametrize("interval", ["0", "nan", "inf", "soon"])
def test_a_wrong_interval_is_named(command: Command, interval: str) -> None:
    """Before anything is read."""
    assert (
        "--interval"
        in command.quick("study", "status", "x", "--watch", "--interval", interval, code=2).stderr
    )
