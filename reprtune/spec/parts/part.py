"""What a part of a method is: a frozen value with a kind, its options, and a card that explains it.

The value says *what*; *how* lies in `reprtune.training`, where the card's `code` points. Options belong to the
part, so that none can be set where it does nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from typing_extensions import Self

from reprtune.errors import SpecError, did_you_mean
from reprtune.spec.codec import read_fields, to_plain
from reprtune.spec.rules import one_of

T = TypeVar("T", bound="Part")
OWN = "python:"  # begins the name of a part of the person's own


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
        default: its value when nobody says. null: the value that takes its idea away, for an ablation.
        words: what a text may be; empty for what is no text.
    """
    return field(default=default, metadata={"null": null, "words": words})


@dataclass(frozen=True, kw_only=True)
class Part:
    """One replaceable piece of a method; its fields are its options.

    Attributes:
        place: where it goes, a field of `Method`. kind: its name there. card: its explanation.
        kinds: of a place's own class, all there are.
    """

    place: ClassVar[str]
    kind: ClassVar[str] = ""
    card: ClassVar[Card]
    kinds: ClassVar[tuple[type[Part], ...]] = ()
    own: ClassVar[type[Part] | None] = None

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):
            if words := f.metadata.get("words"):
                one_of(f"method.{f.name}", getattr(self, f.name), words)
        self.check()

    def check(self) -> None:
        """Raise SpecError where an option breaks its rule."""

    @property
    def name(self) -> str:
        """What a person writes for it."""
        return self.kind

    def options(self) -> dict[str, Any]:
        """Name -> value."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    def plain(self) -> dict[str, Any]:
        """As JSON values, with its kind."""
        return {"kind": self.name, **{name: to_plain(value) for name, value in self.options().items()}}

    @classmethod
    def read(cls, plain: Any, path: str) -> Self:
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
                f"{path} must be the name of a part, or a table with its kind and options, but got {plain!r}.",
                f"Known: {', '.join(cls.names())}.",
            )
        options = {k: v for k, v in plain.items() if k != "kind"}
        if plain["kind"].startswith(OWN) and cls.own is not None:
            own: Any = cls.own
            return own(kind_=plain["kind"], options_=options)  # type: ignore[no-any-return]
        found: Any = cls.find(plain["kind"])
        for name in options:
            if name not in (known := [f.name for f in dataclasses.fields(found)]):
                raise SpecError(
                    f"There is no field {path}.{name}: the {SINGULAR[cls.place]} {found.kind} has "
                    f"{'the options ' + ', '.join(known) if known else 'no options'}.",
                    did_you_mean(name, known) if known else "Leave it out.",
                )
        return read_fields(found, options, "method")  # type: ignore[no-any-return]

    @classmethod
    def find(cls, kind: str) -> type[Part]:
        """The part of this place with that name.

        Raises:
            SpecError: with the nearest known name.
        """
        for part in cls.kinds:
            if part.kind == kind:
                return part
        raise SpecError(f"There is no {SINGULAR[cls.place]} {kind!r}.", did_you_mean(kind, cls.names()))

    @classmethod
    def names(cls) -> list[str]:
        return [part.kind for part in cls.kinds]


@dataclass(frozen=True, kw_only=True)
class Own(Part):
    """A part from the person's own file or module; its options are checked when its code is loaded.

    Attributes:
        kind_: `python:FILE.py:NAME` or `python:MODULE:NAME`. options_: plain values.
    """

    kind_: str
    options_: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.kind_

    def options(self) -> dict[str, Any]:
        return dict(self.options_)


SINGULAR = {
    "schedule": "schedule",
    "criterion": "criterion",
    "selection": "selection",
    "drop": "drop",
    "restore": "restore rule",
    "exchange": "exchange",
    "gradient": "gradient rule",
    "losses": "loss",
    "ending": "ending",
}
