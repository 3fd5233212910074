"""The files of a partition's state: what everybody reads, and what the lock's holder works on.

``state.sqlite3`` is the snapshot. It is only ever replaced, by a rename, and never written in
place: whoever has it open reads one whole state to the end, on any file system and beside any
writer.

The lock's holder works on a copy of its own, ``state.<token>.sqlite3``. The token is its lock's, so
that one who was taken over and wakes up has neither a name nor a descriptor in common with the run
that took over. The copy is made at the first commit: a run that changes nothing copies nothing.

* Publish: copy to ``state.<token>.new``, sync it, check the lock, rename it to the snapshot, sync
  the folder. At the end the working copy itself becomes the snapshot.
* Recover, as soon as the lock is held: what an earlier holder left is copied (with its journal,
  since that holder may be asleep and not dead), opened, which rolls back what was not committed,
  and published if it is later than the snapshot. Then its names are taken away.

Whoever recovers takes every foreign ``state.<token>.new`` away before it publishes anything. So
the rename of a former holder that proved its lock, and then slept, fails: its source is gone.

Version 0.1.0 wrote ``state.sqlite3`` in place. What a kill left of that is recovered as well.
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
from cxrsync.storage.filesystem import FILE_MODE, sync_folders
from cxrsync.storage.reflink import clone_link_or_copy
from cxrsync.storage.state_schema import (
    FORMAT,
    is_damage,
    journal_of,
    open_to_read,
    open_to_write,
    read_header,
)

STATE_NAME = "state.sqlite3"

_WORKING = re.compile(r"state\.[0-9a-f]{32}\.sqlite3")
_STRAY = re.compile(r"state\.[0-9a-f]{32}\.(sqlite3-journal|new|new-journal)")
# How often something is copied that an owner who woke up is writing to, and how far apart.
_TRIES = 5
_PAUSE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class StateFiles:
    """The files of the state in ``folder``, as the holder of its lock has them.

    ``check_lock`` raises LockLost where the lock is another's by now. Every method that changes
    anything raises OSError, and what ``check_lock`` raises.
    """

    folder: Path
    token: str
    check_lock: Callable[[], None]

    @property
    def snapshot(self) -> Path:
        """What everybody reads."""
        return self.folder / STATE_NAME

    @property
    def working(self) -> Path:
        """What only we read and write."""
        return self.folder / f"state.{self.token}.sqlite3"

    @property
    def _new(self) -> Path:
        return self.folder / f"state.{self.token}.new"

    @property
    def settled(self) -> bool:
        """Whether the working copy is whole by itself: a commit that failed half-way, and could not
        be taken back either, needs its journal, and whoever recovers it."""
        return not os.path.lexists(journal_of(self.working))

    def begin(self) -> sqlite3.Connection:
        """Make the working copy of what the snapshot is, if there is one; open it. Raises
        sqlite3.Error, UnicodeDecodeError too."""
        try:
            if os.path.lexists(self.snapshot):
                _copy(self.snapshot, self._new)
                os.rename(self._new, self.working)
            return open_to_write(self.working)
        except BaseException:
            for each in (self.working, journal_of(self.working)):
                with suppress(OSError):  # the first error is the one to tell
                    _take_away(each)
            raise

    def publish(self) -> None:
        """Make the snapshot what the working copy is, which must be settled."""
        _copy(self.working, self._new)
        self._replace_by(self._new)

    def hand_over(self) -> None:
        """Let the working copy become the snapshot. It must be settled, and nobody may have it
        open any more."""
        # By a second name: a power cut may take both from a file that is just being renamed.
        _copy(self.working, self._new, Link.HARDLINK)
        self._replace_by(self._new)
        _take_away(self.working)

    def recover(self, stamp: str) -> list[Path]:
        """Make the latest state that is here the snapshot, and the only one.

        Returns where damaged ones were set aside. Raises LaterFormat, with nothing changed;
        sqlite3.Error for an error of the disk.
        """
        names = sorted(os.listdir(self.folder))
        left = [self.folder / name for name in names if _WORKING.fullmatch(name)]
        needed = {journal_of(path).name for path in left}
        strays = [name for name in names if _STRAY.fullmatch(name) and name not in needed]
        in_place = needs_recovery(self.snapshot)
        for path in left:
            read_header(path)
        if not (left or strays or in_place):
            return []
        # What was there before the lock was proved is nobody's who took it over since.
        self.check_lock()
        for name in strays:  # first: a rename of one of these would undo what comes now
            _take_away(self.folder / name)
        aside: list[Path] = []
        if in_place and self._bring(self.snapshot) is None:
            aside += self.set_aside(self.snapshot, stamp)
        elif in_place:
            self._replace_by(self._new)
            _take_away(journal_of(self.snapshot))
        for path in left:
            with suppress(FileNotFoundError):  # handed over at the last moment
                aside += self._recover_working(path, stamp)
        for each in (self._new, journal_of(self._new)):
            _take_away(each)
        sync_folders([str(self.folder)])
        return aside

    def set_aside(self, path: Path, stamp: str) -> list[Path]:
        """Give a damaged state another name, and its journal with it; which."""
        self.check_lock()
        aside = path.with_name(f"{path.name}.damaged-{stamp}")
        path.replace(aside)
        # A journal belongs to the file that it was written for.
        with suppress(FileNotFoundError):
            journal_of(path).replace(journal_of(aside))
        return [aside]

    # ── inside ─────────────────────────────────────────────────────────────────────────────────

    def _recover_working(self, path: Path, stamp: str) -> list[Path]:
        edition = self._bring(path)
        if edition is None:
            return self.set_aside(path, stamp)
        aside: list[Path] = []
        latest = _edition_in_place(self.snapshot)
        if latest is None:
            aside = self.set_aside(self.snapshot, stamp)
        if latest is None or edition > latest:
            self._replace_by(self._new)
        for each in (path, journal_of(path)):
            _take_away(each)
        return aside

    def _bring(self, path: Path) -> int | None:
        """Copy a state that a run was at work on, and roll back what was not committed.

        The copy is ``_new``. Returns its edition; None where it is damaged, or none at all.
        """
        if not _is_file(path):
            return None
        for copy in (_copy_with_journal, _copy):  # what lies there as a journal may be none
            _take_away(journal_of(self._new))
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
            self.check_lock()  # taken away by whoever took over
            raise
        sync_folders([str(self.folder)])

    def _keep_access(self, source: Path) -> None:
        """Whoever was let read the snapshot can read the next one too."""
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
                mode &= ~0o070  # it would be another group that is let in
        if mode != stat.S_IMODE(new.st_mode):
            os.chmod(source, mode)


def working_copies(folder: Path) -> list[Path]:
    """What a run is at work on, or what one left that was killed. Raises OSError."""
    return [folder / name for name in sorted(os.listdir(folder)) if _WORKING.fullmatch(name)]


def needs_recovery(snapshot: Path) -> bool:
    """Whether a snapshot has to be copied before it can be read: an older cxrsync wrote it in
    place and was killed, or its format is an older one. Raises LaterFormat, OSError."""
    head = read_header(snapshot)
    if head is not None and head.format != FORMAT:
        return True
    return _is_file(snapshot) and _is_file(journal_of(snapshot))


def open_recovered(snapshot: Path) -> sqlite3.Connection:
    """What :func:`needs_recovery`, from a copy that has no name any more: for whoever only reads.

    Raises sqlite3.Error, UnicodeDecodeError, OSError.
    """
    with tempfile.TemporaryDirectory(prefix="cxrsync-") as folder:
        copy = Path(folder, STATE_NAME)
        _copy_with_journal(snapshot, copy)
        return open_to_write(copy)


def _edition_in_place(snapshot: Path) -> int | None:
    """How many commits a snapshot knows of: -1 where there is none, None where it is damaged."""
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
    """Copy both as they are at one moment. Only a former owner can be writing to them, one that
    just woke up, and it will notice that before its next commit."""
    for _ in range(_TRIES):
        before = _look(original)
        with suppress(FileNotFoundError):
            target.unlink()
            journal_of(target).unlink()
        if _is_file(journal_of(original)):
            with suppress(FileNotFoundError):
                _copy(journal_of(original), journal_of(target))
        _copy(original, target)
        if _look(original) == before:
            return
        sleep(_PAUSE_SECONDS)


def _look(path: Path) -> list[tuple[int, int] | None]:
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


def _take_away(path: Path) -> None:
    # A folder is none of ours.
    with suppress(FileNotFoundError, IsADirectoryError):
        path.unlink()
