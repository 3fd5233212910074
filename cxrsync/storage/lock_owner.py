"""The owner of a lock: what it records of itself, and whether it has certainly ended."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import Any

from cxrsync.storage.batch_job import this_job

_MACHINE_ID = Path("/etc/machine-id")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Images of containers and machines ship with "uninitialized", nothing, or zeros, which tell no two
# of them apart.
_VALID_MACHINE_ID = re.compile(rb"(?!0+$)[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that holds a lock.

    ``since``: a POSIX time. ``start``: the start time of the process in clock ticks. ``machine``: a
    digest of the machine id; it tells machines with the same host name apart. ``space``: the
    namespace of the pid; it tells containers of one machine apart. Both are empty if not known.
    ``job``: the batch job it belongs to, "" if none: see :mod:`cxrsync.storage.batch_job`.
    """

    token: str
    host: str
    boot: str
    pid: int
    start: str
    since: float
    machine: str = ""
    space: str = ""
    job: str = ""


def myself() -> Owner:
    """Return this process as an owner, with a fresh token."""
    pid = os.getpid()
    return Owner(
        token=secrets.token_hex(16),
        host=socket.gethostname(),
        boot=_boot_id(),
        pid=pid,
        start=start_of(pid) or "",
        since=time(),
        machine=_machine(),
        space=_pid_space(),
        job=this_job(os.environ),
    )


def is_dead(owner: Owner, me: Owner, start_of: Callable[[int], str | None]) -> bool:
    """Return whether the owner has certainly ended: same machine, same boot, and no such process.

    Without a boot id nobody has certainly ended: two machines may have the same name.
    """
    if not (owner.boot and me.boot):
        return False
    if (owner.host, owner.machine, owner.boot) != (me.host, me.machine, me.boot):
        return False
    if owner.space != me.space:
        return False  # its pid means nothing in our namespace
    start = start_of(owner.pid)
    return start is None or (bool(start and owner.start) and start != owner.start)


def is_of_earlier_boot(owner: Owner, me: Owner) -> bool:
    """Return whether the owner names this machine in another boot.

    Then its end is only likely: a cloned machine has the same name and id.
    """
    if not (me.machine and me.boot and owner.boot):
        return False
    return (owner.host, owner.machine) == (me.host, me.machine) and owner.boot != me.boot


def this_process() -> dict[str, str | int]:
    """Return what tells this process from every other one, for :func:`is_running`."""
    me = asdict(myself())
    return {name: me[name] for name in ("host", "boot", "pid", "start", "machine", "space")}


def is_running(process: Mapping[str, Any]) -> bool | None:
    """Return whether the process that :func:`this_process` described still runs, whichever user's
    it is; None if that cannot be found out here, as for a process of another machine. Raises
    ValueError, TypeError, OverflowError."""
    me = myself()
    owner = _owner_of({**process, "token": "", "since": me.since})
    if is_dead(owner, me, start_of) or is_of_earlier_boot(owner, me):
        return False
    here = me.host, me.machine, me.boot, me.space
    return True if (owner.host, owner.machine, owner.boot, owner.space) == here else None


def owner_values(owner: Owner) -> dict[str, Any]:
    """Return what the owner's file says of it. The job is left out where there is none: earlier
    versions do not know it, and would take the owner for one that is not named."""
    return {name: value for name, value in asdict(owner).items() if name != "job" or value}


def owner_in(content: bytes) -> Owner:
    """Return the owner that a lock's file names; one without a token if it names nobody."""
    try:
        return _owner_of(json.loads(content))
    except (ValueError, TypeError, OverflowError, OSError, RecursionError):
        # Cut short, as by a power cut: such an owner can only be found silent.
        return Owner(token="", host="?", boot="", pid=0, start="", since=time())


def start_of(pid: int) -> str | None:
    """Return the start time of a process; "" if it runs but that is unknown; None if it ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace")
        fields = stat.rpartition(")")[2].split()
        # A zombie has ended. Its parent has not waited for it yet (in containers it may never).
        return None if fields[0] in "ZX" else fields[19]
    except OSError:
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, OverflowError):
            return None
        except PermissionError:
            return ""
        # If there is a /proc that does not list it, the process has ended.
        return None if os.path.exists("/proc/self/stat") else ""


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return _boot_of_macos() if sys.platform == "darwin" else ""


def _boot_of_macos() -> str:
    command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
    try:
        output = subprocess.run(command, capture_output=True, timeout=5, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ""
    return output.stdout.decode("ascii", "replace").strip()


def _machine() -> str:
    try:
        words = _MACHINE_ID.read_bytes().strip()
    except OSError:
        return ""
    known = _VALID_MACHINE_ID.fullmatch(words.lower())
    return hashlib.sha256(words).hexdigest()[:16] if known else ""


def _pid_space() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _owner_of(raw: Any) -> Owner:
    """Raises ValueError, TypeError, OverflowError, OSError."""
    owner = Owner(**raw)
    texts = (
        owner.token,
        owner.host,
        owner.boot,
        owner.start,
        owner.machine,
        owner.space,
        owner.job,
    )
    if not all(isinstance(text, str) and text.isprintable() for text in texts):
        raise TypeError("not the record of an owner")
    owner = replace(owner, pid=int(owner.pid), since=float(owner.since))
    datetime.fromtimestamp(owner.since, UTC)  # a time that can be printed
    if not 0 <= owner.pid < 1 << 31:  # a negative pid would mean a whole group of processes
        raise ValueError("not the number of a process")
    return owner
