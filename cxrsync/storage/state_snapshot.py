"""The files of a partition's state: the snapshot for readers, and the owner's working copy.

``state.sqlite3`` is the snapshot. It is only replaced, by a rename, and never written in place. So
a reader that has it open reads one whole state to its end, on any file system, whoever writes.

The owner of the lock writes to a working copy, ``state.<token>.sqlite3``. The token is its lock's,
so an owner that was replaced and wakes up shares no name and no descriptor with the run that took
over. The copy is made at the first commit: a run that changes nothing copies nothing.

* Publish: copy to ``state.<token>.new``, sync it, check the lock, rename it to the snapshot, sync
  the folder. At the end the working copy itself becomes the snapshot.
* Recover, as soon as the lock is held: the working copy of an earlier owner is copied with its
  journal (that owner may be asleep, not dead). Opening the copy rolls back what was not committed.
  If it is later than the snapshot, it is published. Then its names are unlinked.

Before it publishes anything, a recovery unlinks every ``state.<token>.new`` of other owners. So if
a former owner checked its lock and then slept, its rename fails: the source of the rename is gone.

Version 0.1.0 wrote ``state.sqlite3`` in place. A commit that a kill interrupted there is recovered
as well.
"""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import sleep

from cxrsync.config.job import Link
from cxrsync.storage.access import OWNER_ONLY, Access
from cxrsync.storage.filesystem import FILE_MODE, sync_folders
from cxrsync.storage.reflink import clone_link_or_copy
from cxrsync.storage.state_schema import (
    is_current,
    is_damage,
    journal_of,
    open_to_read,
    open_to_write,
    read_header,
)

STATE_NAME = "state.sqlite3"

_WORKING = re.compile(r"state\.[0-9a-f]{32}\.sqlite3")
_STRAY = re.compile(r"state\.[0-9a-f]{32}\.(sqlite3-journal|new|new-journal)")
# How often, and at which interval, a file is copied that an owner who woke up is writing to.
_TRIES = 5
_PAUSE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class StateFiles:
    """The files of the state in ``folder``, for the owner of its lock.

    ``check_lock`` raises LockLost if another run has the lock. ``access``: who may read the
    snapshot. Every method that changes anything
    raises OSError, and what ``check_lock`` raises.
    """

    folder: Path
    token: str
    check_lock: Callable[[], None]
    access: Access = OWNER_ONLY

    @property
    def snapshot(self) -> Path:
        """The snapshot, which everybody reads."""
        return self.folder / STATE_NAME

    @property
    def working(self) -> Path:
        """The working copy, which only we read and write."""
        return self.folder / f"state.{self.token}.sqlite3"

    @property
    def _new(self) -> Path:
        return self.folder / f"state.{self.token}.new"

    @property
    def settled(self) -> bool:
        """Whether the working copy is complete without a journal. A commit that failed half-way and
        could not be rolled back needs its journal, and a recovery."""
        return not os.path.lexists(journal_of(self.working))

    def begin(self) -> sqlite3.Connection:
        """Copy the snapshot, if there is one, to the working copy, and open it. Also raises
        sqlite3.Error, UnicodeDecodeError."""
        try:
            if os.path.lexists(self.snapshot):
                _copy(self.snapshot, self._new)
                os.rename(self._new, self.working)
            return open_to_write(self.working)
        except BaseException:
            for each in (self.working, journal_of(self.working)):
                with suppress(OSError):  # report the first error, not this one
                    _unlink(each)
            raise

    def publish(self) -> None:
        """Replace the snapshot by a copy of the working copy, which must be settled."""
        _copy(self.working, self._new)
        self._replace_by(self._new)

    def hand_over(self) -> None:
        """Make the working copy the snapshot. It must be settled, and nobody may have it open any
        more."""
        # By a second name: during a rename, a power cut may take both names from a file.
        _copy(self.working, self._new, Link.HARDLINK)
        self._replace_by(self._new)
        _unlink(self.working)

    def recover(self, stamp: str) -> list[Path]:
        """Make the latest state in the folder the snapshot, and remove the others.

        Returns the paths that damaged states were moved to. Raises NewerFormat (then nothing was
        changed), sqlite3.Error for an error of the disk.
        """
        names = sorted(os.listdir(self.folder))
        left = [self.folder / name for name in names if _WORKING.fullmatch(name)]
        needed = {journal_of(path).name for path in left}
        strays = [name for name in names if _STRAY.fullmatch(name) and name not in needed]
        written_in_place = needs_recovery(self.snapshot)
        for path in left:
            read_header(path)
        if not (left or strays or written_in_place):
            return []
        # A run that takes the lock over after this check has made none of the files listed above.
        self.check_lock()
        for name in strays:  # first: a rename of one of these would undo the following steps
            _unlink(self.folder / name)
        aside: list[Path] = []
        if written_in_place and self._recover_copy(self.snapshot) is None:
            aside += self.set_aside(self.snapshot, stamp)
        elif written_in_place:
            self._replace_by(self._new)
            _unlink(journal_of(self.snapshot))
        for path in left:
            with suppress(FileNotFoundError):  # its owner made it the snapshot at the last moment
                aside += self._recover_working(path, stamp)
        for each in (self._new, journal_of(self._new)):
            _unlink(each)
        sync_folders([str(self.folder)])
        return aside

    def set_aside(self, path: Path, stamp: str) -> list[Path]:
        """Move a damaged state and its journal to another name. Return the new path."""
        self.check_lock()
        aside = path.with_name(f"{path.name}.damaged-{stamp}")
        path.replace(aside)
        # The journal belongs to the file that it was written for.
        with suppress(FileNotFoundError):
            journal_of(path).replace(journal_of(aside))
        return [aside]

    # ── inside ─────────────────────────────────────────────────────────────────────────────────

    def _recover_working(self, path: Path, stamp: str) -> list[Path]:
        edition = self._recover_copy(path)
        if edition is None:
            return self.set_aside(path, stamp)
        aside: list[Path] = []
        latest = _edition_of(self.snapshot)
        if latest is None:
            aside = self.set_aside(self.snapshot, stamp)
        if latest is None or edition > latest:
            self._replace_by(self._new)
        for each in (path, journal_of(path)):
            _unlink(each)
        return aside

    def _recover_copy(self, path: Path) -> int | None:
        """Copy a working copy to ``_new``, and roll back what was not committed.

        Returns its edition; None if it is damaged or not a file.
        """
        if not _is_file(path):
            return None
        for copy in (_copy_with_journal, _copy):  # the file named as its journal may not be one
            _unlink(journal_of(self._new))
            copy(path, self._new)
            try:
                open_to_write(self._new).close()
            except (sqlite3.DatabaseError, UnicodeDecodeError) as problem:
                if not is_damage(problem, self._new):
                    raise
                continue
            head = read_header(self._new)
            return None if head is None else head.edition
        return None

    def _replace_by(self, source: Path) -> None:
        self._keep_access(source)
        self.check_lock()
        try:
            os.replace(source, self.snapshot)
        except FileNotFoundError:
            self.check_lock()  # unlinked by the run that took over
            raise
        sync_folders([str(self.folder)])

    def _keep_access(self, source: Path) -> None:
        """Let those read the next snapshot who may read the tree: by default, those who can read
        the present one."""
        if self.access != OWNER_ONLY:
            self._share(source)
            return
        try:
            old = os.lstat(self.snapshot)
        except FileNotFoundError:
            return
        if not stat.S_ISREG(old.st_mode):
            return
        new = os.lstat(source)
        mode = stat.S_IMODE(old.st_mode) & 0o666 | FILE_MODE
        if old.st_gid != new.st_gid:
            try:
                os.chown(source, -1, old.st_gid, follow_symlinks=False)
            except OSError:
                mode &= ~0o070  # otherwise another group could read it
        if mode != stat.S_IMODE(new.st_mode):
            os.chmod(source, mode)

    def _share(self, source: Path) -> None:
        # Not Access.set_on: a working copy that becomes the snapshot has two names for a moment.
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            self.access.set_on_own(fd)
        finally:
            os.close(fd)


