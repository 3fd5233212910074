"""The system call filters of a systemd unit, loaded into this process by libseccomp.

As systemd's own (src/shared/seccomp-util.c), for the settings that the printed units have. Two
filters: one denies calls by their arguments, the other allows the listed calls only.
"""

from __future__ import annotations

import ctypes
import errno
import subprocess
from collections.abc import Iterable, Sequence

_ALLOW = 0x7FFF0000
_DENY = 0x00050000
_GT, _EQ, _MASKED_EQ = 6, 4, 7
_FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10}
_PROT_WRITE, _PROT_EXEC = 2, 4
_NAMESPACES = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
_REALTIME_POLICIES = (1, 2, 6)
_CURRENT_PERSONALITY = 0

Rule = tuple[str, int, tuple[tuple[int, int, int, int], ...]]
"""A system call, the error that it gets, and the arguments that it gets it for: number of the
argument, comparison, and its two values."""


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("arg", ctypes.c_uint), ("op", ctypes.c_int),
        ("a", ctypes.c_uint64), ("b", ctypes.c_uint64),
    )  # fmt: skip


def denied(settings: dict[str, list[str]]) -> list[Rule]:
    """Return the rules of the settings that look at arguments."""
    rules: list[Rule] = []
    if "RestrictAddressFamilies" in settings:
        allowed = {_FAMILIES[name] for name in settings["RestrictAddressFamilies"][-1].split()}
        others = [number for number in range(max(allowed)) if number not in allowed]
        rules += [("socket", errno.EAFNOSUPPORT, ((0, _EQ, number, 0),)) for number in others]
        rules.append(("socket", errno.EAFNOSUPPORT, ((0, _GT, max(allowed), 0),)))
    if "yes" in settings.get("MemoryDenyWriteExecute", []):
        both = _PROT_WRITE | _PROT_EXEC
        rules.append(("mmap", errno.EPERM, ((2, _MASKED_EQ, both, both),)))
        rules += [
            (name, errno.EPERM, ((2, _MASKED_EQ, _PROT_EXEC, _PROT_EXEC),))
            for name in ("mprotect", "pkey_mprotect")
        ]
    if "yes" in settings.get("RestrictNamespaces", []):
        rules += [("setns", errno.EPERM, ()), ("clone3", errno.ENOSYS, ())]
        rules += [
            (name, errno.EPERM, ((0, _MASKED_EQ, flag, flag),))
            for name in ("clone", "unshare")
            for flag in _NAMESPACES
        ]
    if "yes" in settings.get("RestrictRealtime", []):
        rules += [
            ("sched_setscheduler", errno.EPERM, ((1, _EQ, policy, 0),))
            for policy in _REALTIME_POLICIES
        ]
    if "yes" in settings.get("LockPersonality", []):
        rules.append(("personality", errno.EPERM, ((0, _GT, _CURRENT_PERSONALITY, 0),)))
    if "yes" in settings.get("RestrictSUIDSGID", []):
        modes = {"chmod": 1, "fchmod": 1, "fchmodat": 2, "mkdir": 1, "mkdirat": 2}
        modes |= {"creat": 1, "open": 2, "openat": 3, "mknod": 1, "mknodat": 2}
        rules += [
            (name, errno.EPERM, ((argument, _MASKED_EQ, bit, bit),))
            for name, argument in modes.items()
            for bit in (0o4000, 0o2000)
        ]
        rules.append(("openat2", errno.ENOSYS, ()))
    return rules


def allowed(filters: Sequence[str]) -> list[str]:
    """Return the system calls that the values of ``SystemCallFilter=`` allow, in their order."""
    calls = calls_of(["@default"])
    for value in filters:
        for name in value.removeprefix("~").split():
            calls = calls - calls_of([name]) if value.startswith("~") else calls | calls_of([name])
    return sorted(calls)


def calls_of(names: Iterable[str]) -> set[str]:
    """Return the system calls of some of systemd's groups; any other name is one itself."""
    found: set[str] = set()
    for name in names:
        if not name.startswith("@"):
            found.add(name)
            continue
        listed = subprocess.run(
            ["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True
        ).stdout.splitlines()[1:]
        found |= calls_of(line.strip() for line in listed if not line.strip().startswith("#"))
    return found


def load(rules: Sequence[Rule], calls: Sequence[str]) -> None:
    """Load the filters: for ``calls`` no error, for all others EPERM. Needs NoNewPrivileges."""
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    filters = (library.seccomp_init(_ALLOW), library.seccomp_init(_DENY | errno.EPERM))
    for name, error, comparisons in rules:
        array = (_Comparison * len(comparisons))(*(_Comparison(*each) for each in comparisons))
        _add(library, filters[0], _DENY | error, name, array)
    for name in calls:
        _add(library, filters[1], _ALLOW, name, (_Comparison * 0)())
    for each in filters:
        if library.seccomp_load(ctypes.c_void_p(each)):
            raise OSError("the filter cannot be loaded")


def _add(library: ctypes.CDLL, where: int, action: int, name: str, comparisons: object) -> None:
    number = library.seccomp_syscall_resolve_name(name.encode())
    if number < 0:
        return  # another architecture's
    count = len(comparisons)  # type: ignore[arg-type]
    if library.seccomp_rule_add_array(
        ctypes.c_void_p(where), ctypes.c_uint32(action), number, count, comparisons
    ):
        raise OSError(f"no rule for {name}")
