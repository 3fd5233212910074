"""Killed, interrupted, its state destroyed: it goes on, and nothing is fetched twice."""

import os
import random
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from e2e.stage import (
    JPG,
    PATIENCE,
    VERSION,
    HeldImages,
    Machine,
    fingerprint,
    image_bytes_sent,
    sha256sum,
)

from cxrsync.demo.server.server import MiniPhysioNet

SHARD = ("--jpg", "--shard", "p10")


@pytest.fixture
def held(jpg: Path) -> Iterator[HeldImages]:
    images = HeldImages(jpg)
    yield images
    images.go_on()  # else a test that failed would have its server wait


@pytest.fixture
def slow(serve: Callable[..., MiniPhysioNet], held: HeldImages) -> MiniPhysioNet:
    return serve(faults=held)


@pytest.fixture
def shared_machine(
    shared_server: MiniPhysioNet, make_machine: Callable[[MiniPhysioNet], Machine]
) -> Machine:
    return make_machine(shared_server)


def size_of_images(jpg: Path) -> int:
    return sum(path.stat().st_size for path in (jpg / "files/p10").rglob("*.jpg"))


def half_sent(server: MiniPhysioNet, machine: Machine, jpg: Path) -> Callable[[], bool]:
    """And some of it has arrived: it has its final name."""
    half, here = size_of_images(jpg) / 2, machine.dest / JPG / VERSION / "files/p10"
    return lambda: image_bytes_sent(server) > half and any(here.rglob("*.jpg"))


def test_killed_half_way(
    slow: MiniPhysioNet,
    held: HeldImages,
    make_machine: Callable[[MiniPhysioNet], Machine],
    jpg: Path,
) -> None:
    machine = make_machine(slow)
    killed = machine.interrupt(half_sent(slow, machine, jpg), signal.SIGKILL, *SHARD)
    assert killed.code == -signal.SIGKILL
    root = machine.dest / JPG / VERSION
    assert sha256sum(root, "--ignore-missing").returncode == 0
    held.go_on()

    done = machine.pull(*SHARD)

    assert done.code == 0, done.err
    assert fingerprint(root, below="files/") == fingerprint(jpg, below="files/p10/")
    # Sent again is at most what each connection had in hand when the client, which may have been
    # slow to read, was killed.
    largest = max(path.stat().st_size for path in (jpg / "files/p10").rglob("*.jpg"))
    assert (
        image_bytes_sent(slow) <= size_of_images(jpg) + done.event("start")["connections"] * largest
    )
    assert not list((root / ".cxrsync/p10/partial").iterdir())


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143), (signal.SIGUSR1, 143)],
    ids=["INT", "TERM", "HUP", "USR1"],
)
def test_a_signal_stops_it_in_good_order(
    slow: MiniPhysioNet,
    held: HeldImages,
    make_machine: Callable[[MiniPhysioNet], Machine],
    jpg: Path,
    number: signal.Signals,
    code: int,
) -> None:
    machine = make_machine(slow)
    stopped = machine.interrupt(half_sent(slow, machine, jpg), number, *SHARD)

    assert stopped.code == code
    assert stopped.summary["exit_code"] == code
    assert "run the same command again" in stopped.err.lower()
    held.go_on()
    sent = image_bytes_sent(slow)
    done = machine.pull(*SHARD)
    assert done.code == 0
    # What had been published is taken from the state; nothing is hashed again.
    assert done.event("plan")["to_hash"] == 0
    assert done.event("plan")["present"] == stopped.summary["files"]["fetched"] > 0
    # Every byte that arrived is kept; what was on its way in the sockets may be lost.
    assert image_bytes_sent(slow) - sent < size_of_images(jpg) - sent + 8 * (64 << 10)


def test_the_second_interrupt_stops_at_once(
    slow: MiniPhysioNet, make_machine: Callable[[MiniPhysioNet], Machine]
) -> None:
    machine = make_machine(slow)
    process = machine.start("pull", *SHARD)
    assert process.stderr is not None
    for line in process.stderr:
        if "to fetch" in line:
            break
    process.send_signal(signal.SIGINT)
    for line in process.stderr:
        if "repeat the signal to stop at once" in line:
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 130


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 + 100])


