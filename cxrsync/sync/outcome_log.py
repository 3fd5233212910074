"""Collect the outcome of each file: emit it, and record failures and mismatches in the state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from cxrsync.events import EventSink, FileDone
from cxrsync.model import ROOT, DigestMismatch, Entry, Outcome, Result, partition_of
from cxrsync.sync.partitions import Partitions

OnPublished = Callable[[Entry, Outcome], None]


class OutcomeLog:
    """The one sink for outcomes, to which scheduler, adopter and publisher report.

    ``in_root``: the number of files of the root partition that will get an outcome here. After the
    last of them the root partition is released, long before the shards, because the other runs of a
    job array wait for it. ``acknowledged``: path and observed digest of the mismatches that the
    user has acknowledged; they do not count as failures.
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
        """Register a function to call for each file that the publisher has finished."""
        self._on_published.append(call)

    def failed(self, outcome: Outcome) -> None:
        """Report a file that has failed."""
        self._failures.append(outcome)
        self._emit_outcome(outcome)

    def mismatched(self, mismatch: DigestMismatch, outcome: Outcome) -> None:
        """Report a file whose copy at the source does not have the published digest."""
        self._mismatches.append(mismatch)
        if (mismatch.path, mismatch.observed) in self._acknowledged:
            outcome = replace(outcome, result=Result.ACKNOWLEDGED)
        self._emit_outcome(outcome)

    def published(self, entry: Entry, outcome: Outcome) -> None:
        """Report a file that has its final name now, or could not get it."""
        if outcome.result is Result.FAILED:
            self._failures.append(outcome)
        self._emit_outcome(outcome)
        self.named(entry, outcome)

    def named(self, entry: Entry, outcome: Outcome) -> None:
        """Say that the publisher has finished a file, whose outcome follows."""
        for call in self._on_published:
            call(entry, outcome)

    def settle(self, outcome: Outcome) -> None:
        """Report the outcome of a file that was :meth:`named`, or was verified before."""
        self._emit_outcome(outcome)

    def _emit_outcome(self, outcome: Outcome) -> None:
        self._emit(FileDone(outcome))
        if partition_of(outcome.path) == ROOT:
            self._left_in_root -= 1
            if not self._left_in_root:
                self._root_is_done.set()

    async def release_root(self) -> None:
        """Wait until all files of the root partition have an outcome, then release it."""
        await self._root_is_done.wait()
        if ROOT in self._partitions.names and len(self._partitions.names) > 1:
            await self.record()
            await self._partitions.release(ROOT)

    def close(self) -> None:
        """End the wait for outcomes of the root partition: no more will come."""
        self._root_is_done.set()

    async def record(self) -> None:
        """Write the failures and mismatches since the last call to the states."""
        failures, self._failures = self._failures, []
        mismatches, self._mismatches = self._mismatches, []
        await self._partitions.record(mismatches=mismatches, failures=failures)
