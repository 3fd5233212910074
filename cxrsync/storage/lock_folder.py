"""The lock of a partition on the disk, and the single steps that change it.

The lock is a folder, ``lock``, that holds one file: the owner's. Its content says who owns the
lock (:class:`~cxrsync.storage.lock_owner.Owner`). Its name is ``<token>.<beat>``: the owner's
random token and the number of its last heartbeat.

Each step is one call that the file system decides for exactly one of several racers:

* Enter: make a folder with the owner's file under a name of its own, ``lock.<token>``, and rename
  it to ``lock``. The rename succeeds only where there is no lock or an empty one.
* Beat: rename the owner's file to the next number. If the file is gone, the lock was taken over.
* Take over: rename the owner's file out of the lock, by exactly the name under which it was seen
  to be dead or silent. An owner that woke up since then has another name, and keeps the lock.
* Leave: unlink the own file, then remove the folder if it is empty.

No step touches a name that another owner may have made meanwhile. So no step needs a guard, and a
process killed between two steps leaves at most an empty folder, or a ``lock.<token>`` that the
next owner removes.

Files of other programs (``.DS_Store``, ``@eaDir``, ``Thumbs.db``, ``.nfs…``) never count as an
owner: no owner's file can have such a name. But a folder that holds one cannot be replaced by a
rename. So a run that enters first moves them out of the lock, to ``aside.<random>.<name>``. This is
safe with any number of racers: each of these names can only be another program's.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from cxrsync.sanitize import reason_of
from cxrsync.storage.filesystem import FILE_MODE, FOLDER_MODE, UnexpectedFile
from cxrsync.storage.lock_owner import Owner, owner_in, owner_values

LOCK_NAME = "lock"
_REPLACED = "replaced"
_FOREIGN = "aside"
_OWNER_NAME = re.compile(r"[0-9a-f]{32}\.[0-9]+", re.ASCII)
_MAX_BYTES = 4096
_MAX_NAME = 255
# Of another program's name so many characters are kept: never too many bytes with our prefix.
_KEPT_CHARACTERS = 50
_CAREFULLY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class OwnerFile:
    """The file in a lock: its name, and the owner that its content names."""

    name: str
    owner: Owner


class LockFolder:
    """The lock of the partition ``folder``, as the contender with ``token`` changes it."""

    def __init__(self, folder: Path, token: str) -> None:
        self.folder = folder
        self.path = folder / LOCK_NAME
        self.candidate = folder / f"{LOCK_NAME}.{token}"
        self._token = token
        # Never counted back: a run that watched a name must not see it a second time.
        self._beats = 0

    @property
    def own_name(self) -> str:
        """The name of our file in the lock, as long as the lock is ours."""
        return f"{self._token}.{self._beats}"

    def read_owner(self) -> OwnerFile | None:
        """Return the owner's file, or None if nobody owns the lock. Raises OSError."""
        try:
            # Whatever may be there: do not follow a link, do not wait at a pipe.
            folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | _CAREFULLY)
        except FileNotFoundError:
            return None
        try:
            for name in filter(_OWNER_NAME.fullmatch, os.listdir(folder)):
                with contextlib.suppress(FileNotFoundError):
                    file = os.open(name, os.O_RDONLY | _CAREFULLY, dir_fd=folder)
                    try:
                        return OwnerFile(name, owner_in(os.read(file, _MAX_BYTES)))
                    finally:
                        os.close(file)
        finally:
            os.close(folder)
        return None

    def enter(self, owner: Owner) -> None:
        """Put ``owner``'s file into the lock, if nobody owns it; whether it got there, the next
        :meth:`beat` shows. Raises OSError."""
        self._beats += 1
        os.mkdir(self.candidate, FOLDER_MODE)
        try:
            with contextlib.suppress(FileNotFoundError):  # removed by the sweep of another owner
                self._write_owner(owner)
                with contextlib.suppress(OSError):  # not empty, or not there
                    os.rmdir(self.path)  # some file systems cannot rename onto a folder
                os.rename(self.candidate, self.path)
        except OSError as problem:
            if problem.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
            self._move_foreign_out()
        finally:
            _remove(self.candidate)

    def beat(self) -> bool:
        """Rename our file to the next number. Return False if it is gone. Raises OSError."""
        after = self.path / f"{self._token}.{self._beats + 1}"
        try:
            os.rename(self.path / self.own_name, after)
        except (FileNotFoundError, NotADirectoryError):
            # NFS may have renamed it, lost the answer, and asked again.
            if not os.path.lexists(after):
                return False
        self._beats += 1
        return True

    def take_out(self, name: str) -> None:
        """Move another owner's file of exactly this name out of the lock, and keep it. Raises
        OSError."""
        kept = self.folder / f"{_REPLACED}.{name}"[:_MAX_NAME]
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.path / name, kept)
        self._remove_if_empty()

    def leave(self) -> None:
        """Take our own file out of the lock. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path / self.own_name)
        self._remove_if_empty()

    def replaced(self) -> list[Path]:
        """Return the files of owners that were taken out and not yet forgotten. Raises OSError."""
        names = sorted(os.listdir(self.folder))
        return [self.folder / name for name in names if name.startswith(f"{_REPLACED}.")]

    def sweep(self) -> None:
        """Remove the folders of contenders that were killed while they entered. One that is alive
        tries again.

        By path, never by an open folder: that could have become somebody's lock.
        """
        with contextlib.suppress(OSError):
            for name in os.listdir(self.folder):
                if name.startswith(f"{LOCK_NAME}."):
                    _remove(self.folder / name)

    def _write_owner(self, owner: Owner) -> None:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        with open(os.open(self.candidate / self.own_name, flags, FILE_MODE), "w") as file:
            json.dump(owner_values(owner), file)
            file.flush()
            os.fsync(file.fileno())

    def _move_foreign_out(self) -> None:
        """Move other programs' files out of the lock, so that it can be entered. Raises
        OSError."""
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self.path):
                if not _OWNER_NAME.fullmatch(name):
                    self._move_out(name)

    def _move_out(self, name: str) -> None:
        kept = f"{_FOREIGN}.{secrets.token_hex(4)}.{name[-_KEPT_CHARACTERS:]}"
        try:
            os.rename(self.path / name, self.folder / kept)
        except FileNotFoundError:
            pass  # another run was quicker
        except OSError as problem:
            if problem.errno == errno.EBUSY:
                return  # NFS: a file that is open; it goes when it is closed
            message = f"{self.path / name} is not ours, and cannot be moved: {reason_of(problem)}"
            raise UnexpectedFile(problem.errno, message) from None

    def _remove_if_empty(self) -> None:
        with contextlib.suppress(OSError):  # not empty: somebody has entered
            os.rmdir(self.path)


def read_owner(file: Path) -> Owner:
    """Return the owner that a file names; one without a token if the file cannot be read."""
    try:
        fd = os.open(file, os.O_RDONLY | _CAREFULLY)
        try:
            return owner_in(os.read(fd, _MAX_BYTES))
        finally:
            os.close(fd)
    except OSError:
        return owner_in(b"")


def _remove(candidate: Path) -> None:
    with contextlib.suppress(OSError):
        for name in os.listdir(candidate):
            os.unlink(candidate / name)
        os.rmdir(candidate)
