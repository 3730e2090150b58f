"""Methods as compositions: which go together, the catalog's own, and how one is made from another."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from reprtune.errors import SpecError
from reprtune.spec import catalog, presets
from reprtune.spec.codec import canonical_json, digest, from_plain, to_plain
from reprtune.spec.duration import Duration
from reprtune.spec.edit import changed
from reprtune.spec.levels import levels
from reprtune.spec.method import MethodSpec
from reprtune.spec.parts.criteria import L2, Magnitude, Ortho, OwnCriterion
from reprtune.spec.parts.criteria import Random as Chance
from reprtune.spec.parts.losses import Distillation, LossTerm, Overlap, OwnLoss, Teacher
from reprtune.spec.parts.members import (
    Average,
    Centripetal,
    Internal,
    Networks,
    Noise,
    OwnExchange,
    OwnGradient,
    Ring,
    Trim,
)
from reprtune.spec.parts.places import PLACES
from reprtune.spec.parts.restores import Old, Orthogonal, OwnRestore, Random, RestoreRules
from reprtune.spec.parts.schedules import Cycles, Every, Generations, Phase
from reprtune.spec.parts.selections import Clusters, Dormant, Everything, Exact, Fixed, Later, Share, Weights
from reprtune.spec.presets import AVERAGING, DSD, ENSEMBLE, LR_RESTART, REPR, STANDARD, compose
from reprtune.spec.trial import TrialSpec

# Every method of the catalog, by the names of its parts and what is not as these have it by default.
RULES_KEPT = {"restore_bn": "keep", "restore_optimizer": "keep"}
SOFT = {"selection": "share", "scope": "layer", "exclude_first": False}
METHODS: dict[str, dict[str, Any]] = {
    "standard": {},
    "repr": {"schedule": "cycles", "criterion": "ortho", "selection": "share", "drop": "exact", "restore": "orthogonal"},
    "lr-restart": {"schedule": "cycles", "s2": "0ep", **RULES_KEPT, "restore_lr": "restart"},
    "averaging": {"schedule": "every", "exchange": "average"},
    "ensemble": {},
    "sfp": {"schedule": "every", "criterion": "l2", **SOFT, "restore": "zero", **RULES_KEPT},
    "dsd": {"schedule": "cycles", "cycles": 1, "criterion": "magnitude", "selection": "weights", "drop": "single-weights",
            "restore": "zero", **RULES_KEPT, "restore_lr": "scaled"},
    "grafting": {"schedule": "every", "exchange": "ring"},
    "grafting-internal": {"schedule": "every", "exchange": "internal"},
    "c-sgd": {"schedule": "phase", "selection": "clusters", "exclude_first": False, "gradient": "centripetal",
              "ending": "trim"},
    "transforms": {"schedule": "cycles", "criterion": "ortho", "selection": "share", "drop": "tied",
                   "restore": "untied"},
    "weight-evolution": {"schedule": "every", "criterion": "l1", "selection": "dormant", "tau": 0.1, "tau_of": "max",
                         "restore": "crossover"},
    "redo": {"schedule": "every", "criterion": "activation", **SOFT, "prune_ratio": 0.05, "restore": "random",
             "restore_next": "zero"},
    "knowledge-evolution": {"schedule": "generations", "selection": "fixed", "restore": "random",
                            "restore_bn": "keep", "restore_next": "random", "restore_lr": "restart"},
    "later-layer-forgetting": {"schedule": "generations", "selection": "later", "restore": "random",
                               "restore_bn": "keep", "restore_lr": "restart"},
    "ban": {"schedule": "generations", "generations": 3, "selection": "everything", "restore": "random",
            "restore_lr": "restart", "losses": "distillation", "teachers": "generation"},
}  # fmt: skip
WITH_RULES = {
    "repr", "lr-restart", "sfp", "dsd", "redo", "knowledge-evolution", "later-layer-forgetting", "ban",
}  # fmt: skip
SEVERAL = {"averaging", "ensemble", "grafting"}  # networks
each_method = pytest.mark.parametrize("name", METHODS)
SPARSE = dict(DSD.parts())
NOTHING_HELD = Cycles(s2=Duration.parse("0ep"))


def of(name: str) -> MethodSpec:
    return catalog.resolve("methods", name)


def test_every_method_is_there() -> None:
    """The table above names the catalog's methods, no two of which are the same."""
    assert list(METHODS) == catalog.names("methods")
    assert len({digest(of(name)) for name in METHODS}) == len(METHODS)


