"""The system's keyring, through the extra ``keyring``: find, store and delete a password.

A password is stored for its host and user. Not every keyring can say which users it knows for a
service, so the user of the last login is stored, too.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple

from cxrsync.errors import UsageError
from cxrsync.sanitize import reason_of

_SERVICE = "cxrsync:{host}"
_LAST_USER = "cxrsync-user:{host}"
_NAME = "user"
_NETRC = "To store the password in ~/.netrc instead, run `cxrsync login --netrc`."


class Stored(NamedTuple):
    """A user and a password. It is not to be printed."""

    username: str
    password: str


def keyring_name() -> str | None:
    """Return the name of the keyring that can be used; None if there is none."""
    try:
        backend = _keyring().get_keyring()
        name, is_usable = str(backend.name), backend.priority > 0
    except Exception:  # noqa: BLE001 - not installed, or a broken back end: no keyring
        return None
    return name if is_usable else None


def find(host: str, username: str | None) -> Stored | None:
    """Return the password of a user for ``host``; of the last login's, if no user is named."""
    try:
        keyring = _keyring()
        service = _SERVICE.format(host=host)
        username = username or keyring.get_password(_LAST_USER.format(host=host), _NAME)
        found = keyring.get_credential(service, username)
    except Exception:  # noqa: BLE001 - as above
        return None
    if found is None or not found.username or not found.password:
        return None
    return Stored(found.username, found.password)


def store(host: str, username: str, password: str) -> None:
    """Store a password, and whose it is. Raises UsageError if the keyring does not keep it."""
    try:
        keyring = _keyring()
        keyring.set_password(_SERVICE.format(host=host), username, password)
        keyring.set_password(_LAST_USER.format(host=host), _NAME, username)
    except Exception as problem:  # noqa: BLE001 - each back end has its own errors
        raise UsageError(
            f"the keyring does not store the password: {reason_of(problem)}", next_step=_NETRC
        ) from None
    if find(host, None) != Stored(username, password):
        raise UsageError("the keyring does not give back what it stored", next_step=_NETRC)


def delete(host: str, username: str | None) -> str | None:
    """Delete the password of a user (of the last login's, if None). Return whose it was; None if
    there was none. Raises UsageError if the keyring keeps it."""
    found = find(host, username)
    if found is None:
        return None
    keyring = _keyring()
    try:
        keyring.delete_password(_SERVICE.format(host=host), found.username)
    except Exception as problem:  # noqa: BLE001 - as above
        raise UsageError(
            f"the keyring does not delete the password of {found.username}: {reason_of(problem)}",
            next_step="Unlock the keyring, or delete the entry with the system's own program.",
        ) from None
    with suppress(Exception):  # the name alone is no secret
        if keyring.get_password(_LAST_USER.format(host=host), _NAME) == found.username:
            keyring.delete_password(_LAST_USER.format(host=host), _NAME)
    return found.username


def _keyring() -> Any:
    import keyring  # here: it is an extra, and its import is slow

    return keyring
