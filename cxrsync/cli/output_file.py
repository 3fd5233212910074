"""The file of ``--output``: checked before any work, and in place only when it is whole."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import IO

from cxrsync.dataset.local_manifest import open_local
from cxrsync.dataset.target import Target
from cxrsync.disk_remedies import next_step_of
from cxrsync.errors import DiskError, UsageError
from cxrsync.model import MANIFEST_NAME, OWN_FOLDER
from cxrsync.sanitize import reason_of
from cxrsync.storage.filesystem import forbidden_folder
from cxrsync.storage.new_file import new_file

_LINES_AT_A_TIME = 4096


def check_output(file: Path, *, force: bool) -> Path:
    """Return the path of the file that will be written; a link leads to it.

    Raises UsageError where it could not be written: that is known before any work.
    """
    real = Path(os.path.realpath(file))
    if os.path.isdir(real) or (os.path.lexists(real) and not os.path.isfile(real)):
        what = "is a folder" if os.path.isdir(real) else "is not a regular file"
        raise UsageError(f"--output {file}: it {what}", next_step="Name a file.")
    is_forbidden = forbidden_folder(real.parent) is not None
    if not is_forbidden and not os.path.isdir(real.parent):
        raise UsageError(
            f"--output {file}: there is no folder {real.parent}",
            next_step="Make the folder, or name another file.",
        )
    if is_forbidden or not os.access(real.parent, os.W_OK | os.X_OK):
        raise UsageError(
            f"--output {file}: it lies in a folder that you may not write to",
            next_step="Name another file.",
        )
    if os.path.lexists(real) and not force:
        raise UsageError(
            f"--output {file}: the file exists",
            next_step="Name another file, or replace this one with --force.",
        )
    return real


def check_folder(folder: Path) -> Path:
    """Return a folder to write to. Raises UsageError if it is none, or if it may not be written."""
    real = Path(os.path.realpath(folder))
    if not os.path.isdir(real):
        what = "is not a folder" if os.path.lexists(real) else "does not exist"
        raise UsageError(
            f"--output {folder}: it {what}", next_step="Make the folder, or name another one."
        )
    if not os.access(real, os.W_OK | os.X_OK):
        raise UsageError(
            f"--output {folder}: you may not write to it", next_step="Name another folder."
        )
    return real


def refuse_file_of_dataset(file: Path, target: Target) -> None:
    """Raise UsageError if a file that will be written is one of a tree's own."""
    root = os.path.realpath(target.tree.root)
    path = os.path.relpath(file, root)
    if path.startswith("../"):
        return
    is_own = path == MANIFEST_NAME or path.split("/")[0] == OWN_FOLDER
    if not is_own:
        with closing(open_local(target.tree)) as manifest:
            is_own = path in manifest.paths()
    if is_own:
        raise UsageError(
            f"--output {file}: it is a file of {target.name}",
            next_step="Name another file: those of the dataset are never written to.",
        )


@contextmanager
def whole_file(file: Path, *, force: bool) -> Iterator[IO[bytes]]:
    """Yield the file to write; it gets its name at the end. Raises DiskError, UsageError."""
    try:
        with new_file(file, replace=force) as output:
            yield output
    except FileExistsError:
        raise UsageError(
            f"{file} exists by now: another program made it meanwhile",
            next_step="Name another file, or replace this one with --force.",
        ) from None
    except OSError as problem:
        raise DiskError(
            f"cannot write {file}: {reason_of(problem)}",
            next_step=next_step_of(problem, "or name another file", has_downloads=False),
        ) from None


def write_lines(lines: Iterable[str], output: IO[bytes]) -> None:
    """Write lines in UTF-8, each with a newline. Raises OSError."""
    lines = iter(lines)
    while batch := list(islice(lines, _LINES_AT_A_TIME)):
        output.write(("\n".join(batch) + "\n").encode("utf-8", "surrogateescape"))
