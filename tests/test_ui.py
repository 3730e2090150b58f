"""`ui`: three addresses that answer, and nothing left when it ends, however it ends."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from urllib.parse import unquote, urlsplit

import pytest

from dashboards import guard
from reprtune.record import storage
from reprtune.record.database import open_storage
from tests.browser import asked, needs_browser, resized, running_browser, until, way_out
from tests.command import Command

psutil = pytest.importorskip("psutil")
pytestmark = pytest.mark.timeout(400)  # servers start slowly on a busy machine


@pytest.fixture
def study(finished):
    """The finished study, seen from a command line of the test's own."""
    with contextlib.closing(Command(finished.runs)) as command:
        yield command


class Shown:
    """A running `ui`: its process, what it said, and its addresses."""

    def __init__(self, command: Command, *words: str) -> None:
        self.said: list[str] = []
        self.process = command.start("ui", "repr-smoke", *words)
        self._readers = [
            threading.Thread(target=self._read, args=(stream,), daemon=True)
            for stream in (self.process.stdout, self.process.stderr)
        ]
        for reader in self._readers:
            reader.start()
        until(lambda: "Ctrl-C ends them all." in self.text or self.process.poll() is not None, "addresses")
        assert self.process.poll() is None, self.text
        self.addresses = dict(re.findall(r"^  (\S+) +(http://\S+)", self.text, re.MULTILINE))
        self.family = psutil.Process(self.process.pid).children(recursive=True)

    def _read(self, stream) -> None:
        for line in stream:
            self.said.append(line)

    @property
    def text(self) -> str:
        return "".join(self.said)

    def left(self) -> list[int]:
        """Which of the processes that it had started are still there."""
        return [p.pid for p in self.family if not _gone(p)]

    def left_in_time(self) -> list[int]:
        """The same, when they have had time to go."""
        deadline = time.monotonic() + 60
        while self.left() and time.monotonic() < deadline:
            time.sleep(0.2)
        return self.left()

    def ends(self, number: int) -> int:
        os.kill(self.process.pid, number)
        code = self.process.wait(60)
        for reader in self._readers:
            reader.join(20)
        return code


def _gone(process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True


def get(address: str, **headers: str) -> tuple[int, str]:
    """(status, body) of a page, past every proxy."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", parts.path or "/", headers=headers)
        reply = connection.getresponse()
        return reply.status, reply.read().decode(errors="replace")


def test_three_addresses_answer_and_end_together(study):
    """Report, MLflow and Optuna's dashboard answer on 127.0.0.1 only; trials lead to MLflow's runs; the report
    is made anew on reload; nothing calls home; Ctrl-C ends all with exit code 0 and leaves no process or file."""
    with way_out() as (proxy, calls):
        study.environment = proxy
        shown = Shown(study, "--no-open")
        assert set(shown.addresses) == {"report", "MLflow", "optuna-dashboard"}, shown.text
        status, page = get(shown.addresses["report"])
        assert status == 200 and "<h1>repr-smoke</h1>" in page
        record = storage.read_study(open_storage(study.settings.storage_url), "repr-smoke")
        runs = {unquote(a) for a in re.findall(r'href="(http://127[^"]+)"', page)}
        assert runs and all(a.startswith(f"{shown.addresses['MLflow']}/#/experiments/1/runs") for a in runs)
        assert any(f"{record.instance}/search-000" in a for a in runs)
        assert get(f"{shown.addresses['MLflow']}/health")[0] == 200
        studies = json.loads(get(f"{shown.addresses['optuna-dashboard']}/api/studies")[1])["study_summaries"]
        assert "repr-smoke" in {s["study_name"] for s in studies}
        ports = {urlsplit(a).port for a in shown.addresses.values()}
        processes = [psutil.Process(shown.process.pid), *shown.family]
        heard = {c.laddr.ip for p in processes for c in p.net_connections() if c.status == psutil.CONN_LISTEN}
        assert len(ports) == 3 and heard == {"127.0.0.1"}
        assert not any("sqlite" in word for p in processes for word in p.cmdline())
        assert len(shown.left()) >= 4
        assert shown.ends(signal.SIGINT) == 0
        assert shown.left_in_time() == []
        assert "Stopped: nothing is left running." in shown.text
        assert calls == []
    for address in shown.addresses.values():
        with pytest.raises(OSError, match="refused"):
            get(address)


def test_what_a_guard_runs_ends_with_the_guards_owner(tmp_path):
    """The owner is killed with SIGKILL: the command, deaf to SIGTERM, and its own child are gone soon after."""
    deaf = "import signal, subprocess, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    deaf += "subprocess.Popen(['sleep', '600']); print('up', flush=True); signal.pause()"
    words = [sys.executable, "-I", guard.__file__, sys.executable, "-c", deaf]
    owner = "import subprocess, sys, time; subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE,"
    owner += "start_new_session=True); time.sleep(600)"
    with subprocess.Popen(
        [sys.executable, "-c", owner, *words], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "up\n"
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) == 3
        process.kill()
    _, alive = psutil.wait_procs(family, timeout=60)
    assert [p for p in alive if not _gone(p)] == []


@pytest.mark.slow
def test_nothing_outlives_a_kill(study):
    """SIGKILL gives `ui` no time to tidy up; its servers end all the same."""
    study.environment = {}
    shown = Shown(study, "--no-open")
    assert shown.ends(signal.SIGKILL) == -signal.SIGKILL
    assert shown.left_in_time() == []


def test_a_taken_port_is_refused_before_anything_starts(study):
    """The message names the port, what wanted it, and the way out; exit code 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = study("ui", "repr-smoke", "--no-open", "--port", str(port - 1), code=2)
    assert f"port {port}" in done.stderr and "for MLflow" in done.stderr and "leave --port out" in done.stderr


def test_an_unknown_study_starts_nothing(study):
    """The usual sentence about a study that is not there, and no server."""
    done = study("ui", "nonsense", code=1)
    assert "nonsense" in done.stderr and "Starting" not in done.stderr


@pytest.mark.slow
def test_a_server_elsewhere_is_linked_and_a_missing_dashboard_explained(study, tmp_path):
    """With a tracking server only Optuna's side is ours; without optuna-dashboard the rest goes on; SIGTERM and
    a browser that is opened work as well."""
    (tmp_path / "optuna_dashboard.py").write_text("raise ImportError")
    blocked = tmp_path / "sitecustomize.py"
    blocked.write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'optuna_dashboard' else find(name, *a)\n"
    )
    opened = tmp_path / "opened.txt"
    study.environment = {
        "PYTHONPATH": str(tmp_path),
        "BROWSER": f"{sys.executable} -c \"open(r'{opened}','w').write('%s')\"",
        "MLFLOW_TRACKING_URI": "http://me:secret@127.0.0.1:9",
    }
    shown = Shown(study)
    assert shown.addresses["MLflow"] == "http://me:***@127.0.0.1:9"
    assert set(shown.addresses) == {"report", "MLflow"}
    assert "pip install -e '.[dashboard]'" in shown.text
    page = get(shown.addresses["report"])[1]
    assert "secret" not in page and 'href="http://127.0.0.1:9/#/experiments/' in page
    until(opened.exists, "an opened browser", seconds=20)
    assert shown.ends(signal.SIGTERM) == 0
    assert shown.left_in_time() == []


