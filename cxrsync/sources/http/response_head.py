"""The head of a response: how large it may be, and why one cannot be read, in cxrsync's words.

aiohttp reads heads of 128 lines of 8 KiB. A proxy's cookies and policies are longer than that, so
more is read here. Of a head that cannot be read aiohttp says why, in a text that quotes the head,
which may hold a session cookie: the text is recognized by how it begins, and never shown. It does
not say the status, so the connection notes that itself.
"""

from __future__ import annotations

import asyncio
import re
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

# Far more than any server sends, and far less than would matter in memory.
MAX_LINE_BYTES = 1 << 16
MAX_LINES = 512

_STATUS = re.compile(rb"HTTP/\d\.\d ([1-9]\d\d)(?!\d)")
# The longest beginning of a status line that has to be kept: "HTTP/1.1 200 ".
_STATUS_BYTES = 13
_NO_HTTP = "it does not begin as HTTP does"
_NO_HEADER = "a line of its head is no header"
_NO_LENGTH = "its Content-Length is not a number"
# The beginnings of aiohttp's texts: of its parser in C, and of the one in Python.
_REASONS = (
    ("Got more than", f"a line of its head is longer than {MAX_LINE_BYTES >> 10} KiB"),
    ("Too many", f"its head has more than {MAX_LINES} lines"),
    ("Duplicate Content-Length", "it states its length (Content-Length) twice"),
    ("Duplicate 'Content-Length'", "it states its length (Content-Length) twice"),
    ("Invalid character in Content-Length", _NO_LENGTH),
    ("Content-Length overflow", _NO_LENGTH),
    ("Transfer-Encoding can't", "it has a Content-Length and a Transfer-Encoding"),
    ("Content-Length can't", "it has a Content-Length and a Transfer-Encoding"),
    ("Bad status line", _NO_HTTP),
    ("Invalid header", _NO_HEADER),
    ("Invalid HTTP header", _NO_HEADER),
    ("Missing expected", "its lines do not end as those of HTTP do"),
    ("Expected", "its lines do not end as those of HTTP do"),
)


def describe_unreadable(status: int, text: str) -> str:
    """Return why the head of a response cannot be read. ``status``: 0 if it has none; ``text``:
    aiohttp's, which is recognized and not shown."""
    reason = next((ours for theirs, ours in _REASONS if text.startswith(theirs)), "")
    told = f"the server's answer (status {status})" if status else "the server's answer"
    return f"{told} cannot be read: {reason or 'its head is not valid HTTP'}"


class StatusConnector(aiohttp.TCPConnector):
    """A connector whose errors of unreadable heads carry the status of the response.

    aiohttp puts 400 into them, whatever the server has sent.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = partial(_protocol, loop=self._loop)


class _StatusProtocol(ResponseHandler):
    """One connection. It keeps the first bytes of each response."""

    _beginning = b""

    def set_response_params(self, **params: Any) -> None:
        self._beginning = b""  # the next response
        super().set_response_params(**params)

    def is_connected(self) -> bool:
        """Return whether the next request may be sent: an answer that nobody asked for would be
        taken for its answer."""
        return super().is_connected() and not self._buffer and not self._tail

    def data_received(self, data: bytes) -> None:
        if len(self._beginning) < _STATUS_BYTES:
            self._beginning += data[:_STATUS_BYTES]
        super().data_received(data)

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        if isinstance(exc, HttpProcessingError):
            match = _STATUS.match(self._beginning)
            exc.code = int(match[1]) if match else 0
        super().set_exception(exc, *cause)


def _protocol(loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    return _StatusProtocol(loop)
