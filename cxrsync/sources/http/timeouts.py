"""Time limits for the parts of a request: the connection, and the head of the response."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import aiohttp

from cxrsync.config.job import TransferLimits
from cxrsync.sources.http.silence import SilenceWatch


class RequestTimeouts:
    """The part that a request is in, and how long it may take.

    aiohttp's own timeouts start again with each byte. So an endless head, or endless provisional
    responses, would block a worker for ever. And it has no timeout for the response of a proxy.
    """

    def __init__(self, watch: SilenceWatch) -> None:
        self.deadline = asyncio.timeout(None)
        self.connected = False
        self._watch = watch
        self._is_waiting = False

    def enter(self, seconds: float | None, *, connected: bool) -> None:
        """Begin the next part, which may take so many seconds (None: no limit)."""
        self.connected = connected
        if seconds is None:
            self.leave(arrived=False)
        elif self._is_waiting:
            self._watch.go_on(seconds)  # an accepted connection is no answer
        else:
            self._is_waiting = True
            self._watch.begin(seconds)
        now = asyncio.get_running_loop().time()
        self.deadline.reschedule(None if seconds is None else now + seconds)

    def leave(self, *, arrived: bool) -> None:
        """End the present part. ``arrived``: something came from the server."""
        if self._is_waiting:
            self._is_waiting = False
            self._watch.end(arrived=arrived)

    @classmethod
    def tracing(cls, limits: TransferLimits) -> aiohttp.TraceConfig:
        """Return the aiohttp hooks that tell each request which part begins."""

        def on(seconds: float | None, *, connected: bool) -> Callable[..., Awaitable[None]]:
            async def enter(_session: object, context: SimpleNamespace, _what: object) -> None:
                context.trace_request_ctx.enter(seconds, connected=connected)

            return enter

        tracing = aiohttp.TraceConfig()
        # No limit until a connection is free: the bodies of other responses have none either.
        tracing.on_connection_queued_start.append(on(None, connected=False))
        tracing.on_connection_create_start.append(on(limits.connect_timeout, connected=False))
        # The head of the response, from its first byte to its last.
        tracing.on_connection_create_end.append(on(limits.stall_timeout, connected=True))
        tracing.on_connection_reuseconn.append(on(limits.stall_timeout, connected=True))
        return tracing
