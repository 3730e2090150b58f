"""Does a relative of RePr do better than what it must be compared with, for the same training?

Every method of the catalog at one length of training, each beside the arms that its own paper's claim has to be held
against: random drop for RePr, averaging and one network trained twice as long for what takes two networks, a network
that is narrow from the beginning for what ends in one, label smoothing alone where it is part of the method. No arm is
compared with one that was trained for less (docs/methods.md has the family, docs/family.md what each does exactly).
"""

from __future__ import annotations

from reprtune.spec.duration import Duration
from reprtune.spec.presets import compose
from reprtune.spec.study import Arm, Arms, StudySpec, named
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

STUDY = StudySpec(
    name="family",
    question=(
        "Which of RePr's relatives leave a lower validation error than what each must be compared with, trained for the "
        "same number of steps?"
    ),
    decision=(
        "A claim counts as confirmed where the 95 % interval of the paired difference to its control lies below 0, and "
        "as refuted where it lies above; else nothing is shown. Claimed is a lower error: of repr against standard "
        "and random-drop; of dsd, weight-evolution, ban, grafting-internal, transforms, overlap, soft-orthogonality "
        "and srip against standard (redo was claimed for reinforcement learning only); of knowledge-evolution and "
        "later-layer-forgetting against smoothed; of grafting against averaging and standard-twice; of grafting-plus "
        "against grafting and standard-twice; of c-sgd against narrow, and of kept-tied against fewer-weights, which "
        "are as small from the beginning. sfp, and c-sgd and kept-tied against standard, claim no more than to lose "
        "nothing: refuted where the interval lies above 0. If lr-restart lies below standard, that much of what "
        "restarts the rate is not the method's. With 28 such intervals one or two miss 0 by chance: whoever wins here "
        "is to be confirmed on fresh seeds."
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
)  # fmt: skip