@each_method
def test_what_a_method_is(name: str) -> None:
    """The parts of the table above with their options as they are by default, but where it says otherwise; and
    nothing else."""
    said, found = METHODS[name], {}
    for place in PLACES:
        if place in said:
            found |= to_plain(PLACES[place].find(said[place])())
    for record, having in ((RestoreRules(), WITH_RULES), (Networks(), SEVERAL)):
        found |= to_plain(record) if name in having else {}
    expected = {f"method.{word}": value for word, value in {**found, **said}.items() if word != "kind"}
    there = levels(TrialSpec(method=of(name)))
    assert {path: value for path, value in there.items() if path.startswith("method.")} == expected


@each_method
def test_a_method_survives_its_text(name: str) -> None:
    """Read back from its JSON it is the same value, with the same digest; and by its name in a trial."""
    again = from_plain(MethodSpec, json.loads(canonical_json(of(name))))
    assert again == of(name) and digest(again) == digest(of(name))
    assert changed(TrialSpec(), {"method": name}).method == of(name)


@each_method
def test_a_method_can_be_read_by_a_person(name: str) -> None:
    """Each of its parts by its name at its place, and no other place."""
    shown = levels(TrialSpec(method=of(name)))
    parts = {f"method.{place}": part.name for place, part in of(name).parts()}
    assert {path: value for path, value in shown.items() if path.removeprefix("method.") in PLACES} == parts


