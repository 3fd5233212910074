"""The error tree.

Each error says what happened and to what (``str(error)``), what to do next (``next_step``), and
the exit code of a run that it ends. An error is raised if it ends a run or a request; the failure
of a single file is a value, an :class:`~cxrsync.model.Outcome`.

    CxrsyncError
      UsageError              NotFetchedYet, NewerFormat, EmptySelection
      SourceError             Unreachable (Untrusted), Interrupted, InvalidResponse, Corrupted,
                              NotServed (NotFound, Gone), Throttled, Unanswered,
                              CredentialsRefused, AccessDenied (FileDenied)
      DiskError               WillNotFit, OutputLost
      ManifestDamaged, RefusedForSafety, RequiredFileFailed, ImagesFailed, Unbalanced, Locked,
      LockLost, Stopped
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from cxrsync.exit_codes import LAST_RANK, rank_of
from cxrsync.exit_codes import ExitCode as ExitCode
from cxrsync.exit_codes import worst_of as worst_of


class CxrsyncError(Exception):
    """The root of the tree. ``next_step`` tells the user in a sentence or two what to do;
    ``report`` what was done until then, if the error ended a pull of a Python program."""

    exit_code: ExitCode = ExitCode.UNEXPECTED
    next_step: str = ""
    report: Any = None

    def __init__(self, what: str, *, next_step: str | None = None) -> None:
        super().__init__(what)
        if next_step is not None:
            self.next_step = next_step


# ── the user's request ──────────────────────────────────────────────────────────────────


class UsageError(CxrsyncError):
    """An option, a name or a combination of options that is wrong."""

    exit_code = ExitCode.USAGE


class NotFetchedYet(UsageError):
    """The command needs something that no pull has fetched yet."""


class NewerFormat(UsageError):
    """A file of cxrsync's own was written by a later version; it is not changed."""

    next_step = (
        "Install that version or a later one, or use the one that worked here last. Nothing was "
        "changed, and nothing needs to be verified again."
    )


class EmptySelection(UsageError):
    """The selection matches no file of this version; another version may have some."""


# ── a source's refusal: transfer decides whether it ends a file, the run, or nothing ───────────


class SourceError(CxrsyncError):
    """A request without a usable answer."""

    exit_code = ExitCode.UNREACHABLE
    next_step = "Check the network and --base-url, then run the same command again."


class Unreachable(SourceError):
    """No connection to the server: its name is unknown, it refused, it timed out, or TLS failed."""


class Untrusted(Unreachable):
    """The server's certificate does not prove its identity; a retry would not help."""

    next_step = (
        "Do not send a password to this server. If a proxy or test server of your own is in "
        "between, give its certificate authority with --ca-file."
    )


class Interrupted(SourceError):
    """A connection broke or went silent in the middle of an answer. The bytes so far are kept."""


class InvalidResponse(SourceError):
    """An answer does not fit the request: another range, another total, an encoded body."""


class NotServed(SourceError):
    """A final answer without the file, as 301 or 400: another request would get the same."""


class NotFound(NotServed):
    """The source has no such file (404)."""


class Gone(NotServed):
    """The source had the file, and has removed it for good (410)."""

    exit_code = ExitCode.USAGE


class Unanswered(SourceError):
    """The source does not say now which versions a dataset has, or how large a version is."""

    next_step = "Run the command again later."


class Corrupted(SourceError):
    """The bytes of a file arrive differently each time."""


class Throttled(SourceError):
    """The server asks to try later (408, 429, 5xx).

    ``after``: the server's Retry-After in seconds; None if it sent none. It ends a run only if it
    is longer than the run waits for a server.
    ``overloaded``: the server gets too many requests, from this client or from all; it does not
    just fail for one file. ``by_us``: it says that this client makes too many requests (429).
    """

    def __init__(
        self,
        what: str,
        *,
        next_step: str | None = None,
        after: float | None = None,
        overloaded: bool = False,
        by_us: bool = False,
    ) -> None:
        super().__init__(what, next_step=next_step)
        self.after = after
        self.overloaded = overloaded
        self.by_us = by_us


class CredentialsRefused(SourceError):
    """User name or password is missing or wrong, or the account is deactivated (401). Never tried
    twice: each check costs the site half a second."""

    exit_code = ExitCode.CREDENTIALS
    next_step = (
        "Sign in at https://physionet.org/login/ to check user name and password, then run "
        "`cxrsync login`, or set PHYSIONET_USERNAME and PHYSIONET_PASSWORD (or "
        "PHYSIONET_PASSWORD_FILE, or ~/.netrc). "
        "A deactivated account is refused with the right password, too: if you cannot sign in "
        "there, ask PhysioNet."
    )


class AccessDenied(SourceError):
    """The server refuses this user, or this program. ``status``: 403, or 451 (by law)."""

    exit_code = ExitCode.ACCESS
    status = 403
    next_step = "`cxrsync access` says what is missing, and on which page to go on."


