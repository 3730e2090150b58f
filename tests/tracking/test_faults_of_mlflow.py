"""A real MLflow server behind a way that fails: nothing is missing afterwards, and nothing doubled."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from reprtune.errors import TrackingError
from reprtune.history import Point
from reprtune.settings import Settings
from reprtune.tracking.journal import Journal
from reprtune.tracking.mlflow.connection import connect, find_run, prepare
from reprtune.tracking.shipper import Shipper
from tests.tracking.mlflow_server import Server, Way
from tests.tracking.tracked import CURVES, DIGEST, STUDY, look, point, write


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def way(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Way]:
    """A client's way to the server, on which nothing of an earlier test is left."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    client = connect(server.uri)
    for experiment in client.search_experiments():
        if experiment.name != "Default":
            client.rename_experiment(experiment.experiment_id, f"old {experiment.experiment_id}")
            client.delete_experiment(experiment.experiment_id)
    way = Way(server.port)
    yield way
    way.close()


@pytest.fixture
def direct(server: Server, settings: Settings) -> Settings:
    """What looks at the server itself."""
    return Settings(runs_dir=settings.runs_dir, tracking_uri=server.uri)


def through(way: Way, settings: Settings) -> Settings:
    return Settings(runs_dir=settings.runs_dir, tracking_uri=way.uri)


def expected(steps: range) -> list[tuple[str, int, float, int]]:
    """By hand: every point of a slot that `write` wrote, as MLflow is to have it."""
    rows = [row for step in steps for row in _rows(point(step))]
    last = steps[-1]
    return sorted([*rows, ("hp.cycles", 0, 2.0, 1_000_000), ("result.seconds_spent", last, 4.0, 2_000_000)])


def _rows(p: Point) -> list[tuple[str, int, float, int]]:
    values = [p.val_error, p.val_loss, p.train_loss, p.lr, p.gflops, p.seconds, 0.0]
    return [(key, p.step, value, round(1000 * p.time)) for key, value in zip(CURVES, values, strict=True)]


def assert_whole(settings: Settings, slots: int, steps: range) -> None:
    """The study's run and one run for each slot, each with all its points exactly once."""
    seen = look(settings)
    assert seen.keys() == {"s", *(f"slot {slot:03d}" for slot in range(slots))}
    for slot in range(slots):
        (run,) = seen[f"slot {slot:03d}"]
        assert run.status == "FINISHED"
        assert sorted(run.points) == expected(steps)
        assert run.artifacts.keys() == {"config.json"}


CALLS = ("runs/create", "runs/log-batch", "mlflow-artifacts", "runs/update")


@pytest.mark.parametrize(
    ("trouble", "only", "after"),
    [
        *((500, call, after) for call in CALLS for after in (False, True)),
        (503, "runs/search", False), (429, "runs/log-batch", False), ("hang", "runs/log-batch", False),
    ],
)  # fmt: skip
def test_a_fault_at_any_call_misses_and_doubles_nothing(
    way: Way,
    settings: Settings,
    direct: Settings,
    monkeypatch: pytest.MonkeyPatch,
    trouble: int | str,
    only: str,
    after: bool,
) -> None:
    """The call is refused, or done with its answer lost; when the way is free again everything is there once."""
    there = through(way, settings)
    prepare(there, STUDY, DIGEST)
    shipper = Shipper(there, STUDY, DIGEST)
    for slot in range(2):
        write(Journal(there.journal_dir, "s"), f"search-{slot:03d}", range(1, 4))
    way.trouble, way.only, way.after = trouble, only, after
    with monkeypatch.context() as patch:
        if trouble == "hang":
            patch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        result = shipper.ship_once()
    assert result.error is not None and result.pending > 0 and way.n_troubled > 0
    way.clear()
    result = shipper.sync()
    assert (result.error, result.pending) == (None, 0)
    assert_whole(direct, 2, range(1, 4))


def test_where_artifacts_cannot_be_written_all_else_is_sent(
    way: Way, settings: Settings, direct: Settings
) -> None:
    """A full disk there: curves and ends are shown, artifacts wait, and one try in a round is enough to know."""
    there = through(way, settings)
    prepare(there, STUDY, DIGEST)
    journal, said = Journal(there.journal_dir, "s"), []
    for slot in range(3):
        write(journal, f"search-{slot:03d}", range(1, 4))
        journal.artifact(f"search-{slot:03d}", "plots.html", f"<html>{slot}")
    shipper = Shipper(there, STUDY, DIGEST, said.append)
    way.trouble, way.only = 500, "mlflow-artifacts"
    result = shipper.ship_once()
    assert result.error is not None and result.error.startswith("Artifacts cannot be written")
    assert (result.pending, way.n_troubled) == (3 * 2, 1)  # config.json and plots.html of each
    seen = look(direct)
    assert {seen[f"slot {slot:03d}"][0].status for slot in range(3)} == {"FINISHED"}
    assert sorted(seen["slot 002"][0].points) == expected(range(1, 4))
    way.clear()
    assert shipper.sync().pending == 0
    seen = look(direct)
    assert [seen[f"slot {slot:03d}"][0].artifacts["plots.html"] for slot in range(3)] == [
        "<html>0", "<html>1", "<html>2",
    ]  # fmt: skip
    assert len(said) == 2


