"""What was found out about a user's access to datasets: facts, without a judgement.

:mod:`cxrsync.preflight.access_checklist` infers from them what is missing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from cxrsync.catalog.dataset_info import DatasetInfo
from cxrsync.config.job import SourceConfig
from cxrsync.errors import CxrsyncError
from cxrsync.preflight.cloud_sync import SyncedDrive, find_synced_drive
from cxrsync.preflight.destination import Mount, inspect, mount_of
from cxrsync.sources.access_probe import Reply
from cxrsync.sources.credentials import Credentials
from cxrsync.sources.version_info import VersionInfo
from cxrsync.storage.disk_space import FreeSpace, free_space


@dataclass(frozen=True, slots=True)
class VersionReply:
    """What the manifest of one version answered. ``reply`` None: it was not asked for.

    signed_in: whether the request was that of a user who is signed in. listed: whether the
    catalogue has the dataset, so that it is known to need credentialing.
    """

    dataset: DatasetInfo
    version: str
    reply: Reply | None = None
    signed_in: bool = False
    listed: bool = True

    @property
    def name(self) -> str:
        """Dataset and version, as messages have them."""
        return f"{self.dataset.slug} {self.version}".strip()

    @property
    def opens(self) -> bool:
        """Whether the server gives this version's files to the user."""
        return self.reply is not None and self.reply.opens

    @property
    def is_denied(self) -> bool:
        """Whether the server refuses it with 403."""
        return self.reply is not None and self.reply.status == 403


@dataclass(frozen=True, slots=True)
class SiteWords:
    """What the public API says of a dataset: its ``newest`` version ("" if it does not say), and
    about the version in question. ``silent``: why it says nothing."""

    newest: str = ""
    about: VersionInfo | None = None
    silent: str = ""


@dataclass(frozen=True, slots=True)
class SignIn:
    """The one sign-in. ``credentials``: None if none were found. ``refused``: why there is none."""

    credentials: Credentials | None = None
    refused: CxrsyncError | None = None

    @property
    def user(self) -> str:
        """Whose password was sent; "" if none was."""
        return "" if self.credentials is None else self.credentials.username


@dataclass(frozen=True, slots=True)
class DestinationFacts:
    """What is known of the destination ``place``, which need not exist yet.

    folder: the deepest folder on the way to it that exists. obstacle: what is in its way. free:
    None if the system does not say. mount: None where no table of mounts can be read.
    """

    place: PurePosixPath
    folder: PurePosixPath
    obstacle: str = ""
    writable: bool = True
    read_only: bool = False
    free: FreeSpace | None = None
    mount: Mount | None = None
    synced: SyncedDrive | None = None


@dataclass(frozen=True, slots=True)
class AccessFacts:
    """Everything that was found out, in the order in which it was asked.

    addresses: of the server; () through ``proxy``. lookup: why its name has none. first: what the
    first request, without credentials, got. sign_in: None if nothing asked for one. versions: those
    that the user asked about. others: further versions that were asked for to compare with.
    """

    host: str
    origin: SourceConfig
    proxy: str = ""
    addresses: tuple[str, ...] = ()
    lookup: CxrsyncError | None = None
    first: Reply | None = None
    sign_in: SignIn | None = None
    versions: tuple[VersionReply, ...] = ()
    others: tuple[VersionReply, ...] = ()
    site: dict[str, SiteWords] = field(default_factory=dict)
    destination: DestinationFacts | None = None


def destination_facts(dest: Path) -> DestinationFacts:
    """Return the facts about a destination. Nothing is created or changed."""
    info = inspect(dest)
    place = info.place
    folder = next(each for each in (place, *place.parents) if os.path.lexists(each))
    if not os.path.isdir(folder):
        return DestinationFacts(place, folder, obstacle=f"{folder} is not a folder")
    by_effective_id = os.access in os.supports_effective_ids
    writable = os.access(folder, os.W_OK | os.X_OK, effective_ids=by_effective_id)
    try:
        flags = os.statvfs(folder).f_flag
        free: FreeSpace | None = free_space(Path(folder))
    except OSError:
        flags, free = 0, None
    return DestinationFacts(
        place,
        folder,
        writable=writable,
        read_only=bool(flags & os.ST_RDONLY),
        free=free,
        mount=mount_of(info),
        synced=find_synced_drive(info),
    )
