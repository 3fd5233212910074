"""Work on many files in parallel, with one thread for each core."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from time import monotonic
from typing import TypeVar

from cxrsync.threads import run_in_thread

# How many files are handed to a thread at a time, and for how many seconds at most.
_BATCH = 32
_BATCH_SECONDS = 0.05

T = TypeVar("T")
R = TypeVar("R")


async def map_on_all_cores(
    items: Iterator[T],
    work: Callable[[T], R],
    done: Callable[[T, R | OSError], Awaitable[None]],
    *,
    begin_thread: Callable[[], None] | None = None,
) -> None:
    """Call ``work`` on each item in threads, one for each core, and ``done`` with each result.

    ``items`` is read as threads become free, in small batches: handing over each small file singly
    would cost more than hashing it. An OSError of ``work`` is passed to ``done`` as a result.
    ``begin_thread`` is called once in each thread, before any work.
    """

    def attempt(item: T) -> R | OSError:
        try:
            return work(item)
        except OSError as problem:
            return problem

    def attempt_some(some: Sequence[T]) -> list[R | OSError]:
        """As many as the time allows: at least one."""
        deadline = monotonic() + _BATCH_SECONDS
        results = [attempt(some[0])]
        while len(results) < len(some) and monotonic() < deadline:
            results.append(attempt(some[len(results)]))
        return results

    async def core() -> None:
        while some := list(islice(items, _BATCH)):
            while some:
                results = await run_in_thread(partial(attempt_some, some), pool)
                for item, result in zip(some, results, strict=False):
                    await done(item, result)
                some = some[len(results) :]

    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores, thread_name_prefix="hash", initializer=begin_thread) as pool:
        async with asyncio.TaskGroup() as group:
            for _ in range(cores):
                group.create_task(core())
