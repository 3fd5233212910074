"""The table of a store's answers with a file."""

from datetime import UTC, datetime

import pytest
from multidict import CIMultiDict

from cxrsync.errors import InvalidResponse
from cxrsync.sources.base import PastEnd, Unchanged
from cxrsync.sources.http.responses import RangeRequest, ResponseBody
from cxrsync.sources.store.answers import interpret_answer, store_headers

NOW = datetime(2026, 11, 26, tzinfo=UTC)
TAG = '"0123-17"'  # of an upload in 17 parts: no MD5, and as good a validator
WHOLE, PART, REST = RangeRequest(), RangeRequest(40, 60), RangeRequest(40)
AT = "Tue, 23 Jul 2024 12:00:00 GMT"
THEN = 1_721_736_000.0
FILE = {"ETag": TAG, "Content-Length": "100", "Last-Modified": AT}


def body(start: int = 0, length: int = 100, then: float = THEN) -> ResponseBody:
    return ResponseBody(start, length, 100, TAG, then)


@pytest.mark.parametrize(
    ("asked", "headers"),
    [
        (WHOLE, {}),
        (PART, {"Range": "bytes=40-59"}),
        (RangeRequest(40, None, resume_if=TAG), {"Range": "bytes=40-", "If-Match": TAG}),
        (RangeRequest(skip_if=TAG), {"If-None-Match": TAG}),
        (RangeRequest(0, None, resume_if=TAG), {}),
    ],
)
def test_what_is_asked(asked: RangeRequest, headers: dict[str, str]) -> None:
    assert store_headers(asked) == {"Accept-Encoding": "identity", **headers}


@pytest.mark.parametrize(
    ("asked", "status", "headers", "meaning"),
    [
        (WHOLE, 200, FILE, body()),
        # Some stores repeat the encoding of the upload.
        (WHOLE, 200, {**FILE, "Content-Encoding": "aws-chunked"}, body()),
        (WHOLE, 200, {**FILE, "Content-Encoding": "gzip"}, None),
        # The time that rclone and gsutil note with a copy.
        (WHOLE, 200, {**FILE, "X-Amz-Meta-Mtime": "1600000000.5"}, body(then=1_600_000_000.5)),
        (WHOLE, 200, {**FILE, "x-goog-meta-goog-reserved-file-mtime": "1600000000"},
         body(then=1.6e9)),
        (WHOLE, 200, {**FILE, "x-amz-meta-mtime": "-1"}, body()),
        (WHOLE, 200, {**FILE, "x-amz-meta-mtime": "nan"}, body()),
        # rclone's S3 server answers a range with 200.
        (PART, 200, {**FILE, "Content-Length": "20", "Content-Range": "bytes 40-59/100"},
         body(40, 20)),
        (REST, 200, {**FILE, "Content-Length": "60", "Content-Range": "bytes 40-99/100"},
         body(40, 60)),
        # All of it comes, whatever else the answer says.
        (PART, 200, {**FILE, "Content-Range": "bytes 40-59/100"}, body()),
        (PART, 200, FILE, body()),
        # Another range than asked for.
        (PART, 200, {**FILE, "Content-Length": "20", "Content-Range": "bytes 0-19/100"}, None),
        (PART, 206, {**FILE, "Content-Length": "20", "Content-Range": "bytes 40-59/100"},
         body(40, 20)),
        (RangeRequest(skip_if=TAG), 304, {"ETag": TAG}, Unchanged()),
        (REST, 416, {"Content-Range": "bytes */30"}, PastEnd(30)),
        (REST, 416, {}, PastEnd(None)),
    ],
)  # fmt: skip
def test_what_an_answer_means(
    asked: RangeRequest, status: int, headers: dict[str, str], meaning: object
) -> None:
    if meaning is None:
        with pytest.raises(InvalidResponse):
            interpret_answer(asked, status, CIMultiDict(headers), NOW)
    else:
        assert interpret_answer(asked, status, CIMultiDict(headers), NOW) == meaning
