"""What a part of a method is: a value taken by its name, for one place; how it acts lies in `reprtune.training`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from reprtune.errors import SpecError
from reprtune.spec.codec import check_plain
from reprtune.spec.named import Card, Named, check_words, option

OWN = "python:"  # begins the name of a part of the person's own
WORD = r"[^\W\d]\w*"  # a name of Python
OWN_NAME = re.compile(rf"{OWN}(?:[^\0\n]+\.py|{WORD}(?:\.{WORD})*):{WORD}")
__all__ = ["OWN", "Card", "Own", "Part", "check_words", "option"]


@dataclass(frozen=True, kw_only=True)
class Part(Named):
    """One replaceable piece of a method.

    Attributes:
        place: where it goes, a field of `Method`.
        several: whether the place holds any number of parts, of different kinds.
        nulls: what takes the idea of a part of this place away: names of other kinds, or `none` for an empty place.
        own: the class of a person's own, None where only what is there can be taken.
    """

    word = "part"
    above = "method"
    place: ClassVar[str]
    several: ClassVar[bool] = False
    nulls: ClassVar[tuple[str, ...]] = ()
    own: ClassVar[type[Own] | None] = None

    @classmethod
    def find(cls, kind: str) -> type[Part]:
        """The part of this place with that name.

        Raises:
            SpecError: with the nearest known name.
        """
        return cls.own if cls.own is not None and kind.startswith(OWN) else super().find(kind)


@dataclass(frozen=True, kw_only=True)
class Own(Part):
    """A part from the person's own file or module; its options are checked when its code is loaded.

    Attributes:
        source: `python:FILE.py:NAME` or `python:MODULE:NAME`. given: its options, plain values.
    """

    source: str
    given: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def check(self) -> None:
        if not OWN_NAME.fullmatch(self.source):
            raise SpecError(
                f"There is no {self.noun} {self.source!r}: one of your own has another form.",
                "Write python:FILE.py:NAME or python:MODULE:NAME.",
            )
        for name in self.given:
            if not name.isidentifier():
                raise SpecError(f"method.{self.place} has an option {name!r}, which is no name of Python.")
        given = {name: check_plain(v, f"method.{self.place}.{name}") for name, v in self.given.items()}
        object.__setattr__(self, "given", given)

    @classmethod
    def made(cls, kind: str, options: Mapping[str, Any], _path: str) -> Any:
        return cls(source=kind, given=options)

    @property
    def name(self) -> str:
        return self.source

    def options(self) -> dict[str, Any]:
        return dict(self.given)

    @classmethod
    def option_names(cls) -> list[str]:
        """None is known before its code is loaded."""
        return []
