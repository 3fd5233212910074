"""Finds user name and password, only after a server asks for them. They are never printed.

The order: the environment (``PHYSIONET_USERNAME`` with ``PHYSIONET_PASSWORD`` or
``PHYSIONET_PASSWORD_FILE``), the keyring if the extra is installed, netrc, then a prompt on the
terminal. There is no argument for a password: everybody on the machine can read arguments.

Credentials in the environment belong to PhysioNet: no other host gets them, unless
``PHYSIONET_HOST`` names that host. Keyring and netrc store a password with its host; the prompt
shows the host.
"""

from __future__ import annotations

import netrc
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cxrsync.config.job import is_loopback
from cxrsync.errors import CredentialsRefused
from cxrsync.sanitize import reason_of

KEYRING_SERVICE = "cxrsync"
_PHYSIONET = {"physionet.org", "www.physionet.org"}
_PASSWORDS = ("PHYSIONET_PASSWORD", "PHYSIONET_PASSWORD_FILE")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and a password. ``found_in``: where they were found, for messages."""

    username: str
    password: str = field(repr=False)
    found_in: str = ""


Ask = Callable[[str, str | None], Credentials | None]
"""Asks a person, given the host and the user name (None: not known); None if nobody can be asked.
See :class:`cxrsync.sources.prompt.TerminalPrompt`."""


def find(
    host: str,
    user: str | None,
    environ: Mapping[str, str] = os.environ,
    ask: Ask | None = None,
    *,
    port: int | None = None,
) -> Credentials:
    """Return the credentials for ``host``. Raises CredentialsRefused if none are found."""
    withheld = None
    if not is_physionet(host, port, environ.get("PHYSIONET_HOST", "")):
        withheld = next(filter(environ.get, _PASSWORDS), None)
        own = ("PHYSIONET_USERNAME", *_PASSWORDS)
        environ = {name: value for name, value in environ.items() if name not in own}
    for look in (_from_environment, _from_keyring, _from_netrc):
        found = look(host, user, environ)
        if found is not None:
            return found
    found = ask(host, _name(user, environ)) if ask is not None else None
    if found is None and withheld is not None:
        raise CredentialsRefused(
            f"{host} asks for a user name and a password, and {withheld} is for physionet.org only",
            next_step=f"To let {host} have it, set PHYSIONET_HOST={host}. If {host} has a "
            f"password of its own, add '{host}' to ~/.netrc (chmod 600).",
        )
    if found is None:
        raise CredentialsRefused(
            f"{host} asks for a user name and a password, and "
            + (f"no password of {user} was found" if user else "none were found"),
            next_step="Set PHYSIONET_USERNAME and PHYSIONET_PASSWORD (or "
            f"PHYSIONET_PASSWORD_FILE), or add '{host}' to ~/.netrc (chmod 600).",
        )
    return found


def is_physionet(host: str, port: int | None, named: str) -> bool:
    """Return whether a host may get the credentials in the environment: PhysioNet, this machine, or
    the host ``named`` by PHYSIONET_HOST, with or without its port."""
    host = host.lower().removesuffix(".")
    if host in _PHYSIONET or is_loopback(host):
        return True
    bracketed = f"[{host}]" if ":" in host else host
    whole = {host, f"{host}.", bracketed, f"{bracketed}:{port}", f"{bracketed}.:{port}"}
    return bool(host) and named.strip().lower() in whole


def _name(user: str | None, environ: Mapping[str, str]) -> str | None:
    return user or environ.get("PHYSIONET_USERNAME") or None


def _from_environment(
    _host: str, user: str | None, environ: Mapping[str, str]
) -> Credentials | None:
    username = _name(user, environ)
    password = environ.get("PHYSIONET_PASSWORD") or None
    place = "PHYSIONET_PASSWORD"
    file = environ.get("PHYSIONET_PASSWORD_FILE")
    if password is None and file:
        place = "PHYSIONET_PASSWORD_FILE"
        path = Path(os.path.expanduser(file))
        _refuse_if_others_can_read(path, place, environ.get("CREDENTIALS_DIRECTORY", ""))
        try:
            password = path.read_text("utf-8").rstrip("\r\n")
        except UnicodeDecodeError:  # its message would quote a byte of the password
            raise _unusable(path, place, "not UTF-8") from None
        except OSError as problem:
            raise _unusable(path, place, reason_of(problem)) from None
        if not password:
            raise _unusable(path, place, "it is empty")
    if not password:
        return None
    if not username:
        raise CredentialsRefused(
            f"{place} is set, but no user name",
            next_step="Set PHYSIONET_USERNAME, or give --user NAME.",
        )
    return Credentials(username, password, place)


def _from_keyring(host: str, user: str | None, environ: Mapping[str, str]) -> Credentials | None:
    username = _name(user, environ)
    try:
        import keyring

        found = keyring.get_credential(f"{KEYRING_SERVICE}:{host}", username)
    except Exception:  # noqa: BLE001 - not installed, or a broken back end: no keyring
        return None
    if found is None or not found.password or username not in {None, found.username}:
        return None
    return Credentials(found.username, found.password, "keyring")


def _from_netrc(host: str, user: str | None, environ: Mapping[str, str]) -> Credentials | None:
    path = Path(environ.get("NETRC") or Path(environ.get("HOME", "/nonexistent")) / ".netrc")
    if not os.path.isfile(path):  # also if its folder cannot be entered
        return None
    _refuse_if_others_can_read(path, "netrc")
    try:
        entry = netrc.netrc(str(path)).hosts.get(host)
    except (netrc.NetrcParseError, OSError, UnicodeDecodeError) as problem:
        # The parser's own message can quote the line with the password.
        line = getattr(problem, "lineno", None)
        raise _unusable(path, "netrc", f"line {line}" if line else "") from None
    if entry is None:
        return None
    login, _account, password = entry
    if not login or not password or _name(user, environ) not in {None, login}:
        return None
    return Credentials(login, password, str(path))


def _unusable(path: Path, what: str, why: str) -> CredentialsRefused:
    return CredentialsRefused(
        f"cannot read {path} ({what})" + (f": {why}" if why else ""),
        next_step="It must be a file that only you can read (chmod 600).",
    )


def _refuse_if_others_can_read(path: Path, what: str, of_systemd: str = "") -> None:
    """Raise CredentialsRefused if other users can read a file with a password.

    ``of_systemd``: the folder in which systemd puts the credentials of a service. It lets the
    service's user read them by an access control list, whose mask stands where the permissions of
    the group are shown otherwise: the mode is 0440, and no group can read the file.
    """
    others = stat.S_IRGRP | stat.S_IROTH
    if of_systemd and path.parent == Path(of_systemd):
        others = stat.S_IROTH
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if not stat.S_ISREG(mode):
        raise _unusable(path, what, "it is not a file")
    if mode & others:
        raise CredentialsRefused(
            f"{path} ({what}) can be read by other users", next_step=f"chmod 600 {path}"
        )
