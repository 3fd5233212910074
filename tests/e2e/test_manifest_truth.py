"""What a pull calls the manifest is the publisher's: whatever the line, the server and the disk did
to it, in this run or in an earlier one."""

import asyncio
import json
import os
import shlex
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import trustme
from e2e.scripted import (
    LAST_MODIFIED,
    MANIFEST,
    MODIFIED,
    SLUG,
    VERSION,
    Pulled,
    Request,
    ScriptedServer,
    differences,
    manifest_of,
    noise,
    pull_from,
    sha256,
)

from cxrsync.errors import ExitCode, RefusedForSafety
from cxrsync.events import Notice
from cxrsync.transfer import retry_policy
from cxrsync.ui.summary_text import as_text

FILES = {
    "a.bin": noise("a", 3_000),
    "b.csv": b"x,y\n1,2\n",
    "files/p10/p10000032/s50414267/0.jpg": noise("image", 70_000),
    "z.txt": noise("z", 5_000),
}
MORE = {**FILES, "zz1.txt": b"new one", "zz2.txt": b"new two"}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_policy, "_FIRST_BACKOFF", 0.01)


def root_of(dest: Path) -> Path:
    return dest / SLUG / VERSION


def manifest_in(dest: Path) -> bytes:
    return (root_of(dest) / MANIFEST).read_bytes()


def current_in(dest: Path) -> Path:
    return root_of(dest) / ".cxrsync/manifests/current.json"


def notices(pulled: Pulled) -> str:
    return "\n".join(event.text for event in pulled.events if isinstance(event, Notice))


# ── it has grown since ─────────────────────────────────────────────────────────────────────────


def copy_without_times(dest: Path) -> None:
    shutil.move(dest / SLUG, dest / "old")
    shutil.copytree(dest / "old", dest / SLUG, copy_function=shutil.copyfile)
    shutil.rmtree(dest / "old")


def touch(dest: Path) -> None:
    os.utime(root_of(dest) / MANIFEST)


def die_before_the_first_byte(dest: Path) -> None:
    """What a kill left in the first moment of a first pull, by the code of 0.1."""
    folder = root_of(dest) / ".cxrsync/manifests"
    shutil.rmtree(root_of(dest))
    folder.mkdir(parents=True)
    (folder / "partial").touch()
    sidecar = {"source": "", "total": 314, "validator": '"old"', "modified": MODIFIED, "ranges": []}
    (folder / "partial.json").write_text(json.dumps(sidecar))


def nothing(_dest: Path) -> None: ...


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("between", [nothing, touch, copy_without_times, die_before_the_first_byte])
async def test_a_manifest_that_grew_is_never_cut(
    tmp_path: Path, between: Callable[[Path], None], address: str
) -> None:
    with ScriptedServer(dict(FILES)) as server:
        assert (await pull_from(server, tmp_path)).code == 0
        between(tmp_path)
        sidecar = root_of(tmp_path) / ".cxrsync/manifests/partial.json"
        if sidecar.exists():
            sidecar.write_text(
                sidecar.read_text().replace('"source": ""', f'"source": "{server.base_url}"')
            )
        server.files = dict(MORE)
        url = server.base_url.replace("127.0.0.1", address)

        for _again in range(2):
            pulled = await pull_from(server, tmp_path, base_url=url)
            assert pulled.code == 0
            assert manifest_in(tmp_path) == manifest_of(MORE)
            assert differences(tmp_path, MORE) == []
        assert pulled.summary.requests == 1


async def test_a_tree_that_was_cut_already_heals(tmp_path: Path) -> None:
    """0.1 put the new validator beside a manifest of the old size: every later pull got a 304."""
    with ScriptedServer(dict(FILES)) as server:
        assert (await pull_from(server, tmp_path)).code == 0
        server.files = dict(MORE)
        current = json.loads(current_in(tmp_path).read_text())
        del current["format"]
        current["validator"] = f'"{sha256(manifest_of(MORE))[:16]}"'
        current_in(tmp_path).write_text(json.dumps(current))

        assert (await pull_from(server, tmp_path)).code == 0

        assert manifest_in(tmp_path) == manifest_of(MORE)
        assert differences(tmp_path, MORE) == []


