"""One Job: dataset + selection + source + destination + limits, as frozen values."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxrsync import __version__
from cxrsync.model import Kind

DEFAULT_DEST = "physionet.org/files"
DEFAULT_BASE_URL = "https://physionet.org/files"
# PhysioNet honours basic auth only from agents that start with "Wget/" or "libwfdb/", and asks
# new programs to say who they are; this does both.
DEFAULT_USER_AGENT = f"Wget/1.21 (compatible; cxrsync/{__version__})"
# Users report 24 connections ending in connect timeouts, and 8 working for weeks.
AUTO_CONNECTIONS = 8
MOST_CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class Selection:
    """Which files of a version are meant. Values of one field are alternatives; fields all hold.

    No field set means the whole version. ``tables`` brings the tables along with a selection of
    shards.
    """

    shards: tuple[str, ...] = ()
    only: tuple[Kind, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    tables: bool = True

    @property
    def whole(self) -> bool:
        """Whether this is every file of the manifest."""
        return not (self.shards or self.only or self.include or self.exclude)

    def __str__(self) -> str:
        if self.whole:
            return "the whole version"
        words = []
        if self.shards:
            words.append(" ".join(self.shards))
        if self.only:
            words.append("only " + " and ".join(kind.value for kind in self.only))
        if self.include:
            words.append("paths like " + " or ".join(self.include))
        if self.exclude:
            words.append("not " + " nor ".join(self.exclude))
        if self.shards and self.tables and not self.only:
            words.append("with the tables")
        return ", ".join(words)

    def as_json(self) -> dict[str, Any]:
        """The selection as the state keeps it."""
        return {
            "shards": list(self.shards),
            "only": [kind.value for kind in self.only],
            "include": list(self.include),
            "exclude": list(self.exclude),
            "tables": self.tables,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Selection:
        """The selection that :meth:`as_json` wrote. Raises ValueError, KeyError or TypeError."""
        return cls(
            shards=tuple(str(shard) for shard in raw["shards"]),
            only=tuple(Kind(kind) for kind in raw["only"]),
            include=tuple(str(glob) for glob in raw["include"]),
            exclude=tuple(str(glob) for glob in raw["exclude"]),
            tables=bool(raw["tables"]),
        )


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the bytes come from: a server, or a tree on a local disk (``from_dir``)."""

    base_url: str = DEFAULT_BASE_URL
    from_dir: Path | None = None
    user: str | None = None
    ca_file: Path | None = None
    user_agent: str = DEFAULT_USER_AGENT


@dataclass(frozen=True, slots=True)
class Limits:
    """How hard and how long to try; times in seconds.

    There is deliberately no total timeout: an image of 13 MB at 25 KB/s takes nine minutes.
    ``give_up_after`` is how long the whole server may be away before the run ends.
    """

    connections: int = AUTO_CONNECTIONS
    retries: int = 5
    connect_timeout: float = 30.0
    stall_timeout: float = 60.0
    give_up_after: float = 3600.0
    wait_lock: float = 0.0
    max_files: int | None = None
    max_duration: float | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """What is wanted. ``version`` None means: the one in the destination, else the newest known.

    ``also``: further selections, whose files are meant as well (what a tree was pulled with).
    """

    dataset: str
    version: str | None = None
    selection: Selection = Selection()
    dest: Path = Path(DEFAULT_DEST)
    origin: Origin = Origin()
    limits: Limits = Limits()
    fsync: bool = True
    also: tuple[Selection, ...] = ()

    @property
    def selections(self) -> tuple[Selection, ...]:
        """All of them: a file is wanted if any of them means it."""
        return (self.selection, *self.also)


def is_loopback(host: str | None) -> bool:
    """Whether ``host`` names this machine."""
    if host is None:
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
