"""``verify --scrub``: the share of the night, its proofs, and the repair of rotten files."""

import asyncio
import os
import time
from pathlib import Path

import pytest
from e2e.stage import JPG, VERSION, Machine, files_below

from cxrsync.cancellation import CancelToken
from cxrsync.config.parse_job import make_job
from cxrsync.dataset.version import find_target
from cxrsync.model import FileRecord, partition_of
from cxrsync.operations.expected_files import expectation
from cxrsync.operations.scrub import Scrubbing, scrub
from cxrsync.plan import refetch
from cxrsync.storage.lock import Lock
from cxrsync.storage.state_db import State
from cxrsync.storage.tree import Tree

NIGHT = 86_400


def records(root: Path) -> dict[str, FileRecord]:
    tree, found = Tree(root), {}
    for name in ("p10", "p11", "root"):
        state = State.read(tree.partition(name))
        if state is not None:
            with state:
                found |= {record.path: record for record in state.records()}
    return found


def make_older(root: Path, nights: dict[str, float]) -> None:
    """Let the proofs of these files be so many nights old."""
    tree, known = Tree(root), records(root)
    for path, age in nights.items():
        state, _aside = State.open(tree.partition(partition_of(path)), "test")
        with state:
            at = time.time() - age * NIGHT
            state.record([known[path]._replace(verified_at=at)], at=at)


@pytest.fixture
def root(machine: Machine) -> Path:
    assert machine.pull("--jpg", "--shard", "p10-p11").code == 0
    return machine.dest / JPG / VERSION


def test_a_fresh_tree_has_nothing_due(machine: Machine, root: Path) -> None:
    before = records(root)
    done = machine.run("verify", "--jpg", "--scrub", "30d", "--json")
    assert done.code == 0, done.err
    files = done.summary["files"]
    assert (files["due"], files["good"], files["total"]) == (0, 0, len(list(files_below(root))) - 1)
    assert done.summary["oldest_age"] < 600
    assert records(root) == before


def test_the_oldest_proofs_are_renewed(machine: Machine, root: Path) -> None:
    old = sorted(path for path in records(root) if path.startswith("files/"))[::7]
    make_older(root, dict.fromkeys(old, 28.0))
    before = records(root)

    done = machine.run("verify", "--jpg", "--scrub", "30d", "--json")

    assert done.code == 0, done.err
    after = records(root)
    renewed = {path for path in after if after[path].verified_at > before[path].verified_at}
    assert renewed
    assert renewed <= set(old)
    assert done.summary["files"]["good"] == len(renewed) == done.summary["files"]["due"]
    assert {path: record._replace(verified_at=0.0) for path, record in after.items()} == {
        path: record._replace(verified_at=0.0) for path, record in before.items()
    }


def test_a_rotten_file_goes_to_the_trash_and_is_fetched_again(machine: Machine, root: Path) -> None:
    path = min(path for path in records(root) if path.endswith(".jpg"))
    file = root / path
    right, found = file.read_bytes(), file.stat()
    make_older(root, {path: 28.0})
    file.write_bytes(b"rot" + right[3:])
    os.utime(file, ns=(found.st_mtime_ns, found.st_mtime_ns))

    assert machine.pull("--jpg", "--shard", "p10-p11").summary["files"]["fetched"] == 0
    seen = machine.run("verify", "--jpg", "--scrub", "30d")
    assert seen.code == 6
    assert f"bad: {path}" in seen.err
    assert "--repair" in seen.err
    assert file.read_bytes() != right

    done = machine.run("verify", "--jpg", "--scrub", "30d", "--repair", "--json")

    assert done.code == 0, done.err
    assert file.read_bytes() == right
    [kept] = root.glob(f".cxrsync/trash/*/{path}")
    assert kept.read_bytes()[:3] == b"rot"
    assert machine.run("verify", "--jpg", "--scrub", "30d", "--json").summary["files"]["due"] == 0


def test_a_missing_file_is_reported_and_fetched_again(machine: Machine, root: Path) -> None:
    path = min(path for path in records(root) if path.endswith(".jpg"))
    make_older(root, {path: 40.0})
    (root / path).unlink()
    assert machine.run("verify", "--jpg", "--scrub", "30d").code == 5
    assert machine.run("verify", "--jpg", "--scrub", "30d", "--repair").code == 0
    assert (root / path).exists()


def test_a_limit_on_time_ends_it_and_the_next_run_goes_on(machine: Machine, root: Path) -> None:
    make_older(root, dict.fromkeys(records(root), 28.0))
    words = ("verify", "--jpg", "--scrub", "30d", "--json")
    stopped = machine.run(*words, "--max-duration", "0")
    assert stopped.code == 9, stopped.err
    seen = 0
    for _ in range(10):
        seen += machine.run(*words).summary["files"]["good"]
    assert seen == len(records(root))
    assert all(record.verified_at > time.time() - NIGHT for record in records(root).values())


def test_a_partition_that_another_run_has_locked_is_left_out(machine: Machine, root: Path) -> None:
    make_older(root, dict.fromkeys(records(root), 28.0))
    lock = Lock(root / ".cxrsync/p10", describe="shard p10", on_loss=lambda _lost: None)
    assert lock.try_acquire() is None
    try:
        done = machine.run("verify", "--jpg", "--scrub", "1d", "--json")
    finally:
        lock.release()
    assert done.code == 8
    fresh = {partition_of(p) for p, r in records(root).items() if r.verified_at > time.time() - 99}
    assert fresh == {"p11", "root"}


def test_a_season_of_nights(machine: Machine, root: Path) -> None:
    """Two nights are missed; one file rots. The clock is a parameter."""
    job = make_job({"jpg": True, "dest": machine.dest})
    paths = sorted(records(root))

    def scrub_at(at: float) -> Scrubbing:
        with expectation(find_target(job, lambda _event: None), job, everything=False) as expected:
            return asyncio.run(
                scrub(expected, job, 30 * NIGHT, lambda _event: None, CancelToken(), now=lambda: at)
            )

    began = time.time()
    hashed = []
    rotten = paths[len(paths) // 2]
    for night in range(1, 46):
        if night in {20, 21}:
            continue
        at = began + night * NIGHT
        assert at - min(record.verified_at for record in records(root).values()) < 30 * NIGHT
        if night == 10:
            (root / rotten).write_bytes(b"rot")
        done = scrub_at(at)
        hashed.append(done.due.bytes)
        if done.found.bad:
            assert done.found.bad == [rotten]
            break
    assert done.found.bad
    assert done.exit_code == 6
    assert max(hashed) < sum(record.size for record in records(root).values()) / 2


def test_a_window_that_is_closed_ends_it(machine: Machine, root: Path) -> None:
    make_older(root, dict.fromkeys(records(root), 28.0))
    hour = (time.localtime().tm_hour + 12) % 24
    window = f"{hour:02}:00-{hour:02}:30"
    done = machine.run("verify", "--jpg", "--scrub", "30d", "--json", "--window", window)
    assert done.code == 9, done.err
    assert done.summary["files"]["good"] == 0


def test_a_scrub_at_night_does_not_fetch_a_purged_disk_again(
    machine: Machine, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever runs verify --repair asks for every file; a scrub from cron asks for a few."""
    monkeypatch.setattr(refetch, "MIN_REFETCHED", 0)
    make_older(root, dict.fromkeys(records(root), 28.0))
    for path in root.glob("files/**/*.jpg"):
        path.unlink()
    assert machine.run("verify", "--jpg", "--scrub", "1d", "--repair").code == 11
    assert machine.run("verify", "--jpg", "--repair").code == 0
