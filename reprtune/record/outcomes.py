"""What may become of an attempt at a slot: one member for each outcome, which knows all that hangs on it.

A new outcome is one member here. Everybody else asks a member for what it needs, and lists no outcomes by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What hangs on an outcome.

    Attributes:
        state: name of Optuna's state. status: of the run in MLflow.
        words: what it means, for a person.
        colour: name of a colour of the theme. symbol, pattern: of points and bars; with the colour they tell it
            apart without colour. The symbol is that of a point with an own place; all others are circles.
        is_open: waits or runs, and may still use its slot up. is_final: used it up for good.
        is_trained: some of it may have been trained.
        is_comparable: the curve of its last seed may be held against others, as stop rules do. Of other final
            outcomes the seeds that were finished before may.
        is_exported: its last state is a trained network. is_recomputed: it ended where a training again would.
        is_cut_short: ended on purpose before its length; its last state was kept there.
        is_redrawn: its slot draws other parameters.
        is_failure: ended without a result, though it was to have one.
        is_broken: by an error of its own, so that only a person can tell whether another attempt would end better.
    """

    state: str
    status: str
    words: str
    colour: str
    symbol: str = "circle"
    pattern: str = ""
    is_open: bool = False
    is_final: bool = False
    is_trained: bool = True
    is_comparable: bool = False
    is_exported: bool = False
    is_recomputed: bool = False
    is_cut_short: bool = False
    is_redrawn: bool = False
    is_failure: bool = False
    is_broken: bool = False


class Outcome(str, Enum):
    """An outcome is its word: it equals, sorts, prints and is written as JSON like that text."""

    state: str
    status: str
    words: str
    colour: str
    symbol: str
    pattern: str
    is_open: bool
    is_final: bool
    is_trained: bool
    is_comparable: bool
    is_exported: bool
    is_recomputed: bool
    is_cut_short: bool
    is_redrawn: bool
    is_failure: bool
    is_broken: bool

    WAITING = "waiting", Facts(
        state="WAITING", status="SCHEDULED", words="queued, not begun", colour="sky", is_open=True,
        is_trained=False,
    )  # fmt: skip
    RUNNING = "running", Facts(
        state="RUNNING", status="RUNNING", words="being trained", colour="green", symbol="circle-open",
        pattern=".", is_open=True, is_comparable=True,
    )  # fmt: skip
    COMPLETE = "complete", Facts(
        state="COMPLETE", status="FINISHED", words="trained to the end", colour="blue", is_final=True,
        is_comparable=True, is_exported=True, is_recomputed=True,
    )  # fmt: skip
    STOPPED = "stopped", Facts(
        state="PRUNED", status="KILLED", words="stopped early by the stop rule", colour="orange",
        symbol="triangle-down-open", pattern="/", is_final=True, is_comparable=True, is_exported=True,
        is_recomputed=True, is_cut_short=True,
    )  # fmt: skip
    DIVERGED = "diverged", Facts(
        state="PRUNED", status="KILLED", words="the loss became infinite or not a number", colour="vermillion",
        symbol="x", is_final=True, is_recomputed=True,
    )  # fmt: skip
    INFEASIBLE = "infeasible", Facts(
        state="PRUNED", status="KILLED", words="a draw that does not fit the total; drawn again at no cost",
        colour="grey", pattern="-", is_trained=False, is_redrawn=True,
    )  # fmt: skip
    REPEATED = "repeated", Facts(
        state="FAIL", status="KILLED", words="a draw of settings that another slot has; drawn again at no cost",
        colour="grey", pattern="|", is_trained=False, is_redrawn=True,
    )  # fmt: skip
    OUT_OF_MEMORY = "out-of-memory", Facts(
        state="FAIL", status="FAILED", words="the device had too little memory", colour="purple", symbol="cross",
        pattern="x", is_final=True, is_failure=True, is_broken=True,
    )  # fmt: skip
    ERROR = "error", Facts(
        state="FAIL", status="FAILED", words="failed with an error", colour="purple", symbol="cross",
        pattern="+", is_final=True, is_failure=True, is_broken=True,
    )  # fmt: skip
    OVER_BUDGET = "over-budget", Facts(
        state="FAIL", status="KILLED", colour="grey", is_final=True, is_recomputed=True, is_cut_short=True,
        words="not begun, or ended: the search's seconds or GFLOPs were used up",
    )  # fmt: skip
    INTERRUPTED = "interrupted", Facts(
        state="FAIL", status="KILLED", colour="grey", pattern="\\", is_failure=True,
        words="stopped by a person or the scheduler; its slot is queued again",
    )  # fmt: skip
    LOST = "lost", Facts(
        state="FAIL", status="KILLED", words="its worker vanished; its slot is queued again", colour="grey",
        pattern="x", is_failure=True,
    )  # fmt: skip
    HUNG = "hung", Facts(
        state="FAIL", status="KILLED", words="stood still and was ended; its slot is queued again", colour="purple",
        pattern="-", is_failure=True,
    )  # fmt: skip
    DUPLICATE = "duplicate", Facts(
        state="FAIL", status="KILLED", colour="grey", pattern=".", is_trained=False, is_failure=True,
        words="a second attempt at a slot that was already taken; never trained",
    )  # fmt: skip

    # `Outcome(word)` finds a member and does not come here: that is why the facts may be absent.
    def __new__(cls, word: str, *facts: Facts) -> Outcome:  # noqa: PYI034 - Self is newer than our oldest Python
        member = str.__new__(cls, word)
        member._value_ = word
        for known in facts:
            vars(member).update(vars(known))
        return member

    def __str__(self) -> str:
        return str(self.value)

    def __format__(self, how: str) -> str:
        return format(str(self.value), how)

    @property
    def holds_slot(self) -> bool:
        """It uses its slot up, or may still do so; else the slot is queued again."""
        return self.is_open or self.is_final


def counted(outcomes: Iterable[Outcome]) -> dict[Outcome, int]:
    """How often each occurs, in the order of the members; those that do not are left out."""
    found = list(outcomes)
    return {outcome: n for outcome in Outcome if (n := found.count(outcome))}


def read_outcome(state: str, said: object) -> Outcome:
    """What became of an attempt: the worker's word where Optuna's state agrees with it, else what the state alone
    says."""
    of_state = [outcome for outcome in Outcome if outcome.state == state]
    if len(of_state) == 1:
        return of_state[0]
    alone = Outcome.LOST if Outcome.LOST in of_state else Outcome.STOPPED
    return next((outcome for outcome in of_state if outcome == said), alone)