@each_method
def test_a_method_is_built_from_its_options_one_by_one(name: str) -> None:
    """Every level of the method, put into standard training at once, gives the method again."""
    fields = {p: v for p, v in levels(TrialSpec(method=of(name))).items() if p.startswith("method.")}
    for order in (1, -1):
        assert changed(TrialSpec(method=STANDARD), dict([*fields.items()][::order])).method == of(name)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"criterion": L2(), "selection": Share(), "restore": Old()},
         "method.criterion does nothing without method.schedule, which says when."),
        ({"restore_rules": RestoreRules()}, "method.restore_rules does nothing without method.schedule"),
        ({"exchange": Internal()}, "method.exchange does nothing without method.schedule"),
        ({"schedule": Cycles()}, "method.schedule = cycles lets nothing happen"),
        ({"schedule": Every(), "networks": Networks()}, "method.schedule = every lets nothing happen"),
        ({"schedule": Cycles(), "losses": (Overlap(),)}, "method.schedule = cycles lets nothing happen"),
        ({"schedule": Every(), "losses": (Distillation(),), "networks": Networks()},
         "method.schedule = every lets nothing happen"),
        ({"schedule": Generations(), "losses": (Overlap(), OwnLoss(source="python:a:b"))},
         "method.schedule = generations lets nothing happen"),
        ({"schedule": Phase(), "gradient": OwnGradient(source="python:mine:change")},
         "method.schedule = phase lets nothing happen"),
        ({"schedule": Phase(), "ending": Trim()}, "method.schedule = phase lets nothing happen"),
        ({"schedule": Every(), "criterion": L2()}, "method.criterion = l2 ranks for nobody"),
        ({"schedule": Every(), "selection": Share(), "restore": Old()},
         "method.selection = share needs method.criterion, which ranks."),
        ({"schedule": Every(), "selection": Weights(), "restore": Old()},
         "method.selection = weights needs method.criterion, which ranks."),
        ({"schedule": Every(), "selection": Share(), "criterion": L2()},
         "method.selection = share takes filters, but nothing is done with them."),
        ({"schedule": Every(), "selection": Fixed(), "exchange": Noise()},
         "method.selection = fixed takes filters, but nothing is done with them."),
        ({"schedule": Phase(), "selection": Fixed(), "gradient": OwnGradient(source="python:mine:change")},
         "method.selection = fixed takes filters, but nothing is done with them."),
        ({"schedule": Every(), "selection": Weights(), "criterion": Magnitude(), "exchange": Noise()},
         "method.selection = weights takes single weights, but nothing is done with them."),
        ({"schedule": Every(), "exchange": Noise(), "restore_rules": RestoreRules()},
         "method.restore_rules does nothing with method.schedule = every without method.restore"),
        ({"schedule": Cycles(), "selection": Clusters(), "drop": Exact(), "restore": Old()},
         "method.selection = clusters needs method.gradient = centripetal"),
        ({"schedule": Every(), "selection": Clusters(), "restore": Old()},
         "method.selection = clusters needs method.gradient = centripetal"),
        ({"schedule": Phase(), "selection": Clusters(), "drop": Exact()},
         "method.selection = clusters needs method.gradient = centripetal"),
        ({"schedule": Phase(), "selection": Clusters(), "criterion": L2(), "gradient": Centripetal()},
         "method.criterion = l2 ranks for nobody: method.selection = clusters does not look at scores."),
        ({"schedule": Every(), "selection": Everything(), "losses": (Overlap(),)},
         "method.selection = everything takes filters, but nothing is done with them."),
        ({"schedule": Every(), "selection": Everything(), "restore": Random()},
         "method.selection = everything takes whole layers, which only a new generation renews, but method.schedule"),
        ({"schedule": Generations(), "selection": Later(), "restore": Orthogonal()},
         "method.restore = orthogonal looks at filters that stay, but method.selection = later takes whole layers."),
        ({"schedule": Generations(), "selection": Later(), "restore": Random(restore_scale="survivors")},
         "method.restore_scale = survivors looks at filters that stay, but method.selection = later takes whole"),
        ({"schedule": Generations(), "selection": Everything(), "restore": Random(),
          "restore_rules": RestoreRules(restore_next="small")},
         "method.restore_next = small is for kernels that read restored filters, but method.selection = everything"),
        ({**SPARSE, "restore_rules": RestoreRules(restore_next="zero")},
         "method.restore_next = zero is for kernels that read restored filters, but method.selection = weights"),
        ({"schedule": Cycles(), "restore_rules": RestoreRules(restore_next="zero")},
         "method.restore_next = zero is for kernels that read restored filters, but no filters are taken."),
        ({"schedule": Cycles(), "restore_rules": RestoreRules(restore_bn="recalibrate")},
         "method.restore_bn = recalibrate is done at a restore, but with method.schedule = cycles there is none"),
        ({"schedule": Generations(), "selection": Weights(), "criterion": L2(), "restore": Old()},
         "method.selection = weights does not say what begins anew with method.schedule = generations."),
        ({"schedule": Generations(), "selection": Fixed(), "criterion": L2(), "restore": Random()},
         "method.criterion = l2 ranks for nobody: method.selection = fixed does not look at scores."),
        ({"schedule": Every(), "selection": Dormant(), "restore": Old()},
         "method.selection = dormant needs method.criterion, which ranks."),
        ({"schedule": Every(), "selection": Dormant(), "criterion": Ortho(), "restore": Old()},
         "method.selection = dormant needs a criterion that is minus a size, but got method.criterion = ortho."),
        ({"schedule": Every(), "drop": Exact(), "restore": Old()}, "method.drop needs method.selection"),
        ({"schedule": Every(), "restore": Old()}, "method.restore needs method.selection, which says whom."),
        ({"schedule": Cycles(), "criterion": L2(), "selection": Share(), "drop": Exact()},
         "method.drop = exact needs method.restore, which brings back what was dropped."),
        ({"schedule": Cycles(), "criterion": L2(), "selection": Share(), "restore": Old()},
         "method.s2 = 10ep needs method.drop"),
        ({**SPARSE, "criterion": L2()},
         "method.criterion = l2 ranks filters, but method.selection = weights takes single weights."),
        ({**SPARSE, "drop": Exact()},
         "method.drop = exact drops filters, but method.selection = weights takes single weights."),
        ({**SPARSE, "restore": Orthogonal()},
         "method.restore = orthogonal restores filters, but method.selection = weights takes single weights."),
        ({**SPARSE, "restore": Old(restore_scale="clip")}, "method.restore_scale = clip sets the norm of filters"),
        ({**SPARSE, "criterion": Magnitude(), "selection": Share()},
         "method.criterion = magnitude ranks single weights, but method.selection = share takes filters."),
        ({**SPARSE, "criterion": L2(), "selection": Share()},
         "method.drop = single-weights drops single weights, but method.selection = share takes filters."),
        ({**SPARSE, "drop": None}, "method.s2 = 10ep needs method.drop"),
        ({"schedule": Every(), "criterion": Magnitude()}, "method.criterion = magnitude ranks for nobody"),
        ({"schedule": Every(), "exchange": Average()},
         "method.exchange = average goes on between several networks, but there is one."),
        ({"schedule": Every(), "exchange": Ring()}, "method.exchange = ring goes on between several networks"),
        ({"losses": (Distillation(), Distillation(temperature=3.0))},
         "method.losses must hold different losses, but holds distillation, distillation."),
        ({"losses": (Distillation(),)}, "method.losses = distillation learns from the other networks, but there is one."),
        ({"losses": (Distillation(teachers="generation"),), "networks": Networks()},
         "method.teachers = generation learns from the generation before, but the method has no generations."),
        ({"losses": (Teacher(),)}, "method.losses = teacher needs method.teacher_folder"),
        ({"losses": (Teacher(teacher_folder="a", teacher_weight=0.75),
                     Distillation(distill_weight=0.5, distill_labels="rest")), "networks": Networks()},
         "method.losses take the place of 1.25 of the cross-entropy"),
    ],
)  # fmt: skip
def test_what_does_not_go_together(parts: dict[str, Any], message: str) -> None:
    """A part that would do nothing, or lacks another that it works with, is refused with a way out."""
    with pytest.raises(SpecError) as caught:
        MethodSpec(**parts)
    assert caught.value.message.startswith(message)
    assert caught.value.hint or "losses" in message


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"networks": Networks()},
        {"losses": (Distillation(),), "networks": Networks()},
        {"gradient": OwnGradient(source="python:mine:change")},
        {"schedule": Generations(), "losses": (Distillation(teachers="generation"),)},
        {"schedule": Generations(), "losses": (Overlap(), Distillation(teachers="generation"))},
        {"losses": (Teacher(teacher_folder="a", teacher_weight=0.5),
                    Distillation(distill_weight=0.5, distill_labels="rest"), Overlap()), "networks": Networks()},
        {"schedule": Phase(), "selection": Clusters(), "gradient": Centripetal(), "ending": Trim()},
        {"schedule": Cycles(), "restore_rules": RestoreRules()},
        {"schedule": Generations(), "restore_rules": RestoreRules()},
        {"schedule": Every(), "criterion": L2(), "selection": Share(), "restore": Old()},
        {"schedule": Every(), "criterion": OwnCriterion(source="python:a:b"), "selection": Share(), "restore": Old()},
        {"schedule": Generations(), "selection": Everything(), "restore": Random()},
        {"schedule": Generations(), "selection": Later(), "restore": Old(), "restore_rules": RestoreRules()},
        {"schedule": Generations(), "selection": Fixed(), "restore": OwnRestore(source="python:a:b")},
        {"schedule": Generations(), "selection": Share(), "criterion": L2(), "restore": Old()},
        {"schedule": Every(), "criterion": L2(), "selection": Dormant(), "restore": Old()},
        {"schedule": Every(), "criterion": OwnCriterion(source="python:a:b"), "selection": Dormant(), "restore": Old()},
        {"schedule": Cycles(), "selection": Fixed(), "drop": Exact(), "restore": Old()},
        {"schedule": Every(), "selection": Fixed(), "restore": Old(), "exchange": Noise()},
        {"schedule": Phase(), "selection": Clusters(), "gradient": Centripetal()},
        {"schedule": NOTHING_HELD, "criterion": L2(), "selection": Share(), "restore": Old()},
        {"schedule": NOTHING_HELD, "criterion": L2(), "selection": Share(), "drop": Exact(), "restore": Old()},
        {"schedule": Cycles(), "criterion": L2(), "selection": Share(), "drop": Exact(), "restore": Old()},
        {**SPARSE, "criterion": Chance(), "restore": Old()},
        {**SPARSE, "schedule": Every(), "drop": None},
        {"schedule": Every(), "exchange": Average(), "networks": Networks()},
        {"schedule": Every(), "exchange": Internal()},
        {"schedule": Every(), "exchange": OwnExchange(source="python:mine:swap")},
    ],
)  # fmt: skip
def test_what_goes_together(parts: dict[str, Any]) -> None:
    """The other side of each rule, and with all that need not be there left out."""
    assert from_plain(MethodSpec, json.loads(canonical_json(MethodSpec(**parts)))) == MethodSpec(**parts)


