"""What is learned, from what, and by which network."""

from __future__ import annotations

from dataclasses import dataclass

from reprtune.errors import SpecError
from reprtune.spec import catalog
from reprtune.spec.codec import later
from reprtune.spec.rules import at_least, one_of

AUGMENTATIONS = (
    "none", "crop", "flip", "crop+flip", "cutout", "crop+cutout", "flip+cutout", "crop+flip+cutout",
)  # fmt: skip
HEADS = ("average", "flatten")


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """A data set and its four fixed parts: train, score, val and test.

    score (for data-driven criteria) and val are taken out of the official training images,
    stratified by class and seeded; every arm sets them aside, used or not.

    Attributes:
        dataset: a name of the catalog.
        train_images: use only so many images of the train part; `None` = all of it.
        score_frac, val_frac: shares of the official training images, in (0, 0.5].
        split_seed: seed of the split; not the seed of a trial.
        augment: what is drawn anew for each training image: `crop` (4 px of zero padding),
            `flip` (left-right), `cutout` (a square set to the mean, anywhere, also partly outside;
            arXiv 1708.04552), joined by `+`, or `none`.
        cutout: side of that square in px; used only with `cutout`.
        image_size: side in px that the images of a folder are scaled and cut to; of other data sets None.
        label_noise: share of the labels of train and score, in [0, 1), that are replaced by another class, any as
            likely as the others; drawn from `split_seed`, so the same for every trial. val and test keep theirs.
    """

    dataset: str = "digits"
    train_images: int | None = None
    score_frac: float = 0.05
    val_frac: float = 0.2
    split_seed: int = 0
    augment: str = "none"
    cutout: int = 8
    image_size: int | None = None
    label_noise: float = later(0.0)

    def __post_init__(self) -> None:
        entry = catalog.find("datasets", self.dataset)
        one_of("task.augment", self.augment, AUGMENTATIONS)
        for field in ("score_frac", "val_frac"):
            value = getattr(self, field)
            if not 0 < value <= 0.5:
                raise SpecError(f"task.{field} must be above 0 and at most 0.5, but got {value}.")
        if self.train_images is not None:
            at_least("task.train_images", self.train_images, 1)
        at_least("task.cutout", self.cutout, 1)
        if not 0 <= self.label_noise < 1:
            raise SpecError(
                f"task.label_noise must be at least 0 and below 1, but got {self.label_noise}.",
                "It is the share of wrong labels: 0.4 makes 40 % of them wrong.",
            )
        takes_size = "image_size" in entry.fields
        if self.image_size is not None:
            at_least("task.image_size", self.image_size, 2)
            if not takes_size:
                raise SpecError(
                    f"task.image_size cannot be set for {self.dataset}, whose images all have one size.",
                    "Leave task.image_size out.",
                )


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A network of the catalog.

    Attributes:
        name: a name of the catalog.
        width: filters of a convnet's layers, or of a resnet's first stage;
            `None` = the published width (32 and 16).
        batch_norm: BatchNorm after each convolution (a resnet always has it).
        pool: 2x2 max pooling after each layer of a convnet but the last, while at least 2 px are left.
        weights: folder of an exported network to begin from, in its structure and with its weights; of one network
            for all members of a trial, or of as many as it has. None = new weights, drawn from the trial's seed.
        head: what a convnet's linear layer reads: `average`, the mean of each map, or `flatten`, each of its pixels.
    """

    name: str = "convnet-3"
    width: int | None = None
    batch_norm: bool = True
    pool: bool = False
    weights: str | None = None
    head: str = later("average")

    def __post_init__(self) -> None:
        entry = catalog.find("models", self.name)
        if self.weights is not None and not self.weights.strip():
            raise SpecError(
                f"model.weights must be the folder of an exported network, but got {self.weights!r}.",
                "Write one with `trial export` or `train --export`, or leave model.weights out.",
            )
        if self.width is not None:
            at_least("model.width", self.width, 2)
        one_of("model.head", self.head, HEADS)
        defaults = {"width": None, "batch_norm": True, "pool": False, "head": "average"}
        options = f"whose options are {', '.join(entry.fields)}" if entry.fields else "which has no options"
        for field, default in defaults.items():
            if field not in entry.fields and getattr(self, field) != default:
                raise SpecError(
                    f"model.{field} cannot be {getattr(self, field)} for {self.name}, {options}.",
                    f"Leave model.{field} out.",
                )
