"""Gathers facts about a destination: mounts, and hidden names in the folders above it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple


class Mount(NamedTuple):
    """A mounted file system. ``kind`` and ``source`` are the kernel's names."""

    point: PurePosixPath
    kind: str
    source: str


@dataclass(frozen=True, slots=True)
class DestinationInfo:
    """Facts about the destination ``place``, which need not exist yet. Its path has no links.

    ``hidden``: the names with a leading dot in ``place`` and each folder above it; those of folders
    end with "/". ``mounts``: in the order in which they were made; empty if the system has no table
    of them that we can read (macOS).
    """

    place: PurePosixPath
    home: PurePosixPath
    mounts: tuple[Mount, ...] = ()
    hidden: Mapping[PurePosixPath, frozenset[str]] = field(default_factory=dict)


def parse_mounts(table: str) -> tuple[Mount, ...]:
    """Return the mounts in a table in the format of ``/proc/self/mountinfo`` (proc(5)). Invalid
    lines are skipped."""
    mounts = []
    for line in table.split("\n"):
        where, _dash, what = line.partition(" - ")
        fields, rest = where.split(" "), what.split(" ")
        if len(fields) > 4 and len(rest) > 1:
            point = PurePosixPath(_unescape(fields[4]))
            mounts.append(Mount(point, rest[0], _unescape(rest[1])))
    return tuple(mounts)


def _unescape(name: str) -> str:
    """Decode blanks, tabs, newlines and backslashes, which are in octal: ``My\\040Drive``."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), name)


def mount_of(destination: DestinationInfo) -> Mount | None:
    """Return the mount of the destination: the deepest above it; of several, the last one made."""
    above = [each for each in destination.mounts if destination.place.is_relative_to(each.point)]
    return max(reversed(above), key=lambda each: len(each.point.parts), default=None)


def inspect(place: Path) -> DestinationInfo:
    """Return the facts about ``place`` that we may read. It need not exist."""
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
