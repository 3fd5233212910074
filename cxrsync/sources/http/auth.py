"""How a request shows who we are."""

from __future__ import annotations

import base64
from enum import Enum

from cxrsync.sources.credentials import Credentials


class AuthMethod(Enum):
    """How a request shows who we are."""

    NONE = "none"
    COOKIE = "the session cookie"
    PASSWORD = "the password, each time"  # noqa: S105 - a description


def basic_header(credentials: Credentials) -> str:
    # What was no UTF-8 in the environment goes out as it came in.
    pair = f"{credentials.username}:{credentials.password}".encode(errors="surrogateescape")
    return f"Basic {base64.b64encode(pair).decode('ascii')}"
