"""The options of the output, and the reporters that they ask for: for pull and verify."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxrsync.cli.main import Verbosity, error_lines, say_error
from cxrsync.errors import CxrsyncError, OutputLost
from cxrsync.ui.log_file import LogFile
from cxrsync.ui.log_lines import LineReporter, ProgressLines
from cxrsync.ui.reporters import Reporters, SummaryReporter
from cxrsync.ui.summary_file import SummaryFile


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """What the options of the output say. ``progress_interval`` in seconds."""

    as_json: bool
    progress: str
    progress_interval: float
    log_file: Path | None
    summary_file: Path | None = None

    @classmethod
    def taken_from(cls, options: dict[str, Any]) -> OutputOptions:
        """Take the options of the output out of a command's options."""
        names = ("as_json", "progress", "progress_interval", "log_file", "summary_file")
        return cls(*(options.pop(name) for name in names))


@contextmanager
def reporting(verbosity: Verbosity, output: OutputOptions) -> Iterator[Reporters]:
    """Yield the reporters that the options ask for, until the end of the command.

    Raises: OutputLost if the log or the summary cannot be written at the beginning. If that happens
    later, it is said, the command goes on, and its exit code shows it.
    """
    log = None if output.log_file is None else LogFile(output.log_file)
    if log is not None:
        log.check()
        if log.lost is not None:
            raise log.lost
    summary = None if output.summary_file is None else SummaryFile(output.summary_file)
    if summary is not None:
        summary.check()
    with Reporters(
        verbosity.level,
        json_to=verbosity.output if output.as_json else None,
        progress=output.progress,
        every=output.progress_interval,
    ) as reporters:
        if log is not None:
            log.on_loss(lambda lost: _say_loss(lost, verbosity, reporters))
            reporters.add(LineReporter(log.write, verbose=verbosity.level > 0))
            reporters.add(ProgressLines(log.write, output.progress_interval, stamped=False))
            reporters.add(SummaryReporter(log.write))
        if summary is not None:
            summary.on_loss(lambda lost: _say_loss(lost, verbosity, reporters))
            reporters.add(summary)
        try:
            yield reporters
        except CxrsyncError as problem:
            if log is not None:
                for line in error_lines(problem):
                    log.write(line)
            raise


def _say_loss(lost: OutputLost, verbosity: Verbosity, reporters: Reporters) -> None:
    verbosity.lost_code = lost.exit_code
    with reporters.beside():
        say_error(lost)
