from __future__ import annotations

import json
import threading
from pathlib import Path

from filelock import FileLock

from reprtune.record.outcomes import Outcome
from reprtune.settings import Settings
from reprtune.tracking.events import STUDY_KEY, end_event, metrics_event
from reprtune.tracking.journal import Journal
from reprtune.tracking.mlflow.connection import connect, find_run
from reprtune.tracking.shipper import Shipper
from reprtune.tracking.updates import fold
from tests.tracking.tracked import (
    CURVES,
    DIGEST,
    STUDY,
    Seen,
    begin,
    drop,
    look,
    point,
    write,
)

# mlflow 3.17 on SQLAlchemy 2.1


def journal_of(settings: Settings) -> Journal:
    return Journal(settings.journal_dir, STUDY.name)


def shipper_of(settings: Settings) -> Shipper:
    return Shipper(settings, STUDY, DIGEST)


def only(settings: Settings, name: str = "slot 000") -> Seen:
    """The run of a slot, of which there must be exactly one."""
    (run,) = look(settings)[name]
    return run


def test_a_slot_becomes_a_nested_run_with_everything(settings: Settings) -> None:
    """Status, parameters, tags, curves with their times, overlap, artifacts; in one round."""
    journal = journal_of(settings)
    journal.append("search-000", begin(host="h1"))
    journal.append("search-000", metrics_event([point(1), point(2)], [drop(2)]))
    journal.artifact("search-000", "plots.html", "<html>✓</html>")
    journal.append("search-000", end_event("complete", step=2, metrics={"seconds_spent": 4.0}, now=2000.0))
    result = shipper_of(settings).ship_once()
    assert (result.sent, result.pending, result.error, result.busy) == (4, 0, None, False)
    run = only(settings)
    client = connect(settings.mlflow_uri)
    parent = find_run(client, client.get_experiment_by_name("s").experiment_id, f"{DIGEST}/study")
    assert parent is not None and run.tags["mlflow.parentRunId"] == parent.info.run_id
    assert (run.status, run.start_ms, run.end_ms) == ("FINISHED", 1_000_000, 2_000_000)
    assert (run.params["cycles"], run.tags["param.cycles"], run.tags["reprtune.host"]) == ("2", "2", "h1")
    assert run.tags["reprtune.outcome"] == "complete"
    assert {(k, s, v, t) for k, s, v, t in run.points if k in ("val_error", "hp.cycles", "overlap.conv2")} == {
        ("hp.cycles", 0, 2.0, 1_000_000), ("val_error", 1, 1.0, 1_001_000), ("val_error", 2, 0.5, 1_002_000),
        ("overlap.conv2", 2, 0.25, 1_002_000),
    }  # fmt: skip
    assert len(run.points) == 2 * len(CURVES) + 3
    assert run.artifacts.keys() == {"config.json", "plots.html"}
    assert run.artifacts["plots.html"] == "<html>✓</html>"
    assert json.loads(run.artifacts["config.json"])["method"]["schedule"]["cycles"] == 2


def test_a_folder_of_files_is_sent_with_its_bytes(settings: Settings) -> None:
    """Under its name among the run's artifacts."""
    journal = journal_of(settings)
    journal.append("search-000", begin())
    journal.artifacts("search-000", "network", {"weights.pt": b"\x00\xff\x80", "load.py": b"# text"})
    assert shipper_of(settings).ship_once().error is None
    client = connect(settings.mlflow_uri)
    experiment = client.get_experiment_by_name("s").experiment_id
    run = find_run(client, experiment, f"{DIGEST}/search-000")
    assert run is not None
    assert {a.path for a in client.list_artifacts(run.info.run_id, "network")} == {
        "network/weights.pt",
        "network/load.py",
    }
    found = Path(client.download_artifacts(run.info.run_id, "network/weights.pt"))
    assert found.read_bytes() == b"\x00\xff\x80"


def test_every_final_outcome_has_its_status(settings: Settings) -> None:
    """FINISHED only for what was trained to the end; and a slot without an end is RUNNING."""
    outcomes = (*(o for o in Outcome if o.is_final), "interrupted", "infeasible", None)
    for i, outcome in enumerate(outcomes):
        write(journal_of(settings), f"search-{i:03d}", range(1, 3), outcome)
    assert shipper_of(settings).sync().pending == 0
    seen = look(settings)
    assert {o: seen[f"slot {i:03d}"][0].status for i, o in enumerate(outcomes)} == {
        "complete": "FINISHED", "stopped": "KILLED", "diverged": "KILLED", "out-of-memory": "FAILED",
        "error": "FAILED", "interrupted": "KILLED", "infeasible": "KILLED", "over-budget": "KILLED", None: "RUNNING",
    }  # fmt: skip


