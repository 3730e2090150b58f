"""What counts as the code of a study, and what a worker does where another is here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reprtune.doctor import machine as doctor_machine
from reprtune.errors import StudyError
from reprtune.record.checks import check_study
from reprtune.record.codes import by_code, of_study, other_code, short_digest
from reprtune.record.database import open_storage
from reprtune.record.schema import StudyRecord
from reprtune.settings import Settings
from reprtune.spec.codec import digest
from reprtune.spec.space import Choice
from reprtune.spec.study import Arm, StudySpec
from reprtune.study import code
from reprtune.study.confirm import prepare_confirmation
from reprtune.study.dry import dry_trials
from reprtune.training.chain import identity
from reprtune.training.chain.chain import Chain
from reprtune.training.platform import sources
from tests.factories import make_study
from tests.flat import with_attempts, with_fields
from tests.study.test_confirm import FITTING
from tests.tiny_study import STUDY
from tests.work.tiny_worker import LOADED_DATA, Counted, create, make_worker, read, work

TRAINING = "reprtune.training."
UNUSED = (
    "parts.restores.simple",
    "parts.criteria.taylor",
    "chain.exchanging",
    "parts.exchanges.average",
    "export.network",
    "models.resnet",
)
USED = (
    "parts.selections.share",
    "chain.plan",
    "chain.chain",
    "chain.trial_networks",
    "parts.restores.orthogonal",
    "parts.criteria.norm",
    "parts.criteria.random",
    "descent.step",
)


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a module of ours say something else from now on, in this test."""
    real = sources.digest_of

    def change(module: str) -> None:
        path = sources.file_of(module)
        assert path is not None
        for owner in (sources, identity):
            monkeypatch.setattr(owner, "digest_of", lambda p: "f" * 64 if p == path else real(p))

    return change


def record(spec: StudySpec = STUDY, **fact: Any) -> StudyRecord:
    """A study whose facts have the code that is here."""
    made = code.code_fact(spec)
    return StudyRecord(
        spec=spec, digest=digest(spec), facts={"code": made | fact}, created=0.0, version="1.0"
    )


