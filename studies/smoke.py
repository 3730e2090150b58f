"""Does the machinery work here, from `create` to the report? The numbers mean nothing."""

from __future__ import annotations

from reprtune.spec.duration import Duration
from reprtune.spec.presets import compose
from reprtune.spec.stop_rules import Median
from reprtune.spec.study import (
    LEADER,
    Arm,
    Arms,
    Choice,
    DurationRange,
    FloatRange,
    IntRange,
    Rule,
    Search,
    StudySpec,
    named,
)
from reprtune.spec.task import ModelSpec, TaskSpec
from reprtune.spec.training import TrainingSpec
from reprtune.spec.trial import TrialSpec

STUDY = StudySpec(
    name="repr-smoke",
    question="Does every part of a study work on this machine?",
    decision=(
        "If a trial fails, or a page of the report is empty, something is broken here. Only the importance of "
        "parameters is missing: it needs ten complete trials."
    ),
    cost="6 trials and 4 controls of 6 short epochs: about 20 seconds on two CPU cores.",
    base=TrialSpec(
        task=TaskSpec(dataset="digits", train_images=512),
        model=ModelSpec(name="convnet-3", width=8),
        training=TrainingSpec(total=Duration.parse("6ep")),
        method=compose(cycles=2, s1=Duration.parse("1ep"), s2=Duration.parse("1ep")),
    ),
    sections=(
        Arms(
            name="controls",
            design=named(
                Arm(name="standard", changes={"method": "standard"}),
                Arm(name="random-drop", changes={"method.criterion": "random"}),
            ),
            seeds=(0, 1),
        ),
        Search(
            space={
                "method.prune_ratio": FloatRange(low=0.2, high=0.5, step=0.1),
                "method.s1": DurationRange(low=Duration.parse("1ep"), high=Duration.parse("2ep")),
                "method.s2": DurationRange(low=Duration.parse("1ep"), high=Duration.parse("2ep")),
                "method.cycles": IntRange(low=1, high=2),
                "method.criterion": Choice(options=("ortho", "l2", "random")),
            },
            objectives=("val_error", "train_gflops"),
            stop=Median(min_comparable=3),
            slots=6,
        ),
    ),
    rules=(Rule(arm=LEADER, control="standard", helps="With so short trainings that means nothing."),),
)
