"""How long each part of a request may take: the connection, and the head of its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import aiohttp

from cxrsync.config.job import TransferLimits


class RequestTimeouts:
    """How far a request has come, and how long it may stay there.

    aiohttp's own limits begin anew with each byte, so that a head of endless lines, or endless
    provisional answers, would hold a worker for ever; and it has none for what a proxy answers.
    """

    def __init__(self) -> None:
        self.patience = asyncio.timeout(None)
        self.connected = False

    def enter(self, seconds: float | None, *, connected: bool) -> None:
        """The next part begins, and may take so many seconds (None: any number)."""
        self.connected = connected
        now = asyncio.get_running_loop().time()
        self.patience.reschedule(None if seconds is None else now + seconds)

    @classmethod
    def tracing(cls, limits: TransferLimits) -> aiohttp.TraceConfig:
        """Tells each request's stage how far it has come."""

        def on(seconds: float | None, *, connected: bool) -> Callable[..., Awaitable[None]]:
            async def enter(_session: object, context: SimpleNamespace, _what: object) -> None:
                context.trace_request_ctx.enter(seconds, connected=connected)

            return enter

        tracing = aiohttp.TraceConfig()
        # Until a connection is free: the others' bodies have no limit either.
        tracing.on_connection_queued_start.append(on(None, connected=False))
        tracing.on_connection_create_start.append(on(limits.connect_timeout, connected=False))
        # Now the head of the answer, from its first byte to its last.
        tracing.on_connection_create_end.append(on(limits.stall_timeout, connected=True))
        tracing.on_connection_reuseconn.append(on(limits.stall_timeout, connected=True))
        return tracing
