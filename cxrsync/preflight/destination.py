"""What lies around a destination: mounts, and the names in the folders above it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple


class Mount(NamedTuple):
    """A file system and where it is mounted; ``kind`` and ``source`` as the kernel names them."""

    point: PurePosixPath
    kind: str
    source: str


@dataclass(frozen=True, slots=True)
class DestinationInfo:
    """What lies around ``place``, which need not exist yet; no symbolic link is in its path.

    ``hidden``: the names with a dot that it and the folders above it hold, those of folders with
    a "/" at the end. ``mounts``: in the order in which they were made; none where the system has
    no table of them for us to read (macOS).
    """

    place: PurePosixPath
    home: PurePosixPath
    mounts: tuple[Mount, ...] = ()
    hidden: Mapping[PurePosixPath, frozenset[str]] = field(default_factory=dict)


def parse_mounts(table: str) -> tuple[Mount, ...]:
    """The mounts of a table as ``/proc/self/mountinfo`` has them (proc(5)); odd lines are left
    out."""
    mounts = []
    for line in table.split("\n"):
        where, _dash, what = line.partition(" - ")
        fields, rest = where.split(" "), what.split(" ")
        if len(fields) > 4 and len(rest) > 1:
            point = PurePosixPath(_unescape(fields[4]))
            mounts.append(Mount(point, rest[0], _unescape(rest[1])))
    return tuple(mounts)


def _unescape(name: str) -> str:
    """Blanks, tabs, line ends and backslashes are written in octal: ``My\\040Drive``."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), name)


def inspect(place: Path) -> DestinationInfo:
    """What lies around ``place``, as far as we may look; it need not exist."""
    real = PurePosixPath(os.path.realpath(place))
    return DestinationInfo(
        place=real,
        home=PurePosixPath(os.path.realpath(os.path.expanduser("~"))),
        mounts=_mounts(),
        hidden={folder: _hidden(folder) for folder in (real, *real.parents)},
    )


def _mounts() -> tuple[Mount, ...]:
    try:
        return parse_mounts(os.fsdecode(Path("/proc/self/mountinfo").read_bytes()))
    except OSError:
        return ()


def _hidden(folder: PurePosixPath) -> frozenset[str]:
    with suppress(OSError), os.scandir(folder) as entries:
        return frozenset(
            entry.name + "/" * os.path.isdir(entry)
            for entry in entries
            if entry.name.startswith(".")
        )
    return frozenset()
