"""The error tree.

Each error says what happened and to what (``str(error)``), what to do next (``next_step``), and
which exit code a run that it ends has. Only what ends a run, or a request, is raised; what happens
to a single file is an :class:`~cxrsync.model.Outcome`.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the command line; other people's scripts stand on them."""

    COMPLETE = 0
    UNEXPECTED = 1
    USAGE = 2
    CREDENTIALS = 3
    ACCESS = 4
    FILES_FAILED = 5
    CONTRADICTED = 6
    DISK = 7
    LOCKED = 8
    LIMIT = 9
    UNREACHABLE = 10
    REFUSED = 11
    INTERRUPTED = 130
    TERMINATED = 143


class CxrsyncError(Exception):
    """Root of the tree. ``next_step`` is a sentence (or a few) for the person at the screen."""

    exit_code: ExitCode = ExitCode.UNEXPECTED
    next_step: str = ""

    def __init__(self, what: str, *, next_step: str | None = None) -> None:
        super().__init__(what)
        if next_step is not None:
            self.next_step = next_step


# ── what the person asked for ──────────────────────────────────────────────────────────────────


class UsageError(CxrsyncError):
    """An option, a name or a combination that cannot be meant."""

    exit_code = ExitCode.USAGE


class NotHere(UsageError):
    """Something is asked about that no pull has fetched yet."""


class LaterFormat(UsageError):
    """A file of ours was written by a later cxrsync than this one; it is left as it is."""

    next_step = (
        "Install at least that version, or use the one that worked here last. Nothing was changed, "
        "and nothing is hashed again."
    )


class NothingMeant(UsageError):
    """A selection that means nothing in this version; another version may have it."""


# ── what a source answers; the engine decides whether it ends the file, the run, or nothing ────


class SourceError(CxrsyncError):
    """A request that brought no usable answer."""


class Unreachable(SourceError):
    """No connection to the server: name not resolved, refused, timed out, TLS failed."""

    exit_code = ExitCode.UNREACHABLE
    next_step = (
        "Check the network and --base-url, and run the same command again: "
        "what is already here is kept and not fetched twice."
    )


class Untrusted(Unreachable):
    """The server's certificate does not prove that it is who it says: no use in trying again."""

    next_step = (
        "Do not send a password to it. If a proxy or a test server of yours is in between, name "
        "its certificate authority with --ca-file."
    )


class Interrupted(SourceError):
    """A connection that broke or went silent in the middle of an answer. The bytes so far count."""


class InvalidResponse(SourceError):
    """An answer that does not fit the question: another range, another total, an encoded body."""


class NotFound(SourceError):
    """The source has no such file."""


class Corrupted(SourceError):
    """A file whose bytes arrive differently each time."""


class Throttled(SourceError):
    """The server asks to be left alone for a while (408, 429, 5xx).

    ``after`` is the server's own wish in seconds (Retry-After), or None where it names none. It
    ends a run only where the server has asked for that longer than the run was to wait.
    ``overloaded``: it is asked too much, by us or by everyone, rather than at odds with one file;
    ``by_us``: it says that it is we who ask too much (429), rather than that it is away.
    """

    exit_code = ExitCode.UNREACHABLE
    next_step = Unreachable.next_step

    def __init__(
        self,
        what: str,
        *,
        after: float | None = None,
        overloaded: bool = False,
        by_us: bool = False,
    ) -> None:
        super().__init__(what)
        self.after = after
        self.overloaded = overloaded
        self.by_us = by_us


class CredentialsRefused(SourceError):
    """User name or password missing or wrong. Never tried twice: accounts get locked by that."""

    exit_code = ExitCode.CREDENTIALS
    next_step = (
        "Sign in at https://physionet.org/login/ to check the password, then set "
        "PHYSIONET_USERNAME and PHYSIONET_PASSWORD (or PHYSIONET_PASSWORD_FILE, or ~/.netrc)."
    )


class AccessDenied(SourceError):
    """The server knows us, or our program, and says no (403)."""

    exit_code = ExitCode.ACCESS


class FileDenied(AccessDenied):
    """The server refuses one file, and lets us in elsewhere: that file will not come."""

    next_step = (
        "The same user name and password are accepted elsewhere: see in a browser whether this "
        "file opens, and tell PhysioNet if it should."
    )


# ── what ends a run on this side ───────────────────────────────────────────────────────────────


class DiskError(CxrsyncError):
    """The disk is full, read-only, failing, or not ours to write."""

    exit_code = ExitCode.DISK
    next_step = (
        "Nothing that was downloaded is lost. Make room or repair the destination, "
        "then run the same command again."
    )


