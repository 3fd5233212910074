"""What cxrsync uses of a response, whoever received it: aiohttp, or the lean path."""

from __future__ import annotations

from typing import Protocol

from multidict import CIMultiDictProxy
from yarl import URL

from cxrsync.model import Chunk


class Content(Protocol):
    """The body of a response."""

    def read_nowait(self) -> Chunk:
        """Return what is there; nothing if nothing is."""

    async def readany(self) -> Chunk:
        """Return what is there, and wait for it; nothing at the end."""

    def at_eof(self) -> bool:
        """Return whether the whole body was read."""


class Response(Protocol):
    """A response whose head is there. Its body is read by ``content``."""

    @property
    def status(self) -> int:
        """The number of the status."""

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """The header fields, by name in any case."""

    @property
    def url(self) -> URL:
        """What was asked for."""

    @property
    def content_length(self) -> int | None:
        """The size of the body in bytes; None if the head does not say it."""

    @property
    def content(self) -> Content:
        """The body."""

    def close(self) -> None:
        """End the response; its connection, too, unless the body is complete."""

    def release(self) -> object:
        """Give the connection back: the body is complete."""
