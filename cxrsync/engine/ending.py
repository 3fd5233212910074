"""What ended a run, in our own words, and its exit code."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from cxrsync.engine.stop import Stop
from cxrsync.engine.tally import Tally
from cxrsync.errors import CxrsyncError, DiskError, ExitCode, Stopped


@contextmanager
def in_our_words(stop: Stop) -> Iterator[None]:
    """Raise what ends the work in here as :func:`explain` has it."""
    try:
        with stop.watching(None):
            yield
    except BaseException as problem:
        if stop.code is None and isinstance(problem, asyncio.CancelledError):
            raise  # the caller's wish, not ours
        raise explain(problem, stop) or problem from None


def exit_code_of(error: BaseException | None, stop: Stop, tally: Tally) -> ExitCode:
    """The exit code of a run that was ended by ``error``, by a limit, or came to its end."""
    if isinstance(error, CxrsyncError):
        return error.exit_code
    if error is not None:
        return ExitCode.UNEXPECTED
    return stop.code or tally.exit_code()


def explain(problem: BaseException, stop: Stop) -> BaseException | None:
    """What ended a run, in our own words: a CxrsyncError, None for a limit that was reached, or
    the problem itself where we have no words for it."""
    if isinstance(problem, BaseExceptionGroup):
        # What a run's tasks raised together: the first of it that we know.
        inner = [explain(each, stop) for each in problem.exceptions]
        ours = [each for each in inner if isinstance(each, CxrsyncError)]
        return ours[0] if ours else problem
    if isinstance(problem, asyncio.CancelledError):
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()  # it was our own: what the caller does next is not cancelled
        if stop.code is ExitCode.LIMIT:
            return None
        stopped = Stopped("stopped as asked; the state is saved")
        stopped.exit_code = stop.code or ExitCode.INTERRUPTED
        return stopped
    return disk_trouble(problem) if isinstance(problem, OSError) else problem


def disk_trouble(problem: OSError) -> DiskError:
    """An error of the disk that nobody nearer to it has made sense of, naming the place."""
    where = f" {problem.filename}" if problem.filename else ""
    return DiskError(f"cannot go on{where}: {problem.strerror or problem}")
