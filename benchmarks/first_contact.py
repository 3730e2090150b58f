"""Does everybody get in who meets an empty database at the same moment? Two and six processes at once, round after
round, each on a database that nobody has touched: the studies' and MLflow's.

    python -m benchmarks.first_contact --rounds 32
    python -m benchmarks.first_contact --what studies --processes 6 --server postgresql+psycopg://...

Without a server they are SQLite files; on a server (`python cli.py db start` runs one), databases named `contact_...`,
which stay there. Printed is how many of the processes of all rounds failed, why, and the seconds of a round.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
import uuid
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import sqlalchemy

from reprtune.record.database import open_storage
from reprtune.tracking.mlflow.connection import connect

PATIENCE = 600.0  # seconds of a round


def open_studies(url: str) -> None:
    assert open_storage(url).get_all_studies() == []


def open_mlflow(url: str) -> None:
    assert connect(url).search_experiments()


OPEN = {"studies": open_studies, "MLflow": open_mlflow}


def new_database(server: str | None, folder: str) -> str:
    """URL of one that is empty."""
    name = f"contact_{uuid.uuid4().hex[:12]}"
    if server is None:
        return f"sqlite:///{Path(folder, name)}.db"
    url = sqlalchemy.make_url(server)
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.pool.NullPool)
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    return url.set(database=name).render_as_string(hide_password=False)


def meet(what: str, url: str, together: Any, say: Any) -> None:
    together.wait(60)
    try:
        OPEN[what](url)
        say.put("")
    except BaseException as error:  # noqa: BLE001 - counted
        say.put(f"{type(error).__name__}: {str(error).splitlines()[0][:150]}")


def round_of(what: str, url: str, n: int) -> list[str]:
    """What each of the processes came to; empty = it is in."""
    context = multiprocessing.get_context("fork")
    together, said = context.Barrier(n), context.SimpleQueue()
    processes = [context.Process(target=meet, args=(what, url, together, said)) for _ in range(n)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE)
        process.kill()
    return [said.get() if not said.empty() else "it hangs" for _ in processes]


def rounds(what: str, n: int, n_rounds: int, server: str | None) -> str:
    failures, seconds = Counter[str](), []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(n_rounds):
            url, begun = new_database(server, folder), time.perf_counter()
            failures.update(filter(None, round_of(what, url, n)))
            seconds.append(time.perf_counter() - begun)
    said = f"{what}, {n} at once, {n_rounds} rounds: {failures.total()} failures, "
    lines = [f"    {times} x {why}" for why, times in failures.items()]
    return "\n".join([f"{said}{statistics.median(seconds):.1f} s a round (median)", *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=32)
    parser.add_argument("--processes", type=int, nargs="+", default=[2, 6])
    parser.add_argument("--what", choices=OPEN, nargs="+", default=list(OPEN))
    parser.add_argument("--server", metavar="URL")
    given = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)  # of newer Pythons, where threads are about
    with tempfile.TemporaryDirectory() as folder:
        connect(new_database(None, folder))  # imports MLflow once, for all who are forked
    for what in given.what:
        for n in given.processes:
            print(rounds(what, n, given.rounds, given.server), flush=True)


if __name__ == "__main__":
    main()
