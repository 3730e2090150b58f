"""Who is taken, of what was ranked: the places `selection` and `drop`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reprtune.spec.parts.part import Card, Part, option
from reprtune.spec.rules import between, positive_share, proper_share

SCOPES = ("global", "layer")
SIZES = ("activation", "l1", "l2", "bn-gamma", "fpgm", "taylor", "taylor-fo", "hessian")
LEVELS_OF = ("mean", "max")
CODE = "reprtune.training."


@dataclass(frozen=True, kw_only=True)
class Selection(Part):
    place = "selection"
    noun = "selection"


@dataclass(frozen=True, kw_only=True)
class Share(Selection):
    """The highest scores, as many as a share says.

    Attributes:
        prune_ratio: share of the droppable filters that is taken, exactly round(ratio * number).
        scope: one ranking over the whole network, or one per layer.
        layer_cap: at most this share of the filters of one layer, in (0, 1]; one filter always stays.
        exclude_first: leave out the convolutions that read the input.
        exclude_shortcuts: leave out the projections on the shortcuts of residual blocks.
        exclude: leave out the layers whose names match one of these patterns, like `layer4.*`.
    """

    kind = "share"
    card = Card(
        line="the share `prune_ratio` with the highest scores, over the network or in each layer",
        code=f"{CODE}parts.selections.share:select",
        paper="RePr, arXiv 1811.07275",
        traps="a ratio too small for one filter takes none; no layer is ever emptied",
    )

    prune_ratio: float = option(0.3, null=0.0)
    scope: str = option("global", null="layer", words=SCOPES)
    layer_cap: float = option(1.0, null=1.0)
    exclude_first: bool = option(True, null=False)
    exclude_shortcuts: bool = option(False, null=False)
    exclude: tuple[str, ...] = option((), null=())

    def check(self) -> None:
        hint = "It is a share of each layer: 0.5 leaves at least half of every layer."
        positive_share("method.layer_cap", self.layer_cap, hint)
        hint = "It is a share: 0.3 drops 30 % of the filters."
        proper_share("method.prune_ratio", self.prune_ratio, hint)


@dataclass(frozen=True, kw_only=True)
class Weights(Selection):
    """Single weights of every layer, the highest scores of each.

    Attributes:
        weight_ratio: share of each layer's weights that is taken.
    """

    kind = "weights"
    card = Card(
        line="the share `weight_ratio` of the single weights of each layer", paper="DSD, arXiv 1607.04381"
    )

    weight_ratio: float = option(0.3, null=0.0)

    def check(self) -> None:
        proper_share("method.weight_ratio", self.weight_ratio)


@dataclass(frozen=True, kw_only=True)
class Clusters(Selection):
    """Groups of filters in each layer that are to become equal.

    Attributes:
        kept_share: clusters per filter.
    """

    kind = "clusters"
    card = Card(line="filters in clusters, `kept_share` of them per filter", paper="C-SGD, arXiv 1904.03837")

    kept_share: float = option(0.625, null=1.0)

    def check(self) -> None:
        positive_share("method.kept_share", self.kept_share)


@dataclass(frozen=True, kw_only=True)
class Dormant(Selection):
    """The filters of a small value, each beside the others of its layer, however many there are.

    Attributes:
        sizes: criteria that are minus a value of at least 0.
        tau: the largest value that is taken, as a share. tau_of: of the mean value in the layer, or of the largest.
    """

    kind = "dormant"
    card = Card(
        line="in each layer the filters whose value is at most `tau` of the layer's mean, or of its largest",
        code=f"{CODE}parts.selections.dormant:select",
        paper="ReDo, arXiv 2302.12902",
        needs=f"a criterion that is minus a size: {', '.join(SIZES)}",
        when="to take nobody who does something, where share takes its number whatever they do",
        traps="in supervised training there are few, or none, and then nothing happens; no layer is ever emptied",
    )

    sizes: ClassVar[tuple[str, ...]] = SIZES

    tau: float = option(0.025, null=0.0)
    tau_of: str = option("mean", null="mean", words=LEVELS_OF)

    def check(self) -> None:
        between("method.tau", self.tau, 0, 1)


@dataclass(frozen=True, kw_only=True)
class Everything(Selection):
    kind = "everything"
    card = Card(
        line="all of the network",
        code=f"{CODE}parts.selections.everything:select",
        paper="BAN, arXiv 1805.04770",
        when="for generations that keep nothing but their teacher",
    )


@dataclass(frozen=True, kw_only=True)
class Fixed(Selection):
    """The same filters in every generation, drawn once.

    Attributes:
        fixed_share: of each layer's filters that is renewed.
    """

    kind = "fixed"
    card = Card(
        line="a share of each layer's filters, drawn once",
        code=f"{CODE}parts.selections.fixed:select",
        paper="Knowledge Evolution, arXiv 2103.05152",
        when="for generations that keep a part of the network",
        traps="of the paper's two splits it is like KELS, but drawn, where KELS takes the first filters of each layer; "
        "layers that cannot be dropped stay whole; with restore_next = random also what reads a renewed filter is "
        "renewed, as there, in the linear layer too; one filter of each layer always stays",
    )

    fixed_share: float = option(0.5, null=0.0)

    def check(self) -> None:
        between("method.fixed_share", self.fixed_share, 0, 1)


@dataclass(frozen=True, kw_only=True)
class Later(Selection):
    """All layers after those that stay.

    Attributes:
        keep_layers: share of the layers (convolutions, linear layers, attention) that stay, those called first.
        renew_from: patterns of names like `layer4.*`; the first layer that matches is the first that is renewed, and
            keep_layers does not matter.
    """

    kind = "later"
    card = Card(
        line="all layers after the share `keep_layers`, or from `renew_from` on",
        code=f"{CODE}parts.selections.later:select",
        paper="later-layer forgetting, arXiv 2202.00155",
        when="for generations that keep the early layers",
        traps="reported to help on small data only",
    )

    keep_layers: float = option(0.5, null=1.0)
    renew_from: tuple[str, ...] = option((), null=())

    def check(self) -> None:
        between("method.keep_layers", self.keep_layers, 0, 1)


@dataclass(frozen=True, kw_only=True)
class Drop(Part):
    place = "drop"
    noun = "drop"


class Exact(Drop):
    kind = "exact"
    card = Card(
        line="exactly the network without the filters, and nothing of theirs moves",
        code=f"{CODE}surgery.subnetwork:SubNetwork",
        when="unless you repeat what a reproduction did",
    )


class WeightsOnly(Drop):
    kind = "weights-only"
    card = Card(
        line="only their weights are 0 and stay so, while bias and BatchNorm go on",
        code=f"{CODE}surgery.subnetwork:SubNetwork",
        when="to repeat reproductions of the paper",
        traps="leaks: BatchNorm's shift comes through, and what reads the filter goes on learning from it",
    )


class SingleWeights(Drop):
    kind = "single-weights"
    card = Card(line="single weights are 0 and stay so", paper="DSD, arXiv 1607.04381")


class Tied(Drop):
    kind = "tied"
    card = Card(line="each is a cheap transform of a filter that stays", paper="arXiv 2110.12844")


Selection.kinds = (Share, Weights, Clusters, Dormant, Everything, Fixed, Later)
Drop.kinds = (Exact, WeightsOnly, SingleWeights, Tied)
