"""The device, the memory, the data, and one study's needs, for `doctor`."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from functools import cache

from reprtune.doctor.findings import Finding
from reprtune.doctor.shared import states_of
from reprtune.errors import ReprtuneError, StudyError
from reprtune.passwords import hide
from reprtune.record.database import is_absent, open_storage
from reprtune.record.schema import StudyRecord
from reprtune.record.storage import read_study
from reprtune.settings import Settings
from reprtune.study.code import check_code
from reprtune.study.sameness import check_data, check_networks, check_user_code, held
from reprtune.tracking.choose import tracker_for
from reprtune.tracking.elsewhere import ONE_STORE
from reprtune.training.chain.chain import LoadedData
from reprtune.training.data.memory import free_ram
from reprtune.training.platform import health, nvidia
from reprtune.training.platform.device import MEND, choose_device, describe

GB = 1e9
LITTLE_MEMORY = 1 * GB
TOLERANCE = 1e-2  # of a product on a device that computes at all, in whatever precision
CONNECT_SECONDS = 4
PAIRS = "Install both together: pip install torch torchvision -c constraints.txt"
STATES = {
    "prepared": "prepared, the fastest to read",
    "there": "there; `data prepare {name}` makes it faster to read",
    "archives": "its archives are there; they are unpacked at first use",
}


def device(settings: Settings) -> Iterator[Finding]:
    """What trials run on, and whether it computes."""
    torch, torchvision, fit = health.versions()
    text = f"torch {torch} with torchvision {torchvision}"
    if fit or "+cpu" in torch:  # torchvision from PyPI is made for CUDA; see training.torchvision_import
        yield Finding("torch", "ok", text)
    else:
        text += ", whose compiled operations were made for another torch; nothing here uses them"
        yield Finding("torch", "warning", text, PAIRS)
    try:
        found = choose_device(settings.device)
        difference = health.try_device(found)
    except ReprtuneError as error:
        yield Finding("device", "problem", error.message, error.hint or "")
        return
    except Exception as error:  # noqa: BLE001 - of torch or the driver
        mend = "Check the driver with nvidia-smi, or use --device cpu."
        yield Finding("device", "problem", f"{settings.device} does not compute: {_first_line(error)}", mend)
        return
    if difference > TOLERANCE:
        text = f"{describe(found)} computes wrongly: {difference:g} away from the CPU"
        yield Finding("device", "problem", text, "Use another device.")
    elif found.type == "cpu" and settings.device == "auto":
        yield _cpu(describe(found))
    else:
        yield Finding("device", "ok", describe(found))
    if (memory := health.gpu_memory(found)) is not None:
        yield _memory("GPU memory", *memory)


def _cpu(text: str) -> Finding:
    """Of a device that nobody chose: is it because torch cannot use a GPU that is here?"""
    if nvidia.why_unused():  # which `text` says already
        return Finding("device", "warning", text, MEND)
    if nvidia.has_driver() and not nvidia.is_made_for_cuda():
        mend = "Install a CUDA build of torch for your driver (pytorch.org), or say --device cpu."
        return Finding("device", "warning", f"{text}; there is an NVIDIA driver, unused by torch", mend)
    return Finding("device", "ok", text)


def memory(_settings: Settings) -> Iterator[Finding]:
    """Of the machine, or what its container leaves of it."""
    yield _memory("memory", free_ram(), None)


def _memory(check: str, free: int, whole: int | None) -> Finding:
    text = f"{free / GB:.1f} GB free" + ("" if whole is None else f" of {whole / GB:.1f} GB")
    if free >= LITTLE_MEMORY:
        return Finding(check, "ok", text)
    return Finding(check, "warning", text, "End other programs, or run fewer --workers.")


def data(settings: Settings) -> Iterator[Finding]:
    """Which named data sets are in the folder, and whether the others could be downloaded."""
    for name, state in health.data_sets(settings.data_dir).items():
        if state != "absent":
            yield Finding("data", "ok", f"{name}: {STATES[state].format(name=name)}")
        elif _reachable(host := health.download_host(name)):
            yield Finding("data", "ok", f"{name}: not there; it can be downloaded from {host}")
        else:
            mend = f"When you need it, copy its files into {settings.data_dir} (`data prepare {name}` names them)."
            yield Finding("data", "ok", f"{name}: not there, and {host} cannot be reached", mend)


@cache
def _reachable(host: str) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, 443), timeout=CONNECT_SECONDS):
        return True
    return False


def study(settings: Settings, name: str) -> Iterator[Finding]:
    """Are the data, our code and the user's here those the study was created with?"""
    check = "study"
    try:
        record = _read(settings, name)
        yield Finding(check, "ok", f"{name} is stored, with {record.pending()} slots left")
        yield _code(record)
        yield states_of(record, settings)
        if warned := tracker_for(settings).warns(record.facts):
            yield Finding(check, "warning", warned, ONE_STORE)
        check_user_code(record)
        if codes := held(record, "user_code"):
            yield Finding(check, "ok", f"your code is as it was: {', '.join(codes)}")
        check_networks(record)
        if folders := [*record.facts.get("weights", ()), *held(record, "teachers")]:
            yield Finding(check, "ok", f"the networks that it needs are as they were: {', '.join(folders)}")
        dataset = record.spec.base.task.dataset
        if health.data_sets(settings.data_dir).get(dataset) == "absent":
            mend = f"python cli.py data prepare {dataset}, or name their folder with --data-dir."
            yield Finding(check, "warning", f"its data {dataset} are not in {settings.data_dir} yet", mend)
            return
        check_data(record, LoadedData(settings.data_dir, choose_device("cpu")))
        yield Finding(check, "ok", f"its data {dataset} are those it was created with")
    except ReprtuneError as error:
        yield Finding(check, "problem", error.message, error.hint or "")


def _code(record: StudyRecord) -> Finding:
    """Is our code here the study's?"""
    if "code" not in record.facts:
        text = f"created by reprtune {record.version}, which did not write its code down: whether it is the code here is unknown"
        return Finding("study", "ok", text)
    try:
        here = check_code(record)
    except StudyError as error:
        return Finding("study", "problem", error.message, error.hint or "")
    packages = ", ".join(f"{name} {version}" for name, version in here["versions"].items())
    return Finding("study", "ok", f"the code here is the study's: {len(here['modules'])} modules, {packages}")


def _read(settings: Settings, name: str) -> StudyRecord:
    if is_absent(settings.storage_url):
        raise StudyError(f"There is no study {name!r}: the storage is not there.", "Create it first.")
    storage = open_storage(settings.storage_url)
    try:
        return read_study(storage, name, histories=False)
    finally:
        storage.engine.dispose()


def _first_line(error: Exception) -> str:
    return (hide(str(error)).strip() or type(error).__name__).splitlines()[0]
