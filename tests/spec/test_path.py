"""The design of a path: its changes, what is refused on the way, its names."""

from __future__ import annotations

import itertools
import json
import random

import pytest

from reprtune.errors import SpecError
from reprtune.spec import catalog
from reprtune.spec.codec import canonical_json, from_plain
from reprtune.spec.designs.differences import differences
from reprtune.spec.designs.path import MOST_CHANGES, Path
from reprtune.spec.duration import Duration
from reprtune.spec.edit import changed
from reprtune.spec.scale import rescaled
from reprtune.spec.sections.arms import Arms, Until
from reprtune.spec.space import FloatRange
from reprtune.spec.study import Arm, Search, StudySpec
from reprtune.spec.trial import TrialSpec

BASE = TrialSpec()
START = Arm(name="start")
THREE = Arm(
    name="end", changes={"training.lr": 0.05, "training.weight_decay": 0.001, "method.criterion": "l2"}
)


def study(design: Path, **more: object) -> StudySpec:
    sections = (Arms(design=design, seeds=(0, 1)), *more.pop("sections", ()))  # type: ignore[misc]
    return StudySpec(name="p", question="?", cost="none", base=BASE, sections=sections)  # type: ignore[arg-type]


def test_differences_turn_one_trial_into_the_other() -> None:
    """Whatever two methods of the catalog: all differences together make the one of the other."""
    for ours, theirs in itertools.product(catalog.names("methods"), repeat=2):
        before, after = (changed(BASE, {"method": name}) for name in (ours, theirs))
        found = differences(before, after)
        assert changed(before, found) == after
        assert (found == {}) == (before == after)


def test_differences_of_random_changes() -> None:
    """Fields and options one by one; a place whose part differs is one difference with all its options."""
    pool = {
        "training.lr": 0.03,
        "training.momentum": 0.8,
        "training.total": "90ep",
        "model.width": 8,
        "task.augment": "flip",
        "method.prune_ratio": 0.2,
        "method.s1": "7ep",
    }
    rng = random.Random(0)
    for _ in range(40):
        taken = {path: pool[path] for path in rng.sample(sorted(pool), rng.randint(1, len(pool)))}
        found = differences(BASE, changed(BASE, taken))
        full = {"method.prune_ratio": "method.selection.prune_ratio", "method.s1": "method.schedule.s1"}
        assert found == {full.get(path, path): value for path, value in taken.items()}
    found = differences(BASE, changed(BASE, {"method.criterion": "random", "method.restore": "zero"}))
    assert set(found) == {"method.criterion", "method.restore"}
    assert found["method.criterion"]["kind"] == "random"


def test_the_changes_of_a_path_and_its_bound() -> None:
    """k changes: start, end, and in each stage as many as are left; what moves together is one."""
    design = Path(start=START, end=THREE)
    assert list(design.changes(BASE)) == ["lr", "weight_decay", "criterion"]
    assert design.planned(BASE) == 2 + 3 + 2 == 1 + 3 * 4 // 2
    grouped = Path(start=START, end=THREE, together=[["training.lr", "method.criterion"]])  # type: ignore[arg-type]
    assert list(grouped.changes(BASE)) == ["lr-criterion", "weight_decay"]
    assert grouped.planned(BASE) == 2 + 2
    assert study(design).planned(study(design).sections[0]) == 7 * 2


def test_static_arms_are_start_and_end() -> None:
    """The end is compared with the start, unless it names others, or was trained for longer."""
    assert [(a.name, a.against) for a in Path(start=START, end=THREE).arms(BASE)] == [
        ("start", ()),
        ("end", ("start",)),
    ]
    longer = Arm(name="end", changes={"training.total": "200ep"})
    assert Path(start=START, end=longer).arms(BASE)[1].against == ()
    assert [a.name for a in Path(start=START, end="leader").arms(BASE)] == ["start"]


