"""What a response means: one table, since a wrong answer here is a wrong byte on the disk."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict
from thorough import examples

from cxrsync.errors import (
    AccessDenied,
    Gone,
    InvalidResponse,
    NotFound,
    NotServed,
    SourceError,
    Throttled,
)
from cxrsync.sources.base import BodyEnd, PastEnd, Unchanged
from cxrsync.sources.http.refusals import http_date, retry_after
from cxrsync.sources.http.responses import (
    RangeRequest,
    ResponseBody,
    interpret_response,
    request_headers,
)

many = settings(max_examples=examples(200))

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
TAG = '"669f9b40-ff"'
DATE = "Tue, 23 Jul 2024 12:00:00 GMT"
MTIME = 1_721_736_000.0
FILE = {"ETag": TAG, "Last-Modified": DATE}

WHOLE = RangeRequest()
REST = RangeRequest(start=40, resume_if=TAG)
PART = RangeRequest(start=40, stop=60, resume_if=TAG)
HEAD = RangeRequest(stop=20)  # a first segment: a range, though it starts at 0
AGAIN = RangeRequest(skip_if=TAG)


def read(
    asked: RangeRequest, status: int, headers: dict[str, str]
) -> ResponseBody | Unchanged | PastEnd:
    return interpret_response(asked, status, CIMultiDict(headers), NOW)


# ── the question ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("asked", "headers"),
    [
        (WHOLE, {}),
        (RangeRequest(resume_if=TAG), {}),  # If-Range without Range means nothing
        (RangeRequest(start=1), {"Range": "bytes=1-"}),
        (REST, {"Range": "bytes=40-", "If-Range": TAG}),
        (PART, {"Range": "bytes=40-59", "If-Range": TAG}),
        (HEAD, {"Range": "bytes=0-19"}),
        (RangeRequest(stop=1), {"Range": "bytes=0-0"}),
        (AGAIN, {"If-None-Match": TAG}),
        (RangeRequest(start=1, skip_if=TAG), {"Range": "bytes=1-", "If-None-Match": TAG}),
    ],
)
def test_request_headers(asked: RangeRequest, headers: dict[str, str]) -> None:
    # Never compressed: the offsets would be another file's.
    assert request_headers(asked) == {"Accept-Encoding": "identity", **headers}


# ── answers with a body ────────────────────────────────────────────────────────────────────────


def span(value: str, length: int | None = None) -> dict[str, str]:
    headers = {**FILE, "Content-Range": value}
    return headers if length is None else {**headers, "Content-Length": str(length)}


BODIES = [
    (WHOLE, 200, {**FILE, "Content-Length": "100"}, ResponseBody(0, 100, 100, TAG, MTIME)),
    (WHOLE, 200, {"Content-Length": "0"}, ResponseBody(0, 0, 0, None, None)),
    # Without a length: a chunked body proves its own end, a closed connection proves nothing.
    (
        WHOLE,
        200,
        {"Transfer-Encoding": "chunked"},
        ResponseBody(0, None, None, None, None, BodyEnd.FRAMED),
    ),
    (
        WHOLE,
        200,
        {"Transfer-Encoding": "gzip, Chunked"},
        ResponseBody(0, None, None, None, None, BodyEnd.FRAMED),
    ),
    (WHOLE, 200, {}, ResponseBody(0, None, None, None, None, BodyEnd.CLOSED)),
    (
        WHOLE,
        200,
        {"Transfer-Encoding": "chunked", "Content-Length": "9"},
        ResponseBody(0, None, None, None, None, BodyEnd.FRAMED),
    ),
    (AGAIN, 200, {**FILE, "Content-Length": "100"}, ResponseBody(0, 100, 100, TAG, MTIME)),
    # A range was asked for and all of it comes: another file by now, or no ranges here. It starts
    # at 0, and whoever appends it to a partial has not looked at that (openneuro-py, dandi).
    (REST, 200, {**FILE, "Content-Length": "100"}, ResponseBody(0, 100, 100, TAG, MTIME)),
    (PART, 200, {**FILE, "Content-Length": "100"}, ResponseBody(0, 100, 100, TAG, MTIME)),
    # A 200 does not describe a part, whatever else it says.
    (REST, 200, span("bytes 40-99/100", 60), ResponseBody(0, 60, 60, TAG, MTIME)),
    (REST, 206, span("bytes 40-99/100", 60), ResponseBody(40, 60, 100, TAG, MTIME)),
    (REST, 206, span("bytes 40-99/100"), ResponseBody(40, 60, 100, TAG, MTIME)),
    (
        REST,
        206,
        span("bytes 40-99/*", 60),
        ResponseBody(40, 60, None, TAG, MTIME, BodyEnd.OF_RANGE),
    ),
    (
        REST,
        206,
        span("bytes 40-79/100", 40),
        ResponseBody(40, 40, 100, TAG, MTIME),
    ),  # less: allowed
    (REST, 206, span("bytes 99-99/100", 1), None),
    (PART, 206, span("bytes 40-59/100", 20), ResponseBody(40, 20, 100, TAG, MTIME)),
    (PART, 206, span("bytes 40-49/50", 10), ResponseBody(40, 10, 50, TAG, MTIME)),
    (HEAD, 206, span("bytes 0-19/100", 20), ResponseBody(0, 20, 100, TAG, MTIME)),
    (WHOLE, 206, span("bytes 0-99/100", 100), ResponseBody(0, 100, 100, TAG, MTIME)),
    # Other ranges than asked for.
    (REST, 206, span("bytes 39-99/100", 61), None),
    (REST, 206, span("bytes 41-99/100", 59), None),
    (REST, 206, span("bytes 0-99/100", 100), None),
    (PART, 206, span("bytes 40-60/100", 21), None),
    (PART, 206, span("bytes 40-99/100", 60), None),
    # Ranges that cannot be.
    (REST, 206, span("bytes 40-100/100", 61), None),
    (REST, 206, span("bytes 40-99/50", 60), None),
    (REST, 206, span("bytes 40-38/100"), None),
    (REST, 206, span("bytes 40-39/100", 0), None),
    (REST, 206, span("bytes 40-99/100", 61), None),
    (REST, 206, span("bytes 40-99/100", 59), None),
    (REST, 206, span("bytes */100"), None),
    (REST, 206, span("bytes 40-99"), None),
    (REST, 206, span("bytes=40-99/100"), None),
    (REST, 206, span("items 40-99/100"), None),
    (REST, 206, span("bytes 40-99/100, 40-99/100"), None),
    (REST, 206, span("bytes 40-99/" + "9" * 5000), None),
    (REST, 206, span("bytes ٤٠-٩٩/١٠٠"), None),  # digits to Python, not to HTTP
    (REST, 206, FILE, None),
    (PART, 206, {**FILE, "Content-Type": "multipart/byteranges; boundary=x"}, None),
    # Compressed, though we said identity: the offsets are another file's (parfive#121).
    (WHOLE, 200, {**FILE, "Content-Encoding": "gzip"}, None),
    (WHOLE, 200, {**FILE, "Content-Encoding": "br"}, None),
    (REST, 206, {**span("bytes 40-99/100"), "Content-Encoding": "gzip"}, None),
    (
        WHOLE,
        200,
        {**FILE, "Content-Encoding": "identity"},
        ResponseBody(0, None, None, TAG, MTIME, BodyEnd.CLOSED),
    ),
]


@pytest.mark.parametrize(("asked", "status", "headers", "body"), BODIES)
def test_bodies(
    asked: RangeRequest, status: int, headers: dict[str, str], body: ResponseBody | None
) -> None:
    if body is None:
        with pytest.raises(InvalidResponse):
            read(asked, status, headers)
    else:
        assert read(asked, status, headers) == body


@pytest.mark.parametrize(
    ("tag", "validator"),
    [
        (TAG, TAG),
        ('""', '""'),
        (f"W/{TAG}", None),  # weak: no promise about bytes
        (f"w/{TAG}", None),
        ("669f9b40-ff", None),
        ('"', None),
        ('"a", "b"', None),
        ('"a\udcff"', None),  # could not be sent back
        ("", None),
    ],
)
def test_only_a_strong_etag_is_a_validator(tag: str, validator: str | None) -> None:
    body = read(WHOLE, 200, {"ETag": tag})
    assert isinstance(body, ResponseBody)
    assert body.validator == validator


@pytest.fixture
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A clock nine hours off, on which a date without a zone would show."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "JST-9")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("value", "modified"),
    [
        (DATE, MTIME),
        ("Tuesday, 23-Jul-24 12:00:00 GMT", MTIME),  # RFC 850
        ("Tue, 23 Jul 2024 12:00:00", MTIME),  # no zone: HTTP knows only one
        ("Tue, 23 Jul 2024 12:00:00 -0000", MTIME),
        ("Tue, 23 Jul 2024 14:00:00 +0200", MTIME),
        ("yesterday", None),
        ("", None),
        ("1721736000", None),
        ("Tue, 99 Jul 2024 12:00:00 GMT", None),
        ("Tue, 23 Jul 2024 12:00:00 +99999999999999", None),
        # Outside of what a file system, and the state, can hold.
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Wed, 31 Dec 1969 23:59:59 GMT", None),
        ("Fri, 13 Dec 1901 20:45:51 GMT", None),
        ("Fri, 11 Apr 2262 00:00:00 GMT", 9_223_286_400.0),
        ("Sat, 12 Apr 2262 00:00:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None),
        ("\udcff\udcfe", None),
    ],
)
@pytest.mark.usefixtures("far_from_utc")
def test_last_modified(value: str, modified: float | None) -> None:
    body = read(WHOLE, 200, {"Last-Modified": value})
    assert isinstance(body, ResponseBody)
    assert body.modified == modified


@pytest.mark.parametrize("value", ["", "-1", "+5", "1 0", "ten", "٣"])
def test_a_length_that_is_none_is_not_told(value: str) -> None:
    body = read(WHOLE, 200, {"Content-Length": value})
    assert isinstance(body, ResponseBody)
    assert body.length is body.total is None


MOST = 1 << 50


@pytest.mark.parametrize("size", [MOST, MOST + 1, 10**18, 1 << 63, int("9" * 19), int("9" * 4000)])
def test_a_size_that_no_file_has(size: int) -> None:
    """It would be the offset of a write, and be summed up with others."""
    whole, part = {"Content-Length": str(size)}, {"Content-Range": f"bytes 40-59/{size}"}
    end = {"Content-Range": f"bytes */{size}"}
    if size == MOST:
        assert read(WHOLE, 200, whole) == ResponseBody(0, MOST, MOST, None, None)
        assert read(PART, 206, part) == ResponseBody(40, 20, MOST, None, None)
        assert read(REST, 416, end) == PastEnd(MOST)
        return
    for asked, status, headers in ((WHOLE, 200, whole), (PART, 206, part)):
        with pytest.raises(InvalidResponse):
            read(asked, status, headers)
    assert read(REST, 416, end) == PastEnd(None)


@pytest.mark.parametrize("length", [0, 510, 511, 7_000])
def test_a_tag_of_no_sensible_length_is_none(length: int) -> None:
    body = read(WHOLE, 200, {"ETag": f'"{"x" * length}"'})
    assert isinstance(body, ResponseBody)
    assert body.validator == (f'"{"x" * length}"' if length <= 510 else None)


# ── answers without one ────────────────────────────────────────────────────────────────────────


def test_unchanged_only_where_that_was_asked() -> None:
    assert read(AGAIN, 304, {}) == Unchanged()
    with pytest.raises(
        InvalidResponse
    ):  # else a cache's 304 would pass for a file that is not there
        read(WHOLE, 304, {})


@pytest.mark.parametrize("asked", [REST, PART, HEAD])
@pytest.mark.parametrize(
    ("value", "total"),
    [
        ("bytes */40", 40),
        ("bytes */30", 30),
        ("bytes */0", 0),
        ("bytes */100", 100),
        ("bytes */*", None),
        ("bytes 0-39/40", None),
        ("*/40", None),
        ("bytes */-1", None),
        ("bytes */" + "9" * 5000, None),
        ("", None),
        (None, None),
    ],
)
def test_past_the_end(asked: RangeRequest, value: str | None, total: int | None) -> None:
    # The body is an HTML page, with the file's own Content-Disposition: no file for all that.
    headers = {"Content-Disposition": "inline; filename=a.jpg", "Content-Length": "190"}
    if value is not None:
        headers["Content-Range"] = value
    assert read(asked, 416, headers) == PastEnd(total)


def test_no_range_can_be_wrong_where_none_was_asked() -> None:
    # Taken for "start over" it would be asked again at once, for ever.
    with pytest.raises(InvalidResponse):
        read(WHOLE, 416, {"Content-Range": "bytes */40"})


@pytest.mark.parametrize("kind", ["text/html", "text/html; charset=utf-8", "Text/HTML"])
@pytest.mark.parametrize("asked", [WHOLE, REST])
def test_a_page_instead_of_the_file(asked: RangeRequest, kind: str) -> None:
    headers = {**FILE, "Content-Length": "100", "Content-Type": kind}
    with pytest.raises(Throttled):
        read(asked, 200, headers)
    assert read(replace(asked, page=True), 200, headers) == ResponseBody(0, 100, 100, TAG, MTIME)


@pytest.mark.parametrize("asked", [WHOLE, PART, AGAIN])
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (403, AccessDenied),
        (404, NotFound),
        (410, Gone),
        *[(status, NotServed) for status in (300, 301, 305, 308)],
        # To a sign-in, or a notice of repairs: for now only.
        *[(status, Throttled) for status in (302, 303, 307)],
        *[(status, Throttled) for status in (408, 425, 429, 500, 502, 503, 504)],
        *[(status, InvalidResponse) for status in (201, 204, 207, 501, 505)],
        # Answers, not accidents: asking again would not change them.
        *[(status, NotServed) for status in (400, 402, 405, 412, 418, 431)],
        (451, AccessDenied),
        *[(status, Throttled) for status in (511, 520, 521, 522, 523, 524, 530)],
        (401, InvalidResponse),  # the session answers it; one that gets here is no sign-in
    ],
)
def test_refusals(asked: RangeRequest, status: int, error: type[SourceError]) -> None:
    with pytest.raises(SourceError) as caught:
        read(asked, status, {**FILE, "Content-Length": "500", "Location": "https://evil.example"})
    assert type(caught.value) is error
    assert str(status) in str(caught.value)
    overloaded = isinstance(caught.value, Throttled) and caught.value.overloaded
    assert overloaded == (status in {429, 502, 503, 504})
    assert (isinstance(caught.value, Throttled) and caught.value.by_us) == (status == 429)


# ── how long to wait ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0),
        ("120", 120),
        (" 120 ", 120),
        ("9" * 40, 999_999_999),  # absurd, but a number: the pace bounds it
        ("Sun, 01 Mar 2026 12:02:00 GMT", 120),
        ("Sun, 01 Mar 2026 12:02:00", 120),
        ("Sun, 01 Mar 2026 12:02:00 -0000", 120),
        ("Sunday, 01-Mar-26 12:02:00 GMT", 120),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0),  # past
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("-5", None),
        ("1.5", None),
        ("", None),
        ("soon", None),
        ("١٢", None),
        ("Sun, 31 Feb 2026 12:00:00 GMT", None),
        ("Sun, 01 Mar 2026 12:00:00 +99999999999999", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds
    with pytest.raises(Throttled) as caught:
        read(WHOLE, 429, {} if value is None else {"Retry-After": value})
    assert caught.value.after == seconds


words = ["Sun,", "01", "Mar", "2026", "12:00:00", "GMT", "+0100", "-0000", "9" * 15, "bytes", "*/4"]
values = st.one_of(st.lists(st.sampled_from(words)).map(" ".join), st.text(max_size=30))
names = ["ETag", "Last-Modified", "Content-Length", "Content-Range", "Retry-After"]


@many
@given(
    st.sampled_from([WHOLE, REST, PART, HEAD, AGAIN]),
    st.sampled_from([200, 206, 304, 404, 416, 429, 503, 999]),
    st.dictionaries(st.sampled_from(names), values),
)
def test_no_headers_make_it_raise_anything_else(
    asked: RangeRequest, status: int, headers: dict[str, str]
) -> None:
    with contextlib.suppress(SourceError):
        read(asked, status, headers)


offsets = st.integers(0, 120)


@many
@given(offsets, st.none() | offsets, offsets, offsets, st.none() | offsets)
def test_a_part_that_is_let_through_is_of_the_part_that_was_asked_for(
    start: int, length: int | None, first: int, last: int, total: int | None
) -> None:
    asked = RangeRequest(start, None if length is None else start + length + 1)
    value = f"bytes {first}-{last}/{'*' if total is None else total}"
    is_right = (
        first == start
        and first <= last
        and (asked.stop is None or last < asked.stop)
        and (total is None or last < total)
    )
    try:
        body = read(asked, 206, {"Content-Range": value})
    except InvalidResponse:
        assert not is_right
    else:
        assert is_right
        end = BodyEnd.OF_RANGE if total is None else None
        assert body == ResponseBody(start, last - first + 1, total, None, None, end)


@many
@given(st.integers(0, 10**7))
def test_a_date_is_as_good_as_seconds(seconds: int) -> None:
    then = datetime.fromtimestamp(NOW.timestamp() + seconds, UTC)
    assert retry_after(format_datetime(then, usegmt=True), NOW) == seconds
    assert retry_after(str(seconds), NOW) == seconds


@pytest.mark.parametrize("day", ["01", "29", "30", "31", "32", "00", "1"])
@pytest.mark.parametrize("rest", ["Feb 2024 23:59:59", "Feb 2023 24:00:00", "Xyz 2024 00:00:00"])
def test_the_quick_reader_of_dates_agrees_with_the_other(day: str, rest: str) -> None:
    usual = f"Tue, {day} {rest} GMT"
    assert http_date(usual) == http_date(usual.replace("GMT", "+0000"))
