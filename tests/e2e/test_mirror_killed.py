"""A mirror that is killed in its deletion or in its scrub: nothing is lost, and no proof is claimed
that was not made. The next night is right."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e.killed import run_killed
from e2e.stage import JPG, VERSION, Ended, Machine
from e2e.test_delete import Publisher, in_trash
from e2e.test_mirror_scrub import rot, trashed
from e2e.test_scrub import make_older, records

from cxrsync.demo.server.server import MiniPhysioNet

JOBS = f"""
defaults:
  dest: ${{CXRSYNC_DEST}}
  base_url: ${{CXRSYNC_BASE_URL}}
  ca_file: ${{CXRSYNC_CA_FILE}}
jobs:
  - jpg: true
    dataset_version: "{VERSION}"
    delete: true
    max_delete: 10
    scrub: 30d
"""
MOVE = "cxrsync.storage.trash:Trash.move"
DELETIONS = (
    # It is known what is to go; then each step of going.
    ("before", 1, "cxrsync.sync.delete:sha256_file"),
    ("before", 1, MOVE),
    ("before", 2, MOVE),
    ("after", 1, MOVE),
)
SCRUBS = (
    ("before", 3, "cxrsync.sync.scrub:sha256_file"),
    ("before", 1, "cxrsync.storage.state_db:State.record"),
    ("after", 1, "cxrsync.storage.state_db:State.record"),
    ("before", 1, MOVE),
    ("after", 1, MOVE),
)


@pytest.fixture
def publisher(own_files: Path) -> Publisher:
    return Publisher(own_files / JPG / VERSION)


@pytest.fixture
def machine(
    publisher: Publisher,
    own_files: Path,
    serve: Callable[..., MiniPhysioNet],
    make_machine: Callable[[MiniPhysioNet], Machine],
) -> Machine:
    assert publisher.images
    machine = make_machine(serve(own_files))
    (machine.home / "jobs.yaml").write_text(JOBS)
    assert machine.run("mirror", "--init", jobs(machine)).code == 0
    assert machine.run("mirror", jobs(machine)) == Ended(0, "", "")
    return machine


@pytest.fixture
def root(machine: Machine) -> Path:
    return machine.dest / JPG / VERSION


def jobs(machine: Machine) -> str:
    return str(machine.home / "jobs.yaml")


def contents(paths: list[Path]) -> set[str]:
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.is_file()}


def test_killed_in_a_deletion_again_and_again(
    machine: Machine, publisher: Publisher, root: Path
) -> None:
    gone = publisher.images[:5]
    right = {publisher.manifest()[path] for path in gone}
    publisher.withdraw(*gone)

    for when, number, place in DELETIONS:
        run_killed(machine, when, number, place, "mirror", jobs(machine))
        here = [root / path for path in gone]
        assert contents([*here, *trashed(root)]) == right
        assert all((root / path).is_file() for path in publisher.manifest())

    assert 0 < len(in_trash(machine)) < len(gone)
    assert machine.run("mirror", jobs(machine)) == Ended(0, "", "")
    assert in_trash(machine) == set(gone)
    assert contents(trashed(root)) == right
    assert not any((root / path).exists() for path in gone)
    done = machine.run("verify", "--jpg", "--json")
    assert (done.code, done.summary["files"]["extra"]) == (0, 0)


def test_killed_in_a_scrub_again_and_again(machine: Machine, root: Path) -> None:
    make_older(root, dict.fromkeys(records(root), 25.0))
    before = records(root)
    right = rot(root, 2, age=28.0)

    for when, number, place in SCRUBS:
        run_killed(machine, when, number, place, "mirror", jobs(machine))
        for path, record in records(root).items():
            if record.verified_at > before[path].verified_at:
                found = hashlib.sha256((root / path).read_bytes()).hexdigest()
                assert found == record.sha256, f"no such proof was made: {path}"
        assert len(trashed(root)) + sum(path.exists() for path in right) == len(right)

    assert len(trashed(root)) == 1
    assert machine.run("mirror", jobs(machine)) == Ended(0, "", "")
    assert all(path.read_bytes() == content for path, content in right.items())
    assert [path.read_bytes()[:3] for path in trashed(root)] == [b"rot", b"rot"]
    assert machine.run("verify", "--jpg").code == 0
