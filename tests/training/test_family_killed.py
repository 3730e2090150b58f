"""Methods whose parts keep tensors of their own, killed with SIGKILL: they go on with what they kept."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from reprtune.spec.scale import scaled_trial
from reprtune.spec.trial import TrialSpec
from reprtune.states.store import MAGIC
from reprtune.training.chain import state
from reprtune.training.chain.chain import Chain
from tests.training.processes import Train
from tests.training.tiny import LOADED_DATA, go

KILLS = 2
COMMON = ("model.width=8", "training.batch_size=32", "training.segment=1ep")
KEEPING: dict[str, tuple[str, ...]] = {  # method -> what it needs to fit 12 epochs
    "grafting": (),  # two networks
    "dsd": ("method.s1=3ep", "method.s2=5ep"),  # a mask
    "c-sgd": (),  # clusters
    "transforms": ("method.cycles=1", "method.s1=3ep", "method.s2=5ep"),  # ties
    "ban": (),  # a teacher
}
QUICK = ("dsd", "transforms")  # the others: no other rule, more kept


def run_here(name: str) -> tuple[Chain, float]:
    """The same trial in this process, without states; and the seconds it took."""
    trial = scaled_trial(
        TrialSpec(), method=name, total="12ep", assignments=(*COMMON, *KEEPING[name])
    )  # fmt: skip
    run, begun = Chain(trial, LOADED_DATA), time.monotonic()
    go(run)
    return run, time.monotonic() - begun


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in KEEPING]
)
def test_a_method_that_keeps_something_is_killed(name: str, tmp_path: Path) -> None:
    """At random moments of its life; the same command goes on, and the end is the uninterrupted trial's, bit for
    bit."""
    run, seconds = run_here(name)
    options = (
        "--method",
        name,
        "--total",
        "12ep",
        *(w for s in (*COMMON, *KEEPING[name]) for w in ("--set", s)),
    )
    train, draw, n_killed = Train(tmp_path, options), random.Random(name), 0
    while True:
        process = train.start()
        if n_killed < KILLS:
            train.wait_for_progress(process)
            time.sleep(draw.uniform(0, seconds / 2 / KILLS))
            process.kill()
        exit_code = train.end(process)
        assert exit_code in (0, -signal.SIGKILL), train.said()
        n_killed += exit_code != 0
        if exit_code == 0:
            break
    assert n_killed > 0
    assert_same(train.result()["state"], run)


def assert_same(path: str, run: Chain) -> None:
    """Every tensor that is stored is the run's, and so is the curve."""
    found, notes = state.decode(Path(path).read_bytes()[len(MAGIC) + 32 :])
    expected, _ = state.decode(run.networks.save())
    assert set(found) == set(expected) and len(found) > 20
    different: list[Any] = [name for name in found if not state.bits_equal(found[name], expected[name])]
    assert not different
    assert [p["val_error"] for p in notes["points"]] == [p.val_error for p in run.history.points]
