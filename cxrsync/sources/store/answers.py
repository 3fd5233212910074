"""The meaning of a store's answers with a file, where they differ from other servers'. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from multidict import CIMultiDict

from cxrsync.model import is_time
from cxrsync.sources.base import PastEnd, Unchanged
from cxrsync.sources.http.responses import (
    RangeRequest,
    ResponseBody,
    interpret_response,
    request_headers,
)

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/(?:[0-9]{1,19}|\*)")
# Where tools that copy to a bucket note the file's own time: rclone, gsutil.
_TIMES = ("x-amz-meta-mtime", "x-goog-meta-mtime", "x-goog-meta-goog-reserved-file-mtime")


def store_headers(asked: RangeRequest) -> dict[str, str]:
    """Return the headers of a request: with If-Match, because stores do not promise If-Range."""
    headers = request_headers(asked)
    if (tag := headers.pop("If-Range", None)) is not None:
        headers["If-Match"] = tag
    return headers


def interpret_answer(
    asked: RangeRequest, status: int, headers: Mapping[str, str], now: datetime
) -> ResponseBody | Unchanged | PastEnd:
    """Return what an answer of 200, 206, 304 or 416 means. ``headers`` must be case-insensitive.

    The time is that of the file itself, where whoever copied it to the store has noted it. Raises
    as :func:`cxrsync.sources.http.responses.interpret_response`.
    """
    headers = CIMultiDict(headers)
    if headers.get("Content-Encoding", "").strip().lower() == "aws-chunked":
        del headers["Content-Encoding"]  # that of the upload, which some stores repeat
    if status == 200 and _is_range(asked, headers):
        status = 206
    found = interpret_response(asked, status, headers, now)
    if not isinstance(found, ResponseBody):
        return found
    return replace(found, modified=own_time(headers) or found.modified)


def _is_range(asked: RangeRequest, headers: Mapping[str, str]) -> bool:
    """Return whether a 200 is the range that was asked for, as rclone's S3 server answers.

    Content-Range means nothing there (RFC 9110 section 14.4). But where its length is that of the
    body, the body cannot be the whole file, for which it would be taken.
    """
    match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    if match is None or not (asked.start or asked.stop):
        return False
    return headers.get("Content-Length") == str(int(match[2]) - int(match[1]) + 1)


def own_time(headers: Mapping[str, str]) -> float | None:
    """Return the time of the file itself, if whoever copied it to the store has noted it."""
    for name in _TIMES:
        try:
            seconds = float(headers.get(name, ""))
        except ValueError:
            continue
        if is_time(seconds):
            return seconds
    return None
