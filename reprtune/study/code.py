"""One study, one code: what a study's trials can run is written down at create, and workers hold to it.

A network trained by other code is another measurement: a share that is rounded down drops 4 of 16 filters instead
of 5, and nothing in the numbers says so. States cannot be mixed, for they are named by the code that makes them;
the numbers of a study could. So a worker whose code differs refuses, unless it is told to go on. Then every
attempt says which code it ran under (`record.codes`).

Kept is, for each module, the beginning of the digest of what its source says (`training.sources`): comments,
docstrings, new files, and parts that the study does not use change nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from reprtune.errors import StudyError
from reprtune.record.codes import VALUES
from reprtune.record.schema import StudyRecord
from reprtune.spec.branch import is_added
from reprtune.spec.codec import digest
from reprtune.spec.study import StudySpec
from reprtune.study.dry import dry_trials
from reprtune.tracking.environment import git_dirty, git_sha
from reprtune.training.chain import identity
from reprtune.training.chain.plan import plan
from reprtune.training.parts.behaviour import module_of
from reprtune.training.platform.sources import alone_digest, file_of

ADDED = "code_with_branches"  # fact: all code of a study, as it was when its last branch was added, and what is the
# person's own: `user_code` and `teachers`
DIGITS = 16  # that are kept of a digest
SHOWN = 6  # modules in an error message
ACCEPT = "--accept-code"
SPOKEN = {VALUES: "reprtune.spec (the values that its words and defaults stand for)"}

# What enters a trial's numbers without being in the names of its states, or as a value only. By their sources:
# they turn what is stored (durations, draws, ranges) into steps, settings and learning rates, run the chain, and
# take means over seeds. By values, in `VALUES`: presets, defaults and the catalog, whose sources also hold what the
# study does not use. Not among it: what decides which trials there are (samplers, stop rules, budgets), for each
# trial's draws and end are in the record; and the readers of data, for the data have a digest of their own.
BESIDE_NAMES = (
    "reprtune.spec.draws",
    "reprtune.spec.duration",
    "reprtune.spec.edit",
    "reprtune.spec.parts.schedules",
    "reprtune.spec.space",
    "reprtune.training.chain.chain",
    "reprtune.training.chain.plan",
    "reprtune.training.parts.schedules",
    "reprtune.work.seeds",
)
PACKAGES = ("torch", "torchvision")


def code_here(spec: StudySpec) -> dict[str, Any]:
    """All code of ours that the trials of a study can run, as it is here: `modules` (name -> beginning of its
    digest), `versions` (package -> version without what follows `+`)."""
    trials = dry_trials(spec).values()
    found = {name: alone_digest(name) for name in BESIDE_NAMES}
    found[VALUES] = digest(sorted(map(digest, trials)))  # a stored study has its space in another order
    for trial in trials:
        found |= identity.code(trial, plan(trial, 1))
        if trial.method.schedule is not None:
            schedule = module_of(trial.method.schedule)
            found[schedule] = alone_digest(schedule)
    return {
        "modules": {name: found[name][:DIGITS] for name in sorted(found)},
        "versions": {name: version(name).partition("+")[0] for name in PACKAGES},
    }


def code_fact(spec: StudySpec) -> dict[str, Any]:
    """The same as it is stored, with the `commit` of the checkout for people."""
    changed = ", with changes that were not committed" if git_dirty() == "true" else ""
    return {**code_here(spec), "commit": f"{git_sha()}{changed}"}


def check_code(study: StudyRecord, *, accept: bool = False) -> dict[str, Any]:
    """The code here must be what the study was created with, unless another is accepted, or none is stored with
    it, as in older versions; what `code_here` says.

    Raises:
        StudyError: it is not; the modules and versions that differ are named.
    """
    here, there = code_here(_created(study.spec)), study.facts.get("code")
    if there is None or accept:
        return here
    found = list(differences(there, here))
    if not found and (added := study.facts.get(ADDED)) is not None:
        found = list(differences(added, code_here(study.spec)))
    if not found:
        return here
    more = f", and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    raise StudyError(
        f"The code here is not what the study {study.spec.name!r} was created with: "
        f"{', '.join(found[:SHOWN])}{more}. What is trained here could not be compared with its other trials.",
        f"Put the code back as it was ({_made_by(there)}), create a study of another name, or go on all the same "
        f"with {ACCEPT}: every attempt then says which code it ran under.",
    )


def _created(spec: StudySpec) -> StudySpec:
    """Without the branches, which may run code that the study was created without."""
    return replace(spec, sections=tuple(one for one in spec.sections if not is_added(one.name)))


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[str]:
    """What differs between the code of a study and the code here, in words."""
    for name in PACKAGES:
        then, now = there["versions"].get(name), here["versions"].get(name)
        if then != now:
            yield f"{name} is {now}, not {then}"
    before, now = there["modules"], here["modules"]
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            verb = "is missing" if name not in now else "is new to it" if name not in before else "differs"
            yield f"{_spoken(name)} {verb}"


def _spoken(name: str) -> str:
    path = file_of(name)
    return SPOKEN.get(name) or (name if path is None else f"{name} ({path})")


def _made_by(there: Mapping[str, Any]) -> str:
    commit = there.get("commit", "unknown")
    return "its commit is unknown" if commit.startswith("unknown") else f"it was commit {commit}"
