"""Hand-overs of blocking work from the event loop to threads, waited for to their end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def in_thread(call: Callable[[], T], executor: Executor | None = None) -> T:
    """Run ``call`` in a thread and wait for its end, even when cancelled meanwhile.

    A thread cannot be cancelled: whoever stops waiting for a write leaves it writing, and what is
    recorded next is a lie. So cancellation is delivered only once the thread is done.
    """
    return await ended(asyncio.get_running_loop().run_in_executor(executor, call))


async def in_thread_while_wanted(call: Callable[[threading.Event], T]) -> T:
    """The same for what may last long: ``call`` is given an event that is set when we are
    cancelled, and should then come to its end."""
    unwanted = threading.Event()
    future = asyncio.get_running_loop().run_in_executor(None, call, unwanted)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        unwanted.set()
        with suppress(Exception):  # the cancellation is what the caller gets to see
            await ended(future)
        raise


async def ended(future: asyncio.Future[T]) -> T:
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
