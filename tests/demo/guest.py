"""A small tree to serve, and a client for it over TLS."""

import base64
import ssl
import time
from collections.abc import Awaitable
from typing import Any

import aiohttp
from yarl import URL

from cxrsync.demo.server.behaviour import ServerBehaviour
from cxrsync.demo.server.server import MiniPhysioNet

MTIME = 1_721_736_000
KIB = 1024
BIG = bytes(range(256)) * 4 * KIB  # 1 MiB
TREE = {
    "alpha/1.0/SHA256SUMS.txt": b"0123456789",
    "alpha/1.0/big.bin": BIG,
    "alpha/1.0/empty.txt": b"",
    "alpha/1.0/files/p10/one.jpg": b"one",
    "alpha/1.0/files/p10/two#? 5%.jpg": b"two",
    "alpha/1.0/.hidden": b"no",
    "alpha/2.0/README": b"newer",
    "beta/1.0/SHA256SUMS.txt": b"beta",
    "open/1.0/SHA256SUMS.txt": b"open",
    "open/1.0/big.bin": BIG,
}
QUICK = ServerBehaviour(password_check_seconds=0.001, open_datasets=frozenset({"open"}))
AGENT = "Wget/1.21 (compatible; tests)"
TEST_COOKIE = "testcookie=1; HttpOnly; Path=/; SameSite=Lax; Secure"


def open_session(server: MiniPhysioNet, agent: str = AGENT) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        headers={"User-Agent": agent},
        cookie_jar=aiohttp.CookieJar(unsafe=True),
        connector=aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=server.ca_file)),
    )


def basic(user: str = "demo", password: str = "demo-password") -> dict[str, str]:
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {token}"}


SIGNED = basic()


async def get(
    session: aiohttp.ClientSession, url: str, *, method: str = "GET", **headers: str
) -> tuple[aiohttp.ClientResponse, bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with session.request(
        method, URL(url, encoded=True), headers=named, allow_redirects=False
    ) as response:
        return response, await response.read()


async def status(session: aiohttp.ClientSession, url: str, **headers: str) -> int:
    return (await get(session, url, **headers))[0].status


async def timed(doing: Awaitable[Any]) -> float:
    began = time.monotonic()
    await doing
    return time.monotonic() - began


def url_of_big(server: MiniPhysioNet) -> str:
    return f"{server.base_url}/open/1.0/big.bin"
