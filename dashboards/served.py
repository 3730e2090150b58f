"""The report's folder over HTTP, on this machine only, made anew when somebody reloads its page."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from dashboards.servers import HOST

PAGE = "/report.html"
YOUNG_SECONDS = 5.0


class Renewal:
    """Makes the report again, at most so often that making it takes a fifth of the time."""

    def __init__(self, make: Callable[[], Any], say: Callable[[str], None]) -> None:
        self._make, self._say, self._lock = make, say, threading.Lock()
        self._due = time.monotonic() + YOUNG_SECONDS

    def __call__(self) -> None:
        """Whoever comes while it is being made waits; what goes wrong leaves the report that is there."""
        with self._lock:
            begun = time.monotonic()
            if begun < self._due:
                return
            try:
                self._make()
            except Exception as error:  # noqa: BLE001 - the page that is there still serves
                self._say(f"The report could not be made anew: {error}")
            self._due = time.monotonic() + max(YOUNG_SECONDS, 4 * (time.monotonic() - begun))


class Handler(SimpleHTTPRequestHandler):
    """Files of the report; its page fresh."""

    def __init__(self, *given: Any, renew: Callable[[], None], **more: Any) -> None:
        self._renew = renew
        super().__init__(*given, **more)

    def do_GET(self) -> None:
        if not self._local():
            self.send_error(403, "This server answers only to its own address")
            return
        if self.path == "/":
            self.send_response(302)
            self.send_header("Location", PAGE)
            self.end_headers()
            return
        if self.path.partition("?")[0] == PAGE:
            self._renew()
        super().do_GET()

    def _local(self) -> bool:
        """Another site's name that was made to point here must not read the report (DNS rebinding)."""
        name = (self.headers.get("Host") or "").rpartition(":")[0]
        return name in (HOST, "localhost")

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def list_directory(self, path: Any) -> None:  # noqa: ARG002 - no folder is listed
        self.send_error(404, "There is no such file in this report")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
        """The terminal is for the addresses."""


def serve_report(folder: Path, port: int, renew: Callable[[], None]) -> ThreadingHTTPServer:
    """Serve `folder` from a thread until `shutdown()`."""
    server = ThreadingHTTPServer((HOST, port), partial(Handler, directory=str(folder), renew=renew))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