def test_each_set_of_changes_has_a_name_of_its_own() -> None:
    """As many names as sets, none longer than 100 characters, and what they say is what they are."""
    start = Arm(name="s" * 60)
    end = Arm(
        name="end",
        changes={
            "training.lr": 0.05, "training.weight_decay": 0.001, "training.momentum": 0.5, "training.batch_size": 32,
            "training.lr_gamma": 0.2, "training.label_smoothing": 0.1, "method.prune_ratio": 0.1,
            "method.criterion": "l2",
        },
    )  # fmt: skip
    design = Path(start=start, end=end)
    ways = design.ways(BASE)
    steps = [
        design.step(taken, ways, BASE)
        for n in range(1, 8)
        for taken in itertools.combinations(ways.changes, n)
    ]
    names = [step.name for step in steps]
    assert len(set(names)) == len(names) == 2**8 - 2
    assert max(map(len, names)) <= 100 and all(name.startswith("s" * 60 + "--") for name in names)
    assert len({canonical_json(changed(BASE, step.changes)) for step in steps}) == len(names)
    assert design.step({"lr"}, ways, BASE).changes == {"training.lr": 0.05}


def test_a_step_drops_what_its_start_says_otherwise() -> None:
    """An option of the start's part is not put into the part that the end has in its place."""
    start = Arm(name="start", changes={"method": "standard", "training.lr": 0.2})
    end = Arm(name="end", changes={"method": "repr", "method.prune_ratio": 0.2, "training.lr": 0.1})
    group = tuple(
        f"method.{place}"
        for place in ("schedule", "criterion", "selection", "drop", "restore", "restore_rules")
    )
    design = Path(start=start, end=end, together=(group,))
    study(design)
    ways = design.ways(BASE)
    lr, method = list(ways.changes)
    assert lr == "lr" and ways.available(frozenset()) == [lr, method]
    step = changed(BASE, design.step({method}, ways, BASE).changes)
    assert step == changed(BASE, {"method": "repr", "method.prune_ratio": 0.2, "training.lr": 0.2})
    back = Path(start=end, end=start, together=(group,))
    first = changed(BASE, back.step({list(back.changes(BASE))[1]}, back.ways(BASE), BASE).changes)
    assert first == changed(BASE, {"method": "standard", "training.lr": 0.1})


def test_what_the_specification_refuses_is_not_available_at_that_stage() -> None:
    """Nesterov needs a momentum: it may come only after that; the other order is passed over."""
    start = Arm(name="start", changes={"training.momentum": 0.0})
    end = Arm(name="end", changes={"training.nesterov": True})
    ways = Path(start=start, end=end).ways(BASE)
    assert ways.available(frozenset()) == ["momentum"]
    assert "momentum" in ways.refused(frozenset())["nesterov"]
    assert ways.available(frozenset({"momentum"})) == ["nesterov"]


def test_what_is_available_is_what_some_order_of_all_changes_begins_with() -> None:
    """Options of adam do nothing without it: of the six orders those are left that a brute force finds to be trials all
    the way."""
    start = Arm(name="start", changes={"training.lr": 0.1})
    end = Arm(name="end", changes={"training.optimizer": "adam", "training.lr": 0.01, "training.beta1": 0.5})
    ways = Path(start=start, end=end).ways(BASE)
    names = list(ways.changes)

    def goes(order: tuple[str, ...]) -> bool:
        return all(not ways.why_not(frozenset(order[: n + 1])) for n in range(len(order)))

    good = [order for order in itertools.permutations(names) if goes(order)]
    assert good and len(good) < 6
    for n in range(len(names)):
        for taken in itertools.combinations(names, n):
            after = {order[n] for order in good if {*order[:n]} == {*taken}}
            if after:
                assert set(ways.available(frozenset(taken))) == after


def test_a_path_that_cannot_begin_names_what_must_move_together() -> None:
    """From plain training to RePr no single place does anything; the fewest that can be made at once are named, and with
    them together the path can be walked."""
    standard, whole = (Arm(name=name, changes={"method": name}) for name in ("standard", "repr"))
    with pytest.raises(SpecError, match=r"no change that can be made by itself.*schedule") as caught:
        study(Path(start=standard, end=whole))
    hint = str(caught.value)
    assert 'together = [["method.' in hint
    group = tuple(hint.partition('together = [["')[2].partition('"]]')[0].split('", "'))
    study(Path(start=standard, end=whole, together=(group,)))
    with pytest.raises(SpecError, match="no change that can be made"):
        study(Path(start=standard, end=whole, together=(group[:-1],)))


