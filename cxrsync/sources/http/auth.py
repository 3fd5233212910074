"""The credentials that a request carries."""

from __future__ import annotations

import base64
from enum import Enum

from cxrsync.sources.credentials import Credentials


class AuthMethod(Enum):
    """What a request carries to authenticate us."""

    NONE = "none"
    COOKIE = "the session cookie"
    PASSWORD = "the password, each time"  # noqa: S105 - a description


def basic_header(credentials: Credentials) -> str:
    """Return the Authorization header of Basic authentication (RFC 7617)."""
    # Bytes of the environment that are not UTF-8 are sent unchanged.
    pair = f"{credentials.username}:{credentials.password}".encode(errors="surrogateescape")
    return f"Basic {base64.b64encode(pair).decode('ascii')}"
