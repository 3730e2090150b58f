"""One trial as a chain of states: continue from the deepest one there is, train the rest.

for advance in Chain(spec, loaded_data, store):
    ...   # after every segment and event; leave the loop to stop the trial there
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from reprtune.errors import StateError
from reprtune.history import History
from reprtune.spec.branch import Branch
from reprtune.spec.codec import digest
from reprtune.spec.parts.schedules import Phase
from reprtune.spec.trial import TrialSpec
from reprtune.states.store import Claim, StateStore
from reprtune.training.chain.branching import kept_for, state_names
from reprtune.training.chain.evaluation import Evaluation
from reprtune.training.chain.identity import next_name
from reprtune.training.chain.loaded_data import LoadedData
from reprtune.training.chain.plan import Item, Segment, find_fork, plan, rungs, trial_rates
from reprtune.training.chain.state import decode
from reprtune.training.chain.trial_networks import Interrupted, TrialNetworks
from reprtune.training.parts.schedules import Event
from reprtune.training.platform.device import kind, threads

__all__ = ["Advance", "Chain", "Keep", "LoadedData"]

PAUSE_SECONDS = 600.0  # a state at least this often, also inside a long segment
STORE_SECONDS = 2.0  # and no more often than this, unless others may share it
BEAT_SECONDS = 10.0

Keep = Literal["last", "beginnings", "all"]


@dataclass(frozen=True)
class Advance:
    """What the last step of an iteration over a chain did.

    Attributes:
        kind: `found` = continued from a stored state; `segment` = trained one; `event` = a drop or
            restore; `blocked` = another worker is training the next segment: wait, or do other work.
        step: optimizer steps done. rung: may the trial be compared and stopped here?
    """

    kind: Literal["found", "segment", "event", "blocked"]
    step: int
    rung: bool = False


class Chain:
    """A trial as a chain of states; iterating it trains one segment, or does one event, at a time.

    Args:
        spec: the trial. loaded_data: its data. store: None = keep no states.
        keep: which of its own states stay behind it: only the `last`, also the `beginnings` before
            the first drop, which other trials of a study may share, or `all`.
        shared_steps: of the steps of an epoch, where others can leave the common beginning; None = anywhere.
        should_stop: asked before every step, and in evaluations that take more than a second before every batch; True
            saves a state there and raises `Interrupted`. The chain keeps
            it: what it holds lives as long as the network.
        eager: why its steps must not be captured as a graph; None = the device decides.
        branches: that leave this very trial, or its trunk: the states that they go on from stay behind it.

    Raises:
        SpecError: the cycles do not fit the total. DataError, ModelError: as loading and building do.
    """

    def __init__(
        self,
        spec: TrialSpec,
        loaded_data: LoadedData,
        store: StateStore | None = None,
        *,
        keep: Keep = "last",
        shared_steps: Callable[[int], Collection[int]] | None = None,
        should_stop: Callable[[], bool] = lambda: False,
        eager: str | None = None,
        branches: Sequence[Branch] = (),
    ) -> None:
        self.spec, self.store, self.keep, self.should_stop = spec, store, keep, should_stop
        with threads(spec.training.threads):
            task, batches = loaded_data.task(spec.task), loaded_data.batches(spec)
            spe = batches.steps_per_epoch
            self.shared_steps = None if shared_steps is None else shared_steps(spe)
            self.items: tuple[Item, ...] = plan(spec, spe)
            self.lrs = trial_rates(spec, spe)
            self.total_steps, self.rungs = len(self.lrs), rungs(spec, spe)
            self._make = functools.partial(
                TrialNetworks, task=task, batches=batches, device=loaded_data.device, eager=eager
            )
            self.networks = self._make(spec.trunk)
            fork = find_fork(spec, spe)
            self._fork = (
                len(self.items) if fork is None else len(fork.before)
            )  # items done where its branch begins
            others = functools.partial(self._make, spec.after)
            device_kind = kind(loaded_data.device)
            self.names = state_names(self.items, self._fork, self.lrs, device_kind, self.networks, others)
        self._forks = kept_for(spec, branches, self._fork, spe)
        schedule = spec.method.schedule  # a trial with a branch has no bound
        self._bound = schedule.until_distance if isinstance(schedule, Phase) else None
        self.done = 0  # items done
        self.steps_spent, self.seconds_spent, self.gflops_spent = 0, 0.0, 0.0  # here, not along the chain
        self.ticks = 0  # another number with every step, and every batch that is evaluated
        self.steps_stored = 0  # of all members, up to the last state from which it can go on
        self.pause_name = digest([self.names[-1], "pause"])
        drops = (i for i, item in enumerate(self.items) if isinstance(item, Event))
        self._n_beginnings = next(drops, len(self.items))
        self._comes_back = any(isinstance(item, Event) and item.kind == "restore" for item in self.items)
        self._stored = 0  # items done in the deepest state stored so far
        self._is_anothers_end = False  # the last state of a shorter trial that is complete
        self._claim: Claim | None = None
        self._goal = 0  # items done when the claim is fulfilled
        self._waits = False  # another worker trains what comes next
        self._last_store = self._next_beat = self._next_pause = 0.0

    @property
    def history(self) -> History:
        return self.networks.history(self.total_steps, self.rungs)

    @property
    def diverged(self) -> bool:
        return self.networks.diverged_at is not None

    @property
    def finished(self) -> bool:
        return self.done == len(self.items) or self.diverged

    @property
    def last_name(self) -> str:
        """Name of the deepest state stored."""
        return self.names[self._stored]

    def fork_states(self) -> list[str]:
        """Names of the states that branches go on from."""
        return [self.names[index] for index in sorted(self._forks)]

    def beginnings(self) -> list[str]:
        """Names of the states that stay for others."""
        return [name for index, name in enumerate(self.names) if self._is_shared(index)]

    def test(self) -> Evaluation:
        """Error on the test part, as the network stands.

        Raises:
            Interrupted: `should_stop` asked for it.
        """
        with threads(self.spec.training.threads):
            return self.networks.evaluate(self.networks.task.test, self._asks)

    def __iter__(self) -> Generator[Advance, None, None]:
        try:
            if self._find() | self._find_pause():
                yield self._advanced("found")
            while not self.finished:
                with threads(self.spec.training.threads):
                    kind = self._advance()
                yield self._advanced(kind)
        finally:
            self.networks.close()
            self._release()

    def _advanced(self, kind: Literal["found", "segment", "event", "blocked"]) -> Advance:
        step = self.networks.step_done
        if kind == "found":
            self.steps_stored = self.networks.steps_trained
        is_whole = self.networks.network.is_full or not self._comes_back
        rung = kind in ("segment", "found") and step in self.rungs and is_whole
        last = self.items[self.done - 1] if self.done > 0 else None
        is_changed = isinstance(last, Event) and last.kind not in ("exchange", "end")
        return Advance(kind, step, rung and not is_changed and not self.finished)

    def _find(self) -> bool:
        """Load the deepest state there is beyond where we are."""
        if self.store is None:
            return False
        for index in range(len(self.items), self.done, -1):
            if self.store.has(self.names[index]) and (notes := self._load(self.names[index])):
                self.done = self._stored = index
                self._is_anothers_end = bool(notes.get("end"))
                return True
            if self._may_end(index) and self._load_end(index):
                return True
        return False

    # -- an end by a criterion ----------------------------------------------------------------------

    def _load_end(self, index: int) -> bool:
        """Load the state after an end there, if there is one."""
        assert self.store is not None
        name = self._name_of_end(index)
        if not self.store.has(name) or self._load(name) is None:
            return False
        self._end_after(index)
        self.done = self._stored = len(self.items)
        return True

    def _may_end(self, index: int) -> bool:
        """May the training end with that many items done, before the planned total?"""
        last = self.items[index - 1]
        return self._bound is not None and isinstance(last, Segment) and last.stop in self.rungs

    def _name_of_end(self, index: int) -> str:
        """Of the state after that end, which an ending may have changed."""
        return next_name(self.names[index], self._end_at(index), self.spec, self.networks.n_drop, self.lrs)

    def _end_at(self, index: int) -> Event:
        return Event("end", self.items[index - 1].stop, 0)

    def _end_after(self, index: int) -> None:
        """The training ends with that many items done."""
        end = self._end_at(index)
        self.names = [*self.names[: index + 1], self._name_of_end(index)]
        self.items = (*self.items[:index], end)
        self.total_steps, self.rungs = end.stop, tuple(rung for rung in self.rungs if rung < end.stop)

    def _measure(self) -> None:
        """At a rung: record what the method's parts measure, and end there if that is what it waits for."""
        last = self.items[self.done - 1]
        if not isinstance(last, Segment) or last.stop not in (*self.rungs, self.total_steps):
            return
        found = self.networks.measure(last.stop)
        if (
            self._bound is not None
            and self._may_end(self.done)
            and found.get("distance", math.inf) <= self._bound
        ):
            self._end_after(self.done)

    def _find_pause(self) -> bool:
        """Load where this very trial was interrupted, if that is beyond where we are."""
        if self.store is None or (payload := self.store.get(self.pause_name)) is None:
            return False
        try:
            _, notes = decode(payload)
        except StateError:
            return False
        if notes["items_done"] < self.done or sum(notes["steps"]) <= self.networks.steps_trained:
            return False
        self._take_up(payload, branched=notes["items_done"] >= self._fork)
        self.done = notes["items_done"]
        return True

    def _load(self, name: str) -> Mapping[str, Any] | None:
        """Go on from a state; None when it is not there, or damaged."""
        assert self.store is not None
        payload = self.store.get(name)
        if payload is None:
            return None
        try:
            return self._take_up(payload, branched=name in self.names[self._fork + 1 :])
        except StateError:  # whole, but no state of ours: as good as absent
            self.store.delete([name])
            return None

    def _take_up(self, payload: bytes, *, branched: bool) -> Mapping[str, Any]:
        """Go on from a state with the networks of the trunk, or of its branch; its notes.

        Raises:
            StateError: these bytes are something else; nothing was changed.
        """
        wanted = self.spec.after if branched else self.spec.trunk
        networks = self.networks if self.networks.spec == wanted else self._make(wanted)
        notes = networks.load(payload)
        if networks is not self.networks:
            self.networks.close()
            self.networks = networks
        return notes

    def _branch_off(self) -> None:
        """From here on the networks are those of the changed trial, with all that they have come to."""
        if self.done == self._fork < len(self.items) and self.networks.spec != self.spec.after:
            self._take_up(self.networks.save(), branched=True)

    def _advance(self) -> Literal["found", "segment", "event", "blocked"]:
        item = self.items[self.done]
        if self.store is not None and self._claim is None:
            self._goal = next(i for i in range(self.done + 1, len(self.names)) if self._must_store(i))
            self._claim = self.store.claim(self.names[self._goal])
            self._next_beat = time.monotonic() + BEAT_SECONDS
            if self._claim is None:
                self._waits = True
                return "found" if self._find() else "blocked"
            # After waiting, the state waited for may be gone already, and a deeper one there.
            if (self._waits or self.store.has(self.names[self._goal])) and self._find():
                self._release()
                return "found"
            self._waits = False
        self._branch_off()
        self._do(item)
        self.done += 1
        if not self.diverged:
            self._measure()
        if self._is_half(self.done) and not self.diverged:
            self._do(self.items[self.done])
            self.done += 1
        self._keep()
        if self.done == self._goal:
            self._release()
        return "event" if isinstance(item, Event) else "segment"

    def _is_half(self, index: int) -> bool:
        """Is the state before an exchange, or before the end? A segment and the exchange at its end are one: what is
        recorded of the step is what the members are after it."""
        item = self.items[index] if index < len(self.items) else None
        return isinstance(item, Event) and item.kind in ("exchange", "end")

    def _release(self) -> None:
        """Let others train on from the last state stored."""
        if self._claim is not None:
            self._claim.release()
            self._claim = None

    def _do(self, item: Item) -> None:
        begun, first = time.perf_counter(), self.networks.steps_trained
        self._next_pause = time.monotonic() + PAUSE_SECONDS
        try:
            if isinstance(item, Event):
                self.networks.apply_event(item)
            else:
                self.networks.train(item, self.lrs, self._tick)
        except Interrupted:
            self._save_pause()
            raise
        finally:
            spent = self.networks.steps_trained - first
            self.steps_spent += spent
            self.gflops_spent += self.networks.gflops_per_step * spent / len(self.networks.members)
            self.seconds_spent += time.perf_counter() - begun

    def _asks(self) -> bool:
        self.ticks += 1
        return self.should_stop()

    def _tick(self) -> bool:
        now = time.monotonic()
        if now > self._next_beat:
            self._next_beat = now + BEAT_SECONDS
            if self._claim is not None:
                self._claim.refresh()
        if now > self._next_pause:
            self._next_pause = now + PAUSE_SECONDS
            self._save_pause()
        return self._asks()

    def _save_pause(self) -> None:
        if self.store is not None and self.networks.steps_trained > 0:
            self.store.put(self.pause_name, self.networks.save(pause_after=self.done), replace=True)
            self.steps_stored = self.networks.steps_trained

    def _keep(self) -> None:
        """Store the state just reached, where it is worth it.

        Of states that nothing demands so many are stored that a killed trial loses little: very short
        segments are cheaper to train again than to store.
        """
        recently = time.monotonic() - self._last_store < STORE_SECONDS
        if not recently or self.finished or self._must_store(self.done):
            self.keep_state()

    def keep_state(self) -> None:
        """Store the state just reached unless it is stored, then let go of the one before it."""
        if self.store is None or self._stored == self.done:
            return
        name = self.names[self.done]
        payload = self.networks.save(end=self.finished)
        if not self.store.put(name, payload) and self._load(name) is None:
            self.store.put(name, payload)  # another worker was first, but its file was damaged
        before, self._stored = self._stored, self.done
        self._last_store, self.steps_stored = time.monotonic(), self.networks.steps_trained
        if not self._is_shared(before) and not self._is_anothers_end:
            self.store.delete([self.names[before]])
        self._is_anothers_end = False
        if self.finished:
            self.store.delete([self.pause_name])

    def _must_store(self, index: int) -> bool:
        """All that others may share, both sides of an event, and the end."""
        if self._is_half(index):
            return False
        around = self.items[index - 1 : index + 1]
        last = index == len(self.items)
        return last or self._is_shared(index) or any(isinstance(item, Event) for item in around)

    def _is_shared(self, index: int) -> bool:
        if self._is_half(index):
            return False
        if index in self._forks:
            return True
        if self.keep != "beginnings" or not 0 < index <= self._n_beginnings:
            return self.keep == "all"
        return self.shared_steps is None or self.items[index - 1].stop in self.shared_steps