@pytest.mark.parametrize(
    ("design", "says"),
    [
        (Path(start=START, end=Arm(name="end")), "finds no difference between start and end"),
        (Path(start=START, end=THREE, together=(("training.lr", "training.total"),)), "training.total"),
        (Path(start=START, end="best"), "must be an arm or 'leader'"),
        (Path(start=START, end="leader"), "the study has no search"),
        (Path(start=Arm(name="s" * 61), end=THREE), "at most 60 characters"),
    ],
)
def test_what_is_wrong_is_told_with_its_field(design: Path, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        study(design)


@pytest.mark.parametrize(
    ("together", "says"),
    [
        (("training.lr", "training.momentum"), "groups of two paths"),
        ((("training.lr",),), "groups of two paths"),
        ((("training.lr", 3),), "must hold paths"),
        ((("training.lr", "training.total"), ("training.lr", "method.s1")), "twice"),
    ],
)
def test_groups_are_groups_of_paths(together: object, says: str) -> None:
    """A flat list would make every letter a path."""
    with pytest.raises(SpecError, match=says):
        Path(start=START, end=THREE, together=together)  # type: ignore[arg-type]


def test_too_many_changes_are_refused_also_those_that_a_search_may_draw() -> None:
    """What a leader may differ in is counted before anything runs."""
    fields = ("lr", "momentum", "weight_decay", "lr_gamma", "lr_warmup", "label_smoothing")
    space = {f"training.{name}": FloatRange(low=0.1, high=0.2) for name in fields}
    more = {
        "training.batch_size": 32, "training.threads": 2, "method.prune_ratio": 0.1, "model.width": 8, "task.val_frac": 0.1,
    }  # fmt: skip
    start = Arm(name="start", changes=more)
    assert len(fields) + len(more) == MOST_CHANGES + 1
    with pytest.raises(SpecError, match="at most 10 changes, but there may be 11"):
        study(Path(start=start, end="leader"), sections=(Search(space=space, slots=4),))
    study(
        Path(start=start, end="leader", together=(("training.threads", "model.width"),)),
        sections=(Search(space=space, slots=4),),
    )


def test_no_arm_has_a_name_that_steps_may_get() -> None:
    """Whoever is called so would be taken for a step."""
    beside = Arms(name="beside", design=[Arm(name="start--lr")], seeds=(0,))  # type: ignore[arg-type]
    with pytest.raises(SpecError, match=r"cannot begin with 'start--'"):
        study(Path(start=START, end=THREE), sections=(beside,))


def test_seeds_are_not_added_to_a_path() -> None:
    """Its stages choose with the same seeds for all."""
    with pytest.raises(SpecError, match="until cannot be set with the design path"):
        Arms(design=Path(start=START, end=THREE), seeds=(0, 1, 2), until=Until(most=9))


def test_a_path_is_stored_and_read_back() -> None:
    """Also with a leader as its end, and with groups."""
    group = (("training.lr", "training.weight_decay"),)
    for design in (Path(start=START, end=THREE, together=group), Path(start=START, end=THREE)):
        spec = study(design)
        plain = canonical_json(spec)
        assert from_plain(StudySpec, json.loads(plain)) == spec
        assert canonical_json(from_plain(StudySpec, json.loads(plain))) == plain
    with pytest.raises(SpecError, match=r"no field .*ends"):
        from_plain(
            Arms, {"name": "arms", "design": {"kind": "path", "start": {"name": "a"}, "ends": "leader"}}
        )


def test_its_lengths_follow_another_total() -> None:
    """As those of other designs: start and end alike."""
    end = Arm(name="end", changes={"method.s1": "8ep", "training.lr": 0.05})
    spec = rescaled(study(Path(start=START, end=end)), Duration.parse("50ep"))
    design = spec.comparisons[0].design
    assert isinstance(design, Path) and isinstance(design.end, Arm)
    assert design.end.changes["method.schedule.s1"] == "4ep"
