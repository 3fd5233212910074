"""Where what arrives is written and hashed: here for small pieces, in threads for large ones.

To hand a small piece to a thread costs more than to write it: the interpreter's lock goes to and
fro at each system call, and on a virtual machine each time a core must be woken (3,000 files of
150 KB took 3.5 s with threads, 2.8 s without). A large piece spends its time outside of the
interpreter, on another core. And so does a small one where the disk makes us wait: nothing that
reads a line may stand still for long.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import TypeVar

from cxrsync.store.threads import in_thread

T = TypeVar("T")

SMALL = 256 << 10
# A disk that takes longer than this for a small piece is slow, and is for a while.
_LONG_SECONDS = 0.02
_SLOW_FOR_SECONDS = 10.0


class Writers:
    """Runs what writes pieces, here or in a thread, and notes how long it takes."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="write")
        self._slow_until = 0.0

    async def run(self, call: Callable[[], T], size: int) -> T:
        """Run ``call``, which writes ``size`` bytes, to its end, even when cancelled meanwhile."""
        began = monotonic()
        if size >= SMALL or began < self._slow_until:
            return await in_thread(call, self._threads)
        try:
            return call()
        finally:
            ended = monotonic()
            if ended - began > _LONG_SECONDS:
                self._slow_until = ended + _SLOW_FOR_SECONDS


WRITERS = Writers()