def test_sending_again_does_nothing(settings: Settings) -> None:
    """With nothing new, nothing is asked of MLflow; with the offsets lost, all is sent again and merged."""
    write(journal_of(settings), "search-000", range(1, 20))
    write(journal_of(settings), "search-001", range(1, 9), None)
    assert shipper_of(settings).sync().sent == 30
    before = look(settings)
    assert shipper_of(settings).sync().sent == 0
    for offset in journal_of(settings).root.glob("*.shipped"):
        offset.unlink()
    assert shipper_of(settings).sync().sent == 30
    assert look(settings) == before


def test_numbers_that_are_not_finite_are_merged_too(settings: Settings) -> None:
    """A diverged trial's NaN and infinity are stored once, however often they are sent."""
    journal = journal_of(settings)
    journal.append("search-000", begin())
    journal.append("search-000", metrics_event([point(1, error=float("nan")), point(2, error=float("inf"))]))
    assert shipper_of(settings).sync().error is None
    (journal.root / "search-000.shipped").unlink()
    assert shipper_of(settings).sync().error is None
    assert only(settings).steps("val_error") == [1, 2]


def test_events_are_sent_as_they_come(settings: Settings) -> None:
    """A second round of the same shipper adds to the run of the first."""
    journal, shipper = journal_of(settings), shipper_of(settings)
    write(journal, "search-000", range(1, 3), None)
    assert shipper.ship_once().sent == 3
    assert (only(settings).status, only(settings).steps("lr")) == ("RUNNING", [1, 2])
    journal.append("search-000", metrics_event([point(3)]))
    journal.append("search-000", end_event("stopped", now=2000.0))
    assert shipper.ship_once().sent == 2
    assert (only(settings).status, only(settings).steps("lr")) == ("KILLED", [1, 2, 3])


def test_a_resumed_slot_is_the_same_run(settings: Settings) -> None:
    """Interrupted, taken up with all its points given again, finished: each point once, tags of the last."""
    journal, shipper = journal_of(settings), shipper_of(settings)
    write(journal, "search-000", range(1, 4), "interrupted")
    shipper.ship_once()
    assert only(settings).status == "KILLED"
    journal.append("search-000", begin(attempt=1, now=1500.0))
    journal.append("search-000", metrics_event([point(s) for s in range(1, 6)]))
    shipper.ship_once()
    assert only(settings).status == "RUNNING"
    journal.append("search-000", end_event("complete", step=5, metrics={"seconds_spent": 6.0}, now=3000.0))
    shipper.ship_once()
    run = only(settings)
    assert (run.status, run.end_ms, run.tags["reprtune.attempt"]) == ("FINISHED", 3_000_000, "1")
    assert run.tags["reprtune.outcome"] == "complete"
    assert run.steps("val_error") == [1, 2, 3, 4, 5]
    assert run.steps("hp.cycles") == [0]
    assert run.steps("result.seconds_spent") == [3, 5]


def test_a_segment_that_was_trained_twice_counts_once(settings: Settings) -> None:
    """Its state was lost: the same step comes again with another time, in this round or a later one."""
    journal, shipper = journal_of(settings), shipper_of(settings)
    write(journal, "search-000", range(1, 4), None)
    journal.append("search-000", metrics_event([point(3, time=5000.0)]))
    shipper.ship_once()
    journal.append("search-000", metrics_event([point(2, time=6000.0), point(4)]))
    shipper.ship_once()
    errors = [(s, t) for k, s, _, t in only(settings).points if k == "val_error"]
    assert errors == [(1, 1_001_000), (2, 1_002_000), (3, 1_003_000), (4, 1_004_000)]


