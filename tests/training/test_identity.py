"""What is in the name of a state, and what is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reprtune.spec.levels import levels
from reprtune.training.chain import identity
from reprtune.training.chain.chain import Chain
from reprtune.training.parts.schedules import Event
from reprtune.training.platform import sources
from tests.training.tiny import LOADED_DATA, SPEC, names, spec

# SPEC: S1 = S2 = 1 epoch, so names[1] is the state after epoch 1, names[2] the drop, names[3] epoch 2 and so on.
CHANGES_ALL = {
    "seed": 1,
    "task.train_images": 120,
    "task.split_seed": 1,
    "task.val_frac": 0.3,
    "task.score_frac": 0.06,
    "task.augment": "crop",
    "task.label_noise": 0.2,
    "model.name": "convnet-2",
    "model.width": 7,
    "model.batch_norm": False,
    "model.pool": True,
    "model.head": "flatten",
    "training.batch_size": 15,
    "training.lr": 0.06,
    "training.momentum": 0.8,
    "training.weight_decay": 0.001,
    "training.precision": "bf16",
    "training.threads": 2,
    "training.segment": "4it",
    "task.cutout": 3,
    "training.optimizer": "adam",
    "training.nesterov": True,
    "training.beta1": 0.8,
    "training.beta2": 0.99,
    "training.eps": 1e-6,
    "training.bias_correction": "filter",
    "training.label_smoothing": 0.1,
}
ADAM = {"training.optimizer": "adam"}
DISTILLED = {"method": "ensemble", "method.losses": "distillation"}
NEEDS = {  # what a field must stand beside to have an effect
    "task.cutout": {"task.augment": "cutout", "task.cutout": 2},
    "training.beta1": ADAM,
    "training.beta2": ADAM,
    "training.eps": ADAM,
    "training.bias_correction": ADAM,
}
CHANGES_FROM_THE_DROP = {
    "method.criterion": "l2",
    "method.prune_ratio": 0.5,
    "method.scope": "layer",
    "method.exclude_first": False,
    "method.exclude_shortcuts": True,
    "method.exclude": ["conv2"],
    "method.layer_cap": 0.4,
    "method.drop": "weights-only",
    "method.cycles": 0,
    "method.s1": "2ep",
}


def common(one: list[str], other: list[str]) -> int:
    """How many names from the first on are the same."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


@pytest.mark.parametrize("path", CHANGES_ALL)
def test_fields_that_change_every_state(path: str) -> None:
    """No state after the first segment is shared with a trial in which this field differs."""
    base = NEEDS.get(path, {})
    other = names(spec(**{**base, path: CHANGES_ALL[path]}))
    assert not set(names(spec(**base))[1:]) & set(other)


CHANGES_FROM_THE_RESTORE = {
    "method.restore": "random",
    "method.restore_scale": "old",
    "method.restore_bn": "keep",
    "method.restore_optimizer": "keep",
    "method.restore_next": "zero",
    "method.s2": "2ep",
}


@pytest.mark.parametrize("path", CHANGES_FROM_THE_RESTORE)
def test_how_filters_return_counts_from_the_restore_on(path: str) -> None:
    """What is before the first restore is shared; nothing after it."""
    other = names(spec(**{path: CHANGES_FROM_THE_RESTORE[path]}))
    assert common(names(SPEC), other) == 4
    assert not set(names(SPEC)[4:]) & set(other)


@pytest.mark.parametrize("path", CHANGES_FROM_THE_DROP)
def test_the_method_counts_from_the_first_drop_on(path: str) -> None:
    """What is before the first drop is shared; nothing after it."""
    other = names(spec(**{path: CHANGES_FROM_THE_DROP[path]}))
    assert common(names(SPEC), other) == 2
    assert not set(names(SPEC)[2:]) & set(other)


def test_every_field_of_a_trial_is_visited() -> None:
    """A field, or an option of a part of RePr, that is added must be put in one of these tables."""
    elsewhere = {
        "task.dataset", "training.total", "training.lr_schedule", "training.lr_milestones",
        "training.lr_gamma", "training.lr_warmup", "training.lr_period", "method.restore_lr",
        "method.restore_lr_scale", "task.image_size",
        "method.schedule", "method.selection", "model.weights",
    }  # fmt: skip
    assert set(levels(SPEC)) == {*CHANGES_ALL, *CHANGES_FROM_THE_DROP, *CHANGES_FROM_THE_RESTORE} | elsewhere


def test_longer_phases_continue_shorter_ones() -> None:
    """S1 of 3 epochs shares its first 2 with S1 of 2; S2 of 2 shares drop and first epoch with S2 of 1."""
    two, three = names(spec(method__s1="2ep")), names(spec(method__s1="3ep", method__cycles=1))
    assert common(two, three) == 3
    one, two = names(SPEC), names(spec(method__s2="2ep"))
    assert common(one, two) == 4


def test_the_total_is_in_no_name() -> None:
    """With a constant learning rate a longer trial begins with all states of the shorter one."""
    short, long = names(SPEC), names(spec(training__total="9ep"))
    assert long[: len(short)] == short and len(long) > len(short)


@pytest.mark.parametrize("ratio", [0.2, 0.5])
def test_ratios_that_drop_the_same_number_are_the_same(ratio: float) -> None:
    """Of 12 filters: 0.3 is 4 (3.6), as is 0.35 (4.2); 0.2 is 2 and 0.5 is 6."""
    assert names(spec(method__prune_ratio=0.3)) == names(spec(method__prune_ratio=0.35))
    assert common(names(spec(method__prune_ratio=0.3)), names(spec(method__prune_ratio=ratio))) == 2


