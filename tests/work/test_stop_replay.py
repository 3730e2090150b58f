"""The replay of recorded trials under stop rules, on curves small enough to follow by hand."""

from __future__ import annotations

import gzip
import itertools
import json
import random
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from benchmarks.curves import FILE, Recorded, load, packed, save, unpacked
from benchmarks.record_curves import SETS, draw
from benchmarks.replay import (
    Ended,
    OptunaJudge,
    RungJudge,
    best_tenth,
    costs_when_complete,
    hypervolume,
    missing_volume,
    regret,
    replay,
    true_front,
)
from benchmarks.stop_rules import BUDGETS, NAMES, RULES, Outcome, arrivals, interval, outcome, table
from reprtune.spec.stop_rules import Median, StopRule
from reprtune.stopping.pruner import RungPruner
from reprtune.training.chain.plan import plan, rungs
from reprtune.training.parts.schedules import Event


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


def recorded(
    errors: Sequence[float], gflops: Sequence[float], *, at: Sequence[int] = (), drops: Sequence[int] = ()
) -> Recorded:
    """A trial evaluated after steps 1, 2, ...; the whole network all the time, with rungs `at` some of them."""
    n = len(errors)
    return Recorded(
        steps=tuple(range(1, n + 1)),
        errors=tuple(errors),
        gflops=tuple(gflops),
        is_full=(True,) * n,
        rungs=frozenset(at),
        marks=frozenset({*at, *drops, n}),
    )


def saws(n: int, seed: int = 0, length: int = 30) -> list[Recorded]:
    """Random trials with cycles of different lengths, each a third of it with larger errors."""
    rng, result = random.Random(seed), []
    for _ in range(n):
        cycle, floor = rng.randint(4, 9), rng.uniform(0.05, 0.4)
        errors = [
            floor + 0.5 / step + 0.2 * (step > cycle and (step - 1) % cycle < cycle / 3)
            for step in range(1, length + 1)
        ]
        drops = range(cycle, length, cycle)
        costs = list(itertools.accumulate(rng.uniform(0.5, 1.5) for _ in range(length)))
        result.append(recorded(errors, costs, at=drops[1:], drops=drops))
    return result


class StopsAt:
    """Stops the trials it is told of at the evaluations it is told of."""

    def __init__(self, where: dict[int, int]) -> None:
        self.where = where
        self.heard: list[tuple[str, int]] = []

    def begin(self, run: int) -> None:
        self.heard.append(("begin", run))

    def stops(self, run: int, at: int) -> bool:
        return self.where.get(run) == at

    def end(self, run: int, complete: bool) -> None:
        self.heard.append(("complete" if complete else "stopped", run))


TRIO = [recorded([0.5, 0.3], [2, 4]), recorded([0.6, 0.2], [1, 6]), recorded([0.7, 0.1], [1, 3])]


def test_a_free_worker_takes_the_next_trial() -> None:
    """Costs 4, 6 and 3 on two workers: the third begins when the first ends, at 4."""
    judge = StopsAt({})
    assert replay(TRIO, [0, 1, 2], judge, n_workers=2) == [
        Ended(0, 0.0, 4, True),
        Ended(1, 0.0, 6, True),
        Ended(2, 4.0, 3, True),
    ]
    begins = [("begin", 0), ("begin", 1), ("complete", 0), ("begin", 2), ("complete", 1), ("complete", 2)]
    assert judge.heard == begins


def test_a_stopped_trial_costs_what_it_had_and_frees_its_worker() -> None:
    """Trial 1 is stopped at its first evaluation, at 1; trial 2 takes its place and ends at 4, after trial 0."""
    ended = replay(TRIO, [0, 1, 2], StopsAt({1: 0}), n_workers=2)
    assert ended == [Ended(1, 0.0, 1, False), Ended(0, 0.0, 4, True), Ended(2, 1.0, 3, True)]


def test_no_trial_is_stopped_at_its_end() -> None:
    """A rule is not asked after the last evaluation: there is nothing left to save."""
    assert all(e.complete for e in replay(TRIO, [0, 1, 2], StopsAt({0: 1, 1: 1, 2: 1}), n_workers=1))


def test_what_the_pool_had_spent_counts_all_workers() -> None:
    """On two workers trial 0 ends at 4, trial 1 at 6, trial 2 at 7 = 4 + 3."""
    ended = replay(TRIO, [0, 1, 2], StopsAt({}), n_workers=2)
    assert costs_when_complete(ended, 2) == {0: 8.0, 1: 12.0, 2: 14.0}
    stopped = replay(TRIO, [0, 1, 2], StopsAt({1: 0}), n_workers=2)
    assert costs_when_complete(stopped, 2) == {0: 8.0, 2: 8.0}


