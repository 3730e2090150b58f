"""The family of methods that RePr belongs to, each as the value it is.

A row is a method of the literature or a control, a line of it one trial: what is changed against the default one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from reprtune.spec.edit import changed
from reprtune.spec.scale import scaled_trial
from reprtune.spec.trial import TrialSpec

DEFAULT = TrialSpec()


@dataclass(frozen=True, kw_only=True)
class Line:
    """One way to write a row.

    Attributes:
        method: of the catalog. changes: path -> value of what else is not as by default.
        total: length of training, where it is another one.
        name: what makes it different from the row's other lines. note: what to know of it.
    """

    method: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    total: str | None = None
    name: str = ""
    note: str = ""

    def trial(self) -> TrialSpec:
        """The default trial with this method."""
        return changed(scaled_trial(DEFAULT, method=self.method, total=self.total), self.changes)

    def budget(self) -> Fraction:
        """Optimizer steps of all its networks, in those of the default trial with plain training."""
        trial = self.trial()
        return trial.method.n_members * trial.training.total.value / DEFAULT.training.total.value


def _double() -> str:
    total = DEFAULT.training.total
    return f"{2 * total.value}{total.unit}"


ROWS: dict[str, tuple[Line, ...]] = {
    "standard training": (Line(method="standard"),),
    "RePr": (Line(method="repr"),),
    "RePr with any other criterion": (
        Line(method="repr", changes={"method.criterion": "l2"}, note="any of `list criteria`"),
        Line(
            method="repr",
            changes={"method.criterion": "taylor-fo", "method.restore": "old"},
            name="restored otherwise",
            note="any of `list restores`",
        ),
    ),
    "DSD": (Line(method="dsd"),),
    "SFP": (Line(method="sfp"),),
    "Filter Grafting": (
        Line(method="grafting"),
        Line(method="grafting", changes={"method.losses": "distillation"}, name="grafting+"),
        Line(method="grafting", changes={"method.blend_level": "filter"}, name="by filter"),
        Line(method="grafting", changes={"method.blend_by": "l1"}, name="by size"),
        Line(
            method="grafting",
            changes={"method.member_lr": "spread"},
            name="learning rates that differ",
            note="as in the released code by default",
        ),
    ),
    "grafting in one network": (
        Line(method="grafting-internal", name="internal"),
        Line(method="grafting-internal", changes={"method.exchange": "noise"}, name="noise"),
    ),
    "C-SGD": (Line(method="c-sgd"),),
    "cheap spatial transforms": (
        Line(method="transforms", name="untied"),
        Line(method="transforms", changes={"method.ending": "keep-tied"}, name="kept tied at the end"),
        Line(
            method="transforms",
            changes={
                "method.schedule": "phase",
                "method.start": 0.3,
                "method.restore": None,
                "method.ending": "keep-tied",
                "method.placement": "features",
            },
            name="feature maps, kept so",
        ),
    ),
    "Weight Evolution": (
        Line(
            method="weight-evolution",
            note="without the global quantile, its warm-up and annealing, and without crossing BatchNorm's numbers",
        ),
    ),
    "ReDo": (
        Line(method="redo", name="the least active", note="as many each time, which suits supervised training"),
        Line(method="redo", changes={"method.selection": "dormant"}, name="by threshold"),
    ),
    "Knowledge Evolution": (
        Line(
            method="knowledge-evolution",
            changes={"training.label_smoothing": 0.1},
            note="the split is drawn; generations share the total, where the paper trains each as long as the control",
        ),
    ),
    "later-layer forgetting": (
        Line(
            method="later-layer-forgetting",
            changes={"training.label_smoothing": 0.1},
            note="generations share the total",
        ),
    ),
    "Born-Again Networks": (
        Line(
            method="ban",
            note="generations share the total: compare with plain training of the same total, and of one generation",
        ),
    ),
    "orthogonality penalties": (
        Line(method="standard", changes={"method.losses": "overlap"}, name="RePr's own"),
        Line(method="standard", changes={"method.losses": "soft-orthogonality"}, name="SO"),
        Line(method="standard", changes={"method.losses": "srip"}, name="SRIP"),
        Line(method="standard", changes={"method.losses": "ortho-reg"}, name="OrthoReg"),
    ),
    "controls": (
        Line(method="repr", changes={"method.criterion": "random"}, name="random drop"),
        Line(
            method="standard", total=_double(), name="standard, twice as long", note="of two networks"
        ),
        Line(method="lr-restart", name="learning-rate restart alone"),
        Line(method="averaging", name="averaging, of grafting", note="grafting with blend_by = constant is the same"),
        Line(method="ensemble", name="networks that never meet", note="of grafting and averaging"),
    ),
}  # fmt: skip
