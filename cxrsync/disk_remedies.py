"""What to do about an error of the disk, by its errno. Only a full disk needs space."""

from __future__ import annotations

import errno

NOTHING_IS_LOST = "Nothing that was downloaded is lost."
_FULL = "free disk space"
_QUOTA = "free disk space that counts for your quota, or ask for a larger quota"
_ACCESS = "ask the owner for access, or choose a place of your own"
_GONE = "mount the disk again, or wait until its server is back"
_BROKEN = "ask the administrator about the disk, which reports an error (see dmesg)"
_CLOSED = "give the output a file, a pipe or /dev/null, since it was closed"
_REMEDIES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _QUOTA,
    errno.EACCES: _ACCESS,
    errno.EPERM: _ACCESS,
    errno.EROFS: "mount the disk for writing, or choose another place",
    errno.EIO: _BROKEN,
    errno.EMFILE: "allow more open files (ulimit -n 4096), or use fewer --connections",
    errno.ENFILE: "end other programs, since the machine has too many open files",
    errno.EFBIG: "allow larger files (ulimit -f unlimited), or choose another file system",
    errno.ENAMETOOLONG: "choose a place with a shorter path",
    errno.ENOMEM: "end other programs, since the machine has no memory left",
    errno.ELOOP: "name the folder itself, not a link that leads to itself",
    errno.EBADF: _CLOSED,
    errno.EAGAIN: "give the output a file, or a pipe that waits",
    **dict.fromkeys(
        (errno.ENOTCONN, errno.ENODEV, errno.ENXIO, errno.ESHUTDOWN, errno.ESTALE, errno.ETIMEDOUT),
        _GONE,
    ),
}
# By SQLite's primary error code.
_OF_SQLITE = {3: errno.EACCES, 8: errno.EROFS, 13: errno.ENOSPC}
_SQLITE_IOERR = 10  # any other error of a file
_SQLITE_BROKEN = "ask the administrator about the disk and its limits (dmesg, quota, ulimit -f)"
_OTHER = "repair what the message names"


def remedy_of(problem: BaseException) -> str:
    """Return what a person can do about an error of the disk, such as "free disk space"."""
    if type(problem).__module__.partition(".")[0] == __name__.partition(".")[0]:
        return _OTHER  # our own text says more than the errno that it borrows
    number = getattr(problem, "errno", None)
    if number is None:
        code = getattr(problem, "sqlite_errorcode", 0) & 0xFF
        if code == _SQLITE_IOERR:
            return _SQLITE_BROKEN
        number = _OF_SQLITE.get(code)
    return _REMEDIES.get(number or 0, _OTHER)


def next_step_of(
    problem: BaseException,
    then: str = "then run the same command again",
    *,
    has_downloads: bool = True,
) -> str:
    """Return the next step after an error of the disk that ended a run. ``has_downloads``: whether
    this or an earlier run may have downloaded something."""
    remedy = remedy_of(problem)
    assurance = f"{NOTHING_IS_LOST} " if has_downloads else ""
    return f"{assurance}{remedy[0].upper()}{remedy[1:]}, {then}."
