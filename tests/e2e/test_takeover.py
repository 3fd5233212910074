"""A run that was taken for dead wakes up in the middle of anything: the tree stays the other's."""

import asyncio
import os
import random
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from e2e.scripted import (
    SLUG,
    VERSION,
    Pulled,
    Request,
    ScriptedServer,
    differences,
    noise,
    pull_from,
    sha256,
)
from e2e.stage import wait_until
from storage.steps import stopped_at
from thorough import IS_THOROUGH

from cxrsync.errors import LockLost
from cxrsync.events import Notice
from cxrsync.storage import lock as locks
from cxrsync.storage.lock_owner import myself
from cxrsync.transfer import transfer

LARGE = "files/p10/p10000032/s50414267/large.dcm"
FILES = {
    "a.csv": b"x,y\n1,2\n",
    LARGE: noise("large", 300_000),
    "files/p10/p10000032/s50414267/twin.dcm": noise("small", 3_000),
    "files/p10/p10000032/s50414267/small.dcm": noise("small", 3_000),
    "files/p11/p11000001/s50000001/other.dcm": noise("other", 3_000),
}
SLEEPER = "Wget/sleeper"
STRIDE = 6 if IS_THOROUGH else 12


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever holds a lock is silent to everybody else; and no power is cut here."""
    monkeypatch.setattr(locks, "SILENT_SECONDS", -1.0)
    monkeypatch.setattr(os, "fsync", lambda _fd: None)
    monkeypatch.setattr(os, "fdatasync", lambda _fd: None)


@dataclass
class Line:
    """What the sleeper gets, from the moment on that it was taken over: one wrong bit a file.

    The large file waits in its middle until ``go_on``.
    """

    waits: bool = False
    waiting: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    is_bad: bool = False

    async def script(
        self, request: Request, writer: asyncio.StreamWriter, server: ScriptedServer
    ) -> bool | None:
        if request.headers["user-agent"] != SLEEPER or not request.path.startswith("files/"):
            return None
        if not (self.is_bad or self.waits):
            return None
        body = bytearray(server.files[request.path])
        start = request.range[0] if request.range else 0
        middle = start + (len(body) - start) // 2
        status = "206 Partial Content" if request.range else "200 OK"
        tag = f'ETag: "{sha256(server.files[request.path])[:16]}"'
        told = [f"Content-Length: {len(body) - start}", tag]
        if request.range:
            told.append(f"Content-Range: bytes {start}-{len(body) - 1}/{len(body)}")
        server.reply(writer, status, told, bytes(body[start:middle]))
        if self.waits and request.path == LARGE:
            await writer.drain()
            self.waiting.set()
            assert await asyncio.to_thread(self.go_on.wait, 200)
        if self.is_bad:
            body[-1] ^= 1
        writer.write(body[middle:])
        return True


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def server(line: Line) -> Iterator[ScriptedServer]:
    with ScriptedServer(dict(FILES), line.script) as server:
        yield server


def identities(dest: Path) -> dict[str, tuple[int, int, int]]:
    """Which file lies under each final name."""
    root = dest / SLUG / VERSION
    return {
        str(path.relative_to(root)): (
            path.stat().st_ino,
            path.stat().st_size,
            path.stat().st_mtime_ns,
        )
        for path in root.rglob("*")
        if path.is_file() and ".cxrsync" not in path.relative_to(root).parts
    }


def pull_in_a_thread(server: ScriptedServer, dest: Path) -> Pulled:
    """A pull of another run, to its end."""
    ended: list[Pulled] = []
    thread = threading.Thread(target=lambda: ended.append(asyncio.run(pull_from(server, dest))))
    thread.start()
    thread.join()
    [pulled] = ended
    return pulled


def size_of(path: Path) -> int:
    """The size of a file; 0 if it was renamed since it was listed."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


async def begun(server: ScriptedServer, line: Line, dest: Path) -> asyncio.Task[Pulled]:
    """The sleeper, which has some of the large file on the disk."""
    line.waits = True
    task = asyncio.create_task(
        pull_from(server, dest, user_agent=SLEEPER, stall_timeout=60, connections=1)
    )
    assert await asyncio.to_thread(line.waiting.wait, 60)
    folder = dest / SLUG / VERSION / ".cxrsync/p10/partial"
    name = f"{sha256(FILES[LARGE])}.*"
    await asyncio.to_thread(
        wait_until, lambda: any(size_of(path) > 100_000 for path in folder.glob(name))
    )
    return task


