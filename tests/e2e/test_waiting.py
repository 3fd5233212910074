"""Whoever waits for another run says so, and stops waiting when a person or the caller wants it."""

import asyncio
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from e2e.scripted import SLUG, VERSION, ScriptedServer, differences, pull_from
from e2e.stage import JPG, PATIENCE, Machine, wait_until

from cxrsync.dataset import locking
from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.errors import Locked
from cxrsync.events import Waiting
from cxrsync.storage.lock import Lock

FILES = {"a.csv": b"x,y\n1,2\n"}


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locking, "POLL_SECONDS", 0.01)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(dict(FILES)) as server:
        yield server


def lock_of(dest: Path, folder: str) -> Lock:
    """What another run holds."""
    return _lock(dest / SLUG / VERSION, folder)


def _lock(root: Path, folder: str) -> Lock:
    (root / ".cxrsync").mkdir(parents=True, exist_ok=True)
    return Lock(root / ".cxrsync" / folder)


@pytest.mark.parametrize(
    ("folder", "what", "options"),
    [
        ("manifests", "the manifest", {"give_up_after": 1.0}),
        ("manifests", "the manifest", {"give_up_after": 0.1, "wait_lock": 1.0}),
        ("root", "the tables and the root", {"wait_lock": 1.0}),
    ],
)
async def test_for_as_long_as_was_said(
    server: ScriptedServer, tmp_path: Path, folder: str, what: str, options: dict[str, float]
) -> None:
    with lock_of(tmp_path, folder):
        pulled = await pull_from(server, tmp_path, **options)
    assert isinstance(pulled.error, Locked)
    assert pulled.code == 8
    [waiting] = [event for event in pulled.events if isinstance(event, Waiting)]
    assert waiting.what.startswith(f"another run holds {what}: process ")
    assert 0.1 < waiting.at_most <= 1.0


@pytest.mark.parametrize("folder", ["manifests", "root"])
async def test_the_callers_time_limit_is_obeyed(
    server: ScriptedServer, tmp_path: Path, folder: str
) -> None:
    with lock_of(tmp_path, folder), pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await pull_from(server, tmp_path, give_up_after=3_600, wait_lock=3_600)
    assert (await pull_from(server, tmp_path)).code == 0
    assert differences(tmp_path, FILES) == []


async def test_it_goes_on_as_soon_as_it_may(server: ScriptedServer, tmp_path: Path) -> None:
    other = lock_of(tmp_path, "manifests")
    other.acquire()
    pulling = asyncio.create_task(pull_from(server, tmp_path, give_up_after=3_600))
    await asyncio.sleep(0.1)
    assert not pulling.done()
    other.release()
    async with asyncio.timeout(PATIENCE):
        assert (await pulling).code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_person_sees_it_and_is_obeyed(
    serve: Callable[..., MiniPhysioNet],
    make_machine: Callable[[MiniPhysioNet], Machine],
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    machine = make_machine(serve())
    with _lock(machine.dest / JPG / "2.1.0", "p10"):
        words = ("pull", "--jpg", "--shard", "p10", "--wait-lock", "3600", "--json")
        said = tmp_path / "said"
        with said.open("w") as stderr:
            process = machine.start(*words, "--progress", "log", stderr=stderr)
            try:
                wait_until(lambda: "waiting up to 1 h: another run holds" in said.read_text())
                process.send_signal(number)
                out, _ = process.communicate(timeout=PATIENCE)
            finally:
                process.kill()
    assert process.returncode == 128 + number
    events = [json.loads(line) for line in out.splitlines()]
    [waiting] = [event for event in events if event["event"] == "waiting"]
    assert waiting.keys() == {"event", "what", "waited", "at_most"}
    assert events[-1]["exit_code"] == 128 + number
