"""Sign-in as the real site does it (physionet-build, `check_http_auth`)."""

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
    """Whether a client is signed in, and the cookie of its new session, if there is one."""

    signed_in: bool
    cookie: str | None = None


_DENIED = Admission(signed_in=False)
_ADMITTED = Admission(signed_in=True)


class Authenticator:
    """The one account, and its sessions."""

    def __init__(self, behaviour: ServerBehaviour, request_log: RequestLog) -> None:
        self._request_log = request_log
        self._sessions: dict[str, bytes] = {}
        self.set_account(behaviour)

    def set_account(self, behaviour: ServerBehaviour) -> None:
        """Use the account of `behaviour`.

        A session has the password's hash, as in Django: it ends when the password changes.
        """
        self._behaviour = behaviour
        self._account = _Account.create(
            behaviour.username, behaviour.password, iterations_for(behaviour.password_check_seconds)
        )

    def forget_sessions(self) -> None:
        """End all sessions."""
        self._sessions.clear()

    async def admit(
        self,
        headers: Mapping[str, str],
        cookies: Mapping[str, str],
        *,
        sessions: bool,
        active: bool = True,
    ) -> Admission:
        """Sign a client in by the cookie of a session, or by a password check.

        Both require an Authorization header. With a session its content does not matter. Without
        one the password is checked, and a session begins if the client sent any cookie: the 401
        sets `testcookie` for this. An account that is not `active` has no session, and its right
        password is checked and refused.
        """
        authorization = headers.get("Authorization")
        if authorization is None:
            return _DENIED
        if (
            sessions
            and active
            and self._sessions.get(cookies.get("sessionid", "")) == self._account.digest
        ):
            return _ADMITTED
        pair = _parse_basic(authorization)
        if pair is None:
            return _DENIED
        self._request_log.checked_password()
        account = self._account
        if not await asyncio.to_thread(account.fits, *pair) or not active:
            return _DENIED
        if not (sessions and cookies):
            return _ADMITTED
        key = secrets.token_hex(16)
        self._sessions[key] = account.digest
        return Admission(
            signed_in=True,
            cookie=with_security(
                f"sessionid={key}; HttpOnly; Max-Age={TWO_WEEKS}; Path=/; SameSite=Lax",
                self._behaviour,
            ),
        )


def with_security(cookie: str, behaviour: ServerBehaviour) -> str:
    """Return the cookie as the site sets it: no client sends it back without TLS."""
    return cookie if behaviour.plain else f"{cookie}; Secure"


def may_sign_in(method: str, agent: str) -> bool:
    """Return whether the site accepts basic auth for this method and User-Agent at all."""
    return method in {"GET", "HEAD"} and _AGENTS.match(agent) is not None


def iterations_for(seconds: float) -> int:
    """Return the number of PBKDF2 rounds that take at least `seconds` of CPU on this machine."""
    # The probe is the fastest of several; ten percent more, because the CPU clock may speed up.
    return max(1, math.ceil(1.1 * _PROBE_ITERATIONS * seconds / _probe_seconds()))


@functools.cache
def _probe_seconds() -> float:
    def probe() -> float:
        began = time.thread_time()  # CPU time, which does not depend on other processes
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
        """Check a password, at full cost even for an unknown user, as Django does."""
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
