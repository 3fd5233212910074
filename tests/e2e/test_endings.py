"""How a run ends: the exit code of everything that happened, and nothing forgotten."""

import asyncio
import errno
import hashlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e.scripted import SLUG, Pulled, Request, ScriptedServer, noise, pull_from
from e2e.scripted import VERSION as SCRIPTED_VERSION
from e2e.stage import DICOM, JPG, VERSION, Machine

from cxrsync.cancellation import CancelToken
from cxrsync.cli.main import run
from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.errors import ExitCode
from cxrsync.events import Event, FileDone
from cxrsync.model import Result
from cxrsync.storage.partial import Partial
from cxrsync.sync import scheduler
from cxrsync.transfer import retry_policy
from cxrsync.ui.summary_text import as_text

Serve = Callable[..., MiniPhysioNet]
MakeMachine = Callable[[MiniPhysioNet], Machine]

A, B, C = (f"files/p10/{name}.jpg" for name in "abc")
FILES = {path: noise(path, 3_000) for path in (A, B, C)}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_policy, "_FIRST_BACKOFF", 0.0)


async def hold(_request: Request, writer: asyncio.StreamWriter) -> None:
    """The head of an answer that never goes on, until the client hangs up."""
    head = "HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n"
    writer.write(head.encode())
    await writer.drain()
    await writer.wait_closed()


