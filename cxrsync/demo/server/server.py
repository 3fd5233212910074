"""A miniature PhysioNet on loopback: it behaves as the real server, and serves a synthetic tree."""

import asyncio
import contextlib
import dataclasses
import ipaddress
import json
import os
import re
import socket
import struct
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import hdrs, web
from multidict import CIMultiDict

from cxrsync.demo.server import responses
from cxrsync.demo.server.auth import Authenticator, may_sign_in, with_security
from cxrsync.demo.server.behaviour import ServerBehaviour
from cxrsync.demo.server.connections import CHUNK, Connection, ConnectionListener
from cxrsync.demo.server.files import FileTree, listing, split
from cxrsync.demo.server.request_log import Logged, RequestLog
from cxrsync.demo.server.responses import Body, Mishap, Reply, Span, Then, cut, page
from cxrsync.demo.server.tls import Authority

__all__ = ["MiniPhysioNet", "RequestLog", "ServerBehaviour"]

_CHALLENGE = ("WWW-Authenticate", 'Basic realm="PhysioNet", charset="UTF-8"')
_TEST_COOKIE = "testcookie=1; HttpOnly; Path=/; SameSite=Lax"
_API = re.compile(r"/api/v1/project/published/([^/]+)/(?:([^/]+)/)?")


class _Unsized(web.StreamResponse):
    """A response without length and chunks: it ends with its connection, as in HTTP/1.0."""

    _length_check = False


