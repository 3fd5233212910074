"""A service on loopback that receives pings, as healthchecks.io does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cxrsync.config.ping_url import PingURL, parse_ping_url

SECRET = "7c0a1f4e-secret"


@dataclass
class Check:
    """A check of the service. ``statuses``: its answers in order; the last one repeats."""

    statuses: list[int] = field(default_factory=lambda: [200])
    pause: float = 0.0
    location: str = ""
    requests: list[tuple[str, str, str, dict[str, str]]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> PingURL:
        return parse_ping_url(f"http://127.0.0.1:{self.port}/ping/{SECRET}?create=1")

    @property
    def asked(self) -> list[str]:
        return [f"{method} {path}" for method, path, _body, _headers in self.requests]


@contextmanager
def served(check: Check) -> Iterator[Check]:
    """Serve a check in a thread."""
    released = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            check.requests.append((self.command, self.path, body, dict(self.headers)))
            released.wait(check.pause)
            at = min(len(check.requests), len(check.statuses)) - 1
            self.send_response(check.statuses[at])
            if check.location:
                self.send_header("Location", check.location)
            self.send_header("Set-Cookie", "a=b")
            self.send_header("Content-Length", "0")
            with suppress(OSError):  # the client has gone
                self.end_headers()

        do_GET = do_POST  # noqa: N815 - http.server's interface

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    check.port = server.server_address[1]
    try:
        yield check
    finally:
        released.set()
        server.shutdown()
        thread.join()
        server.server_close()
