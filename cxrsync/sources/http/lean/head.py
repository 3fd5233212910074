"""The head of an answer, read strictly: bytes in, a value out. Pure.

Only what servers of files send is read: HTTP/1.1, and one Content-Length. Everything else is
odd, and is left to aiohttp. So two readers never disagree about where a body ends: what both read
means the same to both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from multidict import CIMultiDict, CIMultiDictProxy

# Servers of files send less than one. aiohttp reads longer heads.
MAX_HEAD_BYTES = 16 << 10
END = b"\r\n\r\n"

_BEGIN = b"HTTP/1.1 "
# RFC 9112 sections 4 and 5. No line is folded; a value may have bytes outside ASCII, as of a name.
_HEAD = re.compile(
    r"HTTP/1\.1 ([2-5][0-9][0-9])(?: [\t\x20-\x7e]*)?\r\n"
    r"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\x00-\x08\x0a-\x1f\x7f]*\r\n){1,100})\r\n"
)
_LENGTH = re.compile(r"[0-9]{1,19}")
# They have no body, or none that can be told from the head alone.
_BODILESS = {204, 205}
_NOT_MODIFIED = 304
_ELSEWHERE_FRAMED = ("Transfer-Encoding", "Upgrade", "Trailer")


class OddAnswer(Exception):
    """An answer that is not read here."""


@dataclass(frozen=True, slots=True)
class Head:
    """Status and fields of an answer. ``length``: of its body, in bytes; ``keeps_alive``: whether
    the connection may be used again."""

    status: int
    headers: CIMultiDictProxy[str]
    length: int
    keeps_alive: bool


def check_begin(begin: bytes) -> None:
    """Raise OddAnswer if ``begin`` cannot become a head that is read here."""
    if len(begin) >= MAX_HEAD_BYTES or begin[: len(_BEGIN)] != _BEGIN[: len(begin)]:
        raise OddAnswer


def parse_head(block: bytes) -> Head:
    """Return the head in ``block``, which ends with the blank line. Raises OddAnswer."""
    match = _HEAD.fullmatch(block.decode("utf-8", "surrogateescape"))  # as aiohttp
    # One that fills the smallest buffer would leave no room for the body.
    if match is None or len(block) >= MAX_HEAD_BYTES:
        raise OddAnswer
    headers = CIMultiDict[str]()
    for line in match[2].split("\r\n")[:-1]:
        name, _, value = line.partition(":")
        headers.add(name, value.strip(" \t"))
    status = int(match[1])
    if status in _BODILESS or any(name in headers for name in _ELSEWHERE_FRAMED):
        raise OddAnswer
    connection = headers.getall("Connection", ["keep-alive"])
    if len(connection) > 1 or connection[0].lower() not in {"keep-alive", "close"}:
        raise OddAnswer
    keeps_alive = connection[0].lower() == "keep-alive"
    return Head(status, CIMultiDictProxy(headers), _length(status, headers), keeps_alive)


def _length(status: int, headers: CIMultiDict[str]) -> int:
    lengths = headers.getall("Content-Length", [])
    if status == _NOT_MODIFIED and not lengths:
        return 0
    if len(lengths) != 1 or _LENGTH.fullmatch(lengths[0]) is None:
        raise OddAnswer
    # That of a 304 is the file's (RFC 9110 section 8.6).
    return 0 if status == _NOT_MODIFIED else int(lengths[0])
