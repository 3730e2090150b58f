"""A real SLURM on this machine: a controller and two virtual nodes with ports and files of their own."""

from __future__ import annotations

import getpass
import os
import platform
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "scontrol")
NODES = ("n1", "n2")
# No munge: nobody but this user reaches these ports' keys. A job's share of a node is one processor, so a node runs one
# job. What runs in `high` takes the place of what runs in `low`, which is queued again.
CONFIGURATION = """
ClusterName=reprtune
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/none
AuthInfo=cred_expire=5
CredType=cred/none
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={ports[0]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=10
MinJobAge=600
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1
PartitionName=low Nodes=n1,n2 Default=YES MaxTime=INFINITE PriorityTier=1 PreemptMode=REQUEUE GraceTime=30
PartitionName=high Nodes=n1,n2 MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF
"""


def missing() -> str:
    """Why there can be no cluster here; empty where there can."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    return (
        f"no {', '.join(absent)} here (Debian: apt-get install slurmctld slurmd slurm-client)"
        if absent
        else ""
    )


class Cluster:
    """What a user of it does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}

    def __call__(self, *words: str, environment: Mapping[str, str] | None = None) -> str:
        env = {**os.environ, **self.environment, **(environment or {})}
        done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def jobs(self) -> dict[str, dict[str, str]]:
        """Job, or element of an array -> what SLURM says of it, by its own words."""
        rows = [
            dict(_pairs(line))
            for line in self("scontrol", "show", "job", "-o").splitlines()
            if "JobId" in line
        ]
        return {
            f"{row['ArrayJobId']}_{row['ArrayTaskId']}" if "ArrayTaskId" in row else row["JobId"]: row
            for row in rows
        }

    def wait(self, condition: Callable[[], Any], what: str, seconds: float = 400) -> Any:
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < end, f"{what}: it never came\n{self('scontrol', 'show', 'job')}"
            time.sleep(0.3)
        return found

    def wait_for(self, job: str, state: str, seconds: float = 400) -> dict[str, str]:
        """Until it is in that state; what is said of it then."""
        self.wait(lambda: self.jobs()[job]["JobState"] == state, f"{job} {state}", seconds)
        return self.jobs()[job]


def _pairs(line: str) -> Iterator[tuple[str, str]]:
    return ((name, value) for name, equals, value in (word.partition("=") for word in line.split()) if equals)


def _free_ports(n: int) -> list[int]:
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    try:
        return [server.getsockname()[1] for server in servers]
    finally:
        for server in servers:
            server.close()


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Two nodes of one processor each, with the partitions `low` and `high`."""
    with tempfile.TemporaryDirectory(prefix="reprtune-slurm-", ignore_cleanup_errors=True) as name:
        folder, cluster = Path(name), Cluster(Path(name))
        text = CONFIGURATION.format(
            host=platform.node().partition(".")[0],
            user=getpass.getuser(),
            ports=_free_ports(3),
            folder=folder,
        )
        (folder / "slurm.conf").write_text(text)
        (folder / "state").mkdir()
        env = {**os.environ, **cluster.environment}
        daemons = [
            subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for words in (["slurmctld", "-D"], *(["slurmd", "-D", "-N", node] for node in NODES))
        ]
        try:
            cluster.wait(lambda: _are_idle(cluster), "two idle nodes", 60)
            yield cluster
        finally:
            subprocess.run(["scancel", "-u", getpass.getuser()], env=env, check=False)
            with suppress(AssertionError):  # what a job has started ends with it, not with its node
                cluster.wait(lambda: not cluster("squeue", "-h"), "the end of all jobs", 40)
            for daemon in reversed(daemons):
                daemon.kill()
                daemon.wait()


def _are_idle(cluster: Cluster) -> bool:
    env = {**os.environ, **cluster.environment}
    done = subprocess.run(
        ["sinfo", "-h", "-p", "low", "-o", "%T %D"], env=env, capture_output=True, text=True, check=False
    )
    return done.stdout.split() == ["idle", "2"]
