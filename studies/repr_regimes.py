"""In which regimes does RePr help?

A reproduction reports a gain where a small network overfits (no augmentation, a linear layer on the whole map) and a loss with
augmentation; work on re-initialisation finds gains with few images or false labels, and none beside weight decay. So
every combination of these, each with RePr, standard training and random drop, with the same seeds: 48 regimes. What the
method does is compared in all of them together, by each of their levels, and in each one alone. One regime alone shows
little with five seeds; what depends on what is seen in all of them.

Images and epochs move the number of steps together: of 250 images 60 epochs are a quarter of the steps of 1,000, for all three
methods alike. Crops move an image by up to 4 px, which are half of one here; digits must not be mirrored, and photographs
may: `crop+flip` is one more option then (see `cost`).
"""

from __future__ import annotations

from reprtune.spec.duration import Duration
from reprtune.spec.presets import compose
from reprtune.spec.study import Arms, Factor, FullFactorial, StudySpec
from reprtune.spec.task import ModelSpec, TaskSpec
from reprtune.spec.training import TrainingSpec
from reprtune.spec.trial import TrialSpec

REGIMES = (
    Factor(name="augment", levels={"none": {"task.augment": "none"}, "crop": {"task.augment": "crop"}}),
    Factor(
        name="decay", levels={"0": {"training.weight_decay": 0.0}, "5e-4": {"training.weight_decay": 5e-4}}
    ),
    Factor(
        name="noise",
        levels={
            "0": {"task.label_noise": 0.0},
            "20": {"task.label_noise": 0.2},
            "40": {"task.label_noise": 0.4},
        },
    ),
    Factor(name="images", levels={"few": {"task.train_images": 250}, "more": {"task.train_images": 1000}}),
    Factor(name="head", levels={"flatten": {"model.head": "flatten"}, "average": {"model.head": "average"}}),
)
METHOD = Factor(  # last, so that what is compared is trained one after another
    name="method",
    levels={"repr": {}, "standard": {"method": "standard"}, "random-drop": {"method.criterion": "random"}},
)

STUDY = StudySpec(
    name="repr-regimes",
    question=(
        "In which regimes of augmentation, weight decay, false labels, number of images and head does RePr leave a lower "
        "error than standard training and than random drop, and on which of these does what it does depend?"
    ),
    decision=(
        "A gain over standard training that random drop has too is not the ranking's. A gain that is shown in one regime "
        "alone is to be repeated there with more seeds before it is believed."
    ),
    cost=(
        "720 trainings of 60 epochs on 8x8 images, 3 seconds of 250 and 11 of 1,000, with common beginnings trained once: "
        "70 minutes on one busy CPU core, half of that with two workers (estimated from the 12 ms a step of "
        "repr-components). On CIFAR-10, about 2 hours there: --dataset cifar10 --set base.model.pool=true; with mirrored "
        "images, and with 5,000 images, which take four times as long: --set "
        "regimes.design.factors.augment.levels.crop.task.augment=crop+flip --set "
        "regimes.design.factors.images.levels.more.task.train_images=5000."
    ),
    base=TrialSpec(
        task=TaskSpec(dataset="digits"),
        model=ModelSpec(name="convnet-3"),
        training=TrainingSpec(total=Duration.parse("60ep")),
        method=compose(cycles=2, s1=Duration.parse("12ep"), s2=Duration.parse("6ep")),
    ),
    sections=(
        Arms(
            name="regimes",
            design=FullFactorial(factors=(*REGIMES, METHOD), asked="method"),
            seeds=(0, 1, 2, 3, 4),
        ),
    ),
)
