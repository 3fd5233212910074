"""What every source must do, tried on each: PhysioNet's miniature, a local tree, and real stores.

A source may know less than another (conditions, ranges), but it must never say what is not so: what
it answers must fit the bytes, so that no wrong bytes are joined.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from sources.fault_proxy import Fault, FaultProxy
from sources.stores import BUCKET, Store
from sources.trees import local_tree

from cxrsync.catalog.load import load_stores
from cxrsync.config.job import HttpPath, SourceConfig, TransferLimits
from cxrsync.config.parse_source import parse_source
from cxrsync.config.store_address import StoreAddress
from cxrsync.demo.data.tree import TreeSpec, make_tree
from cxrsync.demo.server.behaviour import ServerBehaviour
from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.errors import (
    AccessDenied,
    CxrsyncError,
    Interrupted,
    InvalidResponse,
    NotFound,
    NotServed,
    Throttled,
)
from cxrsync.model import MANIFEST_NAME, RemotePath
from cxrsync.sources.base import (
    Answer,
    Opened,
    PastEnd,
    Source,
    SourceChanged,
    Unchanged,
    answer_of_any,
)
from cxrsync.sources.credentials import Credentials
from cxrsync.sources.in_order import Part, SourcesInOrder
from cxrsync.sources.physionet import PhysioNet
from cxrsync.sources.store.object_store import ObjectStore

SLUG, VERSION = "mimic-cxr-jpg", "2.1.0"
DATA = bytes(range(256)) * 20
OTHER = bytes(reversed(range(256))) * 20
ODD = "a b#?%20+é&=.bin"
FOLDER = "conformance"
FILES = {MANIFEST_NAME: b"", "a.bin": DATA, ODD: DATA, "empty": b""}
LIMITS = TransferLimits(stall_timeout=1.0, retries=0)


@dataclass
class Stand:
    """A source with the file ``a.bin`` and others. ``put`` changes a file at the source."""

    name: str
    make: Callable[[], Source]
    put: Callable[[str, bytes], None]
    proxy: FaultProxy | None = None
    knows_conditions: bool = True


def store_stand(
    name: str, store: Store, tmp_path: Path, patch: pytest.MonkeyPatch, stack: ExitStack
) -> Stand:
    for variable, value in store.environment(tmp_path).items():
        patch.setenv(variable, value)
    folder = f"{FOLDER}/{SLUG}/{VERSION}"
    proxy = stack.enter_context(FaultProxy(store.endpoint, own_host=store.scheme == "gs"))
    address = parse_source(f"{store.scheme}://{BUCKET}/{FOLDER}")
    assert isinstance(address, StoreAddress)
    path = HttpPath.LEAN if name.endswith("lean") else HttpPath.AIOHTTP
    origin = SourceConfig(
        places=(address,), endpoint_url=proxy.url, requester_pays="my-project", http=path
    )

    def make() -> Source:
        return ObjectStore(address, origin, LIMITS, load_stores(), lambda _event: None)

    def put(path: str, data: bytes) -> None:
        store.put(f"{folder}/{path}", data)

    return Stand(name, make, put, proxy, store.knows_conditions)


@pytest.fixture(scope="module")
def physionet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, MiniPhysioNet]]:
    files = tmp_path_factory.mktemp("physionet") / "files"
    make_tree(files, SLUG, VERSION, TreeSpec(patients=1))
    server = MiniPhysioNet(files, ServerBehaviour(password_check_seconds=0.0))
    server.start()
    yield files, server
    server.stop()


def tree_stand(
    name: str, files: Path, server: MiniPhysioNet | None = None, proxy: FaultProxy | None = None
) -> Stand:
    root = files / SLUG / VERSION
    root.mkdir(parents=True, exist_ok=True)
    changes = count(1)

    def put(path: str, data: bytes) -> None:
        (root / path).write_bytes(data)
        os.utime(root / path, (0, 1_600_000_000 + next(changes)))

    if name == "local":
        return Stand(name, lambda: local_tree(files), put)
    if name == "in order":
        nothing = files.parent / "nothing"
        nothing.mkdir()
        parts = [partial(local_tree, nothing), partial(local_tree, files)]
        return Stand(name, lambda: SourcesInOrder([*map(Part, parts)], lambda _event: None), put)
    assert server is not None
    assert proxy is not None
    path = HttpPath.AIOHTTP if name.endswith("aiohttp") else HttpPath.LEAN
    origin = SourceConfig(base_url=f"{proxy.url}/files", http=path)

    def ask(_host: str, _user: str | None) -> Credentials:
        return Credentials("demo", "demo-password", "the test")

    return Stand(name, lambda: PhysioNet(origin, LIMITS, ask), put, proxy)


STORES = ["moto", "moto by lean", "rclone", "gcs"]
PHYSIONET = ["physionet", "physionet by aiohttp"]
OVER_HTTP = [*PHYSIONET, *STORES]
ALL = ["local", "in order", *OVER_HTTP]


@pytest.fixture(params=ALL)
def stand(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stand]:
    name: str = request.param
    with ExitStack() as stack:
        if name not in OVER_HTTP:
            made = tree_stand(name, tmp_path / "files")
        elif name in PHYSIONET:
            files, server = request.getfixturevalue("physionet")
            proxy = stack.enter_context(FaultProxy(server.base_url, server.ca_file))
            made = tree_stand(name, files, server, proxy)
        else:
            store = request.getfixturevalue(name.partition(" ")[0])
            made = store_stand(name, store, tmp_path, monkeypatch, stack)
        there = request.getfixturevalue("there")[name.partition(" ")[0]] if name in STORES else {}
        for path, data in FILES.items():
            if there.get(path) != data:
                made.put(path, data)
                there[path] = data
        yield replace(made, put=lambda path, data: (there.pop(path, None), made.put(path, data))[1])


@pytest.fixture(scope="session")
def there() -> defaultdict[str, dict[str, bytes]]:
    """The files that are in each store already."""
    return defaultdict(dict)


@pytest.fixture
async def source(stand: Stand) -> AsyncIterator[Source]:
    made = stand.make()
    yield made
    await made.close()


async def ask(
    source: Source,
    path: str = "a.bin",
    start: int = 0,
    stop: int | None = None,
    resume_if: str | None = None,
    skip_if: str | None = None,
) -> tuple[Answer, bytes]:
    ref = RemotePath(SLUG, VERSION, path)
    try:
        async with source.open(ref, start, stop, resume_if, skip_if) as answer:
            if not isinstance(answer, Opened):
                return answer, b""
            return answer, b"".join([chunk async for chunk in answer.chunks])
    except SourceChanged:  # the file is asked of the next of several sources from now on
        return await ask(source, path, start, stop, resume_if, skip_if)


async def opened(source: Source, *args: object, **options: object) -> tuple[Opened, bytes]:
    answer, data = await ask(source, *args, **options)  # type: ignore[arg-type]
    assert isinstance(answer, Opened)
    return answer, data


async def test_a_whole_file(source: Source) -> None:
    for path in ("a.bin", ODD):
        answer, data = await opened(source, path)
        assert (data, answer.start, answer.total) == (DATA, 0, len(DATA))
        assert answer.modified is not None
    answer, data = await opened(source, "empty")
    assert (data, answer.total) == (b"", 0)
    assert source.requests >= 3


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (0, 1000), (1000, 2000), (4000, None)])
async def test_a_part(source: Source, start: int, stop: int | None) -> None:
    answer, data = await opened(source, "a.bin", start, stop)
    assert answer.start in {0, start}  # whoever knows no ranges sends all of it, and says so
    assert answer.total in {len(DATA), None}
    if answer.start == start and answer.total is not None:
        assert data[: (stop or len(DATA)) - start] == DATA[start:stop]


async def test_nothing_behind_the_end(source: Source) -> None:
    answer, data = await ask(source, "a.bin", len(DATA))
    if isinstance(answer, PastEnd):
        assert answer.total in {len(DATA), None}
    else:
        assert isinstance(answer, Opened)
        assert (answer.start, data) == (0, DATA)


async def test_the_validator_is_of_the_bytes(stand: Stand, source: Source) -> None:
    before, _ = await opened(source)
    resumed, data = await opened(source, "a.bin", 1000, resume_if=before.validator)
    assert data == DATA[resumed.start :]
    assert resumed.validator == before.validator

    stand.put("a.bin", OTHER)
    changed, data = await opened(source, "a.bin", 1000, resume_if=before.validator)
    assert data == OTHER[changed.start :]
    # The old beginning is not joined with the new end: it starts anew, or says that it is another.
    assert changed.start == 0 or changed.validator != before.validator


async def test_an_unchanged_file_is_not_sent_again(stand: Stand, source: Source) -> None:
    before, _ = await opened(source)
    answer, data = await ask(source, skip_if=before.validator)
    if stand.knows_conditions:
        assert isinstance(answer, Unchanged)
    else:
        assert isinstance(answer, Unchanged) or data == DATA
    stand.put("a.bin", OTHER)
    answer, data = await ask(source, skip_if=before.validator)
    assert data == OTHER


async def test_a_file_that_is_not_there(source: Source) -> None:
    with pytest.raises((NotFound, AccessDenied)):
        await ask(source, "missing.bin")
    ref = RemotePath(SLUG, "9.9", MANIFEST_NAME)
    with pytest.raises((NotServed, AccessDenied)):
        async with answer_of_any(source, ref):
            pass


async def test_the_identity_names_no_secret(source: Source) -> None:
    before = source.identity
    await ask(source)
    assert source.identity == before
    assert not any(word in before for word in ("EXAMPLE", "password", "ya29"))


XML = b"<?xml version='1.0'?><Error><Code>%s</Code><Message>secret</Message></Error>"
FAULTS: list[tuple[str, Fault, type[CxrsyncError]]] = [
    ("cut off", Fault(cut=1000), Interrupted),
    ("cut off at once", Fault(cut=0), Interrupted),
    ("silent", Fault(cut=1000, silent=True), Interrupted),
    ("slow down", Fault(503, {"Retry-After": "7"}, XML % b"SlowDown"), Throttled),
    ("too many", Fault(429, {"Retry-After": "7"}), Throttled),
    ("server error", Fault(500, {}, XML % b"InternalError"), Throttled),
    ("a web page", Fault(headers={"Content-Type": "text/html"}), Throttled),
    ("packed", Fault(headers={"Content-Encoding": "gzip"}), InvalidResponse),
    ("a strange length", Fault(headers={"Content-Length": "9" * 20}), InvalidResponse),
    ("forbidden", Fault(403, {}, XML % b"AccessDenied"), AccessDenied),
    ("not found", Fault(404, {}, XML % b"NoSuchKey"), NotFound),
]  # fmt: skip


@pytest.mark.parametrize("stand", OVER_HTTP, indirect=True)
@pytest.mark.parametrize(
    ("fault", "error"), [each[1:] for each in FAULTS], ids=[each[0] for each in FAULTS]
)
async def test_a_fault(
    stand: Stand, source: Source, fault: Fault, error: type[CxrsyncError]
) -> None:
    assert stand.proxy is not None
    await ask(source)  # signs in
    stand.proxy.plan = lambda _path, _headers: fault  # also where it is asked for twice
    with pytest.raises(error) as caught:
        await ask(source)
    assert "secret" not in f"{caught.value} {caught.value.next_step}"
    if isinstance(caught.value, Throttled) and "Retry-After" in fault.headers:
        assert caught.value.after == 7.0
        assert caught.value.overloaded
        assert fault.status == 503 or caught.value.by_us
    stand.proxy.plan = lambda _path, _headers: None
    _answer, data = await opened(source)  # and the next request is as good as the first
    assert data == DATA


@pytest.mark.parametrize("stand", OVER_HTTP, indirect=True)
async def test_another_range_than_asked(stand: Stand, source: Source) -> None:
    assert stand.proxy is not None
    await ask(source)
    headers = {"Content-Range": f"bytes 0-99/{len(DATA)}"}
    stand.proxy.once(Fault(206, headers, DATA[:100]))
    with pytest.raises(InvalidResponse):
        await ask(source, "a.bin", 1000, 1100)


@pytest.mark.parametrize("stand", STORES, indirect=True)
async def test_a_list_that_is_too_long_keeps_no_connection(stand: Stand, source: Source) -> None:
    """A store is asked for a list where it has no manifest."""
    assert stand.proxy is not None
    long = Fault(200, {}, b"x" * 2_000_000)
    stand.proxy.plan = lambda path, _headers: long if "list-type" in path else None
    for _ in range(LIMITS.connections + 1):
        async with asyncio.timeout(20):
            with pytest.raises((NotFound, AccessDenied)):
                async with source.open(RemotePath(SLUG, "9.9", MANIFEST_NAME)):
                    pass
    assert any("list-type" in path for path, _headers in stand.proxy.seen)
