"""Detects whether a destination is on a drive that syncs online.

Such a drive is recognized only by what its client makes: the type of a mount, the client's own name
for its folder, or a marker that the client puts into it. Similar names do not count.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import NamedTuple

from cxrsync.preflight.destination import DestinationInfo, mount_of

# File system types and sources, as Linux names them. The type of the native pCloud client depends
# on how it was installed.
_BY_TYPE = {
    "fuse.rclone": "rclone",
    "fuse.google-drive-ocamlfuse": "Google Drive",
    "fuse.drive": "Google Drive",  # Google Colab
    "fuse.drivefs": "Google Drive",
    "fuse.onedriver": "OneDrive",
}
_BY_SOURCE = {"pCloud.fs": "pCloud"}

# The full names that the clients give to their folders. The two with ":host=" are GNOME's mounts.
_BY_NAME = {
    "Dropbox": re.compile(r"Dropbox( \(.+\))?"),
    "OneDrive": re.compile(r"OneDrive( - .+)?|onedrive:host=.+"),
    "Google Drive": re.compile(
        r"Google ?Drive( \(.+\)| File Stream)?|My Drive( \(.+\))?|google-drive:host=.+"
    ),
    "iCloud Drive": re.compile(r"iCloud ?Drive"),
    "Box": re.compile(r"Box Sync"),
    "pCloud": re.compile(r"pCloud ?Drive"),
}
# Other folders have these names, too, like the server of Nextcloud: they count only in a home.
_BY_NAME_IN_HOME = {"Box": "Box", "Nextcloud": "Nextcloud", "ownCloud": "ownCloud"}
_HOMES = {"home", "Users"}

# What the clients put at the top of a synced folder, whatever its name. Folders end with "/".
# (A folder .dropbox, with the client's settings, is in every home with Dropbox.)
_BY_MARKER = {
    ".dropbox": "Dropbox",
    ".849C9593-D756-4E56-8D6E-42412F2A707B": "OneDrive",
    ".tmp.drivedownload/": "Google Drive",
    ".shortcut-targets-by-id/": "Google Drive",
    ".sync_*.db": "Nextcloud or ownCloud",
    "._sync_*.db": "Nextcloud or ownCloud",
}


class SyncedDrive(NamedTuple):
    """A drive that syncs online: the client, and the sign by which it was recognized."""

    client: str
    sign: str


def find_synced_drive(destination: DestinationInfo) -> SyncedDrive | None:
    """Return the synced drive that contains the destination, or None."""
    mount = mount_of(destination)
    if mount is not None:
        client = _BY_TYPE.get(mount.kind) or _BY_SOURCE.get(mount.source)
        if client:
            return SyncedDrive(client, f"{mount.point} is a mount of type {mount.kind}")
    for folder in (destination.place, *destination.place.parents):
        if client := _client_by_name(folder, destination.home):
            return SyncedDrive(client, f"{folder} has the name of its folder")
        for name in destination.hidden.get(folder, ()):
            for marker, client in _BY_MARKER.items():
                if fnmatchcase(name, marker):
                    return SyncedDrive(client, f"it left {folder / name}")
    return None


def _client_by_name(folder: PurePosixPath, home: PurePosixPath) -> str | None:
    above = folder.parent
    if above.parts[-2:] == ("Library", "CloudStorage"):  # macOS: GoogleDrive-me@example.org
        return folder.name.partition("-")[0]
    if folder.parts[-2:] == ("Library", "Mobile Documents"):
        return "iCloud Drive"
    if (above == home or above.parent.name in _HOMES) and folder.name in _BY_NAME_IN_HOME:
        return _BY_NAME_IN_HOME[folder.name]
    for client, name in _BY_NAME.items():
        if name.fullmatch(folder.name):
            return client
    return None
