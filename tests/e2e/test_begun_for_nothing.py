"""A run that finds no manifest takes back what it has made itself, and nothing else."""

import asyncio
import hashlib
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e.scripted import (
    MANIFEST,
    SLUG,
    VERSION,
    Request,
    ScriptedServer,
    noise,
    pull_from,
)
from e2e.stage import DICOM, JPG, Machine, wait_until
from e2e.stage import VERSION as MIMIC_VERSION

from cxrsync.demo.server.server import MiniPhysioNet

# So large that a run for one shard fetches no more than its slice: no manifest in the tree yet.
PADDING = "".join(f"{n:064x} files/p99/p99000000/s50000000/{n:08}.jpg\n" for n in range(12_000))


async def no_manifest(
    request: Request, writer: asyncio.StreamWriter, server: ScriptedServer
) -> bool | None:
    if request.path != MANIFEST:
        return None
    server.reply(writer, "404 Not Found", ["Content-Length: 0"])
    return True


def snapshot(folder: Path) -> dict[str, str]:
    """Every name below a folder, and the digest of what is a file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else ""
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize("above", ["", "a/b"])
async def test_nothing_is_left_of_it(tmp_path: Path, above: str) -> None:
    (tmp_path / "mine").mkdir()
    with ScriptedServer({}, no_manifest) as server:
        pulled = await pull_from(server, tmp_path / above)
    assert pulled.code == 2
    assert snapshot(tmp_path) == {"mine": ""}


async def test_folders_that_were_there_stay_although_they_are_empty(tmp_path: Path) -> None:
    (tmp_path / SLUG / VERSION).mkdir(parents=True)
    with ScriptedServer({}, no_manifest) as server:
        assert (await pull_from(server, tmp_path)).code == 2
    assert snapshot(tmp_path) == {SLUG: "", f"{SLUG}/{VERSION}": ""}


async def test_what_earlier_runs_have_left_stays(tmp_path: Path) -> None:
    """Partials, a state, what was set aside: no published file yet, and a mistyped --base-url."""
    own = tmp_path / SLUG / VERSION / ".cxrsync"
    for name in ("p10/partial/" + "0" * 64, "trash/20250102T030405Z/a.jpg", "p10/state.sqlite3"):
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_bytes(noise(name, 5_000))
    before = snapshot(own)
    with ScriptedServer({}, no_manifest) as server:
        assert (await pull_from(server, tmp_path)).code == 2
    after = snapshot(own)
    assert after.items() >= before.items()


@pytest.mark.parametrize("how", ["mistyped address", "reports refused"])
def test_another_run_at_work_is_not_disturbed(
    serve: Callable[..., MiniPhysioNet],
    make_machine: Callable[[MiniPhysioNet], Machine],
    own_files: Path,
    how: str,
) -> None:
    """In the very tree whose manifest is not there, or whose reports are refused (403)."""
    manifest = own_files / DICOM / MIMIC_VERSION / MANIFEST
    lines = (manifest.read_text() + PADDING).splitlines(keepends=True)
    manifest.write_text("".join(sorted(lines, key=lambda line: line[65:])))
    server = serve(own_files, rate=16 << 10)
    machine = make_machine(server)
    only = ("--shard", "p10", "--no-tables", "--progress", "none")
    first = machine.start("pull", "--dicom", *only)
    root = machine.dest / DICOM / MIMIC_VERSION
    partials = root / ".cxrsync/p10/partial"
    try:
        wait_until(lambda: partials.is_dir() or first.poll() is not None)
        first.send_signal(signal.SIGSTOP)  # nothing is published yet, and nothing will be
        assert sorted(path.name for path in root.iterdir()) == [".cxrsync"]
        server.set_behaviour(rate=None)
        if how == "mistyped address":
            machine.base_url += "/mistyped"
            assert machine.pull("--dicom", "--shard", "p11").code == 2
        else:
            refusing = serve(agreements=frozenset({JPG}))
            machine.base_url, machine.ca_file = refusing.base_url, refusing.ca_file
            assert machine.pull("--jpg", "--shard", "p10", "--with-reports").code == 4
        assert list(root.glob(".cxrsync/p10/lock/*"))
        first.send_signal(signal.SIGCONT)
        _out, err = first.communicate(timeout=60)
    finally:
        first.kill()
        first.communicate()
    assert first.returncode == 0, err
    assert list((root / "files/p10").rglob("*.dcm"))
