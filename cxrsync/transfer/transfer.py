"""One file in flight: bytes from the source into its partial, by one or several connections."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import monotonic

from cxrsync.errors import CxrsyncError, Interrupted, InvalidResponse, SourceError, Throttled
from cxrsync.events import Received, Retrying
from cxrsync.model import RemotePath
from cxrsync.sources.base import End, Opened, PastEnd
from cxrsync.storage.byte_ranges import Range, is_whole
from cxrsync.storage.executors import WRITERS, run_in_thread
from cxrsync.storage.partial import Partial
from cxrsync.storage.sidecar import ObjectVersion
from cxrsync.transfer.circuit_breaker import Request
from cxrsync.transfer.context import TransferContext
from cxrsync.transfer.response_policy import Action, LocalState, decide
from cxrsync.transfer.retry_policy import RetryState, next_delay
from cxrsync.transfer.segments import MIN_SHARE, Segment, Segments

# Few and large hand-overs to what writes and hashes; but on a slow line several a second, so that a
# kill costs little.
HANDOVER_BYTES = 512 << 10
HANDOVER_SECONDS = 0.25
# Once may be the partial's own fault. After that the source calls each answer another object.
_RESTARTS_BEFORE_ONE_STREAM = 2


class Transfer:
    """Brings the bytes of ``ref`` into ``partial``. Knows nothing of digests or final names.

    Connections call :meth:`fetch` with segments that they took from ``segments``. When nobody is
    at work on it any more it is ``complete``, ``unchanged``, or has ``failed`` (and why).

    ``skip_if``: a validator; the source may answer that the file is still that one.
    ``set_aside``: what to do with bytes of unknown origin that prove wrong, instead of throwing
    them away: they may be somebody's file that stood under the final name.
    ``only``: ranges; no other bytes are wanted. With ``skip_if`` they are asked for even if they
    are there: it is the question that counts. ``most``: a file of more bytes is refused.
    ``by_digest`` False: no digest will tell whether the bytes are right (a manifest's). Then only a
    strong validator may join what arrives in several answers; without one each attempt begins at
    zero, in one stream.
    """

    def __init__(
        self,
        line: TransferContext,
        ref: RemotePath,
        partial: Partial,
        *,
        skip_if: str | None = None,
        set_aside: Callable[[Partial], None] | None = None,
        only: Sequence[Range] | None = None,
        most: int | None = None,
        by_digest: bool = True,
    ) -> None:
        self.ref = ref
        self.partial = partial
        self.failed: CxrsyncError | None = None
        self.unchanged = False
        self.resumed = 0
        self.segments = Segments([], None)
        self.end: End | None = None
        """How the file's end was told; None where its total was."""
        self._line = line
        self._skip_if = skip_if
        self._set_aside = set_aside
        self._only = only
        self._most = most
        self._by_digest = by_digest
        self._takes_parts = True
        self._one_stream = False
        self._found = False
        self._history = RetryState()
        self._met = -1  # how many had been answered before the last refusal that was counted
        self._arrived = 0
        self._restarts = 0
        # The partial's, except while its bytes are thrown away: that happens in a thread, and here
        # everything must be void from one moment to the next.
        self._epoch = partial.generation

    async def begin(self, *, maybe_there: bool, just_asked: bool = False) -> None:
        """Take stock of the partial, where an earlier run may have left one. ``just_asked``: the
        source has said just now that it is its own."""
        if maybe_there:
            await run_in_thread(self.partial.load)
        self.resumed = self.partial.size
        present = self.partial.ranges
        if self.partial.binding is None and self.resumed:
            # Bytes of unknown origin (another tool's, or a small file of ours that a kill met on
            # its way to publication). Asking for the last of them again brings total, validator
            # and time in the same answer as the rest, be there a rest or not.
            present = [(0, self.resumed - 1)]
            self._found = self._set_aside is not None
        else:
            self._found = self.partial.binding is not None and self.partial.binding.found
        if not self._found:
            self._set_aside = None  # ours, or nothing: nobody will miss it
        # A total holds within its source only.
        total = self._binding().total
        in_doubt = not (self._by_digest or just_asked)
        if in_doubt and total is not None and self.partial.complete and total:
            # A run ended before it could be published, perhaps long ago: the last byte is asked
            # for again, and with it whether the source has still the same file.
            present = [(0, total - 1)]
        if self._only is not None and self._skip_if is not None:
            present = []
        self.segments = Segments(present, total, self._only)

    @property
    def splittable(self) -> bool:
        """Whether several connections may fetch parts of it."""
        if not self._takes_parts or self._one_stream:
            return False
        return self._by_digest or self._binding().validator is not None

    @property
    def complete(self) -> bool:
        """Whether all bytes are there: of a whole file exactly ``[0, total)``, else the wanted
        ranges. Whether they are right is for the digest to say."""
        if not self.segments.complete or self.segments.total is None:
            return False
        return self._only is not None or is_whole(self.partial.ranges, self.segments.total)

    @property
    def over(self) -> bool:
        """Whether there is nothing left to do for a connection, and none is at work."""
        return not self.segments.busy and (
            self.segments.complete or self.unchanged or self.failed is not None
        )

    async def restart(self, epoch: int) -> bool:
        """Give up the bytes of ``epoch`` and begin again from zero.

        False if another connection has done so already: its new bytes are not ours to give up.
        """
        if self._epoch != epoch:
            return False
        self._epoch += 1
        self._found = False
        self.segments = Segments([], None)
        self.end = None
        held = self.segments.take_idle(1)  # nobody begins anew before the old bytes are gone
        assert held is not None
        try:
            if self._set_aside is not None and self.partial.size:
                set_aside, self._set_aside = self._set_aside, None
                await run_in_thread(lambda: set_aside(self.partial))
            else:
                await run_in_thread(self.partial.discard)
        finally:
            held.busy = False
            self._epoch = self.partial.generation
        self._line.emit(Received(-self._arrived))
        self._arrived = self.resumed = 0
        return True

    async def fetch(self, segment: Segment) -> None:
        """Fetch a segment to its end, through whatever the line does meanwhile.

        Returns when it is done, when the file has failed, or when the segment is void because the
        file had to be started over. Raises what ends the run.
        """
        epoch = self._epoch
        try:
            while not (segment.done or self.failed or self.unchanged or epoch != self._epoch):
                server_health = self._line.server_health
                request, at = server_health.asked(), segment.offset
                try:
                    async with self._line.limiter.acquire(server_health.wait_closed) as answered:
                        request = server_health.asked()
                        await self._ask(segment, epoch, request, answered)
                except SourceError as problem:
                    await self._consider(problem, request, progress=segment.offset > at)
        finally:
            segment.busy = False

    # ── one request ────────────────────────────────────────────────────────────────────────────

    async def _ask(
        self, segment: Segment, epoch: int, request: Request, answered: Callable[[], None]
    ) -> None:
        binding = self._binding()
        if segment.offset and not self._by_digest and binding.validator is None:
            # Nothing would tell whether what comes next belongs to what is here.
            await self._start_anew(epoch, "no strong ETag")
            return
        # A request for the whole file carries no range: that is what a first request is.
        stop = segment.stop if segment.stop != self.segments.total else None
        # "Is it still this one?" says all that "go on if it is this one" would, and of another file
        # it brings the part that was asked for, not the whole.
        resume_if = binding.validator if self._skip_if is None else None
        async with self._line.source.open(
            self.ref, segment.offset, stop, resume_if=resume_if, skip_if=self._skip_if
        ) as answer:
            self._line.server_health.record_success(request)
            answered()
            if epoch != self._epoch:
                return  # another connection had to start over while we waited
            act, why = decide(self._held(segment, binding), answer)
            if isinstance(answer, Opened) and self._is_too_large(answer.total or 0):
                return
            if isinstance(answer, Opened) and act is Action.APPEND:
                self._learn(answer, answer.total)
                await self._receive(segment, answer, epoch)
            elif isinstance(answer, Opened) and act is Action.BEGIN:
                await self._receive_whole(answer, binding, epoch)
            elif isinstance(answer, PastEnd) and act is Action.COMPLETE:
                self.partial.bind(replace(binding, total=segment.offset))
                self.segments.learn_total(segment.offset)
            elif act is Action.UNCHANGED:
                self.unchanged = True
            elif act is Action.RESTART:
                await self._start_anew(epoch, why)
            else:
                raise InvalidResponse(why)

    def _held(self, segment: Segment, binding: ObjectVersion) -> LocalState:
        total, validator = self.segments.total, binding.validator
        return LocalState(segment.offset, self.partial.size, total, validator)

    def _binding(self) -> ObjectVersion:
        """What the bytes so far belong to, as far as this source is concerned: a partial from
        another source keeps its bytes, but its validator means nothing here."""
        bound = self.partial.binding
        here = self._line.source.identity
        if bound is None or bound.source != here:
            return ObjectVersion(here, modified=bound.modified if bound is not None else None)
        return replace(bound, validator=None) if self._one_stream else bound

    async def _receive_whole(self, opened: Opened, binding: ObjectVersion, epoch: int) -> None:
        """The whole file though a part was asked for: it is another by now, or the server does not
        do ranges. What was there is void, and these bytes are as good as any that we could ask
        for."""
        if not await self._start_anew(epoch, "only ever from its beginning"):
            return
        # Asked for the same object and got all of it: there is no use in asking for parts.
        self._takes_parts = binding.validator is not None and binding.validator != opened.validator
        segment = self.segments.take_idle(1)
        if segment is None:
            return  # another connection was quicker
        try:
            self._learn(opened, opened.total)
            await self._receive(segment, opened, self._epoch)
        finally:
            segment.busy = False

    async def _start_anew(self, epoch: int, why: str) -> bool:
        """The source's answer does not go with what is here: from zero, but not for ever, since
        bytes that arrive and are given up again refill the budget each time."""
        if not await self.restart(epoch):
            return False
        if self._only is not None:  # whoever wanted these ranges wants others by now
            self.failed = InvalidResponse(f"the file changed at the server: it has {why}")
            return False
        self._restarts += 1
        if self._restarts >= _RESTARTS_BEFORE_ONE_STREAM:
            # A tag that is new in each answer (an inode's, behind a balancer) would give up what
            # came for ever. In one stream, without If-Range, the digest decides.
            self._one_stream = self._by_digest
            self._takes_parts = False
        if self._restarts > self._line.limits.retries + 1:  # once may be the partial's own fault
            self.failed = InvalidResponse(
                f"started over {self._restarts} times; the source has {why}"
            )
        return self.failed is None

    def _learn(self, opened: Opened, total: int | None) -> None:
        known = self._binding()  # an answer that leaves something out does not unsay it
        self.partial.bind(
            ObjectVersion(
                known.source,
                self.segments.total if total is None else total,
                opened.validator or known.validator,
                known.modified if opened.modified is None else opened.modified,
                self._found,
            )
        )
        if total is not None and total != self.segments.total:
            self.segments.learn_total(total)
            if total >= 2 * MIN_SHARE:
                self._line.can_share()

    async def _receive(self, segment: Segment, opened: Opened, epoch: int) -> None:
        """Move bytes from the answer into the partial, in large hand-overs."""
        began = written = segment.offset
        held: list[bytes] = []
        size = 0
        handed = monotonic()
        try:
            async for data in opened.chunks:
                self._line.server_health.flowing()
                chunk = data if segment.stop is None else data[: segment.remaining]
                held.append(chunk)
                size += len(chunk)
                segment.offset += len(chunk)
                await self._line.rate_limiter.consume(len(chunk))
                if segment.done or epoch != self._epoch or self._is_too_large(segment.offset):
                    break
                if size >= HANDOVER_BYTES or monotonic() - handed >= HANDOVER_SECONDS:
                    offset, chunks = written, held
                    held, written, size = [], segment.offset, 0
                    await self._hand_over(offset, chunks, epoch)
                    handed = monotonic()
        finally:
            # Whatever ended it, what has arrived counts.
            if held:
                await self._hand_over(written, held, epoch)
        if epoch != self._epoch or self.failed is not None:
            return
        if segment.stop is None and opened.end is not End.OF_RANGE:
            # Without a length the end of the answer is the end of the file: so it says.
            self.end = opened.end or End.CLOSED
            self._learn(opened, segment.offset)
        elif segment.offset == began and not segment.done:
            raise InvalidResponse("an answer without a single byte")

    def _is_too_large(self, size: int) -> bool:
        if self._most is not None and size > self._most:
            self.failed = InvalidResponse(f"more than {self._most:,} bytes: that is not the file")
        return self.failed is not None

    async def _hand_over(self, offset: int, chunks: list[bytes], epoch: int) -> None:
        written = False
        size = sum(map(len, chunks))

        def write() -> None:
            nonlocal written
            written = self.partial.write(offset, chunks, epoch)

        try:
            await WRITERS.run(write, size)
        finally:
            # Also where a signal came meanwhile: what is on the disk is counted.
            if written and epoch == self._epoch:  # not given up again before it is counted
                self._arrived += size
                self._line.emit(Received(size))

    # ── when it did not go well ────────────────────────────────────────────────────────────────

    async def _consider(self, problem: SourceError, request: Request, *, progress: bool) -> None:
        """Wait, or let the file fail, or (raise) end the run."""
        if self.failed is not None:
            return  # nothing is left to try
        held = LocalState(progress=progress, failures=self._history.failures)
        act, _why = decide(held, problem)
        if act is Action.FILE_FAILED:
            self.failed = problem
        elif act is Action.ASK_ACCESS and self._line.probe is not None:
            if await self._line.server_health.probe_access(problem, self._line.probe):
                self.failed = problem
        elif act is Action.WAIT:
            await self._wait_for_server(problem, request, progress=progress)
        elif act is Action.RETRY:
            if isinstance(problem, Interrupted):
                self._line.server_health.broke()
            await self._spend(problem, progress=progress)
        else:
            raise problem

    async def _wait_for_server(
        self, problem: SourceError, request: Request, *, progress: bool
    ) -> None:
        """Wait until anybody has been answered since; then it is this file's turn again."""
        began = monotonic()
        self._line.server_health.record_failure(problem, request)
        was_away = await self._line.server_health.probe_until_up(
            request, self._line.probe or self._probe
        )
        if was_away and self._line.probe is None:
            return  # no other file could go on meanwhile
        # A file that brings the server down is given up in the end. But its connections meet one
        # outage together, and it counts once.
        counts, self._met = request.answers != self._met, request.answers
        await self._spend(problem, progress=progress, waited=monotonic() - began, counts=counts)

    async def _probe(self) -> None:
        """Where nothing else tells whether the server is there: a byte of this file."""
        async with self._line.source.open(self.ref, 0, 1):
            pass

    async def _spend(
        self, problem: SourceError, *, progress: bool, waited: float = 0.0, counts: bool = True
    ) -> None:
        """A failure off the file's budget, if it ``counts``, and a pause before the next attempt.
        ``waited``: seconds since the server said what it wishes."""
        if counts:
            self._history = self._history.failed(progress=progress)
        wish = (problem.after or 0.0) - waited if isinstance(problem, Throttled) else 0.0
        limits = self._line.limits
        jitter = random.random()  # noqa: S311 - spreads clients in time, guards nothing
        wait = next_delay(self._history, limits.retries, jitter, wish, limits.give_up_after)
        if wait is None:
            self.failed = problem
            return
        self._line.emit(Retrying(self.ref.path, wait, str(problem)))
        await asyncio.sleep(wait)
