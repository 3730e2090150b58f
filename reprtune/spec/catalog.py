"""The one registry: every data set, network, criterion, restore rule and method by name.

An entry says in one line what it is, which options it takes, what it costs and needs, and where its
code lives (`module:object`, imported only when used: listing and validating need no torch).
"""

from __future__ import annotations

import dataclasses
import importlib
import re
from dataclasses import dataclass
from typing import Any

from reprtune.errors import SpecError, did_you_mean
from reprtune.spec.named import Named
from reprtune.spec.parts.places import PLACES
from reprtune.spec.stop_rules import StopRule

PRESETS = "reprtune.spec.presets:"


@dataclass(frozen=True)
class Entry:
    """One row of the catalog.

    Attributes:
        name: what a person writes; `N` stands for a number, `PATH`, `NAME` and `MODULE:FACTORY` for
            what they say.
        line: what it is, in one line.
        target: `module:object` of the code.
        fields: the options it takes, besides those all of its kind take.
        cost: what it costs, in the reader's terms.
        needs: what must be there.
        paper: where a method comes from.
    """

    name: str
    line: str
    target: str
    fields: tuple[str, ...] = ()
    cost: str = ""
    needs: str = ""
    paper: str = ""

    @property
    def pattern(self) -> re.Pattern[str]:
        text = re.sub(r"N(?![A-Z])", r"(\\d+)", re.escape(self.name))
        text = text.replace("MODULE:FACTORY", rf"((?:{WORD}(?:\.{WORD})*|[^\0\n]+\.py):{WORD})")
        return re.compile(re.sub(r"PATH|NAME", r"(.+)", text))

    @property
    def example(self) -> str:
        """A name a person can type: the pattern with its usual number."""
        return EXAMPLES.get(self.name, self.name)


WORD = r"[^\W\d]\w*"  # a name of Python

EXAMPLES = {
    "convnet-N": "convnet-3",
    "resnet-N": "resnet-20",
    "vggN-bn": "vgg16-bn",
    "densenet-N-N": "densenet-40-12",
    "torchvision:NAME": "torchvision:resnet18",
}

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
        "mnist",
        "70,000 grey 28x28 images of handwritten digits, 10 classes",
        "reprtune.training.data.torchvision_sets:mnist",
        cost="12 MB download",
        needs="--data-dir, or a network to download from",
    ),
    Entry(
        "cifar100",
        "60,000 colour 32x32 images, 100 classes",
        "reprtune.training.data.torchvision_sets:cifar100",
        cost="170 MB download",
        needs="--data-dir, or a network to download from",
    ),
    Entry(
        "svhn",
        "99,289 colour 32x32 images of house numbers, 10 classes",
        "reprtune.training.data.torchvision_sets:svhn",
        cost="250 MB download",
        needs="--data-dir, or a network to download from",
    ),
    Entry(
        "imagefolder:PATH",
        "your own image files, PATH/train/CLASS/* and PATH/test/CLASS/*, scaled and cut to task.image_size",
        "reprtune.training.data.imagefolder:load",
        fields=("image_size",),
        cost="decoded once where they fit in memory, else in every epoch",
        needs="the folder",
    ),
    Entry(
        "python:MODULE:FACTORY",
        "your own code: FACTORY(data_dir) in MODULE or FILE.py returns x_train, y_train, x_test, y_test",
        "reprtune.training.data.user:load",
        needs="the module or file, found from here",
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
        fields=("width", "batch_norm", "pool", "head"),
        cost="20 K parameters for N = 3, width 32",
    ),
    Entry(
        "resnet-N",
        "the CIFAR ResNet of He et al. (2015), N = 6n + 2, parameter-free shortcuts",
        "reprtune.training.models.resnet:build",
        fields=("width",),
        cost="270 K parameters for N = 20",
    ),
    Entry(
        "vggN-bn",
        "the CIFAR VGG with BatchNorm and one linear layer, N = 11, 13 or 16 (arXiv 1409.1556)",
        "reprtune.training.models.vgg:build",
        cost="15 M parameters for N = 16",
    ),
    Entry(
        "densenet-N-N",
        "the CIFAR DenseNet of depth N and growth N, three blocks, no bottleneck (arXiv 1608.06993)",
        "reprtune.training.models.densenet:build",
        cost="1 M parameters for 40-12",
    ),
    Entry(
        "torchvision:NAME",
        "any classification network of torchvision, without pretrained weights or auxiliary heads",
        "reprtune.training.models.from_torchvision:build",
        cost="1 to 600 M parameters; most need images of 32 px and more",
    ),
    Entry(
        "python:MODULE:FACTORY",
        "your own network: FACTORY(in_channels, input_size, n_classes) in MODULE or FILE.py returns it",
        "reprtune.training.models.user:build",
        needs="the module or file, found from here",
    ),
)
_METHODS = (
    Entry("standard", "plain training of the whole network, the baseline", f"{PRESETS}STANDARD"),
    Entry(
        "repr",
        "RePr: train, drop the most overlapping filters, train the rest, restore orthogonally",
        f"{PRESETS}REPR",
        paper="RePr, arXiv 1811.07275",
    ),
    Entry(
        "lr-restart",
        "the control of RePr's schedule: the learning rate begins anew after each cycle, nothing is dropped",
        f"{PRESETS}LR_RESTART",
    ),
    Entry(
        "averaging",
        "two networks, averaged after every epoch: the honest control of grafting",
        f"{PRESETS}AVERAGING",
    ),
    Entry(
        "ensemble", "two networks that never meet: the control of what exchange adds", f"{PRESETS}ENSEMBLE"
    ),
    Entry(
        "sfp",
        "soft filter pruning: the smallest filters become 0 after every epoch and train on",
        f"{PRESETS}SFP",
        paper="SFP, arXiv 1808.06866",
    ),
    Entry(
        "dsd",
        "dense, sparse, dense: single weights dropped once and restored as 0",
        f"{PRESETS}DSD",
        paper="DSD, arXiv 1607.04381",
    ),
    Entry(
        "grafting",
        "Filter Grafting: two networks blended after every epoch by their entropy",
        f"{PRESETS}GRAFTING",
        paper="Filter Grafting, arXiv 2001.05868",
    ),
    Entry(
        "grafting-internal",
        "grafting in one network: weak filters take over strong ones",
        f"{PRESETS}GRAFTING_INTERNAL",
        paper="Filter Grafting, arXiv 2001.05868",
    ),
    Entry(
        "c-sgd",
        "C-SGD: filters of a cluster grow equal, and are trimmed at the end",
        f"{PRESETS}C_SGD",
        paper="C-SGD, arXiv 1904.03837",
    ),
    Entry(
        "transforms",
        "dropped filters are cheap transforms of kept ones, then untied",
        f"{PRESETS}TRANSFORMS",
        paper="Cheap Spatial Transformations, arXiv 2110.12844; our own design of it, for its code is not public",
    ),
    Entry(
        "weight-evolution",
        "weak filters cross with dominant ones after every epoch",
        f"{PRESETS}WEIGHT_EVOLUTION",
        paper="Weight Evolution, arXiv 2110.04492",
    ),
    Entry(
        "redo",
        "ReDo: silent filters begin anew, and nothing reads them at first",
        f"{PRESETS}REDO",
        paper="ReDo, arXiv 2302.12902",
    ),
    Entry(
        "knowledge-evolution",
        "a fixed share of the filters begins anew in each generation",
        f"{PRESETS}KNOWLEDGE_EVOLUTION",
        paper="Knowledge Evolution, arXiv 2103.05152",
    ),
    Entry(
        "later-layer-forgetting",
        "all later layers begin anew in each generation",
        f"{PRESETS}LATER_LAYER_FORGETTING",
        paper="later-layer forgetting, arXiv 2202.00155",
    ),
    Entry(
        "ban",
        "born again: each generation imitates the one before",
        f"{PRESETS}BAN",
        paper="Born-Again Networks, arXiv 1805.04770",
    ),
)


