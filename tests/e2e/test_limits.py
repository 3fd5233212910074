"""The limits of a run: bytes, files, hours, and what must stay free on the disk."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import pytest
from e2e.scripted import SLUG, VERSION, Request, ScriptedServer, differences, noise, pull_from
from e2e.stage import Machine

from cxrsync.errors import ExitCode
from cxrsync.events import Notice, Retrying, Waiting
from cxrsync.operations import prepare
from cxrsync.operations import pull as module
from cxrsync.storage.disk_space import FreeSpace, free_space
from cxrsync.transfer import budget, disk_guard, rate_limit
from cxrsync.transfer.rate_limit import RateLimiter

A, B, C = (f"files/p10/{name}.jpg" for name in "abc")
FILES = {path: noise(path, 3_000) for path in (A, B, C)}
LARGE = {A: noise("large", 400_000), B: noise(B, 3_000)}


async def test_a_limit_on_bytes(tmp_path: Path) -> None:
    with ScriptedServer(FILES) as server:
        pulled = await pull_from(server, tmp_path, connections=1, max_bytes=3_000)
        assert (pulled.code, pulled.summary.fetched.files) == (ExitCode.LIMIT, 1)
        assert pulled.summary.limited
        assert pulled.error is None
        nothing = await pull_from(server, tmp_path, connections=1, max_bytes=0)
        assert (nothing.code, nothing.summary.fetched.files) == (ExitCode.LIMIT, 0)
        assert (await pull_from(server, tmp_path)).code == ExitCode.COMPLETE
    assert differences(tmp_path, FILES) == []


@pytest.mark.parametrize("connections", [1, 4])
async def test_a_large_file_stops_at_a_limit_and_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connections: int
) -> None:
    monkeypatch.setattr(budget, "SMALL_BYTES", 10_000)
    with ScriptedServer(LARGE) as server:
        stopped = await pull_from(
            server, tmp_path, connections=connections, max_bytes=100_000, limit_rate="1M"
        )
        assert stopped.code == ExitCode.LIMIT
        assert (stopped.summary.failed.files, stopped.error) == (0, None)
        assert 50_000 < stopped.summary.fetched.bytes < 300_000
        done = await pull_from(server, tmp_path)
        assert done.code == ExitCode.COMPLETE
        assert done.summary.resumed.bytes > 50_000
    assert differences(tmp_path, LARGE) == []


async def test_the_manifest_stops_at_a_limit_and_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "SMALL_BYTES", 0)
    many = {f"files/p10/{number:05}.jpg": b"x" for number in range(6_000)}
    with ScriptedServer(many) as server:
        stopped = await pull_from(server, tmp_path, max_bytes=100_000, limit_rate="1M")
    assert stopped.code == ExitCode.LIMIT
    assert "--max-bytes" in str(stopped.error)
    assert stopped.summary.limited


async def test_one_budget_for_all_partitions(tmp_path: Path) -> None:
    files = {path: noise(path, 500) for path in (A, "files/p11/b.jpg", "LICENSE.txt", "d.csv")}
    with ScriptedServer(files) as server:
        for _run in range(2):
            pulled = await pull_from(server, tmp_path, max_files=2)
            assert pulled.summary.fetched.files == 2
    assert differences(tmp_path, files) == []


async def test_files_of_an_older_version_are_drawn_from_the_budget(tmp_path: Path) -> None:
    with ScriptedServer(FILES) as server:
        older = tmp_path / "older"
        assert (await pull_from(server, older)).code == ExitCode.COMPLETE
        limited = await pull_from(
            server, tmp_path, link_from=str(older / SLUG / VERSION), link="copy", max_files=2
        )
    assert (limited.code, limited.summary.copied.files) == (ExitCode.LIMIT, 2)


# ── the disk ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("force", [False, True])
async def test_a_disk_that_is_too_full(tmp_path: Path, force: bool) -> None:
    with ScriptedServer(FILES) as server:
        keep = free_space(tmp_path).bytes + (1 << 30)
        pulled = await pull_from(server, tmp_path, keep_free=keep, force=force)
    assert pulled.code == ExitCode.DISK
    assert "--keep-free" in str(pulled.error)
    assert pulled.summary.fetched.files == 0


async def test_a_disk_that_others_fill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is verified by then is published, and nothing is lost."""
    left = [10_000_000]

    def measure(_folder: Path) -> FreeSpace:
        left[0] -= 1_000_000
        return FreeSpace(left[0], None)

    monkeypatch.setattr(disk_guard, "_MEASURE_SECONDS", 0.0)
    monkeypatch.setattr(disk_guard.DiskGuard.__init__, "__defaults__", (measure,))
    with ScriptedServer(FILES) as server:
        pulled = await pull_from(server, tmp_path, connections=1, keep_free=6_000_000)
        assert pulled.code == ExitCode.DISK
        assert 0 < pulled.summary.fetched.files < 3
        monkeypatch.undo()
        assert (await pull_from(server, tmp_path)).code == ExitCode.COMPLETE
    assert differences(tmp_path, FILES) == []