async def test_a_record_of_0_1_that_is_right_costs_one_byte(tmp_path: Path) -> None:
    with ScriptedServer(dict(FILES)) as server:
        assert (await pull_from(server, tmp_path)).code == 0
        current = json.loads(current_in(tmp_path).read_text())
        del current["format"]
        current_in(tmp_path).write_text(json.dumps(current))

        pulled = await pull_from(server, tmp_path)

        assert (pulled.code, pulled.summary.requests) == (0, 1)
        size = len(manifest_of(FILES))
        assert server.log[-1].range == (size - 1, size - 1)
        assert json.loads(current_in(tmp_path).read_text())["format"] == 2
        await pull_from(server, tmp_path)
        assert "if-none-match" in server.log[-1].headers


async def test_nothing_is_left_of_a_manifest_that_has_its_name(tmp_path: Path) -> None:
    with ScriptedServer(dict(FILES)) as server:
        assert (await pull_from(server, tmp_path)).code == 0
    left = {path.name for path in (root_of(tmp_path) / ".cxrsync/manifests").iterdir()}
    assert left == {"current.json"}


async def test_a_refresh_that_was_broken_off_is_gone_on_with(tmp_path: Path) -> None:
    many = {f"{number:05}.txt": b"" for number in range(3_000)}
    more = {**many, "zz.txt": b""}
    cut = True

    async def script(
        request: Request, writer: asyncio.StreamWriter, server: ScriptedServer
    ) -> bool | None:
        if request.path != MANIFEST or not cut:
            return None
        body = manifest_of(more)
        head = [f'ETag: "{sha256(body)[:16]}"', f"Content-Length: {len(body)}"]
        server.reply(writer, "200 OK", head, body[:200_000])
        return False

    with ScriptedServer(many) as server:
        limits = {"retries": 0, "max_files": 0, "connections": 1}
        assert (await pull_from(server, tmp_path, **limits)).code == ExitCode.LIMIT
        server.files, server.script = more, script
        assert (await pull_from(server, tmp_path, **limits)).code == ExitCode.UNREACHABLE
        cut = False
        assert (await pull_from(server, tmp_path, **limits)).code == ExitCode.LIMIT
        assert server.requests_for(MANIFEST)[-1].range == (200_000, None)
        assert manifest_in(tmp_path) == manifest_of(more)


# ── its end ────────────────────────────────────────────────────────────────────────────────────


def closing(
    cut: int, *, ranges: bool = True, tag: bool = True, times: int = 1 << 30
) -> Callable[..., object]:
    """The manifest without a length, ended by closing the connection: ``cut`` bytes before its end,
    so many times."""

    async def script(
        request: Request, writer: asyncio.StreamWriter, server: ScriptedServer
    ) -> bool | None:
        if request.path != MANIFEST or (ranges and request.range):
            return None
        body = manifest_of(server.files)
        keep = len(body) - (cut if request.number <= times else 0)
        head = ["Connection: close"]
        if tag:
            head.append(f'ETag: "{sha256(body)[:16]}"')
        server.reply(writer, "200 OK", head, body[:keep])
        return False

    return script


LAST_LINE = len(manifest_of(FILES).splitlines(keepends=True)[-1])


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("cut", [0, 1, LAST_LINE, 2 * LAST_LINE])
async def test_a_closed_connection_proves_no_end(tmp_path: Path, cut: int, ranges: bool) -> None:
    """Cut once, between two lines: the same lines would be called complete for ever."""
    with ScriptedServer(dict(FILES), closing(cut, ranges=ranges, times=1)) as server:  # type: ignore[arg-type]
        pulled = await pull_from(server, tmp_path)
        assert pulled.code == 0
        assert manifest_in(tmp_path) == manifest_of(FILES)
        assert differences(tmp_path, FILES) == []


async def test_an_end_that_is_proved_costs_one_request(tmp_path: Path) -> None:
    with ScriptedServer(dict(FILES), closing(0)) as server:  # type: ignore[arg-type]
        assert (await pull_from(server, tmp_path)).code == 0
        assert len(server.requests_for(MANIFEST)) == 2


