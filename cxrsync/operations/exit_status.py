"""What ended a run, in our own words, and its exit code."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cxrsync.cancellation import CancelToken
from cxrsync.errors import CxrsyncError, DiskError, ExitCode, Stopped, unwrap, worst_of
from cxrsync.sanitize import reason_of


@dataclass(frozen=True, slots=True)
class Ending:
    """Everything that tells how a run ended.

    ``asked``: what a signal, or the limit on time, asked for. ``errors``: the codes of what ended
    it. ``failed``, ``contradicted``: so many files; ``refused_lines``: lines of a manifest that
    cannot be followed, each of them a file that is not here. ``limited``: a limit left files out.
    ``balanced``: every selected file is accounted for.
    """

    asked: ExitCode | None = None
    errors: tuple[ExitCode, ...] = ()
    failed: int = 0
    contradicted: int = 0
    refused_lines: int = 0
    limited: bool = False
    balanced: bool = True


def exit_status(ending: Ending) -> ExitCode:
    """The exit code of a run that ended so."""
    codes = [*ending.errors]
    if ending.asked is not None:
        codes.append(ending.asked)
    if not ending.balanced:
        codes.append(ExitCode.UNEXPECTED)
    if ending.contradicted:
        codes.append(ExitCode.CONTRADICTED)
    if ending.failed or ending.refused_lines:
        codes.append(ExitCode.FILES_FAILED)
    if ending.limited:
        codes.append(ExitCode.LIMIT)
    return worst_of(codes)


@contextmanager
def in_our_words(stop: CancelToken) -> Iterator[None]:
    """Raise what ends the work in here as :func:`explain` has it."""
    try:
        with stop.watching(None):
            yield
    except BaseException as problem:
        if is_callers_wish(problem, stop):
            raise
        raise explain(problem, stop) or problem from None


def is_callers_wish(problem: BaseException, stop: CancelToken) -> bool:
    """Whether the caller has cancelled the work, be it that we were to stop besides."""
    if not isinstance(problem, asyncio.CancelledError):
        return False
    task = asyncio.current_task()
    is_ours = stop.code is not None or stop.error is not None
    return not is_ours or (task is not None and task.cancelling() > 0)


def explain(problem: BaseException, stop: CancelToken) -> BaseException | None:
    """What ended a run, in our own words: a CxrsyncError, None for a limit that was reached, or
    the problem itself where we have no words for it."""
    error: BaseException | None = unwrap(problem)
    if isinstance(error, asyncio.CancelledError):
        error = stop.error
    elif isinstance(error, OSError):
        error = disk_trouble(error)
    if stop.code is None or stop.code is ExitCode.LIMIT:
        return error
    if isinstance(error, CxrsyncError):
        stopped = Stopped(f"stopped as asked, but: {reason_of(error)}", next_step=error.next_step)
    else:
        stopped = Stopped("stopped as asked; the state is saved")
    stopped.exit_code = stop.code
    return stopped


def disk_trouble(problem: OSError) -> DiskError:
    """An error of the disk that nobody nearer to it has made sense of, naming the place."""
    where = f" {problem.filename}" if problem.filename else ""
    return DiskError(f"cannot go on{where}: {reason_of(problem)}")
