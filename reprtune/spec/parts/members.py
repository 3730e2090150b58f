"""What a trial of several networks is made of, and what goes on between them, or beside the loss: the places
`networks`, `exchange`, `gradient` and `ending`."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from reprtune.errors import SpecError
from reprtune.spec.parts.part import Card, Own, Part, check_words, option
from reprtune.spec.rules import at_least, at_most, below_1, between

MAX_MEMBERS = 16
BLEND_BY = ("entropy", "l1", "constant")
BLEND_LEVELS = ("layer", "filter")
MEMBER_LRS = ("same", "spread")
CODE = "reprtune.training.parts."


@dataclass(frozen=True, kw_only=True)
class Networks:
    """How many networks a trial trains, and what they do not share. All have their own initial weights.

    Attributes:
        n_members: K. same_order: do all see the same images in the same order? Otherwise each has an order
            and an augmentation of its own.
        member_lr: do all have the learning rate of the training, or does network k of K have that share of it:
            (1 + cos(pi (K - k) / K)) / 2, so that the last one has all of it?
    """

    card = Card(
        line="how many networks are trained, and what they share",
        budget="K",
        when="for what goes on between networks, and for ensembles as their control",
        traps="compare with one network trained K times as long",
    )

    n_members: int = option(2, null=1)
    same_order: bool = option(False, null=True)
    member_lr: str = option("same", null="same", words=MEMBER_LRS)

    def __post_init__(self) -> None:
        at_least("method.n_members", self.n_members, 2)
        at_most("method.n_members", self.n_members, MAX_MEMBERS)
        check_words(self)

    def share_of_lr(self, number: int) -> float:
        """What the network of that number, from 0, has of the learning rate of the training."""
        behind = self.n_members - 1 - number
        return 1.0 if self.member_lr == "same" else (1 + math.cos(math.pi * behind / self.n_members)) / 2


@dataclass(frozen=True, kw_only=True)
class Exchange(Part):
    place = "exchange"
    nulls = ("none",)
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
        code=f"{CODE}exchanges.average:exchange",
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
        blend_by: what decides how much of each: the entropy or the mean size of a layer's weights, or nothing:
            half of each. blend_level: one share per layer, or one per filter, from BatchNorm's scales.
        blend_a, blend_c: share = blend_a / pi * arctan(blend_c * difference) + 0.5, per layer.
        blend_rounded: that share to two decimals, as in the code released with the paper.
    """

    kind = "ring"
    card = Card(
        line="each member is blended with its neighbour in a ring, by how much information each layer holds",
        code=f"{CODE}exchanges.ring:exchange",
        paper="Filter Grafting, arXiv 2001.05868",
        cost="a few passes over the weights",
        needs="for blend_level = filter a BatchNorm right after every convolution",
        budget="K",
        when="to let networks of one size give their weak layers up; by filter for VGG, by layer for ResNet (author)",
        traps="compare it with average, which does as well in the authors' own ablation; with two members both are "
        "equal afterwards; entropy does not see how small weights are",
    )

    blend_by: str = option("entropy", null="constant", words=BLEND_BY)
    blend_level: str = option("layer", null="layer", words=BLEND_LEVELS)
    blend_a: float = option(0.4, null=0.0)
    blend_c: float = option(500.0, null=0.0)
    blend_rounded: bool = option(False, null=False)

    def check(self) -> None:
        between("method.blend_a", self.blend_a, 0, 1)
        at_least("method.blend_c", self.blend_c, 0)
        if self.blend_level == "filter":
            self._check_filter()

    def _check_filter(self) -> None:
        """By filter the share has another formula, without these options."""
        idle = ["blend_by"] if self.blend_by == "l1" else []
        own = [f for f in fields(self) if f.name in ("blend_a", "blend_c", "blend_rounded")]
        idle += [f.name for f in own if getattr(self, f.name) not in (f.default, f.metadata["null"])]
        if idle:
            raise SpecError(
                f"method.{idle[0]} = {getattr(self, idle[0])} does nothing with method.blend_level = filter, whose "
                "shares come from BatchNorm's scales.",
                f"Leave method.{idle[0]} out, or take method.blend_level=layer.",
            )