def test_a_slot_taken_up_on_another_machine_is_the_same_run(settings: Settings, tmp_path: Path) -> None:
    """The other journal gives all points again; then the first machine comes back and changes nothing."""
    other = Settings(runs_dir=tmp_path / "other", tracking_uri=settings.mlflow_uri)
    write(journal_of(settings), "search-000", range(1, 4), None)
    shipper_of(settings).ship_once()
    journal_of(settings).append("search-000", metrics_event([point(4)]))  # not sent before the machine died
    journal_of(other).append("search-000", begin(attempt=1, now=7000.0, host="other"))
    retrained = [point(s, time=8000.0 + s) for s in (3, 4)]
    journal_of(other).append("search-000", metrics_event([point(1), point(2), *retrained]))
    journal_of(other).append("search-000", end_event("complete", now=9000.0))
    assert shipper_of(other).sync().error is None
    after = look(settings)
    run = only(settings)
    assert (run.status, run.tags["reprtune.host"], run.steps("val_error")) == (
        "FINISHED",
        "other",
        [1, 2, 3, 4],
    )
    assert run.steps("hp.cycles") == [0]
    assert shipper_of(settings).sync().sent == 1
    assert look(settings) == after


def test_a_torn_line_is_sent_when_it_is_whole(settings: Settings) -> None:
    """Half an event waits; its whole successor is sent."""
    journal, shipper = journal_of(settings), shipper_of(settings)
    write(journal, "search-000", range(1, 3), None)
    with journal.path("search-000").open("ab") as file:
        file.write(b'{"event":"metrics","metr')
    assert (shipper.ship_once().sent, shipper.pending()) == (3, 0)
    journal.append("search-000", metrics_event([point(3)]))
    assert shipper.ship_once().sent == 1
    assert only(settings).steps("lr") == [1, 2, 3]


def test_the_second_of_two_shippers_leaves_the_journal_alone(settings: Settings) -> None:
    """While another holds the lock nothing is sent and nothing lost; afterwards it is."""
    write(journal_of(settings), "search-000", range(1, 3))
    with FileLock(journal_of(settings).root / ".shipping.lock"):
        result = shipper_of(settings).ship_once()
        assert (result.sent, result.pending, result.error, result.busy) == (0, 4, None, True)
        assert shipper_of(settings).sync(0.5).busy
    assert shipper_of(settings).sync().pending == 0


def test_two_shippers_at_once_send_everything_once(settings: Settings) -> None:
    """Both run until nothing waits; every slot is one run with every point once."""
    for i in range(6):
        write(journal_of(settings), f"search-{i:03d}", range(1, 6))
    shippers = [threading.Thread(target=shipper_of(settings).sync) for _ in range(2)]
    for thread in shippers:
        thread.start()
    for thread in shippers:
        thread.join()
    seen = look(settings)
    assert {name: len(runs) for name, runs in seen.items()} == {
        "s": 1,
        **{f"slot {i:03d}": 1 for i in range(6)},
    }
    assert all(seen[f"slot {i:03d}"][0].steps("lr") == [1, 2, 3, 4, 5] for i in range(6))


def test_a_run_that_somebody_deleted_comes_back_whole_when_it_goes_on(settings: Settings) -> None:
    """The journal has all of it; a new run takes its place."""
    journal, shipper = journal_of(settings), shipper_of(settings)
    write(journal, "search-000", range(1, 3), None)
    shipper.ship_once()
    client = connect(settings.mlflow_uri)
    run = find_run(client, client.get_experiment_by_name("s").experiment_id, f"{DIGEST}/search-000")
    assert run is not None
    client.delete_run(run.info.run_id)
    journal.append("search-000", metrics_event([point(3)]))
    assert shipper.ship_once().error is None
    assert only(settings).steps("lr") == [1, 2, 3]
    assert only(settings).params["cycles"] == "2"


def test_another_tracking_store_gets_everything(settings: Settings, tmp_path: Path) -> None:
    """Offsets belong to one store; the new one gets experiment, parent and all runs."""
    write(journal_of(settings), "search-000", range(1, 3))
    shipper_of(settings).sync()
    before = look(settings)
    moved = Settings(runs_dir=settings.runs_dir, tracking_uri=f"sqlite:///{tmp_path}/new.db")
    assert shipper_of(moved).sync().sent == 4
    assert only(moved).points == before["slot 000"][0].points
    assert look(settings) == before


def test_a_slot_that_is_refused_does_not_hold_up_the_others(settings: Settings) -> None:
    """A parameter cannot change in MLflow: that slot stays in the journal with the reason, the rest is sent."""
    journal, said = journal_of(settings), []
    write(journal, "search-000", range(1, 3), None)
    shipper = Shipper(settings, STUDY, DIGEST, said.append)
    shipper.ship_once()
    journal.append("search-000", begin(cycles=3))
    write(journal, "search-001", range(1, 3))
    result = shipper.ship_once()
    assert (result.sent, result.pending) == (4, 1)
    assert result.error is not None and "cycles" in result.error
    assert only(settings, "slot 001").status == "FINISHED"
    assert len(said) == 1 and "training goes on" in said[0]
    assert shipper.status.pending == 1 and shipper.status.error == result.error


