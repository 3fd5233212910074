"""The proxy for a server, if any, and the meaning of its refusals. Pure.

It comes from the variables that curl and wget use: ``https_proxy`` or ``HTTPS_PROXY``,
``http_proxy``, ``all_proxy`` or ``ALL_PROXY``, ``no_proxy`` or ``NO_PROXY``. Lower case wins.
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
from cxrsync.sources.http.refusals import TRY_LATER

_VARIABLES = {
    "https": ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
    # Not HTTP_PROXY: if a web server runs us, a client can set it with a header "Proxy" (httpoxy,
    # CVE-2016-5385).
    "http": ("http_proxy", "all_proxy", "ALL_PROXY"),
}
_HOST_AND_PORT = re.compile(r"(?P<host>[^:]+|\[.+\]):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy. ``url`` holds scheme, host and port, but no password.

    ``authorization``: the value of Proxy-Authorization, which only the proxy gets.
    """

    url: URL
    authorization: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"the proxy {self.url.host_port_subcomponent}"

    @property
    def headers(self) -> dict[str, str]:
        """The headers for the proxy."""
        return {} if self.authorization is None else {"Proxy-Authorization": self.authorization}

    def refusal(self, status: int, host: str | None) -> SourceError:
        """Return the error for a ``status`` that the proxy answers when asked for ``host``."""
        if status == 407:
            what = "asks for a user name and a password"
            if self.authorization is not None:
                what = "refuses its user name or password"
            return CredentialsRefused(
                f"{self} {what} (407)",
                next_step="Write them into the variable that names the proxy, as "
                "http://USER:PASSWORD@HOST:PORT; write characters other than letters and digits as "
                "%XX.",
            )
        if 400 <= status < 500 and status not in TRY_LATER:
            return AccessDenied(
                f"{self} refuses a connection to {host} ({status})",
                next_step="Ask the administrator of the proxy, or name the host in NO_PROXY.",
            )
        return Unreachable(f"{self} cannot reach {host} ({status})")


def proxy_for(url: str, environ: Mapping[str, str] = os.environ) -> Proxy | None:
    """Return the proxy for ``url``, or None for a direct connection.

    This machine is never reached through a proxy: a proxy elsewhere would take "localhost" for
    itself. And a password may be sent to this machine over plain http only because it crosses no
    network.

    Raises UsageError for a proxy that cannot be used. The message does not quote the variable: any
    part of it may be a password.
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
    """Return whether one name of NO_PROXY matches ``target``.

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
        # Reading a part can fail as well.
        host, port, user, password = url.host, url.port, url.user, url.password
    except ValueError:
        raise _unusable(name, "is not an address") from None
    if url.scheme.startswith("socks"):
        raise _unusable(name, "names a SOCKS proxy, which cxrsync does not support")
    if url.scheme not in {"http", "https"} or not host or not port:
        raise _unusable(name, "is not an http:// or https:// address")
    if url.path not in {"", "/"} or url.query_string or url.fragment:
        # As with a password that contains a '/', which splits the address at the wrong place.
        raise _unusable(name, "has text after the port (a '/', '?' or '#' in a password?)")
    authorization = None
    if user or password:
        pair = f"{user or ''}:{password or ''}".encode()
        authorization = f"Basic {base64.b64encode(pair).decode('ascii')}"
    return Proxy(url.origin(), authorization)


def _unusable(name: str, why: str) -> UsageError:
    return UsageError(
        f"the variable {name} {why}",
        next_step="Use http://HOST:PORT or http://USER:PASSWORD@HOST:PORT (in the password, write "
        "characters other than letters and digits as %XX), or name the server in NO_PROXY.",
    )
