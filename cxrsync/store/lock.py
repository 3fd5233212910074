"""One run per partition, on any file system.

``flock`` says yes to everyone on some Lustre, GPFS and NFS mounts, so the lock is a file made with
O_EXCL that says who owns it: a random token, host, boot id, process and its start time, and a
heartbeat counter. An owner is *dead* if this very boot of this machine has no such process any
more, and *silent* if its counter has not moved for five minutes of our own clock.

Taking over by stat, unlink and create lets two owners in (97 times of 100). So a takeover goes
through a file of its own, also made with O_EXCL, re-reads the token under it, replaces the lock
by rename, and removes the takeover file. The owner re-reads its token before each publication.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import socket
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from time import monotonic, sleep, time
from types import TracebackType
from typing import Self

from cxrsync.errors import DiskError, Locked, LockLost
from cxrsync.store.layout import FILE_MODE, make_folders

LOCK_NAME = "lock"
HEARTBEAT_SECONDS = 30.0
SILENT_SECONDS = 300.0
# A takeover is a few file operations: one that stands this long was left by a killed process.
STALE_TAKEOVER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds a lock. ``since`` is a POSIX time; ``start`` the process's start in clock ticks.

    ``machine`` tells machines of one host name apart (a digest of the machine id), ``space``
    containers of one machine (the namespace that the pid is valid in); empty where not known.
    """

    token: str
    host: str
    boot: str
    pid: int
    start: str
    since: float
    beat: int = 0
    machine: str = ""
    space: str = ""


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def _machine() -> str:
    try:
        return hashlib.sha256(Path("/etc/machine-id").read_bytes().strip()).hexdigest()[:16]
    except OSError:
        return ""


