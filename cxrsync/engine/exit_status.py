"""The exit code of everything that happened: one list, and one function that reads it."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cxrsync.errors import CxrsyncError, ExitCode

# The first that applies. A person must look at what stands first; what stands last is well.
_ORDER = (
    *(ExitCode.INTERRUPTED, ExitCode.TERMINATED),
    *(ExitCode.UNEXPECTED, ExitCode.USAGE, ExitCode.CREDENTIALS, ExitCode.ACCESS),
    *(ExitCode.REFUSED, ExitCode.DISK, ExitCode.UNREACHABLE, ExitCode.LOCKED),
    *(ExitCode.CONTRADICTED, ExitCode.FILES_FAILED, ExitCode.LIMIT, ExitCode.COMPLETE),
)
_RANK: dict[int, int] = {code: rank for rank, code in enumerate(_ORDER)}


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