def test_a_replay_ends_late_and_not_before_the_first_trials_have() -> None:
    """Costs 4, 6, 3 on one worker, ending at 4, 10 and 13: enough is the first, or all that end by 10."""

    def runs_ended(**options: float) -> list[int]:
        ended = replay(TRIO, [0, 1, 2], StopsAt({}), n_workers=1, **options)
        return [e.run for e in ended]

    assert runs_ended(n_first=1) == [0]
    assert runs_ended(n_first=1, until=10) == [0, 1]
    assert runs_ended(n_first=2, until=3) == [0, 1]
    assert runs_ended() == runs_ended(n_first=1, until=99) == [0, 1, 2]


def test_regret_counts_only_what_is_complete_within_the_budget() -> None:
    """Errors 0.3, 0.2, 0.1, complete at 8, 12, 13; before that an error of 1."""
    spent = {0: 8.0, 1: 12.0, 2: 13.0}
    found = [regret(TRIO, spent, budget) for budget in (7, 8, 12.5, 13)]
    assert found == pytest.approx([0.9, 0.2, 0.1, 0.0])
    assert regret(TRIO, {0: 8.0}, 100) == pytest.approx(0.2)


def test_without_a_rule_the_mean_regret_is_that_of_drawing_without_replacement() -> None:
    """Five trials of cost 1 in all 120 orders: the mean best of k is the mean over all subsets of k."""
    runs = [recorded([e], [1]) for e in (0.1, 0.2, 0.4, 0.5, 0.9)]
    for k in (1, 2, 3, 5):
        ours = [
            regret(runs, costs_when_complete(replay(runs, order, StopsAt({}), n_workers=1), 1), k)
            for order in itertools.permutations(range(5))
        ]
        subsets = [min(runs[i].error for i in s) - 0.1 for s in itertools.combinations(range(5), k)]
        assert statistics.mean(ours) == pytest.approx(statistics.mean(subsets))


def test_our_rule_compares_at_rungs_with_all_who_have_passed() -> None:
    """Three trials, one after the other, with a drop at 1 and a rung at 2: 0.4 is the median of {0.4}; 0.5 is
    above it, stopped; 0.45 is the median of {0.4, 0.5} and goes on. Step 3 is no rung: 0.9 there is ignored."""
    runs = [recorded([0.6, e, 0.9, 0.1], [1, 2, 3, 4], at=[2], drops=[1]) for e in (0.4, 0.5, 0.45)]
    judge = RungJudge(runs, Median(min_comparable=1))
    ended = replay(runs, [0, 1, 2], judge, n_workers=1)
    assert [(e.run, e.cost, e.complete) for e in ended] == [(0, 4, True), (1, 2, False), (2, 4, True)]


def test_our_rule_for_several_objectives_spares_the_cheap() -> None:
    """The same errors, but the second trial costs half: it is on the front."""
    runs = [recorded([0.6, e, 0.1], [c, 2 * c, 3 * c], at=[2], drops=[1]) for e, c in ((0.4, 2), (0.5, 1))]
    rule = Median(min_comparable=1)
    complete = [
        [e.complete for e in replay(runs, [0, 1], RungJudge(runs, rule, several=several), n_workers=1)]
        for several in (False, True)
    ]
    assert complete == [[True, False], [True, True]]


def optimised(
    runs: Sequence[Recorded], order: Sequence[int], pruner: optuna.pruners.BasePruner, at: str
) -> set:
    """The trials that Optuna stops, one after the other, in an objective as its users write it."""
    study = optuna.create_study(study_name="replay", pruner=pruner)

    def objective(trial: optuna.Trial) -> float:
        run = runs[order[trial.number]]
        for index, step in enumerate(run.steps):
            if at == "epochs" or step in run.marks:
                trial.report(run.errors[index], index if at == "epochs" else step)
                if index < len(run.steps) - 1 and trial.should_prune():
                    raise optuna.TrialPruned
        return run.error

    study.optimize(objective, n_trials=len(order))
    return {order[t.number] for t in study.trials if t.state == TrialState.PRUNED}


@pytest.mark.parametrize(
    "name", ["MedianPruner", "PercentilePruner", "SuccessiveHalvingPruner", "HyperbandPruner"]
)
def test_optuna_in_a_pool_of_one_stops_what_optuna_stops(name: str) -> None:
    """With one worker the replay is an ordinary sequential study."""
    options = {"percentile": 25.0} if name == "PercentilePruner" else {}
    runs, order = saws(40), random.Random(1).sample(range(40), 40)
    make = getattr(optuna.pruners, name)
    ended = replay(runs, order, OptunaJudge(runs, make(**options)), n_workers=1)
    stopped = {e.run for e in ended if not e.complete}
    assert stopped == optimised(runs, order, make(**options), "epochs")
    assert 0 < len(stopped) < 40


