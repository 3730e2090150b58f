"""What a tracker is to show of a study's runs by the record alone.

A worker tells of a slot after its end is in the record: one that is killed between the two, a disk that fills up then,
and a slot that is given up leave a run that seems to be trained for ever. All that was not told is in the record, but
for the network, which is in the states.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from reprtune.history import History, Point
from reprtune.record.labels import trial_label
from reprtune.record.outcomes import Outcome
from reprtune.record.schema import SeedRun, StudyRecord, TrialRecord
from reprtune.record.slots import role, seed_name, slot_key, trial_spec
from reprtune.spec import objectives
from reprtune.tracking.events import Event, begin_event, end_event, identity, metrics_event
from reprtune.tracking.updates import RunUpdate, fold
from reprtune.work.seeds import mean_curve, mean_values

COSTS = ("seconds_spent", "seconds_alone", "steps_spent", "steps_alone", "gflops_spent")
TESTS = ("test_error", "test_loss")


@dataclass(frozen=True)
class RecordedRun:
    """One run: a slot, or one seed of a slot of several.

    Attributes:
        identity: what it is found by. title: shown for it. begin, end: events.
        points: its curve. history: what its page is drawn from; None where it has no page.
        network: name of the slot, or the seed, whose network it has; empty where it has none.
        is_needed: to be made where it is not there.
    """

    identity: str
    title: str
    begin: Event
    end: Event
    points: tuple[Point, ...] = ()
    history: History | None = None
    network: str = ""
    is_needed: bool = True

    def update(self, *, brief: bool = False) -> RunUpdate:
        """All of it; `brief`: of its curve the last point alone, to tell whether it is there."""
        if brief or self.history is None:
            curve = metrics_event(self.points[-1:] if brief else self.points)
        else:
            curve = _curve(self.history)
        (update,) = fold(enumerate((self.begin, curve, self.end), 1), 0, self.identity)
        return update


def recorded_runs(study: StudyRecord) -> Iterator[RecordedRun]:
    """Every run whose attempt has come to an end, and that no other attempt goes on with now.

    Args:
        study: with histories.
    """
    slots: dict[str, list[TrialRecord]] = {}
    for trial in study.everything:
        slots.setdefault(slot_key(trial), []).append(trial)
    for attempts in slots.values():
        if (last := _last_told(attempts)) is not None:
            yield from _Slot(study, last, max(t.attempt for t in attempts)).runs()


def _last_told(attempts: list[TrialRecord]) -> TrialRecord | None:
    """The attempt whose end is to be shown; None where one is trained now, or none was ever announced."""
    if any(t.outcome == Outcome.RUNNING for t in attempts):
        return None
    told = [
        t for t in attempts
        if t.lease and t.outcome.is_trained and not (t.outcome.is_open or t.outcome.is_redrawn)
    ]  # fmt: skip
    return max(told, key=lambda t: (t.is_final, t.ended or 0.0, t.number), default=None)


@dataclass(frozen=True)
class _Slot:
    study: StudyRecord
    trial: TrialRecord
    attempt: int  # the last one

    def runs(self) -> Iterator[RecordedRun]:
        trial = self.trial
        if not (trial.is_drawn and self.study.spec.n_seeds > 1):
            yield self._run(trial.runs[-1], _results(trial))
            return
        yield self._means()
        for seed in trial.runs[:-1]:
            yield self._run(seed, {**seed.costs, **seed.measured}, Outcome.COMPLETE, apart=True)
        yield self._run(trial.runs[-1], _last_results(trial), apart=True)

    def _run(
        self,
        seed: SeedRun,
        results: Mapping[str, float],
        outcome: Outcome | None = None,
        *,
        apart: bool = False,
    ) -> RecordedRun:
        """Of the only seed, or of one that is shown below its slot, `apart`."""
        trial, whole = self.trial, slot_key(self.trial)
        title, outcome = trial_label(trial), outcome or trial.outcome
        key, parent, of = whole, None, role(trial)
        if apart:
            key, parent, of = f"{whole}-s{seed.seed}", whole, "seed"
            title = f"{title}, seed {seed.seed}"
        points = seed.history.points if seed.history else ()
        tags = {"state": seed.state} if seed.state else {}
        if outcome == trial.outcome and "error" in trial.result:
            tags["error"] = trial.result["error"]
        step = seed.step if seed.step is not None else points[-1].step if points else 0
        return RecordedRun(
            identity=identity(self.study.instance, key),
            title=title,
            begin=self._begin(key, title, of, seed.seed, parent),
            end=end_event(outcome, step=step, metrics=results, tags=tags, now=seed.ended or trial.ended),
            points=points,
            history=seed.history if outcome.is_final else None,
            network=seed_name(self.study, trial, seed.seed) if outcome == Outcome.COMPLETE else "",
            is_needed=outcome.is_final and not (apart and not seed.state),
        )

    def _means(self) -> RecordedRun:
        """Of a slot of several seeds, whose own run holds their means."""
        trial, title, done = self.trial, trial_label(self.trial), self.trial.outcome == Outcome.COMPLETE
        seeds = trial.runs if done else trial.earlier
        curves = [seed.history.points for seed in seeds if seed.history]
        key = slot_key(trial)
        error = {"error": trial.result["error"]} if "error" in trial.result else {}
        return RecordedRun(
            identity=identity(self.study.instance, key),
            title=title,
            begin=self._begin(key, title, role(trial), trial.runs[0].seed, None, self._all_seeds()),
            end=end_event(
                trial.outcome,
                step=trial.result.get("step") or trial.last_step,
                metrics={**_costs(trial), **mean_values([seed.measured for seed in seeds])}
                if trial.result
                else {},
                tags=error,
                now=trial.runs[-1].ended,
            ),
            points=tuple(mean_curve(curves)) if done else (),
            is_needed=trial.is_final,
        )

    def _all_seeds(self) -> dict[str, str]:
        first = self.trial.runs[0].seed
        return {"seed": ", ".join(str(first + k) for k in range(self.study.spec.n_seeds))}

    def _begin(
        self,
        key: str,
        title: str,
        of: str,
        seed: int,
        parent: str | None,
        tags: Mapping[str, str] | None = None,
    ) -> Event:
        study, trial = self.study, self.trial
        told = {
            "worker": trial.lease.get("worker"),
            "host": trial.result.get("host") or trial.lease.get("host"),
        }
        known = {name: value for name, value in told.items() if value}
        return begin_event(
            study.spec, replace(trial_spec(study, trial), seed=seed), digest=study.instance, key=key, name=title,
            role=of, slot=trial.slot, attempt=self.attempt, arm=trial.arm, parent=parent,
            tags={**known, "trial": str(trial.number), **(tags or {})}, now=trial.started,
        )  # fmt: skip


def _curve(history: History) -> Event:
    both = zip(history.points, history.member_errors, history.ensemble_errors, strict=False)
    members = {point.step: (errors, ensemble) for point, errors, ensemble in both}
    return metrics_event(history.points, history.drops, members, history.happenings)


def _costs(trial: TrialRecord) -> dict[str, float]:
    return {name: trial.result[name] for name in COSTS if name in trial.result}


def _measured(trial: TrialRecord) -> dict[str, float]:
    """At the end of the last seed."""
    tests = {name: trial.result[name] for name in TESTS if trial.result.get(name) is not None}
    return {**objectives.stored(trial.result), **tests}


def _results(trial: TrialRecord) -> dict[str, float]:
    return {**_costs(trial), **_measured(trial)}


def _last_results(trial: TrialRecord) -> dict[str, float]:
    """Of the last of several seeds. The record holds what all of them cost; what was spent on the last one alone
    cannot be told where an earlier attempt has trained the others."""
    alone = {
        name: round(trial.result[name] - sum(seed.costs.get(name, 0) for seed in trial.earlier), 3)
        for name in COSTS
        if name in trial.result and name.endswith("_alone")
    }
    return {**alone, **_measured(trial)}
