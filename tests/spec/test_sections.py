"""The sections of a study: how they are written, what goes together, and how a person names their fields."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from typing import Any

import pytest

from reprtune.errors import SpecError
from reprtune.spec import paths
from reprtune.spec.codec import canonical_json, from_plain
from reprtune.spec.designs.arm import Arm
from reprtune.spec.designs.named import named
from reprtune.spec.duration import Duration
from reprtune.spec.edit import changed
from reprtune.spec.scale import full_study_path, rescaled, scaled_study
from reprtune.spec.sections.arms import Arms, Until
from reprtune.spec.sections.confirmation import Confirmation
from reprtune.spec.sections.search import Search
from reprtune.spec.space import Choice, FloatRange
from reprtune.spec.study import AnySection, StudySpec, read_section
from reprtune.spec.trial import TrialSpec
from tests.spec.example import STUDY, TRIAL, durations

ARMS = Arms(design=named(Arm(name="a"), Arm(name="b", changes={"method.s1": "10ep"})), seeds=(0, 1))
SEARCH = Search(space={"method.s1": durations("10ep", "20ep"), "training.lr": FloatRange(low=0.1, high=0.2)})
CONFIRMATION = Confirmation(top=2, slots=(7,), seeds=(5, 6))
TEXTS = {
    "arms": (
        ARMS,
        ('{"design":{"kind":"named","list":[{"changes":{},"name":"a"},'
        '{"changes":{"method.schedule.s1":"10ep"},"name":"b"}]},"kind":"arms","name":"arms","seeds":[0,1]}'),
    ),
    "search": (
        SEARCH,
        ('{"kind":"search","max_gflops":null,"max_seconds":null,"name":"search",'
        '"objectives":["val_error","train_gflops"],"sampler":"tpe","seed":0,"seeds":1,"slots":32,'
        '"space":{"method.schedule.s1":{"high":"20ep","kind":"duration","low":"10ep","step":"1ep"},'
        '"training.lr":{"high":0.2,"kind":"float","log":false,"low":0.1,"step":null}},'
        '"stop":{"kind":"median","min_comparable":5}}'),
    ),
    "confirmation": (
        CONFIRMATION,
        '{"kind":"confirmation","name":"confirmation","seeds":[5,6],"slots":[7],"top":2}',
    ),
}  # fmt: skip


def study(*sections: AnySection) -> StudySpec:
    return StudySpec(name="s", question="q", decision="d", cost="c", base=TRIAL, sections=sections)


WHOLE = study(ARMS, SEARCH, CONFIRMATION)
COMPARISON = study(ARMS)


# -- one section ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TEXTS)
def test_a_section_is_read_back_from_its_text(kind: str) -> None:
    """The canonical text, written by hand, is that of the value, and the value that of the text."""
    section, text = TEXTS[kind]
    assert canonical_json(section) == text
    assert read_section(json.loads(text)) == section and section.kind == kind


def test_a_study_of_all_kinds_is_read_back_from_its_text() -> None:
    """Its sections in their order."""
    text = canonical_json(WHOLE)
    assert json.loads(text)["sections"] == [json.loads(text) for _, text in TEXTS.values()]
    assert from_plain(StudySpec, json.loads(text)) == WHOLE


@pytest.mark.parametrize("plain", [None, "arms", {}, {"kind": "grid"}, {"kind": 3}])
def test_what_is_no_section_is_refused(plain: object) -> None:
    """With the kinds that there are."""
    with pytest.raises(SpecError, match=r"section\.kind must be one of arms, search, confirmation, but got"):
        read_section(plain)


@pytest.mark.parametrize("form", [list, tuple])
def test_a_plain_list_of_arms_is_a_design(form: type) -> None:
    """As a person writes it in a study of their own."""
    arms = (Arm(name="a"), Arm(name="b"))
    assert Arms(design=form(arms)) == Arms(design=named(*arms))


def test_cells_are_arm_by_arm() -> None:
    """Each with every seed."""
    assert [(arm.name, seed) for arm, seed in ARMS.cells(TrialSpec())] == [
        ("a", 0),
        ("a", 1),
        ("b", 0),
        ("b", 1),
    ]


@pytest.mark.parametrize(
    ("section", "n_arms", "planned", "seeds"),
    [(ARMS, 2, 4, [0, 1]), (SEARCH, 2, 32, [3]), (dataclasses.replace(SEARCH, seeds=2), 2, 32, [3, 4]),
     (CONFIRMATION, 2, 10, [5, 6]), (CONFIRMATION, 0, 6, [5, 6])],
)  # fmt: skip
def test_what_a_section_plans(section: AnySection, n_arms: int, planned: int, seeds: list[int]) -> None:
    """Trials at most, and every seed that it names: a search goes on from that of the base, here 3; a confirmation has
    (arms + 2 leaders + 1 further slot) times 2 seeds."""
    assert section.planned(TrialSpec(), n_arms) == planned
    assert [*section.declared_seeds(dataclasses.replace(TRIAL, seed=3))] == seeds


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Arms(design=[Arm(name="a b")]), "A name holds letters, digits"),
        (lambda: Arms(design=[Arm(name="slot-3")]), "An arm cannot be named 'slot-3'"),
        (lambda: Arms(design=[Arm(name="leader")]), "An arm cannot be named 'leader'"),
        (lambda: Arms(design=[]), "arms.design must hold at least one arm, but is empty."),
        (lambda: Arms(design=[Arm(name="a"), Arm(name="a")]), "Arms need different names, but got ['a', 'a']."),
        (lambda: Arms(name="x", design=[Arm(name="a")], seeds=()), "x.seeds must hold at least one seed"),
        (lambda: Arms(design=[Arm(name="a")], seeds=(1, 1)), "arms.seeds must differ, but got [1, 1]."),
        (lambda: Arms(design=[Arm(name="a")], seeds=(-1,)), "arms.seeds must be at least 0, but got -1."),
        (lambda: Arms(design=[Arm(name="a")], seeds=(1_000_000,)), "arms.seeds must be below 1000000, but got 10"),
        (lambda: Arms(design=[Arm(name="a")], seeds=range(1001)), "arms.seeds must be at most 1000 seeds"),
        (lambda: Arms(name="a.b", design=[Arm(name="a")]), "The name of a section holds no '.', but got 'a.b'."),
        (lambda: Arms(name="", design=[Arm(name="a")]), "A name holds letters, digits"),
        (lambda: Search(name="a.b", space=SEARCH.space), "The name of a section holds no '.'"),
        (lambda: Confirmation(seeds=()), "confirmation.seeds must hold at least one seed"),
        (lambda: Confirmation(seeds=(1_000_000,)), "confirmation.seeds must be below 1000000"),
        (lambda: Confirmation(top=-1, seeds=(5,)), "confirmation.top must be at least 0, but got -1."),
        (lambda: Confirmation(slots=(-1,), seeds=(5,)), "confirmation.slots must be at least 0, but got -1."),
    ],
)  # fmt: skip
def test_a_section_that_cannot_be_is_refused(make: Any, message: str) -> None:
    """Whatever study it may be for; the message calls it by its name."""
    with pytest.raises(SpecError) as caught:
        make()
    assert caught.value.message.startswith(message)


def test_the_largest_seed_is_taken() -> None:
    """From a million on seeds are for settings that a search has drawn before."""
    assert Arms(design=[Arm(name="a")], seeds=(999_999,)).seeds == (999_999,)


# -- sections of a study ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ((), "sections must hold arms or a search, but has neither."),
        ((CONFIRMATION,), "sections must hold arms or a search, but has neither."),
        ((ARMS, ARMS), "Sections need different names, but got ['arms', 'arms']."),
        ((ARMS, dataclasses.replace(SEARCH, name="arms")), "Sections need different names"),
        ((dataclasses.replace(ARMS, name="confirmation"), SEARCH), "Only a confirmation may be named 'confirmation'"),
        ((ARMS, dataclasses.replace(ARMS, name="more")), "Arms need different names, but got ['a', 'b', 'a', 'b']."),
        ((SEARCH, dataclasses.replace(SEARCH, name="more")), "A study has at most one search, but got"),
        ((ARMS, CONFIRMATION, dataclasses.replace(CONFIRMATION, name="more")),
         "A study has at most one confirmation, but got ['arms', 'confirmation', 'more']."),
        ((CONFIRMATION, ARMS), "The confirmation must be the last section"),
        ((ARMS, Confirmation(seeds=(1, 2))), "confirmation.seeds must be fresh, but [1] are seeds of the search or of"),
        ((SEARCH, Confirmation(seeds=(0,))), "confirmation.seeds must be fresh, but [0] are seeds"),
        ((Arms(design=[Arm(name="a", changes={"method.s3": 1})]),), "There is no field method.s3."),
        ((Search(space={"method.s3": FloatRange(low=0, high=1)}),), "There is no field method.s3."),
    ],
)  # fmt: skip
def test_sections_that_do_not_go_together_are_refused(sections: tuple[AnySection, ...], message: str) -> None:
    """Where the study is written."""
    with pytest.raises(SpecError) as caught:
        study(*sections)
    assert caught.value.message.startswith(message)


def test_a_fresh_seed_is_proposed() -> None:
    """The one after all that are used."""
    with pytest.raises(SpecError) as caught:
        study(Arms(design=[Arm(name="a")], seeds=(4, 2)), Confirmation(seeds=(2,)))
    assert caught.value.hint == "Begin at 5."


def test_a_study_has_several_sections_of_arms() -> None:
    """Its arms are those of all of them, each trained with the seeds of its own."""
    two = study(ARMS, Arms(name="more", design=[Arm(name="c")], seeds=(7,)))
    assert [arm.name for arm in two.arms] == ["a", "b", "c"] and two.used_seeds == (0, 1, 7)
    cells = [(arm, seed) for arm, seed, _ in two.arm_cells()]
    assert cells == [("a", 0), ("a", 1), ("b", 0), ("b", 1), ("c", 7)]
    assert [trial.seed for _, _, trial in two.arm_cells()] == [0, 1, 0, 1, 7]


def test_a_comparison_has_no_search() -> None:
    """Nothing is drawn; arms are compared by their error."""
    assert (COMPARISON.search, COMPARISON.slots, dict(COMPARISON.space)) == (None, 0, {})
    assert COMPARISON.objectives == ("val_error",) and COMPARISON.trial_seeds() == ()
    assert COMPARISON.fitting_share(10) == 1 and COMPARISON.names == {}


def test_a_section_is_put_in_or_replaced() -> None:
    """By its name, where it stands; a new one at the end."""
    more = dataclasses.replace(ARMS, seeds=(0, 1, 2))
    assert WHOLE.with_section(more).sections == (more, SEARCH, CONFIRMATION)
    assert COMPARISON.with_section(SEARCH) == study(ARMS, SEARCH)
    assert WHOLE.section("arms") is ARMS
    with pytest.raises(SpecError, match="The study 's' has no section 'serch'") as caught:
        WHOLE.section("serch")
    assert caught.value.hint == "Did you mean search? Known: arms, search, confirmation."


def test_a_section_keeps_its_shares_of_another_total() -> None:
    """Half of 100 epochs: lengths of arms and ranges are halved; all else of every section stays."""
    half = rescaled(WHOLE, Duration.parse("50ep"))
    assert half.arms == (Arm(name="a"), Arm(name="b", changes={"method.s1": "5ep"}))
    space = {**SEARCH.space, "method.s1": durations("5ep", "10ep")}
    assert half.search == dataclasses.replace(SEARCH, space=space)
    assert half.confirmation == CONFIRMATION and half.comparisons[0].seeds == ARMS.seeds
    assert str(half.base.training.total) == "50ep"


# -- what a person types ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "full"),
    [
        ("slots", "sections.search.slots"),
        ("search.slots", "sections.search.slots"),
        ("seed", "sections.search.seed"),
        ("stop.percentile", "sections.search.stop.percentile"),
        ("space.method.s1.high", "sections.search.space.method.s1.high"),
        ("arms.seeds", "sections.arms.seeds"),
        ("confirmation.seeds", "sections.confirmation.seeds"),
        ("method.s1", "base.method.s1"),
        ("training.lr", "base.training.lr"),
        ("base.seed", "base.seed"),
        ("name", "name"),
        ("question", "question"),
        ("sections.search.slots", "sections.search.slots"),
    ],
)
def test_what_a_person_types_in_full(typed: str, full: str) -> None:
    """A trial's words are those of the base, a search's its own; of another section its name is said too."""
    assert full_study_path(WHOLE, typed) == full


def test_sections_are_found_whatever_their_names() -> None:
    """A search that is named otherwise is still the one whose fields need no name."""
    other = study(dataclasses.replace(ARMS, name="controls"), dataclasses.replace(SEARCH, name="wide"))
    assert full_study_path(other, "slots") == full_study_path(other, "wide.slots") == "sections.wide.slots"
    assert full_study_path(other, "controls.seeds") == "sections.controls.seeds"
    assert changed(other, {full_study_path(other, "slots"): 7}).slots == 7


@pytest.mark.parametrize(
    ("path", "hint"), [("control_seeds", "It is arms.seeds now."), ("controls", "It is arms.design now.")]
)
def test_a_field_that_an_older_version_had_gets_its_new_path(path: str, hint: str) -> None:
    """By the name that the section of arms has here."""
    with pytest.raises(SpecError, match=f"There is no field {path} any more") as caught:
        full_study_path(WHOLE, path)
    assert caught.value.hint == hint
    with pytest.raises(SpecError) as caught:
        full_study_path(study(SEARCH), path)
    assert caught.value.hint == "The study 's' has no arms."


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("slotss", "slots"),
        ("serch.slots", "search"),
        ("methods.s1", "method"),
        ("questio", "question"),
        ("arm.seeds", "arms"),
    ],
)
def test_a_field_that_is_not_there_gets_the_nearest(path: str, nearest: str) -> None:
    """Of the words that a person may begin with."""
    with pytest.raises(SpecError, match=f"There is no field {path}") as caught:
        full_study_path(WHOLE, path)
    assert str(caught.value.hint).startswith(f"Did you mean {nearest}? Known: name, question,")


def test_a_comparison_has_no_fields_of_a_search() -> None:
    """It is said that there is none, with the sections that there are."""
    with pytest.raises(SpecError) as caught:
        scaled_study(COMPARISON, assignments=["slots=8"])
    assert caught.value.message == (
        "There is no field slots: it is one of a search, and the study 's' has none."
    )
    assert caught.value.hint == "Its sections are: arms."


def test_without_a_search_seeds_are_those_of_all_arms() -> None:
    """A section that is given its own by its name keeps these, whichever stands first; `until` goes the same way."""
    two = study(ARMS, replace(ARMS, name="more", design=[Arm(name="c")]))
    spec = scaled_study(two, assignments=["more.seeds=[7,8,9]", "seeds=5", 'until={"most": 9}'])
    assert [section.seeds for section in spec.comparisons] == [(0, 1, 2, 3, 4), (7, 8, 9)]
    assert [section.until for section in spec.comparisons] == [Until(most=9)] * 2
    both = scaled_study(study(ARMS, SEARCH), assignments=["seeds=2"])
    assert both.n_seeds == 2 and both.comparisons == (ARMS,)
    assert {"seeds", "until"} < {*paths.of_study(two)}


def test_assignments_reach_into_sections() -> None:
    """As `--set` gives them."""
    spec = scaled_study(
        study(ARMS, SEARCH),
        assignments=[
            "search.slots=8", "stop=percentile", "stop.percentile=10", "arms.seeds=[3,4,5]", "objectives=val_error",
            'arms.design.list.b.changes={"method.s1": "5ep"}', "space.training.lr.high=0.3",
        ],
    )  # fmt: skip
    assert spec.search is not None and (spec.search.slots, spec.search.objectives) == (8, ("val_error",))
    assert spec.search.stop.options() == {"min_comparable": 5, "percentile": 10.0}
    assert spec.comparisons[0].seeds == (3, 4, 5)
    assert spec.arms[1] == Arm(name="b", changes={"method.s1": "5ep"})
    assert spec.space["training.lr"] == FloatRange(low=0.1, high=0.3)


def test_a_whole_section_is_replaced_under_its_name() -> None:
    """What the new value leaves out is as by default, but for the name by which it was found."""
    wide = study(dataclasses.replace(SEARCH, name="wide", slots=3))
    space = {"training.lr": {"kind": "choice", "options": [1, 2]}}
    new = changed(wide, {"sections.wide": {"kind": "search", "space": space}})
    assert new == study(Search(name="wide", space={"training.lr": Choice(options=(1, 2))}))


def test_a_section_that_a_study_lacks_is_named_as_missing() -> None:
    """`controls` and the like are no misspellings of another field; without a search, its fields are not offered."""
    with pytest.raises(SpecError, match="the study 's' has no section controls") as caught:
        full_study_path(study(ARMS), "controls.seeds")
    assert caught.value.hint == "Its sections are: arms."
    with pytest.raises(SpecError) as caught:
        full_study_path(study(ARMS), "nonsense")
    assert "arms" in str(caught.value.hint) and "sampler" not in str(caught.value.hint)


def test_one_section_alone_needs_no_tuple() -> None:
    """What is meant is clear."""
    (controls,) = STUDY.comparisons
    alone = replace(STUDY, sections=controls)
    assert alone.sections == (controls,) and alone == replace(STUDY, sections=[controls])
