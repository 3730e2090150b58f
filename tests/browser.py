"""A real browser that tells what it asked for and what it complained about, and servers for it to look at."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

CHROME, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(
    not (CHROME and DRIVER), reason="no chromium with chromedriver on this machine"
)
ARGUMENTS = (
    "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking "
    "disable-component-update disable-sync window-size=1280,1200"
)
# Where pytest or a CI run shows, MLflow keeps quiet by itself; a person's shell has none of these.
SIGNS_OF_A_TEST = ("PYTEST_CURRENT_TEST", "CI", "GITHUB_ACTIONS", "GITLAB_CI", "JENKINS_URL", "TF_BUILD")


@contextlib.contextmanager
def running_browser(profile: Path) -> Iterator[webdriver.Chrome]:
    """Headless, with a profile of its own, keeping its console and its requests."""
    options = Options()
    options.binary_location = CHROME or ""
    for argument in ARGUMENTS.split():
        options.add_argument(f"--{argument}")
    options.add_argument(f"--user-data-dir={profile}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def asked(browser: webdriver.Chrome) -> list[str]:
    """The addresses it asked for since the last call."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


# A page with plotly.js inside unpacks it before it draws, and says what came of that.
SETTLED = "return !document.getElementById('library') || document.documentElement.dataset.figures"


def opened(browser: webdriver.Chrome, path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """Open a file; returns the addresses it asked for and what it wrote to the console."""
    asked(browser)
    browser.get_log("browser")
    browser.get(path.as_uri())
    until(lambda: browser.execute_script(SETTLED), "figure, or word that there is none")
    return asked(browser), browser.get_log("browser")


def undrawn(browser: webdriver.Chrome) -> list[str]:
    """Our figures without a drawing that holds something."""
    return browser.execute_script(
        "return [...document.querySelectorAll('.plot')]"
        ".filter(p => !p.querySelector('svg.main-svg .trace, svg.main-svg .hm, .axes .line')).map(p => p.id)"
    )


def resized(browser: webdriver.Chrome, width: int) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False},
    )


def until(find: Callable[[], Any], what: str, seconds: float = 200) -> Any:
    """What `find` returns as soon as it is something; pages that draw themselves take their time."""
    from selenium.common.exceptions import WebDriverException

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(WebDriverException):
            if found := find():
                return found
        time.sleep(0.2)
    raise AssertionError(f"after {seconds} s there is no {what}")


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextlib.contextmanager
def serving(words: Sequence[str], url: str, log: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """A server as a person would start it, from when `url` answers; all its processes end with it."""
    inherited = {k: v for k, v in os.environ.items() if k not in SIGNS_OF_A_TEST}
    with log.open("wb") as out:
        process = subprocess.Popen(
            words, env={**inherited, **environment}, stdout=out, stderr=out, start_new_session=True
        )
    try:
        until(lambda: _answers(url), f"answer from {url}:\n{log.read_text()}", seconds=300)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as reply:
        return reply.status == 200
    return False


@contextlib.contextmanager
def way_out() -> Iterator[tuple[Mapping[str, str], list[str]]]:
    """(environment, calls): a proxy that lets nothing pass and keeps the first line of every call.

    With this environment, whatever a program asks of another machine by HTTP shows up here.
    """
    import threading

    calls: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.settimeout(5)
                        calls.append(connection.recv(200).decode(errors="replace").partition("\r\n")[0])

        threading.Thread(target=answer, daemon=True).start()
        proxy = f"http://127.0.0.1:{server.getsockname()[1]}"
        names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
        yield {**dict.fromkeys(names, proxy), "NO_PROXY": "127.0.0.1,localhost"}, calls
        server.shutdown(socket.SHUT_RDWR)
