"""A Job: dataset, selection, source, destination and limits, as frozen values."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from cxrsync import __version__
from cxrsync.config.permissions import Permissions
from cxrsync.config.quantities import Share
from cxrsync.config.selection import Selection
from cxrsync.config.store_address import SitePlace, StoreAddress
from cxrsync.config.time_window import Window
from cxrsync.config.timetable import Timetable

LATEST = "latest"
DEFAULT_DEST = "physionet.org/files"
DEFAULT_BASE_URL = "https://physionet.org/files"
# PhysioNet accepts basic auth only from agents that start with "Wget/" or "libwfdb/", and asks new
# programs to identify themselves. This value does both.
DEFAULT_USER_AGENT = f"Wget/1.21 (compatible; cxrsync/{__version__})"
# Users report connect timeouts with 24 connections, and weeks without trouble with 8.
AUTO_CONNECTIONS = 8
AUTO_FIRST_CONNECTIONS = 4
MAX_CONNECTIONS = 32
# A store in the cloud is made for many; it says SlowDown where it is too much.
STORE_CONNECTIONS = 32
STORE_FIRST_CONNECTIONS = 16
STORE_MAX_CONNECTIONS = 128


class Link(Enum):
    """How a file of an older version is reused; the values of ``--link``.

    If the file system cannot make a hard link, a clone is made; if it cannot clone, a copy.
    """

    REFLINK = "reflink"
    HARDLINK = "hardlink"
    COPY = "copy"


class Reports(Enum):
    """How reports are fetched; the values of ``--reports``. AUTO: the archive, if it is smaller."""

    AUTO = "auto"
    ZIP = "zip"
    FILES = "files"


class HttpPath(Enum):
    """How files are fetched over HTTP; the values of ``--http``. LEAN: by cxrsync's own few lines,
    and by aiohttp what they do not read; AIOHTTP: always by aiohttp."""

    LEAN = "lean"
    AIOHTTP = "aiohttp"


DEFAULT_HTTP = HttpPath.AIOHTTP


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """The sources of the files: servers, trees on a local disk, stores in the cloud.

    places: in the order in which they are asked; () means the server at ``base_url``.
    manifest: a file that is used as the manifest of the job's dataset.
    access_point_number: the user's, of PhysioNet's access points. requester_pays: the project that
    pays on Google Cloud. endpoint_url: of another store than those of AWS or Google Cloud.
    """

    base_url: str = DEFAULT_BASE_URL
    places: tuple[Path | StoreAddress | SitePlace, ...] = ()
    user: str | None = None
    ca_file: Path | None = None
    user_agent: str = DEFAULT_USER_AGENT
    http: HttpPath = DEFAULT_HTTP
    manifest: Path | None = None
    access_point_number: int = 1
    aws_profile: str | None = None
    requester_pays: str | None = None
    endpoint_url: str | None = None

    @property
    def from_dir(self) -> Path | None:
        """The folder, if that is what is asked first."""
        first = self.places[0] if self.places else None
        return first if isinstance(first, Path) else None

    @property
    def folders(self) -> tuple[Path, ...]:
        """All local folders that are read."""
        return tuple(each for each in self.places if isinstance(each, Path))

    @property
    def stores(self) -> tuple[StoreAddress, ...]:
        """All stores in the cloud."""
        return tuple(each for each in self.places if isinstance(each, StoreAddress))

    @property
    def is_site(self) -> bool:
        """Whether the server at ``base_url`` is asked, which may want a password."""
        return not self.places or any(isinstance(each, SitePlace) for each in self.places)

    @property
    def shown(self) -> str:
        """The sources as messages name them."""
        names = (
            self.base_url if isinstance(each, SitePlace) else str(each) for each in self.places
        )
        return ", then ".join(names) or self.base_url


@dataclass(frozen=True, slots=True)
class TransferLimits:
    """Limits of connections, retries, time and rate; times in seconds.

    The run starts with ``first_connections`` concurrent requests, ranges included. It adds
    connections while all goes well, up to ``connections``, and removes some after failures. If both
    are equal, the number is fixed. There is deliberately no total timeout: an image of 13 MB takes
    nine minutes at 25 KB/s. ``give_up_after``: how long the server may be down before the run ends.
    ``rate``: which bytes per second, of all connections together, hold when. ``max_bytes``: how
    many bytes may be received (small files that have begun are finished); ``keep_free``: how many
    of the disk stay free. The run works in ``window`` only.
    """

    connections: int = AUTO_CONNECTIONS
    retries: int = 5
    connect_timeout: float = 30.0
    stall_timeout: float = 60.0
    give_up_after: float = 3600.0
    wait_lock: float = 0.0
    max_files: int | None = None
    max_duration: float | None = None
    max_bytes: int | None = None
    keep_free: int = 0
    window: Window | None = None
    rate: Timetable = field(default_factory=Timetable)
    first_connections: int = AUTO_FIRST_CONNECTIONS


# How many logs of runs a tree keeps.
KEPT_RUNS = 400
_DEFAULT_SHARE = Share(percent=1.0)
# Of a run that nobody watches: a person who deleted files means to fetch them again.
UNATTENDED_MAX_REFETCH = Share(percent=1.0)


@dataclass(frozen=True, slots=True)
class Refresh:
    """What a pull may do to a tree that was pulled before.

    ``delete``: move files that left the manifest to the trash, at most ``max_delete`` of them.
    ``trash_keep``: seconds after which the trash is emptied; None: never. ``max_refetch``: how many
    verified files may be gone from the disk, None for any number; ``refetch`` lifts the limit.
    """

    delete: bool = False
    max_delete: Share = _DEFAULT_SHARE
    trash_keep: float | None = None
    max_refetch: Share | None = None
    refetch: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """What to pull, from where, and to where.

    version: None means the version in the destination, else the newest known version; "latest" the
    newest known version.
    also: further selections, whose files are pulled too (those that a tree was pulled with).
    with_reports: also pull the reports of the selected studies, from the dataset that has them.
    gunzip_tables: lay the plain .csv beside each selected .csv.gz.
    link_from: the tree of an older version, besides those that lie beside the new one.
    force: pull even if the free disk space seems too small.
    allow_synced: allow a destination that is synced online.
    acknowledged: path and observed SHA-256 of mismatches that do not count as failures.
    refresh: what may be deleted or fetched again.
    keep_runs: how many logs of runs the tree keeps.
    permissions: for a group that reads the tree; None: those that the tree has already.
    must_exist: the tree is there already, so that a run creates none; a mirror says so of its jobs.
    partitions: of what is selected, only the files in these partitions; empty: in all. A job is
    divided among machines by it; the selection, and what the states record of it, stay the same.
    resize: make copies of the images whose shorter side has so many pixels.
    drop_originals: the copies replace their originals.
    keep_replaced: files that copies have replaced stay so, also where the job does not resize.
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
    gunzip_tables: bool = False
    link_from: Path | None = None
    link: Link = Link.REFLINK
    force: bool = False
    allow_synced: bool = False
    acknowledged: frozenset[tuple[str, str]] = frozenset()
    refresh: Refresh = Refresh()
    keep_runs: int = KEPT_RUNS
    permissions: Permissions | None = None
    must_exist: bool = False
    partitions: frozenset[str] = frozenset()
    resize: int | None = None
    drop_originals: bool = False
    keep_replaced: bool = False

    @property
    def named_version(self) -> str | None:
        """The version that the job names; None if it is still to be chosen."""
        return None if self.version == LATEST else self.version

    @property
    def selections(self) -> tuple[Selection, ...]:
        """All selections. A file is selected if any of them selects it."""
        return (self.selection, *self.also)


def is_loopback(host: str | None) -> bool:
    """Return whether ``host`` is this machine."""
    if host is None:
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def unattended(job: Job) -> Job:
    """Return the job with the limits of a run that nobody watches, where it sets none itself."""
    job = replace(job, keep_replaced=True)
    if job.refresh.max_refetch is not None:
        return job
    return replace(job, refresh=replace(job.refresh, max_refetch=UNATTENDED_MAX_REFETCH))
