"""The lock of a partition: one run works on it at a time, on any file system.

``flock`` grants a lock to everybody on some Lustre, GPFS and NFS mounts. Taking a lock file over by
stat, unlink and create lets two owners in (97 times of 100). So the lock is a folder that holds one
file, and every change of it is one rename or unlink of a name that was seen: see
:mod:`cxrsync.storage.lock_folder`.

The owner of the lock renames its file every 30 seconds (the heartbeat), and whenever it checks
that the lock is still its own. A run that wants the lock looks at the owner's file:

* The owner is *dead* if this boot of this machine has no such process any more.
* The owner is *silent* if its file kept the same name for five minutes of our own clock.
* An owner that names this machine in an earlier boot is believed to have ended after more than one
  missed heartbeat. One missed heartbeat proves nothing: a cloned machine says the same of itself.

* An owner whose batch job has ended, as SLURM says, is believed to have ended.

In each of these cases the lock is taken over; otherwise its owner is waited for.

An owner that was taken for silent may still wake up, in the middle of any step. So the files that
it left are not continued in place: see :mod:`cxrsync.storage.leftovers`. Its own file, moved out of
the lock as ``replaced.<token>.<beat>``, names it until its leftovers are dealt with.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from pathlib import Path
from time import monotonic, sleep, time
from types import TracebackType
from typing import Self

from cxrsync.clock import boottime
from cxrsync.errors import CxrsyncError, DiskError, Locked, LockLost
from cxrsync.storage.batch_job import ask_slurm, has_ended, is_other_attempt
from cxrsync.storage.filesystem import disk_failure, make_folders
from cxrsync.storage.lock_folder import LockFolder, read_owner
from cxrsync.storage.lock_owner import Owner, is_dead, is_of_earlier_boot, myself, start_of

HEARTBEAT_SECONDS = 30.0
SILENT_SECONDS = 300.0
# How many missed heartbeats end an owner of an earlier boot of this machine.
_BEATS_OF_ANOTHER_BOOT = 1.5
# After so many missed heartbeats of ours another run may be about to take the lock over.
_BEATS_TO_BE_SURE = 2
_LOOK_SECONDS = 0.5
_JOB_SECONDS = 60.0
# A lock that nobody owns and that we cannot enter either: other runs were quicker, or the file
# system does not do what it reports.
_MAX_TRIES = 50
_QUICK_TRIES = 5
_TRY_SECONDS = 0.02


class OwnerState(Enum):
    """What is known of the owner of a lock."""

    LIVING = "living"
    DEAD = "dead"
    EARLIER_BOOT = "of an earlier boot of this machine"
    SILENT = "silent"
    JOB_ENDED = "of a batch job that has ended"


def judge_owner(
    owner: Owner, me: Owner, start_of: Callable[[int], str | None], unchanged: float
) -> OwnerState:
    """Return what is known of ``owner``, whose file kept its name for ``unchanged`` seconds."""
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
    """The run that keeps us out of a lock, in words. ``ends_in``: in how many seconds it will be
    known to have ended, if that is likely."""

    words: str
    ends_in: float | None = None


@dataclass(frozen=True, slots=True)
class ReplacedOwner:
    """An owner whose lock was taken over; ``dead`` if it certainly ended, ``words`` for people.
    ``file`` records it on the disk until its leftovers are dealt with."""

    file: Path
    owner: Owner
    dead: bool
    words: str


class Lock:
    """The lock of one partition. Use it as a context manager around all work on the partition."""

    def __init__(
        self,
        folder: Path,
        *,
        wait: float = 0.0,
        describe: str = "",
        on_loss: Callable[[LockLost], None] = lambda _lost: None,
        owner: Owner | None = None,
    ) -> None:
        """Make a lock that nobody holds yet.

        ``wait``: seconds that :meth:`acquire` waits for another owner. ``describe`` names the
        partition in messages. ``on_loss`` is called in the heartbeat's thread if the heartbeat
        finds the lock lost. ``owner``: who we say we are (None: this process, with a fresh token).
        """
        self._folder = folder
        self._wait = wait
        self._description = describe or str(folder)
        self._on_loss = on_loss
        self._owner = owner or myself()
        self._disk = LockFolder(folder, self._owner.token)
        self._watch = _Watch()
        self._ask_job_at = 0.0
        self._checked_at = 0.0
        self._lost: LockLost | None = None
        self._renewing = threading.Lock()
        self._stop_heartbeat = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def token(self) -> str:
        """The token in the names of the files that this owner works on."""
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
        """Take the lock if that can be done now; otherwise return who holds it. Raises
        DiskError."""
        try:
            make_folders(self._folder)
            for number in range(_MAX_TRIES):
                if number >= _QUICK_TRIES:
                    sleep(_TRY_SECONDS)
                found = self._disk.read_owner()
                if found is None:
                    if self._enter():
                        self._begin()
                        return None
                    continue  # another run was quicker
                unchanged = self._watch.unchanged_for(found.name)
                state = judge_owner(found.owner, self._owner, start_of, unchanged)
                if state is OwnerState.LIVING and self._has_job_ended(found.owner):
                    state = OwnerState.JOB_ENDED
                if state is OwnerState.LIVING:
                    return self._holder(found.owner, unchanged)
                self._disk.take_out(found.name)
        except OSError as problem:
            raise disk_failure(problem, f"cannot lock {self._description}") from None
        raise DiskError(
            f"cannot lock {self._description}: the file system neither gives the lock nor says "
            "who has it",
            next_step="Put the destination on another file system, or ask its administrator why a "
            f"folder cannot be renamed in {self._folder}.",
        )

    def watch_owner(self) -> None:
        """Look at the owner's file before we try to take the lock, so that its silence is measured
        from now on."""
        with contextlib.suppress(OSError):  # try_acquire will meet the error, and report it
            found = self._disk.read_owner()
            if found is not None:
                self._watch.unchanged_for(found.name)

    def refusal(self, holder: Holder) -> Locked:
        """Return the error for a ``holder`` that keeps us out for longer than we may wait."""
        return Locked(holder.words, partition=self._folder.name)

    def check(self) -> None:
        """Prove that the lock is still ours. Raises LockLost, DiskError.

        The proof holds for a while: nobody can take the lock over before another SILENT_SECONDS
        have passed.
        """
        try:
            if self._renew():
                return
            found = self._disk.read_owner()
        except OSError as problem:
            raise disk_failure(problem, f"cannot check the lock of {self._description}") from None
        if found is None and not os.path.isdir(self._folder):
            raise DiskError(
                f"{self._folder} does not exist any more: was the destination moved, or unmounted?",
                next_step="Nothing that was downloaded is lost. Bring the destination back, or "
                "name its new place with --dest, and run the same command again.",
            )
        by = f" by process {found.owner.pid} on {found.owner.host}" if found else ""
        self._lost = LockLost(f"the lock of {self._description} was taken over{by}")
        raise self._lost

    def guard(self) -> None:
        """Check the lock before bytes are written, if the last check is more than two heartbeats
        old. Raises LockLost, DiskError.

        A run that wakes up after a long sleep may write before its next heartbeat. Otherwise a
        call costs one look at the clock.
        """
        late = boottime() - self._checked_at > _BEATS_TO_BE_SURE * HEARTBEAT_SECONDS
        if late or self._lost is not None:
            self.check()

    def replaced_owners(self) -> tuple[ReplacedOwner, ...]:
        """Return the owners that this lock was taken from, by us or by an earlier run, and whose
        leftovers are not dealt with yet. Raises DiskError."""
        try:
            return tuple(map(self._replaced, self._disk.replaced()))
        except OSError as problem:
            raise disk_failure(problem, f"cannot read {self._folder}") from None

    def forget_replaced(self, replaced: Sequence[ReplacedOwner]) -> None:
        """Record that these owners can touch none of their leftovers any more. Raises OSError."""
        for each in replaced:
            each.file.unlink(missing_ok=True)

    def release(self) -> None:
        """Give the lock back, if it is still ours."""
        self._stop_heartbeat.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        with contextlib.suppress(OSError):
            self._disk.leave()

    # ── inside ─────────────────────────────────────────────────────────────────────────────────

    def _has_job_ended(self, owner: Owner) -> bool:
        """Ask the engine of the owner's job, at most once a minute: it serves a whole cluster."""
        if not (owner.job and self._owner.job):
            return False
        if monotonic() < self._ask_job_at and not is_other_attempt(owner.job, self._owner.job):
            return False
        self._ask_job_at = monotonic() + _JOB_SECONDS
        return has_ended(owner.job, self._owner.job, ask_slurm)

    def _holder(self, owner: Owner, unchanged: float) -> Holder:
        if not owner.token:
            return Holder(f"{self._description} has a lock that does not say whose it is")
        since = datetime.fromtimestamp(owner.since).astimezone().isoformat(" ", "minutes")
        who = f"process {owner.pid} on {owner.host}, since {since}"
        # An owner whose file was renamed while we watched is alive, whatever its content says.
        gone = is_of_earlier_boot(owner, self._owner) and not self._watch.moved
        return Holder(
            f"another run holds {self._description}: {who}",
            ends_in=max(0.0, _reboot_seconds() - unchanged) if gone else None,
        )

    def _replaced(self, file: Path) -> ReplacedOwner:
        owner = read_owner(file)
        dead = is_dead(owner, self._owner, start_of)
        who = f"process {owner.pid} on {owner.host}" if owner.token else "a run that is not named"
        return ReplacedOwner(file, owner, dead, f"took {self._description} over from {who}")

    def _enter(self) -> bool:
        """Enter the lock if nobody owns it. Return whether it is ours. Raises OSError."""
        self._owner = replace(self._owner, since=time())
        self._disk.enter(self._owner)
        return self._renew()

    def _begin(self) -> None:
        self._disk.sweep()
        self._watch = _Watch()
        self._lost = None
        self._stop_heartbeat.clear()
        self._thread = threading.Thread(target=self._beat, name="lock-heartbeat", daemon=True)
        self._thread.start()

    def _renew(self) -> bool:
        """Rename our file to the next number. Return False if it is gone. Raises OSError."""
        with self._renewing:
            now = boottime()
            if not self._disk.beat():
                return False
            self._checked_at = now
            return True

    def _beat(self) -> None:
        while not self._stop_heartbeat.wait(HEARTBEAT_SECONDS):
            try:
                self.check()
            except LockLost as lost:
                self._on_loss(lost)
                return
            except CxrsyncError:
                pass  # an error of the disk: the run will meet it when it writes, and report it


class _Watch:
    """Measures for how long a value stays the same, by our own monotonic clock only."""

    def __init__(self) -> None:
        self._seen: object = None
        self._since = monotonic()
        self.moved = False
        """Whether the value changed while it was watched."""

    def unchanged_for(self, now: object) -> float:
        if now != self._seen:
            self.moved = self._seen is not None
            self._seen, self._since = now, monotonic()
        return monotonic() - self._since