@pytest.mark.parametrize("ranges", [True, False])
async def test_an_end_that_is_another_each_time_is_none(tmp_path: Path, ranges: bool) -> None:
    async def script(
        request: Request, writer: asyncio.StreamWriter, server: ScriptedServer
    ) -> bool | None:
        if request.path != MANIFEST or (ranges and request.range):
            return None
        body = manifest_of(server.files)
        server.reply(writer, "200 OK", ["Connection: close"], body[: -10 * request.number])
        return False

    with ScriptedServer(dict(FILES), script) as server:
        pulled = await pull_from(server, tmp_path)
        assert pulled.code == ExitCode.UNREACHABLE
        assert "without its length" in str(pulled.error)
        assert not (root_of(tmp_path) / MANIFEST).exists()


async def test_a_chunked_manifest_proves_its_own_end(tmp_path: Path) -> None:
    async def script(
        request: Request, writer: asyncio.StreamWriter, server: ScriptedServer
    ) -> bool | None:
        if request.path != MANIFEST:
            return None
        body = manifest_of(server.files)
        chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        server.reply(writer, "200 OK", ["Transfer-Encoding: chunked"], chunked)
        return True

    with ScriptedServer(dict(FILES), script) as server:
        assert (await pull_from(server, tmp_path)).code == 0
        assert len(server.requests_for(MANIFEST)) == 1
        assert manifest_in(tmp_path) == manifest_of(FILES)


async def test_a_missing_last_newline_is_right_where_the_length_is_told(tmp_path: Path) -> None:
    with ScriptedServer(dict(FILES), manifest=manifest_of(FILES).rstrip(b"\n")) as server:
        assert (await pull_from(server, tmp_path)).code == 0
        assert differences(tmp_path, FILES) == []


