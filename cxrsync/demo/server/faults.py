"""Faults of the miniature PhysioNet: what goes wrong, for which request, at which byte.

A fault is a function of a request's headers and of a function that returns the correct answer to
any headers; it returns the reply to send. A script says which request gets which fault.
"""

import gzip as gz
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from http import HTTPStatus
from itertools import count

from cxrsync.demo.server.responses import Mishap, Reply, Then, page, reading

Request = Mapping[str, str]
Answer = Callable[[Request], Reply]
Fault = Callable[[Request, Answer], Reply]
Script = Callable[[str, int], Fault | None]
"""Maps a path below /files/ and the number of the request for it (from 1) to a fault, or None."""

_SIGN_IN = b"<!DOCTYPE html><title>Login</title><form method=post><input name=username></form>\n"


@dataclass(frozen=True, slots=True)
class Rule:
    """`fault` applies to requests for paths that match `glob`, with these numbers (None: all)."""

    glob: str
    fault: Fault
    attempts: Container[int] | None = (1,)

    def applies(self, path: str, attempt: int) -> bool:
        """Whether the rule applies to this request."""
        return fnmatchcase(path, self.glob) and (self.attempts is None or attempt in self.attempts)


def script(*rules: Rule) -> Script:
    """The script of these rules: the first rule that applies counts."""

    def play(path: str, attempt: int) -> Fault | None:
        return next((rule.fault for rule in rules if rule.applies(path, attempt)), None)

    return play


# ── in the middle of a body ──────────────────────────────────────────────────────────────────────


def ends(
    at: int, then: Then, *, rate: int | None = None, do: Callable[[], None] | None = None
) -> Fault:
    """At byte `at` of the body, `then` happens to the connection."""
    return lambda request, answer: replace(answer(request), mishap=Mishap(at, then, rate, do))


def closes(at: int, *, do: Callable[[], None] | None = None) -> Fault:
    """The connection is closed in good order at byte `at`, before the announced length."""
    return ends(at, Then.CLOSE, do=do)


def resets(at: int) -> Fault:
    """The connection is reset at byte `at`."""
    return ends(at, Then.RESET)


def stalls(at: int) -> Fault:
    """After byte `at` no more bytes are sent, and the connection stays open."""
    return ends(at, Then.STALL)


def drips(at: int, rate: int) -> Fault:
    """After byte `at` the body is sent at `rate` bytes per second."""
    return ends(at, Then.GO_ON, rate=rate)


def does(at: int, do: Callable[[], None]) -> Fault:
    """`do` is called at the server when byte `at` is reached."""
    return ends(at, Then.GO_ON, do=do)


# ── sizes ────────────────────────────────────────────────────────────────────────────────────────


def unsized(at: int | None = None) -> Fault:
    """No Content-Length: the body ends with the connection, at byte `at`."""

    def fault(request: Request, answer: Answer) -> Reply:
        reply = replace(answer(request), sized=False)
        return reply if at is None else replace(reply, mishap=Mishap(at, Then.CLOSE))

    return fault


def misjudged(by: int) -> Fault:
    """A Content-Length that is `by` bytes larger than the body (smaller if negative)."""

    def fault(request: Request, answer: Answer) -> Reply:
        reply = answer(request)
        size = sum(map(len, reply.body))
        sized = reply.adding(("Content-Length", str(max(0, size + by))))
        return replace(sized, mishap=Mishap(size, Then.CLOSE)) if by > 0 else sized

    return fault


# ── another answer than requested ────────────────────────────────────────────────────────────────


def whole(request: Request, answer: Answer) -> Reply:
    """200 and the whole file, whatever range was requested."""
    return answer({name: text for name, text in request.items() if name != "Range"})


def shifted(by: int) -> Fault:
    """206 for a range that begins `by` bytes later; without a Range, the whole file."""

    def fault(request: Request, answer: Answer) -> Reply:
        first, dash, last = request.get("Range", "").removeprefix("bytes=").partition("-")
        if not first:
            return answer(request)
        return answer({**request, "Range": f"bytes={int(first) + by}{dash}{last}"})

    return fault


def retotalled(by: int) -> Fault:
    """206 with a total that is `by` bytes larger than the file."""

    def fault(request: Request, answer: Answer) -> Reply:
        reply = answer(request)
        covers, slash, total = header(reply, "Content-Range").partition("/")
        if not slash:
            return reply
        return with_header(reply, "Content-Range", f"{covers}/{int(total) + by}")

    return fault


def unsatisfied(total: str | None) -> Fault:
    """416, with `total` in its Content-Range, or without a Content-Range."""
    content_range = () if total is None else (("Content-Range", f"bytes */{total}"),)
    return lambda _request, _answer: page(
        HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, *content_range
    )


def says(status: HTTPStatus, *headers: tuple[str, str]) -> Fault:
    """A refusal with this status, and a page."""
    return lambda _request, _answer: page(status, *headers)


def headed(lines: int, size: int) -> Fault:
    """The right answer with so many more headers, each of so many bytes."""
    more = tuple((f"X-Policy-{number}", "x" * size) for number in range(lines))
    return lambda request, answer: answer(request).adding(*more)


def redirects(to: str) -> Fault:
    """302 to another address."""
    return says(HTTPStatus.FOUND, ("Location", to))


def signs_in(_request: Request, _answer: Answer) -> Reply:
    """The sign-in page, with status 200."""
    return Reply(HTTPStatus.OK, (("Content-Type", "text/html"),), (_SIGN_IN,))


# ── other bytes than the file's ──────────────────────────────────────────────────────────────────


def gzipped(request: Request, answer: Answer) -> Reply:
    """The requested range, but compressed, which the request did not allow."""
    reply = answer(request)
    packed = replace(reply, body=(gz.compress(body(reply)),))
    return packed.adding(("Content-Encoding", "gzip"))


def flips(at: int, times: int | None = None) -> Fault:
    """The byte at offset `at` of the file is wrong, so many times (None: always)."""
    left = count() if times is None else iter(range(times))

    def fault(request: Request, answer: Answer) -> Reply:
        reply = answer(request)
        if reply.status not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
            return reply
        data = bytearray(body(reply))
        first = header(reply, "Content-Range").removeprefix("bytes ").partition("-")[0]
        place = at - int(first or 0)
        if 0 <= place < len(data) and next(left, None) is not None:
            data[place] ^= 0x40
        return replace(reply, body=(bytes(data),))

    return fault


def retagged() -> Fault:
    """Every answer has a new ETag, and If-Range is ignored."""
    numbers = count(1)

    def fault(request: Request, answer: Answer) -> Reply:
        plain = {name: text for name, text in request.items() if name != "If-Range"}
        return with_header(answer(plain), "ETag", f'"{next(numbers):x}"')

    return fault


# ── parts of a reply ─────────────────────────────────────────────────────────────────────────────


def header(reply: Reply, name: str) -> str:
    """A header of a reply; empty if there is none of that name."""
    return dict(reply.headers).get(name, "")


def with_header(reply: Reply, name: str, text: str) -> Reply:
    """The same reply with one header changed."""
    others = tuple(each for each in reply.headers if each[0] != name)
    return replace(reply, headers=(*others, (name, text)))


def body(reply: Reply) -> bytes:
    """A reply's whole body."""
    found = []
    for part in reply.body:
        with reading(part) as read:
            found.append(read(0, len(part)))
    return b"".join(found)
