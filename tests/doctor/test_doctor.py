"""`doctor`: what is wrong is said with its remedy, what is right too, and nothing is made by looking."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import threading
import time
from pathlib import Path

import pytest
import torch

from reprtune.doctor import gpu as doctor_gpu
from reprtune.doctor import machine as doctor_machine
from reprtune.doctor import places as doctor_places
from reprtune.doctor import stores as doctor_stores
from reprtune.doctor.findings import Finding, examine
from reprtune.record import places
from reprtune.settings import Settings
from tests.command import Command
from tests.postgres import PostgreSQL
from tests.stored import empty_storage
from tests.work.tiny_worker import create


def verdicts(findings: list[Finding]) -> set[str]:
    return {f.verdict for f in findings}


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() if p.is_file() else b"" for p in folder.rglob("*")}


@pytest.fixture(autouse=True)
def _no_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_machine, "_reachable", lambda _host: False)


# -- how checks are run ----------------------------------------------------------------------------


def test_a_check_that_hangs_or_breaks_is_a_finding_itself() -> None:
    """In the order asked for; the others are not held up."""
    forever = threading.Event()
    checks = {
        "hangs": lambda: [Finding("x", "ok", str(forever.wait()))],
        "breaks": lambda: [Finding("x", "ok", str(1 // 0))],
        "works": lambda: [Finding("works", "ok", "fine")],
    }
    found = list(examine(checks, seconds=0.3))
    forever.set()
    assert [(f.check, f.verdict) for f in found] == [
        ("hangs", "problem"), ("breaks", "problem"), ("works", "ok"),
    ]  # fmt: skip
    assert "no answer within 0.3 s" in found[0].text and "ZeroDivisionError" in found[1].text


# -- the command -----------------------------------------------------------------------------------


def test_looking_makes_nothing(command: Command, tmp_path: Path) -> None:
    """Where nothing is there yet, it says what would be made; no folder and no database appears."""
    result = command.quick("doctor", "--data-dir", str(tmp_path / "data"), "--json")
    rows = json.loads(result.stdout)
    assert not command.runs.exists() and not (tmp_path / "data").exists()
    assert {
        "device",
        "memory",
        "threads",
        "clock",
        "packages",
        "runs",
        "states",
        "storage",
        "mlflow",
        "data",
    } <= {row["check"] for row in rows}
    absent = [row for row in rows if "not there yet" in row["text"]]
    assert {row["check"] for row in absent} == {"runs", "states", "storage", "mlflow", "artifacts"}


def test_a_problem_is_exit_code_1_with_its_remedy_and_no_password(command: Command) -> None:
    """A database and a tracking server that are not there; every problem says how to mend it."""
    where = ("--storage", "postgresql+psycopg://me:secret@127.0.0.1:1/x",
             "--tracking-uri", "http://me:secret@127.0.0.1:1")  # fmt: skip
    rows = json.loads(command.quick("doctor", *where, "--json", code=1).stdout)
    problems = {row["check"]: row for row in rows if row["verdict"] == "problem"}
    assert set(problems) == {"storage", "mlflow"} and all(row["mend"] for row in problems.values())
    text = command.quick("doctor", *where, code=1).stdout
    assert "PROBLEM  storage" in text and "--tracking-uri" in text and "2 problem" in text
    assert "secret" not in text + json.dumps(rows)


def test_a_study_is_compared_with_what_is_here(command: Command) -> None:
    """Its data are those it was created with; another name is a problem that proposes the right one."""
    create(command.runs)
    before = everything(command.runs)
    said = command.quick("doctor", "tiny").stdout
    assert "tiny is stored, with 8 slots left" in said and "digits are those it was created with" in said
    assert "Did you mean tiny?" in command.quick("doctor", "tinny", code=1).stdout
    assert set(everything(command.runs)) == set(before)


# -- storage and tracking --------------------------------------------------------------------------


def test_sqlite_that_is_well(tmp_path: Path) -> None:
    """Of this version, and it can be locked; not a byte of it changes."""
    empty_storage(tmp_path / "reprtune.db").engine.dispose()
    before = everything(tmp_path)
    found = list(doctor_stores.storage(Settings(runs_dir=tmp_path)))
    assert verdicts(found) == {"ok"} and "this Optuna's version" in found[0].text
    assert everything(tmp_path) == before


def test_sqlite_of_another_version_and_no_database(tmp_path: Path) -> None:
    """Both are named; neither is touched."""
    path = tmp_path / "reprtune.db"
    empty_storage(path).engine.dispose()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v9.9.9'")
    connection.close()
    found = list(doctor_stores.storage(Settings(runs_dir=tmp_path)))
    assert found[0].verdict == "problem" and "v9.9.9" in found[0].text and "upgrade" in found[0].mend
    path.write_bytes(b"my thesis" * 1000)
    found = list(doctor_stores.storage(Settings(runs_dir=tmp_path)))
    assert found[0].verdict == "problem" and "not a database" in found[0].text
    assert path.read_bytes() == b"my thesis" * 1000


def test_a_database_somebody_holds_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while, with what to do about it."""
    monkeypatch.setattr(doctor_stores, "WAIT_SECONDS", 0.1)
    empty_storage(tmp_path / "reprtune.db").engine.dispose()
    holder = sqlite3.connect(tmp_path / "reprtune.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    found = list(doctor_stores.storage(Settings(runs_dir=tmp_path)))
    holder.close()
    assert found[-1].verdict == "warning" and "locked by others" in found[-1].text


def test_an_empty_database_and_a_foreign_one_stay_as_they_are(tmp_path: Path) -> None:
    """No tables of Optuna's or MLflow's are made by looking."""
    for name in ("reprtune.db", "mlflow.db"):
        with sqlite3.connect(tmp_path / name) as connection:
            connection.execute("CREATE TABLE mine (x)")
        connection.close()
    before = everything(tmp_path)
    settings = Settings(runs_dir=tmp_path)
    said = [f.text for f in (*doctor_stores.storage(settings), *doctor_stores.tracking(settings))]
    assert sum("beside 1 tables of something else" in text for text in said) == 2
    assert everything(tmp_path) == before


def test_postgresql_is_asked_about_rights_lock_and_clock(postgresql: PostgreSQL) -> None:
    """Empty, and then with the tables of another version; a lock that somebody holds is said."""
    settings = Settings(storage=postgresql.new())
    found = list(doctor_stores.storage(settings))
    assert verdicts(found) == {"ok"}
    assert [f.text for f in found][1:-1] == ["it can be written", "its lock works"]
    assert "connections are in use" in found[-1].text


@pytest.mark.parametrize("kind", ["nfs4", "cifs"])
def test_sqlite_on_a_network_file_system_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Also before it is made; states may lie there."""
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nserver:/x {tmp_path} {kind} rw 0 0\n")
    monkeypatch.setattr(places, "MOUNTS", mounts)
    found = list(doctor_stores.storage(Settings(runs_dir=tmp_path / "runs")))
    assert found[0].verdict == "problem" and kind in found[0].text and "db start" in found[0].mend
    states = list(doctor_places.folder("states", tmp_path, flag="--states"))
    assert states[0].verdict == "ok" and kind in states[0].text
    assert places.file_system(Path("/")) == "ext4"


def test_a_silent_server_is_answered_for(tmp_path: Path) -> None:
    """One that accepts connections and says nothing: a problem after the deadline, not a hang."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        settings = Settings(runs_dir=tmp_path, tracking_uri=uri)
        began = time.monotonic()
        found = list(examine({"mlflow": lambda: doctor_stores.tracking(settings)}, seconds=1.0))
    assert [f.verdict for f in found] == ["problem"] and time.monotonic() - began < 30


# -- folders and packages --------------------------------------------------------------------------


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    """A file, and a place below a file; the flag that names another."""
    (tmp_path / "file").touch()
    places = [tmp_path / "file", tmp_path / "file" / "below"]
    for place in places:
        found = list(doctor_places.folder("states", place, flag="--states"))
        assert [f.verdict for f in found] == ["problem"] and "--states" in found[0].mend


def test_a_folder_is_left_as_it_was(tmp_path: Path) -> None:
    """The file that was tried is gone, also where renaming fails."""
    assert verdicts(list(doctor_places.folder("runs", tmp_path, flag="--runs")))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("free", "verdict"), [(1e8, "problem"), (1e9, "warning"), (1e10, "ok")])
