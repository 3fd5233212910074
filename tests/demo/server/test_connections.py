"""Counts, rates and limits of connections."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack

import aiohttp
import pytest
from demo.guest import KIB, get, open_session, status, timed, url_of_big

from cxrsync.demo.server.connections import due_at
from cxrsync.demo.server.server import MiniPhysioNet


async def test_the_request_log(server: MiniPhysioNet, http: aiohttp.ClientSession) -> None:
    url = f"{server.base_url}/open/1.0/SHA256SUMS.txt"
    await get(http, url)
    await get(http, url, Range="bytes=1-2")
    await get(http, url, method="HEAD")
    demo = server.base_url.removesuffix("/files") + "/_demo"
    _, body = await get(http, f"{demo}/ledger")
    shown, counts = json.loads(body), server.request_log.snapshot()
    assert counts.requests == shown["requests"] == 3
    assert counts.bytes_sent == shown["bytes_sent"] == 6
    path = "open/1.0/SHA256SUMS.txt"
    assert shown["by_path"] == {
        path: {"requests": 3, "bytes_sent": 6, "statuses": {"200": 2, "206": 1}}
    }
    assert shown["statuses"] == {"200": 2, "206": 1}
    assert counts.by_path[path].statuses == {200: 2, 206: 1}
    assert counts.log[1] == ("GET", path, 206, "bytes=1-2")
    assert (counts.connections, counts.open_connections, counts.peak_connections) == (1, 1, 1)
    assert (await get(http, f"{demo}/reset", method="POST"))[0].status == 204
    assert (server.request_log.requests, server.request_log.open_connections) == (0, 1)
    assert counts.requests == 3


async def test_only_the_bytes_sent_to_a_client_that_disconnects_are_counted(
    server: MiniPhysioNet, caplog: pytest.LogCaptureFixture
) -> None:
    server.set_behaviour(rate=128 * KIB)
    async with open_session(server) as http, http.get(url_of_big(server)) as response:
        await response.content.readexactly(32 * KIB)
        response.close()
    await eventually(lambda: server.request_log.open_connections == 0)
    sent = server.request_log.snapshot().by_path["open/1.0/big.bin"].bytes_sent
    await asyncio.sleep(0.2)
    assert server.request_log.bytes_sent == sent
    assert 32 * KIB <= sent < 384 * KIB
    assert not caplog.records


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.01)


async def test_each_connection_has_the_full_rate(server: MiniPhysioNet) -> None:
    """None is faster; and were it shared, all would take as many times as long as there are."""
    rate, amount, connections = 512 * KIB, 320 * KIB, 8
    server.set_behaviour(rate=rate)
    url = url_of_big(server)

    async def fetch(http: aiohttp.ClientSession) -> None:
        for half in (f"bytes=0-{amount // 2 - 1}", f"bytes=-{amount // 2}"):
            _, body = await get(http, url, Range=half)
            assert len(body) == amount // 2

    async with AsyncExitStack() as stack:
        sessions = [
            await stack.enter_async_context(open_session(server)) for _ in range(connections)
        ]
        await asyncio.gather(*(status(http, url, Range="bytes=0-0") for http in sessions))
        taken = await asyncio.gather(*(timed(fetch(http)) for http in sessions))
    assert min(taken) >= 0.97 * amount / rate
    assert max(taken) < connections * amount / rate / 2
    assert server.request_log.peak_connections == connections


def test_a_late_timer_is_caught_up_but_not_a_long_pause() -> None:
    assert due_at(10.0, 10.05, 100, 1000) == pytest.approx(10.1)
    assert due_at(10.0, 60.0, 100, 1000) == pytest.approx(59.9)
    assert due_at(10.0, 9.0, 100, 1000) == pytest.approx(10.1)


async def test_the_connection_limit(server: MiniPhysioNet) -> None:
    server.set_behaviour(max_connections=1)
    url = f"{server.base_url}/open/1.0/SHA256SUMS.txt"
    async with open_session(server) as one, open_session(server) as two:
        assert await status(one, url) == 200
        with pytest.raises(aiohttp.ClientConnectionError):
            await get(two, url)
        assert await status(one, url) == 200
    assert (server.request_log.connections, server.request_log.refused_connections) == (1, 1)


async def test_latency(server: MiniPhysioNet, http: aiohttp.ClientSession) -> None:
    url = f"{server.base_url}/open/1.0/SHA256SUMS.txt"
    await get(http, url)
    server.set_behaviour(latency=0.1)
    assert await timed(get(http, url)) >= 0.1