def test_the_code_of_a_study_is_all_that_names_its_states(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every module whose source enters a name of any dry trial is in it, found as names are made."""
    named: set[str] = set()

    def spy(*modules: str) -> str:
        named.update(sources.closure(*modules))
        return ""

    monkeypatch.setattr(identity, "source_digest", spy)
    averaging = Arm(name="averaging", changes={"method": "averaging"})
    spec = with_fields(STUDY, controls=(*STUDY.arms, averaging))
    for trial in dry_trials(spec).values():
        Chain(trial, LOADED_DATA)
    modules = code.code_here(spec)["modules"]
    assert len(named) > 30 and named < modules.keys()
    assert f"{TRAINING}parts.exchanges.average" in named
    schedules = {f"{TRAINING}parts.schedules.cycles", f"{TRAINING}parts.schedules.every"}
    assert modules.keys() - named == {identity.ALONE, code.VALUES, *code.BESIDE_NAMES, *schedules}


@pytest.mark.parametrize("module", USED)
def test_a_module_that_trials_run_counts(module: str, other: Callable[[str], None]) -> None:
    """It is named with its file; the ways out are said."""
    study = record(commit="abc")
    other(TRAINING + module)
    path = str(sources.file_of(TRAINING + module))
    with pytest.raises(StudyError) as error:
        code.check_code(study)
    assert (
        f"'{STUDY.name}' was created with: {TRAINING}{module} ({path}) differs. What" in error.value.message
    )
    hint = str(error.value.hint)
    assert "it was commit abc" in hint and "another name" in hint and "--accept-code" in hint
    assert code.check_code(study, accept=True)["modules"][TRAINING + module] == "f" * 16


@pytest.mark.parametrize("module", UNUSED)
def test_a_module_that_no_trial_runs_does_not(module: str, other: Callable[[str], None]) -> None:
    """A part that is not chosen, another network, what writes files."""
    study = record()
    other(TRAINING + module)
    code.check_code(study)


def test_a_default_counts_by_its_value() -> None:
    """Where what a word or an option not given stands for is another, it is said."""
    spec = with_fields(STUDY, controls=(Arm(name="one", changes={"method.restore": "random"}),))
    changed = with_fields(STUDY, controls=(Arm(name="one", changes={"method.restore": "zero"}),))
    study = replace(record(spec), spec=changed)
    with pytest.raises(StudyError, match=r"reprtune\.spec \(the values .* differs"):
        code.check_code(study)


def test_the_order_of_the_space_does_not_count() -> None:
    """A stored study has it sorted."""
    turned = with_fields(STUDY, space=dict(reversed(STUDY.space.items())))
    assert code.code_here(turned) == code.code_here(STUDY)


@pytest.mark.parametrize(
    ("here", "refused"),
    [("2.13.0+cu130", False), ("2.13.0", False), ("2.13.1+cpu", True), ("2.12.0", True)],
)
@pytest.mark.parametrize("package", ["torch", "torchvision"])
def test_versions(package: str, here: str, refused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands before the `+` counts, of both."""
    monkeypatch.setattr(code, "version", lambda _: "2.13.0+cpu")
    study = record()
    monkeypatch.setattr(code, "version", lambda name: here if name == package else "2.13.0+cpu")
    if not refused:
        code.check_code(study)
        return
    with pytest.raises(StudyError, match=rf"{package} is {here.partition('+')[0]}, not 2\.13\.0\. What"):
        code.check_code(study)


def test_modules_that_come_and_go_are_named_and_many_are_counted() -> None:
    """Six are named; the commit that made a study is said where it is known."""
    made = code.code_fact(STUDY)
    modules = {k: v for k, v in made["modules"].items() if k != f"{TRAINING}descent.step"} | {
        "reprtune.gone": "0"
    }
    with pytest.raises(StudyError) as error:
        code.check_code(record(modules=modules, commit="abc"))
    assert "reprtune.gone is missing" in error.value.message and "it was commit abc" in str(error.value.hint)
    assert "step.py) is new to it" in error.value.message
    with pytest.raises(StudyError) as error:
        code.check_code(record(modules=dict.fromkeys(modules, "0"), commit="unknown"))
    n = len(modules) + 1
    assert f", and {n - 6} more. What" in error.value.message and "commit is unknown" in str(error.value.hint)


def test_older_studies_have_nothing_to_differ_from() -> None:
    """They are not refused; `doctor` says in a line that it is unknown."""
    study = make_study(1)
    code.check_code(study)
    found = doctor_machine._code(study)
    assert found.verdict == "ok" and "is unknown" in found.text
    assert of_study(study) is None and not by_code(study)


def test_a_worker_refuses_before_it_takes_anything(tmp_path: Path, other: Callable[[str], None]) -> None:
    """Told to go on, it writes its code down with the attempt; the slots before it keep theirs."""
    settings = create(tmp_path, space=FITTING, slots=2, controls=())
    work(settings, tickets=Counted(1))
    before = read(settings)
    other(f"{TRAINING}parts.selections.share")
    with pytest.raises(StudyError, match="share"):
        make_worker(settings)
    assert read(settings) == before
    study = work(settings, accept_code=True)
    own, here = of_study(study), short_digest(code.code_here(study.spec), {})
    assert own != here and [t.codes for t in study.trials] == [(own,), (here,)]
    assert [t.result["code"] for t in study.trials] == [t.lease["code"] for t in study.trials] == [own, here]
    assert {k: [t.slot for t in v] for k, v in other_code(study).items()} == {here: [1]}


def test_a_confirmation_is_not_queued_by_other_code(tmp_path: Path, other: Callable[[str], None]) -> None:
    """Nothing is queued; accepted, its attempts say which code they ran under. Asked for again when all is
    there, it has nothing to refuse."""
    settings = create(tmp_path, space=FITTING, slots=1, controls=())
    work(settings)
    storage = open_storage(settings.storage_url)
    other(f"{TRAINING}descent.step")
    with pytest.raises(StudyError, match="step"):
        prepare_confirmation(storage, STUDY.name, 1, 1)
    assert read(settings).confirmation == ()
    assert prepare_confirmation(storage, STUDY.name, 1, 1, accept_code=True).n_new == 1
    assert prepare_confirmation(storage, STUDY.name, 1, 1).n_new == 0
    storage.engine.dispose()
    with pytest.raises(StudyError, match="step"):
        make_worker(settings)
    make_worker(settings, accept_code=True).run()
    study = read(settings)
    assert study.confirmation[0].codes != study.trials[0].codes
    assert list(other_code(study)) == list(study.confirmation[0].codes)


def test_every_seed_says_its_code(tmp_path: Path, other: Callable[[str], None]) -> None:
    """A trial whose second seed was trained under other code names both."""
    settings = create(tmp_path, space=FITTING, slots=1, controls=(), seeds=2)
    worker = make_worker(settings, leaving=lambda: bool(seeds_done(settings)))
    worker.run()
    worker.storage.engine.dispose()
    other(f"{TRAINING}descent.step")
    study = work(settings, accept_code=True)
    done = next(t for t in study.trials if t.outcome == "complete")
    assert done.codes == (of_study(study), done.result["code"]) and len(set(done.codes)) == 2


def seeds_done(settings: Settings) -> int:
    return sum(len(t.earlier) for t in read(settings).trials)


def test_several_codes_of_an_older_study_are_all_said() -> None:
    """Which is its own is unknown; one alone is no mixture."""
    study = make_study(2, outcomes=("complete",), extras=(), control_seeds=())
    one, two = study.trials

    def under(first: str, second: str) -> StudyRecord:
        trials = (replace(one, result={"code": first}), replace(two, result={"code": second}))
        return with_attempts(study, trials=trials, controls=())

    assert other_code(under("a", "a")) == {} and list(other_code(under("a", "b"))) == ["a", "b"]


@pytest.mark.parametrize("broken", ["text", {"modules": {}}, {"modules": {"a": 1}, "versions": {}}])
def test_a_damaged_fact_is_named(broken: Any) -> None:
    """As every attribute that is not of its form."""
    facts = {"steps_per_epoch": 1, "total_steps": 1, "code": broken}
    attribute = {"spec": "", "digest": "", "facts": facts, "created": 0.0, "version": ""}
    with pytest.raises(StudyError, match=r"reprtune\.facts"):
        check_study("tiny", attribute)


def test_a_choice_brings_its_modules() -> None:
    """Every option of the space counts, not the base alone."""
    spec = with_fields(STUDY, space={**STUDY.space, "method.criterion": Choice(options=("ortho", "taylor"))})
    modules = code.code_here(spec)["modules"]
    assert f"{TRAINING}parts.criteria.taylor" in modules and f"{TRAINING}parts.criteria.random" not in modules
