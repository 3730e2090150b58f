"""Trials that diverged: how many, at which stage of their training, and which searched parameter sets them apart.

*Notations*

    trained   slots that were used up by a trial that is complete, stopped or diverged
    stage     the last event before the loss was no longer finite: none (before the first drop), a drop (without the
              dropped filters), or a restore
    apart     the parameter whose values differ most between trained trials that diverged and those that did not: the
              smallest p of Mann and Whitney's two-sided U test (numbers) or of the chi-squared test of independence
              (choices), corrected by Holm's rule for the number of parameters

References: Mann and Whitney 1947; Pearson 1900; Holm 1979.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from reprtune.analysis.attempts import deciding
from reprtune.analysis.check import Check, made, not_yet
from reprtune.analysis.level import ALPHA
from reprtune.history import History
from reprtune.record.outcomes import Outcome
from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.designs.arm import BASELINE

MIN_TRAINED = 4  # of an unfinished search: of fewer nothing is said
BEFORE, WITHOUT, RESTORED = "before the first drop", "without the dropped filters", "after a restore"
TRAINED = (Outcome.COMPLETE, Outcome.STOPPED, Outcome.DIVERGED)


@dataclass(frozen=True, kw_only=True)
class Apart:
    """A parameter of the search that goes with divergence.

    Attributes:
        path: of the trial specification. diverged, others: the median of its values, or of a choice the most frequent.
        p: corrected.
    """

    path: str
    diverged: Any
    others: Any
    p: float


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """Of the search.

    Attributes:
        n, n_diverged: trained slots, and those that diverged.
        is_finished: are all slots used up?
        stages: stage -> how many diverged there, of those whose history was read.
        apart: None where nothing tells them apart, or all diverged.
    """

    n: int
    n_diverged: int
    is_finished: bool
    stages: Mapping[str, int]
    apart: Apart | None

    @property
    def is_known(self) -> bool:
        """Were enough trials trained to speak of their share?"""
        return self.n >= (1 if self.is_finished else MIN_TRAINED)

    @property
    def is_all(self) -> bool:
        return self.is_known and self.n_diverged == self.n

    @property
    def is_most(self) -> bool:
        """More than half."""
        return self.is_known and 2 * self.n_diverged > self.n


def divergence(record: StudyRecord) -> Divergence | None:
    """Of the search; None without one."""
    search = record.spec.search
    if search is None:
        return None
    trained = [t for t in deciding(record.trials) if t.is_final and t.outcome in TRAINED]
    diverged = [t for t in trained if t.outcome == Outcome.DIVERGED]
    return Divergence(
        n=len(trained),
        n_diverged=len(diverged),
        is_finished=record.pending(search.name) == 0,
        stages=stages(diverged),
        apart=_apart(record, diverged, [t for t in trained if t.outcome != Outcome.DIVERGED]),
    )


def stages(diverged: Sequence[TrialRecord]) -> dict[str, int]:
    """Where trials diverged, the most frequent stage first; without those whose history was not read."""
    return dict(Counter(_stage(t.history) for t in diverged if t.history is not None).most_common())


def _stage(history: History) -> str:
    at = history.total_steps if history.diverged_at is None else history.diverged_at
    events = [(d.step, WITHOUT) for d in history.drops] + [(r.step, RESTORED) for r in history.restores]
    return max((e for e in events if e[0] < at), default=(0, BEFORE))[1]


def _apart(
    record: StudyRecord, diverged: Sequence[TrialRecord], others: Sequence[TrialRecord]
) -> Apart | None:
    found = []
    for path, name in record.spec.names.items():
        ours, theirs = ([t.params[name] for t in trials if name in t.params] for trials in (diverged, others))
        if ours and theirs and len({*ours, *theirs}) > 1:
            found.append((_p(ours, theirs), path, _typical(ours), _typical(theirs)))
    if not found:
        return None
    p, path, ours, theirs = min(found, key=lambda each: each[0])
    corrected = min(1.0, p * len(found))  # Holm's first step
    return Apart(path=path, diverged=ours, others=theirs, p=corrected) if corrected < ALPHA else None


def _p(ours: Sequence[Any], theirs: Sequence[Any]) -> float:
    from scipy import stats  # `status` reads a study without it

    if _are_numbers([*ours, *theirs]):
        return float(stats.mannwhitneyu(ours, theirs).pvalue)
    counts = [Counter(map(str, ours)), Counter(map(str, theirs))]
    options = sorted({*counts[0], *counts[1]})
    return float(stats.chi2_contingency([[c[option] for option in options] for c in counts]).pvalue)


def _typical(values: Sequence[Any]) -> Any:
    return statistics.median(values) if _are_numbers(values) else statistics.mode(map(str, values))


def _are_numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)


@dataclass(frozen=True, kw_only=True)
class ArmsDivergence:
    """Of the arms.

    Attributes:
        n: arms. diverging: those of which more than half of the runs, begun or not, have diverged.
        runs, diverged: of the diverging ones, all and those that diverged; `stages` of the latter.
    """

    n: int
    diverging: tuple[str, ...]
    runs: int
    diverged: int
    stages: Mapping[str, int]

    @property
    def is_all(self) -> bool:
        return self.n > 0 and len(self.diverging) == self.n

    @property
    def is_baseline(self) -> bool:
        """Does plain training diverge, which all else is held against?"""
        return BASELINE in self.diverging


def arms_divergence(record: StudyRecord) -> ArmsDivergence | None:
    """None without arms."""
    arms = [arm.name for arm in record.spec.arms]
    if not arms:
        return None
    of_arm: dict[str, list[TrialRecord]] = {arm: [] for arm in arms}
    for trial in deciding(record.controls):
        of_arm.setdefault(str(trial.arm), []).append(trial)
    bad = {arm: [t for t in runs if t.outcome == Outcome.DIVERGED] for arm, runs in of_arm.items()}
    diverging = [arm for arm in arms if 2 * len(bad[arm]) > len(of_arm[arm])]
    found = [t for arm in diverging for t in bad[arm]]
    return ArmsDivergence(
        n=len(arms),
        diverging=tuple(diverging),
        runs=sum(len(of_arm[arm]) for arm in diverging),
        diverged=len(found),
        stages=stages(found),
    )


# -- checks --------------------------------------------------------------------------------------------


def check_search(record: StudyRecord) -> Check:
    """Did most trials of the search come to an end that can be compared?"""
    name, found = "divergence", divergence(record)
    if found is None or not found.is_known:
        return not_yet(name, "Too few trials have been trained.")
    apart = asdict(found.apart) if found.apart else {}
    return made(
        name, found.is_most, n=found.n, n_diverged=found.n_diverged, **_circumstances(record, found.stages), **apart
    )  # fmt: skip


def check_arms(record: StudyRecord) -> Check:
    """Did plain training, and any arm at all?"""
    name, found = "arms-divergence", arms_divergence(record)
    if found is None or not any(t.is_final for t in record.controls):
        return not_yet(name, "No run of an arm has ended.")
    return made(
        name, found.is_all or found.is_baseline, arms=found.n, diverging=", ".join(found.diverging),
        n=found.runs, n_diverged=found.diverged, **_circumstances(record, found.stages),
    )  # fmt: skip


def _circumstances(record: StudyRecord, stages: Mapping[str, int]) -> dict[str, Any]:
    """What else tells a likely cause: the stage at which most diverged, and what all trials have in common; None of
    what is searched."""
    training, model, space = record.spec.base.training, record.spec.base.model, record.spec.space
    common = {
        "training.lr": training.lr,
        "training.precision": training.precision,
        "model.batch_norm": model.batch_norm,
    }
    return {
        "stage": next(iter(stages), None),
        **{path.rpartition(".")[2]: None if path in space else value for path, value in common.items()},
    }
