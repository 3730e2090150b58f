"""How the weights of a network are optimised."""

from __future__ import annotations

from dataclasses import dataclass

from reprtune.errors import SpecError
from reprtune.spec.duration import Duration
from reprtune.spec.rules import at_least, between, one_of, parse_durations

OPTIMIZERS = {
    "sgd": ("momentum", "nesterov"),
    "adam": ("beta1", "beta2", "eps", "bias_correction"),
    "adamw": ("beta1", "beta2", "eps", "bias_correction"),
}
LR_SCHEDULES = ("constant", "step", "cosine", "one-cycle", "cyclic")
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
BIAS_CORRECTIONS = ("tensor", "filter")


@dataclass(frozen=True, kw_only=True)
class TrainingSpec:
    """How the weights are optimised on the cross-entropy; what is added to it is a part of the method.

    Attributes:
        total: length of the whole trial, all cycles and the final full training together.
        batch_size: images per step.
        optimizer: `sgd`, `adam` or `adamw`, as torch.optim has them.
        lr: peak learning rate; weight_decay: as in torch.optim (decoupled for `adamw`).
        momentum, nesterov: of sgd.
        beta1, beta2, eps: of adam and adamw.
        bias_correction: of adam and adamw. `tensor`: as torch.optim, one count of steps for each weight
            tensor, so that the first update of a restored filter is 3.15 times too long; `filter`: every
            filter counts its own steps from its last restore.
        lr_schedule: `constant`; `step` (times `lr_gamma` at each of `lr_milestones`, shares of
            `total`); `cosine` (to 0 at the end of `total`); `one-cycle` (up to `lr` over the first
            `lr_warmup` of `total`, then down, both as cosines; arXiv 1708.07120); `cyclic` (a cosine from
            `lr` to 0 in every `lr_period`, then from `lr` again; arXiv 1608.03983).
        precision: `fp32`; `tf32` (fp32, but with TF32 in convolutions and matrix products on a GPU); `bf16` or
            `fp16` (autocast; fp16 scales its loss). Weights, optimizer and scores are always fp32.
        label_smoothing: share of each label that is spread over all classes, in [0, 1).
        threads: CPU threads of one trial. Part of its identity: sums round differently with more.
        segment: length of training between two stored states; S1 and S2 are best whole multiples.
    """

    total: Duration = Duration.parse("100ep")
    batch_size: int = 64
    optimizer: str = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    bias_correction: str = "tensor"
    weight_decay: float = 5e-4
    lr_schedule: str = "step"
    lr_milestones: tuple[float, ...] = (0.4, 0.7)
    lr_gamma: float = 0.1
    lr_warmup: float = 0.3
    lr_period: Duration = Duration.parse("50ep")
    precision: str = "fp32"
    label_smoothing: float = 0.0
    threads: int = 1
    segment: Duration = Duration.parse("1ep")

    def __post_init__(self) -> None:
        one_of("training.optimizer", self.optimizer, OPTIMIZERS)
        one_of("training.lr_schedule", self.lr_schedule, LR_SCHEDULES)
        one_of("training.precision", self.precision, PRECISIONS)
        one_of("training.bias_correction", self.bias_correction, BIAS_CORRECTIONS)
        at_least("training.batch_size", self.batch_size, 2)
        at_least("training.threads", self.threads, 1)
        at_least("training.weight_decay", self.weight_decay, 0)
        between("training.lr_gamma", self.lr_gamma, 0, 1)
        for field in ("lr", "eps"):
            if getattr(self, field) <= 0:
                raise SpecError(f"training.{field} must be above 0, but got {getattr(self, field)}.")
        for field in ("momentum", "beta1", "beta2", "label_smoothing"):
            if not 0 <= getattr(self, field) < 1:
                raise SpecError(
                    f"training.{field} must be at least 0 and below 1, but got {getattr(self, field)}."
                )
        if not 0 < self.lr_warmup < 1:
            raise SpecError(
                f"training.lr_warmup must be a share between 0 and 1 exclusive, but got {self.lr_warmup}."
            )
        parse_durations(self, "training", "total", "segment", "lr_period")
        self._check_milestones()
        self._check_optimizer()

    def _check_milestones(self) -> None:
        stones = self.lr_milestones
        if list(stones) != sorted(set(stones)) or any(not 0 < s < 1 for s in stones):
            raise SpecError(
                f"training.lr_milestones must be increasing shares of the total, each between 0 and 1 "
                f"exclusive, but got {list(stones)}.",
                "Write them like [0.4, 0.7].",
            )

    def _check_optimizer(self) -> None:
        """Options of another optimizer would do nothing."""
        own = OPTIMIZERS[self.optimizer]
        for fields in OPTIMIZERS.values():
            for field in fields:
                value, default = getattr(self, field), type(self).__dataclass_fields__[field].default
                if field not in own and value != default:
                    raise SpecError(
                        f"training.{field} = {value} does nothing with {self.optimizer}, "
                        f"whose options are {', '.join(own)}.",
                        f"Leave training.{field} out, or choose another training.optimizer.",
                    )
        if self.nesterov and self.momentum == 0:
            raise SpecError("training.nesterov needs training.momentum above 0, but it is 0.")