def test_an_emptied_server_gets_everything_again(way: Way, settings: Settings, direct: Settings) -> None:
    """Its runs are gone for good; `sync` asks for them and sends all, a running shipper what still changes."""
    there = through(way, settings)
    prepare(there, STUDY, DIGEST)
    for slot in range(2):
        write(Journal(there.journal_dir, "s"), f"search-{slot:03d}", range(1, 4))
    shipper = Shipper(there, STUDY, DIGEST)
    assert shipper.sync().pending == 0
    client = connect(direct.mlflow_uri)
    old = client.get_experiment_by_name("s")
    client.rename_experiment(old.experiment_id, f"gone {old.experiment_id}")  # as if it had never been there
    for run in client.search_runs([old.experiment_id]):
        client.delete_run(run.info.run_id)
    assert shipper.sync(verify=True).error is None
    assert_whole(direct, 2, range(1, 4))
    assert client.search_runs([old.experiment_id]) == []


def test_a_stranger_with_our_number_on_an_emptied_server_gets_nothing(
    way: Way, settings: Settings, direct: Settings
) -> None:
    """The experiment is found by its name, not by its number alone, which may be anybody's by now."""
    client = connect(direct.mlflow_uri)
    stranger = client.create_experiment("a stranger's")
    write(Journal(settings.journal_dir, "s"), "search-000", range(1, 4))
    facts = {"experiment": {"name": "s", "id": stranger}}
    shipper = Shipper(through(way, settings), STUDY, DIGEST, facts=facts)
    assert shipper.sync().error is None
    assert client.search_runs([stranger]) == []
    assert_whole(direct, 1, range(1, 4))


def test_a_renamed_experiment_is_found_by_its_number(way: Way, settings: Settings, direct: Settings) -> None:
    """The study's own run in it tells it from a stranger."""
    there = through(way, settings)
    facts = {"experiment": prepare(there, STUDY, DIGEST)}
    client = connect(direct.mlflow_uri)
    client.rename_experiment(facts["experiment"]["id"], "another name")
    write(Journal(there.journal_dir, "s"), "search-000", range(1, 4))
    assert Shipper(there, STUDY, DIGEST, facts=facts).sync().error is None
    assert client.get_experiment_by_name("s") is None
    run = find_run(client, facts["experiment"]["id"], f"{DIGEST}/search-000")
    assert run is not None and run.info.status == "FINISHED"


def test_an_experiment_deleted_meanwhile_is_said_to_be_and_comes_back(
    way: Way, settings: Settings, direct: Settings
) -> None:
    """Events wait; restored, it gets what it lacks."""
    there = through(way, settings)
    facts = {"experiment": prepare(there, STUDY, DIGEST)}
    write(Journal(there.journal_dir, "s"), "search-000", range(1, 4))
    shipper = Shipper(there, STUDY, DIGEST, facts=facts)
    assert shipper.sync().error is None
    client = connect(direct.mlflow_uri)
    client.delete_experiment(facts["experiment"]["id"])
    write(Journal(there.journal_dir, "s"), "search-001", range(1, 4))
    result = shipper.sync()
    assert result.error == "The MLflow experiment 's' has been deleted, and MLflow keeps its name."
    assert result.pending == 5
    client.restore_experiment(facts["experiment"]["id"])
    assert shipper.sync().pending == 0
    assert_whole(direct, 2, range(1, 4))


@pytest.mark.parametrize(
    ("status", "words"), [(401, "does not let anybody without a name in"), (403, "does not allow")]
)
def test_a_refusal_is_one_sentence_that_names_the_server(
    way: Way, settings: Settings, status: int, words: str
) -> None:
    """With the variables to set; not a page of HTML."""
    way.trouble = status
    with pytest.raises(TrackingError, match=words) as raised:
        prepare(through(way, settings), STUDY, DIGEST)
    assert way.uri in raised.value.message and "\n" not in raised.value.message
    assert {401: "MLFLOW_TRACKING_USERNAME", 403: "EDIT"}[status] in str(raised.value.hint)


def test_a_token_is_sent(way: Way, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLFLOW_TRACKING_TOKEN goes with every request."""
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    prepare(through(way, settings), STUDY, DIGEST)
    assert set(way.heard) == {"Bearer t0ken"}


def test_a_certificate_that_nobody_vouches_for(
    server: Server, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused in words; taken with MLFLOW_TRACKING_INSECURE_TLS or with the certificate itself."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    key, certificate = settings.runs_dir / "key.pem", settings.runs_dir / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    way = Way(server.port, (certificate, key))
    there = through(way, settings)
    with pytest.raises(TrackingError, match="certificate of the MLflow server") as raised:
        prepare(there, STUDY, DIGEST)
    assert "MLFLOW_TRACKING_SERVER_CERT_PATH" in str(raised.value.hint)
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(certificate))
    prepare(there, STUDY, DIGEST)
    monkeypatch.delenv("MLFLOW_TRACKING_SERVER_CERT_PATH")
    monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
    with pytest.warns(Warning, match="Unverified HTTPS"):
        prepare(there, STUDY, DIGEST)
    way.close()