@pytest.mark.slow
def test_a_second_ui_runs_beside_the_first_and_a_lost_server_is_told(study):
    """Each has its own ports; when one ends, the other stays; a server that dies is named."""
    study.environment = {}
    first, second = Shown(study, "--no-open"), Shown(study, "--no-open")
    assert not {*first.addresses.values()} & {*second.addresses.values()}
    assert first.ends(signal.SIGINT) == 0
    assert get(second.addresses["report"])[0] == 200
    victim = next(p for p in second.family if "mlflow" in p.cmdline())
    victim.kill()
    until(lambda: "MLflow has ended" in second.text, "word about it", seconds=30)
    assert get(second.addresses["report"])[0] == 200
    assert second.ends(signal.SIGINT) == 0
    assert second.left_in_time() == []


@pytest.mark.slow
@needs_browser
def test_the_link_of_a_trial_shows_its_run(study, tmp_path):
    """Following it, MLflow's page lists exactly the run of that slot."""
    study.environment = {}
    shown = Shown(study, "--no-open")
    with running_browser(tmp_path / "profile") as browser:
        resized(browser, 1600)
        browser.get(shown.addresses["report"])
        links = browser.execute_script(
            "return [...document.querySelectorAll('#curves th a')].map(a => [a.textContent, a.href])"
        )
        name, address = next((n, a) for n, a in links if n.startswith("trial"))
        slot = int(address[-1]) if address[-1].isdigit() else int(re.findall(r"search-(\d+)", address)[0])
        asked(browser)
        browser.get(address)
        rows = until(
            lambda: browser.execute_script(
                "return [...document.querySelectorAll('a[href*=\"/runs/\"]')].map(a => a.textContent).filter(t => t)"
            ),
            f"run of {name}",
        )
        assert set(rows) == {f"slot {slot}"}, rows
    assert shown.ends(signal.SIGINT) == 0


def test_help_has_examples():
    """`-h` says what it starts, where, and how to end it."""
    done = subprocess.run([sys.executable, "cli.py", "ui", "-h"], capture_output=True, text=True, check=True)
    assert "Examples:" in done.stdout and "Ctrl-C" in done.stdout and "127.0.0.1" in done.stdout
