"""A study while it runs: the facts of one moment, and how they are drawn on a terminal or in a line."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from dashboards.terminal import best_value, setting, table
from dashboards.units import duration, percent, significant
from reprtune.analysis.pace import attempts, find_pace, share_done, speed
from reprtune.record.measures import at_the_end
from reprtune.record.outcomes import counted
from reprtune.record.ranking import best, order
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.record.slots import slot_name
from reprtune.record.workers import SILENT_SECONDS, is_gone, present
from reprtune.settings import program
from reprtune.spec.objectives import ERROR, OBJECTIVES

BAR = 30
SHOWN_FAILURES = 3  # the last ones
MOVING = ("time", "pace")  # facts that change by themselves
BEATING = ("heard", "use")  # of a trial, with every beat of its worker


def moment_facts(study: StudyRecord, waiting_events: int, now: float) -> dict[str, Any]:
    """What is to be seen at a moment, as plain values.

    Args:
        waiting_events: in this machine's journal for MLflow. now: seconds since 1970.
    """
    pace = find_pace(study, now)
    found = best(study)
    failed = [t for t in attempts(study) if t.result.get("error") and not t.repaired]
    running = _running(study)
    busy = {str(t.lease.get("worker")) for t in running}
    return {
        "name": study.spec.name,
        "time": round(now, 3),
        "finished": pace.finished,
        "slots": pace.total,
        "attempts": counted(trial.outcome for trial in attempts(study)),
        "running": [_trial_facts(study, trial, now) for trial in running],
        "between_trials": [
            {
                "worker": worker,
                "device": study.workers[worker]["device"],
                "use": study.workers[worker].get("use", {}),
                "heard": study.workers[worker]["time"],
            }
            for worker in present(study.workers, now)
            if worker not in busy
        ],
        "best": None if found is None else _best_facts(study, found),
        "failed": len(failed),
        "failures": [f"slot {slot_name(t)}: {t.result['error']}" for t in failed[-SHOWN_FAILURES:]],
        "mlflow_waiting": waiting_events,
        "next": f"study {'resume' if study.unsettled() else 'confirm'} {study.spec.name}",
        "pace": {name: getattr(pace, name) for name in ("last_hour", "per_hour", "left", "low", "high")},
    }


def _running(study: StudyRecord) -> list[TrialRecord]:
    running = [t for t in attempts(study) if t.outcome == "running"]
    return sorted(running, key=lambda t: (str(t.lease.get("worker")), t.number))


def _trial_facts(study: StudyRecord, trial: TrialRecord, now: float) -> dict[str, Any]:
    heard, n_seeds = trial.progress.get("time"), study.spec.n_seeds
    worker = study.workers.get(str(trial.lease.get("worker")), {})
    return {
        "slot": slot_name(trial),
        "worker": trial.lease.get("worker", "?"),
        "device": trial.lease.get("device", "?"),
        "use": worker.get("use", {}),
        "step": trial.progress.get("step"),
        "total": trial.progress.get("total"),
        "seed": trial.progress.get("seed", trial.seed),
        "seeds": n_seeds if trial.is_drawn else 1,
        "share": round(share_done(trial, n_seeds), 4),
        "steps_per_second": speed(trial),
        ERROR: trial.progress.get(ERROR),
        "heard": heard,
        "moved": trial.progress.get("moved"),
        "silent": heard is not None and now - heard > SILENT_SECONDS,
        "gone": is_gone(worker),
    }


def _best_facts(study: StudyRecord, trial: TrialRecord) -> dict[str, Any]:
    measure = order(study.spec)[0]
    return {
        "slot": slot_name(trial),
        "optuna_trial": trial.number,
        measure: at_the_end(trial, measure),
        "setting": setting(trial),
    }


def is_over(facts: Mapping[str, Any]) -> bool:
    """Is nothing left to be trained?"""
    return facts["finished"] >= facts["slots"] and not facts["running"]


def lasting(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts without those that change by themselves: a change in these is news."""
    kept = {key: value for key, value in facts.items() if key not in MOVING}
    running = [{key: value for key, value in row.items() if key not in BEATING} for row in facts["running"]]
    return kept | {"running": running, "between_trials": [row["worker"] for row in facts["between_trials"]]}


