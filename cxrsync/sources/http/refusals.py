"""The meaning of answers without the file: status and headers in, an error out. Pure, no sockets.

A status is told by its number and its name. Its text says who refuses what; what to do next depends
on the status alone here, and on the dataset in :mod:`cxrsync.sources.http.access`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from cxrsync.errors import (
    AccessDenied,
    Gone,
    InvalidResponse,
    NotFound,
    NotServed,
    SourceError,
    Throttled,
)

# What Cloudflare answers while the server behind it is away.
_SERVER_AWAY = {
    520: "Unknown Error",
    521: "Web Server Is Down",
    522: "Connection Timed Out",
    523: "Origin Is Unreachable",
    524: "A Timeout Occurred",
    530: "Origin Error",
}
# "Not now": they say nothing about the file or the user.
TRY_LATER = {408, 425, 429, 500, 502, 503, 504, *_SERVER_AWAY}
# To a login page, or a notice of repairs: tomorrow the file is there again.
TEMPORARY_REDIRECTS = {302, 303, 307}
# Too many requests at a time. nginx answers 502 and 504 if no process behind it is free.
_OVERLOADED = {429, 503, 502, 504}
_LEGAL = 451
_NETWORK_SIGN_IN = 511

# RFC 9110 section 5.6.7: the form that every server sends.
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
_USUAL_DATE = re.compile(
    r"[A-Z][a-z]{2}, ([0-3][0-9]) ([A-Z][a-z]{2}) ([12][0-9]{3}) "
    r"([0-2][0-9]):([0-5][0-9]):([0-5][0-9]) GMT"
)

_CHECK_ADDRESS = (
    "Check --base-url (https, host name, path): the server may not know itself by that name. If "
    "it is right, a proxy or a firewall in between may have changed the request."
)
_BROWSER = (
    "Open the address in a browser. If the file opens there, a proxy or a firewall in between may "
    "be the cause: try another network, or ask its administrator."
)
_NEXT_STEPS = {
    400: _CHECK_ADDRESS,
    407: "A proxy that no variable names asks for a password: ask its administrator, and name it "
    "in https_proxy.",
    421: _CHECK_ADDRESS,
    426: _CHECK_ADDRESS,
    431: "The server finds the request's headers too large: leave out --user-agent, and try again.",
}


def named(status: int) -> str:
    """Return a status with its name, as "410 Gone"; without one if nobody has named it."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} {_SERVER_AWAY.get(status, '')}".rstrip()


def refusal(status: int, headers: Mapping[str, str], now: datetime) -> SourceError:
    """Return the error for a status other than 200, 206 and 401."""
    if status == 403:
        return AccessDenied("the server refuses access (403)")
    if status == _LEGAL:
        barred = AccessDenied(f"the server may not give the file, by law ({named(status)})")
        barred.status = status
        return barred
    if status == 404:
        return NotFound("the server has no such file (404)")
    if status == 410:
        return Gone(
            f"the server has removed the file for good ({named(status)})",
            next_step="Choose another version with --dataset-version, or look at the dataset's "
            "page on PhysioNet for what became of it.",
        )
    if status == _NETWORK_SIGN_IN:
        return Throttled(
            f"the network asks for a sign-in before it lets anyone through ({named(status)})",
            next_step="Open any page in a browser to sign in to this network (a hotel, a campus, a "
            "company), then run the same command again.",
        )
    if status in TRY_LATER:
        return Throttled(
            f"the server asks to try later ({named(status)})",
            after=retry_after(headers.get("Retry-After"), now),
            overloaded=status in _OVERLOADED,
            by_us=status == 429,
        )
    if status in TEMPORARY_REDIRECTS:
        return Throttled(f"the server points elsewhere for now ({named(status)})")
    if 300 <= status < 400 and status != 304:
        # No redirect is followed. PhysioNet redirects a folder without its slash to a useless
        # address, and a redirect to another origin must not get the password.
        return NotServed(f"the server points elsewhere ({named(status)})")
    if 400 <= status < 500 and status not in {401, 416}:
        return NotServed(
            f"the server will not give the file ({named(status)})",
            next_step=_NEXT_STEPS.get(status, _BROWSER),
        )
    return InvalidResponse(f"the server answers {named(status)}", next_step=_BROWSER)


def retry_after(value: str | None, now: datetime) -> float | None:
    """Return Retry-After (seconds or a date) in seconds from ``now``; None if absent or invalid."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    then = http_date(value)
    return None if then is None else max(0.0, (then - now).total_seconds())


def http_date(value: str) -> datetime | None:
    """Return an HTTP date, or None if it is invalid. Without a zone it is in UTC."""
    try:
        if (usual := _USUAL_DATE.fullmatch(value)) is not None:  # in a sixth of the time
            day, month, year, hour, minute, second = usual.groups()
            number = _MONTHS.index(month) // len(month) + 1
            at = int(hour), int(minute), int(second)
            return datetime(int(year), number, int(day), *at, tzinfo=UTC)
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
