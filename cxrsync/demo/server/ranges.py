"""Which part of a file a request gets: nginx's decisions, as a pure function.

The rules are those of nginx 1.22: `ngx_http_not_modified_filter_module` first, and then
`ngx_http_range_filter_module`, also where they are stricter or laxer than RFC 9110.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate, mktime_tz, parsedate_tz
from http import HTTPStatus

_SPEC = re.compile(r" *(?:(\d+) *- *(?:(\d+) *)?|-(\d+) *)", re.ASCII)
_MAX_OFFSET = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Stored:
    """A file of the server: size in bytes, mtime in whole seconds since 1970."""

    size: int
    mtime: int

    @property
    def etag(self) -> str:
        """The strong validator as nginx makes it."""
        return f'"{self.mtime:x}-{self.size:x}"'

    @property
    def last_modified(self) -> str:
        """The mtime as an HTTP date."""
        return formatdate(self.mtime, usegmt=True)


@dataclass(frozen=True, slots=True)
class Decision:
    """A status (200, 206, 304, 412 or 416) and, for 206, the byte ranges to send."""

    status: HTTPStatus
    parts: tuple[range, ...] = ()


_WHOLE = Decision(HTTPStatus.OK)
_UNSATISFIABLE = Decision(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)


def decide(headers: Mapping[str, str], stored: Stored) -> Decision:
    """Decide the answer to a GET or HEAD with these headers for a file that exists."""
    if _precondition_fails(headers, stored):
        return Decision(HTTPStatus.PRECONDITION_FAILED)
    if _is_unmodified(headers, stored):
        return Decision(HTTPStatus.NOT_MODIFIED)
    wanted = headers.get("Range", "")
    if len(wanted) < len("bytes=x") or wanted[:6].lower() != "bytes=":
        return _WHOLE
    if not _is_same(headers.get("If-Range"), stored):
        return _WHOLE
    return _parse(wanted[6:], stored.size)


def _parse(specs: str, size: int) -> Decision:
    parts: list[range] = []
    for spec in specs.split(","):
        match = _SPEC.fullmatch(spec)
        if match is None or any(int(n) > _MAX_OFFSET for n in match.groups() if n):
            return _UNSATISFIABLE
        first, last, suffix = match.groups()
        if suffix:
            part = range(max(size - int(suffix), 0), size)
        else:
            part = range(int(first), min(int(last) + 1, size) if last else size)
        if part:
            parts.append(part)
        elif part.start == 0:  # an empty file, requested from its beginning
            return _WHOLE
    if not parts:
        return _UNSATISFIABLE
    if sum(map(len, parts)) > size:  # overlapping ranges, which would amplify the answer
        return _WHOLE
    return Decision(HTTPStatus.PARTIAL_CONTENT, tuple(parts))


def _precondition_fails(headers: Mapping[str, str], stored: Stored) -> bool:
    unmodified_since, match = headers.get("If-Unmodified-Since"), headers.get("If-Match")
    if unmodified_since is not None and (_seconds(unmodified_since) or 0) < stored.mtime:
        return True
    return match is not None and not _names(match, stored.etag)


def _is_unmodified(headers: Mapping[str, str], stored: Stored) -> bool:
    modified_since, none_match = headers.get("If-Modified-Since"), headers.get("If-None-Match")
    if modified_since is None and none_match is None:
        return False
    # nginx's default is `if_modified_since exact`, and with both headers both must agree.
    if modified_since is not None and _seconds(modified_since) != stored.mtime:
        return False
    return none_match is None or _names(none_match.replace("W/", ""), stored.etag)


def _is_same(if_range: str | None, stored: Stored) -> bool:
    if if_range is None:
        return True
    if if_range.endswith('"'):
        return if_range == stored.etag
    return _seconds(if_range) == stored.mtime


def _names(tags: str, etag: str) -> bool:
    return tags == "*" or etag in (tag.strip() for tag in tags.split(","))


def _seconds(date: str) -> int | None:
    parsed = parsedate_tz(date)
    return None if parsed is None else mktime_tz(parsed)
