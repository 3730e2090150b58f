"""What is here must be what a study was created with: packages, the person's own code, the data, networks."""

from __future__ import annotations

from collections.abc import Callable

from reprtune.errors import DataError, SpecError, StudyError
from reprtune.importing import PREFIX
from reprtune.record.schema import StudyRecord
from reprtune.settings import Settings
from reprtune.study.code import ACCEPT, ADDED
from reprtune.tracking.environment import packages_digest
from reprtune.training.chain.chain import LoadedData
from reprtune.training.models.weights import content
from reprtune.training.parts.losses import teacher
from reprtune.training.platform import user_code
from reprtune.training.platform.device import is_out_of_memory, open_device


def same_packages(study: StudyRecord) -> bool:
    """Whether Python and packages are here as they were where the study was created."""
    return study.facts.get("packages", packages_digest()) == packages_digest()


def held(study: StudyRecord, fact: str) -> dict[str, str]:
    """Name -> digest of what is of the person's own, `user_code` or `teachers`, with what only branches use."""
    return {**study.facts.get(ADDED, {}).get(fact, {}), **study.facts.get(fact, {})}


def check_machine(study: StudyRecord, settings: Settings, *, accept: bool = False) -> None:
    """All that a worker needs on its machine beside our code, before anything is queued for it: the device, and what
    the study was created with.

    Args:
        accept: also another code of the person's own.

    Raises:
        ReprtuneError: of whatever kind, naming what is missing or another.
    """
    device = open_device(settings)
    check_user_code(study, accept=accept)
    check_networks(study)
    check_data(study, LoadedData(settings.data_dir, device))


def check_user_code(study: StudyRecord, *, accept: bool = False) -> dict[str, str]:
    """The person's own networks, data sets and parts must be made by the code the study was created with, unless
    another is accepted; their digests here, and of what only branches use those that are others."""
    found = {}
    for name, digest in held(study, "user_code").items():
        here = user_code.load(name.removeprefix(PREFIX), StudyError)
        if here.digest != digest or name in study.facts.get("user_code", {}):
            found[name] = here.digest
        if here.digest != digest and not accept:
            files = ", ".join(map(str, here.files.values()))
            raise StudyError(
                f"The code of {name} here is not what the study {study.spec.name!r} was created with "
                f"(digest {here.digest[:12]}, not {digest[:12]}; files {files}).",
                f"Put the files back as they were, create a study of another name, or go on all the same with {ACCEPT}.",
            )
    return found


def check_networks(study: StudyRecord) -> None:
    """The networks that trials begin from, or imitate, must be here as they were when the study was created."""
    for folder, fact in study.facts.get("weights", {}).items():
        _check_network(study, folder, fact["digest"], lambda folder: content(folder)[0])
    for folder, digest in held(study, "teachers").items():
        _check_network(study, folder, digest, teacher.content)


def _check_network(study: StudyRecord, folder: str, digest: str, read: Callable[[str], str]) -> None:
    mend = "Put the folder there as it was, or create a study of another name."
    try:
        found = read(folder)
    except SpecError as error:
        raise StudyError(f"The study {study.spec.name!r} needs a network: {error.message}", mend) from error
    if found != digest:
        raise StudyError(
            f"The network in {folder} here is not the one that the study {study.spec.name!r} was created with "
            f"(digest {found[:12]}, not {digest[:12]}).",
            mend,
        )


def check_data(study: StudyRecord, loaded_data: LoadedData) -> None:
    """The data here must be those the study was created with."""
    try:
        found = loaded_data.task(study.spec.base.task).digest
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise DataError(
            f"The data {study.spec.base.task.dataset} do not fit in the memory of {loaded_data.device} "
            f"({type(error).__name__}).",
            "Free memory there, run fewer workers on it, or create a study with fewer task.train_images.",
        ) from error
    if found != study.facts["data_digest"]:
        raise StudyError(
            f"The data {study.spec.base.task.dataset} here are not those the study {study.spec.name!r} was "
            f"created with (digest {found[:12]}, not {study.facts['data_digest'][:12]}).",
            "Point --data-dir to the same files, or create a study of another name.",
        )
