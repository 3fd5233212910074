"""The process of one task on a worker: runs its order, and writes the events as they come.

A process of its own, because a worker of Dask may not block, and because a signal to it saves the
state. :mod:`cxrsync.distributed.task_stream` says what it reads and writes.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from cxrsync.cancellation import CancelToken
from cxrsync.dataset.source_factory import open_source, opened
from cxrsync.dataset.version import find_target
from cxrsync.distributed.index_parts import IndexOrder, IndexPart, make_part
from cxrsync.distributed.task_stream import EventStream, Order, TaskEnd
from cxrsync.errors import CxrsyncError, ExitCode, Stopped
from cxrsync.events import Event, Finished, RunSummary
from cxrsync.operations.expected_files import expectation
from cxrsync.operations.pull import pull
from cxrsync.operations.verify import Verification, verify
from cxrsync.sanitize import reason_of
from cxrsync.threads import in_loop_thread, run_in_cancellable_thread

_SECONDS = 0.5
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_SIGNALS = {signal.SIGTERM: ExitCode.TERMINATED, signal.SIGINT: ExitCode.INTERRUPTED}


@dataclass(slots=True)
class _Work:
    """An order at work."""

    order: Order
    stream: EventStream
    cancel: CancelToken = field(default_factory=CancelToken)

    async def run(self) -> RunSummary | Verification | IndexPart:
        with _signals(self.cancel.request):
            flushing = asyncio.create_task(self._flush())
            try:
                if self.order.command == "pull":
                    return await self._pull()
                with self.cancel.watching(None):
                    return await (
                        self._verify()
                        if self.order.index is None
                        else self._index(self.order.index)
                    )
            except asyncio.CancelledError:
                if self.cancel.code is None:
                    raise
                stopped = Stopped("stopped as asked")
                stopped.exit_code = self.cancel.code
                raise stopped from None
            finally:
                flushing.cancel()

    async def _pull(self) -> RunSummary:
        found: list[RunSummary] = []

        def tell(event: Event) -> None:
            self.stream.tell(event)
            if isinstance(event, Finished):
                found.append(event.summary)

        try:
            async with opened(open_source(self.order.job, tell)) as source:
                return await pull(self.order.job, source, tell, self.cancel)
        except CxrsyncError as problem:
            if not found:
                raise
            raise _EndedEarly(found[-1], problem) from None

    async def _verify(self) -> Verification:
        job = self.order.job
        target = find_target(job, self.stream.tell)
        with expectation(target, job, everything=self.order.everything) as expected:
            return await verify(expected, self.stream.tell, job.acknowledged)

    async def _index(self, order: IndexOrder) -> IndexPart:
        return await run_in_cancellable_thread(
            partial(make_part, self.order.job, order, in_loop_thread(self.stream.tell))
        )

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(_SECONDS)
            self.stream.flush()


class _EndedEarly(Exception):
    """A pull ended with an error, and has a summary all the same."""

    def __init__(self, summary: RunSummary, problem: CxrsyncError) -> None:
        super().__init__(str(problem))
        self.summary = summary
        self.problem = problem


@contextmanager
def _signals(request: Callable[[ExitCode], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number, code in _SIGNALS.items():
        loop.add_signal_handler(number, request, code)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)  # only the result is left to be written


def carry_out(order: Order, stream: EventStream) -> TaskEnd:
    """Run an order, and return how it ended."""
    try:
        result = asyncio.run(_Work(order, stream).run())
    except _EndedEarly as ended:
        problem = ended.problem
        return TaskEnd(problem.exit_code, ended.summary, reason_of(problem), problem.next_step)
    except Stopped as problem:  # the client has asked for it
        return TaskEnd(problem.exit_code)
    except CxrsyncError as problem:
        return TaskEnd(problem.exit_code, None, reason_of(problem), problem.next_step)
    except Exception as problem:  # noqa: BLE001 - the client reports it in our words
        return TaskEnd(ExitCode.UNEXPECTED, None, f"unexpected {reason_of(problem)}")
    return TaskEnd(result.exit_code, result)


def end_with_parent(parent: int) -> None:
    """Let this process get SIGTERM when the worker that started it ends, however it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended before
        os._exit(ExitCode.TERMINATED)


def main() -> None:
    """Run the order on standard input. The argument is the process id of the worker."""
    end_with_parent(int(sys.argv[1]))
    os.umask(os.umask(0o077) | 0o077)
    order = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the worker that started us
    try:
        with os.fdopen(os.dup(1), "wb") as out:
            os.dup2(2, 1)  # what a library prints must not come between
            stream = EventStream(out)
            stream.end(carry_out(order, stream))
    except BrokenPipeError:
        os._exit(ExitCode.TERMINATED)


if __name__ == "__main__":
    main()
