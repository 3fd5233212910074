"""The outcome of each file: emitted when it is known, recorded in the state when it must last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from cxrsync.events import EventSink, FileDone
from cxrsync.model import ROOT, DigestMismatch, Entry, Outcome, Result, partition_of
from cxrsync.sync.partitions import Partitions

OnPublished = Callable[[Entry, Outcome], None]


class OutcomeLog:
    """The one sink for outcomes: scheduler, adopter and publisher report to it.

    ``in_root``: the number of files of the root partition that are to get an outcome here. After
    the last of them the root partition is released, long before the shards: the other runs of a
    job array wait for it. ``acknowledged``: path and observed digest of mismatches that count as
    no fault.
    """

    def __init__(
        self,
        emit: EventSink,
        partitions: Partitions,
        in_root: int,
        acknowledged: frozenset[tuple[str, str]],
    ) -> None:
        self._emit = emit
        self._acknowledged = acknowledged
        self._partitions = partitions
        self._left_in_root = in_root
        self._root_is_done = asyncio.Event()
        self._failures: list[Outcome] = []
        self._mismatches: list[DigestMismatch] = []
        self._on_published: list[OnPublished] = []
        if not in_root:
            self._root_is_done.set()

    def on_published(self, call: OnPublished) -> None:
        """Call ``call`` for each file that the publisher is done with, from now on."""
        self._on_published.append(call)

    def failed(self, outcome: Outcome) -> None:
        """A file has failed."""
        self._failures.append(outcome)
        self._count(outcome)

    def mismatched(self, mismatch: DigestMismatch, outcome: Outcome) -> None:
        """The source's copy of a file does not have the published digest."""
        self._mismatches.append(mismatch)
        if (mismatch.path, mismatch.observed) in self._acknowledged:
            outcome = replace(outcome, result=Result.ACKNOWLEDGED)
        self._count(outcome)

    def published(self, entry: Entry, outcome: Outcome) -> None:
        """The publisher is done with a file: it has its final name, or could not get it."""
        if outcome.result is Result.FAILED:
            self._failures.append(outcome)
        self._count(outcome)
        for call in self._on_published:
            call(entry, outcome)

    def _count(self, outcome: Outcome) -> None:
        self._emit(FileDone(outcome))
        if partition_of(outcome.path) == ROOT:
            self._left_in_root -= 1
            if not self._left_in_root:
                self._root_is_done.set()

    async def release_root(self) -> None:
        """Release the root partition as soon as all its files have their outcome."""
        await self._root_is_done.wait()
        if ROOT in self._partitions.names and len(self._partitions.names) > 1:
            await self.record()
            await self._partitions.release(ROOT)

    def close(self) -> None:
        """No more outcomes will come, whatever is left."""
        self._root_is_done.set()

    async def record(self) -> None:
        """Write failures and mismatches so far to the states."""
        failures, self._failures = self._failures, []
        mismatches, self._mismatches = self._mismatches, []
        await self._partitions.record(contradictions=mismatches, failures=failures)
