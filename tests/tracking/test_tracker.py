"""A tracker that is not MLflow, and the one that is none."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reprtune.errors import TrackingError
from reprtune.record.schema import StudyRecord
from reprtune.settings import Settings
from reprtune.tracking.choose import tracker_for
from reprtune.tracking.events import STUDY_KEY, end_event
from reprtune.tracking.journal import Journal, journal_for
from reprtune.tracking.shipper import Shipper, ShipResult
from reprtune.tracking.tracker import Null, Tracker
from reprtune.tracking.updates import RunUpdate
from tests.tracking.tracked import DIGEST, STUDY, write

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class KeptRun:
    id: str
    identity: str
    seen: list[RunUpdate] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)


@dataclass
class Memory:
    """A tracker in forty lines; `away`: what it raises."""

    kept: dict[str, KeptRun] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    away: Exception | None = None
    name = "Memory"
    address = "memory"
    web_address = None

    def reach(self) -> None:
        pass

    def prepare(self, *_: Any) -> dict[str, Any]:
        return {}

    def open(self, *_: Any) -> Memory:
        if self.away is not None:
            raise self.away
        return self

    def in_words(self, error: Exception) -> TrackingError:
        return TrackingError(f"It is away: {error}")

    def is_refusal(self, _error: Exception) -> bool:
        return False

    def is_there(self) -> bool:
        return True

    def runs(self) -> list[KeptRun]:
        return list(self.kept.values())

    def lacks(self, update: RunUpdate, run: KeptRun) -> bool:
        return update not in run.seen

    def artifacts(self, run: KeptRun) -> set[str]:
        return {*run.files}

    def find(self, what: Any) -> Any:
        return self.kept.get(what)

    def send(self, update: RunUpdate, run: KeptRun | None) -> KeptRun:
        run = run or self.kept.setdefault(update.identity, KeptRun(f"run {len(self.kept)}", update.identity))
        run.seen.append(update)
        return run

    def send_artifact(self, run: Any, name: str, content: str | Path) -> None:
        run.files[name] = str(content)


def test_another_tracker_needs_nothing_of_mlflow(tmp_path: Path) -> None:
    """The shipper hands it the same updates, artifacts and drawn pages; what was sent is not sent again."""
    memory = Memory()
    settings = Settings(runs_dir=tmp_path)
    journal = Journal(settings.journal_dir, STUDY.name)
    write(journal, "search-000", range(1, 4))
    journal.artifact("search-000", "plots.html", "data", drawn_from="plots.json")
    tracker: Tracker = memory
    shipper = Shipper(settings, STUDY, DIGEST, draw=lambda data: f"drawn from {data}", tracker=tracker)
    assert (shipper.sync(verify=True).sent, shipper.sync(verify=True).sent) == (6, 0)
    run = memory.kept[f"{DIGEST}/search-000"]
    (update,) = run.seen
    assert update.begin is not None and update.begin["factors"] == {"cycles": 2}
    assert (update.outcome, update.end_ms, update.tags["role"]) == ("complete", 2_000_000, "search")
    numbers = {(m.kind, m.key, m.step): m.value for m in update.metrics}
    assert numbers["factor", "cycles", 0] == 2.0 and numbers["result", "seconds_spent", 3] == 4.0
    assert [numbers["curve", "val_error", step] for step in (1, 2, 3)] == [1, 1 / 2, 1 / 3]
    assert run.files.keys() == {"config.json", "plots.html"}
    assert run.files["plots.html"] == "drawn from data"
    assert not (tmp_path / "mlflow.db").exists()


def test_another_tracker_that_is_away_is_named_and_gets_all_later(tmp_path: Path) -> None:
    """In its own words."""
    memory, said = Memory(away=OSError("no route")), []
    settings = Settings(runs_dir=tmp_path)
    write(Journal(settings.journal_dir, STUDY.name), "search-000", range(1, 4))
    shipper = Shipper(settings, STUDY, DIGEST, said.append, tracker=memory)
    assert shipper.ship_once().pending == 5
    memory.away = None
    assert shipper.ship_once().sent == 5
    assert said[0].startswith(
        "Memory tracking fails, training goes on: It is away: no route. 5 events are kept"
    )
    assert said[1:] == ["Memory tracking works again."]


def test_none_writes_nothing_and_has_nothing_to_send(tmp_path: Path) -> None:
    """No journal, no database; what an earlier run has left there waits untouched."""
    settings = Settings(runs_dir=tmp_path, tracking_uri="none")
    assert isinstance(tracker_for(settings), Null)
    journal = journal_for(settings, STUDY.name)
    write(journal, "search-000", range(1, 4))
    journal.artifact("search-000", "plots.html", "data", drawn_from="plots.json")
    journal.artifacts("search-000", "network", {"weights.pt": b"w"})
    journal.append(STUDY_KEY, end_event("complete"))
    assert list(tmp_path.iterdir()) == []
    earlier = Journal(settings.journal_dir, STUDY.name)
    write(earlier, "search-000", range(1, 4))
    shipper = Shipper(settings, STUDY, DIGEST)
    assert (shipper.pending(), shipper.sync(verify=True)) == (0, ShipResult(0, 0))
    assert len(earlier.read("search-000")) == 5 and not (tmp_path / "mlflow.db").exists()


def test_none_has_no_place_no_facts_and_nothing_to_remove() -> None:
    """Whatever it is asked, nothing happens."""
    tracker, study = Null(), StudyRecord(spec=STUDY, digest=DIGEST, facts={}, created=1.0, version="1")
    assert (tracker.prepare(STUDY, DIGEST, {}), tracker.web_address) == ({}, None)
    found = tracker.find(study)
    found.delete()
    assert found.words == ""
    there = tracker.open(STUDY, DIGEST, {})
    assert there.is_there() and list(there.runs()) == []
    assert there.find("x") is None and there.send(RunUpdate("x", whole=True), None) is None


def test_choosing_a_tracker_imports_no_mlflow() -> None:
    """Only a connection does."""
    code = (
        "import sys; from reprtune.settings import Settings; from reprtune.tracking.choose import tracker_for\n"
        "tracker_for(Settings()).address; tracker_for(Settings(tracking_uri='none')); print('mlflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"