@pytest.mark.parametrize("ranges", [True, False])
async def test_a_fin_without_a_farewell_of_tls_is_no_end(tmp_path: Path, ranges: bool) -> None:
    """Anyone on the line can forge it: the connection is closed without TLS's close_notify."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    async def script(
        request: Request, writer: asyncio.StreamWriter, server: ScriptedServer
    ) -> bool | None:
        if request.path != MANIFEST or (ranges and request.range):
            return None
        lines = manifest_of(server.files).splitlines(keepends=True)
        server.reply(writer, "200 OK", ['ETag: "v1"', "Connection: close"], b"".join(lines[:2]))
        await writer.drain()
        with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as line:
            line.shutdown(socket.SHUT_WR)
        return False

    with ScriptedServer(dict(FILES), script, tls=context) as server:
        pulled = await pull_from(server, tmp_path / "mirror", ca_file=tmp_path / "ca.pem")
        # It never ends otherwise: what is not whole beyond doubt is none.
        assert pulled.code == ExitCode.UNREACHABLE
        assert not (root_of(tmp_path / "mirror") / MANIFEST).exists()


async def test_two_manifests_are_never_spliced(tmp_path: Path) -> None:
    """No strong ETag; another of the same size takes its place while it is sent."""
    one = {f"f{number:03}.bin": noise(f"one {number}", 200) for number in range(200)}
    two = {path: noise(f"two {path}", 200) for path in one}

    async def script(
        request: Request, writer: asyncio.StreamWriter, server: ScriptedServer
    ) -> bool | None:
        if request.path != MANIFEST or request.number > 1:
            return None
        body = manifest_of(one)
        head = [f"Content-Length: {len(body)}", f"Last-Modified: {LAST_MODIFIED}"]
        server.reply(writer, "200 OK", head, body[:7_000])
        return False

    with ScriptedServer(two, script, tags=False) as server:
        pulled = await pull_from(server, tmp_path)
        assert pulled.code == 0
        assert manifest_in(tmp_path) == manifest_of(two)
        assert [each.range for each in server.requests_for(MANIFEST)] == [None, None]


# ── it lost lines ──────────────────────────────────────────────────────────────────────────────

MANY = {f"{number:03}.txt": b"%d" % number for number in range(100)}


def without(count: int) -> dict[str, bytes]:
    return dict(list(MANY.items())[count:])


@pytest.mark.parametrize("manifest", [b"", b"\n\n", b"# nothing\n", b"not a manifest\n"])
async def test_an_empty_manifest_is_none(tmp_path: Path, manifest: bytes) -> None:
    with ScriptedServer(dict(MANY)) as server:
        assert (await pull_from(server, tmp_path)).code == 0
        server.manifest = manifest
        pulled = await pull_from(server, tmp_path)
        assert pulled.code == ExitCode.UNREACHABLE
        assert "is not a manifest" in str(pulled.error)
        assert manifest_in(tmp_path) == manifest_of(MANY)
        # Nor is it one where there was none before.
        assert (await pull_from(server, tmp_path / "new")).code == ExitCode.UNREACHABLE
        server.manifest = None
        assert (await pull_from(server, tmp_path)).code == 0


async def test_a_few_lost_lines_are_told_and_the_earlier_manifest_is_kept(tmp_path: Path) -> None:
    with ScriptedServer(dict(MANY)) as server:
        assert (await pull_from(server, tmp_path)).code == 0
        server.files = without(10)
        pulled = await pull_from(server, tmp_path)
        assert (pulled.code, pulled.summary.selected.files) == (0, 90)
        assert manifest_in(tmp_path) == manifest_of(without(10))
        [kept] = (root_of(tmp_path) / ".cxrsync/manifests").glob(f"*-{MANIFEST}")
        assert kept.read_bytes() == manifest_of(MANY)
        said = notices(pulled)
        assert "10 of 100 files (000.txt, " in said
        assert str(kept) in said
        assert differences(tmp_path, without(10)) == sorted(MANY)[:10]  # nothing is deleted


async def test_many_lost_lines_are_refused(tmp_path: Path) -> None:
    with ScriptedServer(dict(MANY)) as server:
        assert (await pull_from(server, tmp_path)).code == 0
        server.files = without(11)
        for again in range(2):
            pulled = await pull_from(server, tmp_path)
            assert isinstance(pulled.error, RefusedForSafety)
            assert pulled.code == 11
            assert "11 of 100 files (000.txt" in str(pulled.error)
            assert manifest_in(tmp_path) == manifest_of(MANY)
            named = root_of(tmp_path) / ".cxrsync/manifests/partial"
            assert str(named) in pulled.error.next_step
            assert named.read_bytes() == manifest_of(without(11))
            if again:  # it is asked after, not fetched again
                assert server.log[-1].range == (len(manifest_of(without(11))) - 1, None)

        # What the message says helps, and keeps the earlier manifest.
        accept(pulled)
        pulled = await pull_from(server, tmp_path)
        assert pulled.code == 0
        assert manifest_in(tmp_path) == manifest_of(without(11))
        [kept] = (root_of(tmp_path) / ".cxrsync/manifests").glob(f"*-{MANIFEST}")
        assert kept.read_bytes() == manifest_of(MANY)


async def test_a_manifest_that_is_not_sorted_any_more_is_refused(tmp_path: Path) -> None:
    lines = manifest_of(MANY).splitlines(keepends=True)
    shuffled = b"".join([*lines[50:], *lines[:50]])
    with ScriptedServer(dict(MANY)) as server:
        assert (await pull_from(server, tmp_path)).code == 0
        server.manifest = shuffled
        for _again in range(2):
            pulled = await pull_from(server, tmp_path)
            assert isinstance(pulled.error, RefusedForSafety)
            assert (pulled.code, "is not sorted any more" in str(pulled.error)) == (11, True)
            assert manifest_in(tmp_path) == manifest_of(MANY)
            assert differences(tmp_path, MANY) == []
        accept(pulled)
        for _again in range(2):  # from now on the order of this publisher is no fault
            assert (await pull_from(server, tmp_path)).code == 0
        assert manifest_in(tmp_path) == shuffled
        server.manifest = shuffled + shuffled
        assert (await pull_from(server, tmp_path)).code == 0


async def test_a_manifest_that_was_never_sorted_is_no_fault(tmp_path: Path) -> None:
    lines = manifest_of(MANY).splitlines(keepends=True)
    with ScriptedServer(dict(MANY), manifest=b"".join(lines[::-1])) as server:
        assert (await pull_from(server, tmp_path)).code == 0
        server.manifest = b"".join([*lines[50:], *lines[:50]])
        assert (await pull_from(server, tmp_path)).code == 0


def accept(pulled: Pulled) -> None:
    """Do what the error says."""
    assert isinstance(pulled.error, RefusedForSafety)
    command = pulled.error.next_step.partition("run the command again: ")[2]
    subprocess.run(shlex.split(command), check=True)


async def test_a_manifest_that_is_whole_again_after_it_was_refused(tmp_path: Path) -> None:
    with ScriptedServer(dict(MANY)) as server:
        assert (await pull_from(server, tmp_path)).code == 0
        server.files = without(50)
        assert (await pull_from(server, tmp_path)).code == 11
        server.files = dict(MANY)
        assert (await pull_from(server, tmp_path)).code == 0
        assert manifest_in(tmp_path) == manifest_of(MANY)


# ── the disk changed it ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("at", [10, manifest_of(FILES).index(b"b.csv")], ids=["digest", "path"])
async def test_a_bit_that_rotted_is_mended_and_nobody_is_blamed(tmp_path: Path, at: int) -> None:
    with ScriptedServer(dict(FILES)) as server:
        assert (await pull_from(server, tmp_path)).code == 0
        here = root_of(tmp_path) / MANIFEST
        times = here.stat()
        data = bytearray(here.read_bytes())
        data[at] ^= 1
        here.write_bytes(data)
        os.utime(here, ns=(times.st_atime_ns, times.st_mtime_ns))

        pulled = await pull_from(server, tmp_path)

        assert pulled.code == 0
        assert "has changed on the disk since it was downloaded" in notices(pulled)
        assert manifest_in(tmp_path) == manifest_of(FILES)
        assert differences(tmp_path, FILES) == []
        [aside] = (root_of(tmp_path) / ".cxrsync/trash").rglob(MANIFEST)
        assert aside.read_bytes() == data
        assert len(server.requests_for("b.csv")) == 1


async def test_a_manifest_of_another_tool_is_not_believed(tmp_path: Path) -> None:
    """It has the source's size and time, and one bit of it has rotted."""
    with ScriptedServer(dict(FILES)) as server:
        here = root_of(tmp_path) / MANIFEST
        here.parent.mkdir(parents=True)
        data = bytearray(manifest_of(FILES))
        data[10] ^= 1
        here.write_bytes(data)
        os.utime(here, (MODIFIED, MODIFIED))
        assert (await pull_from(server, tmp_path)).code == 0
        assert manifest_in(tmp_path) == manifest_of(FILES)
        assert differences(tmp_path, FILES) == []