def test_compose_changes_a_method_by_its_words() -> None:
    """Parts and options by name or as values, durations as texts; RePr unless another is given."""
    assert compose() == REPR
    assert compose(criterion="l2") == compose(criterion=L2()) == replace(REPR, criterion=L2())
    shorter = Cycles(cycles=2, s1=Duration.parse("5ep"))
    assert compose(cycles=2, s1="5ep") == compose(schedule=shorter) == replace(REPR, schedule=shorter)
    assert compose(AVERAGING, n_members=3) == replace(AVERAGING, networks=Networks(n_members=3))
    assert compose(cycles=0) == STANDARD
    assert compose(STANDARD, n_members=2) == ENSEMBLE
    assert compose(restore_rules=None) == replace(REPR, restore_rules=None)
    assert compose(losses=(Overlap(),)).losses == (Overlap(),)
    kept = {"restore_bn": "keep", "restore_optimizer": "keep", "restore_lr": "restart"}
    emptied = {"criterion": "none", "selection": "none", "drop": "none", "restore": "none"}
    assert compose(s2="0ep", **emptied, **kept) == LR_RESTART


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"margin": 1}, "There is no field method.margin."),
        ({"criterion": "l3"}, "There is no criterion 'l3'."),
        ({"prune_ratio": 2}, "method.prune_ratio must be above 0 and below 1, but got 2.0."),
        ({"restore": Ortho()}, "There is no restore rule 'ortho'."),
        ({"drop": None}, "method.s2 = 10ep needs method.drop"),
    ],
)
def test_compose_refuses_what_is_wrong(words: dict[str, Any], message: str) -> None:
    """In the words of any other change."""
    with pytest.raises(SpecError) as caught:
        compose(**words)
    assert caught.value.message.startswith(message)


