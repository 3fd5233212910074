"""What a server says and what lies on the disk may be odd: one bad record never stops a run."""

import asyncio
import json
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from e2e.scripted import (
    LAST_MODIFIED,
    MANIFEST,
    MODIFIED,
    SLUG,
    VERSION,
    Request,
    ScriptedServer,
    differences,
    noise,
    pull_from,
)
from thorough import spread

from cxrsync.transfer import retry_policy

IMAGE = "files/p10/p10000032/s50414267/0.jpg"
FILES = {"a.bin": noise("a", 3_000), "b.csv": b"x,y\n1,2\n", IMAGE: noise("image", 70_000)}
FAR = 10_413_792_000  # 2300; in nanoseconds it is more than 63 bits hold


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_policy, "_FIRST_BACKOFF", 0.02)


def root_of(dest: Path) -> Path:
    return dest / SLUG / VERSION


async def pull_twice(server: ScriptedServer, dest: Path, **options: Any) -> None:
    """Both to the end, and the second has nothing to do but to ask."""
    for _ in range(2):
        pulled = await pull_from(server, dest, **options)
        assert (pulled.code, pulled.error) == (0, None), pulled.summary
        assert differences(dest, FILES) == []


# ── what a server says ─────────────────────────────────────────────────────────────────────────


def saying(*headers: bytes) -> Callable[..., Any]:
    """Whole answers with these headers, and no other that speaks of the file."""

    async def answer(
        request: Request, writer: asyncio.StreamWriter, server: ScriptedServer
    ) -> bool:
        body = server.body(request.path)
        assert body is not None
        length = b"Content-Length: %d" % len(body)
        writer.write(b"\r\n".join([b"HTTP/1.1 200 OK", length, *headers, b"", body]))
        return True

    return answer


def pairs(names: Sequence[str], values: Sequence[object]) -> list[tuple[str, object]]:
    """Each name with each value, or, in the suite, with every other one."""
    return spread([(name, value) for value in values for name in names], 2)


@pytest.mark.parametrize(
    "headers",
    [
        [b"Last-Modified: Mon, 01 Jan 2300 00:00:00 GMT"],
        [b"Last-Modified: Fri, 31 Dec 9999 23:59:59 GMT"],
        [b"Last-Modified: Sun, 01 Jan 1950 00:00:00 GMT"],
        [b"Last-Modified: Mon, 01 Jan 0001 00:00:00 +2359"],
        [b"Last-Modified: Mon, 01 Jan 2024 00:00:00"],
        [b"Last-Modified: \xff\xfe\x00"[:-1]],
        [b'ETag: "\xff\xfe"'],
        [b'ETag: "' + b"x" * 7_000 + b'"'],
        [b'ETag: "a\tb"', b"Last-Modified: \xe2\x80\xae"],
        [b'ETag: "a"', b"Content-Disposition: inline; filename=\xff\x1b[2J"],
        [b"Content-Type: \xff/\xfe", b"Server: \xff"],
        [b"Set-Cookie: \xff=\xfe; Path=/", b"Set-Cookie: a=\xc3\xa9"],
    ],
)
async def test_odd_headers(headers: list[bytes], tmp_path: Path) -> None:
    with ScriptedServer(dict(FILES), saying(*headers)) as server:
        await pull_twice(server, tmp_path)


@pytest.mark.parametrize(
    "answer",
    [
        b"200 OK\r\nContent-Length: 1000000000000000000",
        b"200 OK\r\nContent-Length: 9999999999999999999",
        b"200 OK\r\nContent-Encoding: \xff\xfe",
        b"206 P\r\nContent-Length: 1000000000000000000",
        b"206 P\r\nContent-Range: bytes 0-999999999999999999/1000000000000000000",
        b"206 P\r\nContent-Range: bytes 0-2/1000000000000000000",
    ],
)
async def test_a_file_s_answer_that_cannot_be_true(answer: bytes, tmp_path: Path) -> None:
    """This file fails, and is told of in the state; the others come; later it comes too."""

    async def lie(
        request: Request, writer: asyncio.StreamWriter, _server: ScriptedServer
    ) -> bool | None:
        if request.path != IMAGE:
            return None
        writer.write(b"HTTP/1.1 " + answer + b'\r\nETag: "1"\r\n\r\nabc')
        return False

    with ScriptedServer(dict(FILES), lie) as server:
        for _ in range(2):
            pulled = await pull_from(server, tmp_path, connections=4)
            assert (pulled.code, pulled.error) == (5, None), pulled.summary
            assert [problem.path for problem in pulled.summary.problems] == [IMAGE]
            assert differences(tmp_path, FILES) == [IMAGE]
    with ScriptedServer(dict(FILES)) as server:
        await pull_twice(server, tmp_path)


async def test_a_manifest_of_no_sensible_size(tmp_path: Path) -> None:
    async def answer(
        request: Request, writer: asyncio.StreamWriter, server: ScriptedServer
    ) -> bool | None:
        if request.path != MANIFEST:
            return None
        server.reply(writer, "200 OK", ["Content-Length: 1000000000000000000"], b"abc")
        return False

    with ScriptedServer(dict(FILES), answer) as server:
        pulled = await pull_from(server, tmp_path, give_up_after=0.5)
    assert pulled.code == 10


# ── what lies on the disk ──────────────────────────────────────────────────────────────────────

ODD_TEXTS = ["'a' || char(13, 10) || 'X: y'", "x'0d0aff'", "'*'", "zeroblob(9000)"]


