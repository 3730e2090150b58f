"""What is added to the cross-entropy: the place `losses`.

Several may stand together, so that no two have an option of one name. Penalties look at the filters of all layers
whose filters can be dropped, as they are used at that step: of a sub-network only those that are there.
"""

from __future__ import annotations

from dataclasses import dataclass

from reprtune.spec.duration import Duration
from reprtune.spec.parts.part import Card, Own, Part, option
from reprtune.spec.rules import above_0, at_least, positive_share

SOURCES = ("members", "generation")
LABELS = ("whole", "rest")
CODE = "reprtune.training.parts.losses."
OF_FILTERS = "products of each layer's filters with each other"
STEEP = "filters outnumber the numbers of each (a first layer): they cannot all be orthogonal"


@dataclass(frozen=True, kw_only=True)
class LossTerm(Part):
    """Something added to the cross-entropy.

    Attributes:
        of_labels: the share of the cross-entropy whose place it takes.
        couples: do the members of a trial need each other's answers at every step?
        renews: does it do something where a generation begins?
    """

    place = "losses"
    nulls = ("none",)
    noun = "loss"
    several = True

    @property
    def of_labels(self) -> float:
        return 0.0

    @property
    def couples(self) -> bool:
        return False

    @property
    def renews(self) -> bool:
        return False


@dataclass(frozen=True, kw_only=True)
class Teacher(LossTerm):
    """(1 - w) CE + w T^2 KL(teacher || network): imitate a network that was exported before.

    Attributes:
        teacher_folder: of the exported network; None only until it is named.
        teacher_weight: w, its share of the loss, in (0, 1]. teacher_temperature: T, of the softened answers.
    """

    kind = "teacher"
    card = Card(
        line="imitate a trained network out of the folder `teacher_folder`: (1 - w) CE + w T^2 KL",
        code=f"{CODE}teacher:FromFolder",
        paper="arXiv 1503.02531",
        cost="a forward pass of the teacher at every step, which train_gflops counts",
        needs="an exported network for the task's images and classes",
        when="to pass on what a larger network, or an ensemble's member, has learned",
        traps="what trained the teacher is not in train_gflops",
    )

    teacher_folder: str | None = option(None, null=None)
    teacher_weight: float = option(0.5, null=0.0)
    teacher_temperature: float = option(4.0, null=1.0)

    def check(self) -> None:
        positive_share(
            "method.teacher_weight", self.teacher_weight, "Without a teacher leave method.losses out."
        )
        above_0("method.teacher_temperature", self.teacher_temperature)

    @property
    def of_labels(self) -> float:
        return self.teacher_weight


@dataclass(frozen=True, kw_only=True)
class Distillation(LossTerm):
    """CE + w T^2 KL(teachers || network): imitate the other members at every step, or the generation before.

    Attributes:
        teachers: the other members, the mean of whose softened answers is imitated, or the network's own last
            generation, of which there is none in the first.
        temperature: T, of the softened answers. distill_weight: w.
        distill_labels: `whole`: beside the whole cross-entropy; `rest`: beside the share 1 - w of it.
    """

    kind = "distillation"
    card = Card(
        line="imitate the other members, or the last generation: CE + w T^2 KL",
        code=f"{CODE}distillation:made",
        paper="arXiv 1503.02531; Filter Grafting, arXiv 2001.05868 and 2004.12311; BAN, arXiv 1805.04770",
        cost="a forward pass of every teacher at every step, which train_gflops counts; members then advance step "
        "by step, without CUDA graphs",
        needs="several members; or a schedule of generations",
        when="for grafting+ (two members, T = 2) and born-again networks",
        traps="members grow alike: look at their ensemble too; in the first generation it is plain training",
    )

    teachers: str = option("members", null="members", words=SOURCES)
    temperature: float = option(2.0, null=1.0)
    distill_weight: float = option(1.0, null=0.0)
    distill_labels: str = option("whole", null="whole", words=LABELS)

    def check(self) -> None:
        above_0("method.temperature", self.temperature)
        at_least("method.distill_weight", self.distill_weight, 0)
        if self.distill_labels == "rest":
            positive_share(
                "method.distill_weight", self.distill_weight, "Or take method.distill_labels = whole."
            )

    @property
    def of_labels(self) -> float:
        return self.distill_weight if self.distill_labels == "rest" else 0.0

    @property
    def couples(self) -> bool:
        return self.teachers == "members"

    @property
    def renews(self) -> bool:
        return self.teachers == "generation"


