"""Create a study: validate, try every choice for a few steps, then write it, whole or not at all."""

from __future__ import annotations

import contextlib
import json
import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import reprtune
from reprtune.errors import ReprtuneError, SpecError, StudyError
from reprtune.record import storage as stored
from reprtune.record.database import Storage, is_absent, open_storage
from reprtune.record.locks import study_lock
from reprtune.record.places import check_place
from reprtune.record.schema import StudyRecord
from reprtune.record.view import StudyView
from reprtune.settings import Settings, lease_seconds
from reprtune.spec.branch import SECTION, is_added
from reprtune.spec.codec import canonical_json, differences, digest, from_plain, to_plain
from reprtune.spec.objectives import versions
from reprtune.spec.older import as_today
from reprtune.spec.parts.losses import Teacher
from reprtune.spec.parts.places import short_path
from reprtune.spec.sections.section import check_seeds
from reprtune.spec.study import MIN_FITTING_SHARE, StudySpec
from reprtune.study.code import code_fact
from reprtune.study.dry import dry_trials
from reprtune.study.queueing import fill_new
from reprtune.tracking import environment
from reprtune.tracking.choose import tracker_for
from reprtune.tracking.events import STUDY_KEY, tags_event
from reprtune.tracking.journal import journal_for
from reprtune.tracking.shipper import Shipper
from reprtune.training.chain.chain import Chain, LoadedData
from reprtune.training.chain.plan import find_fork
from reprtune.training.models.weights import content
from reprtune.training.parts.losses import teacher
from reprtune.training.platform import user_code
from reprtune.training.platform.device import open_device

WORDS = ("question", "decision", "cost")  # fields of a study that change nothing of what is trained
N_DRAWS = 20  # of a search, of whose best nothing is known yet


def check_search_seeds(spec: StudySpec) -> None:
    """Raise SpecError where seeds of the search are kept for repeats. Not a rule of the value: stored studies of
    older versions are to be read."""
    if spec.search is not None:
        check_seeds("The seeds of the search, from base.seed on,", spec.trial_seeds())


def check_names(spec: StudySpec) -> None:
    """Raise SpecError where a section has the name of those that are added later. Not a rule of the value: branches
    are read back as a part of it."""
    if any(is_added(section.name) for section in spec.sections):
        raise SpecError(
            f"A section of a new study cannot be named {SECTION!r}: `study branch` names so what it adds.",
            "Choose another name for it.",
        )


def dry_run(spec: StudySpec, loaded_data: LoadedData, progress: Callable[[str], None]) -> None:
    """Train every dry trial.

    Raises:
        ReprtuneError: naming the choice that failed.
    """
    for name, trial in dry_trials(spec).items():
        progress(name)
        try:
            for _ in Chain(trial, loaded_data):
                pass
        except Exception as error:
            raise ReprtuneError(
                f"A dry run of {name} failed: {error}",
                "Nothing was created. Change the study, then create it.",
            ) from error


def find_facts(spec: StudySpec, loaded_data: LoadedData) -> dict[str, Any]:
    """What the data say about the study, and the code that it is created with.

    Raises:
        SpecError: too few draws fit the total, or a control does not; or there is no test part to confirm on.
    """
    task = loaded_data.task(spec.base.task)
    steps = loaded_data.batches(spec.base).steps_per_epoch
    for arm, _, trial in spec.arm_cells(steps):
        try:
            trial.check_fits(steps)
            find_fork(trial, steps)
        except SpecError as error:
            raise SpecError(f"The arm {arm}: {error.message}", error.hint) from error
    for section in spec.comparisons:
        section.design.check_steps(f"{section.name}.design", spec.base, steps, some_draws(spec, steps))
    _check_test_part(spec, len(task.test.y))
    share = spec.fitting_share(steps)
    if share < MIN_FITTING_SHARE:
        raise SpecError(
            f"Only {share:.0%} of the draws fit training.total = {spec.base.training.total}; "
            f"at least {MIN_FITTING_SHARE:.0%} must.",
            "Raise --total, or lower the upper ends of space.method.s1, s2 and cycles.",
        )
    return {
        "steps_per_epoch": steps,
        "total_steps": spec.base.training.total.steps(steps),
        "n_train": len(task.train.y),
        "n_score": len(task.score.y),
        "n_val": len(task.val.y),
        "n_test": len(task.test.y),
        "n_classes": task.n_classes,
        "input_shape": list(task.input_shape),
        "data_digest": task.digest,
        "mean": list(task.mean),
        "std": list(task.std),
        "user_code": find_user_code(spec),
        "weights": find_weights(spec),
        "teachers": find_teachers(spec),
        "code": code_fact(spec),
        "fitting_share": share,
        "objective_versions": versions(),
    }


