"""A local tree as a source: the same answers as the server's, and never a foreign exception."""

import asyncio
import gc
import os
import threading
from pathlib import Path

import pytest
from aiofiles.threadpool.binary import AsyncFileIO
from sources.trees import local_tree

from cxrsync.dataset.tree_identity import Identity
from cxrsync.errors import InvalidResponse, NotFound, SourceError, Unreachable
from cxrsync.model import RemotePath
from cxrsync.sources import local
from cxrsync.sources.base import Answer, Opened, PastEnd, Unchanged
from cxrsync.sources.local import LocalTree

DATA = bytes(range(256)) * 20
MTIME = 1_721_736_000
REF = RemotePath("alpha", "1.0", "files/p10/a#b 50%.jpg")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The version's root; the tree is two folders above."""
    path = tmp_path / REF.dataset / REF.version / REF.path
    path.parent.mkdir(parents=True)
    path.write_bytes(DATA)
    os.utime(path, (MTIME, MTIME))
    return tmp_path / REF.dataset / REF.version


@pytest.fixture
def source(root: Path, monkeypatch: pytest.MonkeyPatch) -> LocalTree:
    monkeypatch.setattr(local, "_CHUNK", 1000)
    return local_tree(root.parent.parent)


async def ask(
    source: LocalTree,
    start: int = 0,
    stop: int | None = None,
    resume_if: str | None = None,
    skip_if: str | None = None,
    ref: RemotePath = REF,
) -> tuple[Answer, bytes]:
    async with source.open(ref, start, stop, resume_if, skip_if) as answer:
        if not isinstance(answer, Opened):
            return answer, b""
        return answer, b"".join([chunk async for chunk in answer.chunks])


async def validator_of(source: LocalTree) -> str:
    answer, _ = await ask(source)
    assert isinstance(answer, Opened)
    assert answer.validator is not None
    return answer.validator


async def fails(source: LocalTree, path: str, error: type[SourceError]) -> None:
    async with asyncio.timeout(60):
        with pytest.raises(error):
            await ask(source, ref=RemotePath("alpha", "1.0", path))


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, None), (0, 1), (0, 5000), (1, None), (999, 2001), (5119, None), (5000, 9000), (7, 7)],
)
async def test_the_bytes_that_were_asked_for(
    source: LocalTree, start: int, stop: int | None
) -> None:
    answer, data = await ask(source, start, stop)
    assert isinstance(answer, Opened)
    assert (answer.start, answer.total, answer.modified) == (start, len(DATA), MTIME)
    assert data == DATA[start:stop]


@pytest.mark.parametrize("start", [len(DATA), len(DATA) + 1])
async def test_past_the_end(source: LocalTree, start: int) -> None:
    assert await ask(source, start) == (PastEnd(len(DATA)), b"")


async def test_an_empty_file(source: LocalTree, root: Path) -> None:
    (root / REF.path).write_bytes(b"")
    answer, data = await ask(source)
    assert isinstance(answer, Opened)
    assert (answer.total, data) == (0, b"")
    assert await ask(source, 5) == (PastEnd(0), b"")


async def test_conditions(source: LocalTree, root: Path) -> None:
    validator = await validator_of(source)
    assert await ask(source, skip_if=validator) == (Unchanged(), b"")
    assert (await ask(source, 100, resume_if=validator))[1] == DATA[100:]
    os.utime(root / REF.path, ns=(0, MTIME * 10**9 + 1))
    assert await validator_of(source) != validator
    for start, stop in [(100, None), (100, 200), (9999, None)]:
        answer, data = await ask(source, start, stop, resume_if=validator)
        assert isinstance(answer, Opened)
        assert (answer.start, data) == (0, DATA)  # another file by now: from its beginning
    assert (await ask(source, skip_if=validator))[1] == DATA


async def test_what_is_not_there(source: LocalTree, root: Path) -> None:
    for path in ("none", "files/p10", "files/p10/a#b 50%.jpg/below", "files/p99/none"):
        await fails(source, path, NotFound)


async def test_what_is_no_file(source: LocalTree, root: Path) -> None:
    os.mkfifo(root / "pipe")  # an open that waits for a writer would stop everyone
    await fails(source, "pipe", NotFound)


async def test_what_cannot_be_read(source: LocalTree, root: Path) -> None:
    (root / "round").symlink_to("round")
    await fails(source, "round", InvalidResponse)
    await fails(source, "n" * 300, InvalidResponse)


async def test_a_disk_that_fails_in_the_middle_is_the_source_s(
    source: LocalTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_file: AsyncFileIO, _count: int) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(AsyncFileIO, "read", fail)
    await fails(source, REF.path, InvalidResponse)


async def test_a_file_that_becomes_shorter(source: LocalTree, root: Path) -> None:
    async with source.open(REF) as answer:
        assert isinstance(answer, Opened)
        assert await anext(answer.chunks) == DATA[:1000]
        os.truncate(root / REF.path, 1500)
        assert await anext(answer.chunks) == DATA[1000:1500]
        with pytest.raises(InvalidResponse, match="shorter"):
            await anext(answer.chunks)


async def test_no_file_stays_open(source: LocalTree) -> None:
    gc.collect()  # what other tests have left may be closed at any moment
    before = len(os.listdir("/dev/fd"))
    for _ in range(20):
        await ask(source)
        async with source.open(REF) as answer:
            assert isinstance(answer, Opened)
            await anext(answer.chunks)
    assert len(os.listdir("/dev/fd")) <= before
    assert source.requests == 40


async def test_a_version_s_root_is_the_version_that_it_is_said_to_be(root: Path) -> None:
    source = local_tree(root, Identity("alpha", "1.0"))
    assert (await ask(source))[1] == DATA
    assert await source.versions("alpha") == ["1.0"]
    for other in (RemotePath("alpha", "2.0", REF.path), RemotePath("beta", "1.0", REF.path)):
        with pytest.raises(NotFound):
            await ask(source, ref=other)
    await source.close()


async def test_a_tree_that_comes_while_it_is_read(source: LocalTree, root: Path) -> None:
    ref = RemotePath("alpha", "2.0", REF.path)
    with pytest.raises(NotFound):
        await ask(source, ref=ref)
    root.rename(root.parent / "2.0")
    assert (await ask(source, ref=ref))[1] == DATA


async def test_versions(source: LocalTree, root: Path) -> None:
    for name in ("2.0", "1.1"):
        (root.parent / name).mkdir()
    (root.parent / "1.1" / "SHA256SUMS.txt").touch()
    (root.parent / "index.html").touch()  # wget's
    assert await source.versions("alpha") == ["1.0", "1.1"]
    assert await source.versions("beta") == []


def test_the_identity_tells_trees_apart(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a b")
    assert local_tree(tmp_path).identity == tmp_path.as_uri()
    assert local_tree(tmp_path / "a b").identity != local_tree(tmp_path).identity
    assert local_tree(tmp_path / "link").identity == local_tree(tmp_path / "a b").identity
    with pytest.raises(Unreachable, match="no such folder"):
        local_tree(tmp_path / "none")


async def test_a_cancelled_open_leaves_no_file_open(
    source: LocalTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    begun, go_on = asyncio.Event(), threading.Event()
    loop, original = asyncio.get_running_loop(), local._open_without_waiting

    def open_slowly(path: Path) -> int:
        loop.call_soon_threadsafe(begun.set)
        assert go_on.wait(60)
        opened.append(original(path))
        return opened[0]

    monkeypatch.setattr(local, "_open_without_waiting", open_slowly)
    asking = asyncio.create_task(ask(source))
    await begun.wait()
    asking.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await asking
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(opened[0])
