"""Read a file that holds a password and nothing else: a file, a mounted secret, or a pipe."""

from __future__ import annotations

import os
import stat
from functools import lru_cache
from pathlib import Path

from cxrsync.config.secret_file import Exposure, exposure_of
from cxrsync.errors import CredentialsRefused
from cxrsync.sanitize import reason_of

# Far more than any password has.
_MAX_BYTES = 4096
_BYTE_ORDER_MARK = "\ufeff"
_LINE_ENDS = ("\r\n", "\n", "\r")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def read_password(path: Path, what: str, of_systemd: str = "") -> tuple[str, tuple[str, ...]]:
    """Return the password in a file, and warnings about the file. The newline at the end is not a
    part of it.

    ``what``: the variable that names the file. ``of_systemd``: see :func:`check_exposure`. Raises
    CredentialsRefused, without a word of the file.
    """
    try:
        found = os.stat(path)
        if stat.S_ISDIR(found.st_mode):
            raise _unusable(path, what, "it is a folder")
        if stat.S_ISREG(found.st_mode):
            warnings = check_exposure(path, what, of_systemd)
            data = _read(path)
        else:  # such as <(pass show physionet)
            warnings = ()
            data = _read_once(path, found.st_dev, found.st_ino)
    except OSError as problem:
        raise _unusable(path, what, reason_of(problem)) from None
    if data is None:
        raise _unusable(path, what, "it is a terminal")
    if data.startswith(_UTF16):
        raise _unusable(path, what, "it is UTF-16, not UTF-8")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:  # its message would quote a byte of the password
        raise _unusable(path, what, "not UTF-8") from None
    if len(data) > _MAX_BYTES:
        raise _unusable(path, what, f"it has more than {_MAX_BYTES:,} bytes")
    password = without_line_end(text.removeprefix(_BYTE_ORDER_MARK))
    if not password:
        raise _unusable(path, what, "it is empty")
    return password, (*warnings, *_oddities(text, password, f"{path} ({what})"))


def without_line_end(text: str) -> str:
    """Return a password without the one line end that `echo` or an editor puts after it. Whatever
    else stands before that may belong to the password, also a further line end."""
    return next((text.removesuffix(end) for end in _LINE_ENDS if text.endswith(end)), text)


def _oddities(text: str, password: str, name: str) -> list[str]:
    """Return what is odd about the text of a password file; a person cannot see it."""
    odd = []
    if text.startswith(_BYTE_ORDER_MARK):
        odd.append(f"{name} begins with a byte order mark, which is left out")
    if password != password.strip(" \t"):
        odd.append(f"the password in {name} begins or ends with a blank, which is a part of it")
    if "\n" in password or "\r" in password:
        odd.append(f"{name} has more than one line: all of them are taken for the password")
    return odd


def check_exposure(path: Path, what: str, of_systemd: str = "") -> tuple[str, ...]:
    """Return warnings if others can read a file as its owner decided. Raises CredentialsRefused if
    others can read it by mistake.

    ``of_systemd``: the folder in which systemd puts the credentials of a service. It lets the
    service's user read them by an access control list, whose mask stands where the permissions of
    the group are shown otherwise: the mode is 0440, and no group can read the file.
    """
    try:
        seen = exposure_of(path)
        by_all = os.stat(path).st_mode & stat.S_IROTH
    except OSError:
        return ()  # reading it says why
    if seen is Exposure.PRIVATE or (of_systemd and path.parent == Path(of_systemd) and not by_all):
        return ()
    if seen is Exposure.OPEN:
        raise CredentialsRefused(
            f"{path} ({what}) can be read by other users", next_step=f"chmod 600 {path}"
        )
    who = "all users" if by_all else "the members of its group"
    return (f"{path} ({what}) can be read by {who} of this machine or container",)


def _read(path: Path) -> bytes | None:
    with path.open("rb") as file:
        if file.isatty():
            return None  # nobody would see that it waits for a password
        return file.read(_MAX_BYTES + 1)


@lru_cache(maxsize=8)
def _read_once(path: Path, _device: int, _inode: int) -> bytes | None:
    """Read a pipe: several jobs of one run ask for its password, and only the first gets it."""
    return _read(path)


def _unusable(path: Path, what: str, why: str) -> CredentialsRefused:
    return CredentialsRefused(
        f"cannot read {path} ({what}): {why}",
        next_step="It must hold the password alone, as UTF-8 text, and be a file that only you can "
        "read (chmod 600), a mounted secret, or a pipe.",
    )
