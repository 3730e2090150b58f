"""What a person sees in a terminal: tables, states of a study. No plotly."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from dashboards.checks import sentence
from dashboards.codes import created_with, mixed
from dashboards.happened import dropped, ended
from dashboards.latency import latencies
from dashboards.next_step import progress
from dashboards.shares import shares
from dashboards.units import duration, value
from dashboards.versions import outdated
from reprtune.analysis.diverged import check_arms, check_search
from reprtune.analysis.spending import check_budget
from reprtune.record.codes import of_study, other_code
from reprtune.record.labels import NUMBER, SLOT, trial_label
from reprtune.record.leaders import is_confirmed
from reprtune.record.measures import at_the_end
from reprtune.record.outcomes import Outcome
from reprtune.record.ranking import best, best_first, order
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.record.slots import slot_name
from reprtune.record.workers import is_gone, present
from reprtune.spec.codec import to_plain
from reprtune.spec.objectives import COST, ERROR, OBJECTIVES
from reprtune.spec.parts.places import short_path

UNKNOWN = "\N{EM DASH}"
SHOWN_ERRORS = 3  # of failed slots, the last ones
QUICK = (check_search, check_arms, check_budget)  # checks that need no histories and no fits


def table(rows: Sequence[Sequence[object]], header: Sequence[str]) -> str:
    """Left-aligned columns; the last one is not padded."""
    texts = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in texts) for i in range(len(header))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in texts]
    return "\n".join(lines)


def percent(error: float | None) -> str:
    return UNKNOWN if error is None else f"{100 * error:.2f} %"


def flat(plain: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """(path, value) of every field of a specification, as `--set` takes it: tables in a list by their names."""
    for key, inner in plain.items():
        if isinstance(inner, Mapping) and inner:
            yield from flat(inner, f"{prefix}{key}.")
        elif isinstance(inner, list) and inner and all(isinstance(t, Mapping) and "name" in t for t in inner):
            above = "" if key == "sections" else f"{prefix}{key}."
            for table in inner:
                yield from flat({k: v for k, v in table.items() if k != "name"}, f"{above}{table['name']}.")
        else:
            yield f"{prefix}{key}", str(inner)


def setting(trial: TrialRecord) -> str:
    """What distinguishes a trial, in a few words."""
    if not trial.is_drawn:
        return f"{trial.arm}, seed {trial.seed}"
    return ", ".join(f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}" for k, v in trial.params.items())


def status(study: StudyRecord) -> str:
    """Counts, who is working, the best so far."""
    spec = study.spec
    counts = ", ".join(f"{n} {outcome}" for outcome, n in study.counts().items())
    parts = [f"{share.done} of {share.planned} {share.slots}" for share in shares(study)]
    lines = [f"{spec.name}: {' and '.join(parts)} are finished"]
    if spec.slots:
        lines.append(f"  search:   {counts or 'nothing'}")
    if study.is_over_budget():
        lines.append(
            f"  budget:   the search has used up what it may spend ({spending(study)}); no trial begins any more"
        )
    elif spec.search is not None and spec.search.is_limited:
        lines.append(f"  budget:   {spending(study)}")
    everything = study.everything
    running = [t for t in everything if t.outcome == "running"]
    lines += [
        f"  {'killed: ' if _is_orphan(study, t) else 'running:'}  {_named(t)} on {t.lease.get('host', '?')}, "
        f"{t.lease.get('device', '?')}"
        for t in running
    ]
    busy, now = {t.lease.get("worker") for t in running}, time.time()
    lines += [
        f"  waiting:  {worker}, between two trials; heard of {duration(max(0.0, now - study.workers[worker]['time']))} ago"
        for worker in present(study.workers, now)
        if worker not in busy
    ]
    failed = [t for t in everything if t.result.get("error") and not t.repaired]
    if (more := len(failed) - SHOWN_ERRORS) > 0:
        lines.append(f"  errors:   {more} before these")
    lines += [f"  {t.outcome}: {_named(t)}: {t.result['error']}" for t in failed[-SHOWN_ERRORS:]]
    if found := best(study):
        lines.append(f"  best:     {best_value(best_numbers(study))}, {trial_label(found)} ({NUMBER} {found.number}; "
                     f"{setting(found)}); {_how_sure(study, found)}")  # fmt: skip
    if study.confirmation:
        lines.append(confirmed(study))
    lines += [f"  tuned:    {line}" for line in _tuned(study)]
    lines += [f"  rule:     {line}" for line in _decided(study)]
    checks = [check(study) for check in QUICK]
    lines += [f"  warning:  {sentence(check, spec.name)}" for check in checks if check.fails]
    if said := mixed(study):
        lines.append(f"  code:     {said}")
    return "\n".join(lines)


def _decided(study: StudyRecord) -> tuple[str, ...]:
    """What the rules of a study say so far; nothing before anything is trained."""
    from dashboards.rules import sentences  # with scipy, which most of what is printed here has no need of
    from reprtune.analysis.decisions import decisions

    return sentences(decisions(study)) if any(t.is_final for t in study.everything) else ()


def _tuned(study: StudyRecord) -> list[str]:
    """What each arm was tuned to, where arms are tuned."""
    if not study.tries:
        return []
    from dashboards.tuned_words import chosen  # with scipy, as above
    from reprtune.analysis.tuned import all_tuned

    return [f"{one.arm}: {chosen(one)}" for one in all_tuned(study)]


def _named(trial: TrialRecord) -> str:
    """As other commands take it; with its setting in the search."""
    return f"slot {slot_name(trial)}" + (f" ({setting(trial)})" if trial.is_drawn else "")


def _is_orphan(study: StudyRecord, trial: TrialRecord) -> bool:
    """Is its worker known to have been killed?"""
    return is_gone(study.workers.get(str(trial.lease.get("worker")), {}))


def next_step(study: StudyRecord) -> str:
    """The command that brings it one step on, as a line; nothing while somebody works on it, or is between two
    trials."""
    running = [t for t in study.everything if t.outcome == "running" and not _is_orphan(study, t)]
    if running or present(study.workers, time.time()):
        return ""
    command = progress(study).command
    return f"  next: {command}" if command else ""


def _how_sure(study: StudyRecord, best: TrialRecord) -> str:
    """What the best error of a search rests on."""
    n = len(best.runs)  # of all slots that have its settings
    seeds = "one seed" if n == 1 else f"mean of {n} seeds"
    return seeds if is_confirmed(study, best.slot) else f"{seeds}, not confirmed"


def confirmed(study: StudyRecord) -> str:
    """How far the confirmation is, and the mean test error of every arm that has one."""
    n = len({t.slot for t in study.confirmation})
    errors: dict[str, list[float]] = {}
    for trial in study.confirmation:
        if trial.outcome == "complete" and (error := trial.result.get("test_error")) is not None:
            errors.setdefault(str(trial.arm), []).append(error)
    means = ", ".join(f"{arm} {percent(fmean(found))} (n = {len(found)})" for arm, found in errors.items())
    done = f"{n - study.unconfirmed()} of {n} runs are finished"
    return f"  confirmed: {done}" + (f"; mean test error: {means}" if means else "")


def spending(study: StudyRecord) -> str:
    """What the search has spent, of what it may."""
    search, (seconds, gflops) = study.spec.search, study.spent
    assert search is not None
    parts = [
        f"{amount:.4g} of {limit:.4g} {unit}"
        for amount, limit, unit in ((seconds, search.max_seconds, "s"), (gflops, search.max_gflops, "GFLOP"))
        if limit is not None
    ]
    return ", ".join(parts) + " of training"


def status_numbers(study: StudyRecord) -> dict[str, Any]:
    """The same as JSON: attempts by outcome, slots, and how many slots of both are left."""
    return {
        "name": study.spec.name,
        "digest": study.digest,
        "slots": study.spec.slots,
        "search": study.counts(),
        "controls": dict(Counter(trial.outcome for trial in study.controls)),
        **_tuned_numbers(study),
        "pending": study.pending(),
        "confirmation": dict(Counter(trial.outcome for trial in study.confirmation)),
        "unconfirmed": study.unconfirmed(),
        "code": of_study(study),
        "other_code": {code: len(trials) for code, trials in other_code(study).items()},
    }


def _tuned_numbers(study: StudyRecord) -> dict[str, Any]:
    """Attempts at tries by outcome, and what each arm was tuned to; nothing where none is."""
    if not study.tries:
        return {}
    from reprtune.analysis.tuned import all_tuned

    arms = {
        one.arm: {"best": one.best, "settings": to_plain(one.settings), "left": one.left}
        for one in all_tuned(study)
    }
    return {"tries": dict(Counter(trial.outcome for trial in study.tries)), "tuned": arms}


def listed(studies: Mapping[str, StudyRecord], damaged: Mapping[str, Exception]) -> str:
    """A row for each study; of those that cannot be read, why."""
    rows = [(name, _share(study), study.spec.question) for name, study in studies.items()]
    rows += [(name, "cannot be read", str(error).splitlines()[0]) for name, error in damaged.items()]
    return table(sorted(rows), ("study", "finished", "question")) if rows else "There are no studies yet."


def _share(study: StudyRecord) -> str:
    """Of the search; of a comparison, of its controls."""
    first = shares(study)[0]
    return f"{first.done} of {first.planned}" + ("" if study.spec.search else f" {first.slots}")


def listed_numbers(
    studies: Mapping[str, StudyRecord], damaged: Mapping[str, Exception]
) -> list[dict[str, Any]]:
    """The same as JSON: `status_numbers`, or `name` and `error`."""
    rows = [status_numbers(study) for study in studies.values()]
    rows += [{"name": name, "error": str(error)} for name, error in damaged.items()]
    return sorted(rows, key=lambda row: str(row["name"]))


def best_numbers(study: StudyRecord) -> dict[str, Any]:
    """The best trial so far and the number it is the best in, or nothing."""
    found, measure = best(study), order(study.spec)[0]
    if found is None:
        return {}
    return {
        "best_slot": slot_name(found),
        "best_optuna_trial": found.number,
        f"best_{measure}": at_the_end(found, measure),
    }


def best_value(numbers: Mapping[str, Any], prefix: str = "best_") -> str:
    """What the best trial is the best in, with its unit, out of such numbers."""
    name = next(name for name in OBJECTIVES if f"{prefix}{name}" in numbers)
    return f"{value(name, numbers[f'{prefix}{name}'])} {OBJECTIVES[name].title}"


ADVICE = {"diverged": "a lower training.lr may help", "out-of-memory": "lower training.batch_size"}


def meaning(outcome: str) -> str:
    """What became of one trial on its own, and what a person may do about it."""
    if outcome == "interrupted":  # no slot is queued again
        return "stopped; the same command goes on from here"
    return "; ".join(filter(None, (Outcome(outcome).words, ADVICE.get(outcome))))


def trial_result(result: Mapping[str, Any]) -> str:
    """What one trial on its own came to, and where its page is."""
    page = [("page", result["page"])] if result.get("page") else []
    return "\n".join(f"{name:<17} {text}" for name, text in [*result_rows(result), *page])


def result_rows(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, text) of what one trial on its own came to (see training.chain.train_one)."""
    rows = [
        ("outcome", f"{result['outcome']}: {meaning(result['outcome'])}"),
        ("validation error", _measured(result)),
        ("cost", f"{value(COST, result[COST])}, {result['seconds']:.1f} s on {result['device']}"),
        ("state", str(result["state"] or "none: nothing was trained yet")),
    ]
    if "network" in result:
        rows.append(("network", result["network"]))
    if "latency" in result:
        rows.append(("latency", latencies(result["latency"])))
    if result.get("steps_before"):
        rows.insert(2, ("trained before", f"{result['steps_before']} steps, for the networks it began from"))
    history = result.get("history")
    for name, text in (("its ending", ended(history)), ("dropped", dropped(history))) if history else ():
        if text:
            rows.insert(2, (name, text))
    if text := networks(history):
        rows.insert(2, ("its networks", text))
    if "test_error" in result:
        rows.insert(2, ("test error", percent(result["test_error"])))
    return rows