def test_the_study_has_a_run_of_its_own(settings: Settings) -> None:
    """Its journal ends and reopens the parent, and hangs the report on it."""
    journal, shipper = journal_of(settings), shipper_of(settings)
    journal.artifact(STUDY_KEY, "report.html", "<html>")
    journal.append(STUDY_KEY, end_event("complete", now=5000.0))
    assert shipper.ship_once().error is None
    parent = only(settings, "s")
    assert (parent.status, parent.end_ms) == ("FINISHED", 5_000_000)
    assert parent.artifacts.keys() == {"spec.json", "report.html"}
    assert "mlflow.parentRunId" not in parent.tags
    journal.append(STUDY_KEY, end_event("running"))
    shipper.ship_once()
    assert only(settings, "s").status == "RUNNING"


def test_more_than_one_call_takes_is_sent_in_several(settings: Settings) -> None:
    """2,100 points, 250 tags: MLflow takes 1,000 and 100 at a time."""
    journal = journal_of(settings)
    journal.append("search-000", begin(**{f"t{i}": str(i) for i in range(250)}))
    journal.append("search-000", metrics_event([point(s) for s in range(1, 301)]))
    assert shipper_of(settings).sync().error is None
    run = only(settings)
    assert [run.steps(curve) for curve in CURVES] == [list(range(1, 301))] * len(CURVES)
    assert all(run.tags[f"reprtune.t{i}"] == str(i) for i in range(250))


def test_fold_keeps_studies_of_one_name_apart() -> None:
    """A journal left by a deleted study of that name belongs to that study's run."""
    old, new = {**begin(), "identity": "old/search-000"}, begin()
    events = [
        (10, old),
        (20, metrics_event([point(1)])),
        (30, new),
        (40, metrics_event([point(1), point(2)])),
    ]
    updates = {u.identity: u for u in fold(events, 0, "none")}
    assert updates.keys() == {"old/search-000", f"{DIGEST}/search-000"}
    assert len(updates["old/search-000"].metrics) == 1 + len(CURVES)
    assert len(updates[f"{DIGEST}/search-000"].metrics) == 1 + 2 * len(CURVES)
    (rest,) = fold(events, 20, "none")
    assert rest.whole and rest.identity == f"{DIGEST}/search-000"
    (tail,) = fold(events, 30, "none")
    assert not tail.whole and len(tail.metrics) == 2 * len(CURVES)


def test_what_is_told_too_late_is_passed_over(settings: Settings) -> None:
    """By a worker that stood still while another took its slot: its beginning, its points, its end, and what it
    measured of its machine. A result that is another number counts, as the last one."""
    journal = journal_of(settings)
    journal.append("search-000", begin(attempt=0))
    journal.append("search-000", begin(attempt=1))
    journal.append("search-000", {**metrics_event([point(1)]), "attempt": 1})
    ends = [end_event("complete", step=1, metrics={"seconds_spent": n}, now=2000.0 + n) for n in (3.0, 4.0)]
    for end in ends:
        journal.append("search-000", {**end, "attempt": 1})
    assert shipper_of(settings).ship_once().error is None
    before = look(settings)
    results = [value for key, _, value, _ in only(settings).points if key == "result.seconds_spent"]
    assert results == [3.0, 4.0]
    late = [metrics_event([point(1, time=9000.0), point(2)]), end_event("interrupted", step=2, now=9000.0)]
    for event in (begin(attempt=0), *({**event, "attempt": 0} for event in late), metrics_event([point(3)])):
        journal.append("search-000", event)
    assert shipper_of(settings).ship_once().pending == 0
    assert look(settings) == before


def test_the_beginning_of_an_attempt_that_has_ended_opens_nothing(settings: Settings, tmp_path: Path) -> None:
    """Another machine has told the end, from the record; then the journal comes, whose worker was killed before it."""
    other = Settings(runs_dir=tmp_path / "other", tracking_uri=settings.mlflow_uri)
    write(journal_of(settings), "search-000", range(1, 4), None)
    write(journal_of(other), "search-000", range(1, 4))
    assert shipper_of(other).sync().error is None
    before = look(settings)
    assert shipper_of(settings).sync().error is None
    assert look(settings) == before
