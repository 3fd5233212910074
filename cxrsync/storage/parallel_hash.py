"""Work on many files at a time, a thread for each core."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from time import monotonic
from typing import TypeVar

from cxrsync.storage.executors import run_in_thread

# How many small files are handed over at a time, and for how many seconds at most.
_AT_A_TIME = 32
_A_MOMENT = 0.05

T = TypeVar("T")
R = TypeVar("R")


async def map_on_all_cores(
    items: Iterator[T], work: Callable[[T], R], done: Callable[[T, R | OSError], Awaitable[None]]
) -> None:
    """Do ``work`` on each item in threads, as many as there are cores, and tell ``done``.

    ``items`` is read as threads become free, a few ahead of them: to hand over each small file by
    itself would cost more than to hash it. An OSError is a result.
    """

    def attempt(item: T) -> R | OSError:
        try:
            return work(item)
        except OSError as problem:
            return problem

    def attempt_some(some: Sequence[T]) -> list[R | OSError]:
        """As many as a moment allows: at least one."""
        over = monotonic() + _A_MOMENT
        results = [attempt(some[0])]
        while len(results) < len(some) and monotonic() < over:
            results.append(attempt(some[len(results)]))
        return results

    async def core() -> None:
        while some := list(islice(items, _AT_A_TIME)):
            while some:
                results = await run_in_thread(partial(attempt_some, some), pool)
                for item, result in zip(some, results, strict=False):
                    await done(item, result)
                some = some[len(results) :]

    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores, thread_name_prefix="hash") as pool:
        async with asyncio.TaskGroup() as group:
            for _ in range(cores):
                group.create_task(core())