async def test_more_bytes_than_the_manifest_has_are_given_up(tmp_path: Path) -> None:
    """One digit of the sidecar's total has changed: no run ever came past it."""
    with ScriptedServer(dict(FILES)) as server:
        folder = root_of(tmp_path) / ".cxrsync/manifests"
        folder.mkdir(parents=True)
        (folder / "partial").write_bytes(manifest_of(FILES))
        total = len(manifest_of(FILES)) - 100
        tag = f'"{sha256(manifest_of(FILES))[:16]}"'
        ranges = [[0, len(manifest_of(FILES))]]
        raw = {"source": server.base_url, "total": total, "validator": tag, "modified": MODIFIED}
        (folder / "partial.json").write_text(json.dumps({**raw, "ranges": ranges}))
        assert (await pull_from(server, tmp_path)).code == 0
        assert manifest_in(tmp_path) == manifest_of(FILES)


# ── what is no fault ───────────────────────────────────────────────────────────────────────────


async def test_what_editors_and_other_tools_write_into_it_is_no_fault(tmp_path: Path) -> None:
    lines = manifest_of(FILES).decode().splitlines()
    itself = f"{'0' * 64} {MANIFEST}"
    dotted = [f"{line[:64]}  ./{line[65:]}" for line in lines]
    text = "\n".join(["\ufeff" + dotted[0], "# made by hand", itself, *dotted, ""])
    with ScriptedServer(dict(FILES), manifest=text.encode()) as server:
        pulled = await pull_from(server, tmp_path)
        assert (pulled.code, pulled.summary.refused) == (0, ())
        assert differences(tmp_path, FILES) == []


async def test_what_is_refused_is_named_in_the_summary(tmp_path: Path) -> None:
    bad = manifest_of(FILES) + f"{'0' * 64} zz/../x\n".encode()
    with ScriptedServer(dict(FILES), manifest=bad) as server:
        pulled = await pull_from(server, tmp_path)
    assert pulled.code == ExitCode.FILES_FAILED
    assert [asdict(each) for each in pulled.summary.refused] == [
        {"line": 5, "reason": "a path that leaves the tree (..)"}
    ]
    assert "rejected: manifest line 5: a path that leaves the tree (..)" in as_text(pulled.summary)
