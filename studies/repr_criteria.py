"""Does the choice of the ranking criterion matter, when everything else is the same?

Every criterion that there is at one schedule, beside its controls: random drop (what a criterion adds), standard
training (what dropping adds) and the restart of the learning rate alone. Each layer is ranked by itself, so that every arm
drops as many filters of every layer and costs the same; and the last 40 % of the training are full, so that no arm is cut
short. A rule for every criterion against chance, and one for chance against standard training: a criterion that
does better than random drop, where random drop does harm, has gained nothing.
"""

from __future__ import annotations

from reprtune.spec.duration import Duration
from reprtune.spec.presets import compose
from reprtune.spec.study import Arm, Arms, Rule, StudySpec, named
from reprtune.spec.task import ModelSpec, TaskSpec
from reprtune.spec.training import TrainingSpec
from reprtune.spec.trial import TrialSpec

CRITERIA = (  # by name, so that a criterion that is added does not make another study of this one
    *("ortho", "ortho-dim", "ortho-released", "l1", "bn-gamma", "fpgm", "activation", "apoz"),
    *("taylor", "taylor-fo", "hessian", "oracle", "l2"),
)
SEEDS = (0, 1, 2, 3, 4, 5)

STUDY = StudySpec(
    name="repr-criteria",
    question=(
        "At one schedule and equal cost: which ranking criterion leaves a lower error than random drop, and does RePr's "
        "own, or random drop itself, leave a lower one than standard training?"
    ),
    decision=(
        "A criterion that is not shown to do better than random drop is not worth its price; where neither it nor random "
        "drop does better than standard training, none is."
    ),
    cost=(
        "96 trainings of 100 epochs on 8x8 images, with common beginnings trained once: about 25 minutes on one busy CPU core "
        "(estimated from the 12 ms a step of repr-components). On 10,000 images of CIFAR-10, about 2 hours there: "
        "--dataset cifar10 --total 30ep --set base.task.train_images=10000 --set base.model.pool=true."
    ),
    base=TrialSpec(
        task=TaskSpec(dataset="digits"),
        model=ModelSpec(name="convnet-3"),
        training=TrainingSpec(total=Duration.parse("100ep")),
        method=compose(
            cycles=2,
            s1=Duration.parse("20ep"),
            s2=Duration.parse("10ep"),
            prune_ratio=0.3,
            scope="layer",
        ),
    ),
    sections=(
        Arms(
            name="controls",
            design=named(
                Arm(name="standard", changes={"method": "standard"}),
                Arm(name="random", changes={"method.criterion": "random"}),
                Arm(
                    name="lr-restart",
                    changes={"method": "lr-restart", "method.cycles": 2, "method.s1": "30ep"},
                ),
            ),
            seeds=SEEDS,
        ),
        Arms(
            name="criteria",
            design=named(
                *(
                    Arm(name=name, changes={"method.criterion": name}, against=("random", "standard"))
                    for name in CRITERIA
                )
            ),
            seeds=SEEDS,
        ),
    ),
    rules=(
        Rule(
            arm="random",
            helps="Dropping and restoring helps here, whatever is dropped.",
            otherwise="Dropping at random is not shown to help here.",
        ),
        Rule(
            arm="ortho",
            helps="RePr, ranking each layer by overlap, lowers the error here.",
            otherwise="RePr, ranking each layer by overlap, is not shown to lower the error here.",
        ),
        *(
            Rule(
                arm=name,
                control="random",
                helps="Its ranking is part of what helps, or makes up for harm.",
                otherwise="Its ranking is not shown to do better than chance.",
            )
            for name in CRITERIA
        ),
    ),
)
