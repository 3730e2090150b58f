"""Secrets of all kinds of characters, of which no trace may leave the program."""

from __future__ import annotations

import random
import string
from dataclasses import dataclass

HARD = "/#@:?%&=+$!'\"\\<>[]{}()`~^|;,. \té😀"


@dataclass(frozen=True)
class Secret:
    """A password, and the two stretches of plain letters in it: no escaping changes them, so that each betrays it."""

    text: str
    marks: tuple[str, str]

    def is_in(self, text: str) -> bool:
        return any(mark.casefold() in text.casefold() for mark in self.marks)


def draw(rng: random.Random, hard: str = HARD) -> Secret:
    """Plain letters between hard ones; sometimes it begins or ends with hard ones, sometimes not."""
    marks = tuple("".join(rng.choices(string.ascii_letters + string.digits, k=9)) for _ in range(2))
    between = ["".join(rng.choices(hard, k=rng.randint(low, 3))) for low in (0, 1, 0)]
    return Secret(between[0] + marks[0] + between[1] + marks[1] + between[2], (marks[0], marks[1]))