def test_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: float, verdict: str) -> None:
    """Less than 0.2 GB is a problem, less than 5 a warning."""
    usage = os.statvfs(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("U", (), {"free": free, "all": usage})())
    found = list(doctor_places.folder("runs", tmp_path, flag="--runs"))
    assert found[-1].verdict == verdict


def test_packages_that_do_not_fit_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too old, and absent, both with what is needed."""
    monkeypatch.setattr(
        doctor_places, "_requirements", lambda: ["click>=999", "no-such-package-x>=1", "numpy>=1"]
    )
    [found] = [f for f in doctor_places.packages() if f.verdict == "problem"]
    assert (
        "click" in found.text and ">=999" in found.text and "no-such-package-x is not installed" in found.text
    )
    assert "numpy" not in found.text


def test_a_device_that_is_not_there_is_a_problem() -> None:
    """With the way out."""
    found = list(doctor_machine.device(Settings(device="cuda:99")))
    assert found[-1].verdict == "problem" and "cuda:99" in found[-1].text and found[-1].mend


@pytest.mark.parametrize(("runs", "text"), [(True, "at the same time"), (False, "take turns")])
def test_how_workers_share_a_gpu_is_said_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, runs: bool, text: str
) -> None:
    """One finding, never a warning; without MPS with the command that starts it."""
    monkeypatch.setattr(doctor_gpu, "choose_device", lambda _: torch.device("cuda:0"))
    monkeypatch.setattr("reprtune.training.platform.mps.is_running", lambda: runs)
    [found] = doctor_gpu.sharing(Settings())
    assert found.verdict == "ok" and text in found.text and len(found.text) < 110
    assert ("nvidia-cuda-mps-control -d" in found.mend) is not runs


@pytest.mark.parametrize("device", ["cpu", "cuda:99"])
def test_without_a_gpu_nothing_is_said_of_sharing_it(device: str) -> None:
    """Trials run on the CPU, or the GPU is not there, which another check says."""
    assert list(doctor_gpu.sharing(Settings(device=device))) == []
