"""Does the choice of the ranking criterion matter, when everything else is the same?

Every criterion that there is at one schedule, beside random drop (what a criterion adds) and standard
training (what dropping adds). Each layer is ranked by itself, so that every arm drops as many filters of every
layer and costs the same; and the last 40 % of the training are full, so that no arm is cut short.
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
    *("taylor", "taylor-fo", "hessian", "oracle", "l2", "random"),
)
STUDY = StudySpec(
    name="criteria",
    question=(
        "At one schedule and equal cost: which ranking criterion leaves the lowest error, and does any of them do "
        "better than random drop, or than standard training?"
    ),
    cost=(
        "75 trainings of 100 epochs on 8x8 images: about 5 minutes on two CPU cores (estimated from the trials of "
        "repr-ablation)."
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
            design=named(
                Arm(name="standard", changes={"method": "standard"}),
                *(
                    Arm(
                        name=name,
                        changes={"method.criterion": name},
                        against=("random", "standard") if name != "random" else (),
                    )
                    for name in CRITERIA
                ),
            ),
            seeds=(0, 1, 2, 3, 4),
        ),
    ),
    rules=(
        *(
            Rule(
                arm=name,
                control="random",
                helps="Its ranking is part of what helps.",
                otherwise="Its ranking is not shown to do better than chance.",
            )
            for name in CRITERIA
            if name != "random"
        ),
        *(
            Rule(
                arm=name,
                control="standard",
                helps="Dropping by it lowers the error.",
                otherwise="Dropping by it is not shown to lower the error.",
            )
            for name in CRITERIA
        ),
    ),
)
