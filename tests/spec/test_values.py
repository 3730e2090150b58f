"""The rules of tasks, networks, training, methods and trials: every option, every limit from both sides."""

from __future__ import annotations

from typing import Any

import pytest

from reprtune.errors import SpecError
from reprtune.spec import catalog
from reprtune.spec.edit import changed
from reprtune.spec.levels import level
from reprtune.spec.presets import DSD
from reprtune.spec.trial import TrialSpec

OPTIONS: dict[str, list[str]] = {
    "task.augment": [
        "none", "crop", "flip", "crop+flip", "cutout", "crop+cutout", "flip+cutout", "crop+flip+cutout",
    ],
    "task.dataset": [
        "digits", "fashion-mnist", "cifar10", "mnist", "cifar100", "svhn", "imagefolder:pictures",
        "python:mine.data:load", "npz:x.npz",
    ],
    "model.name": [
        "convnet-3", "convnet-8", "resnet-20", "resnet-56", "vgg11-bn", "vgg13-bn", "vgg16-bn",
        "densenet-40-12", "torchvision:resnet50", "python:mine.nets:build",
    ],
    "training.optimizer": ["sgd", "adam", "adamw"],
    "training.bias_correction": ["tensor", "filter"],
    "training.lr_schedule": ["constant", "step", "cosine", "one-cycle", "cyclic"],
    "training.precision": ["fp32", "tf32", "bf16", "fp16"],
    "method.criterion": [
        "ortho", "ortho-dim", "ortho-released", "l1", "l2", "bn-gamma", "fpgm", "activation", "apoz",
        "taylor", "taylor-fo", "hessian", "oracle", "magnitude", "random",
    ],
    "method.schedule": ["cycles", "every", "generations", "phase"],
    "method.selection": ["share", "weights", "clusters", "dormant", "everything", "fixed", "later"],
    "method.tau_of": ["mean", "max"],
    "method.scope": ["global", "layer"],
    "method.cluster_by": ["k-means", "even", "imbalanced"],
    "method.drop": ["exact", "weights-only", "single-weights", "tied"],
    "method.transforms": ["identity", "symmetries", "symmetries+sign", "shifts", "affine", "all"],
    "method.placement": ["weights", "features"],
    "method.restore": ["orthogonal", "as-released", "random", "zero", "old", "crossover", "untied"],
    "method.restore_scale": ["own", "survivors", "old", "clip"],
    "method.restore_bn": ["reset", "keep", "recalibrate"],
    "method.restore_optimizer": ["reset", "keep"],
    "method.restore_next": ["keep", "zero", "small", "random"],
    "method.restore_lr": ["continue", "restart", "scaled"],
    "method.exchange": ["average", "ring", "internal", "noise"],
    "method.blend_by": ["entropy", "l1", "constant"],
    "method.blend_level": ["layer", "filter"],
    "method.member_lr": ["same", "spread"],
    "method.gradient": ["centripetal"],
    "method.losses": ["teacher", "distillation", "overlap", "soft-orthogonality", "srip", "ortho-reg"],
    "method.teachers": ["members", "generation"],
    "method.distill_labels": ["whole", "rest"],
    "method.ending": ["trim", "keep-tied"],
}  # fmt: skip
RING = {"method": "grafting"}
C_SGD = {"method": "c-sgd"}
DORMANT = {"method.criterion": "activation", "method.selection": "dormant"}
TAUGHT = {"method.losses": "distillation", "method.n_members": 2}
FROM_FOLDER = {"method.losses": "teacher", "method.teacher_folder": "folder"}
TIED = {"method": "transforms"}
KEPT_TIED = {**TIED, "method.schedule": "phase", "method.restore": None, "method.ending": "keep-tied"}
SPARSE = {f"method.{place}": part.name for place, part in DSD.parts() if place != "schedule"}
BESIDE: dict[str, dict[str, Any]] = {  # what a value needs to have an effect
    "method.schedule=generations": {"method.drop": None},
    "method.selection=clusters": C_SGD,
    "method.selection=dormant": {"method.criterion": "activation"},
    "method.selection=everything": {"method": "ban"},
    "method.selection=fixed": {"method.criterion": None},
    "method.selection=later": {"method": "ban"},
    "method.tau": DORMANT,
    "method.tau_of": DORMANT,
    "method.keep_layers": {"method": "later-layer-forgetting"},
    "method.cross_share": {"method.restore": "crossover"},
    "method.schedule=phase": {"method.restore": None, "method.restore_rules": None},
    "method.exchange": {"method": "averaging"},
    "method.own_share": {"method": "averaging"},
    "method.blend_by": RING,
    "method.blend_level": RING,
    "method.blend_a": RING,
    "method.blend_c": RING,
    "method.member_lr": {"method.n_members": 2},
    "method.weak_below": {"method": "grafting-internal"},
    "method.noise_base": {"method": "grafting-internal", "method.exchange": "noise"},
    "method.losses": {"method.n_members": 2},
    "method.teachers": TAUGHT,
    "method.teachers=generation": {"method": "ban"},
    "method.temperature": TAUGHT,
    "method.losses=teacher": FROM_FOLDER,
    "method.distill_weight": TAUGHT,
    "method.distill_labels": TAUGHT,
    "method.teacher_weight": FROM_FOLDER,
    "method.teacher_temperature": FROM_FOLDER,
    "method.ortho_penalty": {"method.losses": "overlap"},
    "method.so_penalty": {"method.losses": "soft-orthogonality"},
    "method.srip_penalty": {"method.losses": "srip"},
    "method.srip_until": {"method.losses": "srip"},
    "method.orthoreg_penalty": {"method.losses": "ortho-reg"},
    "method.orthoreg_locality": {"method.losses": "ortho-reg"},
    "method.gradient": C_SGD,
    "method.ending": C_SGD,
    "method.pull": C_SGD,
    "method.period": {"method.schedule": "every"},
    "method.until": {"method.schedule": "every"},
    "method.generations": {"method": "ban"},
    "method.start": C_SGD,
    "method.until_distance": C_SGD,
    "method.weight_ratio": SPARSE,
    "method.criterion=magnitude": SPARSE,
    "method.selection=weights": SPARSE,
    "method.drop=single-weights": SPARSE,
    "method.drop=tied": {"method.restore": "untied"},
    "method.restore=untied": {"method.drop": "tied"},
    "method.transforms": TIED,
    "method.fit_scale": TIED,
    "method.placement": KEPT_TIED,
    "method.ending=keep-tied": KEPT_TIED,
    "method.kept_share": C_SGD,
    "method.cluster_by": C_SGD,
    "method.fixed_share": {"method": "knowledge-evolution"},
    "training.bias_correction": {"training.optimizer": "adam"},
}
MISSPELT: dict[str, tuple[str, str, str]] = {
    "task.augment": ("crop-flip", "There is no task.augment 'crop-flip'.", "crop+flip"),
    "task.dataset": ("cifar-10", "There is no dataset 'cifar-10'.", "cifar10"),
    "model.name": ("resnet20", "There is no model 'resnet20'.", "resnet-20"),
    "training.optimizer": ("adamax", "There is no training.optimizer 'adamax'.", "adamw|adam"),
    "training.bias_correction": (
        "filters", "There is no training.bias_correction 'filters'.", "filter"
    ),
    "training.lr_schedule": ("cos", "There is no training.lr_schedule 'cos'.", "cosine"),
    "training.precision": ("bf32", "There is no training.precision 'bf32'.", "bf16|fp32|tf32"),
    "method.criterion": ("orth", "There is no criterion 'orth'.", "ortho"),
    "method.schedule": ("cycle", "There is no schedule 'cycle'.", "cycles"),
    "method.selection": ("shares", "There is no selection 'shares'.", "share"),
    "method.tau_of": ("maximum", "There is no method.tau_of 'maximum'.", "max"),
    "method.scope": ("layers", "There is no method.scope 'layers'.", "layer"),
    "method.cluster_by": ("kmeans", "There is no method.cluster_by 'kmeans'.", "k-means"),
    "method.drop": ("weight-only", "There is no drop 'weight-only'.", "weights-only"),
    "method.transforms": ("symmetry", "There is no method.transforms 'symmetry'.", "symmetries"),
    "method.placement": ("feature", "There is no method.placement 'feature'.", "features"),
    "method.restore": ("ortogonal", "There is no restore rule 'ortogonal'.", "orthogonal"),
    "method.restore_scale": ("survivor", "There is no method.restore_scale 'survivor'.", "survivors"),
    "method.restore_bn": ("calibrate", "There is no method.restore_bn 'calibrate'.", "recalibrate"),
    "method.restore_optimizer": ("rest", "There is no method.restore_optimizer 'rest'.", "reset"),
    "method.restore_next": ("zeros", "There is no method.restore_next 'zeros'.", "zero"),
    "method.restore_lr": ("restarts", "There is no method.restore_lr 'restarts'.", "restart"),
    "method.exchange": ("rings", "There is no exchange 'rings'.", "ring"),
    "method.blend_by": ("entropie", "There is no method.blend_by 'entropie'.", "entropy"),
    "method.blend_level": ("layers", "There is no method.blend_level 'layers'.", "layer"),
    "method.member_lr": ("spred", "There is no method.member_lr 'spred'.", "spread"),
    "method.gradient": ("centrifugal", "There is no gradient rule 'centrifugal'.", "centripetal"),
    "method.losses": ("distil", "There is no loss 'distil'.", "distillation"),
    "method.distill_labels": ("whol", "There is no method.distill_labels 'whol'.", "whole"),
    "method.teachers": ("member", "There is no method.teachers 'member'.", "members"),
    "method.ending": ("trimmed", "There is no ending 'trimmed'.", "trim"),
}  # fmt: skip


