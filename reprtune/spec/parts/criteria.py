"""What ranks filters: the place `criterion`. Higher scores are taken first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reprtune.spec.parts.part import Card, Own, Part

CODE = "reprtune.training.parts.criteria."


@dataclass(frozen=True, kw_only=True)
class Criterion(Part):
    """Attributes:
    units: what it can rank: `filter`, `weight`.
    """

    place = "criterion"
    nulls = ("random",)
    noun = "criterion"
    units: ClassVar[tuple[str, ...]] = ("filter",)


@dataclass(frozen=True, kw_only=True)
class OwnCriterion(Own, Criterion):
    card = Card(line="your own: score(filters, context), keyword arguments are its options")


class Ortho(Criterion):
    kind = "ortho"
    card = Card(
        line="the paper's inter-filter overlap; in a global ranking it favours small filters",
        code=f"{CODE}ortho:score",
        paper="RePr, arXiv 1811.07275",
        cost="J^2 c k^2 per layer",
        when="to do what the paper does",
        traps="a global ranking takes most of its filters from the first layer; exclude_first, or ortho-dim",
    )


class OrthoDim(Criterion):
    kind = "ortho-dim"
    card = Card(
        line="the same, divided by what random filters of that dimension would have",
        code=f"{CODE}ortho:score_corrected",
        cost="J^2 c k^2 per layer",
        when="for one ranking over layers of different size",
    )


class OrthoReleased(Criterion):
    kind = "ortho-released"
    card = Card(
        line="what the paper's released code computes instead of its formula",
        code=f"{CODE}ortho:score_released",
        cost="J^2 c k^2 per layer",
        when="to repeat the released code",
        traps="agrees little with the formula: rank correlation 0.11 to 0.56",
    )


class L1(Criterion):
    kind = "l1"
    card = Card(
        line="smallest sum of absolute weights first, relative to the layer's mean",
        code=f"{CODE}norm:score_l1",
        paper="arXiv 1608.08710",
        cost="trivial",
        when="as the plain rival of any criterion",
    )


class BnGamma(Criterion):
    kind = "bn-gamma"
    card = Card(
        line="smallest BatchNorm scale first (Network Slimming, arXiv 1708.06519)",
        code=f"{CODE}norm:score_bn_gamma",
        paper="arXiv 1708.06519",
        cost="trivial",
        needs="a BatchNorm after every layer that is ranked",
    )


class Fpgm(Criterion):
    kind = "fpgm"
    card = Card(
        line="nearest to the geometric median of its layer first (arXiv 1811.00250)",
        code=f"{CODE}fpgm:score",
        paper="arXiv 1811.00250",
        cost="J^2 c k^2 per layer",
    )


class Activation(Criterion):
    kind = "activation"
    card = Card(
        line="smallest mean absolute activation first",
        code=f"{CODE}activation:score",
        cost="one pass over the score part",
    )


class Apoz(Criterion):
    kind = "apoz"
    card = Card(
        line="most zeros after its ReLU first (arXiv 1607.03250)",
        code=f"{CODE}activation:score_apoz",
        paper="arXiv 1607.03250",
        cost="one pass over the score part",
    )


class Taylor(Criterion):
    kind = "taylor"
    card = Card(
        line="smallest first-order change of the loss by activations first (arXiv 1611.06440)",
        code=f"{CODE}taylor:score",
        paper="arXiv 1611.06440",
        cost="one pass over the score part, with gradients",
    )


class TaylorFo(Criterion):
    kind = "taylor-fo"
    card = Card(
        line="smallest squared gradient of a gate on the filter first (arXiv 1906.10771)",
        code=f"{CODE}taylor:score_gate",
        paper="arXiv 1906.10771",
        cost="one pass over the score part, with gradients",
        when="agrees best with the oracle of all that are cheap",
    )


class Hessian(Criterion):
    kind = "hessian"
    card = Card(
        line="smallest rise of the loss by the diagonal of the empirical Fisher matrix first (Optimal Brain Damage)",
        code=f"{CODE}hessian:score",
        cost="one pass over the score part, with the gradient of every single image",
    )


class Oracle(Criterion):
    kind = "oracle"
    card = Card(
        line="smallest rise of the loss when the filter alone is left out first",
        code=f"{CODE}oracle:score",
        cost="one evaluation of the score part per filter",
        when="to see what the others estimate",
        traps="greedy: says nothing of two filters left out together",
    )


class L2(Criterion):
    kind = "l2"
    card = Card(
        line="smallest Euclidean norm first, relative to the layer's mean norm",
        code=f"{CODE}norm:score_l2",
        cost="trivial",
        when="as the plain rival of any criterion",
    )


class Magnitude(Criterion):
    kind = "magnitude"
    units = ("weight",)
    card = Card(
        line="smallest absolute value first, of single weights",
        code=f"{CODE}magnitude:score",
        paper="DSD, arXiv 1607.04381",
        cost="trivial",
        needs="method.selection = weights",
    )


class Random(Criterion):
    kind = "random"
    units = ("filter", "weight")
    card = Card(
        line="a uniformly random choice: the control for every criterion",
        code=f"{CODE}random:score",
        when="always: what a criterion adds is its distance to this",
    )


Criterion.kinds = (
    Ortho, OrthoDim, OrthoReleased, L1, BnGamma, Fpgm, Activation, Apoz, Taylor, TaylorFo, Hessian, Oracle,
    L2, Magnitude, Random,
)  # fmt: skip
Criterion.own = OwnCriterion