@pytest.mark.parametrize("value", ODD_TEXTS)
async def test_an_odd_contradiction(value: str, tmp_path: Path) -> None:
    """A file that contradicts its digest, of which the state says something odd."""
    wrong = noise("wrong", len(FILES[IMAGE]))
    with ScriptedServer(dict(FILES)) as server:
        server.manifest = server.body(MANIFEST)
        server.files[IMAGE] = wrong
        assert (await pull_from(server, tmp_path)).code == 6
        for column in ("validator", "observed", "expected"):
            with closing(sqlite3.connect(state_of(tmp_path, "p10"))) as db, db:
                db.execute(f"UPDATE contradiction SET {column} = {value}")
            pulled = await pull_from(server, tmp_path)
            assert (pulled.code, pulled.error) == (6, None)
            [problem] = pulled.summary.problems
            assert problem.reason.isprintable()
        server.files[IMAGE] = FILES[IMAGE]
        await pull_twice(server, tmp_path)


def state_of(dest: Path, partition: str) -> Path:
    return root_of(dest) / ".cxrsync" / partition / "state.sqlite3"


@pytest.mark.parametrize(
    ("column", "value"),
    pairs(
        ("sha256", "size", "mtime_ns", "source", "validator"),
        ("'a' || char(13, 10) || 'X: y'", "x'0d0aff'", "9223372036854775807", "1e308"),
    ),
)
async def test_an_odd_row(column: str, value: str, tmp_path: Path) -> None:
    """Of a file that is there, and of one that is not: what it says is no evidence."""
    with ScriptedServer(dict(FILES)) as server:
        await pull_twice(server, tmp_path)
        for partition in ("root", "p10"):
            with closing(sqlite3.connect(state_of(tmp_path, partition))) as db, db:
                db.execute(f"UPDATE file SET {column} = {value}")
        (root_of(tmp_path) / IMAGE).unlink()
        await pull_twice(server, tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    pairs(
        ("source", "validator", "total", "modified", "ranges"),
        ('"a"\r\nX: y', "\udcff", "*", 10**18, 10**30, -1, FAR, [[0, 10**18]], True),
    ),
    ids=lambda value: repr(value)[:20],
)
async def test_an_odd_sidecar(field: str, value: Any, tmp_path: Path) -> None:
    sums = dict(line.split(" ")[::-1] for line in manifest_lines())
    with ScriptedServer(dict(FILES)) as server:
        place = root_of(tmp_path) / ".cxrsync/p10/partial" / sums[IMAGE]
        for begun in (FILES[IMAGE][:40_000], FILES[IMAGE]):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(begun)
            sidecar = {
                "source": server.base_url, "total": len(FILES[IMAGE]), "validator": None,
                "modified": MODIFIED, field: value,
            }  # fmt: skip
            place.with_name(f"{place.name}.json").write_text(json.dumps(sidecar))
            await pull_twice(server, tmp_path)
            found = (root_of(tmp_path) / IMAGE).stat()
            assert found.st_mtime == MODIFIED or abs(found.st_mtime) < 9e9
            (root_of(tmp_path) / IMAGE).unlink()


def manifest_lines() -> list[str]:
    with ScriptedServer(dict(FILES)) as server:
        return (server.body(MANIFEST) or b"").decode().splitlines()


@pytest.mark.parametrize(
    ("field", "value"),
    pairs(
        ("source", "validator", "size", "mtime_ns", "sha256"),
        ('"a"\r\nX: y', "\udcff", "*", 10**30, None, []),
    ),
    ids=lambda value: repr(value)[:20],
)
async def test_an_odd_note_of_the_manifest(field: str, value: Any, tmp_path: Path) -> None:
    with ScriptedServer(dict(FILES)) as server:
        await pull_twice(server, tmp_path)
        note = root_of(tmp_path) / ".cxrsync/manifests/current.json"
        note.write_text(json.dumps(json.loads(note.read_text()) | {field: value}))
        server.files["new.txt"] = b"new"
        pulled = await pull_from(server, tmp_path)
        assert (pulled.code, pulled.error) == (0, None)
        assert differences(tmp_path, FILES | {"new.txt": b"new"}) == []


@pytest.mark.parametrize("seconds", [FAR, 9_300_000_000, -3_000_000_000, 0])
async def test_a_file_of_another_age(seconds: int, tmp_path: Path) -> None:
    """Somebody's clock was wrong: adopted, and evidence from then on."""
    for name, data in FILES.items():
        path = root_of(tmp_path) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (seconds, seconds))
        if path.stat().st_mtime != seconds:
            pytest.skip("this file system has no such times")
    with ScriptedServer(dict(FILES)) as server:
        pulled = await pull_from(server, tmp_path)
        assert (pulled.code, pulled.error) == (0, None)
        assert pulled.summary.adopted.files == len(FILES)
        again = await pull_from(server, tmp_path)
        assert (again.code, again.summary.present.files) == (0, len(FILES))
        assert again.summary.adopted.files == 0


async def test_a_local_tree_of_another_age(tmp_path: Path) -> None:
    source = tmp_path / "theirs" / SLUG / VERSION
    for name, data in {**FILES, MANIFEST: "\n".join(manifest_lines()).encode() + b"\n"}.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
        os.utime(source / name, (FAR, FAR))
    with ScriptedServer({}) as nobody:
        await pull_twice(nobody, tmp_path / "mine", from_dir=tmp_path / "theirs")


def test_the_time_of_these_tests() -> None:
    assert (LAST_MODIFIED[-12:], MODIFIED) == ("07:28:00 GMT", 1_603_265_280)
