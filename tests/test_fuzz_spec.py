"""Arbitrary specifications: a value or a SpecError, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reprtune.errors import SpecError
from reprtune.spec import paths
from reprtune.spec.codec import canonical_json, digest, from_plain, to_plain
from reprtune.spec.duration import Duration
from reprtune.spec.edit import changed, parse_assignment
from reprtune.spec.scale import full_study_path, scaled_study, scaled_trial
from reprtune.spec.space import Choice, DurationRange, FloatRange, IntRange
from reprtune.spec.study import StudySpec
from reprtune.spec.trial import TrialSpec
from studies.repr_ablation import STUDY as ABLATION
from studies.smoke import STUDY as SMOKE
from tests.flat import with_fields

EXAMPLES = settings.get_profile("reprtune").max_examples * 2
KINDS: dict[str, Any] = {"trial": TrialSpec, "study": StudySpec}


OWN = changed(
    TrialSpec(),
    {
        "method.criterion": "python:my.py:score",
        "method.criterion.margin": [1, "a"],
        "method.losses": "overlap",
    },
)
CHOOSING = with_fields(
    SMOKE,
    space={
        "method": Choice(options=("standard", "repr", "averaging")),
        "method.criterion": Choice(options=("l2", "python:my.py:score")),
        "method.criterion.margin": FloatRange(low=0.1, high=0.2),
        "method.s1": DurationRange(low=Duration.parse("1ep"), high=Duration.parse("2ep")),
        "method.n_members": IntRange(low=2, high=3),
    },
)
RIGHT = [
    (TrialSpec, TrialSpec()), (TrialSpec, OWN), (StudySpec, SMOKE), (StudySpec, ABLATION), (StudySpec, CHOOSING),
]  # fmt: skip


def attempt(make: Callable[[], Any], *said: str) -> Any:
    """What is made; None where it is refused with an error of ours that says `said`."""
    try:
        return make()
    except SpecError as error:
        refused = error
    assert refused.message and all(part in refused.message for part in said)
    return None


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        ["20ep", "0ep", "1it", "-1ep", "1e9ep", "999999999999ep", "ortho", "python:a:b", "npz:\0", ""]
    )
    | st.sampled_from(
        ["none", "standard", "averaging", "every", "distillation", "zero", "python:my.py:score"]
    )
    | st.sampled_from([10**400, -1, 0, 2**63, 1e308, "x" * 5000])
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8) | st.just("kind"), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(kind=st.sampled_from(list(KINDS)), plain=anything)
def test_arbitrary_json_is_a_value_or_an_error_of_ours(kind: str, plain: Any) -> None:
    """What JSON can say, and some that it cannot."""
    value = attempt(lambda: from_plain(KINDS[kind], plain))
    assert value is None or from_plain(KINDS[kind], json.loads(canonical_json(value))) == value


@st.composite
def mutated(draw: st.DrawFn) -> tuple[type, dict[str, Any]]:
    """A right specification with up to three of its parts replaced, removed or added."""
    cls, spec = draw(st.sampled_from(RIGHT))
    plain = json.loads(canonical_json(spec))
    for _ in range(draw(st.integers(1, 3))):
        node: Any = plain
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(node[key], (dict, list)) and draw(st.booleans()):
                node = node[key]
                continue
            action = draw(st.sampled_from(["replace", "remove", "add"]))
            if action == "remove":
                del node[key]
            elif action == "replace":
                node[key] = draw(anything)
            elif isinstance(node, dict):
                node[draw(st.text(max_size=6))] = draw(scalars)
            break
    return cls, plain


@settings(max_examples=EXAMPLES)
@given(case=mutated())
def test_mutated_specifications(case: tuple[type, dict[str, Any]]) -> None:
    """A value that survives its canonical text with the same digest, or an error that says something."""
    cls, plain = case
    if (value := attempt(lambda: from_plain(cls, plain))) is not None:
        again = from_plain(cls, json.loads(canonical_json(value)))
        assert again == value and digest(again) == digest(value)
        assert to_plain(again) == json.loads(canonical_json(value))


PATHS = [
    *paths.of_study(SMOKE),
    "method.criterion.margin",
    "method.criterion.a.b",
    "method.losses.temperature",
    "method.losses.ortho_penalty",
]
texts = st.text(max_size=30) | st.sampled_from(
    ["\0", "\x1b[2J", "é" * 40, "\u202e", "a" * 20_000, "=", ".", "a..b=1"]
)


@settings(max_examples=EXAMPLES)
@given(
    study=st.sampled_from([SMOKE, CHOOSING]),
    changes=st.dictionaries(st.sampled_from(PATHS) | texts, anything, min_size=1, max_size=3),
)
def test_any_change_of_a_study(study: StudySpec, changes: dict[str, Any]) -> None:
    """Of fields that are there, or not, to whatever; of its base and its search without saying so too."""

    def in_full() -> dict[str, Any]:
        return {full_study_path(study, path): value for path, value in changes.items()}

    for fields in (
        changes,
        {f"base.{path}": value for path, value in changes.items()},
        attempt(in_full) or {},
    ):
        made = attempt(lambda fields=fields: changed(study, fields))
        assert made is None or from_plain(StudySpec, json.loads(canonical_json(made))) == made


@settings(max_examples=EXAMPLES)
@given(
    text=st.builds("{}={}".format, st.sampled_from(paths.of_study(SMOKE)), scalars) | texts,
    total=st.none() | texts | st.sampled_from(["1ep", "3it", "999999999999.999999999ep"]),
    name=st.none() | texts,
)
def test_texts_of_the_command_line(text: str, total: str | None, name: str | None) -> None:
    """`--set`, `--total` and `--name` as people type them, for a study and for a trial."""
    study = attempt(lambda: scaled_study(SMOKE, total=total, name=name, assignments=[text]))
    trial = attempt(lambda: scaled_trial(TrialSpec(), total=total, method=name, assignments=[text]))
    assert all(spec is None or canonical_json(spec) for spec in (study, trial))


@given(text=texts | st.from_regex(r"\s*\d{1,14}(\.\d{1,11})?\s*(ep|it)\s*", fullmatch=True))
def test_durations(text: str) -> None:
    """A duration that is read back as itself, or an error that names the field."""
    value = attempt(lambda: Duration.parse(text, "here"), "here")
    assert value is None or (Duration.parse(str(value)) == value and value.steps(7) >= 0)


@given(text=texts)
def test_assignments(text: str) -> None:
    """A path and a value, or an error that shows what was typed."""
    found = attempt(lambda: parse_assignment(text), repr(text))
    assert found is None or found[0]


HUGE = {
    "space.method.cycles.high": 10**12, "space.method.prune_ratio.step": 1e-300, "slots": 10**15, "seeds": 10**15,
    "space.method.s1.high": "999999999999ep", "base.training.lr": 10**400, "base.seed": 10**5000, "seed": 2**64,
}  # fmt: skip


@pytest.mark.parametrize("path", HUGE)
def test_what_no_machine_can_hold_is_refused(path: str) -> None:
    """Before it is written out: grids of millions of values, and numbers no database takes."""
    with pytest.raises(SpecError, match=r"at most|below 2"):
        changed(SMOKE, {full_study_path(SMOKE, path): HUGE[path]})


@pytest.mark.parametrize("value", ["1" * 5000, "[" * 100_000])
def test_json_that_python_does_not_read_is_a_text(value: str) -> None:
    """More digits, or more brackets, than it allows."""
    assert parse_assignment(f"a={value}") == ("a", value)


@pytest.mark.slow
@settings(max_examples=3000)
@given(case=mutated())
def test_many_mutated_specifications(case: tuple[type, dict[str, Any]]) -> None:
    """The same with many more examples."""
    test_mutated_specifications.hypothesis.inner_test(case)  # type: ignore[attr-defined]
