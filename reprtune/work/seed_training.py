"""The training of a trial with one seed: its chain of states, its journal, and what is recorded of it."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Generator
from functools import cached_property
from typing import Any

from reprtune.record.pack import pack
from reprtune.spec import objectives
from reprtune.spec.branches import branches_of
from reprtune.spec.trial import TrialSpec
from reprtune.stopping.stretches import Stretches
from reprtune.training.chain.chain import Advance, Chain
from reprtune.training.chain.plan import Segment
from reprtune.work.context import WorkerContext
from reprtune.work.progress import progress
from reprtune.work.run_journal import RunJournal
from reprtune.work.stretches import trial_stretches
from reprtune.work.uncapturable import network_key


class SeedTraining:
    """One seed of a trial, from its network to what is recorded of it.

    Attributes:
        run: the chain of states; None until `build`. test: `test_error` and `test_loss` after
            `measure_test`, where there is a test part. n_recorded_points: how many points to compare
            are in the record.
    """

    def __init__(self, spec: TrialSpec, context: WorkerContext, journal: RunJournal) -> None:
        self.spec, self.context, self.journal = spec, context, journal
        self.run: Chain | None = None
        self.test: dict[str, float] = {}
        self.n_recorded_points = 0
        self._advances: Generator[Advance, None, None] | None = None
        self._paid = (0.0, 0.0)

    def build(self, should_stop: Callable[[], bool]) -> None:
        gc.collect()  # networks of before that only refer to themselves: their graphs hold memory of the device
        reason = self.context.uncapturable.get(network_key(self.spec))
        self.run = Chain(
            self.spec,
            self.context.loaded_data,
            self.context.store,
            keep="beginnings",
            shared_steps=self.context.spec.first_drops,
            should_stop=should_stop,
            branches=branches_of(self.context.spec, self.spec),
            eager=None if reason is None else f"a graph of it could not be captured: {reason}",
        )
        self._advances = iter(self.run)

    def advance(self) -> Advance | None:
        """Train one segment, or do one event."""
        assert self._advances is not None
        return next(self._advances, None)

    def progress(self) -> dict[str, Any] | None:
        """Where it is now, for any thread; None before the network is built."""
        return None if self.run is None else progress(self.run, self.spec.seed)

    def pulse(self) -> tuple[int, ...]:
        """Another one whenever it has got on, for any thread."""
        run = self.run
        return () if run is None else (run.done, run.ticks, len(run.networks.points))

    def epoch_seconds(self) -> float:
        """Of an epoch at the speed so far; 0 before the first step."""
        run = self.run
        if run is None or not run.steps_spent:
            return 0.0
        return run.networks.batches.steps_per_epoch * run.seconds_spent / run.steps_spent

    def close(self) -> None:
        """Let go of what others may wait for; asks nothing of the device."""
        if self._advances is not None:
            self._advances.close()

    def newly_spent(self) -> tuple[float, float]:
        """Seconds and GFLOPs trained here since the last call."""
        if self.run is None:
            return 0.0, 0.0
        before, self._paid = self._paid, (self.run.seconds_spent, self.run.gflops_spent)
        return self._paid[0] - before[0], self._paid[1] - before[1]

    @cached_property
    def ended(self) -> float:
        """When it came to its end, seconds since 1970: asked for first when that is written into the record, so that
        whoever tells a tracker of it, by the record or by the journal, tells the same."""
        return time.time()

    @property
    def done(self) -> Chain:
        """The run, where it is known to be built."""
        assert self.run is not None
        return self.run

    def measure_test(self) -> None:
        """Evaluate the test part, where the data have one: only at the end of what was declared, or chosen on other
        data."""
        if not len(self.done.networks.task.test.y):
            return
        found = self.done.test()
        self.test = {"test_error": found.error, "test_loss": found.loss}

    # -- what is recorded ---------------------------------------------------------------------------

    def new_comparable_points(self, update: Advance) -> list[tuple[int, float]]:
        """(step, error) of all points to compare, if there is one more than the record has."""
        if not update.rung and update.kind == "segment":
            return []  # points are marked at rungs, and by drops
        comparable_points = self.done.history.full_points()
        return comparable_points if len(comparable_points) > self.n_recorded_points else []

    def planned_gflops(self) -> float | None:
        """Cost at the end: so far, and the rest at the rates of the phases seen so far; None while a phase
        of another rate is still to come, and before the first point."""
        run = self.done
        points, total = run.networks.points, run.total_steps
        if not points:
            return None
        rates: dict[str, float] = {}
        for before, after in zip((None, *points), points, strict=False):
            steps = after.step - (before.step if before else 0)
            rates[after.phase] = (after.gflops - (before.gflops if before else 0.0)) / steps
        full = rates["full"]
        last = points[-1]
        rest_sub = sum(
            item.stop - item.start
            for item in run.items[run.done :]
            if isinstance(item, Segment) and item.phase == "sub"
        )
        if rest_sub and "sub" not in rates:
            return None
        return last.gflops + full * (total - last.step - rest_sub) + rates.get("sub", full) * rest_sub

    def story(self) -> dict[str, Any]:
        """The history, and the points to compare; in one attribute, for each costs a transaction."""
        if self.run is None:
            return {}
        history = self.run.history
        return {"history": pack(history), "rungs": self.rungs(history.full_points())}

    def rungs(self, comparable_points: list[tuple[int, float]]) -> dict[str, Any]:
        """What a stop rule has to know of it."""
        return {
            "points": comparable_points, "planned_gflops": self.planned_gflops(), "stretches": self.stretches,
        }  # fmt: skip

    @cached_property
    def stretches(self) -> Stretches:
        """Of its learning rate, once it is built."""
        return trial_stretches(self.spec, self.done.history.steps_per_epoch)

    def costs(self) -> dict[str, float]:
        """What was spent here, and what the trial would have cost alone."""
        if self.run is None:
            return {}
        points = self.run.networks.points
        return {
            "seconds_spent": round(self.run.seconds_spent, 3),
            "seconds_alone": round(points[-1].seconds, 3) if points else 0.0,
            "steps_spent": self.run.steps_spent,
            "steps_alone": self.run.networks.steps_trained,
            "gflops_spent": self.run.gflops_spent,
        }

    def values(self) -> dict[str, float]:
        """Every objective at the last evaluation; empty before the first."""
        return objectives.read(self.run.networks.measured()) if self.run is not None else {}

    def stored(self) -> dict[str, Any]:
        """The whole seed, as the record keeps it once it is finished."""
        state = {"seed": self.spec.seed, "state": self.done.last_name, "costs": self.costs()}
        state |= {"step": self.done.networks.step_done, "ended": self.ended}
        return {**state, **self.values(), **self.story(), "code": self.context.code}

    # -- the end ----------------------------------------------------------------------------------

    def note_states(self, outcome: str) -> None:
        """Write down which states stay, and which may go when the study is over."""
        if self.run is None:
            return
        store, digest = self.context.store, self.context.digest
        passed = set(self.run.names[: self.run.done])
        store.note(digest, "beginning", [name for name in self.run.beginnings() if name in passed])
        store.note(digest, "beginning", [self.run.pause_name])
        # A further branch may come when the study is over.
        store.note(digest, "end", [name for name in self.run.fork_states() if name in passed])
        store.note(digest, "beginning" if outcome == "interrupted" else "end", [self.run.last_name])

    def end_journal(self, outcome: str, error: str | None) -> None:
        """Write the last points, the pictures and the end."""
        tags = {"error": error} if error else {}
        if self.run is None:
            self.journal.end(outcome, tags=tags, now=self.ended)
            return
        self.journal.write_points(self.run, at_once=True)
        if outcome != "interrupted":
            self.journal.write_results(self.run, outcome)
        metrics = {**self.costs(), **self.values(), **self.test}
        tags = {"state": self.run.last_name, **tags}
        step = self.run.networks.step_done
        self.journal.end(outcome, step=step, metrics=metrics, tags=tags, now=self.ended)