class FileDenied(AccessDenied):
    """The server refuses one file and serves others: that file cannot be fetched."""

    next_step = (
        "The same user name and password are accepted for other files. Check in a browser whether "
        "this file opens, and tell PhysioNet if it should."
    )


# ── what ends a run on this machine ───────────────────────────────────────────────────────────────


class StoppedAtLimit(CxrsyncError):
    """A limit of the user's was reached before what every other file depends on was there."""

    exit_code = ExitCode.LIMIT
    next_step = "Run the same command again to resume."


class DiskError(CxrsyncError):
    """The disk is full, read-only or failing, or may not be written by this user."""

    exit_code = ExitCode.DISK
    next_step = (
        "Nothing that was downloaded is lost. Repair what the message names, then run the same "
        "command again."
    )


class WillNotFit(DiskError):
    """The missing files are larger than the free disk space; nothing was fetched."""

    next_step = (
        "Select fewer files, choose another --dest, or free disk space. --force starts anyway, and "
        "stops without loss when the disk is full. Your quota may be lower than the free space."
    )


class OutputLost(DiskError):
    """Standard output cannot be written; everything else that the command does is done."""

    next_step = "The output is not complete: run the same command again."


class ManifestDamaged(CxrsyncError):
    """The manifest on the disk is not the one that was fetched, so that nothing can be verified."""

    exit_code = ExitCode.CONTRADICTED


class RefusedForSafety(CxrsyncError):
    """Nothing was done, because it could destroy good files: a person must decide."""

    exit_code = ExitCode.REFUSED


class RequiredFileFailed(CxrsyncError):
    """A file that all others depend on could not be fetched."""

    exit_code = ExitCode.FILES_FAILED


class ImagesFailed(CxrsyncError):
    """A stream has yielded all images but some. ``problems``: of these, each with its path, its
    result and the reason."""

    exit_code = ExitCode.FILES_FAILED
    next_step = "Make the same call again: with the same record it yields only these."

    def __init__(self, problems: Sequence[Any]) -> None:
        count = "1 image" if len(problems) == 1 else f"{len(problems):,} images"
        super().__init__(f"{count} could not be had; the attribute problems says which, and why")
        self.problems = tuple(problems)


class Unbalanced(CxrsyncError):
    """Not every selected file has exactly one outcome: a bug of cxrsync."""

    next_step = (
        "This is a bug of cxrsync, not your fault. Every file under its final name was verified. "
        "Run `cxrsync verify --repair` for the rest, and please report the bug, with the newest "
        "file in .cxrsync/runs."
    )


class Locked(CxrsyncError):
    """Another run holds the lock of ``partition``."""

    exit_code = ExitCode.LOCKED

    def __init__(self, what: str, *, partition: str = "") -> None:
        super().__init__(what)
        self.partition = partition

    next_step = (
        "Wait for the other run (--wait-lock 10m), or stop it first. If its machine is gone, "
        "the lock is taken over after five minutes of silence: --wait-lock 400."
    )


class LockLost(CxrsyncError):
    """Another run took the lock over, because this one seemed dead: this run publishes no more."""

    exit_code = ExitCode.LOCKED
    next_step = "Check which machines run cxrsync on this tree, then run the same command again."


class Stopped(CxrsyncError):
    """A signal ended the command. Whether a further run goes on from there, who raises it knows."""

    exit_code = ExitCode.INTERRUPTED
    next_step = "Run the same command again."


def code_of(error: BaseException) -> ExitCode:
    """The exit code of a run that ends with ``error``."""
    if isinstance(error, CxrsyncError):
        return error.exit_code
    return ExitCode.DISK if isinstance(error, OSError) else ExitCode.UNEXPECTED


def unwrap(*problems: BaseException) -> BaseException:
    """The one error that decides the exit code, of several errors and exception groups.

    Callers handle errors by their class, not in groups. A cancellation decides only if there is no
    other error, because it may be the consequence of another.
    """
    errors = [error for problem in problems for error in _leaves(problem)]
    return min(errors, key=_rank)


def _rank(error: BaseException) -> int:
    from asyncio import CancelledError  # here, so that --help does not import asyncio

    return LAST_RANK if isinstance(error, CancelledError) else rank_of(code_of(error))


def _leaves(problem: BaseException) -> Iterator[BaseException]:
    if isinstance(problem, BaseExceptionGroup):
        for each in problem.exceptions:
            yield from _leaves(each)
    else:
        yield problem


@contextmanager
def unwrapped() -> Iterator[None]:
    """Replace an exception group raised in this context by the one error that decides."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise unwrap(group) from None


# Old names, kept for one version.
BadAnswer = InvalidResponse
NotHere = NotFetchedYet
LaterFormat = NewerFormat
NothingMeant = EmptySelection
Damaged = ManifestDamaged
NotArrived = RequiredFileFailed
