"""The interface of every source: what can be requested, and what it returns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeGuard

from cxrsync.errors import SourceError
from cxrsync.model import Chunk, RemotePath


class BodyEnd(Enum):
    """How a body of unknown total size ended."""

    FRAMED = "the framing proves it (chunked, RFC 9112 section 7.1)"
    CLOSED = "the connection was closed: proves nothing (RFC 9112 section 8)"
    FORGEABLE = "the same over TLS: a man in the middle can close it, at the same byte each time"
    OF_RANGE = "the end of a range of a file of unknown size: more may follow"


@dataclass(frozen=True, slots=True)
class Opened:
    """A response with bytes: ``chunks`` yields those from ``start`` to the requested stop.

    ``start`` is where the source *begins*, which may differ from the request: a source that cannot
    resume, or whose file has changed, begins at 0. ``total``: the size of the whole file in bytes;
    if it is None, ``end`` says what the end of the chunks means. ``validator``: a strong one or
    None. ``modified``: a POSIX time in seconds. ``is_own_time``: whether that is the time of the
    file itself, and not that of its copy in a store.
    """

    start: int
    total: int | None
    validator: str | None
    modified: float | None
    chunks: AsyncIterator[Chunk]
    end: BodyEnd | None = None
    is_own_time: bool = True


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The file still has the validator ``skip_if``."""


@dataclass(frozen=True, slots=True)
class PastEnd:
    """There is nothing at ``start``: the file ends at ``total`` (None: unknown)."""

    total: int | None


Answer = Opened | Unchanged | PastEnd


class Source(Protocol):
    """A place that holds a dataset's files."""

    @property
    def identity(self) -> str:
        """The name of the source. Validators and sizes are valid only for the same name."""

    @property
    def requests(self) -> int:
        """The number of requests made so far."""

    def open(
        self,
        ref: RemotePath,
        start: int = 0,
        stop: int | None = None,
        resume_if: str | None = None,
        skip_if: str | None = None,
    ) -> AbstractAsyncContextManager[Answer]:
        """Request the bytes of ``ref`` from ``start`` to ``stop`` (None: to the end).

        With ``resume_if`` (a validator) the source begins at 0 if the file has another one by now.
        With ``skip_if`` it returns Unchanged if the file still has that one.

        Raises NotServed, Throttled, Interrupted (also during the chunks), InvalidResponse,
        Unreachable, CredentialsRefused, AccessDenied, FileDenied.
        """

    async def versions(self, dataset: str) -> list[str]:
        """Return the published versions of ``dataset``, oldest first; empty if there is no such
        dataset. Raises Unanswered if the source does not say now."""

    async def total(self, dataset: str, version: str) -> int | None:
        """Return the size of a whole version in bytes, for estimates; None if there is no such
        version. Raises Unanswered if the source does not say now."""

    async def close(self) -> None:
        """Close every connection."""


class SourceChanged(SourceError):
    """The file is asked of another source from now on: the same request is to be made again."""


class SeveralSources(Source, Protocol):
    """Sources in order, of which each file is asked of one at a time. They are numbered from 0."""

    @property
    def most_connections(self) -> Sequence[int | None]:
        """How many requests each source gets at a time at most; None: as many as the job allows."""

    def number_of(self, ref: RemotePath) -> int:
        """Return the number of the source that a file is asked of now."""

    def identity_of(self, ref: RemotePath) -> str:
        """Return the identity of the source that a file is asked of now."""

    def leave_out(self, number: int, problem: SourceError, *, for_good: bool) -> bool:
        """Ask the sources after this one for a while, because this one is away. If there is none,
        and ``for_good``, the files that only this one has fail, as long as others are fetched.

        Returns False if this source goes on being asked.
        """

    def distrust(self, ref: RemotePath) -> bool:
        """Ask the next source for a file, which this one has wrong. Returns False if there is no
        other."""


def are_several(source: Source) -> TypeGuard[SeveralSources]:
    """Return whether a source is several in order."""
    # isinstance() with a protocol looks at each member by name: a thirtieth of a small file's time.
    return hasattr(source, "identity_of") and hasattr(source, "distrust")


def identity_of(source: Source, ref: RemotePath) -> str:
    """Return the identity of the source that a file is asked of now."""
    return source.identity_of(ref) if are_several(source) else source.identity


def distrust(source: Source, ref: RemotePath) -> bool:
    """Ask another source for a file, which this one has wrong. Returns False if there is none."""
    return are_several(source) and source.distrust(ref)


@asynccontextmanager
async def answer_of_any(
    source: Source, ref: RemotePath, start: int = 0, stop: int | None = None
) -> AsyncIterator[Answer]:
    """Request as :meth:`Source.open`; what one of several sources lacks is asked of the next."""
    async with AsyncExitStack() as stack:
        while True:
            try:
                answer = await stack.enter_async_context(source.open(ref, start, stop))
            except SourceChanged:
                continue
            yield answer
            return
