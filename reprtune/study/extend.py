"""More seeds for a section that has them: its next value is stored beside the study, and queued."""

from __future__ import annotations

from dataclasses import dataclass

from optuna.storages import RDBStorage

from reprtune.errors import SpecError, StudyError
from reprtune.record.locks import study_lock
from reprtune.record.schema import StudyRecord
from reprtune.record.storage import add_section, read_study
from reprtune.record.view import StudyView
from reprtune.settings import program
from reprtune.spec.sections.arms import Arms
from reprtune.spec.study import AnySection
from reprtune.study.confirm import fresh_seeds
from reprtune.study.queueing import refill_locked


@dataclass(frozen=True)
class Extended:
    """What was added: `section` with its further `seeds`, and how many runs were queued."""

    section: str
    seeds: tuple[int, ...]
    n_new: int


def extend_study(
    storage: RDBStorage, name: str, n_seeds: int, section: str | None = None, *, accept_code: bool = False
) -> Extended:
    """Give a section `n_seeds` further seeds, which nothing in the study has had.

    Args:
        section: its name; None = the arms, where the study has one section of them.
        accept_code: also where the code here is not the study's.

    Raises:
        SpecError: the number is too small, or there is no such section.
        StudyError: the section has no seeds that can be more, or the code here is not the study's.
    """
    if n_seeds < 1:
        raise SpecError(f"seeds must be at least 1, but got {n_seeds}.", "It counts the further ones.")
    with study_lock(storage, name):
        study = read_study(storage, name, histories=False)
        old = _chosen(study, section)
        from reprtune.study.code import check_code  # loads torch

        check_code(study, accept=accept_code)
        seeds = fresh_seeds(study, n_seeds)
        new = old.extended(seeds)
        _check_apart(study, old, new)
        add_section(storage, study, new)
        return Extended(old.name, seeds, refill_locked(StudyView(storage, name)))


def _check_apart(study: StudyRecord, old: AnySection, new: AnySection) -> None:
    """A section whose seeds are added as its rule asks takes those that follow its own, and a confirmation may have
    them by now."""
    confirmation = study.spec.confirmation
    if not isinstance(old, Arms) or not isinstance(new, Arms) or confirmation is None:
        return
    added = new.all_seeds[len(old.all_seeds) :]
    if taken := [seed for seed in added if seed in confirmation.seeds]:
        raise StudyError(
            f"{old.name!r} takes the seeds that follow its own, up to {new.all_seeds[-1]}, but the confirmation has "
            f"trained on {', '.join(map(str, taken))}, which must be fresh.",
            f"Give the confirmation more seeds: {program()} study extend {study.spec.name} --section "
            f"{confirmation.name} --seeds N; or ask for more of {old.name!r} in a new study.",
        )


def _chosen(study: StudyRecord, section: str | None) -> AnySection:
    spec = study.spec
    if section is None:
        if not spec.comparisons:
            raise StudyError(
                f"{spec.name!r} has no arms.", "Only arms and confirmations can have more seeds."
            )
        if len(spec.comparisons) > 1:
            names = ", ".join(one.name for one in spec.comparisons)
            raise StudyError(
                f"{spec.name!r} has {len(spec.comparisons)} sections of arms, so that one must be named.",
                f"Name one of them with --section: {names}.",
            )
        return spec.comparisons[0]
    found = spec.section(section)
    if found.extended(()) is None:
        raise StudyError(
            f"The section {section!r} of {spec.name!r} cannot have more seeds: it trains each setting with "
            "as many as it was created with.",
            "Confirm its leaders with more seeds: python cli.py study confirm " + spec.name,
        )
    return found