def milestones(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The same without the steps in between, for a log."""
    left_out = ("running", "between_trials", "mlflow_waiting")
    kept = {key: value for key, value in lasting(facts).items() if key not in left_out}
    return {**kept, "running": sorted(row["slot"] for row in facts["running"])}


def screen(facts: Mapping[str, Any], width: int, height: int) -> list[str]:
    """Lines for a terminal of that size, none longer, no more of them."""
    lines = [_bar(facts), *(f"  {text}" for text in (_counts(facts), _pace(facts), _best(facts)) if text)]
    if facts["mlflow_waiting"]:
        lines.append(f"  tracking: {facts['mlflow_waiting']} events wait here")
    if (more := facts["failed"] - len(facts["failures"])) > 0:
        lines.append(f"  failed: {more} before these")
    lines += [f"  failed: {failure}" for failure in facts["failures"]]
    now = facts["time"]
    rows = [_row(worker, now) for worker in facts["running"]]
    rows += [
        (
            "",
            one["worker"],
            one["device"],
            _use(one),
            "between two trials",
            "",
            "",
            _age(one["heard"], now),
            "",
            "",
        )
        for one in facts["between_trials"]
    ]
    if rows:
        lines += [
            "",
            *table(
                rows,
                (
                    "slot",
                    "worker",
                    "device",
                    "use",
                    "step",
                    "",
                    "steps/s",
                    "heard",
                    "moved",
                    OBJECTIVES[ERROR].column,
                ),
            ).splitlines(),
        ]
    if not is_over(facts) and not _at_work(facts):
        lines.append(f"  nobody works on it: {program()} {facts['next']}")
    if len(lines) > height:
        lines = [*lines[: height - 1], f"... and {len(lines) - height + 1} more lines"]
    return [one_line(line)[:width] for line in lines]


def log_line(facts: Mapping[str, Any]) -> str:
    """One line with its time in UTC."""
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(facts["time"]))
    parts = [f"{facts['finished']} of {facts['slots']} finished", _counts(facts), _pace(facts), _best(facts)]
    return one_line(f"{at}  {facts['name']}: " + "; ".join(part for part in parts if part))


def one_line(text: str) -> str:
    """Without characters that would break the line or the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _bar(facts: Mapping[str, Any]) -> str:
    done, total = facts["finished"], facts["slots"]
    n = BAR * done // total if total else BAR
    return f"{facts['name']}  [{'#' * n}{'.' * (BAR - n)}]  {done} of {total} slots finished"


def _counts(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{n} {outcome}" for outcome, n in facts["attempts"].items())


def _pace(facts: Mapping[str, Any]) -> str:
    pace = facts["pace"]
    recent = f"{pace['last_hour']} {'slot' if pace['last_hour'] == 1 else 'slots'} in the last hour, "
    if pace["left"] is None:
        return f"{recent}too few finished for an estimate" if facts["running"] else ""
    rate = f"{significant(pace['per_hour'])} an hour at this pace, " if pace["per_hour"] else ""
    left = f"about {duration(pace['left'])} left ({duration(pace['low'])} to {duration(pace['high'])})"
    return f"{recent}{rate}{left}"


def _best(facts: Mapping[str, Any]) -> str:
    if (known := facts["best"]) is None:
        return ""
    return f"best: {best_value(known, '')}, slot {known['slot']} ({known['setting']})"


def _age(moment: float | None, now: float) -> str:
    """How long ago; whose clock is ahead of ours is heard of now."""
    return "" if moment is None else duration(max(0.0, now - moment))


def _use(worker: Mapping[str, Any]) -> str:
    """`97 % cpu`, `88 % gpu, 31 % memory`: of a GPU's worker, what it uses of that."""
    use = worker["use"]
    shown = [name for name in ("gpu", "memory") if name in use] or ["cpu"]
    return ", ".join(f"{use[name]:.0%} {name}" for name in shown if name in use)


def _at_work(facts: Mapping[str, Any]) -> bool:
    return bool(facts["between_trials"]) or not all(row["gone"] for row in facts["running"])


def _row(worker: Mapping[str, Any], now: float) -> tuple[str, ...]:
    step = "beginning" if worker["step"] is None else f"{worker['step']}/{worker['total']}"
    if worker["seeds"] > 1 and worker["step"] is not None:
        step += f" of seed {worker['seed']}"
    share = "" if worker["step"] is None else f"{worker['share']:.0%}"
    rate = "" if worker["steps_per_second"] is None else f"{worker['steps_per_second']:.3g}"
    error = "" if worker[ERROR] is None else percent(worker[ERROR])
    return (
        worker["slot"],
        worker["worker"],
        worker["device"] + (", killed" if worker["gone"] else ", silent" if worker["silent"] else ""),
        _use(worker),
        step,
        share,
        rate,
        _age(worker["heard"], now),
        _age(worker["moved"], now),
        error,
    )
