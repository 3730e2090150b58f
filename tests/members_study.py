"""A study whose search chooses whole methods, one of which trains two networks; `study create` takes it."""

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

METHODS = ("standard", "repr", "averaging")
# 128 images in batches of 64: 2 steps per epoch, 8 steps per network and trial.
STUDY = StudySpec(
    name="methods",
    question="Does any method do better than plain training, at its budget?",
    decision="If not, plain training is enough.",
    cost="seconds",
    base=TrialSpec(
        task=TaskSpec(dataset="digits", train_images=128),
        model=ModelSpec(name="convnet-2", width=4),
        training=TrainingSpec(total=Duration.parse("4ep")),
        method=compose(cycles=1, s1="1ep", s2="1ep", prune_ratio=0.5),
    ),
    sections=(
        Arms(
            name="controls",
            design=named(
                Arm(name="standard", changes={"method": "standard"}),
                Arm(name="averaging", changes={"method": "averaging"}),
                Arm(name="ensemble", changes={"method": "ensemble"}),
            ),
            seeds=(0, 1),
        ),
        Search(
            space={
                "method": Choice(options=METHODS),
                # A whole method comes with lengths of its own, which must fit the total.
                "method.cycles": IntRange(low=1, high=1),
                "method.s1": DurationRange(low=Duration.parse("1ep"), high=Duration.parse("2ep")),
                "method.s2": DurationRange(low=Duration.parse("1ep"), high=Duration.parse("2ep")),
                "method.prune_ratio": FloatRange(low=0.2, high=0.6),
                "method.period": DurationRange(low=Duration.parse("1ep"), high=Duration.parse("2ep")),
            },
            stop=NoStop(),
            slots=8,
        ),
    ),
)