class WillNotFit(DiskError):
    """What is missing is more than the disk has room for; nothing was fetched."""

    next_step = (
        "Choose less, another --dest, or make room; --force begins all the same (and stops, with "
        "nothing lost, when the disk is full). A quota of yours may be lower than what is free."
    )


class OutputLost(DiskError):
    """Standard output cannot be written; what the command did besides is done all the same."""

    next_step = (
        "What was written there is not the whole of it: make room, and run the same command again. "
        "Nothing that was downloaded is lost."
    )


class Damaged(CxrsyncError):
    """What everything else is judged by is not what was fetched."""

    exit_code = ExitCode.CONTRADICTED


class RefusedForSafety(CxrsyncError):
    """Nothing was done, since it could cost more than it mends: a person must look."""

    exit_code = ExitCode.REFUSED


class NotArrived(CxrsyncError):
    """A file that all others depend on is not here, whatever happened to it."""

    exit_code = ExitCode.FILES_FAILED


class Unbalanced(CxrsyncError):
    """Not every selected file has exactly one outcome: a fault of this program."""

    next_step = (
        "That is cxrsync's own fault, not yours. What is here under its name was verified; run "
        "`cxrsync verify --repair` for the rest, and please report this, with the newest file in "
        ".cxrsync/runs."
    )


class Locked(CxrsyncError):
    """Another run is at work on the same ``partition``."""

    exit_code = ExitCode.LOCKED

    def __init__(self, what: str, *, partition: str = "") -> None:
        super().__init__(what)
        self.partition = partition

    next_step = (
        "Wait for it (--wait-lock SECONDS), or stop it first. Of a run whose machine is gone the "
        "lock is taken over after five minutes of silence: --wait-lock 400."
    )


class LockLost(CxrsyncError):
    """Another run took our lock over, believing us dead: we stop before we publish more."""

    exit_code = ExitCode.LOCKED
    next_step = "Check which machines run cxrsync on this tree; then run the command again."


class Stopped(CxrsyncError):
    """A signal asked the run to end; the state is saved."""

    exit_code = ExitCode.INTERRUPTED
    next_step = "Run the same command again to go on from here."


# The first that applies. A person must look at what stands first; what stands last is well.
_ORDER = (
    *(ExitCode.INTERRUPTED, ExitCode.TERMINATED),
    *(ExitCode.UNEXPECTED, ExitCode.USAGE, ExitCode.CREDENTIALS, ExitCode.ACCESS),
    *(ExitCode.REFUSED, ExitCode.DISK, ExitCode.UNREACHABLE, ExitCode.LOCKED),
    *(ExitCode.CONTRADICTED, ExitCode.FILES_FAILED, ExitCode.LIMIT, ExitCode.COMPLETE),
)
_RANK: dict[int, int] = {code: rank for rank, code in enumerate(_ORDER)}


def worst_of(codes: Iterable[int]) -> ExitCode:
    """The exit code of several together: 0 for none, 1 where one of them is none of ours."""
    unknown = _RANK[ExitCode.UNEXPECTED]
    ranks = (_RANK.get(code, unknown) for code in codes)
    return _ORDER[min(ranks, default=_RANK[ExitCode.COMPLETE])]


def code_of(error: BaseException) -> ExitCode:
    """The exit code that an error stands for."""
    if isinstance(error, CxrsyncError):
        return error.exit_code
    return ExitCode.DISK if isinstance(error, OSError) else ExitCode.UNEXPECTED


def unwrap(*problems: BaseException) -> BaseException:
    """The one error that decides the exit code, out of several and of the exception groups among
    them. Whoever asked for the work knows errors by their names, not in groups.

    A cancellation decides only where there is nothing else: it may be the others' consequence.
    """
    errors = [error for problem in problems for error in _leaves(problem)]
    return min(errors, key=_rank)


def _rank(error: BaseException) -> int:
    return len(_ORDER) if isinstance(error, CancelledError) else _RANK[code_of(error)]


def _leaves(problem: BaseException) -> Iterator[BaseException]:
    if isinstance(problem, BaseExceptionGroup):
        for each in problem.exceptions:
            yield from _leaves(each)
    else:
        yield problem


@contextmanager
def unwrapped() -> Iterator[None]:
    """Of an exception group that is raised in here, raise the one error that decides."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise unwrap(group) from None


# Names of 0.1, for one version.
BadAnswer = InvalidResponse