@pytest.mark.parametrize(("path", "value"), [(p, v) for p, values in OPTIONS.items() for v in values])
def test_every_option(path: str, value: str) -> None:
    """Every value of every text option is accepted and kept as written."""
    beside = BESIDE.get(f"{path}={value}", BESIDE.get(path, {}))
    assert level(changed(TrialSpec(), {**beside, path: value}), path) == value


@pytest.mark.parametrize("path", OPTIONS)
def test_wrong_option(path: str) -> None:
    """A misspelt option is refused and the nearest one proposed."""
    value, message, near = MISSPELT[path]
    with pytest.raises(SpecError) as caught:
        changed(TrialSpec(), {**BESIDE.get(path, {}), path: value})
    assert caught.value.message == message
    assert any(str(caught.value.hint).startswith(f"Did you mean {word}?") for word in near.split("|"))


@pytest.mark.parametrize(
    ("path", "good", "bad", "rule"),
    [
        ("task.score_frac", [0.001, 0.5], [0, 0.51, -1], "task.score_frac must be above 0 and at most 0.5"),
        ("task.val_frac", [0.001, 0.5], [0, 0.51, -1], "task.val_frac must be above 0 and at most 0.5"),
        ("task.train_images", [None, 1], [0, -5], "task.train_images must be at least 1"),
        ("task.cutout", [1, 16], [0, -1], "task.cutout must be at least 1"),
        ("model.width", [None, 2, 512], [1, 0], "model.width must be at least 2"),
        ("training.total", ["1it", "0.5ep"], ["0ep", "0it"], "training.total must be above 0"),
        ("training.segment", ["1it"], ["0ep"], "training.segment must be above 0"),
        ("training.batch_size", [2], [1, 0], "training.batch_size must be at least 2"),
        ("training.lr", [1e-9, 10], [0, -0.1], "training.lr must be above 0"),
        ("training.momentum", [0, 0.999], [-0.1, 1], "training.momentum must be at least 0 and below 1"),
        ("training.weight_decay", [0, 1], [-1e-9], "training.weight_decay must be at least 0"),
        ("training.lr_gamma", [0, 0.5, 1], [-0.1, 1.1],
         "training.lr_gamma must be between 0 and 1 inclusive"),
        ("training.lr_milestones", [[], [0.5], [0.1, 0.9]], [[0.0], [1.0], [0.9, 0.1], [0.5, 0.5]],
         "training.lr_milestones must be increasing shares of the total, each between 0 and 1 exclusive"),
        ("training.lr_warmup", [0.01, 0.99], [0, 1],
         "training.lr_warmup must be a share between 0 and 1 exclusive"),
        ("training.lr_period", ["1it", "9ep"], ["0ep"], "training.lr_period must be above 0"),
        ("training.label_smoothing", [0, 0.99], [-0.1, 1],
         "training.label_smoothing must be at least 0 and below 1"),
        ("method.layer_cap", [0.01, 1], [0, 1.1], "method.layer_cap must be above 0 and at most 1"),
        ("training.threads", [1, 64], [0], "training.threads must be at least 1"),
        ("method.cycles", [0, 9], [-1], "method.cycles must be at least 1"),
        ("method.s1", ["1it"], ["0ep"], "method.s1 must be above 0"),
        ("method.s2", ["1it", "0it", "0ep"], [], ""),
        ("method.period", ["1it"], ["0ep"], "method.period must be above 0"),
        ("method.until", [0.01, 1], [0, 1.1], "method.until must be above 0 and at most 1"),
        ("method.generations", [1, 9], [0], "method.generations must be at least 1"),
        ("method.start", [0, 0.99], [-0.1, 1], "method.start must be at least 0 and below 1"),
        ("method.until_distance", [None, 1e-9], [0, -1], "method.until_distance must be above 0"),
        ("method.prune_ratio", [0.01, 0.99], [0, 1, -0.3, 30],
         "method.prune_ratio must be above 0 and below 1"),
        ("method.weight_ratio", [0.01, 0.99], [0, 1], "method.weight_ratio must be above 0 and below 1"),
        ("method.restore_lr_scale", [0.001, 1, 2], [0, -0.1], "method.restore_lr_scale must be above 0"),
        ("method.kept_share", [0.01, 1], [0, 1.1], "method.kept_share must be above 0 and at most 1"),
        ("method.fixed_share", [0, 1], [-0.1, 1.1], "method.fixed_share must be between 0 and 1 inclusive"),
        ("method.keep_layers", [0, 1], [-0.1, 1.1], "method.keep_layers must be between 0 and 1 inclusive"),
        ("method.tau", [0, 1], [-0.1, 1.1], "method.tau must be between 0 and 1 inclusive"),
        ("method.cross_share", [0, 1], [-0.1, 1.1], "method.cross_share must be between 0 and 1 inclusive"),
        ("method.own_share", [0, 1], [-0.1, 1.1], "method.own_share must be between 0 and 1 inclusive"),
        ("method.blend_a", [0, 1], [-0.1, 1.1], "method.blend_a must be between 0 and 1 inclusive"),
        ("method.blend_c", [0, 1000], [-1], "method.blend_c must be at least 0"),
        ("method.weak_below", [0, 100], [-0.1], "method.weak_below must be at least 0"),
        ("method.noise_base", [0, 0.999], [-0.1, 1], "method.noise_base must be at least 0 and below 1"),
        ("method.pull", [0, 1], [-1], "method.pull must be at least 0"),
        ("method.temperature", [0.1, 20], [0, -1], "method.temperature must be above 0"),
        ("method.distill_weight", [0, 5], [-0.1], "method.distill_weight must be at least 0"),
        ("method.teacher_weight", [0.01, 1], [0, 1.1], "method.teacher_weight must be above 0 and at most 1"),
        ("method.teacher_temperature", [0.1, 20], [0, -1], "method.teacher_temperature must be above 0"),
        ("method.ortho_penalty", [0, 1], [-1e-9], "method.ortho_penalty must be at least 0"),
        ("method.so_penalty", [0, 1], [-1e-9], "method.so_penalty must be at least 0"),
        ("method.srip_penalty", [0, 1], [-1e-9], "method.srip_penalty must be at least 0"),
        ("method.srip_until", ["0ep", "5it"], [], ""),
        ("method.orthoreg_penalty", [0, 1], [-1e-9], "method.orthoreg_penalty must be at least 0"),
        ("method.orthoreg_locality", [0.1, 20], [0, -1], "method.orthoreg_locality must be above 0"),
        ("method.n_members", [1, 2, 16], [0, -1], "method.n_members must be at least 2"),
        ("method.n_members", [16], [17], "method.n_members must be at most 16"),
        ("seed", [0, 2**40], [-1], "seed must be at least 0"),
    ],
)  # fmt: skip
def test_limits(path: str, good: list[Any], bad: list[Any], rule: str) -> None:
    """Values at the limit pass; values beyond are refused with the field, the rule and the value."""
    for value in good:
        changed(TrialSpec(), {**BESIDE.get(path, {}), path: value})
    for value in bad:
        with pytest.raises(SpecError) as caught:
            changed(TrialSpec(), {**BESIDE.get(path, {}), path: value})
        assert caught.value.message.startswith(f"{rule}, but got ")
        shown = caught.value.message.removeprefix(f"{rule}, but got ").removesuffix(".")
        assert shown.replace("'", "") in (str(value), str(float(value)) if isinstance(value, int) else "")