def test_options_are_found_whichever_part_has_them() -> None:
    """By their word, of parts, of losses and of the records; None where no part has one."""
    method = compose(losses=(Distillation(temperature=3.0),), n_members=2)
    words = ("s1", "prune_ratio", "restore_scale", "restore_bn", "temperature", "n_members", "period")
    assert [method.option(word) for word in words] == [
        Duration.parse("20ep"), 0.3, "own", "reset", 3.0, 2, None,
    ]  # fmt: skip
    own = replace(REPR, criterion=OwnCriterion(source="python:mine:score", given={"margin": 2}))
    assert own.option("margin") == 2
    assert STANDARD.option("cycles") is None


@pytest.mark.parametrize(
    ("method", "n"), [(STANDARD, 1), (REPR, 1), (AVERAGING, 2), (compose(n_members=5), 5)]
)
def test_the_number_of_networks(method: MethodSpec, n: int) -> None:
    """One, unless there is a record of them."""
    assert method.n_members == n


def test_the_schedule_of_cycles() -> None:
    """Of RePr its cycles; of methods that have another schedule, or none, nothing."""
    assert REPR.cycles == Cycles()
    assert AVERAGING.cycles is None and STANDARD.cycles is None
    assert Cycles(s1=Duration.parse("2ep"), s2=Duration.parse("3it")).steps(10) == (20, 3)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("repr", "20ep"),
        ("sfp", "1ep"),
        ("c-sgd", "0ep"),
        ("ban", "30ep"),
        ("knowledge-evolution", "18ep"),
        ("later-layer-forgetting", "18ep"),
    ],
)
def test_when_something_first_happens(name: str, first: str) -> None:
    """After S1, a period, the share `start` of the total, or the first of the generations; here of 90 epochs."""
    schedule = of(name).schedule
    assert schedule is not None
    assert schedule.first(Duration.parse("90ep")) == Duration.parse(first)


def test_presets_are_all_in_the_catalog() -> None:
    """A method that is written down can be named."""
    written = {value for value in vars(presets).values() if isinstance(value, MethodSpec)}
    assert written == {of(name) for name in METHODS}


def test_losses_have_options_of_their_own() -> None:
    """Several may stand together, so that no two have an option of one name."""
    words = [word for kind in LossTerm.kinds for word in kind.option_names()]
    assert len(set(words)) == len(words)


def test_a_part_of_another_place_is_refused() -> None:
    """Also where it is given as a value."""
    with pytest.raises(SpecError, match=r"method\.criterion must be the name of a part"):
        from_plain(MethodSpec, {"criterion": Orthogonal()}, "method")
