"""One Job: dataset + selection + source + destination + limits, as frozen values."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from cxrsync import __version__
from cxrsync.config.selection import Selection

DEFAULT_DEST = "physionet.org/files"
DEFAULT_BASE_URL = "https://physionet.org/files"
# PhysioNet honours basic auth only from agents that start with "Wget/" or "libwfdb/", and asks
# new programs to say who they are; this does both.
DEFAULT_USER_AGENT = f"Wget/1.21 (compatible; cxrsync/{__version__})"
# Users report 24 connections ending in connect timeouts, and 8 working for weeks.
AUTO_CONNECTIONS = 8
AUTO_FIRST_CONNECTIONS = 4
MAX_CONNECTIONS = 32


class Link(Enum):
    """How a file comes over from an older version; the values of ``--link``.

    Where the file system cannot, a hard link becomes a clone, and a clone a copy.
    """

    REFLINK = "reflink"
    HARDLINK = "hardlink"
    COPY = "copy"


class Reports(Enum):
    """How reports come; the values of ``--reports``. AUTO: as one archive where that is less."""

    AUTO = "auto"
    ZIP = "zip"
    FILES = "files"


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """Where the bytes come from: a server, or a tree on a local disk (``from_dir``)."""

    base_url: str = DEFAULT_BASE_URL
    from_dir: Path | None = None
    user: str | None = None
    ca_file: Path | None = None
    user_agent: str = DEFAULT_USER_AGENT


@dataclass(frozen=True, slots=True)
class TransferLimits:
    """How hard and how long to try; times in seconds.

    ``connections`` are asked at a time, ranges included: at most ``first_connections`` of them at
    first, more where all goes well, and fewer after trouble. Where these are equal, always as many.
    There is deliberately no total timeout: an image of 13 MB at 25 KB/s takes nine minutes.
    ``give_up_after`` is how long the whole server may be away before the run ends; ``rate`` the
    bytes per second of all connections together, None without limit.
    """

    connections: int = AUTO_CONNECTIONS
    retries: int = 5
    connect_timeout: float = 30.0
    stall_timeout: float = 60.0
    give_up_after: float = 3600.0
    wait_lock: float = 0.0
    max_files: int | None = None
    max_duration: float | None = None
    rate: float | None = None
    first_connections: int = AUTO_FIRST_CONNECTIONS


@dataclass(frozen=True, slots=True)
class Job:
    """What is wanted. ``version`` None means: the one in the destination, else the newest known.

    ``also``: further selections, whose files are meant as well (what a tree was pulled with);
    ``with_reports``: the reports of the selected studies too, from the dataset that has them;
    ``link_from``: an older version's tree, besides those that lie beside the new one; ``force``:
    pull although it seems not to fit on the disk; ``allow_synced``: into a drive that syncs online
    too; ``acknowledged``: path and observed SHA-256 of contradictions that are no fault any more.
    """

    dataset: str
    version: str | None = None
    selection: Selection = field(default_factory=Selection)
    dest: Path = Path(DEFAULT_DEST)
    origin: SourceConfig = SourceConfig()
    limits: TransferLimits = TransferLimits()
    fsync: bool = True
    also: tuple[Selection, ...] = ()
    reports: Reports = Reports.AUTO
    with_reports: bool = False
    link_from: Path | None = None
    link: Link = Link.REFLINK
    force: bool = False
    allow_synced: bool = False
    acknowledged: frozenset[tuple[str, str]] = frozenset()

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
