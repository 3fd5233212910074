"""Many readers, other hands: a shared tree beside a pull, trees that were moved, other owners."""

from __future__ import annotations

import grp
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from e2e.other_users import as_user
from e2e.stage import (
    JPG,
    PATIENCE,
    VERSION,
    HeldImages,
    Machine,
    fingerprint,
    image_requests,
    wait_until,
)

from cxrsync.demo.server.server import MiniPhysioNet

P10 = ("--jpg", "--shard", "p10")
READER = 65534
GROUP = "games"


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user may enter: pytest's own are root's alone."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def machine_at(place: Path, server: MiniPhysioNet) -> Machine:
    home = place / "home"
    home.mkdir(mode=0o755)
    authority = Path(shutil.copy(server.ca_file, place / "ca.pem"))
    authority.chmod(0o644)
    return Machine(home, place / "mirror", server.base_url, authority)


def test_a_group_reads_while_a_pull_runs(
    place: Path, serve: Callable[..., MiniPhysioNet], jpg: Path
) -> None:
    try:
        gid = grp.getgrnam(GROUP).gr_gid
    except KeyError:
        pytest.skip(f"this machine has no group {GROUP}")
    if os.geteuid():
        pytest.skip("only root can be another user")
    machine = machine_at(place, serve(faults=(held := HeldImages(jpg))))
    shared = ("--permissions", f"files=0440,folders=2750,group={GROUP}")
    tables = machine.pull("--jpg", "--metadata-only", *shared)
    assert tables.code == 0, tables.err
    process = machine.start("pull", "--json", "--progress", "none", *P10, *shared)
    images = machine.dest / JPG / VERSION / "files/p10"
    wait_until(lambda: any(images.glob("*/*/*.jpg")))
    process.send_signal(signal.SIGSTOP)
    try:
        # The signal is only on its way.
        state = Path(f"/proc/{process.pid}/stat")
        wait_until(lambda: state.read_text().rpartition(")")[2].split()[0] == "T")
        held.go_on()
        with as_user(READER, READER, gid):
            listed = machine.run("ls", *P10, "--only", "images")
            every = machine.run("index", *P10)
            present = machine.run("index", *P10, "--present")
            status = machine.run("status", *P10, "--json")
            verified = machine.run("verify", *P10, "--json")
            for done in (listed, every, present, status):
                assert done.code == 0, done.err
            assert verified.code == 5, verified.err  # what has not arrived yet is missing
            with pytest.raises(PermissionError):
                (machine.dest / "x").touch()
    finally:
        process.send_signal(signal.SIGCONT)
    paths = [line.split(",")[0] for line in every.out.splitlines()[1:]]
    assert paths == listed.out.split()
    here = [line.split(",")[0] for line in present.out.splitlines()[1:]]
    assert set(here) < set(paths)
    told = json.loads(status.out)
    assert told["partitions"]["p10"]["selected"] == len(paths)
    assert 0 < len(here) < verified.summary["files"]["good"]  # with the tables
    assert verified.summary["files"]["missing"] == len(paths) - len(here)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0


# ── trees that were moved ──────────────────────────────────────────────────────────────────────


def times_of_exfat(path: Path) -> None:
    """exFAT keeps times to 2 s."""
    found = path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns // 2_000_000_000 * 2_000_000_000))


def times_of_now(path: Path) -> None:
    os.utime(path)


def as_it_is(path: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("times", "keeps_states", "hashed"),
    [
        (as_it_is, True, False),  # rsync -a, tar
        (times_of_exfat, True, False),
        (times_of_now, True, True),  # cp -r, rsync without -t, Globus
        (as_it_is, False, True),  # without hidden folders
    ],
)
def test_a_moved_tree_is_proven_again_and_never_fetched(
    machine: Machine,
    server: MiniPhysioNet,
    times: Callable[[Path], None],
    keeps_states: bool,
    hashed: bool,
) -> None:
    assert machine.pull(*P10).code == 0
    before = fingerprint(machine.dest / JPG / VERSION)
    elsewhere = machine.home / "disk"
    shutil.move(machine.dest, elsewhere)
    root = elsewhere / JPG / VERSION
    if not keeps_states:
        shutil.rmtree(root / ".cxrsync")
    for path in sorted(root.rglob("*")):
        if path.is_file():
            times(path)
    moved = Machine(machine.home, elsewhere, machine.base_url, machine.ca_file)
    server.request_log.reset()

    assert moved.run("verify", *P10).code == 0
    indexed = moved.run("index", *P10).out.splitlines()[1:]
    assert all(line.endswith(",") is hashed for line in indexed)  # the last proof is of this file
    done = moved.pull(*P10)

    assert done.code == 0, done.err
    assert image_requests(server) == 0
    assert done.summary["files"]["fetched"] == 0
    images = len(indexed)
    assert (done.summary["files"]["adopted"] >= images) is hashed
    assert {path: digest for path, (digest, _) in fingerprint(root).items()} == {
        path: digest for path, (digest, _) in before.items()
    }
    again = moved.run("index", *P10).out.splitlines()[1:]
    assert not any(line.endswith(",") for line in again)


def test_nothing_in_the_tree_names_its_place(machine: Machine) -> None:
    assert machine.pull(*P10).code == 0
    places = {str(machine.dest).encode(), str(machine.home).encode()}
    for path in machine.dest.rglob("*"):
        if path.is_file() and ".cxrsync" in path.parts and "runs" not in path.parts:
            data = path.read_bytes()
            assert not any(place in data for place in places), path


# ── other owners ───────────────────────────────────────────────────────────────────────────────


def test_a_tree_that_belongs_to_another_user_now(place: Path, server: MiniPhysioNet) -> None:
    """As after a restore by an administrator: the words name the folder and what to do."""
    machine = machine_at(place, server)
    assert machine.pull(*P10).code == 0
    machine.home.chmod(0o711)
    with as_user(READER, READER):
        for command in ("status", "verify", "index", "ls", "pull"):
            ended = machine.run(command, *P10)
            assert ended.code == 7, (command, ended.err)
            assert str(machine.dest) in ended.err
            assert "Traceback" not in ended.err
            assert len(ended.err.splitlines()) >= 2, ended.err
    for path in (machine.dest, *machine.dest.rglob("*")):
        os.chown(path, READER, READER)
    with as_user(READER, READER):
        assert machine.run("verify", *P10).code == 0
        assert machine.pull(*P10).summary["files"]["fetched"] == 0
