"""The bytes of a GET: the same that aiohttp would send. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http.cookies import BaseCookie

from yarl import URL

from cxrsync.sources.http.lean.head import OddAnswer

_OURS = {"host", "user-agent", "accept", "cookie"}
# aiohttp says what is wrong with such a value.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def get_request(
    url: URL, user_agent: str, headers: Mapping[str, str], cookies: BaseCookie[str]
) -> bytes:
    """Return the request. Raises OddAnswer for fields that aiohttp must write, or refuse."""
    if "Accept-Encoding" not in headers or not _OURS.isdisjoint(map(str.lower, headers)):
        raise OddAnswer
    fields = {"Host": url.host_port_subcomponent or "", "User-Agent": user_agent, **headers}
    fields["Accept"] = "*/*"
    if cookies:
        # Each value as the server wrote it.
        pairs = [f"{name}={each.coded_value}" for name, each in sorted(cookies.items())]
        fields["Cookie"] = "; ".join(pairs)
    if any(map(_CONTROL.search, fields.values())):
        raise OddAnswer
    lines = "\r\n".join([f"{name}: {value}" for name, value in fields.items()])
    return f"GET {url.raw_path_qs} HTTP/1.1\r\n{lines}\r\n\r\n".encode()
