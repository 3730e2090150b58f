"""A real MLflow server on this machine, to be killed and started again, and a way to it that fails as told."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class Server:
    """`mlflow server` on its own SQLite in `folder`; always the same address.

    Args:
        options: further words of its command line. environment: further variables.
        artifacts: the default: files pass through the server. Else where clients write them themselves.
    """

    def __init__(
        self,
        folder: Path,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        artifacts: str | None = None,
    ) -> None:
        self.folder, self.port = folder, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.options, self.environment, self.artifacts = options, environment or {}, artifacts
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
        environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # a second process nobody needs here
        store = ["--backend-store-uri", f"sqlite:///{self.folder}/server.db"]
        if self.artifacts is None:
            store += ["--artifacts-destination", str(self.folder / "artifacts")]
        else:
            store += ["--no-serve-artifacts", "--default-artifact-root", self.artifacts]
        address = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1", *self.options]
        with (self.folder / "server.txt").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *store, *address], cwd=self.folder,
                env={**environment, **self.environment}, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=1):
                    return
            except OSError:
                time.sleep(0.1)
        raise TimeoutError((self.folder / "server.txt").read_text())

    def kill(self) -> None:
        """SIGKILL for the server and its children; it has no time to tidy up."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


class Way:
    """A way to a server that passes everything on, until `trouble` is set.

    `trouble`: a status (500, 503, 429) that answers instead of the server, with `after` once the server has done
    what was asked (a lost answer), else without asking it; or `hang`, which accepts and never answers.
    `heard` keeps the Authorization of every request.
    """

    def __init__(self, port: int, certificate: tuple[Path, Path] | None = None) -> None:
        self.trouble: int | str | None = None
        self.only = ""  # trouble is for paths that contain this
        self.after = False
        self.heard: list[str | None] = []
        self.n_troubled = 0
        self._released = threading.Event()
        way = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                way.heard.append(self.headers.get("Authorization"))
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                trouble = way.trouble if way.only in self.path else None
                way.n_troubled += trouble is not None
                if trouble == "hang":
                    way._released.wait(60)
                    self.close_connection = True
                    return
                if trouble is None or way.after:
                    status, content, kind = way._ask(port, self.command, self.path, dict(self.headers), body)
                if trouble is not None:
                    status, content, kind = int(trouble), b"not today", "text/plain"
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            setattr(Handler, f"do_{method}", Handler.answer)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            scheme = "https"
        self.uri = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @staticmethod
    def _ask(
        port: int, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes, str]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        with contextlib.closing(connection):
            kept = {k: v for k, v in headers.items() if k.lower() not in ("host", "accept-encoding")}
            connection.request(method, path, body, {**kept, "Host": f"127.0.0.1:{port}"})
            reply = connection.getresponse()
            return reply.status, reply.read(), reply.headers.get("Content-Type", "text/plain")

    def clear(self) -> None:
        """No trouble any more."""
        self.trouble, self.only, self.after, self.n_troubled = None, "", False, 0
        self._released.set()
        self._released = threading.Event()

    def close(self) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
