"""What several machines share on a study: connections to the database, and the folder of states; for `doctor`."""

from __future__ import annotations

import platform
from collections.abc import Iterator

import sqlalchemy
from sqlalchemy.engine import Connection, make_url

from reprtune.doctor.findings import Finding
from reprtune.doctor.places import NETWORK
from reprtune.record.places import file_system
from reprtune.record.schema import StudyRecord
from reprtune.settings import Settings
from reprtune.states.store import state_path

OF_A_MACHINE = 3  # connections: of a run with two workers, one each and one of its own
FEW_MACHINES = 5
RESERVED = 3  # connections that PostgreSQL keeps for its administrators
# Words of a driver -> what to do about it.
WAYS_OUT = {
    "password authentication failed": "Check user and password in the URL; in it @ is written %40, / %2F, : %3A, # %23.",
    "no password supplied": "Write the password into the URL, user:password@host, or into ~/.pgpass.",
    "database": "Make the database on the server (createdb NAME), or name another at the end of the URL.",
    "role": "Make the user on the server (createuser NAME), or name another in the URL.",
    "no pg_hba.conf entry": "Let this machine in: a line in the server's pg_hba.conf.",
    "too many clients": "Raise max_connections on the server, or run fewer workers.",
    "remaining connection slots": "Raise max_connections on the server, or run fewer workers.",
    "could not translate host name": "Check the host in the URL: this machine does not know that name.",
    "failed to resolve host": "Check the host in the URL: this machine does not know that name.",
}


def way_out(said: str, otherwise: str) -> str:
    """What to do about what a database's driver has said."""
    missing = "does not exist" in said
    found = (
        mend
        for words, mend in WAYS_OUT.items()
        if words in said and (missing or words not in ("database", "role"))
    )
    return next(found, otherwise)


def connections(check: str, connection: Connection) -> Iterator[Finding]:
    """Are there enough for more machines?"""
    asked = "SELECT current_setting('max_connections')::int, count(*) FROM pg_stat_activity WHERE datid IS NOT NULL"
    most, used = connection.execute(sqlalchemy.text(asked)).one()
    machines = max(0, most - RESERVED - used) // OF_A_MACHINE
    text = f"{used} of its {most} connections are in use: room for {machines} more machines with two workers each"
    if machines >= FEW_MACHINES:
        yield Finding(check, "ok", text)
    else:
        mend = "Raise max_connections on the server, or run fewer workers: a run takes one, and one for each worker."
        yield Finding(check, "problem" if machines == 0 else "warning", text, mend)


def states(settings: Settings) -> Iterator[Finding]:
    """Can machines that share the database see the folder of states?"""
    host = make_url(settings.storage_url).host
    if host in (None, "", "localhost", "127.0.0.1", "::1", platform.node()):
        return
    above = next(p for p in (settings.states.absolute(), *settings.states.absolute().parents) if p.exists())
    if (kind := file_system(above)) and kind not in NETWORK:
        text = f"{settings.states} is on a disk of this machine ({kind}), and the database on {host}"
        mend = "Where several machines work on a study, name a folder that all of them see with --states."
        yield Finding("states", "warning", f"{text}: other machines do not see these states", mend)


def states_of(record: StudyRecord, settings: Settings) -> Finding:
    """Is the folder of states the one that the study's workers write to? Then what its trials ended with is there."""
    names = {run.state for trial in record.everything if trial.is_final for run in trial.runs if run.state}
    at = settings.states
    gone = sum(not state_path(at, name).exists() for name in names)
    mend = "Name the folder that all machines of the study share with --states or REPRTUNE_STATES."
    if not names:
        return Finding("study", "ok", "no trial has ended yet, so whether its states are shared is unknown")
    if gone == len(names):
        text = (
            f"of the {gone} states that its trials ended with none is in {at}: its workers use another folder"
        )
        return Finding("study", "problem", text, mend)
    if gone:
        text = f"of the {len(names)} states that its trials ended with {gone} are not in {at}, and with them networks"
        return Finding("study", "warning", text, f"Were some trained with another folder? {mend}")
    return Finding("study", "ok", f"all {len(names)} states that its trials ended with are in {at}")