@pytest.mark.parametrize("is_bad", [True, False], ids=["a flipped bit", "right bytes"])
async def test_who_was_slow_writes_into_no_file_of_anybodys(
    server: ScriptedServer,
    line: Line,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_bad: bool,
) -> None:
    monkeypatch.setattr(transfer, "HANDOVER_BYTES", 50_000)
    sleeper = await begun(server, line, tmp_path)

    taken = await asyncio.to_thread(pull_in_a_thread, server, tmp_path)

    assert taken.code == 0
    assert differences(tmp_path, FILES) == []
    assert taken.summary.resumed.files == 1
    said = [event.text for event in taken.events if isinstance(event, Notice)]
    who = f"process {os.getpid()} on {myself().host}"
    assert said == [
        f"took {what} over from {who}, which no longer responds"
        for what in ("shard p10", "shard p11", "the tables and the root")
    ]
    before = identities(tmp_path)
    line.is_bad, line.waits = is_bad, False
    line.go_on.set()
    ended = await sleeper
    assert isinstance(ended.error, LockLost), ended.error
    assert ended.code == 8
    assert differences(tmp_path, FILES) == []
    assert identities(tmp_path) == before


async def test_a_heart_that_finds_the_lock_lost_ends_the_run(
    server: ScriptedServer, line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, though nothing arrives that it could write."""
    monkeypatch.setattr(locks, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(transfer, "HANDOVER_BYTES", 50_000)
    sleeper = await begun(server, line, tmp_path)
    before = identities(tmp_path)
    shutil.rmtree(tmp_path / SLUG / VERSION / ".cxrsync/p10/lock")
    ended = await sleeper
    line.go_on.set()
    assert isinstance(ended.error, LockLost)
    assert ended.code == 8
    assert identities(tmp_path) == before


def stop_and_wake(server: ScriptedServer, line: Line, dest: Path, number: int) -> list[str]:
    """A pull that is stopped before a step, and the complaints about what came of it."""
    line.is_bad = False
    before: dict[str, tuple[int, int, int]] = {}
    complaints: list[str] = []

    def take_over() -> None:
        taken = pull_in_a_thread(server, dest)
        if taken.code or differences(dest, FILES):
            complaints.append(f"who took over ended with {taken.code}: {taken.error}")
        before.update(identities(dest))
        line.is_bad = True

    with stopped_at(number, take_over) as steps:
        ended = asyncio.run(pull_from(server, dest, user_agent=SLEEPER))
    if number >= len(steps.taken):
        return []  # this run took fewer steps, in larger batches: it was not stopped
    if wrong := differences(dest, FILES):
        complaints.append(f"wrong: {wrong}")
    if ended.code not in {0, 8}:
        complaints.append(f"who woke up ended with {ended.code}: {ended.error}")
    if identities(dest) != before:
        complaints.append("a final name was given anew")
    again = asyncio.run(pull_from(server, dest))
    if again.code or again.summary.fetched.files:
        complaints.append(f"the next run: {again.code}, {again.summary.fetched.files} fetched")
    return [f"{number} {steps.taken[number]}: {each}" for each in complaints]


def test_stopped_at_each_step(server: ScriptedServer, line: Line, tmp_path: Path) -> None:
    """Before each of its calls that change the disk another run takes over, and comes to its end;
    then the first one wakes up, and nothing that it still gets is right."""
    with stopped_at(-1, pytest.fail) as steps:
        asyncio.run(pull_from(server, tmp_path / "whole", user_agent=SLEEPER))
    first = next(number for number, step in enumerate(steps.taken) if "lock." in step)
    assert steps.count - first > 100
    # A different share of them each time; `scripts/sleepers` takes a real process for it.
    chosen = range(first + random.randrange(STRIDE), steps.count, STRIDE)

    complaints = [
        complaint
        for number in chosen
        for complaint in stop_and_wake(server, line, tmp_path / str(number), number)
    ]
    assert not complaints, "\n".join(complaints)
