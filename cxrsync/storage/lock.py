"""One run per partition, on any file system.

``flock`` says yes to everyone on some Lustre, GPFS and NFS mounts, and taking a lock file over by
stat, unlink and create lets two owners in (97 times of 100). So the lock is a folder that holds
one file: its words say who owns it, and its name is a random token and the number of the last
heartbeat. Each step is one call that the file system decides for one of many:

* Who enters makes a folder with its file in it under a name of its own, and renames that to the
  lock's name. That succeeds only where there is no lock, or an empty one.
* The owner's heartbeat, and each check, renames its file to the next number.
* Who takes over renames the owner's file out of the lock, by the very name that it was found dead
  or silent under, and enters like anybody. An owner that woke up in the meantime has another name
  by then, and stays; one that did not finds its file gone at the next check, and stops.
* Release unlinks the owner's own file, and the folder if it is empty.

Nothing is ever done to a name that may be somebody else's by now, so none of it needs guarding, and
whoever is killed in the middle leaves at most an empty folder, or one that the next owner sweeps.

An owner is *dead* if this very boot of this machine has no such process any more, and *silent* if
its file has borne the same name for five minutes of our own clock. One that calls itself this
machine in an earlier boot is believed to be gone after more than one beat of silence: a cloned
machine says the same of itself.

An owner that was taken for silent may still wake up, in the middle of anything. So what it left is
not gone on with where it lies: see :mod:`cxrsync.storage.leftovers`. The file that was renamed out
(``replaced.<token>.<beat>``) says whose it may be, until that is done with.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import Enum
from pathlib import Path
from time import monotonic, sleep, time
from types import TracebackType
from typing import Self

from cxrsync.clock import boottime
from cxrsync.errors import CxrsyncError, DiskError, Locked, LockLost
from cxrsync.sanitize import reason_of
from cxrsync.storage.filesystem import FILE_MODE, FOLDER_MODE, make_folders
from cxrsync.storage.lock_owner import (
    Owner,
    is_dead,
    is_of_earlier_boot,
    myself,
    owner_in,
    start_of,
)

LOCK_NAME = "lock"
HEARTBEAT_SECONDS = 30.0
SILENT_SECONDS = 300.0
# Of an owner that calls itself this machine in an earlier boot, in beats.
_BEATS_OF_ANOTHER_BOOT = 1.5
# So long without a beat of ours, in beats, and somebody may be about to take the lock over.
_BEATS_TO_BE_SURE = 2
_REPLACED = "replaced"
_LOOK_SECONDS = 0.5
# A lock that is nobody's and that we do not get either: others were quicker, or the file system
# does not do as it says.
_MAX_TRIES = 50
_QUICK_TRIES = 5
_TRY_SECONDS = 0.02
_MAX_BYTES = 4096
_MAX_NAME = 255
_CAREFULLY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class OwnerState(Enum):
    """What is known of the owner of a lock."""

    LIVING = "living"
    DEAD = "dead"
    EARLIER_BOOT = "of an earlier boot of this machine"
    SILENT = "silent"


def judge_owner(
    owner: Owner, me: Owner, start_of: Callable[[int], str | None], unchanged: float
) -> OwnerState:
    """What is known of ``owner``, whose file has borne its name for ``unchanged`` seconds."""
    if is_dead(owner, me, start_of):
        return OwnerState.DEAD
    if unchanged > SILENT_SECONDS:
        return OwnerState.SILENT
    if is_of_earlier_boot(owner, me) and unchanged > _reboot_seconds():
        return OwnerState.EARLIER_BOOT
    return OwnerState.LIVING


def _reboot_seconds() -> float:
    return _BEATS_OF_ANOTHER_BOOT * HEARTBEAT_SECONDS


@dataclass(frozen=True, slots=True)
class Holder:
    """Who keeps us out of a lock, in words; ``ends_in``: in how many seconds it will be known to
    have ended, where that is likely."""

    words: str
    ends_in: float | None = None


@dataclass(frozen=True, slots=True)
class ReplacedOwner:
    """An owner whose lock was taken over, and whether it is certainly dead; in ``words``, too.
    ``file`` says so on the disk until everything that it left is ours."""

    file: Path
    owner: Owner
    dead: bool
    words: str


@dataclass(frozen=True, slots=True)
class _OwnerFile:
    """The file in a lock: what it is called, and whom it names."""

    name: str
    owner: Owner


class Lock:
    """The lock of one partition. Use as a context manager around all work on it."""

    def __init__(
        self,
        folder: Path,
        *,
        wait: float = 0.0,
        describe: str = "",
        on_loss: Callable[[LockLost], None] = lambda _lost: None,
    ) -> None:
        """``on_loss`` is told, in the thread of the heartbeat, when that finds the lock lost."""
        self._folder = folder
        self._path = folder / LOCK_NAME
        self._wait = wait
        self._what = describe or str(folder)
        self._on_loss = on_loss
        self._owner = myself()
        self._candidate = folder / f"{LOCK_NAME}.{self._owner.token}"
        # Never counted back: a name once watched is never borne again.
        self._beats = 0
        self._watch = _Watch()
        self._proved_at = 0.0
        self._lost: LockLost | None = None
        self._renewing = threading.Lock()
        self._heart = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def token(self) -> str:
        """What the names bear that this owner works on."""
        return self._owner.token

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def acquire(self) -> None:
        """Take the lock, waiting up to ``wait`` seconds for its owner. Raises Locked, DiskError."""
        deadline = monotonic() + self._wait
        while (holder := self.try_acquire()) is not None:
            if monotonic() >= deadline and holder.ends_in is None:
                raise self.refusal(holder)
            sleep(_LOOK_SECONDS)

    def try_acquire(self) -> Holder | None:
        """Take the lock if that can be done now; else who holds it. Raises DiskError."""
        try:
            make_folders(self._folder)
            for number in range(_MAX_TRIES):
                if number >= _QUICK_TRIES:
                    sleep(_TRY_SECONDS)
                found = self._look()
                if found is None:
                    if self._enter():
                        self._begin()
                        return None
                    continue  # somebody else was quicker
                unchanged = self._watch.unchanged_for(found.name)
                if judge_owner(found.owner, self._owner, start_of, unchanged) is OwnerState.LIVING:
                    return self._holder(found.owner, unchanged)
                self._take_out(found.name)
        except OSError as problem:
            raise DiskError(f"cannot lock {self._what}: {reason_of(problem)}") from None
        raise DiskError(
            f"cannot lock {self._what}: the file system neither gives the lock nor says who has it",
            next_step="Put the destination on another file system, or ask its administrator why a "
            f"folder cannot be renamed in {self._folder}.",
        )

    def watch_owner(self) -> None:
        """Look who holds the lock, and whether it beats, before it is our turn to take it."""
        with contextlib.suppress(OSError):  # the attempt will meet it, and say so
            found = self._look()
            if found is not None:
                self._watch.unchanged_for(found.name)

    def refusal(self, holder: Holder) -> Locked:
        """That ``holder`` keeps us out, for longer than we may wait."""
        return Locked(holder.words, partition=self._folder.name)

    def check(self) -> None:
        """Prove that the lock is still ours. Raises LockLost, DiskError.

        It is good for a while: nobody can take over before another SILENT_SECONDS have passed.
        """
        try:
            if self._renew():
                return
            found = self._look()
        except OSError as problem:
            raise DiskError(
                f"cannot check the lock of {self._what}: {reason_of(problem)}"
            ) from None
        if found is None and not os.path.isdir(self._folder):
            raise DiskError(
                f"{self._folder} is not there any more: was the destination moved, or unmounted?",
                next_step="Nothing that was downloaded is lost. Bring the destination back, or "
                "name its new place with --dest, and run the same command again.",
            )
        by = f" by process {found.owner.pid} on {found.owner.host}" if found else ""
        self._lost = LockLost(f"the lock of {self._what} was taken over{by}")
        raise self._lost

    def guard(self) -> None:
        """Before bytes are written: prove the lock if that was last done more than two beats ago.
        Raises LockLost, DiskError.

        Who wakes up after a long sleep may come here before its heart beats again. Otherwise it
        costs one look at the clock.
        """
        late = boottime() - self._proved_at > _BEATS_TO_BE_SURE * HEARTBEAT_SECONDS
        if late or self._lost is not None:
            self.check()

    def replaced_owners(self) -> tuple[ReplacedOwner, ...]:
        """The owners that this lock was taken from, by whoever did that, and of which something may
        be left that is not ours yet. Raises DiskError."""
        try:
            names = sorted(os.listdir(self._folder))
        except OSError as problem:
            raise DiskError(f"cannot read {self._folder}: {reason_of(problem)}") from None
        files = [self._folder / name for name in names if name.startswith(f"{_REPLACED}.")]
        return tuple(self._replaced(file) for file in files)

    def forget_replaced(self, replaced: Sequence[ReplacedOwner]) -> None:
        """Nothing that these owners left can be touched by them any more. Raises OSError."""
        for each in replaced:
            each.file.unlink(missing_ok=True)

    def release(self) -> None:
        """Give the lock back, if it is still ours."""
        self._heart.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        with contextlib.suppress(OSError):
            self._drop(self._name)

    # ── inside ─────────────────────────────────────────────────────────────────────────────────

    @property
    def _name(self) -> str:
        return f"{self._owner.token}.{self._beats}"

    def _holder(self, owner: Owner, unchanged: float) -> Holder:
        if not owner.token:
            return Holder(f"{self._what} has a lock that does not say whose it is")
        since = datetime.fromtimestamp(owner.since).astimezone().isoformat(" ", "minutes")
        who = f"process {owner.pid} on {owner.host}, since {since}"
        # Once its name has moved it lives, whatever it says of itself.
        gone = is_of_earlier_boot(owner, self._owner) and not self._watch.moved
        return Holder(
            f"another run holds {self._what}: {who}",
            ends_in=max(0.0, _reboot_seconds() - unchanged) if gone else None,
        )

    def _replaced(self, file: Path) -> ReplacedOwner:
        owner = _read_owner(file)
        dead = is_dead(owner, self._owner, start_of)
        who = f"process {owner.pid} on {owner.host}" if owner.token else "a run that is not named"
        return ReplacedOwner(file, owner, dead, f"took {self._what} over from {who}")

    def _begin(self) -> None:
        self._sweep()
        self._watch = _Watch()
        self._lost = None
        self._heart.clear()
        self._thread = threading.Thread(target=self._beat, name="lock-heartbeat", daemon=True)
        self._thread.start()

    def _enter(self) -> bool:
        """Make the lock ours, if it is nobody's. Raises OSError."""
        self._beats += 1
        self._owner = replace(self._owner, since=time())
        os.mkdir(self._candidate, FOLDER_MODE)
        try:
            with contextlib.suppress(FileNotFoundError):  # swept by who came first
                self._write_owner()
                with contextlib.suppress(OSError):  # not empty, or not there
                    os.rmdir(self._path)  # some file systems rename to no folder that exists
                os.rename(self._candidate, self._path)
        except OSError as problem:
            if problem.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
        finally:
            _remove(self._candidate)
        return self._renew()

    def _write_owner(self) -> None:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        with open(os.open(self._candidate / self._name, flags, FILE_MODE), "w") as file:
            json.dump(asdict(self._owner), file)
            file.flush()
            os.fsync(file.fileno())

    def _renew(self) -> bool:
        """Go on to the next number. False if our file is not there any more. Raises OSError."""
        with self._renewing:
            now = boottime()
            after = self._path / f"{self._owner.token}.{self._beats + 1}"
            try:
                os.rename(self._path / self._name, after)
            except (FileNotFoundError, NotADirectoryError):
                # NFS may have done it, lost the answer, and asked again.
                if not os.path.lexists(after):
                    return False
            self._beats += 1
            self._proved_at = now
            return True

    def _take_out(self, name: str) -> None:
        """Take another owner's file of this very name out of the lock, and keep what it says.
        Raises OSError."""
        kept = self._folder / f"{_REPLACED}.{name}"[:_MAX_NAME]
        with contextlib.suppress(FileNotFoundError):
            os.rename(self._path / name, kept)
        with contextlib.suppress(OSError):  # not empty: somebody has entered
            os.rmdir(self._path)

    def _drop(self, name: str) -> None:
        """Take our own file of this very name out of the lock. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path / name)
        with contextlib.suppress(OSError):  # not empty: somebody has entered
            os.rmdir(self._path)

    def _look(self) -> _OwnerFile | None:
        """Who is in the lock; None where nobody is. Raises OSError."""
        try:
            # Whatever may lie there: a link is not followed, a pipe not waited for.
            folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | _CAREFULLY)
        except FileNotFoundError:
            return None
        try:
            # Last what NFS calls .nfs…: files that were unlinked while they were open.
            for name in sorted(os.listdir(folder), key=lambda name: (name.startswith("."), name)):
                with contextlib.suppress(FileNotFoundError):
                    file = os.open(name, os.O_RDONLY | _CAREFULLY, dir_fd=folder)
                    try:
                        return _OwnerFile(name, owner_in(os.read(file, _MAX_BYTES)))
                    finally:
                        os.close(file)
        finally:
            os.close(folder)
        return None

    def _sweep(self) -> None:
        """Remove what those left that were killed while they entered. One that lives tries again.

        By path, never by an open folder: that could have become somebody's lock.
        """
        with contextlib.suppress(OSError):
            for name in os.listdir(self._folder):
                if name.startswith(f"{LOCK_NAME}."):
                    _remove(self._folder / name)

    def _beat(self) -> None:
        while not self._heart.wait(HEARTBEAT_SECONDS):
            try:
                self.check()
            except LockLost as lost:
                self._on_loss(lost)
                return
            except CxrsyncError:
                pass  # the disk's trouble: whoever writes will meet it, and say so


def _read_owner(file: Path) -> Owner:
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


class _Watch:
    """How long something has looked the same, by our own monotonic clock and no other."""

    def __init__(self) -> None:
        self._seen: object = None
        self._since = monotonic()
        self.moved = False

    def unchanged_for(self, now: object) -> float:
        if now != self._seen:
            self.moved = self._seen is not None
            self._seen, self._since = now, monotonic()
        return monotonic() - self._since
