"""What the tracker is to hear of one run: a slot, or one seed of a slot."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from reprtune.errors import TrackingError
from reprtune.history import Point
from reprtune.record.pack import plots_data
from reprtune.spec.trial import TrialSpec
from reprtune.tracking import environment
from reprtune.tracking.events import PLOTS, PLOTS_DATA, begin_event, end_event, metrics_event
from reprtune.tracking.journal import Journal
from reprtune.training.chain.chain import Chain
from reprtune.training.export.network import files, from_chain
from reprtune.work.context import WorkerContext

WRITE_SECONDS = 1.0  # the journal gets new points no more often than this, and at the end


@dataclass
class RunJournal:
    """The journal of one run: a slot, or one seed of a slot.

    Args:
        key: of the journal. title: shown for the run. parent: key of the run it is shown below.
        tags: further ones of every event's run.
    """

    context: WorkerContext
    key: str
    title: str
    parent: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    _attempt: int = 0
    _sent: tuple[int, int, int] = (0, 0, 0)  # points, drops and happenings in the journal
    _wrote: float = 0.0  # when the journal last got points

    def begin(
        self, spec: TrialSpec, *, role: str, slot: int, attempt: int, arm: str | None, number: int
    ) -> None:
        """Announce the run, or its resumption; `number` is Optuna's of the trial."""
        context, self._attempt = self.context, attempt
        tags = {**context.tags, "worker": context.worker, "trial": str(number), **self.tags}
        event = begin_event(
            context.spec, spec, digest=context.instance, key=self.key, name=self.title, role=role, slot=slot,
            attempt=attempt, arm=arm, tags=tags, parent=self.parent,
        )  # fmt: skip
        self.write(event)
        packages = context.packages
        if packages is not None:
            self._keep(lambda journal: journal.artifact(self.key, environment.FILE, packages))

    def write_points(self, run: Chain, *, at_once: bool = False) -> None:
        """Give the journal what it does not have yet, unless it got something a moment ago."""
        networks, (n_points, n_drops, n_told) = run.networks, self._sent
        recently = time.monotonic() - self._wrote <= WRITE_SECONDS
        if (recently and not at_once) or (
            len(networks.points) == n_points
            and len(networks.drops) == n_drops
            and len(networks.happenings) == n_told
        ):
            return
        points, drops = networks.points[n_points:], networks.drops[n_drops:]
        told = networks.happenings[n_told:]
        times = {d.step for d in drops} | {t.step for t in told}
        times -= {p.step for p in points}
        at_drops = [p for p in networks.points[:n_points] if p.step in times]  # an event has its point's time
        both = zip(networks.member_errors[n_points:], networks.ensemble_errors[n_points:], strict=True)
        members = {p.step: errors for p, errors in zip(points, both, strict=bool(networks.member_errors))}
        self.write(metrics_event([*at_drops, *points], drops, members, told))
        self._sent = (len(networks.points), len(networks.drops), len(networks.happenings))
        self._wrote = time.monotonic()

    def write_metrics(self, points: Iterable[Point]) -> None:
        self.write(metrics_event(points))

    def write_results(self, run: Chain, outcome: str) -> None:
        """What the page of plots is drawn from; of a complete trial its network too."""
        if not self.context.journal.is_kept:
            return
        data = plots_data(run.history, f"{self.context.spec.name}: {self.title}")
        self._keep(lambda journal: journal.artifact(self.key, PLOTS, data, drawn_from=PLOTS_DATA))
        if outcome == "complete":
            origin = {"study": self.context.spec.name, "slot": self.key, "outcome": outcome}
            network = files(from_chain(run, **origin))
            self._keep(lambda journal: journal.artifacts(self.key, "network", network))

    def keep_text(self, name: str, text: str) -> None:
        self._keep(lambda journal: journal.artifact(self.key, name, text))

    def end(
        self,
        outcome: str,
        *,
        step: int = 0,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, Any] | None = None,
        now: float | None = None,
    ) -> None:
        self.write(end_event(outcome, step=step, metrics=metrics, tags=tags, now=now))

    def write(self, event: Mapping[str, Any]) -> None:
        """Add an event to the local journal, with the attempt that it is of: one that is told too late, by a worker
        that stood still while another took its slot, is passed over.

        Raises:
            TrackingError: the folder cannot be written.
        """
        self._keep(lambda journal: journal.append(self.key, {**event, "attempt": self._attempt}))

    def _keep(self, write: Callable[[Journal], None]) -> None:
        journal = self.context.journal
        try:
            write(journal)
        except OSError as error:
            raise TrackingError(
                f"Cannot write the journal in {journal.root}: {error.strerror or error}.",
                "Free some space or name another folder with --runs; the same command then goes on.",
            ) from error
