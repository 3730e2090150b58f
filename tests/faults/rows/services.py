"""What befalls the database, MLflow, and the network to them."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from reprtune.postgres.server import PrivateServer
from tests.faults.points import Fault
from tests.faults.row import Row
from tests.faults.rows.workers import both
from tests.faults.world import World
from tests.postgres import PostgreSQL, running_server
from tests.tracking.mlflow_server import Server

AWAY, BACK = r"Waiting for it, for at most", r"The storage answers again"
HELD_SECONDS = 15  # of all connections by others


def own_database(world: World) -> PostgreSQL:
    """A server that other rows do not need."""
    server = world.at_the_end.enter_context(running_server())
    move_to(world, server.new())
    return server


def move_to(world: World, url: str, one: str | None = None) -> None:
    """Another database; `one`: its URL as the machine knows it that the fault befalls."""
    world.url = url
    for machine in (world.one, world.two):
        address = one or url if machine is world.one else url
        machine.environment = {**machine.environment, "REPRTUNE_STORAGE": address}


def database_away(seconds: int) -> Callable[[World], None]:
    def script(world: World) -> None:
        server = own_database(world)
        both(world, Fault("train", "hold"))
        world.reached("train")
        server.stop()
        world.let_go()
        time.sleep(seconds)
        server.start()
        world.one.end(0, AWAY, BACK)
        world.two.end(0, AWAY, BACK)

    return script


def database_gone(world: World) -> None:
    """For as long as the environment says; then it is started, and the same commands go on."""
    server = own_database(world)
    for machine in (world.one, world.two):
        machine.environment = {**machine.environment, "REPRTUNE_STORAGE_WAIT_SECONDS": "5"}
    world.unharmed = []
    both(world, Fault("train", "hold"))
    world.reached("train")
    server.stop()
    world.let_go()
    world.one.end(1, "the same command goes on")
    world.two.end(1, "the same command goes on")
    server.start()
    world.one.begin()
    world.two.begin()
    world.one.end(0)
    world.two.end(0)


def mlflow_away(world: World) -> None:
    """Killed while a slot is on its way, and started again. A machine that has ended before that has said how what waits
    there is sent."""
    server = Server(world.folder)
    world.at_the_end.callback(server.kill)
    server.start()
    world.mlflow = server.uri
    for machine in (world.one, world.two):
        machine.environment = {**machine.environment, "MLFLOW_TRACKING_URI": server.uri}
    both(world, Fault("journal", "hold", nth=2))
    world.reached("journal")
    server.kill()
    world.let_go()
    time.sleep(8)
    server.start()
    for words in ((), ("study", "sync", "tiny")):
        for machine in (world.one, world.two):
            if words:
                machine.begin(*words)
            machine.end(0)


# -- the network ------------------------------------------------------------------------------------

HERE, ELSEWHERE = "127.0.0.1", "127.0.0.2"


def lacks_iptables() -> str:
    """Packets are dropped by the kernel: no other way is silent as a cut cable is."""
    if os.geteuid() or shutil.which("iptables") is None:
        return "needs root and iptables"
    done = subprocess.run(["iptables", "-w", "-L", "-n"], capture_output=True, check=False)
    return "" if done.returncode == 0 else "iptables may not be used here"


@contextmanager
def silent(port: int) -> Iterator[None]:
    """Nothing reaches that port by the address of the first machine, and nothing comes back."""
    rules = (
        ["OUTPUT", "-p", "tcp", "-d", ELSEWHERE, "--dport", str(port), "-j", "DROP"],
        ["OUTPUT", "-p", "tcp", "-s", ELSEWHERE, "--sport", str(port), "-j", "DROP"],
    )
    for rule in rules:
        subprocess.run(["iptables", "-w", "-I", *rule], check=True)
    try:
        yield
    finally:
        for rule in rules:
            subprocess.run(["iptables", "-w", "-D", *rule], check=True)


def over_tcp(world: World) -> int:
    """A private server of `db start`, which each machine reaches by an address of its own; its port."""
    folder = world.folder / "database"
    server = PrivateServer(folder)
    _, running = server.start(name=ELSEWHERE)
    world.at_the_end.callback(server.stop)
    move_to(world, running.url("reprtune", HERE), running.url("reprtune", ELSEWHERE))
    return running.address.port


def network_silent(point: str, seconds: int) -> Callable[[World], None]:
    def script(world: World) -> None:
        port = over_tcp(world)
        both(world, Fault(point, "hold"))
        world.reached(point)
        with silent(port):
            world.let_go()
            time.sleep(seconds)
        world.one.end(0)
        world.two.end(0)

    return script


# -- connections ------------------------------------------------------------------------------------


def crowded(world: World) -> None:
    """Others hold nearly all connections while two machines start, and let go of them then."""
    server = own_database(world)
    inner = server._server
    inner.psql("ALTER SYSTEM SET max_connections = 8;")  # type: ignore[attr-defined]
    inner.psql("ALTER SYSTEM SET superuser_reserved_connections = 0;")  # type: ignore[attr-defined]
    world.create()
    server.stop()
    server.start()
    address = world.url.replace("+psycopg", "")
    with psycopg.connect(address, autocommit=True) as asking:
        most = asking.execute(sql.SQL("SHOW max_connections")).fetchone()
        assert most == ("8",)
        others = [psycopg.connect(address) for _ in range(7)]
        world.one.begin()
        world.two.begin()
        time.sleep(HELD_SECONDS)
        for connection in others:
            connection.close()
    world.one.end(0)
    world.two.end(0)


ROWS = (
    Row("db-30s", "PostgreSQL stopped for 30 s while a worker trains", database_away(30), AWAY),
    Row("db-5min", "PostgreSQL stopped for 5 min", database_away(300), AWAY),
    Row("db-gone", "PostgreSQL stopped for good (longer than is waited)", database_gone, "The storage cannot be used"),
    Row("mlflow", "the MLflow server killed, and started again 8 s later", mlflow_away),
    Row(
        "network", "the network between a worker and PostgreSQL drops everything for 60 s",
        network_silent("train", 60), lacks=lacks_iptables,
    ),
    Row(
        "network-lock", "the same, while the worker holds the lock of the study",
        network_silent("ask", 60), lacks=lacks_iptables,
    ),
    Row("crowded", f"PostgreSQL has no free connection for {HELD_SECONDS} s", crowded),
)  # fmt: skip
