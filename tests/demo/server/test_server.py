"""The server's answers, and its start and stop."""

import asyncio
import json
import re
from pathlib import Path

import aiohttp
import pytest
from demo.guest import BIG, KIB, QUICK, SIGNED, TREE, get, open_session, status, url_of_big

from cxrsync.demo.server.server import MiniPhysioNet


async def test_a_file_has_the_headers_of_nginx(
    server: MiniPhysioNet, http: aiohttp.ClientSession
) -> None:
    url = f"{server.base_url}/alpha/1.0/files/p10/one.jpg"
    for method, content in (("GET", b"one"), ("HEAD", b"")):
        response, body = await get(http, url, method=method, **SIGNED)
        assert (response.status, body) == (200, content)
        wanted = {
            "Content-Length": "3",
            "Content-Type": "image/jpeg",
            "Content-Disposition": "inline; filename=one.jpg",
            "Last-Modified": "Tue, 23 Jul 2024 12:00:00 GMT",
            "ETag": '"669f9b40-3"',
            "Accept-Ranges": "bytes",
        }
        assert {name: response.headers.get(name) for name in wanted} == wanted
        assert "Content-Encoding" not in response.headers


async def test_ranges(server: MiniPhysioNet, http: aiohttp.ClientSession) -> None:
    url = f"{server.base_url}/alpha/1.0/SHA256SUMS.txt"
    response, body = await get(http, url, Range="bytes=2-4", If_Range='"669f9b40-a"', **SIGNED)
    assert (response.status, body) == (206, b"234")
    assert response.headers["Content-Range"] == "bytes 2-4/10"
    assert response.headers["ETag"] == '"669f9b40-a"'

    response, body = await get(http, url, Range="bytes=2-4", If_Range='"other"', **SIGNED)
    assert (response.status, body) == (200, b"0123456789")

    response, body = await get(http, url, Range="bytes=10-", **SIGNED)
    assert response.status == 416
    assert response.headers["Content-Range"] == "bytes */10"
    assert response.headers["Content-Disposition"] == "inline; filename=SHA256SUMS.txt"
    assert body.startswith(b"<html>")

    response, body = await get(http, url, Range="bytes=0-1,-1", **SIGNED)
    assert response.status == 206
    boundary = response.headers["Content-Type"].removeprefix("multipart/byteranges; boundary=")
    assert (
        body
        == (
            f"\r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01"
            f"\r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 9-9/10\r\n\r\n9"
            f"\r\n--{boundary}--\r\n"
        ).encode()
    )

    response, body = await get(http, url, If_None_Match='"669f9b40-a"', **SIGNED)
    assert (response.status, body) == (304, b"")
    assert response.headers["ETag"] == '"669f9b40-a"'
    assert "Content-Length" not in response.headers

    big = f"{server.base_url}/alpha/1.0/big.bin"
    _, body = await get(http, big, Range="bytes=1000-900000", **SIGNED)
    assert body == BIG[1000:900_001]


@pytest.mark.parametrize(
    "path",
    [
        "/files/gamma/1.0/SHA256SUMS.txt",
        "/files/alpha/9.0/SHA256SUMS.txt",
        "/files/alpha/1.0/missing",
        "/files/alpha/1.0/missing/",
        "/files/alpha/1.0/SHA256SUMS.txt/",
        "/files/alpha/1.0/.hidden",
        "/files/alpha/1.0/link.txt",
        "/files/alpha/1.0/linked/1.0/SHA256SUMS.txt",
        "/files/.cxrsync-demo",
        "/files/alpha/1.0/%2e%2e/2.0/README",
        "/files/alpha/1.0/..%2f2.0/README",
        "/files/alpha/1.0/files%2fp10/one.jpg",
        "/files/alpha/1.0//SHA256SUMS.txt",
        "/files/alpha/1.0/%00",
        "/files/",
        "/files",
        "/robots.txt",
        "/static/published-projects/alpha/1.0/files/",
        "/",
    ],
)
async def test_404_and_redirects(
    server: MiniPhysioNet, http: aiohttp.ClientSession, path: str
) -> None:
    assert await status(http, server.base_url.removesuffix("/files") + path, **SIGNED) == 404


async def test_sign_in_comes_before_404(server: MiniPhysioNet, http: aiohttp.ClientSession) -> None:
    assert await status(http, f"{server.base_url}/alpha/1.0/missing") == 401
    assert await status(http, f"{server.base_url}/gamma/1.0/missing") == 404


async def test_odd_names_and_listings(server: MiniPhysioNet, http: aiohttp.ClientSession) -> None:
    folder = f"{server.base_url}/alpha/1.0"
    response, body = await get(http, f"{folder}/files/p10/two%23%3F%205%25.jpg", **SIGNED)
    assert (response.status, body) == (200, b"two")

    _, body = await get(http, f"{folder}/files/p10/", **SIGNED)
    assert '<a href="two%23%3F%205%25.jpg">two#? 5%.jpg</a>' in body.decode()

    _, body = await get(http, f"{folder}/", **SIGNED)
    links = re.findall(r'<a href="([^"]+)">', body.decode())
    assert links == ["../", "files/", "SHA256SUMS.txt", "big.bin", "empty.txt"]
    assert re.search(r"big\.bin</a> {44}23-Jul-2024 12:00 {13}1048576\r\n", body.decode())

    response, _ = await get(http, f"{folder}/files", **SIGNED)
    assert response.status == 301
    location = response.headers["Location"]
    assert await status(http, server.base_url.removesuffix("/files") + location, **SIGNED) == 404


async def test_the_public_api(server: MiniPhysioNet, http: aiohttp.ClientSession) -> None:
    api = server.base_url.removesuffix("/files") + "/api/v1/project/published"
    _, body = await get(http, f"{api}/alpha/")
    assert [entry["version"] for entry in json.loads(body)] == ["1.0", "2.0"]
    _, body = await get(http, f"{api}/alpha/1.0/")
    size = sum(len(v) for k, v in TREE.items() if k.startswith("alpha/1.0") and ".h" not in k)
    assert json.loads(body)["main_storage_size"] == size
    for unknown in ("gamma/", "alpha/9.0/", "..%2f/", ".cxrsync-demo/"):
        response, body = await get(http, f"{api}/{unknown}")
        assert (response.status, json.loads(body)) == (404, {"detail": "Not found."})


async def test_stop_cuts_bodies_short_and_start_keeps_the_address(
    server: MiniPhysioNet,
) -> None:
    server.set_behaviour(rate=64 * KIB)
    async with open_session(server) as http:
        async with http.get(url := url_of_big(server)) as response:
            await response.content.readexactly(1)
            await asyncio.to_thread(server.stop)
            with pytest.raises(aiohttp.ClientError):
                await response.read()
        assert server.request_log.open_connections == 0
        assert not server.ca_file.exists()
        with pytest.raises(aiohttp.ClientConnectionError):
            await get(http, url)
        server.set_behaviour(rate=None)
        server.start()
        assert await status(http, url) == 200


def test_only_marked_folders_and_only_loopback(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="loopback"):
        MiniPhysioNet(root, QUICK, host="0.0.0.0")
    with pytest.raises(ValueError, match="not a demo tree"):
        MiniPhysioNet(root / "alpha", QUICK)
    with MiniPhysioNet(root, QUICK, certificates=tmp_path / "new") as server:
        assert server.ca_file == tmp_path / "new" / "ca.pem"
    assert server.ca_file.exists()
    assert "demo-password" not in repr(server.behaviour)
