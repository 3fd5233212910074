"""How the miniature PhysioNet behaves."""

from collections.abc import Callable
from dataclasses import dataclass, field

from cxrsync.demo.server.faults import Script


def _none(_number: int) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class ServerBehaviour:
    """What the server requires of its clients, and how fast it serves them.

    The defaults are the real site's, without its slowness: a session by cookie after the first
    password check (physionet-build, `check_http_auth`), and every agreement signed.
    """

    username: str = "demo"
    password: str = field(default="demo-password", repr=False)
    password_check_seconds: float = 0.1
    """The minimum cost of one password check, in seconds of CPU."""
    agreements: frozenset[str] | None = None
    """What the user has signed the agreement of: "slug/version", or "slug" for all its versions.
    None means everything. The others answer 403."""
    withdrawn: frozenset[str] = frozenset()
    """Each "slug/version" whose files the site no longer gives out: 403, to everybody."""
    active: bool = True
    """False: the account is deactivated, and its right password answers 401."""
    api_requests: int | None = None
    """After so many requests the public API answers 429."""
    api_retry_after: str | None = "3600"
    """The Retry-After of that answer."""
    clock_ahead: float = 0.0
    """Seconds by which its clock, in the Date of each answer, is ahead of this machine's."""
    open_datasets: frozenset[str] = frozenset()
    """Slugs served without credentials."""
    plain: bool = False
    """http without TLS, where the package that makes certificates is missing."""
    rate: int | None = None
    """Bytes of bodies per second and TCP connection."""
    latency: float = 0.0
    """Seconds before each response."""
    max_connections: int | None = None
    """With so many open TCP connections the next one is closed at once."""
    sessions: bool = True
    """False: no cookies, as with plain basic auth in front of static files."""
    faults: Script | None = None
    """What goes wrong, and when; only for clients that are admitted."""
    cuts_handshake: Callable[[int], bool] = _none
    """Whether the connection with this number (from 1) is dropped in its TLS handshake."""