@pytest.mark.parametrize("rule", StopRule.names())
def test_ours_in_a_pool_of_one_stops_what_the_rung_pruner_stops(rule: str) -> None:
    """Reports before each drop to Optuna, without the one before the first full cycle, come to the same."""
    total = 30 if rule == "successive-halving" else None
    runs, order = saws(60), random.Random(1).sample(range(60), 60)
    ended = replay(runs, order, RungJudge(runs, StopRule.find(rule)()), n_workers=1)
    stopped = {e.run for e in ended if not e.complete}
    assert stopped == optimised(runs, order, RungPruner(rule, total=total), "marks")
    assert (len(stopped) > 0) is (rule != "none")


def test_optuna_at_rungs_hears_of_rungs_only() -> None:
    """Of the second trial only the rung at 2 is reported, where it is no worse than the others."""
    runs = [recorded([0.1, 0.5, 0.1, 0.1], [1, 2, 3, 4], at=[2])] * 6
    runs += [recorded([0.9, 0.4, 0.9, 0.9], [1, 2, 3, 4], at=[2])]
    for at_rungs in (True, False):
        pruner = OptunaJudge(runs, optuna.pruners.MedianPruner(), at_rungs=at_rungs)
        assert replay(runs, range(7), pruner, n_workers=1)[-1].complete is at_rungs


def test_the_best_tenth_breaks_ties_by_loss() -> None:
    """Twenty trials of equal error: the two of smallest loss."""
    runs = [Recorded((1,), (0.1,), (1.0,), (True,), frozenset(), frozenset({1}), loss) for loss in range(20)]
    assert best_tenth(runs[::-1]) == {18, 19}


def test_front_and_hypervolume_by_hand() -> None:
    """Corner (3, 4): (1, 2) covers 2 x 2, (2, 1) adds 1 x 1, (2, 3) nothing, and what is beyond it nothing."""
    assert hypervolume([(2, 3), (2, 1), (1, 2), (4, 0), (0, 5)], (3, 4)) == 5
    assert hypervolume([], (3, 4)) == 0
    runs = [recorded([e], [c]) for e, c in ((0.1, 2), (0.2, 1), (0.2, 3), (0.3, 4))]
    assert true_front(runs) == {0, 1}
    spent = {0: 5.0, 1: 9.0}  # all: 0.2 x 2 + 0.1 x 1 = 0.5; the first alone 0.4
    assert [missing_volume(runs, spent, b) for b in (4, 5, 9)] == pytest.approx([1.0, 0.2, 0.0])


@pytest.mark.parametrize("several", [False, True])
def test_every_rule_of_the_table_gives_shares(several: bool) -> None:
    """One order of each; `none` spends everything and stops nobody."""
    runs = saws(40)
    for name in RULES if several else NAMES:
        found = outcome(runs, arrivals(40, 0), name, several, 4)
        shares = (found.spent, found.killed, found.front_lost, *found.regret, *found.missing)
        assert all(-1e-9 <= share <= 1 + 1e-9 for share in shares)
        assert list(found.regret) == sorted(found.regret, reverse=True)
        if name == "none":
            assert (found.spent, found.killed, found.front_lost) == (pytest.approx(1), 0, 0)


def test_a_pool_is_given_every_trial_once_and_then_goes_on() -> None:
    """A shuffle, another one for another seed, and then draws with repetition."""
    first, second = arrivals(50, 0), arrivals(50, 1)
    assert sorted(first[:50]) == sorted(second[:50]) == list(range(50))
    assert first[:50] != second[:50]
    assert len(set(first[50:100])) < 50


