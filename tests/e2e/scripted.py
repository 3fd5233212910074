"""A bare HTTP/1.1 server on loopback that a test scripts to the byte, and pulls from it.

The miniature PhysioNet answers as the real site does. This one can do what no honest server would:
break off inside a head, answer without a length, change its files between two requests.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from e2e.command_line import Ended, cxrsync, cxrsync_process

from cxrsync.api import run_job
from cxrsync.cancellation import CancelToken
from cxrsync.config.parse_job import make_job
from cxrsync.errors import CxrsyncError
from cxrsync.events import Event, EventSink, Finished, RunSummary

SLUG, VERSION = "tiny", "1.0"
MANIFEST = "SHA256SUMS.txt"
LAST_MODIFIED = "Wed, 21 Oct 2020 07:28:00 GMT"
MODIFIED = 1_603_265_280


def noise(seed: str, size: int) -> bytes:
    """Bytes that look random and are the same each time."""
    return hashlib.shake_128(seed.encode()).digest(size)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def manifest_of(files: Mapping[str, bytes]) -> bytes:
    """SHA256SUMS.txt as PhysioNet would publish it."""
    ordered = sorted(files.items(), key=lambda each: each[0].encode())
    return "".join(f"{sha256(data)} {path}\n" for path, data in ordered).encode()


@dataclass(frozen=True)
class Request:
    """One request. ``path`` is that below the version's root; header names are lower case;
    ``number`` counts the requests for this path from 1."""

    method: str
    target: str
    path: str
    headers: Mapping[str, str]
    number: int

    @property
    def range(self) -> tuple[int, int | None] | None:
        """First and last byte asked for; None without a Range."""
        first, dash, last = self.headers.get("range", "").removeprefix("bytes=").partition("-")
        return (int(first), int(last) if last else None) if dash else None


Script = Callable[[Request, asyncio.StreamWriter, "ScriptedServer"], Awaitable[bool | None]]
"""Answers a request itself (True: the connection goes on, False: it is closed), or leaves it to
the honest answer (None)."""


async def honest(_request: Request, _writer: asyncio.StreamWriter, _server: ScriptedServer) -> None:
    """Nothing goes wrong."""


@dataclass
class ScriptedServer:
    """Serves ``files`` of one dataset and version in a thread of its own. Everything may be changed
    while it runs. ``manifest`` None: what ``files`` come to; ``tags`` False: no ETag;
    ``published``: the manifest's time, which a publisher changes with it."""

    files: dict[str, bytes]
    script: Script = honest
    manifest: bytes | None = None
    tags: bool = True
    published: int = MODIFIED
    tls: ssl.SSLContext | None = None
    log: list[Request] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._connections: set[asyncio.Task[None]] = set()
        ready = threading.Event()

        async def serve() -> None:
            server = await asyncio.start_server(self._converse, "127.0.0.1", 0, ssl=self.tls)
            self.port = server.sockets[0].getsockname()[1]
            self._ended = asyncio.Event()
            ready.set()
            await self._ended.wait()
            server.close()
            for each in list(self._connections):
                each.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

        def run() -> None:
            self._loop.run_until_complete(serve())
            self._loop.close()

        self._thread = threading.Thread(target=run, name="scripted-server")
        self._thread.start()
        ready.wait()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    @property
    def base_url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/files"

    def body(self, path: str) -> bytes | None:
        if path != MANIFEST:
            return self.files.get(path)
        return manifest_of(self.files) if self.manifest is None else self.manifest

    def requests_for(self, path: str) -> list[Request]:
        return [each for each in self.log if each.path == path]

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while True:
                request = self._parse(await reader.readuntil(b"\r\n\r\n"))
                goes_on = await self.script(request, writer, self)
                if goes_on is None:
                    self.answer(request, writer)
                await writer.drain()
                if goes_on is False:
                    break
        except (asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    def _parse(self, head: bytes) -> Request:
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _version = first.split(" ", 2)
        pairs = (line.partition(":") for line in lines if line)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        path = unquote(target.removeprefix(f"/files/{SLUG}/{VERSION}/"))
        self.counts[path] += 1
        request = Request(method, target, path, headers, self.counts[path])
        self.log.append(request)
        return request

    def answer(self, request: Request, writer: asyncio.StreamWriter, *extra: str) -> None:
        """The honest answer, with ``extra`` header lines."""
        body = self.body(request.path)
        if body is None:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        tag = f'"{sha256(body)[:16]}"' if self.tags else None
        modified = formatdate(self.published if request.path == MANIFEST else MODIFIED, usegmt=True)
        common = [f"Last-Modified: {modified}", *([f"ETag: {tag}"] if tag else []), *extra]
        asked = request.range
        if tag and request.headers.get("if-none-match") == tag:
            self.reply(writer, "304 Not Modified", common)
        elif asked is None or request.headers.get("if-range", tag) != tag:
            self.reply(writer, "200 OK", [f"Content-Length: {len(body)}", *common], body)
        elif asked[0] >= len(body):
            told = [f"Content-Range: bytes */{len(body)}", "Content-Length: 0"]
            self.reply(writer, "416 Range Not Satisfiable", told)
        else:
            last = len(body) - 1 if asked[1] is None else min(asked[1], len(body) - 1)
            part = body[asked[0] : last + 1]
            told = [f"Content-Range: bytes {asked[0]}-{last}/{len(body)}"]
            told += [f"Content-Length: {len(part)}", *common]
            self.reply(writer, "206 Partial Content", told, part)

    @staticmethod
    def reply(
        writer: asyncio.StreamWriter, status: str, headers: list[str], body: bytes = b""
    ) -> None:
        """Write a response as it is given."""
        head = "".join(f"{line}\r\n" for line in [f"HTTP/1.1 {status}", *headers, ""])
        writer.write(head.encode("latin-1") + body)


@dataclass(frozen=True)
class Pulled:
    """How a pull ended. ``error`` is what ended it early, if anything did."""

    summary: RunSummary
    events: list[Event]
    error: CxrsyncError | None

    @property
    def code(self) -> int:
        return int(self.summary.exit_code)


def unheard(_event: Event) -> None:
    """Nobody listens while it happens."""


async def pull_from(
    server: ScriptedServer,
    dest: Path,
    *,
    heard: EventSink = unheard,
    stop: CancelToken | None = None,
    **options: Any,
) -> Pulled:
    """Pull the whole version from the server, in this process and with little patience. ``heard``
    is told of each event as it happens."""
    said = {
        "dataset": SLUG, "dataset_version": VERSION, "dest": dest, "base_url": server.base_url,
        "retries": 1, "stall_timeout": 2, "give_up_after": 4, "connect_timeout": 3, **options,
    }  # fmt: skip
    events: list[Event] = []
    error = None

    def tell(event: Event) -> None:
        events.append(event)
        heard(event)

    try:
        await run_job(make_job(said), tell, stop)
    except CxrsyncError as problem:
        error = problem
    [finished] = [event for event in events if isinstance(event, Finished)]
    return Pulled(finished.summary, events, error)


def command(dest: Path, *words: str, base_url: str = "") -> Ended:
    """Run a command line about the version below ``dest`` in this process."""
    return cxrsync(words, _variables(dest, base_url))


def command_process(
    dest: Path,
    *words: str,
    base_url: str = "",
    through: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
) -> Ended:
    """The same in a process of its own. ``through``: a command that runs it; ``variables``: more of
    its environment."""
    environment = {**_variables(dest, base_url), **(variables or {})}
    with cxrsync_process(words, environment, through=through) as process:
        out, err = process.communicate()
    return Ended(process.returncode, out, err)


def _variables(dest: Path, base_url: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(dest),
        "PYTHONWARNINGS": "error",
        "CXRSYNC_DEST": str(dest),
        "CXRSYNC_DATASET": SLUG,
        "CXRSYNC_DATASET_VERSION": VERSION,
        **({"CXRSYNC_BASE_URL": base_url} if base_url else {}),
    }


def differences(dest: Path, files: Mapping[str, bytes]) -> list[str]:
    """The final names that are wrong, missing, or nobody's."""
    root = dest / SLUG / VERSION
    here = {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".cxrsync" not in path.relative_to(root).parts
    }
    here.pop(MANIFEST, None)
    names = here.keys() | files.keys()
    return sorted(name for name in names if here.get(name) != files.get(name))
