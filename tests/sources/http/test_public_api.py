"""The public API is rationed: each question once in a run, its answer for a day, its refusal until
its end."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cxrsync.config.job import SourceConfig, TransferLimits
from cxrsync.demo.server.server import MiniPhysioNet, ServerBehaviour
from cxrsync.errors import ExitCode, Unanswered
from cxrsync.sources.http import public_api
from cxrsync.sources.physionet import PhysioNet

DAY = 86_400.0


class Notebook:
    """A Memory whose pages a test can see."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}

    def read(self, name: str) -> bytes | None:
        return self.pages.get(name)

    def write(self, name: str, data: bytes) -> None:
        self.pages[name] = data


class Clock:
    """The wall clock of the API."""

    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(public_api, "time", clock)
    return clock


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MiniPhysioNet]:
    root = tmp_path / "root"
    for version in ("1.0", "2.0"):
        (root / "alpha" / version).mkdir(parents=True)
        (root / "alpha" / version / "one.txt").write_bytes(b"12345")
    (root / ".cxrsync-demo").touch()
    with MiniPhysioNet(root, ServerBehaviour(password_check_seconds=0.001)) as server:
        yield server


@asynccontextmanager
async def run_of(server: MiniPhysioNet, memory: Notebook | None = None) -> AsyncIterator[PhysioNet]:
    """A new run, which remembers what ``memory`` has."""
    origin = SourceConfig(base_url=server.base_url, ca_file=server.ca_file)
    source = PhysioNet(origin, TransferLimits(), memory=memory)
    try:
        async with asyncio.timeout(30):
            yield source
    finally:
        await source.close()


def requests(server: MiniPhysioNet) -> int:
    return server.request_log.snapshot().requests


async def test_each_question_is_asked_once_in_a_run(server: MiniPhysioNet) -> None:
    async with run_of(server) as source:
        for _ in range(3):
            assert await source.versions("alpha") == ["1.0", "2.0"]
            assert await source.versions("beta") == []
            assert await source.total("alpha", "1.0") == 5
    assert requests(server) == 3


async def test_an_answer_is_remembered_for_a_day(server: MiniPhysioNet, clock: Clock) -> None:
    memory = Notebook()
    for later in (0.0, DAY / 2, 22.9 * 3_600):
        clock.now = Clock.now + later
        async with run_of(server, memory) as source:
            assert await source.versions("alpha") == ["1.0", "2.0"]
            assert await source.versions("beta") == []  # no such dataset: an answer, too
            assert await source.total("alpha", "1.0") == 5
    assert requests(server) == 3
    clock.now = Clock.now + DAY
    async with run_of(server, memory) as source:
        assert await source.versions("alpha") == ["1.0", "2.0"]
    assert requests(server) == 4


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [("120", 120.0), ("86400", DAY), (None, 3_600.0), ("soon", 3_600.0), ("-5", 3_600.0)],
)
async def test_a_refusal_is_obeyed_by_all_questions_and_later_runs(
    server: MiniPhysioNet, clock: Clock, retry_after: str | None, seconds: float
) -> None:
    server.set_behaviour(api_requests=0, api_retry_after=retry_after)
    memory = Notebook()
    async with run_of(server, memory) as source:
        with pytest.raises(Unanswered, match="429 Too Many Requests"):
            await source.versions("alpha")
        with pytest.raises(Unanswered, match="asked too often, and is not asked again before 20"):
            await source.total("alpha", "1.0")
    assert requests(server) == 1
    server.set_behaviour(api_requests=None)
    clock.now += seconds - 1
    async with run_of(server, memory) as source:
        with pytest.raises(Unanswered, match="asked too often") as caught:
            await source.versions("alpha")
    assert requests(server) == 1
    assert "100 requests a day" in caught.value.next_step
    assert caught.value.exit_code == ExitCode.UNREACHABLE
    clock.now += 1
    async with run_of(server, memory) as source:
        assert await source.versions("alpha") == ["1.0", "2.0"]


async def test_what_is_known_is_told_during_a_refusal(server: MiniPhysioNet) -> None:
    memory = Notebook()
    async with run_of(server, memory) as source:
        assert await source.versions("alpha") == ["1.0", "2.0"]
    server.set_behaviour(api_requests=0)
    async with run_of(server, memory) as source:
        with pytest.raises(Unanswered):
            await source.total("alpha", "1.0")
        assert await source.versions("alpha") == ["1.0", "2.0"]


@pytest.mark.parametrize(
    "page", [b"", b"{", b"[" * 100_000, b'{"format": 1}', b"\xff", b"null", b"7"]
)
async def test_a_damaged_memory_is_no_memory(server: MiniPhysioNet, page: bytes) -> None:
    memory = Notebook()
    async with run_of(server, memory) as source:
        await source.versions("alpha")
    memory.pages = dict.fromkeys(memory.pages, page)
    async with run_of(server, memory) as source:
        assert await source.versions("alpha") == ["1.0", "2.0"]
    assert requests(server) == 2


async def test_a_remembered_name_is_checked_like_one_from_the_server(server: MiniPhysioNet) -> None:
    """It becomes the name of a folder."""
    memory = Notebook()
    async with run_of(server, memory) as source:
        await source.versions("alpha")
    memory.pages = {
        name: data.replace(b'"2.0"', b'"../../x"') for name, data in memory.pages.items()
    }
    async with run_of(server, memory) as source:
        assert await source.versions("alpha") == ["1.0", "2.0"]
