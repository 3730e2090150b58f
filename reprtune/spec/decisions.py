"""What a study is to decide, as values that the product applies.

A rule names an arm and the control that it has to beat. It is applied to the paired differences of their test errors on
seeds that nothing was chosen by: those of the confirmation where there is one, else those that the arms were declared
with. It says one of four things: the arm helps, is not shown to help, harms, or nothing is decided yet (see
`reprtune.analysis.decisions`).
"""

from __future__ import annotations

from dataclasses import dataclass

from reprtune.errors import SpecError

LEADER = "leader"  # the best of the search


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One comparison that decides something.

    Attributes:
        arm: that is to help: the name of an arm, or `LEADER`, the best of the search.
        control: name of the arm that it has to beat.
        helps: what follows if it does, a sentence. otherwise: what follows if that is not shown, or it harms; empty
            where nothing does.
    """

    arm: str
    control: str = "standard"
    helps: str = ""
    otherwise: str = ""

    def __post_init__(self) -> None:
        if self.arm == self.control:
            raise SpecError(f"A rule needs two different arms, but both are {self.arm!r}.")

    @property
    def pair(self) -> str:
        """`the best of the search against standard`."""
        return f"{'the best of the search' if self.arm == LEADER else self.arm} against {self.control}"

    @property
    def line(self) -> str:
        """The pair, and what follows from it."""
        follows = (("If it helps", self.helps), ("Else", self.otherwise))
        return " ".join([f"{self.pair}.", *(f"{when}: {what}" for when, what in follows if what)])
