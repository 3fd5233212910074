"""Several sources in order: what the first lacks, or has wrong, comes from the next.

A file's source changes between two requests only: the request that met the refusal raises
SourceChanged, and the next one is made with what is known of the new source, so that bytes of the
old one are kept, its validator is not, and the request obeys the limits of the new source.

A source that does not answer any more is left out for a while, and then asked again; one that
refused us, or could not be reached, before it had served anything is left out for the run.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from math import inf
from time import monotonic

from cxrsync import humanize
from cxrsync.errors import (
    AccessDenied,
    NotFound,
    NotServed,
    SourceError,
    Throttled,
    Unanswered,
    Unreachable,
    UsageError,
)
from cxrsync.events import EventSink, Notice
from cxrsync.model import MANIFEST_NAME, RemotePath
from cxrsync.sources.base import Answer, Opened, Source, SourceChanged
from cxrsync.sources.local import LocalTree
from cxrsync.sources.store.refusals import NoSuchBucket, NothingThere

# A source that has none of so many files is at another address.
_MISSED_FILES = 20
# Seconds for which a source that is away is left out; doubled each time, if it serves nothing.
_FIRST_LEAVE = 300.0
_LONGEST_LEAVE = 3600.0


@dataclass
class Part:
    """One of the sources, which is made when it is asked first.

    ``has_manifest``, ``has_files``: what it is asked for. ``connections``: how many requests it
    gets at a time at most; None: as many as the job allows. ``left_until``: when it is asked again,
    by a clock that counts seconds; ``leave``: for how long it was left out the last time. ``gone``:
    why it is not asked any more, although the files that are asked of it are nowhere else.
    """

    make: Callable[[], Source]
    has_manifest: bool = True
    has_files: bool = True
    connections: int | None = None
    served: int = 0
    missed: int = 0
    left_until: float = -inf
    leave: float = 0.0
    gone: str = ""
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

    def __init__(
        self, parts: Sequence[Part], emit: EventSink, clock: Callable[[], float] = monotonic
    ) -> None:
        self._parts = parts
        self._emit = emit
        self._clock = clock
        # The number of the part that a file is asked of, if that is not the first one for it.
        self._at: dict[RemotePath, int] = {}

    @property
    def identity(self) -> str:
        return ", then ".join(each.source.identity for each in self._parts if each.has_files)

    @property
    def requests(self) -> int:
        return sum(each.made.requests for each in self._parts if each.made is not None)

    @property
    def most_connections(self) -> list[int | None]:
        return [each.connections for each in self._parts]

    def number_of(self, ref: RemotePath) -> int:
        """See :class:`cxrsync.sources.base.SeveralSources`."""
        number = self._at.get(ref, 0)
        if self._is_asked(number, ref):
            return number
        following = self._next(ref, number)
        return number if following is None else following

    def identity_of(self, ref: RemotePath) -> str:
        """See :class:`cxrsync.sources.base.SeveralSources`."""
        return self._parts[self.number_of(ref)].source.identity

    def distrust(self, ref: RemotePath) -> bool:
        """See :class:`cxrsync.sources.base.SeveralSources`."""
        following = self._next(ref, self.number_of(ref))
        if following is None:
            return False
        self._at[ref] = following
        return True

    def leave_out(self, number: int, problem: SourceError, *, for_good: bool) -> bool:
        """See :class:`cxrsync.sources.base.SeveralSources`."""
        part = self._parts[number]
        others = [each for each in self._parts if each.has_files and self._is_in(each)]
        later = [each for each in others if self._parts.index(each) > number]
        if not part.has_files:
            return False
        if not later and not (for_good and any(each is not part for each in others)):
            return False
        if not later:
            part.left_until, part.gone = inf, f"{part.source.identity} is away: {problem}"
            self._emit(Notice(f"nothing more is fetched from {part.source.identity}: {problem}"))
        elif self._is_in(part):
            part.leave = min(2 * part.leave or _FIRST_LEAVE, _LONGEST_LEAVE)
            after = problem.after if isinstance(problem, Throttled) else None
            wait = max(part.leave, after or 0.0)
            part.left_until = self._clock() + wait
            self._emit(
                Notice(
                    f"nothing is fetched from {part.source.identity} for "
                    f"{humanize.duration(wait)}: {problem}; {later[0].source.identity} is asked"
                )
            )
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
        file is to be asked for again: conditions and limits are those of one source."""
        part = self._parts[self.number_of(ref)]
        if part.gone:
            raise NotServed(part.gone)
        async with AsyncExitStack() as stack:
            try:
                answer = await stack.enter_async_context(
                    part.source.open(ref, start, stop, resume_if, skip_if)
                )
            except SourceError as problem:
                if not self._goes_on(ref, part, problem):
                    raise
                raise SourceChanged(f"{part.source.identity}: {problem}") from None
            part.served += 1
            part.leave = 0.0
            yield await self._with_own_time(ref, answer)

    async def _with_own_time(self, ref: RemotePath, answer: Answer) -> Answer:
        """Return an answer with the time that a local tree among the sources knows, if the source
        itself tells only that of its copy."""
        if not isinstance(answer, Opened) or answer.is_own_time or answer.total is None:
            return answer
        for part in self._parts:
            if isinstance(part.made, LocalTree):
                found = await part.made.time_of(ref, answer.total)
                if found is not None:
                    return replace(answer, modified=found, is_own_time=True)
        return answer

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

    def _is_in(self, part: Part) -> bool:
        return part.left_until <= self._clock()

    def _is_asked(self, number: int, ref: RemotePath) -> bool:
        part = self._parts[number]
        return part.is_for(ref) and self._is_in(part)

    def _next(self, ref: RemotePath, number: int) -> int | None:
        later = range(number + 1, len(self._parts))
        return next((each for each in later if self._is_asked(each, ref)), None)

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
        if following is None or self.number_of(ref) != number:
            return following is not None  # another request has changed it meanwhile
        ours, other = part.source.identity, self._parts[following]
        if not other.has_files and not isinstance(problem, NotFound):
            return False  # it could only tell what this one must not give
        after = other.source.identity
        is_final = isinstance(problem, NoSuchBucket | NothingThere | AccessDenied | Unreachable)
        if is_final and not part.served:
            part.left_until = inf
            self._emit(Notice(f"nothing is fetched from {ours}: {problem}; {after} is asked"))
            return True
        if not isinstance(problem, NotServed | AccessDenied):
            return False
        if ref.path == MANIFEST_NAME:
            self._emit(Notice(f"{MANIFEST_NAME} is fetched from {after}: {ours} has none"))
        self._at[ref] = following
        return True
