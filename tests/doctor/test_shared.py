"""`doctor` on what several machines share: each thing that can be set wrong is found, with what to do."""

from __future__ import annotations

import shutil
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from reprtune.doctor import shared as doctor_shared
from reprtune.doctor import stores as doctor_stores
from reprtune.doctor.findings import Finding
from reprtune.record import places
from reprtune.settings import Settings
from tests.postgres import PostgreSQL
from tests.work.tiny_worker import create, read, work


def of_storage(url: str) -> list[Finding]:
    return list(doctor_stores.storage(Settings(storage=url)))


def test_what_a_server_refuses_is_told_with_its_own_way_out(postgresql: PostgreSQL) -> None:
    """A database that is not there, a user that is not there, a host that nobody knows, a port with nobody behind."""
    url = postgresql.new()
    user, _, rest = url.partition("@")
    cases = {
        url.replace("/test", "/nothing", 1): "createdb",
        f"{user.replace('//postgres', '//nobody', 1)}@{rest}": "createuser",
        "postgresql+psycopg://me:secret@no-such-host.invalid/x": "does not know that name",
        "postgresql+psycopg://me:secret@127.0.0.1:1/x": "--storage",
    }
    for wrong, words in cases.items():
        [found] = of_storage(wrong)
        assert found.verdict == "problem" and words in found.mend, found
        assert "secret" not in found.text + found.mend


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ('FATAL:  password authentication failed for user "me"', "%40"),
        ("fe_sendauth: no password supplied", ".pgpass"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.7", user "me", database "x"', "pg_hba.conf"),
        ("FATAL:  sorry, too many clients already", "max_connections"),
        ("something else", "otherwise"),
    ],
)
def test_what_postgresql_says_is_known_by_its_words(said: str, words: str) -> None:
    """As PostgreSQL writes them."""
    assert words in doctor_shared.way_out(said, "otherwise")


def test_connections_that_are_used_up_are_found(postgresql: PostgreSQL) -> None:
    """All but some of them are taken by others: first a warning, then a problem."""
    url = postgresql.new()
    plain = url.replace("+psycopg", "", 1)
    with ExitStack() as stack:
        first = stack.enter_context(psycopg.connect(plain))
        [row] = first.execute("SELECT current_setting('max_connections')::int, count(*) FROM pg_stat_activity "
                              "WHERE datid IS NOT NULL")  # fmt: skip
        most, used = row
        for left, verdict in ((12, "warning"), (5, "problem")):
            while used < most - left:
                stack.enter_context(psycopg.connect(plain))
                used += 1
            found = of_storage(url)[-1]
            assert (found.check, found.verdict) == ("storage", verdict) and "max_connections" in found.mend, (
                found
            )


@pytest.mark.parametrize(("skew", "verdicts"), [(0, set()), (20, {"warning"}), (-20, {"warning"})])
def test_a_clock_apart_from_the_databases_is_found(
    postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch, skew: float, verdicts: set[str]
) -> None:
    """By more than five seconds, in both directions; beats and ages are compared over machines."""
    url, now = postgresql.new(), time.time
    monkeypatch.setattr(time, "time", lambda: now() - skew)
    assert {f.verdict for f in of_storage(url) if "its clock is" in f.text} == verdicts


def test_states_on_a_disk_that_others_do_not_see_are_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the database is on another machine; not where the folder is shared, or everything is here."""
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nserver:/x {tmp_path / 'shared'} nfs4 rw 0 0\n")
    monkeypatch.setattr(places, "MOUNTS", mounts)
    (tmp_path / "shared").mkdir()
    elsewhere = Settings(storage="postgresql+psycopg://me@db/x", states_dir=tmp_path / "own" / "states")
    [found] = doctor_shared.states(elsewhere)
    assert found.verdict == "warning" and "ext4" in found.text and "--states" in found.mend
    assert not list(doctor_shared.states(replace(elsewhere, states_dir=tmp_path / "shared" / "states")))
    assert not list(doctor_shared.states(replace(elsewhere, storage="postgresql+psycopg://me@localhost/x")))
    assert not list(doctor_shared.states(Settings(states_dir=tmp_path / "own")))


def test_a_folder_of_states_that_is_not_the_studys_is_found(tmp_path: Path) -> None:
    """By what its trials ended with: all of it is there, a part, or nothing."""
    settings = create(tmp_path / "runs", slots=1)
    assert "unknown" in doctor_shared.states_of(read(settings), settings).text
    record = work(settings)
    assert doctor_shared.states_of(record, settings).verdict == "ok"
    other = replace(settings, states_dir=tmp_path / "other")
    found = doctor_shared.states_of(record, other)
    assert found.verdict == "problem" and "--states" in found.mend and not (tmp_path / "other").exists()
    shutil.copytree(settings.states, tmp_path / "other")
    next(path for path in (tmp_path / "other").rglob("*.state")).unlink()
    assert doctor_shared.states_of(record, other).verdict == "warning"
