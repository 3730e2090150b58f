"""Workers as a SLURM job array: every element is one node that works on a study, until nothing is left of it.

Shortly before its time is up, and when its node is wanted for something else, an element is asked to leave: its
workers save where they stand and give their slots back, and the element is queued again. SLURM decides where and
when; nodes need the shared folders and the database, nothing else. Passwords go with the environment, which SLURM
hands on, and into no file.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reprtune.errors import ReprtuneError
from reprtune.settings import Settings

LEAVE_SECONDS = 120  # before the end of its time an element is asked to leave
ASKED = 130  # exit code of a worker that was asked to leave
MANY = 1_000_000  # elements may be queued again as often as it takes
SECRET = {"REPRTUNE_STORAGE": "storage_url", "MLFLOW_TRACKING_URI": "tracking_uri"}  # variable -> setting

SCRIPT = """\
#!/bin/bash
{directives}

# The database's URL comes from where this is submitted: no password stands here.
: "${{REPRTUNE_STORAGE:?is the URL of the database: set it, with MLFLOW_TRACKING_URI, where you call sbatch}}"
{exports}
cd {folder} || exit 1

# Nearly out of time, or its node is wanted for others: SLURM sends SIGTERM, to this script or to the step below. The
# worker saves, gives its slots back and ends with {asked}; then this element waits for another turn.
trap 'kill -TERM "$worker"' TERM
srun --ntasks=1 {command} &
worker=$!
while wait "$worker"; code=$?; kill -0 "$worker" 2> /dev/null; do :; done
if [ "$code" = {asked} ] || [ "$code" = 143 ]; then
    if scontrol show job -o "$SLURM_JOB_ID" | grep -q JobState=RUNNING; then  # not where it was cancelled
        scontrol requeue "$SLURM_JOB_ID"
    fi
fi
exit "$code"
"""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is asked of SLURM.

    Attributes:
        name: of the study. words: of the command that an element runs. folder: in which it does.
        nodes: elements of the array. gpus_per_node: 0 = none. seconds: the time of an element, before it is queued
            again. partition: None = SLURM's default.
    """

    name: str
    words: tuple[str, ...]
    folder: Path
    nodes: int
    gpus_per_node: int
    seconds: int
    partition: str | None

    @property
    def time(self) -> str:
        """As SLURM writes it."""
        minutes, seconds = divmod(self.seconds, 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours // 24}-{hours % 24:02}:{minutes:02}:{seconds:02}"


def script(job: Job, settings: Settings) -> str:
    """What `sbatch` takes."""
    asked = [
        f"job-name=reprtune-{job.name}",
        f"array=0-{job.nodes - 1}",
        "nodes=1",
        "ntasks=1",
        *([f"gpus-per-node={job.gpus_per_node}"] if job.gpus_per_node else []),
        f"cpus-per-task={max(1, job.gpus_per_node)}",
        f"time={job.time}",
        *([f"partition={job.partition}"] if job.partition else []),
        "requeue",
        "open-mode=append",
        f"signal=B:TERM@{LEAVE_SECONDS}",
        f"output=slurm-{job.name}-%A_%a.log",
    ]
    return SCRIPT.format(
        directives="\n".join(f"#SBATCH --{line}" for line in asked),
        exports="\n".join(f"export {name}={shlex.quote(path)}" for name, path in _places(settings).items()),
        folder=shlex.quote(str(job.folder)),
        command=shlex.join(job.words),
        asked=ASKED,
    )


def submit(job: Job, settings: Settings) -> list[str]:
    """Hand it to SLURM through submitit; the elements' ids.

    Raises:
        ReprtuneError: submitit is not installed, there is no SLURM here, or it refuses.
    """
    try:
        import submitit
    except ImportError as error:
        raise ReprtuneError(
            "This needs the package submitit, which is not installed.",
            "In the checkout: pip install -e '.[slurm]' -c constraints.txt. Or without it: --print > job.sh; sbatch job.sh",
        ) from error
    if shutil.which("sbatch") is None:
        raise ReprtuneError(
            "There is no SLURM on this machine: no program sbatch is found.",
            "Give the command where you submit jobs, or take the script there (--print).",
        )
    executor = submitit.SlurmExecutor(folder=settings.runs_dir.resolve() / "slurm", max_num_timeout=MANY)
    executor.update_parameters(
        job_name=f"reprtune-{job.name}", time=-(-job.seconds // 60), nodes=1, ntasks_per_node=1,
        cpus_per_task=max(1, job.gpus_per_node), array_parallelism=job.nodes, signal_delay_s=LEAVE_SECONDS,
        stderr_to_stdout=True, additional_parameters={"requeue": True},
        **({"gpus_per_node": job.gpus_per_node} if job.gpus_per_node else {}),
        **({"partition": job.partition} if job.partition else {}),
    )  # fmt: skip
    try:
        with _environment(settings), executor.batch():
            jobs = [executor.submit(Element(job.words, str(job.folder))) for _ in range(job.nodes)]
    except submitit.core.utils.FailedJobError as error:
        raise ReprtuneError(f"SLURM refuses the job: {str(error).strip().splitlines()[-1]}") from error
    return [str(one.job_id) for one in jobs]


class Element:
    """What submitit runs in an element of the array; it may run again, anywhere."""

    def __init__(self, words: Sequence[str], folder: str) -> None:
        self.words, self.folder = list(words), folder
        self._process: Any = None

    def __call__(self) -> None:
        with _deaf_to_submitit():
            self._process = subprocess.Popen(self.words, cwd=self.folder)  # noqa: S603 - our own command
        while (code := self._process.poll()) is None:
            time.sleep(0.5)
        if code == ASKED:
            _requeue()
        elif code:
            raise RuntimeError(f"{shlex.join(self.words)} ended with exit code {code}: see what it printed.")

    def checkpoint(self) -> Any:
        """The time is nearly up: leave, and run again. Called by submitit in the middle of the above."""
        import submitit

        self._process.terminate()
        with contextlib.suppress(ChildProcessError):  # not by Popen, in whose lock the signal may have come
            self._process.returncode = os.waitstatus_to_exitcode(os.waitpid(self._process.pid, 0)[1])
        return submitit.helpers.DelayedSubmission(Element(self.words, self.folder))


@contextlib.contextmanager
def _deaf_to_submitit() -> Iterator[None]:
    """A process that is started in the block never hears submitit's signal: SLURM sends it to every process of a
    job, and it is meant for submitit alone."""
    before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR2, before)


def _requeue() -> None:
    """Queue this job again, where SLURM has asked its worker to leave and not ended the job itself."""
    job = os.environ["SLURM_JOB_ID"]
    if "JobState=RUNNING" in _scontrol("show", "job", "-o", job):
        _scontrol("requeue", job)


def _scontrol(*words: str) -> str:
    done = subprocess.run(["scontrol", *words], capture_output=True, text=True, check=False)  # noqa: S603, S607 - as on every node
    return done.stdout


def _places(settings: Settings) -> dict[str, str]:
    """Folders, which every node has to see under these names."""
    found = {
        "REPRTUNE_RUNS": settings.runs_dir,
        "REPRTUNE_STATES": settings.states,
        "REPRTUNE_DATA": settings.data_dir,
    }
    return {name: str(path.resolve()) for name, path in found.items()}


@contextlib.contextmanager
def _environment(settings: Settings) -> Iterator[None]:
    """In the block, our environment, which SLURM hands on to the job, says where everything is."""
    before = dict(os.environ)
    given = {name: value for name, field in SECRET.items() if (value := getattr(settings, field)) is not None}
    os.environ.update(_places(settings) | given)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
