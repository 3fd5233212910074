"""Several sources in order: what the first lacks, or has wrong, comes from the next.

A file's source changes between two requests only: the request that met the refusal raises
SourceChanged, and the next one is made with what is known of the new source, so that bytes of the
old one are kept, and its validator is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from cxrsync.config.job import AUTO_CONNECTIONS
from cxrsync.errors import (
    AccessDenied,
    NotFound,
    NotServed,
    SourceError,
    Unanswered,
    Unreachable,
    UsageError,
)
from cxrsync.events import EventSink, Notice
from cxrsync.model import MANIFEST_NAME, RemotePath
from cxrsync.sources.base import Answer, Source, SourceChanged
from cxrsync.sources.store.refusals import NoSuchBucket

# A source that has none of so many files is at another address.
_MISSED_FILES = 20


@dataclass
class Part:
    """One of the sources, which is made when it is asked first.

    ``has_manifest``, ``has_files``: what it is asked for. ``polite``: it gets no more requests at a
    time than PhysioNet does, however many the others get.
    """

    make: Callable[[], Source]
    has_manifest: bool = True
    has_files: bool = True
    polite: bool = False
    served: int = 0
    missed: int = 0
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AUTO_CONNECTIONS))

    made: Source | None = None

    @property
    def source(self) -> Source:
        """The source itself."""
        self.made = self.made or self.make()
        return self.made

    def is_for(self, ref: RemotePath) -> bool:
        """Whether it is asked for a file."""
        return self.has_manifest if ref.path == MANIFEST_NAME else self.has_files


class SourcesInOrder:
    """A SeveralSources: ``parts``, the first of which is asked first for each file."""

    def __init__(self, parts: Sequence[Part], emit: EventSink) -> None:
        self._parts = parts
        self._emit = emit
        # The number of the part that a file is asked of, if that is not the first one for it.
        self._at: dict[RemotePath, int] = {}
        # Of these nothing is asked any more.
        self._given_up: set[int] = set()

    @property
    def identity(self) -> str:
        return ", then ".join(each.source.identity for each in self._parts if each.has_files)

    @property
    def requests(self) -> int:
        return sum(each.made.requests for each in self._parts if each.made is not None)

    def identity_of(self, ref: RemotePath) -> str:
        """Return the identity of the source that a file is asked of now."""
        return self._parts[self._number(ref)].source.identity

    def distrust(self, ref: RemotePath) -> bool:
        """Ask the next source for a file, which this one has wrong. Returns False if there is no
        other."""
        following = self._next(ref, self._number(ref))
        if following is None:
            return False
        self._at[ref] = following
        return True

    @asynccontextmanager
    async def open(
        self,
        ref: RemotePath,
        start: int = 0,
        stop: int | None = None,
        resume_if: str | None = None,
        skip_if: str | None = None,
    ) -> AsyncIterator[Answer]:
        """See :meth:`cxrsync.sources.base.Source.open`. Raises also SourceChanged, after which the
        file is to be asked for again: a condition holds for one source only."""
        async with AsyncExitStack() as stack:
            while True:
                part = self._parts[self._number(ref)]
                attempt = await stack.enter_async_context(AsyncExitStack())
                try:
                    if part.polite:
                        await attempt.enter_async_context(part.gate)
                    answer = await attempt.enter_async_context(
                        part.source.open(ref, start, stop, resume_if, skip_if)
                    )
                except SourceError as problem:
                    await attempt.aclose()
                    if not self._goes_on(ref, part, problem):
                        raise
                    if resume_if is not None or skip_if is not None:
                        raise SourceChanged(f"{part.source.identity}: {problem}") from None
                    continue
                part.served += 1
                yield answer
                return

    async def versions(self, dataset: str) -> list[str]:
        """Return the versions that the first source which knows any has. Raises Unanswered."""
        silent: Unanswered | None = None
        for part in filter(lambda each: each.has_files, self._parts):
            try:
                if found := await part.source.versions(dataset):
                    return found
            except Unanswered as problem:
                silent = silent or problem
        if silent is not None:
            raise silent
        return []

    async def total(self, dataset: str, version: str) -> int | None:
        """Return the total that the first source says which knows one. Raises Unanswered."""
        silent: Unanswered | None = None
        for part in filter(lambda each: each.has_files, self._parts):
            try:
                if (found := await part.source.total(dataset, version)) is not None:
                    return found
            except Unanswered as problem:
                silent = silent or problem
        if silent is not None:
            raise silent
        return None

    async def close(self) -> None:
        for part in self._parts:
            if part.made is not None:
                await part.made.close()

    def _number(self, ref: RemotePath) -> int:
        number = self._at.get(ref, 0)
        if number not in self._given_up and self._parts[number].is_for(ref):
            return number
        following = self._next(ref, number)
        return number if following is None else following

    def _next(self, ref: RemotePath, number: int) -> int | None:
        later = range(number + 1, len(self._parts))
        return next(
            (
                each
                for each in later
                if each not in self._given_up and self._parts[each].is_for(ref)
            ),
            None,
        )

    def _has_none(self, part: Part) -> bool:
        """Return whether no other source has files, so that a wrong address is the likely cause."""
        return not any(each.has_files for each in self._parts if each is not part)

    def _goes_on(self, ref: RemotePath, part: Part, problem: SourceError) -> bool:
        """Return whether the next source is asked for a file after ``problem`` of ``part``."""
        number = self._parts.index(part)
        if isinstance(problem, NotFound) and ref.path != MANIFEST_NAME and not part.served:
            part.missed += 1
            if part.missed >= _MISSED_FILES and self._has_none(part):
                raise UsageError(
                    f"{part.source.identity} has none of the first {part.missed} files",
                    next_step="Check the address in --from: it holds DATASET/VERSION, or is such "
                    "a folder.",
                )
        following = self._next(ref, number)
        if following is None or self._number(ref) != number:
            return following is not None  # another request has changed it meanwhile
        ours, other = part.source.identity, self._parts[following]
        if not other.has_files and not isinstance(problem, NotFound):
            return False  # it could only tell what this one must not give
        after = other.source.identity
        if isinstance(problem, NoSuchBucket | AccessDenied | Unreachable) and not part.served:
            self._given_up.add(number)
            self._emit(Notice(f"nothing is fetched from {ours}: {problem}; {after} is asked"))
            return True
        if not isinstance(problem, NotServed | AccessDenied):
            return False
        if ref.path == MANIFEST_NAME:
            self._emit(Notice(f"{MANIFEST_NAME} is fetched from {after}: {ours} has none"))
        self._at[ref] = following
        return True
