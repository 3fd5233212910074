"""The exit codes of the command line: their meaning, what to do, and which one of several counts.

Users' scripts depend on them. `cxrsync help exit-codes` and the man pages are made from this table.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the command line."""

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


# What each code means, in a few words, and what to do.
MEANINGS: dict[ExitCode, tuple[str, str]] = {
    ExitCode.COMPLETE: ("complete and verified", ""),
    ExitCode.UNEXPECTED: (
        "unexpected error, or not every selected file is accounted for",
        "Please report it, with the traceback that `cxrsync --debug …` shows.",
    ),
    ExitCode.USAGE: (
        "usage: a wrong name, option or job file, or a selection that matches no file",
        "The message says what to write instead.",
    ),
    ExitCode.CREDENTIALS: (
        "user name or password is missing or refused, or the account is deactivated",
        "They were tried once. `cxrsync login` tries and stores others.",
    ),
    ExitCode.ACCESS: (
        (
            "access denied: agreement of this version, training, credentialing or program; or the "
            "files were withdrawn, or may not be given to your region"
        ),
        "`cxrsync access` says which step is missing, and on which page to go on.",
    ),
    ExitCode.FILES_FAILED: (
        "some files failed, or a line of the manifest was rejected",
        "Run the same command again: only these files are fetched.",
    ),
    ExitCode.CONTRADICTED: (
        "some files do not have the published checksum",
        (
            "They are set aside, not published. Report them to PhysioNet, or accept them with "
            "--acknowledge."
        ),
    ),
    ExitCode.DISK: (
        (
            "the disk is full, read-only or failing, or the files will not fit, or less than "
            "--keep-free would be left; or the tree or the output cannot be read or written; or "
            "the machine has no memory, threads or open files left"
        ),
        "Repair what the message names. Nothing that was downloaded is lost.",
    ),
    ExitCode.LOCKED: (
        "another run holds the lock, or has taken it over",
        "Wait for it: --wait-lock 10m.",
    ),
    ExitCode.LIMIT: (
        "stopped at a limit (--max-files, --max-bytes, --max-duration, --window); no failure",
        "Run the same command again to resume.",
    ),
    ExitCode.UNREACHABLE: (
        "server or network unreachable, or no usable answer",
        "Run the same command again later; the message has the server's answer.",
    ),
    ExitCode.REFUSED: (
        "refused for safety: nothing was done, because it could destroy good files",
        "A person must look: the message says at what.",
    ),
    ExitCode.INTERRUPTED: (
        "interrupted (Ctrl-C); the state is saved",
        "Run the same command again to resume.",
    ),
    ExitCode.TERMINATED: (
        "terminated (SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU); the state is saved",
        "Run the same command again to resume.",
    ),
}

# The first that applies is the exit code: from what a person must look at, down to success.
ORDER = (
    *(ExitCode.INTERRUPTED, ExitCode.TERMINATED),
    *(ExitCode.UNEXPECTED, ExitCode.USAGE, ExitCode.CREDENTIALS, ExitCode.ACCESS),
    *(ExitCode.REFUSED, ExitCode.DISK, ExitCode.UNREACHABLE, ExitCode.LOCKED),
    *(ExitCode.CONTRADICTED, ExitCode.FILES_FAILED, ExitCode.LIMIT, ExitCode.COMPLETE),
)
_RANK: dict[int, int] = {code: rank for rank, code in enumerate(ORDER)}
LAST_RANK = len(ORDER)


def rank_of(code: int) -> int:
    """Return the place of a code in ORDER; an unknown code counts as 1."""
    return _RANK.get(code, _RANK[ExitCode.UNEXPECTED])


def worst_of(codes: Iterable[int]) -> ExitCode:
    """Return the exit code of several runs together; 0 for none. An unknown code counts as 1."""
    return ORDER[min(map(rank_of, codes), default=_RANK[ExitCode.COMPLETE])]
