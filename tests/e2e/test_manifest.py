"""The manifest: fetched by several connections, resumed, asked for again only if it changed."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e.stage import JPG, VERSION, Machine

from cxrsync.demo.data.tree import MARKER, manifest_lines
from cxrsync.demo.server.server import MiniPhysioNet

LINES = 35_000
RATE = 1 << 20
NOTHING = ("--jpg", "--dataset-version", VERSION, "--max-files", "0")

Serve = Callable[..., MiniPhysioNet]
MakeMachine = Callable[[MiniPhysioNet], Machine]


@pytest.fixture
def long_manifest(tmp_path: Path) -> Path:
    """Only a manifest, of several MiB."""
    root = tmp_path / "files"
    version = root / JPG / VERSION
    version.mkdir(parents=True)
    (root / MARKER).touch()
    with (version / "SHA256SUMS.txt").open("wb") as file:
        file.writelines(manifest_lines(LINES))
    return version / "SHA256SUMS.txt"


def requests_for_it(server: MiniPhysioNet) -> list[tuple[int, str | None]]:
    log = server.request_log.snapshot().log
    return [(each.status, each.range) for each in log if each.path.endswith("SHA256SUMS.txt")]


def test_several_connections_share_it(
    serve: Serve, make_machine: MakeMachine, long_manifest: Path
) -> None:
    server = serve(long_manifest.parents[2], rate=RATE)
    machine = make_machine(server)

    done = machine.pull(*NOTHING)

    assert done.code == 9, done.err
    here = machine.dest / JPG / VERSION / "SHA256SUMS.txt"
    assert here.read_bytes() == long_manifest.read_bytes()
    assert int(here.stat().st_mtime) == int(long_manifest.stat().st_mtime)
    assert done.event("plan")["to_fetch"] == LINES
    answered = [status for status, _range in requests_for_it(server)]
    assert answered.count(200) == 1
    assert answered.count(206) >= 1
    assert server.request_log.snapshot().password_checks == 1


def test_killed_in_the_middle_of_it(
    serve: Serve, make_machine: MakeMachine, long_manifest: Path
) -> None:
    server = serve(long_manifest.parents[2], rate=RATE)
    machine = make_machine(server)
    size = long_manifest.stat().st_size
    machine.interrupt(
        lambda: server.request_log.snapshot().bytes_sent > size / 2, signal.SIGKILL, *NOTHING
    )
    before = server.request_log.snapshot().bytes_sent
    server.set_behaviour(rate=None)

    assert machine.pull(*NOTHING).code == 9

    here = machine.dest / JPG / VERSION / "SHA256SUMS.txt"
    assert here.read_bytes() == long_manifest.read_bytes()
    assert server.request_log.snapshot().bytes_sent - before < 0.8 * size


def test_killed_and_changed_at_the_server_meanwhile(
    serve: Serve, make_machine: MakeMachine, long_manifest: Path
) -> None:
    """No digest would tell: only the validator keeps old lines and new ones apart."""
    server = serve(long_manifest.parents[2], rate=RATE)
    machine = make_machine(server)
    size = long_manifest.stat().st_size
    machine.interrupt(
        lambda: server.request_log.snapshot().bytes_sent > size / 2, signal.SIGKILL, *NOTHING
    )
    old = long_manifest.read_bytes()
    changed = old[:64].translate(bytes.maketrans(b"0123456789", b"1234567890")) + old[64:]
    long_manifest.write_bytes(changed)
    os.utime(long_manifest, (1.7e9, 1.7e9))
    server.set_behaviour(rate=None)

    assert machine.pull(*NOTHING).code == 9

    assert (machine.dest / JPG / VERSION / "SHA256SUMS.txt").read_bytes() == changed


def test_a_new_manifest_replaces_the_old_which_is_kept(
    serve: Serve, make_machine: MakeMachine, long_manifest: Path
) -> None:
    server = serve(long_manifest.parents[2])
    machine = make_machine(server)
    assert machine.pull(*NOTHING).code == 9
    old = long_manifest.read_bytes()
    new = b"".join(old.splitlines(keepends=True)[:-1])
    long_manifest.write_bytes(new)

    done = machine.pull(*NOTHING)

    assert done.event("plan")["selected"] == LINES - 1
    root = machine.dest / JPG / VERSION
    assert (root / "SHA256SUMS.txt").read_bytes() == new
    [kept] = (root / ".cxrsync/manifests").glob("*-SHA256SUMS.txt")
    assert kept.read_bytes() == old


def test_a_page_of_html_in_its_place_changes_nothing(
    serve: Serve, make_machine: MakeMachine, long_manifest: Path
) -> None:
    machine = make_machine(serve(long_manifest.parents[2]))
    assert machine.pull(*NOTHING).code == 9
    good = long_manifest.read_bytes()
    long_manifest.write_text("<!DOCTYPE html>\n<html>\n<p>Please sign in</p>\n</html>\n")

    ended = machine.pull(*NOTHING)

    assert ended.code == 10
    assert "is not a manifest" in ended.err
    assert (machine.dest / JPG / VERSION / "SHA256SUMS.txt").read_bytes() == good