def _pid_space() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _start_of(pid: int) -> str | None:
    """The start time of a process; "" where it runs but the system tells no time; None if gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace")
        fields = stat.rpartition(")")[2].split()
        # A zombie has ended; only its parent has not asked yet (in containers it may never).
        return None if fields[0] in "ZX" else fields[19]
    except OSError:
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, OverflowError):
            return None
        except PermissionError:
            return ""
        # With a /proc that does not list it, the process is gone.
        return None if Path("/proc/self/stat").exists() else ""


def myself() -> Owner:
    """This process as an owner, with a fresh token."""
    pid = os.getpid()
    return Owner(
        token=secrets.token_hex(16),
        host=socket.gethostname(),
        boot=_boot_id(),
        pid=pid,
        start=_start_of(pid) or "",
        since=time(),
        machine=_machine(),
        space=_pid_space(),
    )


def is_dead(owner: Owner, me: Owner, start_of: Callable[[int], str | None]) -> bool:
    """Whether the owner has certainly ended: same machine, same boot, and no such process.

    An earlier boot of this machine is dead too, where the system names machines and boots.
    """
    if (owner.host, owner.machine) != (me.host, me.machine):
        return False
    if owner.boot != me.boot:
        return bool(owner.boot and me.boot and me.machine)
    if owner.space != me.space:
        return False  # its pid means nothing here
    start = start_of(owner.pid)
    return start is None or (bool(start and owner.start) and start != owner.start)


class Lock:
    """The lock of one partition. Use as a context manager around all work on it."""

    def __init__(self, folder: Path, *, wait: float = 0.0, describe: str = "") -> None:
        self._path = folder / LOCK_NAME
        self._takeover = folder / f"{LOCK_NAME}.takeover"
        self._wait = wait
        self._what = describe or str(folder)
        self._owner = myself()
        # Beats go to the file that we made, not to its name: after a takeover that name is
        # somebody else's, and our beat must not overwrite it.
        self._fd = -1
        self._heart = threading.Event()
        self._thread: threading.Thread | None = None

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

    def acquire(self, stop: threading.Event | None = None) -> None:
        """Take the lock, waiting up to ``wait`` seconds for its owner. Raises Locked, DiskError.

        ``stop`` ends the wait early, as a signal would.
        """
        try:
            make_folders(self._path.parent)
        except OSError as problem:
            raise DiskError(f"cannot lock {self._what}: {problem.strerror}") from None
        deadline = monotonic() + self._wait
        lock_watch, takeover_watch = _Watch(), _Watch()
        while not self._create(self._path):
            owner = self._read()
            if owner is None:
                continue  # released between the two looks
            silent = lock_watch.unchanged_for(owner) > SILENT_SECONDS
            dead = is_dead(owner, self._owner, _start_of)
            if (dead or silent) and self._take_over(owner.token, takeover_watch):
                break
            stopped = stop is not None and stop.is_set()
            if stopped or (not dead and monotonic() >= deadline):
                raise Locked(self._held_by(owner), partition=self._path.parent.name)
            sleep(0.05 if dead else 0.5)
        self._heart.clear()
        self._thread = threading.Thread(target=self._beat, name="lock-heartbeat", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Prove that the lock is still ours. Raises LockLost."""
        owner = self._read()
        if owner is None or owner.token != self._owner.token:
            raise LockLost(
                f"the lock of {self._what} was taken over"
                + (f" by process {owner.pid} on {owner.host}" if owner else "")
            )

    def release(self) -> None:
        """Give the lock back, if it is still ours."""
        self._heart.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        with contextlib.suppress(LockLost, DiskError, OSError):
            self.check()
            os.unlink(self._path)
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    # ── inside ─────────────────────────────────────────────────────────────────────────────────

    def _held_by(self, owner: Owner) -> str:
        if not owner.token:
            return f"{self._what} has a lock that does not say whose it is"
        since = datetime.fromtimestamp(owner.since).astimezone().isoformat(" ", "minutes")
        return f"another run holds {self._what}: process {owner.pid} on {owner.host}, since {since}"

    def _create(self, path: Path) -> bool:
        """Make ``path`` ours, if nobody has made it yet."""
        try:
            fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, FILE_MODE)
        except FileExistsError:
            return False
        except OSError as problem:
            raise DiskError(f"cannot lock {self._what}: {problem.strerror}") from None
        self._fd = fd
        try:
            self._write_owner()
            os.fsync(fd)
        except OSError as problem:
            # Left behind, a lock without a name would keep everyone out.
            os.unlink(path)
            os.close(fd)
            self._fd = -1
            raise DiskError(f"cannot lock {self._what}: {problem.strerror}") from None
        return True

    def _write_owner(self) -> None:
        # Padded: a later beat may be shorter, and a reader must never see the rest of a longer.
        os.pwrite(self._fd, json.dumps(asdict(self._owner)).ljust(512).encode(), 0)

    def _read(self) -> Owner | None:
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as problem:
            raise DiskError(f"cannot read the lock of {self._what}: {problem.strerror}") from None
        try:
            owner = Owner(**json.loads(raw))
            return replace(owner, pid=int(owner.pid), since=float(owner.since))
        except (ValueError, TypeError, OverflowError):
            # Being written this moment, or cut short by a power cut: an owner without a name,
            # which can only be found silent.
            return Owner(token="", host="?", boot="", pid=0, start="", since=time(), beat=0)

    def _take_over(self, token: str, watch: _Watch) -> bool:
        """Replace a dead or silent owner, whose token is ``token``, if nobody else did or does."""
        if not self._create(self._takeover):
            with contextlib.suppress(FileNotFoundError):
                found = self._takeover.stat()
                if watch.unchanged_for((found.st_ino, found.st_mtime_ns)) > STALE_TAKEOVER_SECONDS:
                    self._takeover.unlink()
            return False
        owner = self._read()
        if owner is not None and owner.token == token:
            with contextlib.suppress(FileNotFoundError):
                # Replaces the lock and removes the takeover in one step.
                os.rename(self._takeover, self._path)
                return True
        self._takeover.unlink(missing_ok=True)
        os.close(self._fd)
        self._fd = -1
        return False

    def _beat(self) -> None:
        while not self._heart.wait(HEARTBEAT_SECONDS):
            self._owner = replace(self._owner, beat=self._owner.beat + 1)
            with contextlib.suppress(OSError):
                self._write_owner()


class _Watch:
    """How long something has looked the same, by our own monotonic clock and no other."""

    def __init__(self) -> None:
        self._seen: object = None
        self._since = monotonic()

    def unchanged_for(self, now: object) -> float:
        if isinstance(now, Owner):
            now = (now.token, now.beat)
        if now != self._seen:
            self._seen, self._since = now, monotonic()
        return monotonic() - self._since
