"""Ablation paths on records of known truth: the order is that of a brute force, whatever diverges or fails."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from benchmarks.truth.path import CHANGES, LEVEL, Errors, noisy, study, walked
from reprtune.analysis.path import walk, walks
from reprtune.record.outcomes import Outcome
from reprtune.record.schema import StudyRecord
from reprtune.spec.study import Arm, Arms, Path

PATHS = tuple(CHANGES)
A, B, C, D, E = (path.rpartition(".")[2] for path in PATHS)
WHOLE = frozenset(PATHS)


def exact(gains: Mapping[frozenset[str], float]) -> Errors:
    """Errors without noise but a block for each seed; a gain counts where all of its changes were made."""

    def errors(taken: frozenset[str], seed: int) -> tuple[float, float]:
        gain = sum(value for names, value in gains.items() if names <= taken)
        return LEVEL + 0.01 * seed - gain, LEVEL + 0.02 + 0.01 * seed - gain

    return errors


def of(*words: str) -> frozenset[str]:
    return frozenset(path for path in PATHS if path.rpartition(".")[2] in words)


def greedy(table: Mapping[tuple[frozenset[str], int], float], n_seeds: int) -> list[str]:
    """The order by brute force: in each stage the lowest mean over seeds."""
    taken, order = frozenset[str](), []
    while len(taken) < len(PATHS):
        left = [path for path in PATHS if path not in taken]
        means = [np.mean([table[taken | {path}, seed] for seed in range(n_seeds)]) for path in left]
        order.append(left[int(np.argmin(means))])
        taken |= {order[-1]}
    return [path.rpartition(".")[2] for path in order]


def test_additive_gains_come_in_the_order_of_their_sizes() -> None:
    """Planted: 3, 1, 0, -1 and -2 points; each step gains what was planted, and all together the whole."""
    sizes = {A: 0.01, B: -0.02, C: 0.03, D: 0.0, E: -0.01}
    found, record = walked(study(3), exact({of(name): size for name, size in sizes.items()}))
    assert [step.change for step in found.steps] == [C, A, D, E, B]
    assert [step.gain.mean for step in found.steps if step.gain] == pytest.approx(
        [-0.03, -0.01, 0, 0.01, 0.02]
    )
    assert [step.test_gain.mean for step in found.steps if step.test_gain] == pytest.approx(
        [-0.03, -0.01, 0, 0.01, 0.02]
    )
    assert found.is_finished and not found.is_stuck and found.left == 0
    assert found.steps[-1].arm == "end" and found.whole is not None and found.whole.difference is not None
    assert found.whole.difference.mean == pytest.approx(-0.01) and found.whole.measured_on == "test"
    assert len({t.arm for t in record.of("path")}) == 1 + 5 * 6 // 2


def test_a_pair_that_gains_only_together_is_found_together() -> None:
    """Neither does anything alone; once the first of them was made by chance of order, the other follows at once."""
    gains = {of(B, D): 0.05, of(A): -0.004, of(C): -0.003, of(E): 0.002}
    found, _ = walked(study(2), exact(gains))
    assert [step.change for step in found.steps] == [E, B, D, C, A]
    assert [round(step.gain.mean, 6) for step in found.steps if step.gain] == [-0.002, 0, -0.05, 0.003, 0.004]


@pytest.mark.parametrize("seed", range(5))
def test_with_noise_it_is_what_a_brute_force_over_the_table_says(seed: int) -> None:
    """Every stage takes the lowest mean; steps, means and intervals are those of numpy and scipy."""
    rng = np.random.default_rng(seed)
    effects = dict(zip(PATHS, rng.normal(0, 1, 5), strict=True))
    errors = noisy(lambda taken: sum(effects[path] for path in taken), rng, 4)
    sets = [frozenset(s) for n in range(6) for s in itertools.combinations(PATHS, n)]
    table = {(s, i): errors(s, i)[0] for s in sets for i in range(4)}
    found, _ = walked(study(4), errors)
    assert [step.change for step in found.steps] == greedy(table, 4)
    taken = frozenset[str]()
    for step in found.steps:
        further = taken | of(step.change)
        d = [table[further, i] - table[taken, i] for i in range(4)]
        low, high = stats.t.interval(0.95, 3, np.mean(d), stats.sem(d))
        assert step.gain is not None
        assert (step.gain.mean, step.gain.low, step.gain.high) == pytest.approx((np.mean(d), low, high))
        assert step.mean == pytest.approx(np.mean([table[further, i] for i in range(4)]))
        taken = further
    gains = sum(step.gain.mean for step in found.steps if step.gain)
    assert gains == pytest.approx(np.mean([table[WHOLE, i] - table[frozenset(), i] for i in range(4)]))


def without(record: StudyRecord, arm: str, seed: int) -> StudyRecord:
    """The run waits, as if it had not been trained."""
    trials = tuple(
        replace(t, outcome=Outcome.WAITING, values=None, result={}) if (t.arm, t.seed) == (arm, seed) else t
        for t in record.of("path")
    )
    return replace(record, attempts={"path": trials})


def test_a_stage_waits_for_all_runs_of_the_one_before() -> None:
    """With a run of an early stage missing nothing later is asked for; of the start or the end, nothing at all."""
    found, record = walked(study(2), exact({of(A): 0.01}))
    section = record.spec.comparisons[0]
    early = walk(section, without(record, f"start--{B}", 1))
    assert len(early.stages) == 1 and early.stages[0].chosen is None and early.left == 1
    assert len(early.cells) == 2 + 5 and not early.is_finished and not early.is_stuck
    for end in ("start", "end"):
        first = walk(section, without(record, end, 1))
        assert first.stages == () and [arm.name for arm in first.cells] == ["start", "end"]
    assert walks(record) == (found,)


def test_diverged_runs_have_chance_error_and_failed_ones_are_missing() -> None:
    """What gains most but diverges once is not chosen; a seed that failed is left out of the pairs, and does not hold the
    path up."""
    best = exact({of(A): 0.05, of(B): 0.02, of(C): 0.01})

    def errors(taken: frozenset[str], seed: int) -> tuple[float, float] | str:
        if taken == of(A) and seed == 2:
            return "diverged"
        if taken == of(B) and seed == 0:
            return "error"
        return best(taken, seed)

    found, _ = walked(study(3), errors)
    first = {one.change: one for one in found.stages[0].candidates}
    assert found.steps[0].change == B and first[B].gain is not None and first[B].gain.n == 2
    assert first[A].n_diverged == 1 and first[A].gain is not None
    assert first[A].gain.mean == pytest.approx(np.mean([-0.05, -0.05, 0.9 - (LEVEL + 0.02)]))
    assert first[A].test is not None and first[A].test_gain is not None
    assert found.is_finished


def test_a_path_with_nothing_to_choose_by_says_so() -> None:
    """All candidates fail: no run is left, nothing was chosen."""
    found, _ = walked(study(2), lambda taken, _: (0.1, 0.1) if len(taken) in (0, 5) else "error")
    assert found.is_stuck and not found.is_finished and found.steps == () and len(found.stages) == 1


def test_what_does_not_fit_the_total_is_not_available() -> None:
    """Longer cycles have no room before the total grows; with the steps of an epoch known, the total comes first."""
    record = walked(study(2), exact({}))[1]
    start = Arm(name="start", changes={"training.total": "20ep", "method.cycles": 1, "method.s1": "2ep"})
    end = Arm(name="end", changes={"training.total": "90ep", "method.cycles": 1, "method.s1": "50ep"})
    section = Arms(name="path", design=Path(start=start, end=end), seeds=(0,))
    spec = replace(record.spec, sections=(section,))

    def errors(_: frozenset[str], __: int) -> tuple[float, float]:
        return 0.1, 0.1

    found, _ = walked(spec, errors)
    assert [stage.refused.keys() for stage in found.stages] == [{"s1"}, set()]
    assert "must fit training.total = 20ep" in found.stages[0].refused["s1"]
    assert [step.change for step in found.steps] == ["total", "s1"]


def test_asked_twice_it_answers_alike_and_wants_each_cell_once() -> None:
    """From the record alone, at every length of it: never a cell twice, and what was asked for stays asked for."""
    rng = np.random.default_rng(8)
    found, record = walked(study(2), noisy(lambda taken: -len(taken) / 2, rng, 2))
    section, before = record.spec.comparisons[0], set[str]()
    trials = record.of("path")
    for n in range(len(trials) + 1):
        part = replace(record, attempts={"path": trials[:n]})
        names = [arm.name for arm in walk(section, part).cells]
        assert names == [arm.name for arm in walk(section, part).cells] and len(set(names)) == len(names)
        assert before <= {*names}
        before = {*names}
    assert before == {t.arm for t in trials} and found.is_finished
