"""One connection to a server: one request at a time, and the bytes of its answer.

1. :meth:`Connection.send` writes a request and waits for the head of the answer.
2. The bytes go from the socket, or from TLS, straight into the answer's buffer. Its pieces are
   given out as views of that buffer, so nothing is copied on the way to the disk and the hash.
3. If the buffer is full, reading pauses until the caller has taken what is there; then there is a
   new buffer. A piece belongs to whoever took it, and may be kept.
4. After the last byte the connection is free for the next request. Bytes that nobody asked for end
   it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from cxrsync.sources.http.lean.head import (
    END,
    MAX_HEAD_BYTES,
    Head,
    OddAnswer,
    check_begin,
    parse_head,
)

# With less room than this in the buffer, the next read would bring too little.
_LEAST_ROOM = 1 << 16
# What OpenSSL has deciphered of a record, and not given out, at most.
_RECORD = 1 << 14
_NOTHING = memoryview(b"")


class Connection(asyncio.BufferedProtocol):
    """A connection. ``when_free`` is called after each answer, and ``when_lost`` at the end.

    ``buffer``: how many bytes are read ahead of the caller.
    """

    def __init__(
        self,
        buffer: int,
        when_free: Callable[[Connection], None],
        when_lost: Callable[[Connection], None],
    ) -> None:
        self.idle_since = 0.0
        self._lost = False
        self._ended = False
        self._buffer = max(buffer, MAX_HEAD_BYTES)
        self._when_free = when_free
        self._when_lost = when_lost
        self._transport: asyncio.Transport | None = None
        self._answer: Answer | None = None
        self._unasked = memoryview(bytearray(1))

    @property
    def usable(self) -> bool:
        """Whether a request may be sent."""
        if self._transport is None or self._ended:
            return False
        return not self._transport.is_closing()

    async def send(self, request: bytes, url: URL) -> Answer:
        """Send a GET and return its answer, once the head is there.

        Raises OddAnswer, aiohttp.ServerDisconnectedError, aiohttp.ClientOSError; then the
        connection is closed.
        """
        if self._transport is None or self._lost:
            raise aiohttp.ServerDisconnectedError
        answer = self._answer = Answer(self, url, self._buffer)
        try:
            self._transport.write(request)
            await answer.wait_for_head()
        except BaseException:
            answer.close()  # a complete one has left the connection to the next request
            raise
        return answer

    def free(self, *, keeps_alive: bool) -> None:
        """Note that the answer is complete."""
        self._answer = None
        if not keeps_alive:
            self.close()
        self._when_free(self)

    def pause(self) -> None:
        """Read no further until :meth:`resume`."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Go on reading."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        """Close it, over TLS with a farewell."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close it at once."""
        if self._transport is not None:
            self._transport.abort()

    # ── called by asyncio ──────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._unasked if self._answer is None else self._answer.room(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        if self._answer is not None:
            self._answer.receive(nbytes)
        elif self.usable:  # asyncio's TLS cannot be aborted while it closes
            self.abort()  # it would be taken for the next answer

    def eof_received(self) -> None:
        # Over TLS the end of the connection comes later: the farewells come first.
        self._ended = True
        self._break_off(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = self._ended = True
        self._break_off(exc)
        self._when_lost(self)

    def _break_off(self, problem: Exception | None) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.break_off(problem)


class Answer:
    """The answer to a GET. It has what cxrsync uses of aiohttp's ClientResponse."""

    def __init__(self, connection: Connection, url: URL, buffer: int) -> None:
        self.url = url
        self._connection = connection
        self._size = buffer
        self._buffer = bytearray(buffer)
        self._view = memoryview(self._buffer)
        self._filled = 0
        self._taken = 0
        self._head: Head | None = None
        self._left = 0
        self._complete = False
        self._paused = False
        self._broken: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    # ── as aiohttp.ClientResponse ──────────────────────────────────────────────────────────────

    @property
    def status(self) -> int:
        return self._known_head.status

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        return self._known_head.headers

    @property
    def content_length(self) -> int | None:
        return self._known_head.length

    @property
    def content(self) -> Answer:
        return self

    def at_eof(self) -> bool:
        """Whether the whole body was taken."""
        return self._complete and self._taken == self._filled

    def read_nowait(self) -> memoryview:
        """Take what is there of the body; nothing if nothing is."""
        if self._taken == self._filled:
            return _NOTHING
        piece = self._view[self._taken : self._filled]
        self._taken = self._filled
        if not self._complete and len(self._view) - self._filled < _LEAST_ROOM:
            self._renew(min(self._size, self._left))
        if self._paused:
            self._paused = False
            self._connection.resume()
        return piece

    async def readany(self) -> memoryview:
        """Take what is there of the body, and wait for it; nothing at its end.

        Raises aiohttp.ClientPayloadError where the connection ends before.
        """
        while self._taken == self._filled and not self._complete:
            if self._broken is not None:
                raise self._broken
            await self._wait()
        return self.read_nowait()

    def release(self) -> None:
        """See :meth:`close`."""
        self.close()

    def close(self) -> None:
        """Give up what has not arrived: of an incomplete body, the connection too."""
        if not self._complete:
            self._connection.abort()

    # ── called by the connection ───────────────────────────────────────────────────────────────

    async def wait_for_head(self) -> None:
        """Raises as :meth:`Connection.send`."""
        while self._head is None:
            if self._broken is not None:
                raise self._broken
            await self._wait()

    def room(self, held_by_tls: int) -> memoryview:
        """Where the next bytes belong. ``held_by_tls``: how many bytes have arrived, and are not
        deciphered; below zero without TLS."""
        free = len(self._view) - self._filled
        if held_by_tls >= 0 and max(free, 1) <= self._left <= held_by_tls + _RECORD:
            # All the rest is here. If the server has closed the connection, asyncio's TLS reads
            # once more after a pause, and drops what does not fit.
            self._renew(self._left)
        return self._view[self._filled :]

    def receive(self, count: int) -> None:
        """Note that so many bytes lie in the room."""
        self._filled += count
        if self._head is not None:
            self._left -= count
        elif self._broken is None:
            self._read_head(count)
        if self._head is None:
            return
        if self._left <= 0:
            self._filled += min(self._left, 0)  # what nobody asked for
            self._complete = True
            self._connection.free(keeps_alive=self._head.keeps_alive and self._left == 0)
        elif self._filled == len(self._view):
            self._paused = True
            self._connection.pause()
        self._wake()

    def break_off(self, problem: Exception | None) -> None:
        """Note that no more bytes will come."""
        if self._head is not None:
            self._broken = aiohttp.ClientPayloadError()
        elif self._broken is None:
            self._broken = aiohttp.ServerDisconnectedError()
            if isinstance(problem, OSError):
                self._broken = aiohttp.ClientOSError(*problem.args)
        self._wake()

    @property
    def _known_head(self) -> Head:
        assert self._head is not None
        return self._head

    def _read_head(self, count: int) -> None:
        begin = self._filled - count - len(END) + 1
        end = self._buffer.find(END, max(begin, 0), min(self._filled, MAX_HEAD_BYTES))
        try:
            if end < 0:
                check_begin(bytes(self._view[: self._filled]))
                return
            end += len(END)
            self._head = parse_head(bytes(self._view[:end]))
            self._taken = end
            self._left = self._head.length - (self._filled - end)
        except OddAnswer as odd:
            self._broken = odd
            self._connection.abort()
            self._wake()

    def _renew(self, room: int) -> None:
        """Begin a new buffer: the pieces of the old one belong to their takers. It has ``room``
        for the next bytes, and one byte more, so that bytes after the body are noticed with it."""
        untaken = self._view[self._taken : self._filled]
        self._buffer = bytearray(len(untaken) + room + 1)
        self._view = memoryview(self._buffer)
        self._view[: len(untaken)] = untaken
        self._taken, self._filled = 0, len(untaken)

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
