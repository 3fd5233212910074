"""Which proxy a server is reached through, if any, and what its refusal means; purely.

Taken from the variables that curl and wget know: ``https_proxy`` or ``HTTPS_PROXY``,
``http_proxy``, ``all_proxy`` or ``ALL_PROXY``, ``no_proxy`` or ``NO_PROXY``. Lower case goes first.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from yarl import URL

from cxrsync.config.job import is_loopback
from cxrsync.errors import AccessDenied, CredentialsRefused, SourceError, Unreachable, UsageError
from cxrsync.sources.http.responses import TRY_LATER

_VARIABLES = {
    "https": ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
    # Not HTTP_PROXY: where a web server runs us, a client sets that one with a header "Proxy"
    # (httpoxy, CVE-2016-5385).
    "http": ("http_proxy", "all_proxy", "ALL_PROXY"),
}
_HOST_AND_PORT = re.compile(r"(?P<host>[^:]+|\[.+\]):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy without its secret: ``url`` names scheme, host and port only.

    ``authorization``: the value of Proxy-Authorization, for its eyes alone.
    """

    url: URL
    authorization: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"the proxy {self.url.host_port_subcomponent}"

    @property
    def headers(self) -> dict[str, str]:
        """What the proxy is told about us."""
        return {} if self.authorization is None else {"Proxy-Authorization": self.authorization}

    def refusal(self, status: int, host: str | None) -> SourceError:
        """What it means that the proxy answers ``status`` when asked for ``host``."""
        if status == 407:
            what = "wants a user name and a password"
            if self.authorization is not None:
                what = "refuses its user name or password"
            return CredentialsRefused(
                f"{self} {what} (407)",
                next_step="Write them into the variable that names the proxy, as "
                "http://USER:PASSWORD@HOST:PORT with what is no letter or digit as %XX.",
            )
        if 400 <= status < 500 and status not in TRY_LATER:
            return AccessDenied(
                f"{self} does not let us through to {host} ({status})",
                next_step="Ask whoever runs the proxy, or name the host in NO_PROXY.",
            )
        return Unreachable(f"{self} does not get through to {host} ({status})")


def proxy_for(url: str, environ: Mapping[str, str] = os.environ) -> Proxy | None:
    """The proxy through which ``url`` is reached; None: directly.

    This machine never is: a proxy elsewhere would take "localhost" for its own, and a password
    may go to this machine over plain http only because it meets no network on its way.

    Raises UsageError for a proxy of no use to us. It does not quote the variable: a password may
    stand in any part of it.
    """
    target = URL(url)
    if is_loopback(target.host) or _is_exempt(target, environ):
        return None
    for name in _VARIABLES.get(target.scheme, ()):
        if value := environ.get(name, "").strip():
            return _parse(name, value)
    return None


def _is_exempt(target: URL, environ: Mapping[str, str]) -> bool:
    exempt = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    return any(_covers(each, target) for each in re.split(r"[\s,]+", exempt) if each)


def _covers(exempt: str, target: URL) -> bool:
    """Whether one name of NO_PROXY means ``target``.

    ``*``; ``example.org`` or ``.example.org``, with the hosts below it; ``10.1.2.3``;
    ``10.0.0.0/8``; each but the last also with ``:port``.
    """
    if exempt == "*":
        return True
    match = _HOST_AND_PORT.fullmatch(exempt)
    if match is not None and int(match["port"]) == target.port:
        exempt = match["host"]
    host = (target.host or "").rstrip(".").lower()
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        domain = exempt.lower().strip("*.")
        return bool(domain) and f".{host}".endswith(f".{domain}")
    try:
        return address in ipaddress.ip_network(exempt.strip("[]"), strict=False)
    except ValueError:
        return False


def _parse(name: str, value: str) -> Proxy:
    try:
        url = URL(value if "://" in value else f"http://{value}")
        # Reading it can fail as well.
        host, port, user, password = url.host, url.port, url.user, url.password
    except ValueError:
        raise _unusable(name, "is no address") from None
    if url.scheme.startswith("socks"):
        raise _unusable(name, "names a SOCKS proxy, which cxrsync does not speak")
    if url.scheme not in {"http", "https"} or not host or not port:
        raise _unusable(name, "is no http:// or https:// address")
    if url.path not in {"", "/"} or url.query_string or url.fragment:
        # As of a password with a '/' in it, which splits the address at the wrong place.
        raise _unusable(name, "has something behind the port (a '/', '?' or '#' in a password?)")
    authorization = None
    if user or password:
        pair = f"{user or ''}:{password or ''}".encode()
        authorization = f"Basic {base64.b64encode(pair).decode('ascii')}"
    return Proxy(url.origin(), authorization)


def _unusable(name: str, why: str) -> UsageError:
    return UsageError(
        f"the variable {name} {why}",
        next_step="Say http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, with what is no letter "
        "or digit in the password as %XX; or name the server in NO_PROXY.",
    )
