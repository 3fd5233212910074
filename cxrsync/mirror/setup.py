"""What a machine needs to run a mirror each night, as values: paths, user, hours.

``mirror --print`` makes a systemd unit or a line of a crontab of it; both are text for a person to
read and install. Nothing here changes the machine.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from cxrsync.config.job_file import MirrorFile
from cxrsync.config.time_window import Window
from cxrsync.errors import UsageError

PASSWORD_FILE = Path("/etc/cxrsync/physionet-password")
_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
_TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - asks for them, and writes nothing
_NOT_IN_A_NAME = re.compile(r"[^0-9A-Za-z_.-]+", re.ASCII)
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,255}", re.ASCII)


@dataclass(frozen=True, slots=True)
class MirrorSetup:
    """How a mirror is run. All paths are absolute.

    command: the program and its first words, without ``mirror``.
    destinations: the folders with datasets. writes: other folders that the mirror writes to, of its
    log, report and metrics. reads: the program's folders, local sources, files with ids.
    user: the system's user who runs the mirror. physionet_user: the name to sign in with.
    password_file: a file with the password alone, which only root reads.
    needs_password: whether a job asks a server. sets_permissions: whether a job sets the group or
    the mode of files. has_hooks: whether the mirror runs commands of the user's.
    """

    command: tuple[str, ...]
    job_file: Path
    destinations: tuple[Path, ...]
    user: str
    writes: tuple[Path, ...] = ()
    reads: tuple[Path, ...] = ()
    physionet_user: str | None = None
    password_file: Path = PASSWORD_FILE
    window: Window | None = None
    needs_password: bool = True
    sets_permissions: bool = False
    has_hooks: bool = False

    def __post_init__(self) -> None:
        texts = (*self.command, self.user, self.physionet_user or "", *map(str, self._paths))
        if any(not text.isprintable() for text in texts):
            raise UsageError(
                "a path or a name contains control characters, which no unit and no crontab can "
                "hold",
                next_step="Rename it, then print the setup again.",
            )
        if not all(path.is_absolute() for path in (*self._paths, Path(self.command[0]))):
            raise UsageError(
                "a setup needs absolute paths", next_step="Write paths that begin with /."
            )
        if not _USER.fullmatch(self.user):
            raise UsageError(
                f"{self.user!r} is not the name of a user of this machine",
                next_step="Run the command as the user that the mirror will run as.",
            )

    @property
    def _paths(self) -> tuple[Path, ...]:
        return (*self.writable, *self.readable, self.password_file)

    @property
    def writable(self) -> tuple[Path, ...]:
        """Every folder that the mirror writes to, without those inside of others."""
        return outermost((*self.destinations, *self.writes))

    @property
    def readable(self) -> tuple[Path, ...]:
        """Every path that the mirror reads, without those inside of others or of writable ones."""
        program = Path(self.command[0])
        reads = outermost((program, self.job_file, *self.reads))
        return tuple(path for path in reads if not any(map(path.is_relative_to, self.writable)))

    @property
    def arguments(self) -> tuple[str, ...]:
        """The whole command line."""
        return (*self.command, "mirror", str(self.job_file))

    @property
    def name(self) -> str:
        """The name of the units and of the crontab's file: ``cxrsync-nightly``."""
        stem = _NOT_IN_A_NAME.sub("-", self.job_file.stem).strip("-.") or "mirror"
        return stem if stem.startswith("cxrsync") else f"cxrsync-{stem}"


def setup_of(
    file: MirrorFile,
    command: tuple[str, ...],
    user: str,
    password_file: Path,
    reads: tuple[Path, ...] = (),
) -> MirrorSetup:
    """Return the setup for a job file. ``reads``: what the program itself needs to read.

    Raises UsageError for what no unit and no crontab can hold.
    """
    jobs = [each.job for each in file.jobs]
    job_file = _absolute(file.path)
    local = [folder for each in jobs for folder in each.origin.folders] + [
        each.link_from for each in jobs
    ]
    local += [file for each in jobs for file in (each.origin.ca_file, each.origin.manifest)]
    written = [file.settings.get(name) for name in ("log", "report", "metrics_file")]
    return MirrorSetup(
        command=command,
        job_file=job_file,
        destinations=outermost(tuple(_absolute(each.dest) for each in jobs)),
        user=user,
        # The folder: each of these files is replaced, or moved away by logrotate.
        writes=tuple(_absolute(path).parent for path in written if path is not None),
        # The folder of the job file, because its relative paths start there.
        reads=(*reads, job_file.parent, *(_absolute(path) for path in local if path is not None)),
        physionet_user=next((each.origin.user for each in jobs if each.origin.user), None),
        password_file=password_file,
        window=next((each.limits.window for each in jobs if each.limits.window), None),
        needs_password=any(each.origin.is_site for each in jobs),
        sets_permissions=any(each.permissions is not None for each in jobs),
        has_hooks=bool(file.settings.get("before") or file.settings.get("after")),
    )


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))


def outermost(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return the paths in their order, without those that are inside of others."""
    unique = tuple(dict.fromkeys(paths))
    return tuple(
        path
        for path in unique
        if not any(other != path and path.is_relative_to(other) for other in unique)
    )


def is_in_home(path: Path) -> bool:
    """Return whether a path is where ``ProtectHome=`` of systemd applies."""
    return any(map(path.is_relative_to, _HOMES))


def is_temporary(path: Path) -> bool:
    """Return whether a path is where ``PrivateTmp=`` of systemd applies."""
    return any(map(path.is_relative_to, _TEMPORARY))
