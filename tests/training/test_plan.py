"""What happens when, by hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, LRScheduler, OneCycleLR

from reprtune.errors import SpecError
from reprtune.spec.edit import changed
from reprtune.spec.training import LR_SCHEDULES, TrainingSpec
from reprtune.spec.trial import TrialSpec
from reprtune.training.chain.plan import (
    Item,
    Segment,
    learning_rates,
    plan,
    restarts,
    rungs,
    trial_rates,
)
from reprtune.training.parts.schedules import Event

STEPS_PER_EPOCH = 4


def trial(cycles: int, s1: str, s2: str, total: str, segment: str = "4it") -> TrialSpec:
    lengths = {"method.s1": s1, "method.s2": s2, "training.total": total, "training.segment": segment}
    return changed(TrialSpec(), {"method.cycles": cycles, **lengths})


def written(items: tuple[Item, ...]) -> list[str]:
    """Segments as `start-stop phase cycle`, events as `kind@step cycle`."""
    return [
        f"{i.kind}@{i.stop} {i.cycle}" if isinstance(i, Event) else f"{i.start}-{i.stop} {i.phase} {i.cycle}"
        for i in items
    ]


def test_a_plan_by_hand() -> None:
    """Segments of 4 counted from step 0, cut at phases and at the rung of step 5 + 3 + 5 = 13."""
    assert written(plan(trial(2, "5it", "3it", "20it"), STEPS_PER_EPOCH)) == [
        "0-4 full 0", "4-5 full 0", "drop@5 0", "5-8 sub 0", "restore@8 0",
        "8-12 full 1", "12-13 full 1", "drop@13 1", "13-16 sub 1", "restore@16 1",
        "16-20 full 2",
    ]  # fmt: skip


def test_rungs_go_on_after_the_last_cycle() -> None:
    """Before the second drop at 13, then every 8 steps: 21 and 29, each the end of a segment."""
    spec = trial(2, "5it", "3it", "30it")
    assert rungs(spec, STEPS_PER_EPOCH) == (13, 21, 29)
    assert written(plan(spec, STEPS_PER_EPOCH))[10:] == [
        "16-20 full 2", "20-21 full 2", "21-24 full 2", "24-28 full 2", "28-29 full 2", "29-30 full 2",
    ]  # fmt: skip


def test_epochs_are_counted_in_steps() -> None:
    """1.5 epochs of 4 steps are 6."""
    items = plan(trial(1, "1.5ep", "1ep", "3ep", "1ep"), STEPS_PER_EPOCH)
    assert written(items) == [
        "0-4 full 0", "4-6 full 0", "drop@6 0", "6-8 sub 0", "8-10 sub 0", "restore@10 0", "10-12 full 1",
    ]  # fmt: skip


def test_standard_training_has_no_events() -> None:
    """Only segments of the full network; its rungs are tenths of the total in whole segments."""
    spec = trial(0, "5it", "3it", "10it")
    assert written(plan(spec, STEPS_PER_EPOCH)) == ["0-4 full 0", "4-8 full 0", "8-10 full 0"]
    assert rungs(spec, STEPS_PER_EPOCH) == (4, 8)
    assert rungs(trial(0, "5it", "3it", "100it"), STEPS_PER_EPOCH) == tuple(
        range(8, 100, 8)
    )  # 10 is 2.5, so 2


def other(**changes: Any) -> TrialSpec:
    lengths = {"training.total": "20it", "training.segment": "4it"}
    return changed(TrialSpec(), {**lengths, **{k.replace("__", "."): v for k, v in changes.items()}})


def test_an_exchange_after_every_period_by_hand() -> None:
    """Every 6 of 20 steps, and rungs at whole periods; where the total is a whole number of periods the last
    exchange is at the end."""
    spec = other(method="averaging", method__period="6it")
    assert written(plan(spec, STEPS_PER_EPOCH)) == [
        "0-4 full 0", "4-6 full 0", "exchange@6 0", "6-8 full 1", "8-12 full 1", "exchange@12 1",
        "12-16 full 2", "16-18 full 2", "exchange@18 2", "18-20 full 3",
    ]  # fmt: skip
    assert rungs(spec, STEPS_PER_EPOCH) == (6, 12, 18)
    assert (
        written(plan(other(method="averaging", method__period="10it"), STEPS_PER_EPOCH))[-1]
        == "exchange@20 1"
    )
    until = other(method="averaging", method__period="6it", method__until=0.6)
    assert [i for i in written(plan(until, STEPS_PER_EPOCH)) if "@" in i] == ["exchange@6 0", "exchange@12 1"]


def test_drop_and_restore_at_once() -> None:
    """After every period, or after every s1 where s2 is none; never at the very end."""
    sfp = [i for i in written(plan(other(method="sfp", method__period="10it"), STEPS_PER_EPOCH)) if "@" in i]
    assert sfp == ["drop@10 0", "restore@10 0"]
    spec = trial(3, "5it", "0it", "15it")
    assert written(plan(spec, STEPS_PER_EPOCH)) == [
        "0-4 full 0", "4-5 full 0", "drop@5 0", "restore@5 0", "5-8 full 1", "8-10 full 1", "drop@10 1",
        "restore@10 1", "10-12 full 2", "12-15 full 2",
    ]  # fmt: skip
    assert rungs(spec, STEPS_PER_EPOCH) == (10,)


def test_what_is_kept_tied_restarts_nothing() -> None:
    """The last of the restores at 8 and 16 is left out, and with it the restart of the learning rate."""
    spec = changed(
        trial(2, "5it", "3it", "20it"),
        {
            "method.drop": "tied",
            "method.restore": "untied",
            "method.ending": "keep-tied",
            "method.restore_lr": "restart",
        },
    )
    assert [e.stop for e in plan(spec, STEPS_PER_EPOCH) if isinstance(e, Event) and e.kind == "restore"] == [
        8
    ]
    assert restarts(spec, STEPS_PER_EPOCH) == (8,)


def test_a_learning_rate_that_restarts_alone() -> None:
    """The schedule of cycles without anything that is dropped: no events, but the restarts of its ends."""
    spec = other(method="lr-restart", method__s1="6it", method__cycles=2)
    assert not [i for i in written(plan(spec, STEPS_PER_EPOCH)) if "@" in i]
    assert restarts(spec, STEPS_PER_EPOCH) == (6, 12)


def test_cycles_that_fill_the_total_end_without_filters() -> None:
    """What would be restored at the very end would be neither trained nor measured."""
    items = written(plan(trial(2, "5it", "3it", "16it"), STEPS_PER_EPOCH))
    assert items[-2:] == ["drop@13 1", "13-16 sub 1"]
    assert "restore@8 0" in items


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (trial(2, "5it", "3it", "15it"), "are 1 steps too long"),
        (trial(1, "0.1ep", "3it", "15it"), "method.s1 must be at least one step"),
        (trial(1, "3it", "0.1ep", "15it"), "method.s2 must be at least one step"),
        (other(method="averaging", method__period="0.1ep"), "method.period must be at least one step"),
        (trial(0, "3it", "3it", "0.1ep"), "training.total must be at least one step"),
    ],
)
def test_what_does_not_fit_is_refused(spec: TrialSpec, message: str) -> None:
    """One step too many; phases and totals that round to no step."""
    with pytest.raises(SpecError, match=message):
        plan(spec, STEPS_PER_EPOCH)


@given(
    cycles=st.integers(0, 4),
    s1=st.integers(1, 9),
    s2=st.integers(1, 9),
    rest=st.integers(0, 30),
    segment=st.integers(1, 12),
)
def test_every_plan_covers_each_step_once(cycles: int, s1: int, s2: int, rest: int, segment: int) -> None:
    """Segments join without gaps and are at most `segment` long; events stand where the phases change;
    every rung is the end of a segment of the full network, and before the next drop."""
    total = cycles * (s1 + s2) + rest or 1
    spec = trial(cycles, f"{s1}it", f"{s2}it", f"{total}it", f"{segment}it")
    items = plan(spec, STEPS_PER_EPOCH)
    segments = [i for i in items if isinstance(i, Segment)]
    steps = [(s, part.phase) for part in segments for s in range(part.start, part.stop)]
    cycle = ["full"] * s1 + ["sub"] * s2
    assert steps == list(enumerate(cycle * cycles + ["full"] * (total - cycles * (s1 + s2))))
    assert max(part.stop - part.start for part in segments) <= segment
    events = [(i.kind, i.stop) for i in items if isinstance(i, Event)]
    by_hand = [
        pair
        for c in range(cycles)
        for pair in (("drop", c * (s1 + s2) + s1), ("restore", (c + 1) * (s1 + s2)))
        if pair != ("restore", total)
    ]
    assert events == by_hand
    ends = {part.stop for part in segments if part.phase == "full"}
    marks = rungs(spec, STEPS_PER_EPOCH)
    assert set(marks) <= ends
    drops = [stop for kind, stop in events if kind == "drop"]
    if cycles:
        assert list(marks[: cycles - 1]) == drops[1:]
        assert all(b - a == s1 + s2 for a, b in itertools.pairwise(marks))
    else:
        assert all(mark % segment == 0 for mark in marks)


RATES = {
    "constant": [0.5] * 10,
    "step": [0.5] * 4 + [0.05] * 3 + [0.005] * 3,  # at 0.4 and 0.7 of 10 steps
    "cosine": [0.5, 0.487764, 0.452254, 0.396946, 0.327254, 0.25, 0.172746, 0.103054, 0.047746, 0.012236],
    "one-cycle": [
        0.02, 0.26, 0.5, 0.480970, 0.426777, 0.345671, 0.250001, 0.154331, 0.073225, 0.019032, 0.000002,
    ],
    "cyclic": [0.5, 0.426777, 0.25, 0.073223] * 2 + [0.5, 0.426777],
}  # fmt: skip
LENGTHS = {"one-cycle": 11}  # the way up ends at 3/11 of 11 steps less one: at step 2


@pytest.mark.parametrize("schedule", LR_SCHEDULES)
def test_learning_rates_by_hand(schedule: str) -> None:
    """cosine: 0.25 (1 + cos(pi k / 10)) at step k; cyclic: 0.25 (1 + cos(pi k / 4)); one-cycle: from 0.5/25
    half way up to 0.5 in two steps, then by eighths of a half cosine to 0.02/10,000; computed by hand."""
    fields = {"total": f"{LENGTHS.get(schedule, 10)}it", "lr": 0.5, "lr_schedule": schedule}
    training = changed(TrainingSpec(), {**fields, "lr_period": "1ep", "lr_warmup": 3 / 11})
    assert learning_rates(training, STEPS_PER_EPOCH).tolist() == pytest.approx(RATES[schedule], abs=5e-7)


def test_milestones_and_gamma() -> None:
    """One milestone in the middle of 2 epochs, times 0.5 there."""
    training = changed(TrainingSpec(), {"total": "2ep", "lr": 1.0, "lr_milestones": [0.5], "lr_gamma": 0.5})
    assert learning_rates(training, STEPS_PER_EPOCH).tolist() == [1.0] * 4 + [0.5] * 4


def by_torch(make: Callable[[torch.optim.Optimizer], LRScheduler], n_steps: int) -> list[float]:
    """The learning rate of every step, peak 0.5, as a scheduler of torch sets it."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    scheduler = make(optimizer)
    rates = []
    for _ in range(n_steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("n_steps", [7, 20, 101])
@pytest.mark.parametrize("warmup", [0.3, 0.5, 0.95])
def test_one_cycle_is_that_of_torch(n_steps: int, warmup: float) -> None:
    """OneCycleLR in two phases, with its own divisors 25 and 10,000."""
    training = changed(
        TrainingSpec(), {"total": f"{n_steps}it", "lr": 0.5, "lr_schedule": "one-cycle", "lr_warmup": warmup}
    )
    expected = by_torch(
        lambda o: OneCycleLR(o, max_lr=0.5, total_steps=n_steps, pct_start=warmup, cycle_momentum=False),
        n_steps,
    )
    assert learning_rates(training, STEPS_PER_EPOCH).tolist() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("period", ["3it", "1ep", "2.5ep"])
def test_cyclic_is_that_of_torch(period: str) -> None:
    """CosineAnnealingWarmRestarts, stepped in every step; 2.5 epochs of 4 steps are 10."""
    n_period = {"3it": 3, "1ep": 4, "2.5ep": 10}[period]
    training = changed(
        TrainingSpec(), {"total": "23it", "lr": 0.5, "lr_schedule": "cyclic", "lr_period": period}
    )
    expected = by_torch(lambda o: CosineAnnealingWarmRestarts(o, T_0=n_period), 23)
    assert learning_rates(training, STEPS_PER_EPOCH).tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("n_steps", [1, 2, 3])
@pytest.mark.parametrize("schedule", LR_SCHEDULES)
def test_very_short_schedules_begin_at_their_peak(schedule: str, n_steps: int) -> None:
    """Also where the way up of one-cycle (0.3 of the steps, less one) is shorter than a step."""
    training = changed(TrainingSpec(), {"total": f"{n_steps}it", "lr": 0.5, "lr_schedule": schedule})
    rates = learning_rates(training, STEPS_PER_EPOCH)
    assert rates.shape == (n_steps,) and rates[0] == pytest.approx(0.5) and (rates >= 0).all()


def test_a_period_of_no_step_is_refused() -> None:
    """0.1 epochs of 4 steps round to none; other schedules have no period and do not mind."""
    training = changed(TrainingSpec(), {"total": "2ep", "lr_schedule": "cyclic", "lr_period": "0.1ep"})
    with pytest.raises(SpecError, match=r"training.lr_period must be at least one step, but 0.1ep is none"):
        learning_rates(training, STEPS_PER_EPOCH)
    learning_rates(changed(training, {"lr_schedule": "cosine"}), STEPS_PER_EPOCH)


@pytest.mark.parametrize(
    ("cycles", "total", "expected"),
    [(2, "20it", (8, 16)), (2, "16it", (8,)), (1, "8it", ())],
)
def test_where_the_learning_rate_begins_anew(cycles: int, total: str, expected: tuple[int, ...]) -> None:
    """At every restore of the plan, where `restart` asks for it; nowhere else."""
    spec = trial(cycles, "5it", "3it", total)
    assert restarts(spec, STEPS_PER_EPOCH) == ()
    spec = changed(spec, {"method.restore_lr": "restart"})
    found = restarts(spec, STEPS_PER_EPOCH)
    assert found == expected
    events = [item for item in plan(spec, STEPS_PER_EPOCH) if isinstance(item, Event)]
    assert found == tuple(event.stop for event in events if event.kind == "restore")


@pytest.mark.parametrize("schedule", LR_SCHEDULES)
def test_each_piece_is_a_schedule_of_its_own(schedule: str) -> None:
    """Restarts at 8 and 13 of 20: schedules over 8, 5 and 7 steps, one after the other."""
    training = changed(TrainingSpec(), {"total": "20it", "lr_schedule": schedule, "lr_period": "3it"})
    pieces = [
        learning_rates(changed(training, {"total": f"{n}it"}), STEPS_PER_EPOCH).tolist() for n in (8, 5, 7)
    ]
    assert learning_rates(training, STEPS_PER_EPOCH, (8, 13)).tolist() == [*pieces[0], *pieces[1], *pieces[2]]


@pytest.mark.parametrize("schedule", LR_SCHEDULES)
def test_a_learning_rate_is_scaled_from_each_restore_on(schedule: str) -> None:
    """Restores after 8 and 16 of 20 steps, a scale of 0.25: the schedule's own rates, times 1, 0.25 and 0.0625; with
    `restart` and `continue` the scale does nothing."""
    spec = changed(
        trial(2, "5it", "3it", "20it"),
        {"training.lr_schedule": schedule, "training.lr_period": "3it", "method.restore_lr_scale": 0.25},
    )
    own = learning_rates(spec.training, STEPS_PER_EPOCH).tolist()
    factors = [1.0] * 8 + [0.25] * 8 + [0.0625] * 4
    assert trial_rates(spec, STEPS_PER_EPOCH).tolist() == own
    scaled = trial_rates(changed(spec, {"method.restore_lr": "scaled"}), STEPS_PER_EPOCH).tolist()
    assert scaled == pytest.approx([r * f for r, f in zip(own, factors, strict=True)], rel=1e-12)
    anew = changed(spec, {"method.restore_lr": "restart"})
    assert trial_rates(anew, STEPS_PER_EPOCH).tolist() == (
        learning_rates(spec.training, STEPS_PER_EPOCH, (8, 16)).tolist()
    )


def test_dsd_ends_at_a_tenth_of_the_learning_rate() -> None:
    """Dense, sparse, dense: one drop, one restore, and from there on a tenth."""
    spec = other(method="dsd", method__s1="6it", method__s2="4it", training__lr_schedule="constant")
    rates = trial_rates(spec, STEPS_PER_EPOCH)
    assert [i for i in written(plan(spec, STEPS_PER_EPOCH)) if "@" in i] == ["drop@6 0", "restore@10 0"]
    assert (rates / spec.training.lr).tolist() == pytest.approx([1.0] * 10 + [0.1] * (len(rates) - 10))