def _check_test_part(spec: StudySpec, n_test: int) -> None:
    """Raise SpecError where the data have none though what was chosen on the validation part is to be compared."""
    if n_test:
        return
    data = f"the data {spec.base.task.dataset} have no test images."
    if spec.confirmation is not None:
        raise SpecError(
            f"{spec.confirmation.name} measures the test part, but {data}",
            "Leave it out of sections, or take data that have a test part.",
        )
    for section in spec.comparisons:
        if section.tune is not None:
            raise SpecError(
                f"{section.name}.tune chooses on the validation part, so that arms are compared on the test part, but "
                f"{data}",
                f"Leave {section.name}.tune out, or take data that have a test part.",
            )


def some_draws(spec: StudySpec, steps_per_epoch: int) -> list[dict[str, Any]]:
    """Some of what its search may draw and train, as changes of the base; none without one."""
    rng, found = random.Random(0), list[dict[str, Any]]()
    for _ in range(N_DRAWS if spec.space else 0):
        params = spec.draw(lambda _, range_: rng.choice(list(range_.values() or range_.ends())))
        with contextlib.suppress(SpecError):
            spec.trial(params).check_fits(steps_per_epoch)
            found.append(spec.settings(params))
    return found


def find_user_code(spec: StudySpec) -> dict[str, str]:
    """Digest of every factory of the person's own that the study may use, by its name."""
    found: dict[str, str] = {}
    for trial in dry_trials(spec).values():
        found |= user_code.digests(trial)
    return dict(sorted(found.items()))


def find_weights(spec: StudySpec) -> dict[str, dict[str, Any]]:
    """Digest of every network that trials of the study may begin from, and the steps that were trained for it, by
    the folder.

    Raises:
        SpecError: a folder holds no network.
    """
    folders = {trial.model.weights for trial in dry_trials(spec).values()} - {None}
    found = {folder: content(folder) for folder in sorted(filter(None, folders))}
    return {folder: {"digest": digest, "steps": steps} for folder, (digest, steps) in found.items()}


def find_teachers(spec: StudySpec) -> dict[str, str]:
    """Digest of every network that trials of the study may imitate, by the folder.

    Raises:
        SpecError: a folder holds no network.
    """
    losses = (loss for trial in dry_trials(spec).values() for loss in trial.method.losses)
    folders = {loss.teacher_folder for loss in losses if isinstance(loss, Teacher)} - {None}
    return {folder: teacher.content(folder) for folder in sorted(filter(None, folders))}