@pytest.mark.parametrize(
    ("one", "other", "epochs"),
    [
        ({"training__lr_schedule": "constant"}, {"training__lr_schedule": "step"}, 2),
        ({}, {"training__lr_milestones": [0.7]}, 2),
        ({}, {"training__lr_gamma": 0.2}, 2),
        ({}, {"training__total": "12ep"}, 2),
        (
            {"training__lr_schedule": "cosine"},
            {"training__lr_schedule": "cosine", "training__total": "7ep"},
            0,
        ),
    ],
)
def test_learning_rates_count_only_so_far(one: dict[str, Any], other: dict[str, Any], epochs: int) -> None:
    """By default times 0.1 at 0.4 of 6 epochs, in the third: two whole epochs are shared; a cosine is
    another from its second step."""
    standard = {"method__cycles": 0, "training__lr_schedule": "step"}
    assert common(names(spec(**{**standard, **one})), names(spec(**{**standard, **other}))) == epochs + 1


def test_the_same_trial_has_the_same_names() -> None:
    """All of them differ from each other, and there is one before and one after every item of the plan."""
    run = Chain(SPEC, LOADED_DATA)
    assert run.names == names(SPEC)
    assert len(set(run.names)) == len(run.names) == len(run.items) + 1
    assert sum(isinstance(item, Event) for item in run.items) == 4


@pytest.mark.parametrize("name", ["device", "torch"])
def test_another_machine_makes_other_states(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kind of device and version of torch are in the first name."""
    before = identity.root_name(SPEC, "data", "cpu")
    if name == "torch":
        monkeypatch.setattr(identity.torch, "__version__", "9.9")
    device = "cuda" if name == "device" else "cpu"
    assert identity.root_name(SPEC, "data", device) != before
    assert identity.root_name(SPEC, "other data", "cpu") != before


@pytest.fixture
def edited(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """`edited("parts.selections.share")`: that module of `reprtune.training` says something else."""
    digest_of = sources.digest_of

    def edit(module: str) -> None:
        there = sources.PACKAGE_FOLDER / f"{module.replace('.', '/')}.py"
        assert there.is_file()
        monkeypatch.setattr(sources, "digest_of", lambda path: "other" if path == there else digest_of(path))
        sources.source_digest.cache_clear()

    yield edit
    monkeypatch.undo()
    sources.source_digest.cache_clear()


@pytest.mark.parametrize(
    ("module", "first"),
    [
        ("descent.step", 0), ("surgery.subnetwork", 0), ("surgery.filters", 0), ("descent.losses", 0),
        ("data.batches", 0), ("descent.optimizers", 0), ("models.convnet", 0), ("models.layers", 0),
        ("chain.member", 0), ("chain.evaluation", 0), ("chain.trial_networks", 0),
        ("parts.selections.share", 2), ("parts.criteria.ortho", 2), ("chain.dropping", 2),
        ("parts.criteria.requirements", 2), ("parts.drops.exact", 2), ("parts.drops.filters", 0),
        ("parts.drops.weights_only", None), ("parts.drops.single_weights", None),
        ("parts.selections.weights", None), ("parts.criteria.magnitude", None),
        ("chain.restoring", 4), ("parts.restores.orthogonal", 4), ("parts.restores.lengths", 4),
        ("parts.restore_rules", 4),
        ("parts.criteria.norm", None), ("parts.criteria.oracle", None), ("parts.restores.simple", None),
        ("models.resnet", None), ("parts.exchanges.average", None), ("chain.exchanging", None),
        ("chain.plan", None), ("chain.chain", None), ("export.network", None), ("chain.identity", None),
        ("chain.train_one", None), ("platform.health", None), ("chain.together", None),
        ("parts.losses.overlap", None), ("parts.losses.distillation", None), ("parts.losses.teacher", None),
    ],
)  # fmt: skip
def test_a_changed_line_renames_what_it_can_change(
    edited: Callable[[str], None], module: str, first: int | None
) -> None:
    """From the first step, the first drop (2) or the first restore (4) on, or nothing at all."""
    before = names(SPEC)
    edited(module)
    after = names(SPEC)
    assert common(before, after) == (len(before) if first is None else first)
    assert first is None or not set(before[first:]) & set(after)


def test_how_many_networks_there_are_is_in_every_name() -> None:
    """Two networks share no state with one or three, nor with two that see the same order."""
    ensemble = {"method": "ensemble"}
    found = [
        set(names(spec(method="standard"))),
        *(set(names(spec(**ensemble, **{"method.n_members": n}))) for n in (2, 3)),
        set(names(spec(**ensemble, **{"method.same_order": True}))),
    ]
    assert len(set.union(*found)) == sum(map(len, found))


def test_an_exchange_is_named_by_its_rule(edited: Callable[[str], None]) -> None:
    """A trial that averages is renamed from the first exchange on; one without is not."""
    averaging, ensemble = spec(method="averaging"), spec(method="ensemble")
    before, others = names(averaging), names(ensemble)
    assert common(before, others) == 2, "they share all before the first exchange"
    edited("parts.exchanges.average")
    assert common(before, names(averaging)) == 2 and names(ensemble) == others


@pytest.mark.parametrize("module", ["chain.together", "parts.losses.distillation", "parts.losses.softened"])
def test_a_loss_names_every_state(edited: Callable[[str], None], module: str) -> None:
    """By what it does, with its options, from the first step on; trials without it are not renamed."""
    taught, penalised = spec(**{**DISTILLED, "method.temperature": 3}), spec(**{"method.losses": "overlap"})
    before, others = names(taught), names(penalised)
    assert not {*names(spec(**DISTILLED))} & {*before} and not {*names(SPEC)} & {*others}
    assert not {*names(spec(**{"method.losses": "overlap", "method.ortho_penalty": 1}))} & {*others}
    edited(module)
    assert not {*before} & {*names(taught)} and names(penalised) == others
