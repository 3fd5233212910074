"""Finds user name and password, only after a server asks for them. They are never printed.

The order: the environment (``PHYSIONET_USERNAME`` with ``PHYSIONET_PASSWORD`` or
``PHYSIONET_PASSWORD_FILE``), the keyring if the extra is installed, netrc, then a prompt on the
terminal. There is no argument for a password: everybody on the machine can read arguments.

Credentials in the environment belong to PhysioNet: no other host gets them, unless
``PHYSIONET_HOST`` names that host. Keyring and netrc store a password with its host; the prompt
shows the host.
"""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cxrsync.config.job import is_loopback
from cxrsync.errors import CredentialsRefused
from cxrsync.events import EventSink
from cxrsync.progress_events import Resumed, Suspended
from cxrsync.sanitize import reason_of
from cxrsync.sources import keyring_store
from cxrsync.sources.netrc_file import NetrcEntry, NetrcProblem, parse_netrc
from cxrsync.sources.password_file import check_exposure, read_password, without_line_end

KEYRING = "keyring"
_PHYSIONET = {"physionet.org", "www.physionet.org"}
_PASSWORDS = ("PHYSIONET_PASSWORD", "PHYSIONET_PASSWORD_FILE")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and a password. ``found_in``: where they were found, for messages. ``warnings``:
    what a person should know of that place."""

    username: str
    password: str = field(repr=False)
    found_in: str = ""
    warnings: tuple[str, ...] = field(default=(), compare=False, repr=False)


Ask = Callable[[str, str | None], Credentials | None]
"""Asks a person, given the host and the user name (None: not known); None if nobody can be asked.
See :class:`cxrsync.sources.prompt.TerminalPrompt`."""


@contextmanager
def asking(emit: EventSink) -> Iterator[None]:
    """Tell ``emit`` that a question is on the terminal: nothing else may be written there."""
    emit(Suspended(asks=True))
    try:
        yield
    finally:
        emit(Resumed())


def alone(ask: Ask, emit: EventSink) -> Ask:
    """Return what asks a person as ``ask`` does, while nothing else is written to the terminal."""

    def ask_alone(host: str, user: str | None) -> Credentials | None:
        with asking(emit):
            return ask(host, user)

    return ask_alone


def find(
    host: str,
    user: str | None,
    environ: Mapping[str, str] = os.environ,
    ask: Ask | None = None,
    *,
    port: int | None = None,
    is_required: bool = True,
) -> Credentials:
    """Return the credentials for ``host``. ``is_required``: the host has asked for some.

    Raises CredentialsRefused if none are found.
    """
    withheld = None
    if not is_physionet(host, port, environ.get("PHYSIONET_HOST", "")):
        withheld = next(filter(environ.get, _PASSWORDS), None)
        own = ("PHYSIONET_USERNAME", *_PASSWORDS)
        environ = {name: value for name, value in environ.items() if name not in own}
    found = _from_environment(user, environ) or _from_keyring(host, user, environ)
    if found is not None:
        return found
    netrc = _read_netrc(environ)
    found = netrc.credentials_for(host, _name(user, environ))
    if found is None and ask is not None:
        found = ask(host, _name(user, environ))
    if found is not None:
        return found
    line = f"machine {host} login {_name(user, environ) or 'NAME'} password PASSWORD"
    in_netrc = f"the line '{line}' to ~/.netrc (chmod 600 ~/.netrc)"
    what = f"{host} asks for a user name and a password, and "
    if not is_required:
        what = f"a pull from {host} would have no password: "
    if withheld is not None:
        raise CredentialsRefused(
            f"{what}{withheld} is for physionet.org only",
            next_step=f"To let {host} have it, set PHYSIONET_HOST={host}. If {host} has a "
            f"password of its own, add {in_netrc}.",
        )
    seen = f" ({netrc.trouble})" if netrc.trouble else ""
    store = "Run `cxrsync login` on a terminal, once"
    if ask is not None and has_terminal():
        what += "an answer was empty; "
        store = "Run the same command again and type them, or store them once with `cxrsync login`"
    raise CredentialsRefused(
        what + (f"no password of {user} was found" if user else "none were found") + seen,
        next_step=f"{store}; or set PHYSIONET_USERNAME and PHYSIONET_PASSWORD (or "
        f"PHYSIONET_PASSWORD_FILE), or add {in_netrc}.",
    )


def has_terminal() -> bool:
    """Return whether a person can be asked on a terminal here."""
    return sys.stdin.isatty() and sys.stderr.isatty()


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
    # A secret that `echo` has made, as of Kubernetes, ends with a newline.
    return user or environ.get("PHYSIONET_USERNAME", "").strip() or None


def _from_environment(user: str | None, environ: Mapping[str, str]) -> Credentials | None:
    place = "PHYSIONET_PASSWORD"
    password = without_line_end(environ.get(place, ""))
    warnings: tuple[str, ...] = ()
    file = environ.get("PHYSIONET_PASSWORD_FILE")
    if not password and file:
        place = "PHYSIONET_PASSWORD_FILE"
        path = Path(os.path.expanduser(file))
        password, warnings = read_password(path, place, environ.get("CREDENTIALS_DIRECTORY", ""))
    if not password:
        return None
    username = _name(user, environ)
    if not username:
        raise CredentialsRefused(
            f"{place} is set, but no user name",
            next_step="Set PHYSIONET_USERNAME, or give --user NAME.",
        )
    return Credentials(username, password, place, warnings)


def _from_keyring(host: str, user: str | None, environ: Mapping[str, str]) -> Credentials | None:
    username = _name(user, environ)
    found = keyring_store.find(host, username)
    if found is None or username not in {None, found.username}:
        return None
    return Credentials(found.username, found.password, KEYRING)


@dataclass(frozen=True, slots=True)
class _Netrc:
    """What a netrc file holds. ``trouble``: why it, or a part of it, could not be read."""

    path: Path
    entries: tuple[NetrcEntry, ...] = ()
    trouble: str = ""

    def credentials_for(self, host: str, user: str | None) -> Credentials | None:
        """Return the first entry for ``host``, else that for any host (``default``); of ``user``,
        if one is known. Raises CredentialsRefused if this entry cannot be read, or if others can
        read it. Entries of other hosts do not matter."""
        for wanted in (host.lower(), None):
            for entry in self.entries:
                name = None if entry.host is None else entry.host.lower()
                if name != wanted or (user is not None and entry.login not in {user, ""}):
                    continue
                if entry.problem is not None:
                    raise _wrong_netrc(self.path, entry.problem)
                if entry.login and entry.password:
                    warnings = check_exposure(self.path, "netrc")
                    place = str(self.path) + (" (default)" if wanted is None else "")
                    return Credentials(entry.login, entry.password, place, warnings)
        return None


def netrc_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the path of the user's netrc file, which need not exist."""
    return Path(environ.get("NETRC") or Path(environ.get("HOME") or home_of_user()) / ".netrc")


