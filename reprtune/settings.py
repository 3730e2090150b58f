"""What belongs to the machine and not to the science: where things are, what they run on.

Nothing here enters a digest: the same study runs on a laptop and on a cluster.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from reprtune.errors import SpecError
from reprtune.passwords import ENCODE, hide, is_well_read, learn

DEVICES = ("auto", "cpu", "cuda")
SWITCH = {"on": True, "1": True, "true": True, "off": False, "0": False, "false": False}
NO_TRACKING = "none"  # in place of a tracking URI


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Places and devices of this machine.

    Attributes:
        runs_dir: folder of everything reprtune writes; the other defaults lie inside it.
        storage: SQLAlchemy URL of the Optuna storage; `None` = SQLite in `runs_dir`.
        tracking_uri: MLflow tracking URI; `None` = SQLite in `runs_dir`; "none" = nothing is tracked.
        experiment: name of the MLflow experiment that a new study joins; `None` = one of its own.
        data_dir: folder of the data sets; downloads go there.
        states_dir: folder of training states, shared by all machines of a study;
            `None` = `runs_dir/states`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        deterministic: the same bits every time also on a GPU, for some speed.
    """

    runs_dir: Path = Path("runs")
    storage: str | None = None
    tracking_uri: str | None = None
    experiment: str | None = None
    data_dir: Path = Path("data")
    states_dir: Path | None = None
    device: str = "auto"
    deterministic: bool = False

    def __post_init__(self) -> None:
        self.learn_passwords()
        for field in ("storage", "tracking_uri"):
            if not is_well_read(address := getattr(self, field) or ""):
                raise SpecError(
                    f"{field} must be like dialect://user:password@host:port/database, but what follows the user in "
                    f"{hide(address)!r} is neither a password and a host nor a port.",
                    ENCODE,
                )
        kind, _, index = self.device.partition(":")
        if kind not in DEVICES or (index and not (kind == "cuda" and index.isdigit())):
            raise SpecError(
                f"device must be auto, cpu, cuda or cuda:N, but got {self.device!r}.",
                "Leave it out to use a GPU where there is one.",
            )

    @classmethod
    def from_environment(cls, **given: object) -> Settings:
        """The given values that are not None; then the environment; then the defaults."""
        env = {
            "runs_dir": os.environ.get("REPRTUNE_RUNS"),
            "storage": os.environ.get("REPRTUNE_STORAGE"),
            "tracking_uri": os.environ.get("MLFLOW_TRACKING_URI"),
            "experiment": os.environ.get("MLFLOW_EXPERIMENT_NAME"),
            "data_dir": os.environ.get("REPRTUNE_DATA"),
            "states_dir": os.environ.get("REPRTUNE_STATES"),
            "device": os.environ.get("REPRTUNE_DEVICE"),
        }
        values = {k: v for k, v in env.items() if v}
        values["deterministic"] = _switch("REPRTUNE_DETERMINISTIC", default=False)  # type: ignore[assignment]
        values |= {k: v for k, v in given.items() if v is not None}  # type: ignore[misc]
        for field in ("runs_dir", "data_dir", "states_dir"):
            if field in values:
                values[field] = Path(str(values[field])).expanduser()  # type: ignore[assignment]
        return cls(**values)  # type: ignore[arg-type]

    def learn_passwords(self) -> None:
        """Hide what is secret in them; to be called in every process that is given settings."""
        learn(self.storage, self.tracking_uri)

    @property
    def storage_url(self) -> str:
        return self.storage or f"sqlite:///{(self.runs_dir / 'reprtune.db').resolve()}"

    @property
    def tracks(self) -> bool:
        """Is a tracker told what happens?"""
        return self.tracking_uri != NO_TRACKING

    @property
    def mlflow_uri(self) -> str:
        return self.tracking_uri or f"sqlite:///{(self.runs_dir / 'mlflow.db').resolve()}"

    @property
    def mlflow_artifacts(self) -> str | None:
        """Artifact folder of experiments made in a database; a server decides for itself."""
        if self.mlflow_uri.startswith(("http:", "https:", "databricks")):
            return None
        return (self.runs_dir / "mlflow-artifacts").resolve().as_uri()

    @property
    def states(self) -> Path:
        return self.states_dir or self.runs_dir / "states"

    @property
    def journal_dir(self) -> Path:
        return self.runs_dir / "journal"

    def trained_page(self, digest: str) -> Path:
        """What `train` leaves of the trial with this digest, for people to look at."""
        return self.runs_dir / "trained" / f"{digest[:12]}.html"

    def report_dir(self, study: str) -> Path:
        return self.runs_dir / "reports" / study


def graphs_wanted() -> bool:
    """May steps on a GPU be captured as CUDA graphs? Yes, unless `REPRTUNE_GRAPH` is `off`.

    Raises:
        SpecError: it is something else than on or off.
    """
    return _switch("REPRTUNE_GRAPH", default=True)


def _switch(name: str, *, default: bool) -> bool:
    text = os.environ.get(name) or ("on" if default else "off")
    if text.lower() not in SWITCH:
        raise SpecError(
            f"{name} must be on or off, but is {text!r}.", f"Leave it out for {'on' if default else 'off'}."
        )
    return SWITCH[text.lower()]


def program() -> str:
    """What a person types before a command: `reprtune` where this process was started so."""
    return "reprtune" if Path(sys.argv[0]).stem == "reprtune" else "python cli.py"


def hang_seconds() -> float:
    """After so long without any progress a training stands still, as far as its worker knows: 600, unless
    `REPRTUNE_HANG_SECONDS` says otherwise; 0 = it is waited for as long as it takes.

    Raises:
        SpecError: it is no whole number.
    """
    return _whole_seconds("REPRTUNE_HANG_SECONDS", 600, ", or 0 for never")


def lease_seconds() -> tuple[int, int]:
    """(heartbeat, grace): how often a worker says that it lives, and how long after its last word its slots
    are given to others.

    5 and 30, unless `REPRTUNE_HEARTBEAT_SECONDS` and `REPRTUNE_GRACE_SECONDS` say otherwise: shorter for
    tests, longer where workers are often suspended. They are stored with a study that is created, whose workers keep
    to them wherever they run.

    Raises:
        SpecError: they are not whole numbers, 1 <= heartbeat < grace.
    """
    texts = [
        os.environ.get(f"REPRTUNE_{name}_SECONDS") or default
        for name, default in (("HEARTBEAT", "5"), ("GRACE", "30"))
    ]
    heartbeat, grace = (int(text) if text.isdecimal() else 0 for text in texts)
    if not 1 <= heartbeat < grace:
        raise SpecError(
            f"REPRTUNE_HEARTBEAT_SECONDS and REPRTUNE_GRACE_SECONDS must be whole numbers, the first at least "
            f"1 and below the second, but are {texts[0]} and {texts[1]}.",
            "Leave them out for 5 and 30.",
        )
    return heartbeat, grace


def storage_wait_seconds() -> float:
    """How long a worker waits for a database that was there and is gone: half an hour, unless
    `REPRTUNE_STORAGE_WAIT_SECONDS` says otherwise.

    Raises:
        SpecError: it is no whole number.
    """
    return _whole_seconds("REPRTUNE_STORAGE_WAIT_SECONDS", 1800)


def _whole_seconds(variable: str, default: int, beside: str = "") -> float:
    text = os.environ.get(variable) or str(default)
    if not text.isdecimal():
        raise SpecError(
            f"{variable} must be a whole number of seconds{beside}, but is {text!r}.",
            f"Leave it out for {default}.",
        )
    return float(text)
