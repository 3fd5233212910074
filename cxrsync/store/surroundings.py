"""What a destination lies in: a drive that syncs online, or a git work tree that would take it in.

A synced drive is known by what its client makes, and by nothing that only resembles it: the type
of a mount, the client's own name of its folder, or the marker that it leaves in there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import NamedTuple

# What git needs of our environment. Nothing else goes along: neither a password of ours, nor what
# names another repository than the one of the folder (GIT_DIR, as it is set inside a git hook).
_FOR_GIT = (
    *("PATH", "LD_LIBRARY_PATH", "HOME", "XDG_CONFIG_HOME"),
    *("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"),
)
_GIT_SECONDS = 5.0

# File system types and sources, as Linux names them. The native pCloud client has a type that
# depends on how it was installed.
_BY_TYPE = {
    "fuse.rclone": "rclone",
    "fuse.google-drive-ocamlfuse": "Google Drive",
    "fuse.drive": "Google Drive",  # Google Colab
    "fuse.drivefs": "Google Drive",
    "fuse.onedriver": "OneDrive",
}
_BY_SOURCE = {"pCloud.fs": "pCloud"}

# Names that the clients give to their folders, whole. The last two are those of GNOME's mounts.
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
# Names that other things bear as well, the server of Nextcloud among them: they count in a home.
_BY_NAME_IN_HOME = {"Box": "Box", "Nextcloud": "Nextcloud", "ownCloud": "ownCloud"}
_HOMES = {"home", "Users"}

# What the clients leave at the top of what they sync, whatever its name; a folder ends with "/".
# (A folder .dropbox is in every home with Dropbox: the client's settings.)
_BY_MARKER = {
    ".dropbox": "Dropbox",
    ".849C9593-D756-4E56-8D6E-42412F2A707B": "OneDrive",
    ".tmp.drivedownload/": "Google Drive",
    ".shortcut-targets-by-id/": "Google Drive",
    ".sync_*.db": "Nextcloud or ownCloud",
    "._sync_*.db": "Nextcloud or ownCloud",
}


class Mount(NamedTuple):
    """A file system and where it is mounted; ``kind`` and ``source`` as the kernel names them."""

    point: PurePosixPath
    kind: str
    source: str


class Synced(NamedTuple):
    """A drive that syncs online: whose client does it, and what tells so."""

    client: str
    sign: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What lies around ``place``, which need not exist yet; no symbolic link is in its path.

    ``hidden``: the names with a dot that it and the folders above it hold, those of folders with
    a "/" at the end. ``mounts``: in the order in which they were made; none where the system has
    no table of them for us to read (macOS).
    """

    place: PurePosixPath
    home: PurePosixPath
    mounts: tuple[Mount, ...] = ()
    hidden: Mapping[PurePosixPath, frozenset[str]] = field(default_factory=dict)


# ── pure ───────────────────────────────────────────────────────────────────────────────────────


def synced(around: Surroundings) -> Synced | None:
    """The synced drive that the place is in, or None."""
    mount = _mount_of(around)
    if mount is not None:
        client = _BY_TYPE.get(mount.kind) or _BY_SOURCE.get(mount.source)
        if client:
            return Synced(client, f"{mount.point} is a mount of type {mount.kind}")
    for folder in (around.place, *around.place.parents):
        if client := _client_by_name(folder, around.home):
            return Synced(client, f"{folder} has the name of its folder")
        for name in around.hidden.get(folder, ()):
            for marker, client in _BY_MARKER.items():
                if fnmatchcase(name, marker):
                    return Synced(client, f"it left {folder / name}")
    return None


def work_tree(around: Surroundings) -> PurePosixPath | None:
    """The top of the git work tree that the place is in, by its ``.git``; None where there is
    none."""
    for folder in (around.place, *around.place.parents):
        if not around.hidden.get(folder, frozenset()).isdisjoint({".git", ".git/"}):
            return folder
    return None


def ignore_rule(place: PurePosixPath, tree: PurePosixPath) -> str:
    """The line for ``.gitignore`` at the top of ``tree`` that makes git ignore ``place``."""
    below = place.relative_to(tree).as_posix()
    return "*" if below == "." else "/" + re.sub(r"([\\*?\[])", r"\\\1", below) + "/"


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


def _mount_of(around: Surroundings) -> Mount | None:
    """The mount that the place's files are in: the deepest above it, of several the last made."""
    above = [each for each in around.mounts if around.place.is_relative_to(each.point)]
    return max(reversed(above), key=lambda each: len(each.point.parts), default=None)


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


def _unescape(name: str) -> str:
    """Blanks, tabs, line ends and backslashes are written in octal: ``My\\040Drive``."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), name)


# ── asking ─────────────────────────────────────────────────────────────────────────────────────


def look_around(place: Path) -> Surroundings:
    """What lies around ``place``, as far as we may look; it need not exist."""
    real = PurePosixPath(os.path.realpath(place))
    return Surroundings(
        place=real,
        home=PurePosixPath(os.path.realpath(os.path.expanduser("~"))),
        mounts=_mounts(),
        hidden={folder: _hidden(folder) for folder in (real, *real.parents)},
    )


def is_ignored(place: PurePosixPath, tree: PurePosixPath) -> bool | None:
    """Whether git, in the work tree ``tree``, ignores what will lie in ``place``.

    None where git cannot tell: it is not installed, will not trust the tree's owner, or says
    nothing for five seconds.
    """
    git = shutil.which("git")
    if git is None:
        return None
    # A name in there, since a rule for folders (data/) does not fit one that is not made yet, and
    # one that is nobody's, so that a rule for one kind of file (*.dcm) does not pass for all.
    # --no-index: what was added once may be large, and says nothing of what will come.
    inside = str(place / "whatever")
    words = [git, "-C", str(tree), "check-ignore", "--quiet", "--no-index", "--", inside]
    try:
        done = subprocess.run(  # noqa: S603 - the words are ours, and no shell reads them
            words,
            env={name: os.environ[name] for name in _FOR_GIT if name in os.environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return {0: True, 1: False}.get(done.returncode)


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