@dataclass(frozen=True, kw_only=True)
class Overlap(LossTerm):
    """ortho_penalty times the sum over layers of the sum of |W^ W^T - I|, W^ with rows of length 1."""

    kind = "overlap"
    card = Card(
        line="RePr's own penalty: the sum of |cos| over all pairs of filters of a layer",
        code=f"{CODE}overlap:Overlap",
        paper="RePr, arXiv 1811.07275, section 4",
        cost=OF_FILTERS,
        when="as the control that asks whether orthogonality alone does it, without dropping",
        traps="it grows with the square of the width: wide networks need a smaller factor",
    )

    ortho_penalty: float = option(0.01, null=0.0)

    def check(self) -> None:
        at_least("method.ortho_penalty", self.ortho_penalty, 0)


@dataclass(frozen=True, kw_only=True)
class SoftOrthogonality(LossTerm):
    """so_penalty times the sum over layers of |W W^T - I|_F^2, W with one filter per row, not normalised."""

    kind = "soft-orthogonality"
    card = Card(
        line="SO: |W W^T - I|^2 of each layer, which also draws the length of every filter to 1",
        code=f"{CODE}soft_orthogonality:SoftOrthogonality",
        paper="arXiv 1810.09102",
        cost=OF_FILTERS,
        when="as the plainest of the orthogonality penalties",
        traps=f"it works against weight decay; {STEEP}; the paper takes every layer, here those that can be dropped",
    )

    so_penalty: float = option(1e-3, null=0.0)

    def check(self) -> None:
        at_least("method.so_penalty", self.so_penalty, 0)


@dataclass(frozen=True, kw_only=True)
class Srip(LossTerm):
    """srip_penalty times the sum over layers of the spectral norm of W W^T - I, by one power iteration.

    Attributes:
        srip_penalty: at the beginning. srip_until: it falls to 1e-3, 1e-4, 1e-6 of that at 1/6, 5/12 and 7/12 of
            this time, and to 0 at its end; 0ep = it stays.
    """

    kind = "srip"
    card = Card(
        line="SRIP: the largest |eigenvalue| of W W^T - I of each layer, fading out until `srip_until`",
        code=f"{CODE}srip:Srip",
        paper="arXiv 1810.09102; the falling factor as in its authors' code",
        cost=OF_FILTERS,
        when="as the penalty that this paper found best",
        traps=f"the authors' code squares the norm, and takes W^T W of every layer; {STEEP}",
    )

    srip_penalty: float = option(1e-2, null=0.0)
    srip_until: Duration = option(Duration.parse("60ep"), null="0ep")

    def check(self) -> None:
        at_least("method.srip_penalty", self.srip_penalty, 0)
        object.__setattr__(self, "srip_until", Duration.parse(self.srip_until, "method.srip_until"))


@dataclass(frozen=True, kw_only=True)
class OrthoReg(LossTerm):
    """orthoreg_penalty times the sum over layers and ordered pairs of filters of log(1 + exp(l (cos - 1))).

    Attributes:
        orthoreg_locality: l; the larger, the more alike two filters must be to be pushed apart. At 10 those that are
            orthogonal, or opposite, are left alone.
    """

    kind = "ortho-reg"
    card = Card(
        line="OrthoReg: pushes filters apart that are alike, and leaves opposite ones alone",
        code=f"{CODE}ortho_reg:OrthoReg",
        paper="arXiv 1611.01967",
        cost=OF_FILTERS,
        when="where filters that are each other's opposite are welcome",
        traps="the authors' code steps along the directions after each update; here it is part of the loss, so that "
        "it meets momentum and leaves lengths alone",
    )

    orthoreg_penalty: float = option(1e-3, null=0.0)
    orthoreg_locality: float = option(10.0, null=1e-3)

    def check(self) -> None:
        at_least("method.orthoreg_penalty", self.orthoreg_penalty, 0)
        above_0("method.orthoreg_locality", self.orthoreg_locality)


@dataclass(frozen=True, kw_only=True)
class OwnLoss(Own, LossTerm):
    card = Card(
        line="your own: loss(logits, labels, images, network), a scalar to be added; keyword arguments are its "
        "options"
    )


LossTerm.kinds = (Teacher, Distillation, Overlap, SoftOrthogonality, Srip, OrthoReg)
LossTerm.own = OwnLoss