# ── a pause ────────────────────────────────────────────────────────────────────────────────────


async def test_a_pause_in_the_middle_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second lasts an hour by this wall clock: the pause begins soon, and is longer than every
    timeout."""
    first = datetime(2026, 11, 26, 7, 40).astimezone()
    began: float | None = None  # with the first image: what comes before may take its time

    def now() -> datetime:
        return first + timedelta(hours=0 if began is None else monotonic() - began)

    monkeypatch.setattr(
        prepare, "RateLimiter", lambda rate, emit, **_now: RateLimiter(rate, emit, now)
    )
    monkeypatch.setattr(rate_limit, "_LOOK_SECONDS", 0.05)
    asked: list[float] = []

    async def note(request: Request, _writer: object, _server: object) -> bool | None:
        nonlocal began
        if request.path.startswith("files/"):
            began = began or monotonic()
            asked.append(monotonic() - began)
        return None

    with ScriptedServer(LARGE, note) as server:
        pulled = await pull_from(
            server,
            tmp_path,
            limit_rate={"08:00-10:00": 0, "07:00-08:00": "200k"},
            retries=0,
            stall_timeout=1.9,
            give_up_after=1.9,
        )
    assert pulled.code == ExitCode.COMPLETE
    assert differences(tmp_path, LARGE) == []
    assert not [event for event in pulled.events if isinstance(event, Retrying)]
    [said] = [event.what for event in pulled.events if isinstance(event, Waiting)]
    assert said == "paused until 10:00 by --limit-rate"
    assert not [at for at in asked if 0.5 < at < 2.3]
    assert asked[-1] >= 2.3  # the rest of the file


@pytest.mark.parametrize(("rate", "said"), [("900", True), ("1k", False), ("off", False)])
async def test_a_rate_that_probably_lacks_its_unit(tmp_path: Path, rate: str, said: bool) -> None:
    with ScriptedServer(FILES) as server:
        pulled = await pull_from(server, tmp_path, limit_rate=rate, max_files=0, window=None)
    notices = [event.text for event in pulled.events if isinstance(event, Notice)]
    assert any(f"{rate} bytes per second; for {rate} MB" in each for each in notices) is said


# ── the hours ──────────────────────────────────────────────────────────────────────────────────


def at(monkeypatch: pytest.MonkeyPatch, *times: str) -> None:
    """The wall clock shows these local times, one a look, and then stays."""
    moments = [datetime.fromisoformat(f"2026-11-26T{time}").astimezone(UTC) for time in times]
    monkeypatch.setattr(
        module, "utc_now", lambda _now: moments.pop(0) if moments[1:] else moments[0]
    )


async def test_outside_of_its_window_nothing_is_requested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch, "12:00")
    with ScriptedServer(FILES) as server:
        pulled = await pull_from(server, tmp_path, window="22:00-06:00")
    assert (pulled.code, pulled.error) == (ExitCode.LIMIT, None)
    assert pulled.summary.requests == 0
    assert not (tmp_path / SLUG).exists()
    [said] = [event.text for event in pulled.events if isinstance(event, Notice)]
    assert said == "nothing is fetched now: it is not the time of --window 22:00-06:00"


async def test_a_run_ends_with_its_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, "05:59:59", "05:59:59.9", "06:00")

    async def hold(_request: object, _writer: object, _server: object) -> bool | None:
        await asyncio.sleep(30)
        return None

    with ScriptedServer(FILES, hold) as server:
        async with asyncio.timeout(10):
            pulled = await pull_from(server, tmp_path, window="22:00-06:00")
    assert (pulled.code, pulled.error) == (ExitCode.LIMIT, None)
    assert pulled.summary.limited


async def test_within_its_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, "23:00")
    with ScriptedServer(FILES) as server:
        pulled = await pull_from(server, tmp_path, window="22:00-06:00", limit_rate="1M")
    assert pulled.code == ExitCode.COMPLETE
    assert not [event for event in pulled.events if isinstance(event, Waiting)]


@pytest.mark.parametrize("reports", ["zip", "files"])
def test_spent_bytes_hold_for_the_archive_of_reports_too(machine: Machine, reports: str) -> None:
    words = ("--dicom", "--only", "reports", "--reports", reports)
    stopped = machine.run("pull", *words, "--max-bytes", "0", "--json")
    assert stopped.code == ExitCode.LIMIT
    summary = json.loads(stopped.out.splitlines()[-1])
    assert summary["files"]["fetched"] == 0
