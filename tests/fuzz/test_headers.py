"""Answers of a server: any status, any headers, to any question."""

from datetime import UTC, datetime

from fuzz.mutations import many, mutated, texts
from hypothesis import example, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict
from thorough import examples

from cxrsync.errors import SourceError, Throttled
from cxrsync.sources.base import PastEnd, Unchanged
from cxrsync.sources.http.refusals import retry_after
from cxrsync.sources.http.responses import (
    RangeRequest,
    ResponseBody,
    interpret_response,
    request_headers,
)

NOW = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
# A range of what datetime can tell, with a day to spare for zones.
LATEST = 253_402_300_800 + 86_400
GOOD = {
    "Content-Range": [b"bytes 10-99/100", b"bytes 0-99/*", b"bytes */100"],
    "Content-Length": [b"90", b"100", b"0"],
    "Content-Encoding": [b"identity", b"gzip", b""],
    "ETag": [b'"5f8-1"', b'W/"5f8"', b'""'],
    "Last-Modified": [b"Tue, 23 Jul 2024 12:00:00 GMT", b"Tue, 23 Jul 2024 12:00:00 -0700"],
    "Retry-After": [b"120", b"Thu, 02 Jan 2025 03:05:05 GMT"],
}


def one_of(values: list[bytes]) -> st.SearchStrategy[str]:
    damaged = mutated(*values, most=3).map(lambda raw: raw.decode("latin-1"))
    # As aiohttp hands over what is no UTF-8.
    odd = mutated(*values, most=3).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
    return st.one_of(st.sampled_from(values).map(bytes.decode), damaged, odd, texts)


headers = st.fixed_dictionaries(
    {}, optional={name: one_of(values) for name, values in GOOD.items()}
)
statuses = st.one_of(
    st.sampled_from([200, 206, 206, 206, 304, 403, 404, 416, 429, 503]), st.integers(100, 999)
)
tags = st.sampled_from([None, '"5f8-1"'])
questions = st.one_of(
    st.builds(RangeRequest, st.just(0), st.none(), tags, tags),
    st.builds(lambda start, more, tag: RangeRequest(start, start + more, tag), st.integers(0, 100),
              st.integers(1, 100), tags),
)  # fmt: skip


@settings(many, max_examples=examples(400))
@given(questions, statuses, headers)
@example(RangeRequest(10), 206, {"Content-Range": "bytes 10-" + "9" * 19 + "/" + "9" * 19})
@example(RangeRequest(), 200, {"Content-Length": "9" * 5_000})
@example(RangeRequest(), 503, {"Retry-After": "9" * 5_000})
@example(RangeRequest(), 200, {"Last-Modified": "Mon, 01 Jan 0001 00:00:00 +2359"})
@example(RangeRequest(), 200, {"Last-Modified": "Fri, 31 Dec 9999 23:59:59 -2359"})
def test_any_answer(asked: RangeRequest, status: int, given_headers: dict[str, str]) -> None:
    request_headers(asked)
    meant: ResponseBody | Unchanged | PastEnd | SourceError
    try:
        meant = interpret_response(asked, status, CIMultiDict(given_headers), NOW)
    except SourceError as problem:
        meant = problem
    if isinstance(meant, Throttled):
        assert str(meant).isprintable()
        assert meant.after is None or 0 <= meant.after < LATEST
    elif isinstance(meant, SourceError):
        assert str(meant).isprintable()
    elif isinstance(meant, ResponseBody):
        assert status in {200, 206}
        assert meant.start == (asked.start if status == 206 else 0)
        assert meant.length is None or meant.length >= 0
        assert meant.total is None or 0 <= meant.start + (meant.length or 0) <= meant.total
        assert meant.total is None or meant.total <= 1 << 50
        assert meant.validator is None or meant.validator.isascii()
        assert meant.validator is None or len(meant.validator) <= 512
        assert meant.modified is None or 0 <= meant.modified * 10**9 < 1 << 63
    else:
        assert isinstance(meant, PastEnd | Unchanged | SourceError)


@many
@given(one_of(GOOD["Retry-After"]))
@example("-1")
@example("1e9")
@example("\u0663")
@example("Thu, 02 Jan 2025 03:05:05 +" + "9" * 5_000)
@example("Thu, 02 Jan " + "2" * 5_000 + " 03:05:05 GMT")
def test_retry_after(value: str) -> None:
    after = retry_after(value, NOW)
    assert after is None or 0 <= after < LATEST
