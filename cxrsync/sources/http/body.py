"""Read the body of a response, in chunks as they arrive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import aiohttp

from cxrsync.errors import Interrupted, InvalidResponse
from cxrsync.model import Chunk
from cxrsync.sanitize import reason_of
from cxrsync.sources.http.response import Response
from cxrsync.sources.http.silence import SilenceWatch


class BodyReader:
    """Reads bodies. ``stall_timeout``: the longest wait for a chunk, in seconds."""

    def __init__(self, stall_timeout: float, watch: SilenceWatch) -> None:
        self._stall_timeout = stall_timeout
        self._watch = watch

    async def chunks(self, response: Response) -> AsyncGenerator[Chunk, None]:
        """Yield the body. Raises Interrupted, InvalidResponse."""
        try:
            while chunk := await self._chunk(response):
                yield chunk
        except TimeoutError:
            raise Interrupted(f"no data for {self._stall_timeout:g} s") from None
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, OSError) as problem:
            raise Interrupted(f"the connection broke: {reason_of(problem)}") from None
        except aiohttp.ClientError:
            raise InvalidResponse("the body is not framed as HTTP requires") from None

    async def small(self, response: Response, max_bytes: int) -> bytes:
        """Return a whole body that arrives within ``stall_timeout``. Raises ValueError if it is
        larger than ``max_bytes``, TimeoutError, and what :meth:`chunks` raises."""
        body = bytearray()
        async with asyncio.timeout(self._stall_timeout):
            async for chunk in self.chunks(response):
                body += chunk
                if len(body) > max_bytes:
                    raise ValueError("a body without an end")
        return bytes(body)

    async def _chunk(self, response: Response) -> Chunk:
        chunk: Chunk = response.content.read_nowait()
        if chunk:
            self._watch.note_bytes()
            return chunk
        self._watch.begin(self._stall_timeout)
        try:
            # aiohttp's own timeout starts again with each byte, even with those of endless chunk
            # extensions or trailers.
            async with asyncio.timeout(self._stall_timeout):
                chunk = await response.content.readany()
        finally:
            self._watch.end(arrived=bool(chunk))
        return chunk
