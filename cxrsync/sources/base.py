"""The seam: what the engine may ask of any source, and what it gets for an answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from cxrsync.model import RemotePath


class BodyEnd(Enum):
    """How the end of an answer without a told total was told."""

    FRAMED = "the framing proves it (chunked, RFC 9112 section 7.1)"
    CLOSED = "the connection was closed: proves nothing (RFC 9112 section 8)"
    FORGEABLE = "the same over TLS: whoever is on the line can close it, at the same byte each time"
    OF_RANGE = "the end of a range of a file of unknown size: more may follow"


@dataclass(frozen=True, slots=True)
class Opened:
    """Bytes are coming: ``chunks`` yields those from ``start`` up to the stop that was asked for.

    ``start`` is what the source *gives*, which need not be what was asked: a source that cannot
    go on from the middle, or whose file has changed, starts at 0. ``total`` is the size of the
    whole file in bytes; where it is None, ``end`` says what the end of the chunks means.
    ``validator`` is a strong one or None, ``modified`` a POSIX time in seconds.
    """

    start: int
    total: int | None
    validator: str | None
    modified: float | None
    chunks: AsyncIterator[bytes]
    end: BodyEnd | None = None


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The file is still the one that ``skip_if`` names."""


@dataclass(frozen=True, slots=True)
class PastEnd:
    """There is nothing at ``start``: the file ends at ``total`` (None: not told)."""

    total: int | None


Answer = Opened | Unchanged | PastEnd


class Source(Protocol):
    """A place that holds a dataset's files."""

    @property
    def identity(self) -> str:
        """Names the source; validators and sizes are valid only within it."""

    @property
    def requests(self) -> int:
        """How many requests it has made so far."""

    def open(
        self,
        ref: RemotePath,
        start: int = 0,
        stop: int | None = None,
        resume_if: str | None = None,
        skip_if: str | None = None,
    ) -> AbstractAsyncContextManager[Answer]:
        """Ask for the bytes of ``ref`` from ``start`` up to ``stop`` (None: to the end).

        With ``resume_if`` (a validator) the source starts at 0 if the file is another by now;
        with ``skip_if`` it answers Unchanged if the file is still that one.

        Raises NotFound, Throttled, Interrupted (also while the chunks come), BadAnswer,
        Unreachable, CredentialsRefused, AccessDenied, FileDenied.
        """

    async def versions(self, dataset: str) -> list[str]:
        """The published versions of ``dataset``, oldest first; empty if the source cannot tell."""

    async def total(self, dataset: str, version: str) -> int | None:
        """The bytes of a version in all, for estimates; None if the source cannot tell."""

    async def close(self) -> None:
        """Let every connection go."""