def home_of_user() -> str:
    """Return the home that the system has for this user. HOME may be unset, as in a service of
    systemd, and the user's netrc file is meant there, too."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except (KeyError, OSError):  # a container with any number for its user
        return "/nonexistent"


def _read_netrc(environ: Mapping[str, str]) -> _Netrc:
    """Return the netrc file; without entries if there is none, or if we may not read the usual one.

    Raises CredentialsRefused if NETRC names a file that cannot be read.
    """
    named = environ.get("NETRC")
    path = netrc_path(environ)
    if not os.path.isfile(path):  # also if its folder cannot be entered
        return _Netrc(path, trouble=f"NETRC names {path}, which is no file" if named else "")
    try:
        text = path.read_text("utf-8", "surrogateescape")
    except OSError as problem:
        why = f"{path} cannot be read: {reason_of(problem)}"
        if named:
            raise CredentialsRefused(why, next_step="Name a file that you may read.") from None
        return _Netrc(path, trouble=why)
    entries, stray = parse_netrc(text)
    problems = [*stray, *(each.problem for each in entries if each.problem is not None)]
    return _Netrc(path, tuple(entries), f"{path}, {problems[0]}" if problems else "")


def _wrong_netrc(path: Path, problem: NetrcProblem) -> CredentialsRefused:
    return CredentialsRefused(
        f"cannot read {path} (netrc): {problem}",
        next_step="An entry has the form: machine HOST login NAME password PASSWORD",
    )
