"""The exit code of everything that happened: one list, and one function that reads it."""

from __future__ import annotations

from dataclasses import dataclass

from cxrsync.errors import ExitCode, worst_of


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
