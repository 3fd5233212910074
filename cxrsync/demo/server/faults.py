"""Faults on order: what the miniature PhysioNet does wrong, for which request, at which byte.

A fault is a function of a request's headers and of the honest server's answer to any headers; it
returns the reply that is sent. A script says which request meets which fault.
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
"""Of a path below /files/ and the number of the request for it, from 1: what goes wrong with it."""

_SIGN_IN = b"<!DOCTYPE html><title>Login</title><form method=post><input name=username></form>\n"


@dataclass(frozen=True, slots=True)
class Rule:
    """`fault` meets the requests with these numbers (None: every one) for paths like `glob`."""

    glob: str
    fault: Fault
    attempts: Container[int] | None = (1,)

    def applies(self, path: str, attempt: int) -> bool:
        """Whether this request is one of them."""
        return fnmatchcase(path, self.glob) and (self.attempts is None or attempt in self.attempts)


def script(*rules: Rule) -> Script:
    """The script of these rules, of which the first that applies counts."""

    def play(path: str, attempt: int) -> Fault | None:
        return next((rule.fault for rule in rules if rule.applies(path, attempt)), None)

    return play


# ── in the middle of a body ────────────────────────────────────────────────────────────────────


def ends(
    at: int, then: Then, *, rate: int | None = None, do: Callable[[], None] | None = None
) -> Fault:
    """At byte `at` of the body something happens to the connection."""
    return lambda request, answer: replace(answer(request), mishap=Mishap(at, then, rate, do))


def closes(at: int, *, do: Callable[[], None] | None = None) -> Fault:
    """The connection is closed in good order at byte `at`, short of what was promised."""
    return ends(at, Then.CLOSE, do=do)


def resets(at: int) -> Fault:
    """The connection is reset at byte `at`."""
    return ends(at, Then.RESET)


def stalls(at: int) -> Fault:
    """From byte `at` on nothing comes any more, and nobody hangs up."""
    return ends(at, Then.STALL)


def drips(at: int, rate: int) -> Fault:
    """From byte `at` on it comes at `rate` bytes per second."""
    return ends(at, Then.GO_ON, rate=rate)


def does(at: int, do: Callable[[], None]) -> Fault:
    """Something else happens at the server when byte `at` is reached."""
    return ends(at, Then.GO_ON, do=do)


# ── sizes ──────────────────────────────────────────────────────────────────────────────────────


def unsized(at: int | None = None) -> Fault:
    """No Content-Length; the connection's end is the body's, and comes at byte `at`."""

    def fault(request: Request, answer: Answer) -> Reply:
        reply = replace(answer(request), sized=False)
        return reply if at is None else replace(reply, mishap=Mishap(at, Then.CLOSE))

    return fault


def misjudged(by: int) -> Fault:
    """A Content-Length that is `by` bytes more than the body (less, if negative)."""

    def fault(request: Request, answer: Answer) -> Reply:
        reply = answer(request)
        size = sum(map(len, reply.body))
        sized = reply.adding(("Content-Length", str(max(0, size + by))))
        return replace(sized, mishap=Mishap(size, Then.CLOSE)) if by > 0 else sized

    return fault


# ── another answer than was asked for ──────────────────────────────────────────────────────────


def whole(request: Request, answer: Answer) -> Reply:
    """200 and the whole file, whatever range was asked for."""
    return answer({name: text for name, text in request.items() if name != "Range"})


def shifted(by: int) -> Fault:
    """206 for a range that begins `by` bytes further on; without a Range, the whole file."""

    def fault(request: Request, answer: Answer) -> Reply:
        first, dash, last = request.get("Range", "").removeprefix("bytes=").partition("-")
        if not first:
            return answer(request)
        return answer({**request, "Range": f"bytes={int(first) + by}{dash}{last}"})

    return fault


def retotalled(by: int) -> Fault:
    """206 that tells a total that is `by` bytes more than the file's."""

    def fault(request: Request, answer: Answer) -> Reply:
        reply = answer(request)
        covers, slash, total = header(reply, "Content-Range").partition("/")
        if not slash:
            return reply
        return with_header(reply, "Content-Range", f"{covers}/{int(total) + by}")

    return fault


def unsatisfied(total: str | None) -> Fault:
    """416, with a Content-Range that tells `total`, or without one."""
    told = () if total is None else (("Content-Range", f"bytes */{total}"),)
    return lambda _request, _answer: page(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, *told)


def says(status: HTTPStatus, *headers: tuple[str, str]) -> Fault:
    """A refusal with this status, and a page."""
    return lambda _request, _answer: page(status, *headers)


def redirects(to: str) -> Fault:
    """302 to another address."""
    return says(HTTPStatus.FOUND, ("Location", to))


def signs_in(_request: Request, _answer: Answer) -> Reply:
    """The sign-in page, with status 200."""
    return Reply(HTTPStatus.OK, (("Content-Type", "text/html"),), (_SIGN_IN,))


# ── other bytes than the file's ────────────────────────────────────────────────────────────────


def gzipped(request: Request, answer: Answer) -> Reply:
    """The range, compressed, which nobody asked for."""
    reply = answer(request)
    packed = replace(reply, body=(gz.compress(body(reply)),))
    return packed.adding(("Content-Encoding", "gzip"))


def flips(at: int, times: int | None = None) -> Fault:
    """The byte at offset `at` of the file is another one, so many times (None: whenever sent)."""
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
    """Every answer bears an ETag of its own, and If-Range is not understood."""
    numbers = count(1)

    def fault(request: Request, answer: Answer) -> Reply:
        plain = {name: text for name, text in request.items() if name != "If-Range"}
        return with_header(answer(plain), "ETag", f'"{next(numbers):x}"')

    return fault


# ── of a reply ─────────────────────────────────────────────────────────────────────────────────


def header(reply: Reply, name: str) -> str:
    """A reply's header; empty if it has none of that name."""
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
