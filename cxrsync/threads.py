"""Blocking work for the event loop: in threads, and always waited for to its end.

Small writes run in the event loop's own thread. Handing a small piece to a thread costs more than
writing it: the interpreter's lock changes hands at each system call, and on a virtual machine a
core must be woken each time (3,000 files of 150 KB took 3.5 s with threads, 2.8 s without). A large
piece spends its time outside the interpreter, on another core. On a slow disk small pieces go to a
thread as well: no connection may be blocked for long.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from time import monotonic
from typing import Self, TypeVar

T = TypeVar("T")


async def run_in_thread(call: Callable[[], T], executor: Executor | None = None) -> T:
    """Run ``call`` in a thread and wait for its end, even when cancelled meanwhile.

    A thread cannot be cancelled. If we stopped waiting for a write, it would go on, and the next
    record of it would be wrong. So cancellation is delivered only after the thread has ended.
    """
    return await wait_to_end(asyncio.get_running_loop().run_in_executor(executor, call))


async def run_in_cancellable_thread(call: Callable[[threading.Event], T]) -> T:
    """Run a long ``call`` in a thread, as :func:`run_in_thread` does. Cancellation sets the event
    that ``call`` is given; ``call`` should then end soon."""
    cancelled = threading.Event()
    future = asyncio.get_running_loop().run_in_executor(None, call, cancelled)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        cancelled.set()
        with suppress(Exception):  # the caller gets the cancellation
            await wait_to_end(future)
        raise


async def wait_to_end(future: asyncio.Future[T]) -> T:
    """Wait for the end of a future (or task), even when cancelled meanwhile. Return its result."""
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            try:
                await asyncio.shield(future)
            except asyncio.CancelledError:
                continue
            except Exception:  # noqa: BLE001 - the caller gets the cancellation
                break
        if not future.cancelled():
            future.exception()  # retrieved, so that asyncio does not report it as never retrieved
        raise


def in_loop_thread(call: Callable[[T], None]) -> Callable[[T], None]:
    """Return ``call`` for use in any thread: it is always run in the event loop's own thread.

    From another thread it is scheduled, before whatever that thread's end makes possible.
    """
    loop, own = asyncio.get_running_loop(), threading.get_ident()

    def run(argument: T) -> None:
        if threading.get_ident() == own:
            call(argument)
        else:
            loop.call_soon_threadsafe(call, argument)

    return run


SMALL = 256 << 10
# A disk that takes longer than this for a small piece counts as slow for a while.
_LONG_SECONDS = 0.02
_SLOW_FOR_SECONDS = 10.0


class Writers:
    """Runs writes, in this thread or in another one, depending on how long they take.

    A run has one; as a context manager it ends its threads.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="write")
        self._slow_until = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown()

    async def run(self, call: Callable[[], T], size: int) -> T:
        """Run ``call``, which writes ``size`` bytes, to its end, even when cancelled meanwhile."""
        started = monotonic()
        if size >= SMALL or started < self._slow_until:
            return await run_in_thread(call, self._threads)
        try:
            return call()
        finally:
            now = monotonic()
            if now - started > _LONG_SECONDS:
                self._slow_until = now + _SLOW_FOR_SECONDS
