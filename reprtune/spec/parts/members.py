"""What a trial of several networks is made of, and what goes on between them, or beside the loss: the places
`networks`, `exchange`, `gradient` and `ending`."""

from __future__ import annotations

from dataclasses import dataclass

from reprtune.spec.parts.part import Card, Own, Part, option
from reprtune.spec.rules import at_least, at_most, between

MAX_MEMBERS = 16
SHARES = ("entropy", "l1", "constant")
LEVELS = ("layer", "filter")


@dataclass(frozen=True, kw_only=True)
class Networks:
    """How many networks a trial trains, and what they do not share. All have their own initial weights.

    Attributes:
        n_members: K. same_order: do all see the same images in the same order? Otherwise each has an order
            and an augmentation of its own.
    """

    card = Card(
        line="how many networks are trained, and what they share",
        budget="K",
        when="for what goes on between networks, and for ensembles as their control",
        traps="compare with one network trained K times as long",
    )

    n_members: int = option(2, null=1)
    same_order: bool = option(False, null=True)

    def __post_init__(self) -> None:
        at_least("method.n_members", self.n_members, 2)
        at_most("method.n_members", self.n_members, MAX_MEMBERS)


@dataclass(frozen=True, kw_only=True)
class Exchange(Part):
    place = "exchange"
    noun = "exchange"


@dataclass(frozen=True, kw_only=True)
class Average(Exchange):
    """Each member takes the mean of itself and the member before it in a ring, all at once.

    Attributes:
        own_share: of itself; 0.5 for the mean.
    """

    kind = "average"
    card = Card(
        line="each member becomes the mean of itself and its neighbour in a ring",
        code="reprtune.training.parts.exchanges.average:exchange",
        cost="one pass over the weights",
        budget="K",
        when="as the honest control of grafting",
        traps="with two members both are equal afterwards",
    )

    own_share: float = option(0.5, null=1.0)

    def check(self) -> None:
        between("method.own_share", self.own_share, 0, 1)


@dataclass(frozen=True, kw_only=True)
class Ring(Exchange):
    """Each member is blended with the one before it in a ring.

    Attributes:
        blend_by: what decides how much of each. blend_level: per layer, or per filter.
        blend_a, blend_c: share = blend_a / pi * arctan(blend_c * difference) + 0.5.
    """

    kind = "ring"
    card = Card(
        line="each member is blended with its neighbour in a ring, by how much information each layer holds",
        paper="Filter Grafting, arXiv 2001.05868",
        budget="K",
        traps="compare it with average, which does as well in the authors' own ablation",
    )

    blend_by: str = option("entropy", null="constant", words=SHARES)
    blend_level: str = option("layer", null="layer", words=LEVELS)
    blend_a: float = option(0.4, null=0.0)
    blend_c: float = option(500.0, null=0.0)

    def check(self) -> None:
        between("method.blend_a", self.blend_a, 0, 1)
        at_least("method.blend_c", self.blend_c, 0)


@dataclass(frozen=True, kw_only=True)
class Internal(Exchange):
    kind = "internal"
    card = Card(
        line="weak filters take over strong ones of their own layer",
        paper="Filter Grafting, arXiv 2001.05868",
    )


@dataclass(frozen=True, kw_only=True)
class Noise(Exchange):
    kind = "noise"
    card = Card(line="noise that fades is added to weak filters", paper="Filter Grafting, arXiv 2001.05868")


@dataclass(frozen=True, kw_only=True)
class OwnExchange(Own, Exchange):
    card = Card(line="your own: exchange(members), keyword arguments are its options")


@dataclass(frozen=True, kw_only=True)
class Gradient(Part):
    place = "gradient"
    noun = "gradient rule"


@dataclass(frozen=True, kw_only=True)
class Centripetal(Gradient):
    """Filters of a cluster share one gradient and move towards their mean.

    Attributes:
        pull: strength of the move.
    """

    kind = "centripetal"
    card = Card(
        line="filters of a cluster share a gradient and move together", paper="C-SGD, arXiv 1904.03837"
    )

    pull: float = option(3e-3, null=0.0)

    def check(self) -> None:
        at_least("method.pull", self.pull, 0)


@dataclass(frozen=True, kw_only=True)
class OwnGradient(Own, Gradient):
    card = Card(line="your own: change(network, gradients), keyword arguments are its options")


@dataclass(frozen=True, kw_only=True)
class Ending(Part):
    place = "ending"
    noun = "ending"


class Trim(Ending):
    kind = "trim"
    card = Card(
        line="take out what is equal, without changing what the network says", paper="arXiv 1904.03837"
    )


class KeepTied(Ending):
    kind = "keep-tied"
    card = Card(line="keep the layers that make filters of filters", paper="arXiv 2110.12844")


Exchange.kinds = (Average, Ring, Internal, Noise)
Exchange.own = OwnExchange
Gradient.kinds = (Centripetal,)
Gradient.own = OwnGradient
Ending.kinds = (Trim, KeepTied)
