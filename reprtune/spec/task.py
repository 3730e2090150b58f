"""What is learned, from what, by which network, and how it is optimised."""

from __future__ import annotations

from dataclasses import dataclass

from reprtune.errors import SpecError
from reprtune.spec import catalog
from reprtune.spec.duration import Duration
from reprtune.spec.rules import at_least, between, one_of, parse_durations

AUGMENTATIONS = ("none", "crop", "flip", "crop+flip")
LR_SCHEDULES = ("constant", "step", "cosine")
PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """A data set and its four fixed parts: train, score, val and test.

    score (for data-driven criteria) and val are taken out of the official training images,
    stratified by class and seeded; every arm sets them aside, used or not.

    Attributes:
        dataset: a name of the catalog, or `npz:PATH`.
        train_images: use only so many images of the train part; `None` = all of it.
        score_frac, val_frac: shares of the official training images, in (0, 0.5].
        split_seed: seed of the split; not the seed of a trial.
        augment: what is drawn anew for each training image: `crop` (4 px of zero padding),
            `flip` (left-right), both, or none.
    """

    dataset: str = "digits"
    train_images: int | None = None
    score_frac: float = 0.05
    val_frac: float = 0.2
    split_seed: int = 0
    augment: str = "none"

    def __post_init__(self) -> None:
        catalog.find("datasets", self.dataset)
        one_of("task.augment", self.augment, AUGMENTATIONS)
        for field in ("score_frac", "val_frac"):
            value = getattr(self, field)
            if not 0 < value <= 0.5:
                raise SpecError(f"task.{field} must be above 0 and at most 0.5, but got {value}.")
        if self.train_images is not None:
            at_least("task.train_images", self.train_images, 1)


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A network of the catalog.

    Attributes:
        name: `convnet-N` or `resnet-N`.
        width: filters of a convnet's layers, or of a resnet's first stage;
            `None` = the published width (32 and 16).
        batch_norm: BatchNorm after each convolution (a resnet always has it).
        pool: 2x2 max pooling after each layer of a convnet but the last, while at least 2 px are left.
    """

    name: str = "convnet-3"
    width: int | None = None
    batch_norm: bool = True
    pool: bool = False

    def __post_init__(self) -> None:
        entry = catalog.find("models", self.name)
        if self.width is not None:
            at_least("model.width", self.width, 2)
        defaults = {"batch_norm": True, "pool": False}
        for field, default in defaults.items():
            if field not in entry.fields and getattr(self, field) != default:
                raise SpecError(
                    f"model.{field} cannot be {getattr(self, field)} for {self.name}, "
                    f"whose options are {', '.join(entry.fields)}.",
                    f"Leave model.{field} out.",
                )


@dataclass(frozen=True, kw_only=True)
class TrainingSpec:
    """How the weights are optimised: SGD with momentum on the cross-entropy.

    Attributes:
        total: length of the whole trial, all cycles and the final full training together.
        batch_size: images per step.
        lr: peak learning rate; momentum, weight_decay: as in `torch.optim.SGD`.
        lr_schedule: `constant`; `step` (times `lr_gamma` at each of `lr_milestones`, shares of
            `total`); `cosine` (to 0 at the end of `total`).
        precision: `fp32`, or `bf16` (autocast; weights, momentum and scores stay fp32).
        threads: CPU threads of one trial. Part of its identity: sums round differently with more.
        segment: length of training between two stored states; S1 and S2 are best whole multiples.
    """

    total: Duration = Duration.parse("100ep")
    batch_size: int = 64
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    lr_schedule: str = "step"
    lr_milestones: tuple[float, ...] = (0.4, 0.7)
    lr_gamma: float = 0.1
    precision: str = "fp32"
    threads: int = 1
    segment: Duration = Duration.parse("1ep")

    def __post_init__(self) -> None:
        one_of("training.lr_schedule", self.lr_schedule, LR_SCHEDULES)
        one_of("training.precision", self.precision, PRECISIONS)
        at_least("training.batch_size", self.batch_size, 2)
        at_least("training.threads", self.threads, 1)
        at_least("training.weight_decay", self.weight_decay, 0)
        between("training.lr_gamma", self.lr_gamma, 0, 1)
        if self.lr <= 0:
            raise SpecError(f"training.lr must be above 0, but got {self.lr}.")
        if not 0 <= self.momentum < 1:
            raise SpecError(f"training.momentum must be at least 0 and below 1, but got {self.momentum}.")
        parse_durations(self, "training", "total", "segment")
        stones = self.lr_milestones
        if list(stones) != sorted(set(stones)) or any(not 0 < s < 1 for s in stones):
            raise SpecError(
                f"training.lr_milestones must be increasing shares of the total, each between 0 and 1 "
                f"exclusive, but got {list(stones)}.",
                "Write them like [0.4, 0.7].",
            )
