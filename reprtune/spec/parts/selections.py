"""Who is taken, of what was ranked: the places `selection` and `drop`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reprtune.spec.parts.part import Card, Part, option
from reprtune.spec.rules import between, positive_share, proper_share

SCOPES = ("global", "layer")
WAYS = ("k-means", "even", "imbalanced")
TRANSFORMS = ("identity", "symmetries", "symmetries+sign", "shifts", "affine", "all")
PLACEMENTS = ("weights", "features")
TAU_OF = ("mean", "max")
CODE = "reprtune.training.parts."


@dataclass(frozen=True, kw_only=True)
class Selection(Part):
    """Attributes:
    unit: what it takes: `filter` or `weight`.
    """

    place = "selection"
    noun = "selection"
    unit: ClassVar[str] = "filter"


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
        code=f"{CODE}selections.share:select",
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
    """Single weights of every convolution and linear layer, whether its filters can be dropped or not; the
    highest scores of each layer.

    Attributes:
        weight_ratio: share of each layer's weights that is taken, exactly round(ratio * number).
        exclude_first: leave out the layers that read the input.
        exclude: leave out the layers whose names match one of these patterns, like `fc`.
    """

    kind = "weights"
    unit = "weight"
    card = Card(
        line="the share `weight_ratio` of the single weights of each layer",
        code=f"{CODE}selections.weights:select",
        paper="DSD, arXiv 1607.04381",
        when="with drop single-weights",
        needs="a criterion of weights: magnitude or random",
        traps="biases and BatchNorm are never taken; the classifier is, unless `exclude` names it",
    )

    weight_ratio: float = option(0.3, null=0.0)
    exclude_first: bool = option(True, null=False)
    exclude: tuple[str, ...] = option((), null=())

    def check(self) -> None:
        hint = "It is a share of each layer: 0.3 takes 30 % of its weights."
        proper_share("method.weight_ratio", self.weight_ratio, hint)


@dataclass(frozen=True, kw_only=True)
class Clusters(Selection):
    """Filters that are to become equal, in every group of layers whose outputs go together.

    Attributes:
        kept_share: clusters per filter, so the width that is left.
        cluster_by: `k-means` on the kernels of a group's first layer; `even`: neighbours, in clusters of one size;
            `imbalanced`: one large cluster, every other filter alone.
        exclude_first: leave out the convolutions that read the input, with all that is added to their outputs.
        exclude: leave out the layers whose names match one of these patterns, with all that is added to them.
        inner_only: leave out all whose outputs are joined with those of other layers, as residual streams are.
    """

    kind = "clusters"
    card = Card(
        line="filters in clusters, `kept_share` of them per filter",
        code=f"{CODE}selections.clusters:select",
        paper="C-SGD, arXiv 1904.03837",
        cost="one k-means per group of layers",
        when="with centripetal and trim, to train a wide network into a narrow one",
        traps="a residual stream is one group: where exclude_first holds its stem, all of its first stage stays wide",
    )

    kept_share: float = option(0.625, null=1.0)
    cluster_by: str = option("k-means", null="even", words=WAYS)
    exclude_first: bool = option(True, null=False)
    exclude: tuple[str, ...] = option((), null=())
    inner_only: bool = option(False, null=False)

    def check(self) -> None:
        positive_share("method.kept_share", self.kept_share, "It is a share: 0.625 leaves 5 of 8 filters.")


@dataclass(frozen=True, kw_only=True)
class Dormant(Selection):
    """The filters of a small value, each beside the others of its layer, however many there are.

    Attributes:
        sizes: criteria that are minus a value of at least 0.
        tau: the largest value that is taken, as a share. tau_of: of the mean value in the layer, or of the largest.
    """

    sizes: ClassVar = ("activation", "l1", "l2", "bn-gamma", "fpgm", "taylor", "taylor-fo", "hessian")
    kind = "dormant"
    card = Card(
        line="in each layer the filters whose value is at most `tau` of the layer's mean, or of its largest",
        code=f"{CODE}selections.dormant:select",
        paper="ReDo, arXiv 2302.12902",
        needs=f"a criterion that is minus a size: {', '.join(sizes)}",
        when="to take nobody who does something, where share takes its number whatever they do",
        traps="in supervised training there are few, or none, and then nothing happens; no layer is ever emptied",
    )

    tau: float = option(0.025, null=0.0)
    tau_of: str = option("mean", null="mean", words=TAU_OF)

    def check(self) -> None:
        between("method.tau", self.tau, 0, 1)


@dataclass(frozen=True, kw_only=True)
class Everything(Selection):
    kind = "everything"
    card = Card(
        line="all of the network",
        code=f"{CODE}selections.everything:select",
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
        code=f"{CODE}selections.fixed:select",
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
        code=f"{CODE}selections.later:select",
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
    """Attributes:
    units: what it can drop: `filter`, `weight`. filters: how whole filters are gone, as `SubNetwork` has it.
    changes_step: does a step compute something else while it lasts, other numbers aside?
    """

    place = "drop"
    noun = "drop"
    units: ClassVar[tuple[str, ...]] = ("filter",)
    filters: ClassVar[str] = "exact"

    @property
    def changes_step(self) -> bool:
        return False


class Exact(Drop):
    kind = "exact"
    card = Card(
        line="exactly the network without the filters, and nothing of theirs moves",
        code=f"{CODE}drops.exact:Exact",
        when="unless you repeat what a reproduction did",
    )


class WeightsOnly(Drop):
    kind = filters = "weights-only"
    card = Card(
        line="only their weights are 0 and stay so, while bias and BatchNorm go on",
        code=f"{CODE}drops.weights_only:WeightsOnly",
        when="to repeat reproductions of the paper",
        traps="leaks: BatchNorm's shift comes through, and what reads the filter goes on learning from it",
    )


class SingleWeights(Drop):
    kind = "single-weights"
    units = ("weight",)
    card = Card(
        line="single weights are 0 and stay so",
        code=f"{CODE}drops.single_weights:SingleWeights",
        paper="DSD, arXiv 1607.04381",
        cost="one multiplication of weights and optimizer state after each step",
        when="for DSD",
        needs="method.selection = weights",
        traps="zeros here and there save nothing, so cost and number of parameters are those of the whole network; with "
        "Adam the first step of a weight that is back is up to 3 x the learning rate, so scale or restart it",
    )


@dataclass(frozen=True, kw_only=True)
class Tied(Drop):
    """Each filter taken becomes a spatial transform of a kept filter of its layer: of the one, and by the
    transform, that are nearest to what it is. Our own design, after the idea of the paper's abstract.

    Attributes:
        transforms: which there are, see `docs/family.md`. fit_scale: is each transform also scaled by what fits
            best? The scale stays as it is until the tie ends. placement: what is transformed: kernels, or the
            kept filters' feature maps, which saves operations too, but cannot be untied.
    """

    kind = filters = "tied"
    card = Card(
        line="each is a cheap spatial transform of a filter that stays, and is trained as such (our design)",
        code=f"{CODE}drops.tied:tied",
        paper="after the idea of arXiv 2110.12844, of which only the abstract is public",
        cost="at a drop all kept x dropped x transforms; in a step two small products per layer",
        when="to let filters that are dropped go on working while they are gone",
        needs="restore = untied, or ending = keep-tied",
        traps="what the network says jumps at the drop: see `tied_distance`; 1x1 filters can only be copied or negated; "
        "with placement = features maps are turned that what follows may not expect, and steps are not captured "
        "as a CUDA graph",
    )

    transforms: str = option("symmetries+sign", null="identity", words=TRANSFORMS)
    fit_scale: bool = option(False, null=False)
    placement: str = option("weights", null="weights", words=PLACEMENTS)

    @property
    def changes_step(self) -> bool:
        return self.placement == "features"


Selection.kinds = (Share, Weights, Clusters, Dormant, Everything, Fixed, Later)
Drop.kinds = (Exact, WeightsOnly, SingleWeights, Tied)
WHOLE = (Everything, Later)  # take whole layers
