"""The transfer of one file into its partial, over one or several connections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial as bound
from time import monotonic

from cxrsync.errors import CxrsyncError, InvalidResponse
from cxrsync.model import Chunk, RemotePath
from cxrsync.sources.base import BodyEnd, Opened, PastEnd
from cxrsync.storage.byte_ranges import is_whole
from cxrsync.storage.partial import Partial
from cxrsync.storage.sidecar import ObjectVersion
from cxrsync.threads import run_in_thread
from cxrsync.transfer.circuit_breaker import CircuitBreaker
from cxrsync.transfer.object_version import version_after, version_at
from cxrsync.transfer.present_bytes import present_bytes
from cxrsync.transfer.response_policy import Action, LocalState, decide
from cxrsync.transfer.retry import Attempt, FailureRecovery
from cxrsync.transfer.segments import MIN_SHARE, Segment, Segments
from cxrsync.transfer.transfer_context import TransferContext
from cxrsync.transfer.transfer_options import TransferOptions

# Bytes go to the thread that writes and hashes them in few large pieces; but several times a second
# on a slow connection, so that a kill loses little.
HANDOVER_BYTES = 512 << 10
HANDOVER_SECONDS = 0.25
# The first restart may be the partial's own fault. After that the source gives a new validator with
# each answer.
_RESTARTS_BEFORE_SINGLE_STREAM = 2
_DEFAULTS = TransferOptions()


class Transfer:
    """Fetch the bytes of ``ref`` into ``partial``. Knows no digest and no final name.

    Connections call :meth:`fetch` with segments that they took from ``segments``. Once the
    transfer is ``finished`` it is ``complete``, ``unchanged``, or has a ``failure``.
    """

    def __init__(
        self,
        context: TransferContext,
        ref: RemotePath,
        partial: Partial,
        options: TransferOptions = _DEFAULTS,
    ) -> None:
        self.ref = ref
        self.partial = partial
        self.failure: CxrsyncError | None = None
        self.unchanged = False
        self.resumed = 0
        self.segments = Segments([], None)
        self.end: BodyEnd | None = None
        """What proved the end of the file; None where its total was known."""
        self._context = context
        self._options = options
        self._recovery = FailureRecovery(context, ref)
        self._supports_ranges = True
        self._single_stream = False
        # Whether the partial's first bytes had the final name and may be another tool's file.
        self._had_final_name = False
        self._received = 0
        self._restarts = 0
        # The partial's generation, except while a thread discards the partial's bytes: here every
        # segment must be void at once.
        self._generation = partial.generation

    async def begin(self, *, load: bool, confirmed: bool = False) -> None:
        """Decide from the partial which bytes to request.

        ``load``: read the partial that an earlier run may have left. ``confirmed``: the source has
        just said that the partial's validator is still its own.
        """
        if load:
            await run_in_thread(self.partial.load)
        self.resumed = self.partial.size
        options, total = self._options, self._binding().total  # valid only within its source
        present = present_bytes(self.partial, options, total, confirmed=confirmed)
        binding = self.partial.object_version
        is_foreign = binding is None and self.resumed and options.set_aside is not None
        self._had_final_name = bool(is_foreign) if binding is None else binding.found
        self.segments = Segments(present, total, options.only)
        self._tell_size()

    def _tell_size(self) -> None:
        if self._options.only is None:  # else a few ranges are wanted, and not the file
            self._context.tell_size(self.ref, self.segments.total, self.segments.lacking)

    @property
    def has_room(self) -> bool:
        """Whether the source that the file is asked of now may get another connection."""
        return self._context.limits_of.of(self.ref).has_room

    @property
    def splittable(self) -> bool:
        """Whether several connections may fetch parts of the file."""
        may_split = self._supports_ranges and not self._single_stream
        return may_split and (self._options.by_digest or self._binding().validator is not None)

    @property
    def complete(self) -> bool:
        """Whether all wanted bytes are there: exactly ``[0, total)``, or the ranges of ``only``.

        Whether they are right is for the digest to say.
        """
        if not self.segments.complete or self.segments.total is None:
            return False
        return self._options.only is not None or is_whole(self.partial.ranges, self.segments.total)

    @property
    def finished(self) -> bool:
        """Whether no connection is at work, and none has anything left to do."""
        return not self.segments.busy and (
            self.segments.complete or self.unchanged or self.failure is not None
        )

    async def restart(self, generation: int) -> bool:
        """Discard the bytes of ``generation`` and begin again at byte 0.

        Returns False if another connection has done so already: the new bytes are kept.
        """
        if self._generation != generation:
            return False
        self._generation += 1
        had_final_name, self._had_final_name = self._had_final_name, False
        self.segments = Segments([], None)
        self.end = None
        held = self.segments.take_idle(1)  # no connection begins before the old bytes are gone
        assert held is not None
        try:
            set_aside = self._options.set_aside
            if had_final_name and set_aside is not None and self.partial.size:
                await run_in_thread(lambda: set_aside(self.partial))
            else:
                await run_in_thread(self.partial.discard)
        finally:
            held.busy = False
            self._generation = self.partial.generation
        self._context.tell_received(self.ref, -self._received)
        self._received = self.resumed = 0
        return True

    async def fetch(self, segment: Segment) -> None:
        """Fetch a segment to its end, with retries.

        Returns when the segment is done, when the file has failed, when a restart made the segment
        void, or when the file is to be asked of another source, which has limits of its own.
        Raises any CxrsyncError that ends the run.
        """
        generation = self._generation
        of_sources = self._context.limits_of
        limits = of_sources.of(self.ref)

        def is_over() -> bool:
            over = segment.done or self.unchanged or generation != self._generation
            return over or self.failure is not None or of_sources.of(self.ref) is not limits

        attempt = Attempt(limits, is_over, lambda: segment.offset)
        send = bound(self._request, segment, generation, limits.circuit_breaker)
        try:
            with limits.working():
                while not is_over():
                    failure = await self._recovery.make(attempt, send)
                    self.failure = self.failure or failure
        finally:
            segment.busy = False
            if self.finished:
                self._context.disk.reserve(self, 0)

    # ── one request ────────────────────────────────────────────────────────────────────────────

    async def _request(
        self,
        segment: Segment,
        generation: int,
        breaker: CircuitBreaker,
        answered: Callable[[], None],
    ) -> None:
        binding = self._binding()
        if segment.offset and not self._options.by_digest and binding.validator is None:
            # Nothing would show that the next bytes belong to the same object.
            await self._restart_because(generation, "the source sends no strong ETag")
            return
        # A request for the whole file carries no range, as any client's first request.
        stop = segment.stop if segment.stop != self.segments.total else None
        # skip_if compares the validator as resume_if would; and if the file has changed, the answer
        # is the requested part, not the whole file.
        resume_if = binding.validator if self._options.skip_if is None else None
        async with self._context.source.open(
            self.ref, segment.offset, stop, resume_if=resume_if, skip_if=self._options.skip_if
        ) as answer:
            answered()
            if generation != self._generation:
                return  # another connection restarted the file while this one waited
            action, reason = decide(self._local_state(segment, binding), answer)
            if isinstance(answer, Opened) and self._is_too_large(answer.total or 0):
                return
            if isinstance(answer, Opened) and action is Action.APPEND:
                self._learn(answer, answer.total)
                await self._receive(segment, answer, generation, breaker)
            elif isinstance(answer, Opened) and action is Action.BEGIN:
                await self._receive_whole(answer, binding, generation, breaker)
            elif isinstance(answer, PastEnd) and action is Action.COMPLETE:
                self.partial.bind(replace(binding, total=segment.offset))
                self.segments.learn_total(segment.offset)
            elif action is Action.UNCHANGED:
                self.unchanged = True
            elif action is Action.RESTART:
                await self._restart_because(generation, reason)
            else:
                raise InvalidResponse(reason)

    def _local_state(self, segment: Segment, binding: ObjectVersion) -> LocalState:
        total, validator = self.segments.total, binding.validator
        return LocalState(segment.offset, self.partial.size, total, validator)

    def _binding(self) -> ObjectVersion:
        source, known = self._context.identity_of(self.ref), self._options.modified
        version = version_at(source, self.partial.object_version, known)
        return replace(version, validator=None) if self._single_stream else version

    async def _receive_whole(
        self, opened: Opened, binding: ObjectVersion, generation: int, breaker: CircuitBreaker
    ) -> None:
        """Receive the whole file although a part was requested.

        Either the file has changed, or the server does not support ranges. The bytes in the partial
        are void; the ones that arrive are as good as those of another request.
        """
        if not await self._restart_because(
            generation, "the source sends the file only from its beginning"
        ):
            return
        # The same object, and yet the whole of it: this server does not support ranges.
        self._supports_ranges = (
            binding.validator is not None and binding.validator != opened.validator
        )
        segment = self.segments.take_idle(1)
        if segment is None:
            return  # another connection has taken it
        try:
            self._learn(opened, opened.total)
            await self._receive(segment, opened, self._generation, breaker)
        finally:
            segment.busy = False

    async def _restart_because(self, generation: int, reason: str) -> bool:
        """Restart at byte 0, because the answer does not fit the bytes that are there.

        Returns whether this connection did so, and the file has not failed. The number of restarts
        is limited, since bytes that arrive and are discarded refill the retry budget each time.
        """
        if not await self.restart(generation):
            return False
        if self._options.only is not None:  # of a changed file the caller wants other ranges
            self.failure = InvalidResponse(f"the file changed at the server: {reason}")
            return False
        self._restarts += 1
        if self._restarts >= _RESTARTS_BEFORE_SINGLE_STREAM:
            # An ETag that is new in each answer (an inode's, behind a load balancer) would discard
            # the bytes for ever. In one stream, without If-Range, the digest decides.
            self._single_stream = self._options.by_digest
            self._supports_ranges = False
        # One more than the retries, because the first may be the partial's own fault.
        if self._restarts > self._context.limits.retries + 1:
            self.failure = InvalidResponse(f"gave up after {self._restarts} restarts: {reason}")
        return self.failure is None

    def _learn(self, opened: Opened, total: int | None) -> None:
        known = self.segments.total if total is None else total
        self.partial.bind(version_after(self._binding(), opened, known, found=self._had_final_name))
        if total is not None and total != self.segments.total:
            self.segments.learn_total(total)
            self._tell_size()
            if total >= 2 * MIN_SHARE:
                self._context.can_share()

    async def _receive(
        self, segment: Segment, opened: Opened, generation: int, breaker: CircuitBreaker
    ) -> None:
        """Write the bytes of the answer into the partial, in large pieces."""
        first = written = segment.offset
        held: list[Chunk] = []
        size = 0
        written_at = monotonic()
        await self._context.disk.admit(self, self.segments.lacking)
        try:
            async for data in opened.chunks:
                breaker.record_bytes()
                chunk = data if segment.stop is None else data[: segment.remaining]
                held.append(chunk)
                size += len(chunk)
                segment.offset += len(chunk)
                self._context.budget.record_received(len(chunk))
                await self._context.rate_limiter.consume(len(chunk))
                is_void = generation != self._generation
                if segment.done or is_void or self._must_stop(segment.offset):
                    break
                if self._context.rate_limiter.paused:
                    return  # the rest is requested after the pause
                if size >= HANDOVER_BYTES or monotonic() - written_at >= HANDOVER_SECONDS:
                    await self._context.disk.admit(self, self.segments.lacking)
                    offset, chunks = written, held
                    held, written, size = [], segment.offset, 0
                    await self._write(offset, chunks, generation)
                    written_at = monotonic()
        finally:
            # The bytes that have arrived are kept, whatever ended the answer.
            if held:
                await self._write(written, held, generation)
        if generation != self._generation or self.failure is not None:
            return
        if segment.stop is None and opened.end is not BodyEnd.OF_RANGE:
            # The answer had no length: its end is the end of the file.
            self.end = opened.end or BodyEnd.CLOSED
            self._learn(opened, segment.offset)
        elif segment.offset == first and not segment.done:
            raise InvalidResponse("an answer without a single byte")

    def _must_stop(self, offset: int) -> bool:
        stopped = self._context.budget.stop(self.ref.path, self.segments.lacking)
        self.failure = self.failure or stopped
        return self._is_too_large(offset)

    def _is_too_large(self, size: int) -> bool:
        most = self._options.max_bytes
        if most is not None and size > most:
            self.failure = InvalidResponse(f"more than {most:,} bytes: this cannot be the file")
        return self.failure is not None

    async def _write(self, offset: int, chunks: list[Chunk], generation: int) -> None:
        is_written = False
        size = sum(map(len, chunks))

        def write() -> None:
            nonlocal is_written
            is_written = self.partial.write(offset, chunks, generation)

        try:
            await self._context.writers.run(write, size)
        finally:
            # Also after a cancellation: the bytes on the disk are counted. Bytes that a restart has
            # discarded meanwhile are not.
            if is_written and generation == self._generation:
                self._received += size
                self._context.disk.record_write(self, size)
                self._context.tell_received(self.ref, size)
