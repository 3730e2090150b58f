"""The fault matrix in short: one row by default, for each is half a minute of real processes; all of them when asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.faults.matrix import ROWS
from tests.faults.row import tried
from tests.faults.verdict import Found, defects
from tests.faults.world import Services
from tests.postgres import PostgreSQL

BY_DEFAULT = (
    "machine",
)  # kill -9, a lease that runs out, a journal that nobody sends: most of the rules at once
VERY_SLOW = ("db-5min",)


@pytest.fixture(scope="module")
def services(postgresql: PostgreSQL) -> Iterator[Services]:
    with closing(Services(postgresql)) as services:
        yield services


@pytest.mark.skipif(
    "not __import__('pathlib').Path('/proc/self/task').exists()", reason="no /proc to find workers by"
)
@pytest.mark.parametrize(
    "name", [name if name in BY_DEFAULT else pytest.param(name, marks=pytest.mark.slow) for name in ROWS]
)
def test_nothing_is_lost_or_doubled(services: Services, name: str) -> None:
    """Optuna and MLflow hold every slot once and finished, with the weights of a run that nothing happened to; the
    other machine was not harmed, and what was said is what is to be said."""
    outcome = tried(ROWS[name], services)
    if outcome.verdict == "not run":
        pytest.skip(outcome.wrong[0])
    assert outcome.verdict == "ok", "\n".join(outcome.wrong)


def whole() -> Found:
    came_to = (("lr", 0.1),), (0.5, 2.0)
    return Found(
        {("s", 0, ""): [came_to]}, [], 1, [], {"s": [("FINISHED", "")], "slot 0": [("FINISHED", "ab")]}
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.open.append("s slot 1 is RUNNING in Optuna"), "s slot 1 is RUNNING in Optuna"),
        (lambda f: f.finished.update({("s", 0, ""): []}), "s slot 0 was finished 0 times"),
        (lambda f: f.finished[("s", 0, "")].append(((), (0.5,))), "s slot 0 was finished 2 times"),
        (lambda f: f.finished.update({("s", 0, ""): [((), (0.5,))]}), "s slot 0 came to ((), (0.5,)), and undisturbed to"),
        (lambda f: f.finished.update({("s", 1, ""): [((), (0.5,))]}), "('s', 1, '') is a slot too many"),
        (lambda f: f.runs["slot 0"].append(("FINISHED", "ab")), "2 runs in MLflow are called 'slot 0'"),
        (lambda f: f.runs.pop("slot 0"), "0 runs in MLflow are called 'slot 0'"),
        (lambda f: f.runs.update({"slot 0": [("RUNNING", "ab")]}), "run 'slot 0' is RUNNING in MLflow"),
        (lambda f: f.runs.update({"slot 0": [("FINISHED", "cd")]}), "run 'slot 0' has other weights"),
        (lambda f: f.runs.update({"slot 0": [("FINISHED", "")]}), "run 'slot 0' has no weights"),
        (lambda f: f.runs.update({"slot 1": [("FINISHED", "")]}), "run 'slot 1' is too many"),
    ],
)  # fmt: skip
def test_the_verdict_sees_each_defect(change: object, said: str) -> None:
    """Of a study that is whole it says nothing; of one with a single defect, that."""
    assert list(defects(whole(), whole())) == []
    seen = whole()
    change(seen)  # type: ignore[operator]
    (line,) = defects(seen, whole())
    assert line.startswith(said)
