"""Does a relative of RePr do better than what it must be compared with, for the same training?

Every method of the catalog at one length of training, each beside the arms that its own paper's claim has to be held
against: random drop for RePr, averaging and one network trained twice as long for what takes two networks, a network
that is narrow from the beginning for what ends in one, label smoothing alone where it is part of the method. No arm is
compared with one that was trained for less (docs/methods.md has the family, docs/family.md what each does exactly).
"""

from __future__ import annotations

from reprtune.spec.duration import Duration
from reprtune.spec.presets import compose
from reprtune.spec.study import Arm, Arms, Rule, StudySpec, named
from reprtune.spec.task import ModelSpec, TaskSpec
from reprtune.spec.training import TrainingSpec
from reprtune.spec.trial import TrialSpec

CYCLES = {"method.cycles": 2, "method.s1": "20ep", "method.s2": "10ep"}
SMOOTHED = {"training.label_smoothing": 0.1}
TWICE = {"training.total": "200ep"}

ALONE = (  # one network, of the size that it begins with
    Arm(name="standard", changes={"method": "standard"}),
    Arm(name="repr", changes={"method": "repr", **CYCLES}, against=("standard", "random-drop")),
    Arm(name="random-drop", changes={"method": "repr", **CYCLES, "method.criterion": "random"}),
    Arm(name="lr-restart", changes={"method": "lr-restart", "method.cycles": 2, "method.s1": "30ep"}),
    Arm(name="sfp", changes={"method": "sfp"}),
    Arm(name="dsd", changes={"method": "dsd", "method.s1": "40ep", "method.s2": "40ep"}),
    Arm(name="redo", changes={"method": "redo"}),
    Arm(name="weight-evolution", changes={"method": "weight-evolution"}),
    Arm(name="smoothed", changes={"method": "standard", **SMOOTHED}),
    Arm(
        name="knowledge-evolution",
        changes={"method": "knowledge-evolution", **SMOOTHED},
        against=("smoothed",),
    ),
    Arm(
        name="later-layer-forgetting",
        changes={"method": "later-layer-forgetting", **SMOOTHED},
        against=("smoothed",),
    ),
    Arm(name="ban", changes={"method": "ban"}),
    Arm(name="grafting-internal", changes={"method": "grafting-internal"}),
    Arm(name="transforms", changes={"method": "transforms", **CYCLES}, against=("standard", "repr")),
    Arm(name="overlap", changes={"method": "standard", "method.losses": "overlap"}),
    Arm(
        name="soft-orthogonality", changes={"method": "standard", "method.losses": "soft-orthogonality"}
    ),
    Arm(
        name="srip",
        changes={"method": "standard", "method.losses": "srip", "method.srip_until": "60ep"},
    ),
)  # fmt: skip
TWO_NETWORKS = (  # trained for the time of two
    Arm(name="standard-twice", changes={"method": "standard", **TWICE}),
    Arm(name="averaging", changes={"method": "averaging"}, against=("standard-twice", "ensemble")),
    Arm(name="ensemble", changes={"method": "ensemble"}, against=("standard-twice",)),
    Arm(name="grafting", changes={"method": "grafting"}, against=("averaging", "standard-twice")),
    Arm(
        name="grafting-plus",
        changes={"method": "grafting", "method.losses": "distillation"},
        against=("grafting", "standard-twice"),
    ),
)
SMALLER = (  # one network that ends smaller, and one that is so from the beginning
    Arm(name="narrow", changes={"method": "standard", "model.width": 20}),
    Arm(
        name="c-sgd",  # 5 of 8 filters of every layer stay; sum of lr (pull + decay) / (1 - momentum) = 21
        changes={"method": "c-sgd", "method.pull": 0.03, "method.exclude_first": False},
        against=("narrow", "standard"),
    ),
    Arm(name="fewer-weights", changes={"method": "standard", "model.width": 27}),
    Arm(
        name="kept-tied",
        changes={"method": "transforms", **CYCLES, "method.ending": "keep-tied"},
        against=("fewer-weights", "standard"),
    ),
)


def _claimed(arm: str, *controls: str) -> tuple[Rule, ...]:
    """A lower error than each of these, as the method's paper has it."""
    said = {"helps": "Its claim is confirmed here.", "otherwise": "Its claim is not confirmed here."}
    return tuple(Rule(arm=arm, control=control, **said) for control in controls)


def _no_loss(arm: str) -> Rule:
    """Claimed is only that nothing is lost against plain training."""
    return Rule(
        arm=arm,
        control="standard",
        helps="That is more than it claims.",
        otherwise="Its claim, to lose nothing, is refuted only where it harms.",
    )


OF_STANDARD = (  # who claims a lower error than plain training, and names no other control
    *("dsd", "weight-evolution", "ban", "grafting-internal", "transforms"),
    *("overlap", "soft-orthogonality", "srip"),
)
RULES = (
    *_claimed("repr", "standard", "random-drop"),
    *(rule for arm in OF_STANDARD for rule in _claimed(arm, "standard")),
    *_claimed("knowledge-evolution", "smoothed"),
    *_claimed("later-layer-forgetting", "smoothed"),
    *_claimed("grafting", "averaging", "standard-twice"),
    *_claimed("grafting-plus", "grafting", "standard-twice"),
    *_claimed("c-sgd", "narrow"),
    *_claimed("kept-tied", "fewer-weights"),
    *map(_no_loss, ("sfp", "c-sgd", "kept-tied")),
    Rule(
        arm="lr-restart",
        helps="That much of what restarts the rate is not the method's.",
        otherwise="Restarting the rate alone is not shown to help.",
    ),
)

STUDY = StudySpec(
    name="family",
    question=(
        "Which of RePr's relatives leave a lower error than what each must be compared with, trained for the "
        "same number of steps?"
    ),
    decision=(
        "The rules are the claims that were made, each against the control that its claim has to be held against; what only "
        "claims to lose nothing (sfp; c-sgd and kept-tied against standard) is refuted where it harms. redo was claimed "
        "for reinforcement learning only, and is compared without a rule. Whoever helps here is to be confirmed on fresh "
        "seeds."
    ),
    cost=(
        "130 trainings of 100 epochs on 8x8 images, or of twice that: about 20 minutes on two CPU cores (measured). "
        "On 10,000 images of CIFAR-10, 30 epochs each, about 6 hours there (from its first 26 trials): --dataset cifar10 --total 30ep "
        "--set base.task.train_images=10000 --set base.model.pool=true."
    ),
    base=TrialSpec(
        task=TaskSpec(dataset="digits"),
        model=ModelSpec(name="convnet-3"),
        training=TrainingSpec(total=Duration.parse("100ep")),
        method=compose(cycles=2, s1=Duration.parse("20ep"), s2=Duration.parse("10ep")),
    ),
    sections=(
        Arms(design=named(*ALONE, *TWO_NETWORKS, *SMALLER), seeds=(0, 1, 2, 3, 4)),
    ),
    rules=RULES,
)  # fmt: skip
