"""The paper describes one method, the code released with it does another: which of the differences matters?

What is known to differ (arXiv 1811.07275; the code released with it, iamaaditya/repr-ortho): the ranking, which has one norm
for a whole layer and averages projections with their signs; the restore, which leaves a filter close to what it was; half of
the filters dropped instead of 30 %; and 20 epochs without them instead of 10. All else is alike here: three cycles, S1 = 20,
one ranking over all layers with the first one in it, and 150 epochs, the length of the paper's ResNet-20, so that both end
with full training.

One at a time from both ends: each difference alone, put into the method as described and taken out of the one that was
released. What matters from one end only goes together with another difference. Random drop is there at either end, for each
end has a ratio and a restore of its own. (An ablation path would say which difference carries a gain only if it led to the
better end, and which one that is, is the question.)
"""

from __future__ import annotations

from reprtune.spec.duration import Duration
from reprtune.spec.presets import compose
from reprtune.spec.study import Arm, Arms, Factor, OneAtATime, Rule, StudySpec, named
from reprtune.spec.task import ModelSpec, TaskSpec
from reprtune.spec.training import TrainingSpec
from reprtune.spec.trial import TrialSpec

SEEDS = (0, 1, 2, 3, 4, 5)
DIFFERENCES: dict[str, tuple[dict[str, object], dict[str, object]]] = {  # name -> as described, as released
    "criterion": ({"method.criterion": "ortho"}, {"method.criterion": "ortho-released"}),
    "restore": ({"method.restore": "orthogonal"}, {"method.restore": "as-released"}),
    "ratio": ({"method.prune_ratio": 0.3}, {"method.prune_ratio": 0.5}),
    "s2": ({"method.s2": "10ep"}, {"method.s2": "20ep"}),
}
RELEASED = {path: value for _, released in DIFFERENCES.values() for path, value in released.items()}
TOWARDS_RELEASED = tuple(
    Factor(name=name, levels={"described": described, "released": released})
    for name, (described, released) in DIFFERENCES.items()
)
TOWARDS_DESCRIBED = tuple(
    Factor(name=name, levels={"released": released, "described": described})
    for name, (described, released) in DIFFERENCES.items()
)


def _alone(name: str, end: str, other: str) -> Rule:
    """One difference, put into an end."""
    return Rule(
        arm=f"{name}-{other}",
        control=end,
        helps=f"The {name} as {other} does better where all else is as in {end}.",
        otherwise=f"The {name} as {other} is not shown to do better where all else is as in {end}.",
    )


STUDY = StudySpec(
    name="repr-vs-released",
    question=(
        "Does the code that was released with the paper leave another error than the method that the paper describes, "
        "and which of the four differences makes it?"
    ),
    decision=(
        "A difference carries what lies between the ends where its rule helps from one end and harms from the other; where "
        "only one of the two says something, it acts together with another difference."
    ),
    cost=(
        "78 trainings of 150 epochs on 8x8 images, with common beginnings trained once: about 35 minutes on one busy CPU core "
        "(estimated from the 12 ms a step of repr-components). On 10,000 images of CIFAR-10, about 2 hours there: "
        "--dataset cifar10 --total 30ep --set base.task.train_images=10000 --set base.model.pool=true."
    ),
    base=TrialSpec(
        task=TaskSpec(dataset="digits"),
        model=ModelSpec(name="convnet-3"),
        training=TrainingSpec(total=Duration.parse("150ep")),
        method=compose(
            cycles=3,
            s1=Duration.parse("20ep"),
            s2=Duration.parse("10ep"),
            prune_ratio=0.3,
            scope="global",
            exclude_first=False,
        ),
    ),
    sections=(
        Arms(
            name="controls",
            design=named(
                Arm(name="standard", changes={"method": "standard"}),
                Arm(name="random-drop", changes={"method.criterion": "random"}),
                Arm(name="random-drop-released", changes={**RELEASED, "method.criterion": "random"}),
            ),
            seeds=SEEDS,
        ),
        Arms(
            name="towards-released",
            design=OneAtATime(
                arm=Arm(name="paper", against=("standard", "random-drop")), factors=TOWARDS_RELEASED
            ),
            seeds=SEEDS,
        ),
        Arms(
            name="towards-described",
            design=OneAtATime(
                arm=Arm(name="released", against=("paper", "standard", "random-drop-released")),
                factors=TOWARDS_DESCRIBED,
            ),
            seeds=SEEDS,
        ),
    ),
    rules=(
        Rule(
            arm="released",
            control="paper",
            helps="What was released does better than what is described: the paper's numbers may be the code's.",
            otherwise="What was released is not shown to do better than what is described.",
        ),
        Rule(
            arm="paper",
            helps="The method as described lowers the error here.",
            otherwise="The method as described is not shown to lower the error here.",
        ),
        Rule(
            arm="released",
            helps="The method as released lowers the error here.",
            otherwise="The method as released is not shown to lower the error here.",
        ),
        Rule(
            arm="paper",
            control="random-drop",
            helps="The ranking that is described is part of what helps, or makes up for harm.",
            otherwise="The ranking that is described is not shown to do better than chance.",
        ),
        Rule(
            arm="released",
            control="random-drop-released",
            helps="The ranking that was released is part of what helps, or makes up for harm.",
            otherwise="The ranking that was released is not shown to do better than chance.",
        ),
        *(_alone(name, "paper", "released") for name in DIFFERENCES),
        *(_alone(name, "released", "described") for name in DIFFERENCES),
    ),
)