def _garbage(path: Path) -> None:
    path.write_bytes(random.Random(7).randbytes(path.stat().st_size))


@pytest.mark.parametrize("damage", [Path.unlink, _truncate, _garbage])
def test_a_damaged_state_is_rebuilt_and_nothing_is_fetched_again(
    machine: Machine, server: MiniPhysioNet, damage: Callable[[Path], None]
) -> None:
    assert machine.pull(*SHARD).code == 0
    state = machine.dest / JPG / VERSION / ".cxrsync/p10/state.sqlite3"
    before = fingerprint(machine.dest)
    damage(state)
    server.request_log.reset()

    again = machine.pull(*SHARD)

    assert again.code == 0, again.err
    assert image_bytes_sent(server) == 0
    assert again.event("plan")["to_hash"] > 0
    assert fingerprint(machine.dest) == before
    if damage is not Path.unlink:
        assert any("it is kept as" in event.get("text", "") for event in again.events)
        assert list(state.parent.glob("state.sqlite3.damaged-*"))
    assert machine.pull(*SHARD).event("plan")["to_hash"] == 0


@pytest.mark.parametrize(
    "words",
    [
        ("pull", *SHARD),
        ("pull", *SHARD, "--dry-run"),
        ("verify", "--jpg"),
        ("verify", *SHARD, "--repair"),
        ("status", "--jpg", "--json"),
        ("status", "--jpg", "--all"),
    ],
    ids=" ".join,
)
def test_a_state_of_a_later_version_is_left_alone(
    shared_machine: Machine, shared_server: MiniPhysioNet, words: tuple[str, ...]
) -> None:
    assert shared_machine.pull(*SHARD).code == 0
    state = shared_machine.dest / JPG / VERSION / ".cxrsync/p10/state.sqlite3"
    with closing(sqlite3.connect(state)) as db:
        db.execute("PRAGMA user_version = 99")
    before = {path.name: path.read_bytes() for path in state.parent.iterdir() if path.is_file()}
    shared_server.request_log.reset()

    told = shared_machine.run(*words)

    assert told.code == 2, told.err
    assert "written by a later cxrsync (state format 99" in told.err
    assert "Install that version or a later one" in told.err
    after = {path.name: path.read_bytes() for path in state.parent.iterdir() if path.is_file()}
    assert after == before
    assert image_bytes_sent(shared_server) == 0


def test_a_file_that_rotted_is_found_and_repaired(machine: Machine, jpg: Path) -> None:
    assert machine.pull(*SHARD).code == 0
    root = machine.dest / JPG / VERSION
    victim, lost = sorted((root / "files").rglob("*.jpg"))[:2]
    stamp = victim.stat().st_mtime
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    os.utime(victim, (stamp, stamp))  # as bits rot: size and time stay
    lost.unlink()

    found = machine.run("verify", "--jpg", "--json")
    assert found.code == 6
    assert found.summary["files"] | {"bad": 1, "missing": 1} == found.summary["files"]

    assert machine.run("verify", "--jpg", "--repair").code == 0
    assert fingerprint(root, below="files/") == fingerprint(jpg, below="files/p10/")
    assert machine.run("verify", "--jpg").code == 0


def test_a_state_that_cannot_be_read_narrows_no_verification(machine: Machine) -> None:
    """Without it less would be judged than was pulled, and called right."""
    assert machine.pull("--jpg", "--shard", "p10").code == 0
    assert machine.pull("--jpg", "--shard", "p11").code == 0
    root = machine.dest / JPG / VERSION
    next(root.glob("files/p11/*/*/*.jpg")).unlink()
    assert machine.run("verify", "--jpg").code == 5
    (root / ".cxrsync/p11/state.sqlite3").write_bytes(b"garbage" * 1000)
    for command in ("verify", "status"):
        ended = machine.run(command, "--jpg")
        assert ended.code == 2
        assert "the state of p11, which records what was pulled, cannot be read" in ended.err
    assert machine.run("verify", "--jpg", "--shard", "p11").code == 5
