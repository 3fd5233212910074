"""A relay in front of a real server that a test tells what goes wrong.

Host and path stay as they are, so that a signature stays valid.
"""

from __future__ import annotations

import http.client
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import SplitResult, urlsplit


@dataclass(frozen=True)
class Fault:
    """What becomes of one request. ``status`` None: the server's own answer, with these
    changes; ``cut``: so many bytes of its body, then the connection is closed; ``silent``: nothing
    more is sent after them."""

    status: int | None = None
    headers: Mapping[str, str | None] = field(default_factory=dict)
    body: bytes = b""
    cut: int | None = None
    silent: bool = False


NextFault = Callable[[str, Mapping[str, str]], Fault | None]


class FaultProxy:
    """Relays GETs to ``server``, whose authority is in ``ca_file``.

    ``plan``: path and headers in, the fault or None out. ``seen``: those of each request.
    ``own_host``: the server is asked under its own name, which no signature covers.
    """

    def __init__(self, server: str, ca_file: Path | None = None, *, own_host: bool = False) -> None:
        self._own_host = own_host
        self._context = ssl.create_default_context(cafile=ca_file) if ca_file else None
        self.plan: NextFault = lambda _path, _headers: None
        self.seen: list[tuple[str, dict[str, str]]] = []
        self._ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(server))
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: object, _trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def once(self, fault: Fault) -> None:
        """The next request has the fault, and no other."""
        left = [fault]
        self.plan = lambda _path, _headers: left.pop() if left else None

    def _connection(self, address: SplitResult) -> http.client.HTTPConnection:
        host, port = address.hostname or "", address.port
        if self._context is not None:
            return http.client.HTTPSConnection(host, port, context=self._context)
        return http.client.HTTPConnection(host, port)

    def _handler(self, server: str) -> type[BaseHTTPRequestHandler]:
        outer, address = self, urlsplit(server)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.seen.append((self.path, headers))
                fault = outer.plan(self.path, headers) or Fault()
                if fault.status is not None:
                    self._send(fault.status, {}, fault.body, fault)
                    return
                relayed = outer._connection(address)
                relayed.putrequest("GET", self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    is_host = name.lower() == "host" and outer._own_host
                    relayed.putheader(name, address.netloc if is_host else value)
                relayed.endheaders()
                answer = relayed.getresponse()
                body = answer.read()
                relayed.close()
                self._send(answer.status, dict(answer.getheaders()), body, fault)

            def _send(
                self, status: int, headers: dict[str, str], body: bytes, fault: Fault
            ) -> None:
                given = _changed(status, headers, body, fault)
                self.send_response_only(status)
                for name, value in given.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body if fault.cut is None else body[: fault.cut])
                if fault.silent:
                    self.wfile.flush()
                    outer._ended.wait(30)
                if fault.cut is not None:
                    self.close_connection = True

            def log_message(self, *_args: object) -> None:
                pass

        return Handler


def _changed(
    status: int, headers: Mapping[str, str], body: bytes, fault: Fault
) -> Mapping[str, str]:
    """The headers to send, by lower-case name."""
    given = {name.lower(): value for name, value in headers.items()}
    if "set-cookie" in given:  # the relay speaks plain HTTP
        given["set-cookie"] = given["set-cookie"].replace("; Secure", "")
    given.pop("transfer-encoding", None)
    if status != 304:
        given["content-length"] = str(len(body))
    for name, value in fault.headers.items():
        given.pop(name.lower(), None)
        if value is not None:
            given[name.lower()] = value
    return given
