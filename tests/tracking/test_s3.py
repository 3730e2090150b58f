"""Artifacts in S3: a real one over HTTP on this machine, written to directly and through the server."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reprtune.settings import Settings
from reprtune.tracking.journal import Journal
from reprtune.tracking.mlflow.connection import prepare
from reprtune.tracking.shipper import Shipper
from tests.tracking.mlflow_server import Server
from tests.tracking.tracked import DIGEST, STUDY, look, write

pytestmark = pytest.mark.slow
KEYS = {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An S3 with an empty bucket `runs`, and the environment that leads to it."""
    import boto3
    from moto.server import ThreadedMotoServer

    s3 = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    s3.start()
    address = "http://{}:{}".format(*s3.get_host_and_port())
    urllib.request.urlopen(urllib.request.Request(f"{address}/moto-api/reset", method="POST")).close()
    for name, value in {**KEYS, "MLFLOW_S3_ENDPOINT_URL": address}.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=address)
    client.create_bucket(Bucket="runs")
    yield client
    s3.stop()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # boto's pool, closed when the process ends
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("proxied", [True, False])
def test_artifacts_lie_in_s3(tmp_path: Path, bucket: Any, proxied: bool) -> None:
    """Through the server (which alone knows the keys) or written by the client itself; whole either way."""
    folder = tmp_path / "server"
    folder.mkdir()
    options = ["--artifacts-destination", "s3://runs/proxied"] if proxied else []
    server = Server(folder, options, artifacts=None if proxied else "s3://runs/direct")
    server.start()
    try:
        settings = Settings(runs_dir=tmp_path / "runs", tracking_uri=server.uri)
        prepare(settings, STUDY, DIGEST)
        journal = Journal(settings.journal_dir, "s")
        write(journal, "search-000", range(1, 3))
        journal.artifact("search-000", "plots.html", "<html>✓</html>")
        journal.artifacts("search-000", "network", {"weights.pt": b"\x00\xff"})
        assert Shipper(settings, STUDY, DIGEST).sync().error is None
        (run,) = look(settings)["slot 000"]
        assert run.artifacts["plots.html"] == "<html>✓</html>"
    finally:
        server.kill()
    keys = [item["Key"] for item in bucket.list_objects_v2(Bucket="runs")["Contents"]]
    assert {key.split("/")[0] for key in keys} == {"proxied" if proxied else "direct"}
    (weights,) = [key for key in keys if key.endswith("network/weights.pt")]
    assert bucket.get_object(Bucket="runs", Key=weights)["Body"].read() == b"\x00\xff"
