"""Who may come in: sign-in as physionet-build does it (`check_http_auth`)."""

import asyncio
import base64
import binascii
import functools
import hashlib
import hmac
import math
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass

from cxrsync.demo.server.behaviour import ServerBehaviour
from cxrsync.demo.server.request_log import RequestLog

TWO_WEEKS = 1_209_600  # seconds: Django's SESSION_COOKIE_AGE

_AGENTS = re.compile(r"(Wget/|libwfdb/)")
_PROBE_ITERATIONS = 20_000


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether a guest is signed in, and the session cookie to give, if there is a new one."""

    signed_in: bool
    cookie: str | None = None


_STRANGER = Admission(signed_in=False)
_GUEST = Admission(signed_in=True)


class Authenticator:
    """Knows the one account and its sessions."""

    def __init__(self, behaviour: ServerBehaviour, request_log: RequestLog) -> None:
        self._request_log = request_log
        self._sessions: dict[str, bytes] = {}
        self.follow(behaviour)

    def follow(self, behaviour: ServerBehaviour) -> None:
        """Take over the account of these manners.

        A session holds the password's hash, as Django's do: it ends when that changes.
        """
        self._account = _Account.create(
            behaviour.username, behaviour.password, iterations_for(behaviour.password_check_seconds)
        )

    def forget_sessions(self) -> None:
        """End all sessions."""
        self._sessions.clear()

    async def admit(
        self, headers: Mapping[str, str], cookies: Mapping[str, str], *, sessions: bool
    ) -> Admission:
        """Sign a guest in by the cookie of a session, or else by a password check.

        Only an Authorization header starts either. With a session its content is not even
        looked at; without one it costs a check, and earns a session if there was any cookie:
        hence the `testcookie` of the 401.
        """
        authorization = headers.get("Authorization")
        if authorization is None:
            return _STRANGER
        if sessions and self._sessions.get(cookies.get("sessionid", "")) == self._account.digest:
            return _GUEST
        named = _parse_basic(authorization)
        if named is None:
            return _STRANGER
        self._request_log.checked_password()
        account = self._account
        if not await asyncio.to_thread(account.fits, *named):
            return _STRANGER
        if not (sessions and cookies):
            return _GUEST
        key = secrets.token_hex(16)
        self._sessions[key] = account.digest
        return Admission(
            signed_in=True,
            cookie=f"sessionid={key}; HttpOnly; Max-Age={TWO_WEEKS}; Path=/; SameSite=Lax; Secure",
        )


def is_welcome(method: str, agent: str) -> bool:
    """Tell whether basic auth is honoured at all for this method and User-Agent."""
    return method in {"GET", "HEAD"} and _AGENTS.match(agent) is not None


def iterations_for(seconds: float) -> int:
    """Return how many PBKDF2 rounds take at least `seconds` of CPU on this machine."""
    # The probe is the fastest of several, and the tenth on top is for a clock that speeds up.
    return max(1, math.ceil(1.1 * _PROBE_ITERATIONS * seconds / _probe_seconds()))


@functools.cache
def _probe_seconds() -> float:
    def probe() -> float:
        began = time.thread_time()  # CPU time: a busy machine does not make it look slow
        hashlib.pbkdf2_hmac("sha256", b"probe", b"salt", _PROBE_ITERATIONS)
        return time.thread_time() - began

    return min(probe() for _ in range(5))


@dataclass(frozen=True, slots=True)
class _Account:
    username: str
    salt: bytes
    iterations: int
    digest: bytes

    @classmethod
    def create(cls, username: str, password: str, iterations: int) -> "_Account":
        salt = secrets.token_bytes(16)
        return cls(username, salt, iterations, _hash(password, salt, iterations))

    def fits(self, username: str, password: str) -> bool:
        """Check a password at full cost, for a user that does not exist too, as Django does."""
        right = hmac.compare_digest(_hash(password, self.salt, self.iterations), self.digest)
        return right and username == self.username


def _hash(password: str, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)


def _parse_basic(authorization: str) -> tuple[str, str] | None:
    match authorization.split():
        case [scheme, token] if scheme.lower() == "basic":
            try:
                username, colon, password = base64.b64decode(token).decode().partition(":")
            except (binascii.Error, UnicodeError, ValueError):
                return None
            return (username, password) if colon else None
    return None
