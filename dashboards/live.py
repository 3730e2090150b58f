"""Live progress in a terminal, of a study, of one trial and of other long work."""

from __future__ import annotations

import sys
import time
from typing import Any, Protocol

from dashboards.terminal import percent
from reprtune.history import History


class Message(Protocol):
    """What a worker reports (see work.process.WorkerMessage)."""

    kind: str
    title: str
    step: int
    total: int
    val_error: float | None
    outcome: str
    error: str
    finished: int
    slots: int


class StudyProgress:
    """A bar on a terminal, one plain line per slot that ends here otherwise; both on stderr. What is counted are the
    slots of the study, wherever they were trained.

    Args:
        finished, slots: before.
    """

    def __init__(self, finished: int, slots: int) -> None:
        from tqdm import tqdm

        self.live = sys.stderr.isatty()
        self.now: dict[int, str] = {}
        self.bar = tqdm(
            total=slots,
            initial=finished,
            unit="slot",
            disable=not self.live,
            dynamic_ncols=True,
            file=sys.stderr,
        )

    def __call__(self, worker: int, what: Message) -> None:
        if what.kind == "end":
            self.now.pop(worker, None)
            end = f": {what.error}" if what.error else f", validation error {percent(what.val_error)}"
            stands = f"[{what.finished}/{what.slots}] " if what.slots else ""
            self.say(f"{stands}{what.title}: {what.outcome}{end}")
            if what.slots:
                self.bar.total = what.slots  # designs may add runs as results come
                self.bar.update(what.finished - self.bar.n)
        elif what.kind in ("begin", "progress"):
            share = f" {100 * what.step // what.total}%" if what.total else ""
            self.now[worker] = f"{what.title}{share}"
            self.bar.set_postfix_str(" | ".join(self.now[w] for w in sorted(self.now)), refresh=False)
            self.bar.update(0)

    def say(self, sentence: str) -> None:
        self.bar.write(sentence, file=sys.stderr)

    def close(self) -> None:
        self.bar.close()


class Silent:
    """In the place of any of these progresses where none is wanted; sentences are said all the same."""

    def __call__(self, *_: object) -> None: ...

    def say(self, sentence: str) -> None:
        sys.stderr.write(f"{sentence}\n")

    def close(self) -> None: ...


class TrialProgress:
    """The progress of one trial: a bar on a terminal, a line per evaluation otherwise; on stderr."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty()
        self.bar: Any = None
        self.last_line = 0.0

    def __call__(self, history: History, kind: str) -> None:
        """Show the last evaluation; `kind` is what just happened (training.run.Update)."""
        if not history.points or kind == "event":  # a drop or restore comes with no evaluation of its own
            return
        point, total = history.points[-1], history.total_steps
        self.bar = self.bar or self._begin(total)
        now = f"{point.phase} network, validation error {percent(point.val_error)}"
        if self.live:
            self.bar.update(point.step - self.bar.n)
            self.bar.set_postfix_str(now)
        elif kind == "found" or point.step == total or time.monotonic() - self.last_line > 1.0:
            self.last_line = time.monotonic()
            begin = "continued from" if kind == "found" else "step"
            epoch = point.step / history.steps_per_epoch
            self.bar.write(f"{begin} {point.step}/{total} (epoch {epoch:.1f}), {now}", file=sys.stderr)

    def _begin(self, total_steps: int) -> Any:
        from tqdm import tqdm

        return tqdm(
            total=total_steps, unit="step", disable=not self.live, dynamic_ncols=True, file=sys.stderr
        )

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


class WorkProgress:
    """A bar on a terminal for work that has several parts, one after another; nothing otherwise."""

    def __init__(self) -> None:
        self.bar: Any = None
        self.text = ""

    def __call__(self, text: str, done: int, total: int) -> None:
        """`done` of `total` of the part `text`."""
        if text != self.text:
            self.close()
            self.bar, self.text = self._begin(text, total), text
        self.bar.total = total
        self.bar.update(done - self.bar.n)

    def _begin(self, text: str, total: int) -> Any:
        from tqdm import tqdm

        return tqdm(
            desc=text, total=total, unit="", unit_scale=True, disable=not sys.stderr.isatty(),
            dynamic_ncols=True, file=sys.stderr,
        )  # fmt: skip

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
