"""The meaning of HTTP responses: status and headers in, a decision out. Pure, no sockets.

The rules are those of RFC 9110; each has its reason beside it. The server behaves as PhysioNet:
Django authorizes, nginx sends the bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cxrsync.errors import InvalidResponse, Throttled
from cxrsync.model import is_size, is_time, is_validator
from cxrsync.sources.base import BodyEnd, PastEnd, Unchanged
from cxrsync.sources.http.refusals import http_date, refusal

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)")
_UNSATISFIED = re.compile(r"bytes \*/([0-9]{1,19})")
_MAX_DIGITS = 19


@dataclass(frozen=True, slots=True)
class RangeRequest:
    """A request for bytes ``[start, stop)`` under conditions. ``page``: the file itself is HTML."""

    start: int = 0
    stop: int | None = None
    resume_if: str | None = None
    skip_if: str | None = None
    page: bool = False


def is_page(path: str) -> bool:
    """Return whether a file of this path is a page of HTML itself; any other answer with a page is
    a server's message."""
    return path.lower().endswith((".html", ".htm", ".xhtml"))


@dataclass(frozen=True, slots=True)
class ResponseBody:
    """A body that may be read. It has ``length`` bytes from ``start`` (None: unknown). ``end`` says
    what its end means if ``total`` is unknown."""

    start: int
    length: int | None
    total: int | None
    validator: str | None
    modified: float | None
    end: BodyEnd | None = None


def request_headers(asked: RangeRequest) -> dict[str, str]:
    """Return the headers of a request."""
    # A compressed body has other offsets than the file: ranges of it would be garbage.
    headers = {"Accept-Encoding": "identity"}
    if _is_part(asked):
        last = "" if asked.stop is None else str(asked.stop - 1)
        headers["Range"] = f"bytes={asked.start}-{last}"
        if asked.resume_if is not None:
            headers["If-Range"] = asked.resume_if
    if asked.skip_if is not None:
        headers["If-None-Match"] = asked.skip_if
    return headers


def _is_part(asked: RangeRequest) -> bool:
    return asked.start > 0 or asked.stop is not None


def interpret_response(
    asked: RangeRequest, status: int, headers: Mapping[str, str], now: datetime
) -> ResponseBody | Unchanged | PastEnd:
    """Return what a response means. ``headers`` must be case-insensitive; ``now`` is in UTC.

    Raises the SourceError for the response. The session handles 401, which must not be passed here.
    """
    if status == 304 and asked.skip_if is not None:
        return Unchanged()
    if status == 416 and _is_part(asked):
        match = _UNSATISFIED.fullmatch(headers.get("Content-Range", ""))
        return PastEnd(int(match[1]) if match and is_size(int(match[1])) else None)
    if status not in {200, 206}:
        raise refusal(status, headers, now)
    if not asked.page and headers.get("Content-Type", "").lower().startswith("text/html"):
        # Its status is 200, so that a browser shows it. Whole datasets were saved from such pages.
        raise Throttled(
            "the server sent a web page instead of the file: a login page, or a site under repair"
        )
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise InvalidResponse("the server sent a compressed body, which was not asked for")
    modified = _modified(headers)
    validator = _strong(headers.get("ETag"))
    length = _length(headers)
    if status == 200:
        end = _end(headers) if length is None else None
        return ResponseBody(0, length, length, validator, modified, end)
    start, stop, total = _range(headers)
    if start != asked.start or (asked.stop is not None and stop > asked.stop):
        raise InvalidResponse(f"asked for bytes from {asked.start}, got {start}-{stop - 1}")
    if length is not None and length != stop - start:
        raise InvalidResponse(f"Content-Length {length} for the range {start}-{stop - 1}")
    end = BodyEnd.OF_RANGE if total is None else None
    return ResponseBody(start, stop - start, total, validator, modified, end)


def _range(headers: Mapping[str, str]) -> tuple[int, int, int | None]:
    """Return start, stop and total (None: unknown) of a 206. Raises InvalidResponse."""
    match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    if match is None:
        raise InvalidResponse("206 without a single Content-Range")
    start, last = int(match[1]), int(match[2])
    if last < start:
        raise InvalidResponse(f"a range {start}-{last} that runs backwards")
    total = None if match[3] == "*" else int(match[3])
    if not is_size(last if total is None else total):
        raise InvalidResponse(f"a range {start}-{last} of a file of no sensible size")
    if total is not None and last >= total:
        raise InvalidResponse(f"a range {start}-{last} of a file of {total} bytes")
    return start, last + 1, total


def _strong(tag: str | None) -> str | None:
    """Return a strong ETag, or None: only byte-for-byte equality is good enough for If-Range."""
    return tag if tag is not None and is_validator(tag) else None


def _end(headers: Mapping[str, str]) -> BodyEnd:
    chunked = headers.get("Transfer-Encoding", "").lower().endswith("chunked")
    return BodyEnd.FRAMED if chunked else BodyEnd.CLOSED


def _length(headers: Mapping[str, str]) -> int | None:
    if "Transfer-Encoding" in headers:
        return None  # it overrides Content-Length (RFC 9112 section 6.3)
    value = headers.get("Content-Length", "")
    if not (value.isascii() and value.isdigit()):
        return None
    if len(value) > _MAX_DIGITS or not is_size(int(value)):
        raise InvalidResponse("a Content-Length of no sensible size")
    return int(value)


def _modified(headers: Mapping[str, str]) -> float | None:
    then = http_date(headers.get("Last-Modified", ""))
    return then.timestamp() if then is not None and is_time(then.timestamp()) else None
