"""The worker processes of a run that makes smaller copies: as many as there are cores.

They are processes of their own program, and not of multiprocessing: that would run the script of
whoever calls cxrsync from Python again in each of them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Self

from cxrsync.errors import DiskError
from cxrsync.storage.derived_image import Derived, Task
from cxrsync.storage.derived_worker import FOR_THE_PARENT, as_line, parse_line
from cxrsync.storage.filesystem import disk_failure

# -P: no module is imported from the folder in which the user happens to be.
_PROGRAM = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from cxrsync.storage.derived_worker import main; main()"
)
_END_SECONDS = 10.0


class DerivationPool:
    """Makes copies in worker processes, which begin with the first tasks. As a context manager it
    ends them, after the tasks that they have begun."""

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or os.cpu_count() or 1
        self._threads = ThreadPoolExecutor(self.workers, thread_name_prefix="derive")
        self._idle: deque[_Worker] = deque()
        self._all: list[_Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._threads.shutdown(cancel_futures=True)
        for worker in self._all:
            worker.end()

    def submit(self, task: Task) -> Future[Derived]:
        """Make a copy. The result's exception: DiskError if a worker was ended from outside."""
        return self._threads.submit(self._derive, task)

    def _derive(self, task: Task) -> Derived:
        try:
            worker = self._idle.popleft()
        except IndexError:
            worker = _Worker()
            self._all.append(worker)
        done = worker.derive(task)
        self._idle.append(worker)
        return done


class _Worker:
    """One worker process."""

    def __init__(self) -> None:
        # Signals are for the parent. The process inherits what this thread blocks, so that Ctrl-C
        # does not end it before it ignores them itself.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, FOR_THE_PARENT)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-P", "-c", _PROGRAM, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="ascii",
            )
        except OSError as problem:
            raise disk_failure(problem, "cannot start a worker process") from None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def derive(self, task: Task) -> Derived:
        """Wait for the result of a task. Raises DiskError if the process has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(as_line(task))
            self._process.stdin.flush()
            return parse_line(self._process.stdout.readline())
        except (OSError, ValueError, KeyError, TypeError):
            raise DiskError(
                "a worker process was ended from outside: probably there is too little memory",
                next_step="What is done is kept: run the same command again.",
            ) from None

    def end(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
