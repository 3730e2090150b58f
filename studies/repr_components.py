"""Which parts of RePr do their work?

Leave-one-out: the whole method, and beside it the same without one of its ideas at a time, each at the null that it
declares: filters ranked at random, filters that come back at random or as they were, no training without them, and so on.
Before that the controls: standard training, the restart of the learning rate alone, and standard training of other lengths,
for what costs less. Random drop is the arm `criterion-random`.
"""

from __future__ import annotations

from reprtune.spec.duration import Duration
from reprtune.spec.presets import compose
from reprtune.spec.study import Arm, Arms, LeaveOneOut, Rule, StudySpec, named, plain_lengths
from reprtune.spec.task import ModelSpec, TaskSpec
from reprtune.spec.training import TrainingSpec
from reprtune.spec.trial import TrialSpec

TOTAL = "100ep"
SEEDS = (0, 1, 2, 3, 4, 5)
PARTS = {  # an arm without one of its ideas -> what that idea is
    "criterion-random": "ranking by overlap",
    "restore-random": "restoring orthogonally, not at random",
    "restore-old": "restoring with new weights, not the old ones",
    "s2-0ep": "training without the dropped filters",
    "scope-layer": "one ranking over all layers",
    "exclude_first-false": "sparing the first layer",
    "restore_bn-keep": "resetting BatchNorm at a restore",
    "restore_optimizer-keep": "resetting momentum at a restore",
}


def _part(arm: str, what: str) -> Rule:
    what = what[0].upper() + what[1:]
    return Rule(
        arm="repr",
        control=arm,
        helps=f"{what} does its part.",
        otherwise=f"{what} is not shown to do its part.",
    )


STUDY = StudySpec(
    name="repr-components",
    question="Which parts of RePr make its error lower, and is it lower than standard training's at all?",
    decision="A part that is not shown to help can be left out; one whose rule says harms should be.",
    cost=(
        "84 trainings of 100 epochs, or of 40 to 80, on 8x8 images, with common beginnings trained once: 20 minutes "
        "on one busy CPU core (measured). On 10,000 images of CIFAR-10: --dataset cifar10 --total 30ep "
        "--set base.task.train_images=10000 --set base.model.pool=true."
    ),
    base=TrialSpec(
        task=TaskSpec(dataset="digits"),
        model=ModelSpec(name="convnet-3"),
        training=TrainingSpec(total=Duration.parse(TOTAL)),
        method=compose(cycles=2, s1=Duration.parse("20ep"), s2=Duration.parse("10ep")),
    ),
    sections=(
        Arms(
            name="controls",
            design=named(
                Arm(name="standard", changes={"method": "standard"}),
                Arm(
                    name="lr-restart",
                    changes={"method": "lr-restart", "method.cycles": 2, "method.s1": "30ep"},
                ),
            ),
            seeds=SEEDS,
        ),
        Arms(
            name="parts",
            design=LeaveOneOut(arm=Arm(name="repr", against=("standard", "lr-restart"))),
            seeds=SEEDS,
        ),
        Arms(name="lengths", design=named(*plain_lengths(TOTAL)), seeds=SEEDS),
    ),
    rules=(
        Rule(
            arm="repr",
            helps="RePr lowers the error here.",
            otherwise="RePr is not shown to lower the error here, and no part of it can be worth its cost.",
        ),
        Rule(
            arm="repr",
            control="lr-restart",
            helps="What it gains is more than the restart of the rate gives.",
            otherwise="Restarting the rate alone is not shown to do worse.",
        ),
        *(_part(arm, what) for arm, what in PARTS.items()),
    ),
)
