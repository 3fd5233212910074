"""One large file over several connections, killed and resumed segment by segment."""

import hashlib
import signal
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from e2e.linked_copy import rewrite
from e2e.stage import Machine, fingerprint, wait_until

from cxrsync.demo.data.tree import MARKER
from cxrsync.demo.server import faults
from cxrsync.demo.server.server import MiniPhysioNet

RATE = 1 << 20
# A quarter can be taken from it three times, though it has begun to arrive; and none is shared.
SIZE = 10 << 20


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A dataset of one large file."""
    root = tmp_path / "large"
    version = root / "big" / "1.0"
    version.mkdir(parents=True)
    (root / MARKER).touch()
    data = hashlib.shake_128(b"large").digest(SIZE)
    (version / "scan.bin").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    (version / "SHA256SUMS.txt").write_text(f"{digest} scan.bin\n")
    return root


BIG = ("--dataset", "big", "--dataset-version", "1.0")


def ranges_of(server: MiniPhysioNet) -> list[str | None]:
    return [
        each.range for each in server.request_log.snapshot().log if each.path.endswith("scan.bin")
    ]


def start_of(wanted: str | None) -> int:
    return int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0


def endless(at: int) -> faults.Script:
    """No answer comes to its end: after so many bytes it drips."""
    return faults.script(faults.Rule("*/scan.bin", faults.drips(at, 50), attempts=None))


def bytes_here(machine: Machine) -> int:
    """How much of the file has been written, in whichever places."""
    partials = (machine.dest / "big/1.0/.cxrsync/root/partial").glob("*")
    files = [path for path in partials if ".json" not in path.name]
    return max((path.stat().st_blocks * 512 for path in files), default=0)


def test_idle_connections_share_a_large_file(
    serve: Callable[..., MiniPhysioNet],
    make_machine: Callable[[MiniPhysioNet], Machine],
    large: Path,
) -> None:
    def wait_for_four() -> None:
        wait_until(lambda: len(ranges_of(server)) >= 4)

    first_bytes = faults.Rule("*/scan.bin", faults.does(64 << 10, wait_for_four), attempts=None)
    server = serve(large, faults=faults.script(first_bytes), open_datasets=frozenset({"big"}))
    machine = make_machine(server)

    done = machine.pull(*BIG, "--connections", "4")

    assert done.code == 0, done.err
    # One stream and three ends of it, no more: every request is for bytes nobody else has.
    assert len(ranges_of(server)) == 4
    assert fingerprint(machine.dest / "big/1.0") == fingerprint(large / "big/1.0")
    # No connection had more than half of it; four quarters would be the best.
    starts = sorted(start_of(each) for each in ranges_of(server))
    shares = [end - start for start, end in pairwise([*starts, SIZE])]
    assert max(shares) < 0.6 * SIZE
    assert server.request_log.snapshot().peak_connections == 4


def test_a_kill_in_the_middle_costs_little(
    serve: Callable[..., MiniPhysioNet],
    make_machine: Callable[[MiniPhysioNet], Machine],
    large: Path,
) -> None:
    server = serve(large, rate=RATE, open_datasets=frozenset({"big"}))
    machine = make_machine(server)
    for share in (0.3, 0.6):
        killed = machine.interrupt(
            lambda share=share: server.request_log.snapshot().bytes_sent > share * SIZE,  # type: ignore[misc]
            signal.SIGKILL,
            *BIG, "--connections", "4",
        )  # fmt: skip
        assert killed.code == -signal.SIGKILL
    server.set_behaviour(rate=None)

    done = machine.pull(*BIG, "--connections", "4")

    assert done.code == 0, done.err
    assert done.summary["bytes"]["resumed"] > 0.2 * SIZE
    # What each of four connections had in hand at each of two kills, and in the sockets.
    assert server.request_log.snapshot().bytes_sent < SIZE + 2 * 4 * (1 << 20)
    assert fingerprint(machine.dest / "big/1.0") == fingerprint(large / "big/1.0")


def test_a_file_that_changed_between_two_runs_is_started_over(
    serve: Callable[..., MiniPhysioNet],
    make_machine: Callable[[MiniPhysioNet], Machine],
    large: Path,
) -> None:
    server = serve(large, faults=endless(1 << 20), open_datasets=frozenset({"big"}))
    machine = make_machine(server)
    machine.interrupt(lambda: bytes_here(machine) > SIZE / 4, signal.SIGKILL, *BIG)
    # Another object under the same name, published with the digest that is in the manifest:
    # the old bytes were of a copy that was replaced.
    scan = large / "big/1.0/scan.bin"
    right = scan.read_bytes()
    [partial] = [
        path
        for path in (machine.dest / "big/1.0/.cxrsync/root/partial").iterdir()
        if not path.name.endswith(".json")
    ]
    partial.write_bytes(b"\0" * partial.stat().st_size)
    scan.write_bytes(right)  # a new mtime: a new ETag
    server.set_behaviour(faults=None)

    done = machine.pull(*BIG)

    assert done.code == 0, done.err
    assert done.summary["bytes"]["resumed"] == 0
    assert (machine.dest / "big/1.0/scan.bin").read_bytes() == right


def test_a_published_checksum_that_is_wrong(
    serve: Callable[..., MiniPhysioNet],
    make_machine: Callable[[MiniPhysioNet], Machine],
    own_files: Path,
) -> None:
    """The same wrong bytes twice are the publisher's: set aside, told, not looped on."""
    jpg = own_files / "mimic-cxr-jpg/2.1.0"
    victim = min((jpg / "files/p10").rglob("*.jpg"))
    data = bytearray(victim.read_bytes())
    data[-1] ^= 1
    rewrite(victim, data)
    server = serve(own_files)
    machine = make_machine(server)

    done = machine.pull("--jpg", "--shard", "p10")

    assert done.code == 6
    assert done.summary["files"]["mismatched"] == 1
    name = str(victim.relative_to(own_files))
    assert server.request_log.snapshot().by_path[name].requests == 2
    here = machine.dest / "mimic-cxr-jpg/2.1.0"
    assert not (here / victim.relative_to(jpg)).exists()
    assert any(path.name == victim.name for path in (here / ".cxrsync/trash").rglob("*.jpg"))
    # Known by now: one more look is enough.
    server.request_log.reset()
    assert machine.pull("--jpg", "--shard", "p10").code == 6
    assert server.request_log.snapshot().by_path[name].requests == 1
