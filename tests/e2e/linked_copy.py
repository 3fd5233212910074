"""A copy of a published tree whose images and reports are links to the originals."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

Stats = dict[str, tuple[int, int, int]]


def linked_copy(source: Path, target: Path) -> Path:
    """Copy a tree in a tenth of the time: only files above the shards are copied. A test that
    changes an image or a report uses :func:`rewrite`: it never writes into one."""
    _copied(os.fspath(source), os.fspath(target))
    return target


def _copied(source: str, target: str) -> None:
    os.mkdir(target)
    for entry in os.scandir(source):
        there = f"{target}/{entry.name}"
        if not entry.is_dir():
            shutil.copy2(entry.path, there)
        elif entry.name == "files" and _is_shards(entry.path):
            _linked(entry.path, there)
        else:
            _copied(entry.path, there)


def _is_shards(folder: str) -> bool:
    return any(name.startswith("p1") for name in os.listdir(folder))


def _linked(source: str, target: str) -> None:
    os.mkdir(target)
    for entry in os.scandir(source):
        there = f"{target}/{entry.name}"
        if entry.is_dir():
            _linked(entry.path, there)
        else:
            os.link(entry.path, there)


def rewrite(path: Path, data: bytes) -> None:
    """Give a file of the copy another content, and leave the original as it is."""
    path.unlink()
    path.write_bytes(data)


def names(root: Path | str) -> set[str]:
    """The paths of everything in a folder: ten times as fast as ``rglob``."""
    found: set[str] = set()
    for entry in os.scandir(root):
        found.add(entry.path)
        if entry.is_dir(follow_symlinks=False):
            found |= names(entry.path)
    return found


def stats(root: Path | str) -> Stats:
    """Size, time and mode of each file of a tree."""
    found: Stats = {}
    for entry in os.scandir(root):
        if entry.is_dir(follow_symlinks=False):
            found |= stats(entry.path)
        else:
            status = entry.stat(follow_symlinks=False)
            found[entry.path] = (status.st_size, status.st_mtime_ns, status.st_mode)
    return found