class MiniPhysioNet:
    """A server in its own thread, for tests in this process and for child processes.

    `certificates` is the folder for `ca.pem`; by default a temporary one, which is deleted when
    the server stops. A server that is stopped and started again keeps its port, its authority,
    its sessions and its counts. Raises ValueError for a folder without the demo's marker and
    for a host that is not loopback.
    """

    ca_file: Path  # unless it is plain

    def __init__(
        self,
        files_root: Path,
        behaviour: ServerBehaviour = ServerBehaviour(),  # noqa: B008 - frozen
        *,
        certificates: Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        if not ipaddress.ip_address(host).is_loopback:
            raise ValueError(f"the demo's server listens on loopback only, not on {host}")
        self.request_log = RequestLog()
        self.behaviour = behaviour
        self._file_tree = FileTree(files_root)
        self._authenticator = Authenticator(behaviour, self.request_log)
        self._authority = None if behaviour.plain else Authority()
        self._certificates = certificates
        self._host = host
        self._port = port
        self._attempts: Counter[str] = Counter()
        self._api_requests = 0
        self._cleanup = contextlib.ExitStack()

    @property
    def base_url(self) -> str:
        """The URL of the tree, without a slash at its end; known once the server has started."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        scheme = "http" if self._authority is None else "https"
        return f"{scheme}://{host}:{self._port}/files"

    def set_behaviour(self, **changes: Any) -> None:
        """Change some of the behaviour at once, also for responses in progress."""
        behaviour = dataclasses.replace(self.behaviour, **changes)
        if changes.keys() & {"username", "password", "password_check_seconds"}:
            self._authenticator.set_account(behaviour)
        self.behaviour = behaviour

    def change_password(self, new: str) -> None:
        """Change the user's password. All sessions end, as in Django."""
        self.set_behaviour(password=new)

    def forget_sessions(self) -> None:
        """End all sessions."""
        self._authenticator.forget_sessions()

    def start(self) -> None:
        """Listen, and return once clients can connect."""
        with contextlib.ExitStack() as stack:
            folder = self._certificates or Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="cxrsync-demo-"))
            )
            folder.mkdir(parents=True, exist_ok=True)
            if self._authority is not None:
                self.ca_file = self._authority.write(folder)
            listening = stack.enter_context(self._listen())
            self._port = listening.getsockname()[1]
            stack.enter_context(self._serving(listening))
            self._cleanup = stack.pop_all()

    def stop(self) -> None:
        """Close every connection, finished or not, and stop listening."""
        self._cleanup.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listening = socket.create_server((self._host, self._port), family=family, backlog=128)
        listening.setblocking(False)
        return listening

    @contextlib.contextmanager
    def _serving(self, listening: socket.socket) -> Iterator[None]:
        started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = Future()
        tls = None if self._authority is None else self._authority.server_context()

        async def serve() -> None:
            listener = ConnectionListener(
                self._handle,
                self.request_log,
                lambda: self.behaviour.max_connections,
                lambda number: self.behaviour.cuts_handshake(number),
            )
            self._listener = listener
            serving = asyncio.create_task(listener.serve(listening, tls))
            started.set_result((asyncio.get_running_loop(), serving))
            with contextlib.suppress(asyncio.CancelledError):
                await serving

        thread = threading.Thread(target=asyncio.run, args=(serve(),), name="demo", daemon=True)
        thread.start()
        loop, serving = started.result()
        try:
            yield
        finally:
            loop.call_soon_threadsafe(serving.cancel)
            thread.join()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        raw_path = request.raw_path.partition("?")[0]
        if raw_path.startswith("/_demo/"):
            return self._demo(request.method, raw_path)
        path = "/".join(split(raw_path)).removeprefix("/files/")
        connection = self._listener.connection_of(request)
        self.request_log.asked(path, request.headers.get(hdrs.USER_AGENT, ""))
        await asyncio.sleep(self.behaviour.latency)
        reply = await self._answer(request, raw_path)
        return await self._send(request, path, reply, connection)

    def _demo(self, method: str, path: str) -> web.Response:
        """Give the counts to other processes. These requests are not counted."""
        match method, path:
            case "GET", "/_demo/ledger":
                return web.json_response(self.request_log.snapshot().as_json())
            case "POST", "/_demo/reset":
                self.request_log.reset()
                return web.Response(status=HTTPStatus.NO_CONTENT)
        return web.Response(status=HTTPStatus.NOT_FOUND)

    async def _answer(self, request: web.BaseRequest, raw_path: str) -> Reply:
        if api := _API.fullmatch(raw_path):
            if (limited := self._limit_api()) is not None:
                return limited
            found = await asyncio.to_thread(self._file_tree.describe, api[1], api[2])
            status = HTTPStatus.NOT_FOUND if found is None else HTTPStatus.OK
            text = json.dumps({"detail": "Not found."} if found is None else found)
            return Reply(status, (("Content-Type", "application/json"),), (text.encode(),))
        if raw_path.startswith("/files/"):
            return await self._answer_project(request, split(raw_path)[2:])
        return page(HTTPStatus.NOT_FOUND)

    def _limit_api(self) -> Reply | None:
        """Count a request to the public API; return the refusal if there were too many."""
        self._api_requests += 1
        behaviour = self.behaviour
        if behaviour.api_requests is None or self._api_requests <= behaviour.api_requests:
            return None
        after = behaviour.api_retry_after
        text = json.dumps({"detail": "Request was throttled."})
        headers = () if after is None else (("Retry-After", after),)
        kind = ("Content-Type", "application/json")
        return Reply(HTTPStatus.TOO_MANY_REQUESTS, (kind, *headers), (text.encode(),))

    async def _answer_project(self, request: web.BaseRequest, parts: tuple[str, ...]) -> Reply:
        """Answer in the real site's order: unknown project, sign-in, agreement of this version,
        withdrawn files, unknown file."""
        if not self._file_tree.has_version(parts):
            return page(HTTPStatus.NOT_FOUND)
        behaviour, slug = self.behaviour, parts[0]
        if slug in behaviour.open_datasets:
            return self._file_reply(request, parts)
        if not may_sign_in(request.method, request.headers.get(hdrs.USER_AGENT, "")):
            return page(HTTPStatus.FORBIDDEN)
        admission = await self._authenticator.admit(
            request.headers,
            request.cookies,
            sessions=behaviour.sessions,
            active=behaviour.active,
        )
        if not admission.signed_in:
            refusal = page(HTTPStatus.UNAUTHORIZED, _CHALLENGE)
            cookie = ("Set-Cookie", with_security(_TEST_COOKIE, behaviour))
            return refusal.adding(cookie) if behaviour.sessions else refusal
        version = "/".join(parts[:2])
        signed = behaviour.agreements
        is_signed = signed is None or not signed.isdisjoint({slug, version})
        if not is_signed or version in behaviour.withdrawn:
            reply = page(HTTPStatus.FORBIDDEN)
        else:
            reply = self._file_reply(request, parts)
        return reply.adding(("Set-Cookie", admission.cookie)) if admission.cookie else reply

    def _file_reply(self, request: web.BaseRequest, parts: tuple[str, ...]) -> Reply:
        if request.method not in {"GET", "HEAD"}:
            return page(HTTPStatus.METHOD_NOT_ALLOWED)
        is_folder = parts[-1] == ""
        found = self._file_tree.find(parts[:-1] if is_folder else parts)
        if found is not None and not is_folder and not os.path.isdir(found):
            path = "/".join(parts)
            self._attempts[path] += 1
            script = self.behaviour.faults
            fault = script(path, self._attempts[path]) if script else None
            if fault is not None:
                return fault(request.headers, lambda headers: responses.file(found, headers))
        if found is None or is_folder != os.path.isdir(found):
            if found is not None and not is_folder:
                # nginx redirects to the path of its X-Accel-Redirect, which no client can use.
                nowhere = "/static/published-projects/" + "/".join(parts) + "/"
                return page(HTTPStatus.MOVED_PERMANENTLY, ("Location", nowhere))
            return page(HTTPStatus.NOT_FOUND)
        if is_folder:
            return listing(found, request.path)
        return responses.file(found, request.headers)

    async def _send(
        self, request: web.BaseRequest, path: str, reply: Reply, connection: Connection
    ) -> web.StreamResponse:
        """Send and count a reply. A client that disconnects in the middle is no error."""
        date = formatdate(time.time() + self.behaviour.clock_ahead, usegmt=True)
        headers = CIMultiDict([("Server", "nginx"), ("Date", date), *reply.headers])
        if reply.status != HTTPStatus.NOT_MODIFIED and reply.sized:
            headers.setdefault("Content-Length", str(sum(map(len, reply.body))))
        kind = web.StreamResponse if reply.sized else _Unsized
        response = kind(status=reply.status, headers=headers)
        if not reply.sized:
            response.force_close()
        wanted = request.headers.get(hdrs.RANGE)
        self.request_log.answered(Logged(request.method, path, reply.status, wanted))
        try:
            await response.prepare(request)
            body = reply.body if request.method != "HEAD" else ()
            if reply.mishap is None:
                await self._send_body(response, path, body, connection)
            else:
                before, after = cut(body, reply.mishap.at)
                await self._send_body(response, path, before, connection)
                if await _apply(reply.mishap, request, connection):
                    await self._send_body(response, path, after, connection, reply.mishap.rate)
        except OSError:
            # The client or the file is gone: this response cannot be completed.
            if request.transport is not None:
                request.transport.abort()
        return response

    async def _send_body(
        self,
        response: web.StreamResponse,
        path: str,
        body: Body,
        connection: Connection,
        slowly: int | None = None,
    ) -> None:
        for part in body:
            await self._send_part(response, path, part, connection, slowly)

    async def _send_part(
        self,
        response: web.StreamResponse,
        path: str,
        part: bytes | Span,
        connection: Connection,
        slowly: int | None,
    ) -> None:
        at = 0
        connection.begin()
        with responses.reading(part) as read:
            while at < len(part):
                rate = slowly or self.behaviour.rate
                size = CHUNK if rate is None else min(CHUNK, max(1, rate // 10))
                chunk = read(at, min(size, len(part) - at))
                if not chunk:
                    raise ConnectionAbortedError("the file became shorter while it was sent")
                if rate is None:
                    await asyncio.sleep(0)  # a fast client must not starve the others
                else:
                    await connection.wait_for_rate(len(chunk), rate)
                if connection.gone.is_set():
                    raise ConnectionResetError
                self.request_log.sent(path, len(chunk))
                await response.write(chunk)
                at += len(chunk)


async def _apply(mishap: Mishap, request: web.BaseRequest, connection: Connection) -> bool:
    """Let the mishap happen. Return whether the response goes on after it."""
    if mishap.do is not None:
        await asyncio.to_thread(mishap.do)
    transport = request.transport
    if mishap.then is Then.GO_ON or transport is None:
        return transport is not None
    if mishap.then is Then.RESET:
        # With a linger time of zero a closed socket sends RST instead of FIN.
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
    elif mishap.then is Then.CLOSE:
        transport.close()
    await connection.gone.wait()
    return False