@pytest.mark.parametrize(("field", "value"), [("batch_norm", False), ("pool", True), ("head", "flatten")])
def test_resnet_has_no_convnet_options(field: str, value: bool) -> None:
    """An option the network does not have is refused, not ignored."""
    with pytest.raises(SpecError) as caught:
        changed(TrialSpec(), {"model.name": "resnet-20", f"model.{field}": value})
    assert caught.value.message == (
        f"model.{field} cannot be {value} for resnet-20, whose options are width."
    )
    assert caught.value.hint == f"Leave model.{field} out."


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training.nesterov": True, "training.optimizer": "adam"}, "training.nesterov = True does nothing with adam"),
        ({"training.momentum": 0.5, "training.optimizer": "adamw"}, "training.momentum = 0.5 does nothing with adamw"),
        ({"method.teacher_weight": 0.9}, "method.teacher_weight does nothing: the method has no loss."),
        ({"method.losses": "overlap", "method.teacher_weight": 0.9},
         "method.losses[0].teacher_weight is no option of the loss overlap, which has ortho_penalty."),
        ({"training.beta1": 0.8}, "training.beta1 = 0.8 does nothing with sgd"),
        ({"training.beta2": 0.9}, "training.beta2 = 0.9 does nothing with sgd"),
        ({"training.eps": 1e-6}, "training.eps = 1e-06 does nothing with sgd"),
        ({"training.bias_correction": "filter"}, "training.bias_correction = filter does nothing with sgd"),
        ({"training.nesterov": True, "training.momentum": 0}, "training.nesterov needs training.momentum above 0"),
        ({**FROM_FOLDER, "method.teacher_weight": 1, "training.label_smoothing": 0.1},
         "training.label_smoothing = 0.1 does nothing: method.losses leave the labels out of the loss."),
        ({"method.restore": "zero", "method.restore_scale": "old"},
         "method.restore.restore_scale is no option of the restore rule zero, which has none."),
        ({**RING, "method.blend_level": "filter", "method.blend_by": "l1"},
         "method.blend_by = l1 does nothing with method.blend_level = filter"),
        ({**RING, "method.blend_level": "filter", "method.blend_a": 0.3},
         "method.blend_a = 0.3 does nothing with method.blend_level = filter"),
        ({**RING, "method.blend_level": "filter", "method.blend_c": 5},
         "method.blend_c = 5.0 does nothing with method.blend_level = filter"),
        ({**RING, "method.blend_level": "filter", "method.blend_rounded": True},
         "method.blend_rounded = True does nothing with method.blend_level = filter"),
        ({"task.image_size": 32}, "task.image_size cannot be set for digits"),
        ({"task.dataset": "imagefolder:x", "task.image_size": 1}, "task.image_size must be at least 2, but got 1."),
        ({"model.name": "vgg16-bn", "model.width": 8}, "model.width cannot be 8 for vgg16-bn, which has no options."),
    ],
)  # fmt: skip
def test_options_without_an_effect(changes: dict[str, Any], message: str) -> None:
    """An option that would do nothing is refused, not ignored."""
    with pytest.raises(SpecError) as caught:
        changed(TrialSpec(), changes)
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("cycles", "s1", "s2", "total", "steps_per_epoch", "excess"),
    [
        (3, "8ep", "4ep", "36ep", 17, 0),
        (3, "8ep", "4ep", "40ep", 17, -68),
        (3, "8ep", "4ep", "35ep", 17, 17),
        (2, "10it", "5it", "1ep", 30, 0),
        (2, "10it", "5it", "1ep", 29, 1),
        (1, "0.5ep", "0.5ep", "1ep", 3, 1),  # 1.5 steps round to 2, twice
        (0, "99ep", "99ep", "1ep", 17, -17),
    ],
)
def test_excess_steps(cycles: int, s1: str, s2: str, total: str, steps_per_epoch: int, excess: int) -> None:
    """cycles x (S1 + S2) - total, in steps; without cycles there is nothing to fit."""
    fields = {"method.cycles": cycles, "method.s1": s1, "method.s2": s2, "training.total": total}
    trial = changed(TrialSpec(), fields)
    assert trial.excess_steps(steps_per_epoch) == excess
    if excess <= 0:
        trial.check_fits(steps_per_epoch)
        return
    with pytest.raises(SpecError) as caught:
        trial.check_fits(steps_per_epoch)
    assert caught.value.message == (
        f"{cycles} cycles of {s1} + {s2} must fit training.total = {total}, but are {excess} steps too long "
        f"({steps_per_epoch} steps per epoch)."
    )
    assert "Raise training.total" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("period", "until", "total", "excess"),
    [
        ("2ep", 1.0, "2ep", 0),
        ("2ep", 1.0, "1ep", 17),
        ("17it", 0.5, "2ep", 0),
        ("18it", 0.5, "2ep", 2),
        ("21it", 0.7, "30it", 0),  # 21 / 0.7 is a little more than 30 in floating point
    ],
)
def test_a_period_fits_the_share_of_the_total_that_it_has(
    period: str, until: float, total: str, excess: int
) -> None:
    """Else nothing would ever happen: period / until - total, in steps."""
    fields = {"method": "sfp", "method.period": period, "method.until": until, "training.total": total}
    trial = changed(TrialSpec(), fields)
    assert max(0, trial.excess_steps(17)) == excess
    if excess == 0:
        trial.check_fits(17)
        return
    with pytest.raises(SpecError) as caught:
        trial.check_fits(17)
    assert caught.value.message == (
        f"Periods of {period} must fit training.total = {total}, but are {excess} steps too long "
        "(17 steps per epoch)."
    )
    assert caught.value.hint == "Raise training.total, or lower method.period."


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"training.total": "0.1ep", "method": "standard"}, "training.total"),
        ({"method.s1": "0.1ep"}, "method.s1"),
        ({"method.s2": "0.1ep"}, "method.s2"),
        ({"method": "sfp", "method.period": "0.1ep"}, "method.period"),
        ({"method.s2": "0ep"}, None),
    ],
)
def test_lengths_are_at_least_one_step(changes: dict[str, Any], wrong: str | None) -> None:
    """A tenth of an epoch of three steps is none; S2 may be nothing when it says so."""
    trial = changed(TrialSpec(), changes)
    if wrong is None:
        trial.check_fits(3)
        return
    with pytest.raises(SpecError) as caught:
        trial.check_fits(3)
    assert (
        caught.value.message == f"{wrong} must be at least one step, but 0.1ep is none (3 steps per epoch)."
    )


def test_options_are_complete() -> None:
    """The tables above visit every entry of the catalog."""
    for kind, place in catalog.KINDS.items():
        assert set(OPTIONS[f"method.{place}"]) == set(catalog.names(kind))
    visited = {catalog.find("datasets", name).name for name in OPTIONS["task.dataset"]}
    assert visited == {entry.name for entry in catalog.CATALOG["datasets"]}
    visited = {catalog.find("models", name).name for name in OPTIONS["model.name"]}
    assert visited == {entry.name for entry in catalog.CATALOG["models"]}