def break_off(writer: asyncio.StreamWriter) -> None:
    """An answer without a single byte of what it promised."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n")


def text_of(pulled: Pulled) -> str:
    return as_text(pulled.summary)


# ── a limit on time ────────────────────────────────────────────────────────────────────────────


async def stopped_after(
    tmp_path: Path, server: ScriptedServer, result: Result, code: ExitCode
) -> Pulled:
    """A pull that is asked to end with ``code`` as soon as a file has ended so."""
    stop = CancelToken()

    def heard(event: Event) -> None:
        if isinstance(event, FileDone) and event.outcome.result is result:
            stop.request(code)

    return await pull_from(server, tmp_path, heard=heard, stop=stop, connections=2)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (ExitCode.LIMIT, ExitCode.FILES_FAILED),
        (ExitCode.INTERRUPTED, ExitCode.INTERRUPTED),
        (ExitCode.TERMINATED, ExitCode.TERMINATED),
    ],
)
async def test_a_file_has_failed_by_then(tmp_path: Path, asked: ExitCode, code: ExitCode) -> None:
    async def script(
        request: Request, writer: asyncio.StreamWriter, server: ScriptedServer
    ) -> bool | None:
        if request.path == A:
            server.reply(writer, "404 Not Found", ["Content-Length: 0"])
            return True
        if request.path == B:
            await hold(request, writer)
        return None

    with ScriptedServer(FILES, script) as server:
        pulled = await stopped_after(tmp_path, server, Result.FAILED, asked)

    assert pulled.code == code
    assert pulled.summary.failed.files == 1
    assert "all well" not in text_of(pulled)


async def test_a_file_contradicts_its_checksum_by_then(tmp_path: Path) -> None:
    async def script(
        request: Request, writer: asyncio.StreamWriter, server: ScriptedServer
    ) -> bool | None:
        if request.path == A:
            server.reply(writer, "200 OK", ["Content-Length: 5", 'ETag: "w"'], b"wrong")
            return True
        if request.path == B:
            await hold(request, writer)
        return None

    with ScriptedServer(FILES, script) as server:
        pulled = await stopped_after(tmp_path, server, Result.CONTRADICTED, ExitCode.LIMIT)

    assert (pulled.code, pulled.summary.mismatched.files) == (ExitCode.CONTRADICTED, 1)
    assert "all well" not in text_of(pulled)


async def test_all_well_by_then(tmp_path: Path) -> None:
    async def script(
        request: Request, writer: asyncio.StreamWriter, server: ScriptedServer
    ) -> bool | None:
        if request.path == B:
            await hold(request, writer)
        return None

    with ScriptedServer(FILES, script) as server:
        pulled = await stopped_after(tmp_path, server, Result.FETCHED, ExitCode.LIMIT)

    assert pulled.code == ExitCode.LIMIT
    assert "all well" in text_of(pulled)


@pytest.mark.parametrize("callers_too", [False, True])
async def test_a_callers_cancellation_is_not_taken_for_ours(
    tmp_path: Path, callers_too: bool
) -> None:
    stop = CancelToken()
    task = asyncio.current_task()
    assert task is not None

    async def script(
        request: Request, writer: asyncio.StreamWriter, _server: ScriptedServer
    ) -> bool | None:
        if request.path == B:
            await hold(request, writer)
        return None

    def heard(event: Event) -> None:
        if isinstance(event, FileDone) and stop.code is None:
            stop.request(ExitCode.LIMIT)
            if callers_too:
                task.cancel()

    with ScriptedServer(FILES, script) as server:
        try:
            pulled = await pull_from(server, tmp_path, heard=heard, stop=stop, connections=2)
        except asyncio.CancelledError:
            assert callers_too
            assert task.cancelling() == 1  # the caller's own
            task.uncancel()
        else:
            assert not callers_too
            assert pulled.code == ExitCode.LIMIT
            assert task.cancelling() == 0  # what the caller does next is not


# ── files whose retries are spent ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (ExitCode.LIMIT, ExitCode.FILES_FAILED),
        (ExitCode.INTERRUPTED, ExitCode.INTERRUPTED),
        (None, ExitCode.DISK),
    ],
)
async def test_a_file_whose_retries_are_spent_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: ExitCode | None, code: ExitCode
) -> None:
    """Others were still to come when the run ended, so that it got no second chance."""
    stop, loop = CancelToken(), asyncio.get_running_loop()

    async def script(
        request: Request, writer: asyncio.StreamWriter, server: ScriptedServer
    ) -> bool | None:
        if request.path == A:
            break_off(writer)
            return False
        if request.path == B:
            await hold(request, writer)
        if request.path == C and asked is not None:  # whoever asks for it has given A up
            loop.call_soon_threadsafe(stop.request, asked)
            await hold(request, writer)
        return None

    if asked is None:
        fill_the_disk(monkeypatch, C)
    with ScriptedServer(FILES, script) as server:
        pulled = await pull_from(server, tmp_path, stop=stop, connections=2)

    assert (pulled.code, pulled.summary.failed.files) == (code, 1)
    [problem] = pulled.summary.problems
    assert (problem.path, problem.result) == (A, Result.FAILED)
    assert problem.reason


def fill_the_disk(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """No room is left for the bytes of one file."""
    original = Partial.write
    digest = hashlib.sha256(FILES[path]).hexdigest()

    def write(partial: Partial, offset: int, chunks: list[bytes], epoch: int) -> bool:
        if partial.path.name.startswith(digest):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(partial, offset, chunks, epoch)

    monkeypatch.setattr(Partial, "write", write)


async def test_a_limit_on_files_and_one_whose_retries_are_spent(tmp_path: Path) -> None:
    async def script(
        request: Request, writer: asyncio.StreamWriter, _server: ScriptedServer
    ) -> bool | None:
        if request.path == A:
            break_off(writer)
            return False
        return None

    with ScriptedServer(FILES, script) as server:
        pulled = await pull_from(server, tmp_path, connections=1, max_files=2)

    assert pulled.code == ExitCode.FILES_FAILED
    assert (pulled.summary.failed.files, pulled.summary.fetched.files) == (1, 1)
    assert "stopped at a limit" in text_of(pulled)
    assert "all well" not in text_of(pulled)


async def test_a_limit_on_files_is_not_used_up_by_those_that_cannot_be_put_in_place(
    tmp_path: Path,
) -> None:
    in_the_way = tmp_path / SLUG / SCRIPTED_VERSION / A / "somebody's"
    in_the_way.parent.mkdir(parents=True)
    in_the_way.touch()
    with ScriptedServer(FILES) as server:
        pulled = await pull_from(server, tmp_path, connections=1, max_files=1)
    assert [each.path for each in pulled.summary.problems] == [A]
    assert (pulled.code, pulled.summary.fetched.files) == (ExitCode.FILES_FAILED, 1)


# ── the command ────────────────────────────────────────────────────────────────────────────────


def test_interrupted_with_failures(
    own_files: Path, serve: Serve, make_machine: MakeMachine
) -> None:
    images = sorted((own_files / JPG / VERSION / "files/p10").rglob("*.jpg"))
    images[0].unlink()
    machine = make_machine(serve(own_files, rate=20_000))
    process = machine.start("pull", "--jpg", "--shard", "p10", "--json", "--progress", "none")
    assert process.stdout is not None
    lines = iter(process.stdout)
    assert any('"failed"' in line and '"file"' in line for line in lines)
    process.send_signal(signal.SIGINT)
    *_others, last = lines
    process.communicate()
    assert process.returncode == 130
    assert '"failed": 1' in last


def test_refused_lines_of_two_datasets(
    own_files: Path, serve: Serve, make_machine: MakeMachine
) -> None:
    with (own_files / JPG / VERSION / "SHA256SUMS.txt").open("a") as manifest:
        manifest.write("junk\n" * 2)
    machine = make_machine(serve(own_files))
    done = machine.pull("--jpg", "--split", "test", "--with-reports")
    assert (done.code, done.summary["files"]["failed"]) == (5, 2)

    with (own_files / DICOM / VERSION / "SHA256SUMS.txt").open("a") as manifest:
        manifest.write("junk\n" * 3)
    done = machine.pull("--jpg", "--split", "test", "--with-reports")
    assert (done.code, done.summary["files"]["failed"]) == (5, 5)
    assert len(done.summary["refused"]) == 5
    assert sum(DICOM in each["reason"] for each in done.summary["refused"]) == 3


@pytest.mark.parametrize(("stays", "code"), [(False, 5), (True, 6)])
def test_a_repair_that_does_not_succeed(
    own_files: Path,
    serve: Serve,
    make_machine: MakeMachine,
    monkeypatch: pytest.MonkeyPatch,
    stays: bool,
    code: int,
) -> None:
    """A bad file is gone, or still in its place: what a verification would say next."""
    machine = make_machine(serve(own_files))
    assert machine.pull("--jpg", "--shard", "p10").code == 0
    bad = min((machine.dest / JPG / VERSION / "files").rglob("*.jpg"))
    bad.write_bytes(b"wrong")
    (own_files / bad.relative_to(machine.dest)).unlink()
    for name, value in machine.variables().items():
        monkeypatch.setenv(name, value)
    if stays:
        monkeypatch.setattr(scheduler, "continue_short_file", refuse)

    assert run(["verify", "--jpg", "--repair"]) == code
    assert bad.exists() == stays
    assert run(["verify", "--jpg"]) == code


def refuse(*_: object) -> None:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


def test_a_repair_that_succeeds(machine: Machine) -> None:
    assert machine.pull("--jpg", "--shard", "p10").code == 0
    bad = min((machine.dest / JPG / VERSION / "files").rglob("*.jpg"))
    bad.write_bytes(b"wrong")
    assert machine.run("verify", "--jpg").code == 6
    assert machine.run("verify", "--jpg", "--repair").code == 0
