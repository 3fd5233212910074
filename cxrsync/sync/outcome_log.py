"""What became of the files of one leg: told as it happens, recorded when it counts."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from cxrsync.events import EventSink, FileDone
from cxrsync.model import ROOT, DigestMismatch, Entry, Outcome, Result, partition_of
from cxrsync.sync.partitions import Partitions


class Outcomes:
    """Listens to the queue, the hashing and the publication of a leg.

    ``acknowledged``: paths and observed digests of contradictions that are no fault. ``in_root``:
    how many files of the root partition the leg has to bring or prove. Once they are done the root
    is let go, long before the shards: the other runs of a job array wait for it.
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
        self._contradictions: list[DigestMismatch] = []
        if not in_root:
            self._root_is_done.set()

    def fail(self, outcome: Outcome) -> None:
        """A file was given up."""
        self._failures.append(outcome)
        self._count(outcome)

    def contradict(self, contradiction: DigestMismatch, outcome: Outcome) -> None:
        """A file at the source does not have the published digest."""
        self._contradictions.append(contradiction)
        if (contradiction.path, contradiction.observed) in self._acknowledged:
            outcome = replace(outcome, result=Result.ACKNOWLEDGED)
        self._count(outcome)

    def published(self, _entry: Entry, outcome: Outcome) -> None:
        """The publication has done with a file."""
        if outcome.result is Result.FAILED:
            self._failures.append(outcome)
        self._count(outcome)

    def _count(self, outcome: Outcome) -> None:
        self._emit(FileDone(outcome))
        if partition_of(outcome.path) == ROOT:
            self._left_in_root -= 1
            if not self._left_in_root:
                self._root_is_done.set()

    async def release_root(self) -> None:
        """Let the root go as soon as nothing is left to do there."""
        await self._root_is_done.wait()
        if ROOT in self._partitions.names and len(self._partitions.names) > 1:
            await self.record()
            await self._partitions.release(ROOT)

    def end(self) -> None:
        """The leg is over, whatever is left."""
        self._root_is_done.set()

    async def record(self) -> None:
        """Write down what did not go well so far."""
        failures, self._failures = self._failures, []
        contradictions, self._contradictions = self._contradictions, []
        await self._partitions.record(contradictions=contradictions, failures=failures)
