"""The systemd units that run a mirror each night: a sandboxed service and its timer. Pure.

The sandbox lets the program see the system read-only, and write to the destinations and to the
folders of its log, report and metrics. Some restrictions that are usual elsewhere would break
cxrsync, so they are left out:

- ``ProcSubset=pid`` hides the boot id. The lock of a run that was killed could not be recognised.
- ``PrivateUsers=`` maps other groups away. The group of a shared mirror could not be set.
- ``SystemCallFilter=~@resources``: a scrub lowers its own priority, and the limit of open files is
  raised as far as the hard limit allows. Neither needs a privilege.
- ``RestrictSUIDSGID=`` forbids the setgid bit of folders, so it is left out only for jobs with
  ``permissions:``. These also need chown, which ``~@privileged`` forbids.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

from cxrsync.config.wall_clock import clock_time
from cxrsync.mirror.setup import MirrorSetup, is_in_home, is_temporary

UNIT_FOLDER = "/etc/systemd/system"
CREDENTIAL = "physionet"
# Without a window. Twelve hours from noon, so that most mirrors run while their users sleep.
_START = "22:00"
_SPREAD = "6h"
_SPREAD_IN_WINDOW = "30min"

_SANDBOX = (
    "NoNewPrivileges=yes",
    "CapabilityBoundingSet=",
    "AmbientCapabilities=",
    "ProtectSystem=strict",
    "PrivateDevices=yes",
    "PrivateMounts=yes",
    "DevicePolicy=closed",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectProc=invisible",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "RemoveIPC=yes",
    "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "SystemCallArchitectures=native",
    "SystemCallErrorNumber=EPERM",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged",
    "KeyringMode=private",
    "UMask=0077",
)


def systemd_text(setup: MirrorSetup) -> str:
    """Return both units with the commands that install them, as comments."""
    service = f"{UNIT_FOLDER}/{setup.name}.service"
    timer = f"{UNIT_FOLDER}/{setup.name}.timer"
    steps = [
        "Two units: each begins at the line with its path. Read them, then install them: pipe this",
        "text through",
        "  sudo awk '/^# \\/etc\\/systemd\\// {file = $2} file {print > file}'",
        "Put the password into a file that only root can read: run this, type it, Enter, Ctrl-D.",
        f"  sudo install -D -m 600 /dev/stdin {shlex.quote(str(setup.password_file))}",
        "Then:",
        f"  sudo systemctl daemon-reload && sudo systemctl enable --now {setup.name}.timer",
        f"  sudo systemctl start --no-block {setup.name}.service   # the first run, now",
        f"  journalctl -u {setup.name}.service                     # what it says",
    ]
    parts = [
        *(f"# {step}" for step in steps),
        "",
        f"# {service}",
        *service_lines(setup),
        "",
        f"# {timer}",
        *timer_lines(setup),
    ]
    return "\n".join(parts) + "\n"


def service_lines(setup: MirrorSetup) -> Iterator[str]:
    """Yield the lines of the service."""
    yield "[Unit]"
    yield f"Description=cxrsync mirror of {_percent(setup.job_file.name)}"
    yield "Wants=network-online.target"
    yield "After=network-online.target time-sync.target"
    yield "# A disk of /etc/fstab that cannot be mounted fails the unit."
    yield f"RequiresMountsFor={_paths(setup.destinations)}"
    yield ""
    yield "[Service]"
    yield "Type=oneshot"
    yield f"ExecStart={' '.join(_argument(word) for word in setup.arguments)}"
    yield f"User={setup.user}"
    yield from _credential_lines(setup)
    yield "# Variables that the job file names, one NAME=VALUE a line. Only root need read them."
    yield f"EnvironmentFile=-{_percent(str(setup.password_file.parent / setup.name))}.env"
    yield "# 9: stopped at a limit, all well. 143: ended by systemctl stop; the state is saved."
    yield "SuccessExitStatus=9 143"
    yield "# SIGTERM is for cxrsync alone: it saves its state, and ends its hook itself."
    yield "KillMode=mixed"
    yield "TimeoutStopSec=2min"
    yield "Nice=10"
    yield "IOSchedulingClass=idle"
    yield ""
    yield "# The sandbox. `systemd-analyze security` explains each line."
    yield from _SANDBOX
    if setup.sets_permissions:
        yield "# `permissions:` sets the group and the setgid bit."
        yield "SystemCallFilter=@chown"
    else:
        yield "RestrictSUIDSGID=yes"
    if not any(map(is_temporary, (*setup.writable, *setup.readable))):
        yield "PrivateTmp=yes"
    yield from _home_lines(setup)


def _credential_lines(setup: MirrorSetup) -> Iterator[str]:
    if not setup.needs_password:
        return
    yield "# The service gets a copy of the password that no other user can read."
    yield f"LoadCredential={CREDENTIAL}:{_percent(str(setup.password_file))}"
    yield f"Environment=PHYSIONET_PASSWORD_FILE=%d/{CREDENTIAL}"
    if setup.physionet_user is not None:
        yield f"Environment={_quoted(f'PHYSIONET_USERNAME={setup.physionet_user}')}"
    else:
        yield "# The name that you sign in with at physionet.org:"
        yield "#Environment=PHYSIONET_USERNAME=NAME"


def _home_lines(setup: MirrorSetup) -> Iterator[str]:
    """Yield what the service sees of homes, and where it may write.

    A home is hidden but for the paths that are needed. A hook may need anything in it, so with
    hooks the home is read-only instead.
    """
    writable = [path for path in setup.writable if is_in_home(path)]
    readable = [path for path in setup.readable if is_in_home(path)]
    if not writable and not readable:
        yield "ProtectHome=yes"
        yield f"ReadWritePaths={_paths(setup.writable)}"
    elif setup.has_hooks:
        yield "ProtectHome=read-only"
        yield f"ReadWritePaths={_paths(setup.writable)}"
    else:
        yield "ProtectHome=tmpfs"
        if writable:
            yield f"BindPaths={_paths(writable)}"
        if readable:
            yield f"BindReadOnlyPaths={_paths(readable)}"
        if others := [path for path in setup.writable if path not in writable]:
            yield f"ReadWritePaths={_paths(others)}"


def timer_lines(setup: MirrorSetup) -> Iterator[str]:
    """Yield the lines of the timer."""
    start, spread = _START, _SPREAD
    if setup.window is not None:
        start, spread = clock_time(setup.window.span.start), _SPREAD_IN_WINDOW
    yield "[Unit]"
    yield f"Description=cxrsync mirror of {_percent(setup.job_file.name)}, each night"
    yield ""
    yield "[Timer]"
    yield f"OnCalendar=*-*-* {start}:00"
    yield "# Each machine has a delay of its own, the same each night, so that not every mirror"
    yield "# asks PhysioNet at the same moment."
    yield f"RandomizedDelaySec={spread}"
    yield "FixedRandomDelay=yes"
    yield "AccuracySec=1min"
    yield "# A night that the machine slept through is made up for."
    yield "Persistent=yes"
    yield ""
    yield "[Install]"
    yield "WantedBy=timers.target"


def _percent(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    escaped = _percent(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if escaped != text or not _is_plain(text) else text


def _is_plain(text: str) -> bool:
    return bool(text) and not any(each in " '\"\\;:#" for each in text)


def _argument(text: str) -> str:
    """Return a word of ExecStart=, in which systemd replaces variables, too."""
    return _quoted(text).replace("$", "$$")


def _paths(paths: Iterable[Path]) -> str:
    return " ".join(_quoted(str(path)) for path in paths)