def _of_kinds(base: type[Named]) -> tuple[Entry, ...]:
    """The parts of a place, or the stop rules, in the words of the catalog."""
    return tuple(
        Entry(
            kind.kind,
            kind.card.line,
            kind.card.code,
            fields=tuple(f.name for f in dataclasses.fields(kind)),
            cost=kind.card.cost,
            needs=kind.card.needs,
        )
        for kind in base.kinds
    )


# The kinds of a method's parts, as `list` has them -> the place they go to.
KINDS = {
    "schedules": "schedule",
    "criteria": "criterion",
    "selections": "selection",
    "drops": "drop",
    "restores": "restore",
    "exchanges": "exchange",
    "gradients": "gradient",
    "losses": "losses",
    "endings": "ending",
}
CATALOG: dict[str, tuple[Entry, ...]] = {
    "datasets": _DATASETS,
    "models": _MODELS,
    **{kind: _of_kinds(PLACES[place]) for kind, place in KINDS.items()},
    "methods": _METHODS,
    "stop-rules": _of_kinds(StopRule),
}
SINGULAR = {
    "datasets": "dataset",
    "models": "model",
    **{kind: PLACES[place].noun for kind, place in KINDS.items()},
    "methods": "method",
    "stop-rules": StopRule.noun,
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
    starts = {e.name.partition(":")[0]: e.example for e in CATALOG[kind] if ":" in e.name}
    near = starts.get(name.partition(":")[0], name)
    raise SpecError(f"There is no {SINGULAR[kind]} {name!r}.", did_you_mean(near, names(kind)))


def argument(kind: str, name: str) -> str:
    """What stands for the capital words of the entry in `name`, joined by `-`; empty for a plain name."""
    match = find(kind, name).pattern.fullmatch(name)
    assert match is not None
    return "-".join(match.groups())


def resolve(kind: str, name: str) -> Any:
    """Import the object behind a name."""
    module, _, attribute = find(kind, name).target.partition(":")
    return getattr(importlib.import_module(module), attribute)
