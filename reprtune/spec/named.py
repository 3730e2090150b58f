"""What a person takes by its name: a frozen value with a kind, its options, and a card that explains it.

The value says *what*; *how* lies where its card's `code` points. Options belong to the kind, so that none can be
set where it does nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from reprtune.errors import SpecError, did_you_mean
from reprtune.spec.codec import Tagged, read_fields, shown, to_plain
from reprtune.spec.rules import one_of


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a person wants to know before taking a kind.

    Attributes:
        line: what it is, in one line. code: `module:object` of what it does; empty only where nothing is found by
            it: of one's own, whose name says where it lies, and of a record.
        paper: where it comes from. cost: in the reader's terms. needs: what must be there.
        budget: how many times the training of one plain network it takes; empty where that is no question.
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


def option(
    default: Any, *, null: Any, words: tuple[str, ...] = (), acts_with: tuple[str, Any] | None = None
) -> Any:
    """A field of a kind.

    Args:
        default: its value when nobody says. null: the value that takes its idea away, for an ablation; where
            that takes the whole away too, a value that the kind itself refuses, or a word.
        words: what a text may be; empty for what is no text.
        acts_with: another option of the kind, and the value of it without which this one does nothing.
    """
    return field(default=default, metadata={"null": null, "words": words, "acts_with": acts_with})


def check_words(value: Any, above: str = "method") -> None:
    """Raise SpecError where an option is none of its words; `above` is where a person finds the options."""
    for f in dataclasses.fields(value):
        if words := f.metadata.get("words"):
            one_of(f"{above}.{f.name}", getattr(value, f.name), words)


@dataclass(frozen=True, kw_only=True)
class Named(Tagged):
    """One of several kinds; its fields are its options.

    Attributes:
        word: what a value is called, whatever its kind. noun: what one of these kinds is called.
        above: where a person finds the options: `method.s1`, `stop.percentile`.
        kind: its name. card: its explanation. kinds: of the class that they share, all there are.
    """

    word: ClassVar[str]
    noun: ClassVar[str]
    above: ClassVar[str]
    kind: ClassVar[str] = ""
    card: ClassVar[Card]
    kinds: ClassVar[tuple[type[Any], ...]] = ()

    def __post_init__(self) -> None:
        check_words(self, self.above)
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
        """A value from its kind's name or from what `plain` returned.

        Raises:
            SpecError: there is no such kind, or an option is not its.
        """
        if isinstance(plain, cls):
            return plain
        if isinstance(plain, str):
            plain = {"kind": plain}
        if not isinstance(plain, Mapping) or not isinstance(plain.get("kind"), str):
            raise SpecError(
                f"{path} must be the name of a {cls.word}, or a table with its kind and options, but got "
                f"{shown(plain)}.",
                f"Known: {', '.join(cls.names())}.",
            )
        options = {str(k): v for k, v in plain.items() if k != "kind"}
        return cls.find(plain["kind"]).made(plain["kind"], options, path)

    @classmethod
    def made(cls, _kind: str, options: Mapping[str, Any], path: str) -> Any:
        """One of this kind from plain options.

        Raises:
            SpecError: an option is not its, of another type, or breaks its rule.
        """
        for name in options:
            if name not in cls.option_names():
                raise cls.has_no(name, f"{path}.{name}")
        return read_fields(cls, options, cls.above)

    @classmethod
    def find(cls, kind: str) -> type[Any]:
        """The kind with that name.

        Raises:
            SpecError: with the nearest known name.
        """
        for known in cls.kinds:
            if known.kind == kind:
                return known
        raise SpecError(f"There is no {cls.noun} {kind!r}.", did_you_mean(kind, cls.names()))

    @classmethod
    def has_no(cls, name: str, path: str) -> SpecError:
        """The error for an option that this kind does not have."""
        known = cls.option_names()
        others = [other.kind for other in cls.kinds if name in other.option_names()]
        hint = did_you_mean(name, known) if known else "Leave it out."
        return SpecError(
            f"{path} is no option of the {cls.noun} {cls.kind}, which has {', '.join(known) or 'none'}.",
            f"It is one of {', '.join(others)}." if others else hint,
        )

    @classmethod
    def names(cls) -> list[str]:
        return [known.kind for known in cls.kinds]