@dataclass(frozen=True, kw_only=True)
class Internal(Exchange):
    """In each network by itself, the i-th largest filter of a layer is added to its i-th smallest.

    Attributes:
        weak_below: filters whose L1 norm, the sum of their weights' sizes, is below this take part; at most half
            of a layer.
    """

    kind = "internal"
    card = Card(
        line="weak filters take over strong ones of their own layer",
        code=f"{CODE}exchanges.internal:exchange",
        paper="Filter Grafting, arXiv 2001.05868",
        cost="one pass over the weights",
        when="as a control of grafting between networks: does it matter where the weights come from?",
        traps="early filters are larger than 0.01, so that nothing happens before weight decay has made some weak; a "
        "filter of 0 becomes a copy",
    )

    weak_below: float = option(0.01, null=0.0)

    def check(self) -> None:
        at_least("method.weak_below", self.weak_below, 0)


@dataclass(frozen=True, kw_only=True)
class Noise(Exchange):
    """In each network by itself, normal draws are added to weak filters.

    Attributes:
        weak_below: as of internal. noise_base: the deviation of the draws is this to the power of the number of
            the exchange, from 1.
    """

    kind = "noise"
    card = Card(
        line="noise that fades is added to weak filters",
        code=f"{CODE}exchanges.noise:exchange",
        paper="Filter Grafting, arXiv 2001.05868",
        cost="one pass over the weights",
        when="as a control: does it matter what weak filters are given?",
        traps="weak filters are rare before weight decay has made some, and by then the noise may have faded; its "
        "base is not from the paper",
    )

    weak_below: float = option(0.01, null=0.0)
    noise_base: float = option(0.9, null=0.0)

    def check(self) -> None:
        at_least("method.weak_below", self.weak_below, 0)
        below_1("method.noise_base", self.noise_base)


@dataclass(frozen=True, kw_only=True)
class OwnExchange(Own, Exchange):
    card = Card(line="your own: exchange(members, context), keyword arguments are its options")


@dataclass(frozen=True, kw_only=True)
class Gradient(Part):
    place = "gradient"
    nulls = ("none",)
    noun = "gradient rule"


@dataclass(frozen=True, kw_only=True)
class Centripetal(Gradient):
    """Filters of a cluster share one gradient and move towards their mean.

    Attributes:
        pull: strength of the move: the paper's eps, beside the weight decay; a tenth of it for biases and BatchNorm.
    """

    kind = "centripetal"
    card = Card(
        line="filters of a cluster share a gradient and move together",
        code=f"{CODE}gradients.centripetal:Centripetal",
        paper="C-SGD, arXiv 1904.03837",
        cost="a few passes over the weights in every step",
        needs="training.optimizer = sgd",
        when="with clusters and trim, to train a wide network into a narrow one",
        traps="lossless only where lr (pull + weight_decay) / (1 - momentum), summed over the steps, is above about "
        "20; what pull a network bears differs (0.003 and 0.05 as published, 0.01 elsewhere): search it",
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
    nulls = ("none",)
    noun = "ending"


class Trim(Ending):
    kind = "trim"
    card = Card(
        line="take out what is equal, without changing what the network says",
        code=f"{CODE}endings.trim:end",
        paper="C-SGD, arXiv 1904.03837",
        needs="method.gradient = centripetal",
        when="to end with the narrow network",
        traps="what is not quite equal is lost: look at the gap that is told with the end",
    )


class KeepTied(Ending):
    kind = "keep-tied"
    card = Card(
        line="keep the layers that make filters of filters: what is tied last stays tied (our design)",
        code=f"{CODE}endings.keep_tied:end",
        paper="after the idea of arXiv 2110.12844, of which only the abstract is public",
        when="for a network with fewer parameters, and with placement = features fewer operations",
        needs="drop = tied; with schedule = cycles the last restore is left out",
        traps="fewer parameters are not less time: kernels are made anew in every call, so measure it",
    )


Exchange.kinds = (Average, Ring, Internal, Noise)
Exchange.own = OwnExchange
Gradient.kinds = (Centripetal,)
Gradient.own = OwnGradient
Ending.kinds = (Trim, KeepTied)
