"""`--from` a mirror with holes and rot, then the server; and mirrors that cannot be copied from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from e2e.stage import JPG, VERSION, Machine, fingerprint, image_requests

from cxrsync.demo.server.server import MiniPhysioNet

IMAGES = ("--jpg", "--only", "images")


@pytest.fixture
def mirror(files_root: Path, tmp_path: Path) -> Path:
    root = tmp_path / "colleague" / JPG / VERSION
    shutil.copytree(files_root / JPG / VERSION, root)
    return root


def state_of(root: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Inode, mtime, change time and bytes of every file of a mirror."""
    return {
        str(path): (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, path.read_bytes())
        for path in sorted(root.rglob("*"))
        if path.is_file() and (found := path.stat())
    }


def test_only_what_is_missing_or_rotten_comes_from_the_server(
    machine: Machine, server: MiniPhysioNet, mirror: Path, files_root: Path
) -> None:
    images = sorted(mirror.glob("files/*/*/*/*.jpg"))
    missing, rotten = images[::20], images[7::100]
    for path in missing:
        path.unlink()
    for path in rotten:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        path.write_bytes(data)
    before = state_of(mirror)

    done = machine.pull(*IMAGES, "--from", str(mirror), "--from", "physionet")

    assert done.code == 0, done.err
    whole = files_root / JPG / VERSION
    root = machine.dest / JPG / VERSION
    assert fingerprint(root, below="files/") == fingerprint(whole, below="files/")
    asked = {
        path.partition(f"{JPG}/{VERSION}/")[2]
        for path, counts in server.request_log.snapshot().by_path.items()
        if "/files/p1" in path and counts.requests
    }
    assert asked == {str(path.relative_to(mirror)) for path in [*missing, *rotten]}
    assert image_requests(server) == len(asked) + 1  # the sign-in begins with a 401
    assert state_of(mirror) == before


@pytest.mark.parametrize("how", ["folder", "root", "link"])
def test_from_the_same_tree(machine: Machine, mirror: Path, how: str) -> None:
    """What is wrong in it would be moved away before it could be copied from itself."""
    machine.dest = mirror.parent.parent
    rotten = min(mirror.glob("files/*/*/*/*.jpg"))
    rotten.write_bytes(rotten.read_bytes() + b"x")
    link = machine.home / "link"
    link.symlink_to(machine.dest)
    source = {"folder": machine.dest, "root": mirror, "link": link}[how]
    before = state_of(mirror)
    done = machine.run("pull", *IMAGES, "--from", str(source))
    assert done.code == 2
    assert f"--from {source} is the tree that would be filled: {mirror}" in done.err
    assert "cxrsync verify" in done.err
    assert state_of(mirror) == before


def test_from_a_tree_that_holds_the_destination(machine: Machine, mirror: Path) -> None:
    for below in ("new", "files/p10", ".cxrsync"):
        machine.dest = mirror / below
        done = machine.run("pull", *IMAGES, "--from", str(mirror))
        assert done.code == 2
        assert f"Say --dest {mirror}" in done.err
    assert not (mirror / "new").exists()


def test_a_mirror_that_changes_under_the_copy(machine: Machine, mirror: Path) -> None:
    """A file that its owner is writing fails, and the next run has it."""
    path = max(mirror.glob("files/p10/*/*/*.jpg"))
    right = path.read_bytes()
    path.write_bytes(right[: len(right) // 2])  # as rsync --inplace would show it
    done = machine.pull(*IMAGES, "--from", str(mirror))
    assert (done.code, done.summary["files"]["failed"] + done.summary["files"]["mismatched"]) in {
        (5, 1), (6, 1),
    }  # fmt: skip
    assert not (machine.dest / JPG / VERSION / path.relative_to(mirror)).exists()
    path.write_bytes(right)
    assert machine.pull(*IMAGES, "--from", str(mirror)).code == 0
    assert (machine.dest / JPG / VERSION / path.relative_to(mirror)).read_bytes() == right