def create_study(
    spec: StudySpec, settings: Settings, progress: Callable[[str], None] = lambda _: None
) -> tuple[bool, dict[str, Any]]:
    """Create the study in Optuna's storage, and what it needs in its tracker.

    Returns:
        Whether it was made now (False: the same study is there already), and its facts.

    Raises:
        StudyError: another study has this name; the differences are listed.
        SpecError, DataError, StorageError, TrackingError, ReprtuneError: before anything is written.
    """
    check_place(settings.storage_url)
    database = None if is_absent(settings.storage_url) else open_storage(settings.storage_url)
    if database is not None:
        with study_lock(
            database, spec.name
        ):  # else a study that somebody has half made looks like a stranger's
            facts = existing(database, spec)
        if facts is not None:
            return False, facts
    check_search_seeds(spec)
    check_names(spec)
    loaded_data = LoadedData(settings.data_dir, open_device(settings))
    beat, grace = lease_seconds()
    facts = find_facts(spec, loaded_data) | {
        "packages": environment.packages_digest(),
        "lease": {"beat_seconds": beat, "grace_seconds": grace},
    }
    dry_run(spec, loaded_data, progress)
    new = StudyRecord(
        spec=spec, digest=digest(spec), facts=facts, created=time.time(), version=reprtune.__version__
    )
    tracker = tracker_for(settings)
    progress(f"the tracker ({tracker.name})")
    tracker.reach()
    database = database or open_storage(settings.storage_url)
    with study_lock(database, spec.name, preparing=True):
        if (there := existing(database, spec)) is not None:
            return False, there  # made by somebody else meanwhile
        new = replace(new, facts={**facts, **tracker.prepare(spec, new.instance, facts)})
        progress("the study")
        view = StudyView(database, spec.name)
        stored.create(database, new, lambda: fill_new(view, new))
    _say_with_what(settings, new)
    return True, dict(new.facts)


def _say_with_what(settings: Settings, study: StudyRecord) -> None:
    """Checkout, packages and machine on the study's run; through the journal, should MLflow vanish now."""
    journal = journal_for(settings, study.spec.name)
    with contextlib.suppress(OSError):  # a full disk; the study is there, and its workers will say so
        journal.append(STUDY_KEY, tags_event(environment.machine_tags()))
        journal.artifact(STUDY_KEY, environment.FILE, environment.packages())
    Shipper(settings, study.spec, study.instance, facts=study.facts).ship_once()


def existing(database: Storage, spec: StudySpec) -> dict[str, Any] | None:
    """The facts of this very study where it exists; None where its name is free.

    Raises:
        StudyError: the name is taken by another study, or a section of this one could not be stored under it.
    """
    attribute = stored.find_attribute(database, spec.name)
    role = stored.role(attribute)
    if role == stored.STUDY and is_same(spec, attribute):
        return dict(attribute["facts"])
    if role == stored.SECTION:
        raise StudyError(
            f"The name {spec.name!r} is that of a section of the study {spec.name.rpartition('.')[0]!r}, and is "
            "taken by it.",
            "Choose another name with --name.",
        )
    for section in spec.sections:
        name = stored.section_study(spec, section)
        if name != spec.name and stored.role(stored.find_attribute(database, name)) == stored.STUDY:
            raise StudyError(
                f"The name {spec.name!r} cannot stand beside the study {name!r} that is there: a section of a "
                "study is stored under its name and that of the section.",
                "Choose another name with --name.",
            )
    if role != stored.STUDY:
        return None
    rows = differences(as_today(json.loads(attribute["spec"])), json.loads(canonical_json(spec)))
    rows = [row for row in rows if row[0] not in WORDS] or rows  # the words follow from what else is changed
    text = "\n".join(
        f"    {short_path(path.removeprefix('sections.'))}: {to_plain(old)!r} there, {to_plain(new)!r} here"
        for path, old, new in rows
    )
    raise StudyError(
        f"There is another study named {spec.name!r}, which differs in\n{text}",
        f"Choose another name with --name, or remove the old one with: python cli.py study delete {spec.name}",
    )


def is_same(spec: StudySpec, attribute: dict[str, Any]) -> bool:
    """Is the stored study this very one, whatever version stored it?"""
    if attribute["digest"] == digest(spec):
        return True
    with contextlib.suppress(SpecError):
        return from_plain(StudySpec, as_today(json.loads(attribute["spec"]))) == spec
    return False
