"""A study of trials that take a fifth of a second, for tests of the machinery; also `study create` takes it."""

from __future__ import annotations

from reprtune.spec.duration import Duration
from reprtune.spec.presets import compose
from reprtune.spec.stop_rules import NoStop
from reprtune.spec.study import (
    Arm,
    Arms,
    Choice,
    DurationRange,
    FloatRange,
    IntRange,
    Search,
    StudySpec,
    named,
)
from reprtune.spec.task import ModelSpec, TaskSpec
from reprtune.spec.training import TrainingSpec
from reprtune.spec.trial import TrialSpec

# 128 images in batches of 64: 2 steps per epoch, 8 steps per trial.
STUDY = StudySpec(
    name="tiny",
    question="Does the machinery do each slot once?",
    decision="If not, it is broken.",
    cost="seconds",
    base=TrialSpec(
        task=TaskSpec(dataset="digits", train_images=128),
        model=ModelSpec(name="convnet-2", width=2),
        training=TrainingSpec(total=Duration.parse("4ep")),
        method=compose(cycles=1, s1=Duration.parse("1ep"), s2=Duration.parse("1ep"), prune_ratio=0.5),
    ),
    sections=(
        Arms(
            name="controls",
            design=named(Arm(name="standard", changes={"method": "standard"}), Arm(name="base")),
            seeds=(0, 1),
        ),
        Search(
            space={
                "training.lr": FloatRange(low=0.001, high=0.1, log=True),
                "method.s1": DurationRange(low=Duration.parse("1ep"), high=Duration.parse("3ep")),
                "method.cycles": IntRange(low=1, high=2),
                "method.criterion": Choice(options=("ortho", "l2", "random")),
            },
            stop=NoStop(),
            slots=4,
        ),
    ),
)
