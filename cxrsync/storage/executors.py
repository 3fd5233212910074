"""Blocking work of the event loop: in threads, waited for to the end; small pieces here.

To hand a small piece to a thread costs more than to write it: the interpreter's lock goes to and
fro at each system call, and on a virtual machine each time a core must be woken (3,000 files of
150 KB took 3.5 s with threads, 2.8 s without). A large piece spends its time outside of the
interpreter, on another core. And so does a small one where the disk makes us wait: nothing that
reads a line may stand still for long.
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

    A thread cannot be cancelled: whoever stops waiting for a write leaves it writing, and what is
    recorded next is a lie. So cancellation is delivered only once the thread is done.
    """
    return await wait_to_end(asyncio.get_running_loop().run_in_executor(executor, call))


async def run_in_cancellable_thread(call: Callable[[threading.Event], T]) -> T:
    """The same for what may last long: ``call`` is given an event that is set when we are
    cancelled, and should then come to its end."""
    unwanted = threading.Event()
    future = asyncio.get_running_loop().run_in_executor(None, call, unwanted)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        unwanted.set()
        with suppress(Exception):  # the cancellation is what the caller gets to see
            await wait_to_end(future)
        raise


async def wait_to_end(future: asyncio.Future[T]) -> T:
    """What a future (or task) comes to, waited for to its end even when cancelled meanwhile."""
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            try:
                await asyncio.shield(future)
            except asyncio.CancelledError:
                continue
            except Exception:  # noqa: BLE001 - the cancellation is what the caller gets to see
                break
        if not future.cancelled():
            future.exception()  # taken note of: asyncio need not report it again
        raise


SMALL = 256 << 10
# A disk that takes longer than this for a small piece is slow, and is for a while.
_LONG_SECONDS = 0.02
_SLOW_FOR_SECONDS = 10.0


class Writers:
    """Runs what writes pieces, here or in a thread, and notes how long it takes. A run has one; it
    is a context manager that ends the threads."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="write")
        self._slow_until = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown()

    async def run(self, call: Callable[[], T], size: int) -> T:
        """Run ``call``, which writes ``size`` bytes, to its end, even when cancelled meanwhile."""
        began = monotonic()
        if size >= SMALL or began < self._slow_until:
            return await run_in_thread(call, self._threads)
        try:
            return call()
        finally:
            ended = monotonic()
            if ended - began > _LONG_SECONDS:
                self._slow_until = ended + _SLOW_FOR_SECONDS
