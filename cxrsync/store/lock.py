"""One run per partition, on any file system.

``flock`` says yes to everyone on some Lustre, GPFS and NFS mounts, and taking a lock file over by
stat, unlink and create lets two owners in (97 times of 100). So the lock is a folder that holds
one file: its words say who owns it, and its name is a random token and the number of the last
heartbeat. Each step is one call that the file system decides for one of many:

* Who enters makes a folder with its file in it under a name of its own, and renames that to the
  lock's name. That succeeds only where there is no lock, or an empty one.
* The owner's heartbeat, and each check, renames its file to the next number.
* Who takes over unlinks the owner's file by the very name that it was found dead or silent under,
  and enters like anybody. An owner that woke up in the meantime has another name by then, and
  stays; one that did not finds its file gone at the next check, and stops.
* Release unlinks the owner's own file, and the folder if it is empty.

Nothing is ever done to a name that may be somebody else's by now, so none of it needs guarding, and
whoever is killed in the middle leaves at most an empty folder, or one that the next owner sweeps.

An owner is *dead* if this very boot of this machine has no such process any more, and *silent* if
its file has borne the same name for five minutes of our own clock.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep, time
from types import TracebackType
from typing import Any, Self

from cxrsync.errors import DiskError, Locked, LockLost
from cxrsync.sanitize import reason_of
from cxrsync.store.layout import FILE_MODE, FOLDER_MODE, make_folders

LOCK_NAME = "lock"
HEARTBEAT_SECONDS = 30.0
SILENT_SECONDS = 300.0
_LOOK_SECONDS = 0.5
_MOST_BYTES = 4096
_CAREFULLY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


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


def this_process() -> dict[str, str | int]:
    """What tells this process from every other, in words for :func:`is_running`."""
    me = asdict(myself())
    return {name: me[name] for name in ("host", "boot", "pid", "start", "machine", "space")}


def is_running(process: Mapping[str, Any]) -> bool | None:
    """Whether the process that called itself so still runs, whoever's it is; None where that cannot
    be told from here, as of another machine. Raises ValueError, TypeError, OverflowError."""
    me = myself()
    owner = _owner_of({**process, "token": "", "since": me.since})
    if is_dead(owner, me, _start_of):
        return False
    here = me.host, me.machine, me.boot, me.space
    return True if (owner.host, owner.machine, owner.boot, owner.space) == here else None


def _owner_of(raw: Any) -> Owner:
    """The owner that a lock names. Raises ValueError, TypeError, OverflowError, OSError."""
    owner = Owner(**raw)
    texts = (owner.token, owner.host, owner.boot, owner.start, owner.machine, owner.space)
    if not all(isinstance(text, str) and text.isprintable() for text in texts):
        raise TypeError("not the words of an owner")
    owner = replace(owner, pid=int(owner.pid), since=float(owner.since))
    datetime.fromtimestamp(owner.since, UTC)  # a time that can be told
    if not 0 <= owner.pid < 1 << 31:  # a negative pid would mean a whole group of processes
        raise ValueError("not the number of a process")
    return owner


@dataclass(frozen=True, slots=True)
class _Found:
    """The file in a lock: what it is called, and whom it names."""

    name: str
    owner: Owner


class Lock:
    """The lock of one partition. Use as a context manager around all work on it."""

    def __init__(self, folder: Path, *, wait: float = 0.0, describe: str = "") -> None:
        self._folder = folder
        self._path = folder / LOCK_NAME
        self._wait = wait
        self._what = describe or str(folder)
        self._owner = myself()
        self._candidate = folder / f"{LOCK_NAME}.{self._owner.token}"
        # Never counted back: a name once watched is never borne again.
        self._beats = 0
        self._renewing = threading.Lock()
        self._heart = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def token(self) -> str:
        """What tells this owner from every other: 32 hex digits, for names of its own."""
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

    def acquire(self, stop: threading.Event | None = None) -> None:
        """Take the lock, waiting up to ``wait`` seconds for its owner. Raises Locked, DiskError.

        ``stop`` ends the wait early, as a signal would.
        """
        deadline = monotonic() + self._wait
        watch = _Watch()
        try:
            make_folders(self._folder)
            while (found := self._look()) is not None or not self._enter():
                if found is None:
                    continue  # somebody else was quicker
                dead = is_dead(found.owner, self._owner, _start_of)
                if dead or watch.unchanged_for(found.name) > SILENT_SECONDS:
                    self._drop(found.name)
                    continue
                stopped = stop is not None and stop.is_set()
                if stopped or monotonic() >= deadline:
                    raise Locked(self._held_by(found.owner), partition=self._folder.name)
                sleep(_LOOK_SECONDS)
            self._sweep()
        except OSError as problem:
            raise DiskError(f"cannot lock {self._what}: {reason_of(problem)}") from None
        self._heart.clear()
        self._thread = threading.Thread(target=self._beat, name="lock-heartbeat", daemon=True)
        self._thread.start()

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
        raise LockLost(f"the lock of {self._what} was taken over{by}")

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

    def _held_by(self, owner: Owner) -> str:
        if not owner.token:
            return f"{self._what} has a lock that does not say whose it is"
        since = datetime.fromtimestamp(owner.since).astimezone().isoformat(" ", "minutes")
        return f"another run holds {self._what}: process {owner.pid} on {owner.host}, since {since}"

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
            after = self._path / f"{self._owner.token}.{self._beats + 1}"
            try:
                os.rename(self._path / self._name, after)
            except (FileNotFoundError, NotADirectoryError):
                # NFS may have done it, lost the answer, and asked again.
                if not os.path.lexists(after):
                    return False
            self._beats += 1
            return True

    def _drop(self, name: str) -> None:
        """Take the file of this very name out of the lock. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path / name)
        with contextlib.suppress(OSError):  # not empty: somebody has entered
            os.rmdir(self._path)

    def _look(self) -> _Found | None:
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
                        return _Found(name, _owner_in(os.read(file, _MOST_BYTES)))
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
            with contextlib.suppress(OSError):
                self._renew()


def _owner_in(words: bytes) -> Owner:
    try:
        return _owner_of(json.loads(words))
    except (ValueError, TypeError, OverflowError, OSError, RecursionError):
        # Cut short by a power cut: an owner without a name, which can only be found silent.
        return Owner(token="", host="?", boot="", pid=0, start="", since=time())


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

    def unchanged_for(self, now: object) -> float:
        if now != self._seen:
            self._seen, self._since = now, monotonic()
        return monotonic() - self._since