def test_budgets_beyond_all_trials_are_spent_on_further_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Costs of 9, 11 and eight times 10, all but the first stopped at 1: 9 + 9 = 18 % spent on them. The best
    one, stopped at first, comes again at the end and is complete when 18 + 10 = 28 of 100 are spent."""
    errors, costs = [0.5] * 9 + [0.1], [9, 11] + [10] * 8
    runs = [recorded([e, e], [1, c]) for e, c in zip(errors, costs, strict=True)]
    judge = StopsAt(dict.fromkeys(range(1, 10), 0))
    monkeypatch.setattr("benchmarks.stop_rules.judge", lambda *_: judge)
    found = outcome(runs, [*range(10), 9], "ours", several=False, n_workers=1)
    assert BUDGETS == (0.1, 0.2, 0.3, 0.4)
    assert found.regret == pytest.approx([0.4, 0.4, 0.0, 0.0])
    assert (found.spent, found.killed) == (pytest.approx(0.18), 1.0)


def test_intervals_are_of_student() -> None:
    """1 and 3 per cent: mean 2, t(0.975, 1) = 12.706 times a standard error of 1."""
    assert interval([0.01, 0.03]) == "2.0 ± 12.7"
    zeros = (0.0,) * len(BUDGETS)
    results = [Outcome(zeros, zeros, 0.25, killed, 0.0) for killed in (0.01, 0.03)]
    line = table({"none": results}, several=False).splitlines()[-1]
    assert line == "| none " + "| 0.00 ± 0.00 " * 4 + "| 2.0 ± 12.7 | 25.0 ± 0.0 |"


def test_differences_are_paired_by_order() -> None:
    """0.3 and 0.1 against 0.2 and 0.1, order by order: 10 and 0 points, not 5 with the spread of both."""

    def results(*regrets: float) -> list[Outcome]:
        return [Outcome((r,) * len(BUDGETS), (), 1.0, 0.0, 0.0) for r in regrets]

    found = {"none": results(0.2, 0.1), "median": results(0.3, 0.1)}
    rest = "| 0.0 ± 0.0 | 100.0 ± 0.0 |"
    assert table(found, several=False).splitlines()[-2:] == [
        "| none " + "| 15.00 ± 63.53 " * 4 + rest,
        "| median " + "| +5.00 ± 63.53 " * 4 + rest,
    ]


LINE = {
    "set": "fixed",
    "index": 3,
    "changes": {"training.lr": 0.1},
    "seconds": 4.0,
    "rungs": [48],
    "drops": [16, 48],
    "n_val": 10,
    "wrong": [9, 5, 4, 3, 2],
    "val_loss": [2.0, 1.0, 0.5, 0.4, 0.3],
    "steps": [16, 32, 40, 48, 64],
    "phases": "fsfff",
    "gflops": [10.0, 15.0, 20.0, 25.0, 35.0],
}


def test_a_line_survives_packing(tmp_path: Path) -> None:
    """Steps, errors and costs come back; at every evaluation, though the cost is kept where its rate changes."""
    save([LINE], tmp_path / "a" / "curves.json.gz", {"cpu": "none"})
    (run,) = load(tmp_path / "a" / "curves.json.gz")["fixed"]
    assert run == unpacked(json.loads(json.dumps(packed(LINE))))
    assert (run.steps, run.errors) == ((16, 32, 40, 48, 64), (0.9, 0.5, 0.4, 0.3, 0.2))
    assert run.gflops == pytest.approx([10.0, 15.0, 20.0, 25.0, 35.0])
    assert run.is_full == (True, False, True, True, True)
    assert (run.rungs, run.marks, run.loss) == ({48}, {16, 48, 64}, 0.3)


def test_the_planned_cost_is_known_once_every_phase_was_seen() -> None:
    """10 a full epoch and 5 a dropped one: 10 + 5 + 2 x 10 = 35 from the first dropped epoch on."""
    planned = unpacked(packed(LINE)).planned
    assert planned[0] is None
    assert planned[1:] == pytest.approx([35.0] * 4)


@pytest.mark.parametrize("name", SETS)
def test_draws_repeat_fit_and_differ(name: str) -> None:
    """16 steps an epoch, as `digits` has them: the same draw for the same number, and cycles that fit."""
    draws = [draw(name, index, 16) for index in range(20)]
    assert draws == [draw(name, index, 16) for index in range(20)]
    assert all(trial.excess_steps(16) <= 0 for _, trial in draws)
    assert len({json.dumps(changes) for changes, _ in draws}) > 15


def test_the_recorded_trials_are_those_that_the_draws_name() -> None:
    """In the file of the repository: the draws' settings, rungs and drops as their schedules have them, every
    error a share of the validation images, and what is planned at a rung within a fifth of the final cost."""
    runs = json.loads(gzip.decompress(FILE.read_bytes()))["runs"]
    assert {run["set"] for run in runs} == set(SETS)
    assert len(runs) >= 200
    for run in runs:
        changes, trial = draw(run["set"], run["index"], 16)
        events = [item for item in plan(trial, 16) if isinstance(item, Event)]
        assert run["changes"] == changes
        assert run["rungs"] == list(rungs(trial, 16))
        assert run["drops"] == [event.stop for event in events if event.kind == "drop"]
        assert sum(run["lengths"]) == trial.training.total.steps(16)
        assert all(0 <= wrong <= run["n_val"] for wrong in run["wrong"])
        whole = unpacked(run)
        for step in whole.rungs:
            assert whole.planned[whole.steps.index(step)] == pytest.approx(whole.cost, rel=0.2)
