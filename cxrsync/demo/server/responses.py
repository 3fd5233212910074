"""The server's responses as values, without sockets."""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from http import HTTPStatus
from urllib.parse import quote

from cxrsync.demo.server.ranges import Stored, decide

Headers = tuple[tuple[str, str], ...]

_BOUNDARY = "00000000000000000001"
_TYPES = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".txt": "text/plain",
    ".zip": "application/zip",
}


@dataclass(frozen=True, slots=True)
class Span:
    """A range of bytes of a file on disk."""

    file: str
    bytes: range

    def __len__(self) -> int:
        return len(self.bytes)


Body = tuple["bytes | Span", ...]


def cut(body: Body, at: int) -> tuple[Body, Body]:
    """Split a body in two at byte `at`."""
    before: list[bytes | Span] = []
    after: list[bytes | Span] = []
    for part in body:
        length = len(part)
        if isinstance(part, bytes):
            ends: tuple[bytes | Span, bytes | Span] = (part[:at], part[at:])
        else:
            ends = (Span(part.file, part.bytes[:at]), Span(part.file, part.bytes[at:]))
        before.extend(filter(len, ends[:1]))
        after.extend(filter(len, ends[1:]))
        at = max(0, at - length)
    return tuple(before), tuple(after)


@contextlib.contextmanager
def reading(part: bytes | Span) -> Iterator[Callable[[int, int], bytes]]:
    """Open a part of a body; yield a function of offset and number of bytes.

    Reads block: from the page cache they cost less than the switch to a thread.
    """
    if isinstance(part, bytes):
        yield lambda at, nbytes: part[at : at + nbytes]
    else:
        with open(part.file, "rb", buffering=0) as opened:
            number, start = opened.fileno(), part.bytes.start
            yield lambda at, nbytes: os.pread(number, nbytes, start + at)


class Then(Enum):
    """What happens to a connection in the middle of a body."""

    GO_ON = "goes on"
    CLOSE = "is closed in good order"
    RESET = "is reset"
    STALL = "goes silent"


@dataclass(frozen=True, slots=True)
class Mishap:
    """A fault in a body: at byte `at`, `do` is called, and then `then` happens.

    If the connection goes on, it does so at `rate` bytes per second.
    """

    at: int
    then: Then
    rate: int | None = None
    do: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A response. Its Content-Length is that of its body; a 304 has neither.

    A Content-Length among the headers is sent instead. `sized` False: no Content-Length is sent,
    and the body ends with the connection.
    """

    status: HTTPStatus
    headers: Headers = ()
    body: Body = ()
    mishap: Mishap | None = None
    sized: bool = True

    def adding(self, *headers: tuple[str, str]) -> "Reply":
        """Return the same reply with more headers."""
        return replace(self, headers=self.headers + headers)


def page(status: HTTPStatus, *headers: tuple[str, str]) -> Reply:
    """Make the HTML page of an error or a redirect."""
    title = f"{status.value} {status.phrase}"
    text = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n"
        f"<body>\r\n<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    )
    return Reply(status, (("Content-Type", "text/html"), *headers), (text.encode(),))


def file(path: str, headers: Mapping[str, str]) -> Reply:
    """Answer a GET or HEAD with these headers for the file at `path`.

    Raises OSError if the file is gone.
    """
    status = os.stat(path)
    stored = Stored(status.st_size, int(status.st_mtime))
    decision = decide(headers, stored)
    name, content_type = os.path.basename(path), _TYPES.get(os.path.splitext(path)[1].lower())
    kind = ("Content-Type", content_type or "application/octet-stream")
    shown = name if name.isprintable() else quote(os.fsencode(name))
    disposition = ("Content-Disposition", f"inline; filename={shown}")
    common = (("Last-Modified", stored.last_modified), ("ETag", stored.etag), disposition)
    match decision.status, decision.parts:
        case HTTPStatus.OK, _:
            whole = Span(path, range(stored.size))
            return Reply(HTTPStatus.OK, (kind, *common, ("Accept-Ranges", "bytes")), (whole,))
        case HTTPStatus.PARTIAL_CONTENT, [part]:
            covers = ("Content-Range", _content_range(part, stored.size))
            return Reply(decision.status, (kind, *common, covers), (Span(path, part),))
        case HTTPStatus.PARTIAL_CONTENT, parts:
            several = ("Content-Type", f"multipart/byteranges; boundary={_BOUNDARY}")
            body = tuple(_multipart(path, kind[1], parts, stored.size))
            return Reply(decision.status, (several, *common), body)
        case HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, _:
            total = ("Content-Range", f"bytes */{stored.size}")
            return page(decision.status, total, disposition)
        case HTTPStatus.NOT_MODIFIED, _:
            return Reply(decision.status, common)
    return page(decision.status, disposition)


def _multipart(path: str, kind: str, parts: tuple[range, ...], size: int) -> Iterable[bytes | Span]:
    for part in parts:
        yield (
            f"\r\n--{_BOUNDARY}\r\nContent-Type: {kind}\r\n"
            f"Content-Range: {_content_range(part, size)}\r\n\r\n"
        ).encode()
        yield Span(path, part)
    yield f"\r\n--{_BOUNDARY}--\r\n".encode()


def _content_range(part: range, size: int) -> str:
    return f"bytes {part.start}-{part.stop - 1}/{size}"
