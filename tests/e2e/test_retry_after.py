"""A server's Retry-After: obeyed once, by all, and never for longer than the run waits."""

import asyncio
from http import HTTPStatus
from pathlib import Path

import pytest
from e2e.scripted import MANIFEST, Request, ScriptedServer, differences, noise, pull_from

from cxrsync.events import Retrying

FILES = {f"f{number}.bin": noise(f"f{number}", 2000) for number in range(12)}
DAY = 86_400


def later(writer: asyncio.StreamWriter, seconds: int, status: int = 503) -> bool:
    told = [f"Retry-After: {seconds}", "Content-Length: 0"]
    ScriptedServer.reply(writer, f"{status} {HTTPStatus(status).phrase}", told)
    return True


@pytest.mark.parametrize("status", [429, 503])
async def test_a_server_that_wants_a_day_ends_the_run_at_once(tmp_path: Path, status: int) -> None:
    async def script(_request: Request, writer: asyncio.StreamWriter, _: ScriptedServer) -> bool:
        return later(writer, DAY, status)

    with ScriptedServer(FILES, script) as server:
        done = await pull_from(server, tmp_path)
    assert done.code == 10
    assert len(server.log) == 2
    assert "not before 20" in str(done.error)
    assert "in 1 d" in str(done.error)


async def test_also_in_mid_run_and_what_has_arrived_stays(tmp_path: Path) -> None:
    async def script(
        request: Request, writer: asyncio.StreamWriter, server: ScriptedServer
    ) -> bool | None:
        return later(writer, DAY) if len(server.log) > 6 else None

    with ScriptedServer(FILES, script) as server:
        done = await pull_from(server, tmp_path, connections=1)
        assert done.code == 10
        assert len(server.log) == 6 + 2
        assert done.summary.fetched.files == 5
        server.script = ScriptedServer(FILES).script
        assert (await pull_from(server, tmp_path)).code == 0
    assert differences(tmp_path, FILES) == []


@pytest.mark.parametrize("connections", [1, 4])
async def test_one_path_that_wants_a_day_fails_alone(tmp_path: Path, connections: int) -> None:
    async def script(
        request: Request, writer: asyncio.StreamWriter, _: ScriptedServer
    ) -> bool | None:
        return later(writer, DAY) if request.path == "f3.bin" else None

    with ScriptedServer(FILES, script) as server:
        done = await pull_from(server, tmp_path, connections=connections)
    assert done.code == 5
    assert differences(tmp_path, FILES) == ["f3.bin"]
    assert server.counts["f3.bin"] == 2  # one more pass


async def test_a_wish_is_waited_for_once(tmp_path: Path) -> None:
    """By all together; not once more by each file that had met it."""

    async def script(
        request: Request, writer: asyncio.StreamWriter, server: ScriptedServer
    ) -> bool | None:
        is_first = request.path != MANIFEST and request.number == 1
        return later(writer, 2) if is_first else None

    with ScriptedServer(FILES, script) as server:
        done = await pull_from(server, tmp_path, connections=len(FILES))
    assert done.code == 0
    waits = [event for event in done.events if isinstance(event, Retrying)]
    assert max(event.after for event in waits if not event.path) >= 2
    assert max(event.after for event in waits if event.path) <= 1