def working_copies(folder: Path) -> list[Path]:
    """Return the working copies in a folder, of running and of killed runs. Raises OSError."""
    return [folder / name for name in sorted(os.listdir(folder)) if _WORKING.fullmatch(name)]


def needs_recovery(snapshot: Path) -> bool:
    """Return whether a snapshot must be copied before it can be read: an older cxrsync wrote it in
    place and was killed, or its format is older. Raises NewerFormat, OSError."""
    head = read_header(snapshot)
    if head is not None and not is_current(head.format):
        return True
    return _is_file(snapshot) and _is_file(journal_of(snapshot))


def open_recovered(snapshot: Path) -> sqlite3.Connection:
    """Open a copy of a snapshot that :func:`needs_recovery`, for readers. The copy has no name any
    more.

    Raises sqlite3.Error, UnicodeDecodeError, OSError.
    """
    with tempfile.TemporaryDirectory(prefix="cxrsync-") as folder:
        copy = Path(folder, STATE_NAME)
        _copy_with_journal(snapshot, copy)
        return open_to_write(copy)


def _edition_of(snapshot: Path) -> int | None:
    """Return the edition of a snapshot: -1 if there is none, None if it is damaged."""
    try:
        if os.path.getsize(snapshot) == 0:
            return -1
        open_to_read(snapshot).close()
    except FileNotFoundError:
        return -1
    except (sqlite3.DatabaseError, UnicodeDecodeError) as problem:
        if not is_damage(problem, snapshot):
            raise
        return None
    head = read_header(snapshot)
    return None if head is None else head.edition


def _copy(original: Path, target: Path, how: Link = Link.REFLINK) -> None:
    if clone_link_or_copy(str(original), target, how, reserve=0) is Link.HARDLINK:
        return
    fd = os.open(target, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _copy_with_journal(original: Path, target: Path) -> None:
    """Copy a database and its journal as they are at one moment. Only a former owner that just woke
    up can be writing to them, and it will notice before its next commit."""
    for _ in range(_TRIES):
        before = _signature(original)
        with suppress(FileNotFoundError):
            target.unlink()
            journal_of(target).unlink()
        if _is_file(journal_of(original)):
            with suppress(FileNotFoundError):
                _copy(journal_of(original), journal_of(target))
        _copy(original, target)
        if _signature(original) == before:
            return
        sleep(_PAUSE_SECONDS)


def _signature(path: Path) -> list[tuple[int, int] | None]:
    found: list[tuple[int, int] | None] = []
    for each in (path, journal_of(path)):
        try:
            seen = os.lstat(each)
        except FileNotFoundError:
            found.append(None)
        else:
            found.append((seen.st_size, seen.st_mtime_ns))
    return found


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def _unlink(path: Path) -> None:
    # A folder is not ours.
    with suppress(FileNotFoundError, IsADirectoryError):
        path.unlink()