def networks(history: Mapping[str, Any] | None) -> str:
    """The last error of each of several networks, and of their ensemble, and what they were before they exchanged at
    last; empty for one network."""
    if not history or not history.get("member_errors"):
        return ""
    errors = ", ".join(map(percent, history["member_errors"][-1]))
    told = [", ".join(map(percent, exchange["before"])) for exchange in history["exchanges"][-1:]]
    before = "".join(f"; before the last exchange {each}" for each in told)
    return f"{errors}; their ensemble {percent(history['ensemble_errors'][-1])}{before}"


def _measured(result: Mapping[str, Any]) -> str:
    if result[ERROR] is None:
        return f"not measured in the first {result['steps']} steps" if result["steps"] else "not measured yet"
    return f"{percent(result[ERROR])} after {result['steps']} steps"


def show(study: StudyRecord, n_trials: int = 10) -> str:
    """The question, the specification that is stored, and the best trials."""
    spec = study.spec
    rows = [
        (short_path(path), value)
        for path, value in flat(to_plain(spec))
        if path not in ("question", "decision", "cost", "rules")
    ]
    ranked = best_first(study.trials, order(spec))[:n_trials]
    trials = [(t.slot, t.number, *(_cell(t, name) for name in spec.compared), setting(t)) for t in ranked]
    parts = [
        f"{spec.name}   digest {study.digest[:16]}   reprtune {study.version}",
        f"Question: {spec.question}",
        *([f"Would change our mind: {spec.decision}"] if spec.decision else []),
        *(
            ["Decided by:\n" + "\n".join(f"  {rule.line}" for rule in rules)]
            if (rules := spec.applied_rules)
            else []
        ),
        f"Cost: {spec.cost}",
        table(rows, ("field", "value")),
        table(_facts(study), ("found at create", "value")),
        status(study),
        *outdated(study),
    ]
    if trials:
        columns = (OBJECTIVES[name].column for name in spec.compared)
        parts.append(table(trials, (SLOT, NUMBER, *columns, "setting")))
    return "\n\n".join(parts)


def _cell(trial: TrialRecord, name: str) -> str:
    number, objective = at_the_end(trial, name), OBJECTIVES[name]
    if number is None:
        return UNKNOWN
    return percent(number) if objective.is_fraction else f"{number:{objective.cell}}"


def _facts(study: StudyRecord) -> list[tuple[str, object]]:
    """What was found at create; of code a few words."""
    facts = {**study.facts, "code": created_with(study)}
    return sorted((name, value) for name, value in facts.items() if name != "code_with_branches")
