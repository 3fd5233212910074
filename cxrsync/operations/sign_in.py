"""Try credentials once, and store or delete them: for ``login``, ``logout`` and ``whoami``."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from cxrsync.catalog.load import load
from cxrsync.config.job import SourceConfig
from cxrsync.errors import AccessDenied, DiskError, NotServed, UsageError
from cxrsync.sanitize import reason_of
from cxrsync.sources.access_probe import AccessProbe
from cxrsync.sources.http.access import Asker, explain_denial
from cxrsync.sources.netrc_edit import logins_for, with_entry, without_entry
from cxrsync.storage.atomic_write import write_file

_NOT_WRITTEN = "Nothing was changed. Use the keyring, or PHYSIONET_PASSWORD_FILE."


async def try_sign_in(probe: AccessProbe, origin: SourceConfig) -> bool:
    """Sign in once. Return whether the server has accepted the password; False if it asks nobody
    for one.

    The password is sent for the manifest of the first dataset of the catalogue that asks for one.
    Whether the user may have its files does not matter: the sign-in comes first. Raises
    CredentialsRefused if the password is refused, or none is found, and any other SourceError if
    the server does not say.
    """
    for dataset in load().values():
        if not dataset.versions:
            continue
        version = dataset.versions[-1]
        reply = await probe.without_credentials(dataset.slug, version)
        is_asked = reply.status == 401
        if is_asked:
            reply = await probe.sign_in(dataset.slug, version)
        if isinstance(reply.refusal, AccessDenied):
            if is_asked:
                return True
            asker = Asker(None, origin.user_agent, probe.host)
            raise explain_denial(reply.refusal, asker, dataset, version)
        if reply.refusal is not None and not isinstance(reply.refusal, NotServed):
            raise reply.refusal
        if is_asked:
            return True
    return False


def store_in_netrc(path: Path, host: str, username: str, password: str) -> None:
    """Add or replace the entry for ``host``; the file is then for its owner only, and all else in
    it stays. Raises UsageError, DiskError."""
    try:
        _edit(path, lambda text: with_entry(text, host, username, password))
    except ValueError:
        raise UsageError(
            f"{path} cannot hold this user name and password, or has an error before the place "
            "where they belong",
            next_step=_NOT_WRITTEN,
        ) from None


def delete_from_netrc(path: Path, host: str, username: str | None) -> list[str]:
    """Delete the entries for ``host`` (with ``username``: this user's). Return whose they were.
    Raises UsageError, DiskError."""
    gone: list[str] = []

    def change(text: str) -> str:
        changed = without_entry(text, host, username)
        left = logins_for(changed, host)
        gone.extend(each for each in logins_for(text, host) if each not in left)
        return changed

    _edit(path, change)
    return gone


def users_in_netrc(path: Path, host: str) -> list[str]:
    """Return the users of the entries for ``host``; [] also if the file cannot be read."""
    try:
        return logins_for(path.read_text("utf-8", "surrogateescape"), host)
    except OSError:
        return []


def _edit(path: Path, change: Callable[[str], str]) -> None:
    """Replace the text of a netrc file, whole or not at all. A link to it stays one."""
    file = Path(os.path.realpath(path))
    try:
        before = _look(file)
        text = "" if before is None else file.read_text("utf-8", "surrogateescape")
        changed = change(text)
        if changed == text:
            return

        def check_unchanged() -> None:
            if _look(file) != before:
                raise UsageError(
                    f"{path} was changed by another program meanwhile",
                    next_step="Nothing was changed: run the same command again.",
                )

        data = changed.encode("utf-8", "surrogateescape")
        write_file(file, data, check_lock=check_unchanged)
    except OSError as problem:
        raise DiskError(
            f"cannot write {path}: {reason_of(problem)}", next_step=_NOT_WRITTEN
        ) from None


def _look(file: Path) -> tuple[int, int, int] | None:
    """Return what tells one state of a file from another; None if there is none. Raises UsageError
    if it is not a file of this user's."""
    try:
        found = file.stat()
    except FileNotFoundError:
        owner = file.parent.stat().st_uid
        state = None
    else:
        owner, state = found.st_uid, (found.st_ino, found.st_size, found.st_mtime_ns)
        if not stat.S_ISREG(found.st_mode):
            raise UsageError(f"{file} is not a file", next_step=_NOT_WRITTEN)
    if owner != os.geteuid():  # with sudo, HOME may be another user's
        raise UsageError(f"{file} is another user's", next_step=_NOT_WRITTEN)
    return state
