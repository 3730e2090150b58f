"""The one registry: every data set, network, criterion, restore rule and method by name.

An entry says in one line what it is, which options it takes, what it costs and needs, and where its
code lives (`module:object`, imported only when used: listing and validating need no torch).
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from typing import Any

from reprtune.errors import SpecError, did_you_mean


@dataclass(frozen=True)
class Entry:
    """One row of the catalog.

    Attributes:
        name: what a person writes; `N` stands for a number, `PATH` for a path.
        line: what it is, in one line.
        target: `module:object` of the code.
        fields: the options it takes, besides those all of its kind take.
        cost: what it costs, in the reader's terms.
        needs: what must be there.
    """

    name: str
    line: str
    target: str
    fields: tuple[str, ...] = ()
    cost: str = ""
    needs: str = ""

    @property
    def pattern(self) -> re.Pattern[str]:
        text = re.escape(self.name)
        return re.compile(re.sub(r"N$", r"(\\d+)", text).replace("PATH", "(.+)"))

    @property
    def example(self) -> str:
        """A name a person can type: the pattern with its usual number."""
        return EXAMPLES.get(self.name, self.name)


EXAMPLES = {"convnet-N": "convnet-3", "resnet-N": "resnet-20"}

_DATASETS = (
    Entry(
        "digits",
        "1,797 grey 8x8 images of handwritten digits; comes with scikit-learn",
        "reprtune.training.data.digits:load",
        cost="seconds per trial on a laptop",
        needs="nothing",
    ),
    Entry(
        "fashion-mnist",
        "70,000 grey 28x28 images of clothes, 10 classes",
        "reprtune.training.data.torchvision_sets:fashion_mnist",
        cost="30 MB download",
        needs="--data-dir, or a network to download from",
    ),
    Entry(
        "cifar10",
        "60,000 colour 32x32 images, 10 classes",
        "reprtune.training.data.torchvision_sets:cifar10",
        cost="170 MB download",
        needs="--data-dir, or a network to download from",
    ),
    Entry(
        "npz:PATH",
        "your own images: x_train, y_train, x_test, y_test; uint8, N x C x H x W or N x H x W",
        "reprtune.training.data.npz:load",
        needs="the file",
    ),
)
_MODELS = (
    Entry(
        "convnet-N",
        "the paper's C^N: N 3x3 convolutions of one width, global average pooling, a linear layer",
        "reprtune.training.models.convnet:build",
        fields=("width", "batch_norm", "pool"),
        cost="20 K parameters for N = 3, width 32",
    ),
    Entry(
        "resnet-N",
        "the CIFAR ResNet of He et al. (2015), N = 6n + 2, parameter-free shortcuts",
        "reprtune.training.models.resnet:build",
        fields=("width",),
        cost="270 K parameters for N = 20",
    ),
)
_CRITERIA = (
    Entry(
        "ortho",
        "the paper's inter-filter overlap; in a global ranking it favours small filters",
        "reprtune.training.criteria.ortho:score",
        cost="J^2 c k^2 per layer",
    ),
    Entry(
        "ortho-dim",
        "the same, divided by what random filters of that dimension would have",
        "reprtune.training.criteria.ortho:score_corrected",
        cost="J^2 c k^2 per layer",
    ),
    Entry(
        "l2",
        "smallest Euclidean norm first, relative to the layer's mean norm",
        "reprtune.training.criteria.norm:score_l2",
        cost="trivial",
    ),
    Entry(
        "random",
        "a uniformly random choice: the control for every criterion",
        "reprtune.training.criteria.random:score",
        cost="none",
    ),
)
_RESTORES = (
    Entry(
        "orthogonal",
        "random, orthogonal to the survivors and to its own old value; norm = mean of the survivors",
        "reprtune.training.restores.orthogonal:restore",
        cost="one QR per layer and cycle",
    ),
)
_METHODS = (
    Entry("standard", "plain training of the whole network, the baseline", "reprtune.spec.presets:STANDARD"),
    Entry(
        "repr",
        "RePr: train, drop the most overlapping filters, train the rest, restore orthogonally",
        "reprtune.spec.presets:REPR",
        fields=("cycles", "s1", "s2", "criterion", "prune_ratio", "scope", "exclude_first", "restore"),
    ),
)

CATALOG: dict[str, tuple[Entry, ...]] = {
    "datasets": _DATASETS,
    "models": _MODELS,
    "criteria": _CRITERIA,
    "restores": _RESTORES,
    "methods": _METHODS,
}
SINGULAR = {
    "datasets": "dataset",
    "models": "model",
    "criteria": "criterion",
    "restores": "restore rule",
    "methods": "method",
}


def names(kind: str) -> list[str]:
    """Every name of a kind, as a person may type it."""
    return [entry.example for entry in CATALOG[kind]]


def find(kind: str, name: str) -> Entry:
    """The entry that `name` belongs to.

    Raises:
        SpecError: with the nearest known name.
    """
    for entry in CATALOG[kind]:
        if entry.pattern.fullmatch(name):
            return entry
    raise SpecError(f"There is no {SINGULAR[kind]} {name!r}.", did_you_mean(name, names(kind)))


def argument(kind: str, name: str) -> str:
    """What stands for `N` or `PATH` in `name`; empty for a plain name."""
    match = find(kind, name).pattern.fullmatch(name)
    assert match is not None
    return match[1] if match.groups() else ""


def resolve(kind: str, name: str) -> Any:
    """Import the object behind a name."""
    module, _, attribute = find(kind, name).target.partition(":")
    return getattr(importlib.import_module(module), attribute)
