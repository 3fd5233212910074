"""Decide the exit code of a run, and turn the exception that ended it into a CxrsyncError."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cxrsync.cancellation import CancelToken
from cxrsync.errors import CxrsyncError, DiskError, ExitCode, Stopped, unwrap, worst_of
from cxrsync.sanitize import reason_of
from cxrsync.storage.filesystem import disk_failure


@dataclass(frozen=True, slots=True)
class Ending:
    """Everything that the exit code of a run depends on.

    ``requested``: the code that a signal or the limit on time asks for. ``errors``: the codes of
    the errors that ended the run. ``failed``, ``mismatched``: numbers of files. ``refused_lines``:
    the number of lines in a manifest that were rejected; the file of each of them is missing.
    ``limited``: a limit left files out. ``balanced``: every selected file has an outcome.
    """

    requested: ExitCode | None = None
    errors: tuple[ExitCode, ...] = ()
    failed: int = 0
    mismatched: int = 0
    refused_lines: int = 0
    limited: bool = False
    balanced: bool = True


def exit_status(ending: Ending) -> ExitCode:
    """Return the exit code of a run."""
    codes = [*ending.errors]
    if ending.requested is not None:
        codes.append(ending.requested)
    if not ending.balanced:
        codes.append(ExitCode.UNEXPECTED)
    if ending.mismatched:
        codes.append(ExitCode.CONTRADICTED)
    if ending.failed or ending.refused_lines:
        codes.append(ExitCode.FILES_FAILED)
    if ending.limited:
        codes.append(ExitCode.LIMIT)
    return worst_of(codes)


@contextmanager
def explained_errors(cancel: CancelToken) -> Iterator[None]:
    """Raise any exception of the block as :func:`explain` returns it."""
    try:
        with cancel.watching(None):
            yield
    except BaseException as problem:
        if is_callers_cancellation(problem, cancel):
            raise
        raise explain(problem, cancel) or problem from None


def is_callers_cancellation(problem: BaseException, cancel: CancelToken) -> bool:
    """Return whether the exception is a cancellation by the caller, even if the run was to be
    cancelled too."""
    if not isinstance(problem, asyncio.CancelledError):
        return False
    task = asyncio.current_task()
    is_own = cancel.code is not None or cancel.error is not None
    return not is_own or (task is not None and task.cancelling() > 0)


def explain(problem: BaseException, cancel: CancelToken) -> BaseException | None:
    """Return the error to raise for the exception that ended a run.

    It is a CxrsyncError; None if only a limit was reached; or the exception itself if it is
    unexpected.
    """
    error: BaseException | None = unwrap(problem)
    if isinstance(error, asyncio.CancelledError):
        error = cancel.error
    elif error is not None:
        error = machine_error(error) or error
    if cancel.code is None or cancel.code is ExitCode.LIMIT:
        return error
    if isinstance(error, CxrsyncError):
        stopped = Stopped(f"stopped as asked, but: {reason_of(error)}", next_step=error.next_step)
    else:
        stopped = Stopped(f"stopped as asked; {cancel.safe}", next_step=cancel.next_step)
    stopped.exit_code = cancel.code
    return stopped


def disk_error_of(problem: OSError) -> DiskError:
    """Return the error for an OSError that was not handled where it happened; it names the file."""
    place = f" at {problem.filename}" if problem.filename else ""
    return disk_failure(problem, f"cannot continue{place}")


def machine_error(problem: BaseException) -> CxrsyncError | None:
    """Return the error for an exception of which the machine is the cause, not cxrsync: an error of
    the system, no memory, no threads. None for any other."""
    if isinstance(problem, CxrsyncError):
        return problem
    if isinstance(problem, OSError):
        return disk_error_of(problem)
    if isinstance(problem, MemoryError):
        return disk_failure(OSError(errno.ENOMEM, ""), "cannot continue")
    if isinstance(problem, RuntimeError) and problem.args == _NO_THREAD:
        return DiskError(
            "cannot continue: the system allows no more threads",
            next_step="Nothing that was downloaded is lost. Allow more processes and threads "
            "(ulimit -u, ulimit -v, or the container's limit of PIDs), then run the same command "
            "again.",
        )
    return None


# Python's words (_threadmodule.c): it has no class of its own for this.
_NO_THREAD = ("can't start new thread",)
_SENTENCES = {
    ExitCode.COMPLETE: "complete and verified",
    ExitCode.UNEXPECTED: "an unexpected error",
    ExitCode.USAGE: "an error in the command or in the job file",
    ExitCode.CREDENTIALS: "the credentials are missing or were refused",
    ExitCode.ACCESS: "access was denied",
    ExitCode.FILES_FAILED: "some files failed",
    ExitCode.CONTRADICTED: "some files do not match their published checksum",
    ExitCode.DISK: "the disk is full or cannot be used",
    ExitCode.LOCKED: "another run holds the lock",
    ExitCode.LIMIT: "stopped at a limit, all well",
    ExitCode.UNREACHABLE: "the server or the network cannot be reached",
    ExitCode.REFUSED: "refused for safety: a person must look",
    ExitCode.INTERRUPTED: "interrupted; the state is saved",
    ExitCode.TERMINATED: "terminated; the state is saved",
}


def sentence_of(exit_code: int) -> str:
    """Return an exit code in words that contain no path, no id and no name."""
    known = {int(code): words for code, words in _SENTENCES.items()}
    return known.get(exit_code, f"exit code {exit_code}")
