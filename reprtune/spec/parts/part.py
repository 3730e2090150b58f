"""What a part of a method is: a frozen value with a kind, its options, and a card that explains it.

The value says *what*; *how* lies in `reprtune.training`, where the card's `code` points. Options belong to the
part, so that none can be set where it does nothing.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from reprtune.errors import SpecError, did_you_mean
from reprtune.spec.codec import Tagged, check_plain, read_fields, shown, to_plain
from reprtune.spec.rules import one_of

OWN = "python:"  # begins the name of a part of the person's own
WORD = r"[^\W\d]\w*"  # a name of Python
OWN_NAME = re.compile(rf"{OWN}(?:[^\0\n]+\.py|{WORD}(?:\.{WORD})*):{WORD}")


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a person wants to know before taking a part.

    Attributes:
        line: what it is, in one line. code: `module:object` in `reprtune.training`; empty = not built yet.
        paper: where it comes from. cost: in the reader's terms. needs: what must be there.
        budget: how many times the training of one plain network it takes.
        when: when to take it. traps: what is known to go wrong.
    """

    line: str
    code: str = ""
    paper: str = ""
    cost: str = "none"
    needs: str = ""
    budget: str = "1"
    when: str = ""
    traps: str = ""


def option(default: Any, *, null: Any, words: tuple[str, ...] = ()) -> Any:
    """A field of a part.

    Args:
        default: its value when nobody says. null: the value that takes its idea away, for an ablation; where
            that takes the part away too, a value that the part itself refuses, or a word.
        words: what a text may be; empty for what is no text.
    """
    return field(default=default, metadata={"null": null, "words": words})


def check_words(value: Any) -> None:
    """Raise SpecError where an option of a part or record is none of its words."""
    for f in dataclasses.fields(value):
        if words := f.metadata.get("words"):
            one_of(f"method.{f.name}", getattr(value, f.name), words)


@dataclass(frozen=True, kw_only=True)
class Part(Tagged):
    """One replaceable piece of a method; its fields are its options.

    Attributes:
        place: where it goes, a field of `Method`. noun: what one of that place is called.
        several: whether the place holds any number of parts, of different kinds.
        kind: its name there. card: its explanation.
        kinds: of a place's own class, all there are; own: the class of a person's own, None where only
            what is there can be taken.
    """

    place: ClassVar[str]
    noun: ClassVar[str]
    several: ClassVar[bool] = False
    kind: ClassVar[str] = ""
    card: ClassVar[Card]
    kinds: ClassVar[tuple[type[Part], ...]] = ()
    own: ClassVar[type[Own] | None] = None

    def __post_init__(self) -> None:
        check_words(self)
        self.check()

    def check(self) -> None:
        """Raise SpecError where an option breaks its rule."""

    @property
    def name(self) -> str:
        """What a person writes for it."""
        return self.kind

    def options(self) -> dict[str, Any]:
        """Name -> value."""
        return {name: getattr(self, name) for name in self.option_names()}

    @classmethod
    def option_names(cls) -> list[str]:
        return [f.name for f in dataclasses.fields(cls)]

    def plain(self) -> dict[str, Any]:
        """As JSON values, with its kind."""
        return {"kind": self.name, **{name: to_plain(value) for name, value in self.options().items()}}

    @classmethod
    def read(cls, plain: Any, path: str) -> Any:
        """A part of this place from its name or from what `plain` returned.

        Raises:
            SpecError: there is no such part, or an option is not its.
        """
        if isinstance(plain, cls):
            return plain
        if isinstance(plain, str):
            plain = {"kind": plain}
        if not isinstance(plain, Mapping) or not isinstance(plain.get("kind"), str):
            raise SpecError(
                f"{path} must be the name of a part, or a table with its kind and options, but got "
                f"{shown(plain)}.",
                f"Known: {', '.join(cls.names())}.",
            )
        kind, options = plain["kind"], {str(k): v for k, v in plain.items() if k != "kind"}
        found = cls.find(kind)
        if issubclass(found, Own):
            return found(source=kind, given=options)
        for name in options:
            if name not in found.option_names():
                raise found.has_no(name, f"{path}.{name}")
        return read_fields(found, options, "method")

    @classmethod
    def find(cls, kind: str) -> type[Part]:
        """The part of this place with that name.

        Raises:
            SpecError: with the nearest known name.
        """
        if cls.own is not None and kind.startswith(OWN):
            return cls.own
        for part in cls.kinds:
            if part.kind == kind:
                return part
        raise SpecError(f"There is no {cls.noun} {kind!r}.", did_you_mean(kind, cls.names()))

    @classmethod
    def has_no(cls, name: str, path: str) -> SpecError:
        """The error for an option that this part does not have."""
        known = cls.option_names()
        others = [part.kind for part in cls.kinds if name in part.option_names()]
        hint = did_you_mean(name, known) if known else "Leave it out."
        return SpecError(
            f"{path} is no option of the {cls.noun} {cls.kind}, which has {', '.join(known) or 'none'}.",
            f"It is one of {', '.join(others)}." if others else hint,
        )

    @classmethod
    def names(cls) -> list[str]:
        return [part.kind for part in cls.kinds]


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

    @property
    def name(self) -> str:
        return self.source

    def options(self) -> dict[str, Any]:
        return dict(self.given)

    @classmethod
    def option_names(cls) -> list[str]:
        """None is known before its code is loaded."""
        return []
