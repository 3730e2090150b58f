"""More seeds for what is there: fresh, the same for every arm, and beside a study whose digest stays."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.storages import RDBStorage

from reprtune.analysis.controls import arm_summaries
from reprtune.errors import ReprtuneError, SpecError, StudyError
from reprtune.record import storage as stored
from reprtune.record.database import open_storage
from reprtune.record.schema import StudyRecord
from reprtune.settings import Settings
from reprtune.spec.sections.arms import Arms, Until
from reprtune.spec.sections.confirmation import Confirmation
from reprtune.spec.space import IntRange
from reprtune.spec.study import Arm, StudySpec, named
from reprtune.study.create import create_study
from reprtune.study.extend import extend_study
from tests.command import Command
from tests.flat import with_fields
from tests.stored import new_study
from tests.study.two_databases import all_at_once, finish, queue_of, refill_once, url_of, where
from tests.tiny_study import STUDY
from tests.work.tiny_worker import create, read, work

__all__ = ["where"]  # the fixture
FITTING = {**STUDY.space, "method.cycles": IntRange(low=1, high=1)}  # every draw fits
CONFIRMED = with_fields(STUDY, space=FITTING, slots=1).with_section(Confirmation(top=1, seeds=(2, 3)))


def study_in(storage: RDBStorage) -> StudyRecord:
    return stored.read_study(storage, "tiny")


def cells(study: StudyRecord) -> set[tuple[str | None, int]]:
    return {(trial.arm, trial.seed) for trial in study.controls}


# -- what is added -----------------------------------------------------------------------------------


def test_every_arm_gets_the_same_fresh_seeds(where: str | Path) -> None:
    """Those after the largest that anything has, also a confirmation; again, and there are further ones."""
    storage, _ = new_study(where, spec=CONFIRMED)
    one = extend_study(storage, "tiny", 2)
    assert (one.section, one.seeds, one.n_new) == ("controls", (4, 5), 4)
    two = extend_study(storage, "tiny", 1, "controls")
    assert (two.seeds, two.n_new) == ((6,), 2)
    study = study_in(storage)
    seeds = (0, 1, 4, 5, 6)
    assert study.spec.comparisons[0].seeds == seeds
    assert cells(study) == {(arm, seed) for arm in ("standard", "base") for seed in seeds}
    assert len(study.controls) == 10 and [t.slot for t in study.controls] == list(range(10))
    assert refill_once(storage) == 0
    storage.engine.dispose()


def test_what_was_created_stays_as_it_was(tmp_path: Path) -> None:
    """Its text and its digest; creating the same study finds it there, extended or not."""
    settings = create(tmp_path, spec=CONFIRMED)
    storage = open_storage(settings.storage_url)
    before = stored.read_attribute(storage, "tiny")
    extend_study(storage, "tiny", 2)
    assert stored.read_attribute(storage, "tiny") == before
    assert json.loads(before["spec"])["sections"][0]["seeds"] == [0, 1]
    assert create_study(CONFIRMED, settings) == (False, before["facts"])
    assert study_in(storage).spec.comparisons[0].seeds == (0, 1, 4, 5)


def test_a_confirmation_is_extended(tmp_path: Path) -> None:
    """Before it has begun, its further seeds wait with it; afterwards they are queued at once, for all it holds."""
    storage, _ = new_study(tmp_path / "x.db", spec=CONFIRMED)
    done = extend_study(storage, "tiny", 1, "confirmation")
    assert (done.section, done.seeds, done.n_new) == ("confirmation", (4,), 0)
    finish(queue_of(storage, "controls"), *[0.3] * 4)
    finish(queue_of(storage, "search"), 0.1)
    assert refill_once(storage) == 9
    later = extend_study(storage, "tiny", 2, "confirmation")
    assert (later.seeds, later.n_new) == ((5, 6), 6)
    found = {(t.arm, t.seed) for t in study_in(storage).confirmation}
    assert found == {(arm, seed) for arm in ("standard", "base", "slot-0") for seed in (2, 3, 4, 5, 6)}


def test_arms_that_are_extended_while_a_confirmation_runs_go_first(tmp_path: Path) -> None:
    """The confirmation counts as waiting again, keeps what is queued, and nothing is queued twice."""
    storage, _ = new_study(tmp_path / "x.db", spec=CONFIRMED)
    finish(queue_of(storage, "controls"), *[0.3] * 4)
    finish(queue_of(storage, "search"), 0.1)
    assert refill_once(storage) == 6
    assert extend_study(storage, "tiny", 1).n_new == 2
    study = study_in(storage)
    assert (study.unsettled(), study.unconfirmed(), len(study.confirmation)) == (2, 6, 6)
    finish(queue_of(storage, "controls"), 0.3, 0.3)
    assert refill_once(storage) == 0


def test_two_who_extend_at_once_get_different_seeds(where: str | Path) -> None:
    """Neither loses what the other has added."""
    storage, _ = new_study(where)
    found = all_at_once(url_of(storage), 2, lambda own: extend_study(own, "tiny", 2).seeds)
    assert sorted(found) == [(2, 3), (4, 5)]
    assert study_in(storage).spec.comparisons[0].seeds == (0, 1, 2, 3, 4, 5)
    assert len(cells(study_in(storage))) == len(study_in(storage).controls) == 12
    storage.engine.dispose()


def test_extending_that_was_interrupted_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed when the seeds were stored and nothing of them queued: whoever works on the study queues them."""
    storage, _ = new_study(tmp_path / "x.db")

    def break_off(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("reprtune.study.queueing.enqueue", break_off)
        with pytest.raises(KeyboardInterrupt):
            extend_study(storage, "tiny", 1)
    assert len(cells(study_in(storage))) == 4 and refill_once(storage) == 2
    assert len(cells(study_in(storage))) == 6 and refill_once(storage) == 0


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A comparison of two arms with two seeds, trained, extended by one seed and trained again."""
    spec = with_fields(STUDY, slots=0, space={})
    settings = create(tmp_path_factory.mktemp("extended"), spec=spec)
    work(settings)
    storage = open_storage(settings.storage_url)
    extend_study(storage, "tiny", 1)
    storage.engine.dispose()
    work(settings)
    return settings


def test_reports_count_the_new_seeds(extended: Settings) -> None:
    """Three runs of each arm and three pairs, enough for an interval; the runs of before are what they were."""
    study = read(extended)
    standard, base = arm_summaries(study)
    assert (standard.n, base.n, standard.n_open, base.n_open) == (3, 3, 0, 0)
    assert [value.seed for value in standard.errors] == [value.seed for value in base.errors] == [0, 1, 2]
    difference = base.against[0].difference
    assert difference is not None and difference.n == 3 and difference.low is not None
    assert study.pending() == 0 and len(study.controls) == 6


# -- what is refused ---------------------------------------------------------------------------------


def two_sections() -> StudySpec:
    wide = Arms(name="wide", design=named(Arm(name="wide", changes={"model.width": 3})), seeds=(0,))
    return with_fields(STUDY).with_section(wide)


@pytest.mark.parametrize(
    ("spec", "section", "kind", "said", "hint"),
    [
        (with_fields(STUDY, controls=()), None, StudyError, "'tiny' has no arms", "Only arms and confirm"),
        (
            STUDY,
            "search",
            StudyError,
            "section 'search' of 'tiny' cannot have more seeds",
            "study confirm tiny",
        ),
        (STUDY, "controlls", SpecError, "has no section 'controlls'", "controls"),
        (STUDY, "confirmation", SpecError, "has no section 'confirmation'", ""),
        (two_sections(), None, StudyError, "2 sections of arms, so that one", "--section: controls, wide"),
    ],
    ids=["no arms", "a search", "misspelt", "no confirmation", "two of them"],
)
def test_what_cannot_have_more_seeds_is_said(
    tmp_path: Path, spec: StudySpec, section: str | None, kind: type[ReprtuneError], said: str, hint: str
) -> None:
    """With what could be done; nothing is stored."""
    storage, _ = new_study(tmp_path / "x.db", spec=spec)
    before = study_in(storage)
    with pytest.raises(kind, match=said) as error:
        extend_study(storage, "tiny", 1, section)
    assert hint in error.value.hint and study_in(storage) == before


@pytest.mark.parametrize("n_seeds", [0, -1])
def test_the_number_of_seeds_is_checked(tmp_path: Path, n_seeds: int) -> None:
    """Before anything is read."""
    storage, _ = new_study(tmp_path / "x.db")
    with pytest.raises(SpecError, match=f"seeds must be at least 1, but got {n_seeds}"):
        extend_study(storage, "tiny", n_seeds)


def test_more_seeds_than_a_section_may_have_are_refused(tmp_path: Path) -> None:
    """A section has at most 1,000; nothing is stored."""
    storage, _ = new_study(tmp_path / "x.db")
    with pytest.raises(SpecError, match="must be at most 1000 seeds, but got 1001"):
        extend_study(storage, "tiny", 999)
    assert study_in(storage).spec.comparisons[0].seeds == (0, 1)


def test_other_code_is_refused_unless_it_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it trains could not be compared; nothing is stored then."""
    storage = open_storage(create(tmp_path).storage_url)
    monkeypatch.setattr("reprtune.study.code.alone_digest", lambda _: "0" * 64)
    with pytest.raises(StudyError, match="The code here is not what the study 'tiny'") as error:
        extend_study(storage, "tiny", 1)
    assert "--accept-code" in error.value.hint and len(study_in(storage).controls) == 4
    assert extend_study(storage, "tiny", 1, accept_code=True).n_new == 2


# -- the command -------------------------------------------------------------------------------------


def test_the_command_says_what_it_has_queued(command: Command) -> None:
    """Typed twice it adds twice; `--confirmation` and `--section` name another section; wrong values are exit
    codes 1 and 2, and leave everything as it was."""
    create(command.runs, spec=CONFIRMED)

    def extend(*words: str, code: int = 0) -> str:
        result = command.quick("study", "extend", "tiny", *words, code=code)
        return result.output

    assert "tiny: controls has the further seeds 4, 5; 4 runs queued now" in extend("--seeds", "2")
    assert "tiny: controls has the further seeds 6; 2 runs" in extend("--arms", "--seeds", "1")
    assert "confirmation has the further seeds 7; 0 runs" in extend("--confirmation", "--seeds", "1")
    assert "controls has the further seeds 8;" in extend("--section", "controls", "--seeds", "1")
    before = read(command.settings)
    assert "cannot have more seeds" in extend("--section", "search", "--seeds", "1", code=1)
    assert "x>=1" in extend("--seeds", "0", code=2)
    assert "Missing option '--seeds'" in extend(code=2)
    assert read(command.settings) == before


def test_the_command_needs_a_study_and_its_section(command: Command) -> None:
    """In words; looking makes no runs folder."""
    assert "no study 'tiny'" in command.quick("study", "extend", "tiny", "--seeds", "1", code=1).stderr
    assert not command.runs.exists()
    create(command.runs)
    said = command.quick("study", "extend", "tiny", "--confirmation", "--seeds", "1", code=1).stderr
    assert "has no confirmation to extend" in said and "study confirm tiny" in said


def test_the_help_shows_examples_that_can_be_typed(command: Command) -> None:
    """For the arms and for a confirmation."""
    said = command.quick("study", "extend", "-h").stdout
    assert "study extend repr-ablation --arms --seeds 2" in said
    assert "study extend repr-ablation --confirmation --seeds 5" in said


def test_seeds_that_a_rule_would_add_are_not_those_of_a_confirmation(tmp_path: Path) -> None:
    """They follow the section's own, wherever they end: refused, with what stands in the way and the way out."""
    controls = with_fields(STUDY, space=FITTING, slots=1).comparisons[0]
    arms = replace(controls, seeds=(0, 1, 2), until=Until(most=4))
    _, search = with_fields(STUDY, space=FITTING, slots=1).sections
    spec = replace(STUDY, sections=(arms, search)).with_section(Confirmation(top=1, seeds=(5, 6)))
    storage, _ = new_study(tmp_path / "x.db", spec=spec)
    with pytest.raises(StudyError) as refused:
        extend_study(storage, "tiny", 2)
    assert "the confirmation has trained on 5" in refused.value.message
    assert "study extend tiny --section confirmation" in refused.value.hint
    assert extend_study(storage, "tiny", 1).section == "controls"
    section = study_in(storage).spec.comparisons[0]
    assert isinstance(section, Arms) and section.all_seeds == (0, 1, 2, 3, 4)
