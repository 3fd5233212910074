"""What goes to a task's process and what comes back, in a form that both sides import.

Standard input has the :class:`Order`, pickled. Standard output gets length-prefixed pickles: lists
of events, and as the last one a :class:`TaskEnd`.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Literal

from cxrsync.config.job import Job
from cxrsync.distributed.index_parts import IndexOrder, IndexPart
from cxrsync.events import Event, Finished, Received, RunSummary
from cxrsync.operations.verify import Verification

_LENGTH = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class Order:
    """What a task does. ``everything``: verify the whole manifest. ``index``: what an index has."""

    command: Literal["pull", "verify", "index"]
    job: Job
    everything: bool = False
    index: IndexOrder | None = None


@dataclass(frozen=True, slots=True)
class TaskEnd:
    """How a task ended. ``result``: None if it ended before it had one. ``error``: what ended it
    early, in words, with ``next_step``."""

    exit_code: int
    result: RunSummary | Verification | IndexPart | None = None
    error: str = ""
    next_step: str = ""


class EventStream:
    """Writes events in batches; the bytes that arrive for a file are added up in each.

    A reader that is gone ends the process: nobody wants its result any more.
    """

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._batch: list[Event] = []
        self._received: dict[tuple[str, bool], int] = {}

    def tell(self, event: Event) -> None:
        """Add an event to the next batch."""
        if isinstance(event, Received):
            key = event.path, event.is_manifest
            self._received[key] = self._received.get(key, 0) + event.count
        elif not isinstance(event, Finished):
            self._add_received()
            self._batch.append(event)

    def flush(self) -> None:
        """Write the batch, if it is not empty."""
        self._add_received()
        if self._batch:
            batch, self._batch = self._batch, []
            self._write(batch)

    def end(self, end: TaskEnd) -> None:
        """Write the rest, and the end."""
        self.flush()
        self._write(end)

    def _add_received(self) -> None:
        received, self._received = self._received, {}
        self._batch += [
            Received(count, path, is_manifest)
            for (path, is_manifest), count in received.items()
            if count
        ]

    def _write(self, what: list[Event] | TaskEnd) -> None:
        data = pickle.dumps(what)
        self._out.write(_LENGTH.pack(len(data)) + data)
        self._out.flush()


def read_stream(stream: IO[bytes]) -> Iterator[list[Event] | TaskEnd]:
    """Yield what a task's process writes, until its end."""
    while head := stream.read(_LENGTH.size):
        if len(head) < _LENGTH.size:
            return
        [length] = _LENGTH.unpack(head)
        data = stream.read(length)
        if len(data) < length:
            return
        yield pickle.loads(data)  # noqa: S301 - from our own child
