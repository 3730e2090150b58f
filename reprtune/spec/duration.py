"""A length of training, as people write it: `20ep` (epochs) or `4000it` (optimizer steps)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from reprtune.errors import SpecError

UNITS = {"ep": "epochs", "it": "optimizer steps"}
_PATTERN = re.compile(r"\s*(\d{1,12}(?:\.\d{1,9})?)\s*(ep|it)\s*")


@dataclass(frozen=True)
class Duration:
    """`value` epochs or steps.

    An epoch is floor(n / batch size) steps: the last, smaller batch is left out.
    """

    value: Fraction
    unit: str

    @classmethod
    def parse(cls, text: object, field: str = "duration") -> Duration:
        """Read `"20ep"`, `"2.5ep"` or `"4000it"`.

        Raises:
            SpecError: naming `field`, the rule and the text.
        """
        if isinstance(text, Duration):
            return text
        match = _PATTERN.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise SpecError(
                f"{field} must be a number of epochs (ep) or optimizer steps (it), but got {text!r}.",
                f'Write {field} like "20ep" or "4000it".',
            )
        value = Fraction(match[1])
        if match[2] == "it" and value.denominator != 1:
            raise SpecError(
                f"{field} must be a whole number of steps, but got {text!r}.",
                f'Write {field} like "4000it".',
            )
        return cls(value, match[2])

    def steps(self, steps_per_epoch: int) -> int:
        """Optimizer steps, rounded to the nearest whole one."""
        return round(self.value * (steps_per_epoch if self.unit == "ep" else 1))

    def scaled(self, factor: Fraction, unit: str | None = None) -> Duration:
        """`factor` times as many epochs or steps, whole ones, at least one unless it is none; counted in `unit`
        from now on."""
        return Duration(Fraction(max(1, round(self.value * factor)) if self.value else 0), unit or self.unit)

    def __str__(self) -> str:
        number = Decimal(self.value.numerator) / self.value.denominator
        return f"{number:f}{self.unit}"
