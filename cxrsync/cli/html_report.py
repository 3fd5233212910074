"""Where the HTML report goes: the file is checked before any work, and written at its end."""

from __future__ import annotations

import os
from pathlib import Path

from cxrsync.disk_remedies import next_step_of
from cxrsync.errors import DiskError, UsageError
from cxrsync.report_data import ReportData
from cxrsync.sanitize import reason_of
from cxrsync.storage.atomic_write import write_file
from cxrsync.storage.filesystem import forbidden_folder

_SUFFIXES = (".html", ".htm")


def report_file(file: Path | None, option: str) -> Path | None:
    """The file that ``option`` names, None for none.

    Raises UsageError where a report could not be written there: that is known before any work.
    """
    if file is None:
        return None
    if str(file) == "-":
        raise UsageError(
            f"{option} needs a file: the report does not go to standard output",
            next_step=f"Name it, for example {option} report.html.",
        )
    check_suffix(file, option)
    is_forbidden = forbidden_folder(file.parent) is not None
    if not os.path.isdir(file.parent) and not is_forbidden:
        raise UsageError(
            f"{option} {file}: there is no folder {file.parent}",
            next_step="Make the folder, or name another file.",
        )
    is_folder = os.path.isdir(file)
    if is_folder or is_forbidden or not os.access(file.parent, os.W_OK | os.X_OK):
        what = "is a folder" if is_folder else "lies in a folder that you may not write to"
        raise UsageError(f"{option} {file}: it {what}", next_step="Name another file.")
    return file


def check_suffix(file: Path, option: str) -> None:
    """Raise UsageError unless the name of a report's file ends in .html or .htm."""
    if file.suffix.lower() in _SUFFIXES:
        return
    hint = " To choose how radiology reports come, say --reports." if str(file) in _REPORTS else ""
    raise UsageError(
        f"{option} {file}: the report is an HTML file, and its name ends in .html",
        next_step=f"Say, for example, {option} report.html.{hint}",
    )


# Values of --reports, which is another option.
_REPORTS = {"zip", "files"}


def write_report(file: Path, data: ReportData) -> None:
    """Render the report and put it in place: whole, or not at all. Raises DiskError."""
    # Imported here: jinja2 is slow to import, and no other command needs it.
    from cxrsync.ui.html_report import render

    page = render(data).encode("utf-8", "replace")
    try:
        write_file(file, page)
    except OSError as problem:
        raise DiskError(
            f"cannot write the report {file}: {reason_of(problem)}",
            next_step=next_step_of(problem, "or name another file", has_downloads=False),
        ) from None
