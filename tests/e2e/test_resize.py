"""`resize`: smaller copies beside the verified tree, resumed after a kill, never a dataset."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from e2e.stage import JPG, VERSION, Machine, fingerprint, sha256sum, wait_until
from PIL import Image

from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.storage import derived_image
from cxrsync.storage.derived_image import Derivation, Task, derive, resized
from cxrsync.storage.derived_tree import DerivedTree

P10 = ("--jpg", "--shard", "p10")
SMALL = ("--pixels", "32")


@pytest.fixture
def pulled(machine: Machine) -> Machine:
    assert machine.pull(*P10).code == 0
    return machine


def original(machine: Machine) -> Path:
    return machine.dest / JPG / VERSION


def copies(machine: Machine) -> Path:
    return machine.dest / f"{JPG}-32" / VERSION


def images(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.glob("files/*/*/*/*.jpg"))


def test_copies(pulled: Machine, server: MiniPhysioNet) -> None:
    before = fingerprint(original(pulled))
    requests = server.request_log.snapshot().requests

    done = pulled.run("resize", *SMALL)

    assert done.code == 0, done.err
    root = copies(pulled)
    assert images(root) == images(original(pulled))
    for path in images(root):
        with Image.open(root / path) as image:
            assert (image.size, image.mode, image.format) == ((32, 32), "L", "JPEG")
    assert sha256sum(root, "--strict").returncode == 0
    listed = [line.split()[1] for line in (root / "SHA256SUMS.txt").read_text().splitlines()]
    assert listed == images(root)
    for line in (root / "SOURCE_SHA256SUMS.txt").read_text().splitlines():
        digest, path = line.split()
        assert hashlib.sha256((original(pulled) / path).read_bytes()).hexdigest() == digest
    told = json.loads((root / "DERIVED.json").read_text())
    assert (told["dataset"], told["version"], told["pixels_of_shorter_side"]) == (JPG, VERSION, 32)
    assert "same data use agreement" in told["agreement"]
    for path in (root, *root.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path
    assert fingerprint(original(pulled)) == before
    assert server.request_log.snapshot().requests == requests

    inodes = {path: (root / path).stat().st_ino for path in images(root)}
    (root / images(root)[0]).unlink()
    again = json.loads(pulled.run("resize", *SMALL, "--json").out)
    assert again["files"] == {
        "derived": 1, "present": len(inodes) - 1, "missing": 0, "failed": 0,
    }  # fmt: skip
    assert all((root / path).stat().st_ino == inodes[path] for path in images(root)[1:])
    assert sha256sum(root).returncode == 0
    # The second tree is nobody's: what is said of all trees speaks of one.
    assert pulled.run("status", "--json").out.count('"dataset"') == 1
    assert pulled.run("verify").code == 0


@pytest.mark.parametrize("command", ["pull", "verify", "status", "ls", "index", "resize"])
@pytest.mark.parametrize("below", ["", "files", "files/p10"])
def test_a_derived_tree_is_no_dataset(machine: Machine, command: str, below: str) -> None:
    root = copies(machine)
    (root / "files/p10").mkdir(parents=True)
    (root / "DERIVED.json").write_text("{}")
    (root / "SHA256SUMS.txt").write_text(f"{'0' * 64}  files/p10/p1/s1/x.jpg\n")
    machine.dest = root / below
    done = machine.run(command, "--jpg")
    assert done.code == 2
    assert "is a tree of smaller copies" in done.err
    assert not list(root.rglob(".cxrsync"))


def test_images_that_cannot_be_scaled(pulled: Machine) -> None:
    """One is rotten, one is gone; and one has the published digest, but no decoder opens it."""
    root = original(pulled)
    rotten, gone, *_ = images(root)
    data = (root / rotten).read_bytes()
    (root / rotten).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    (root / gone).unlink()
    done = pulled.run("resize", *SMALL)
    assert done.code == 6
    assert f"{rotten}: the original does not have the published digest" in done.err
    assert "1 original is missing" in done.err
    assert (root / rotten).exists()
    assert images(copies(pulled)) == images(root)[1:]


@pytest.mark.parametrize("data", [b"", b"no image", b"\xff\xd8\xff\xe0" + b"x" * 99])
def test_an_image_that_no_decoder_opens(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "x.jpg"
    file.write_bytes(data)
    digest, copy = hashlib.sha256(data).hexdigest(), str(tmp_path / "c/x.jpg")
    task = Task("x.jpg", digest, str(file), copy, str(tmp_path), 32)
    assert derive(task).result is Derivation.NOT_DECODED
    assert [path.name for path in tmp_path.rglob("*")] == ["x.jpg"]


def test_a_copy_is_proven_from_the_disk(tmp_path: Path) -> None:
    """One that is there and right is not made again; one with other bytes is."""
    Image.linear_gradient("L").save(tmp_path / "x.jpg")
    data = (tmp_path / "x.jpg").read_bytes()
    digest, copy = hashlib.sha256(data).hexdigest(), tmp_path / "c/x.jpg"
    task = Task("x.jpg", digest, str(tmp_path / "x.jpg"), str(copy), str(tmp_path), 32)
    made = derive(task)
    assert hashlib.sha256(copy.read_bytes()).hexdigest() == made.sha256
    again, inode = replace(task, known=made.sha256), copy.stat().st_ino
    assert (derive(again), copy.stat().st_ino) == (made, inode)
    copy.write_bytes(copy.read_bytes()[:-9])
    assert derive(again).sha256 == made.sha256
    assert hashlib.sha256(copy.read_bytes()).hexdigest() == made.sha256
    # What another release began is made on in its way: no pixel differs by more than two levels.
    plain = derive(replace(task, draft=False))
    assert plain.result is Derivation.DERIVED


def test_a_copy_outlasts_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name is synced, and those of its folders, whoever made them; also of a copy that was
    there, which an earlier release, or whoever moved the tree, did not sync."""
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("only Linux tells the name of an open file")
    synced: list[str] = []
    real = os.fsync

    def note(fd: int) -> None:
        synced.append(os.path.relpath(os.readlink(f"/proc/self/fd/{fd}"), tmp_path))
        real(fd)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(derived_image, "_synced", set())
    tree = DerivedTree(tmp_path / "jpg-32/2.1.0")
    tree.describe({"what": "", "tool": "", "filter": ""})
    assert {".", "jpg-32", "jpg-32/2.1.0"} <= set(synced)
    Image.linear_gradient("L").save(tmp_path / "x.jpg")
    digest = hashlib.sha256((tmp_path / "x.jpg").read_bytes()).hexdigest()
    copy = tree.root / "p10/p1/x.jpg"
    copy.parent.mkdir(parents=True)
    task = Task("p10/p1/x.jpg", digest, str(tmp_path / "x.jpg"), str(copy), str(tmp_path), 32)
    names = ["jpg-32/2.1.0/p10/p1", "jpg-32/2.1.0/p10", "jpg-32/2.1.0"]
    synced.clear()
    made = derive(task)
    assert synced[1:] == names
    synced.clear()
    derive(replace(task, known=made.sha256))
    assert synced == ["jpg-32/2.1.0/p10/p1/x.jpg", names[0]]


@pytest.mark.parametrize("change", [{}, {"tool": "cxrsync 0.3.0, Pillow 1"}, {"filter": "Lanczos"}])
def test_a_tree_of_another_release_goes_on(pulled: Machine, change: dict[str, str]) -> None:
    assert pulled.run("resize", *SMALL).code == 0
    description = copies(pulled) / "DERIVED.json"
    description.write_text(json.dumps({**json.loads(description.read_text()), **change}))
    (copies(pulled) / images(copies(pulled))[0]).unlink()
    assert pulled.run("resize", *SMALL).code == 0
    told = json.loads(description.read_text())
    assert told["filter"] == change.get("filter", told["filter"])
    assert told["tool"].startswith(change.get("tool", "cxrsync"))
    assert len(images(copies(pulled))) == len(images(original(pulled)))


@pytest.mark.parametrize(
    ("size", "expected"),
    [((640, 512), (320, 256)), ((512, 2048), (256, 1024)), ((200, 900), (200, 900))],
)
def test_the_shorter_side_is_scaled(
    tmp_path: Path, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    Image.linear_gradient("L").resize(size).save(tmp_path / "x.jpg")
    (tmp_path / "y.jpg").write_bytes(resized((tmp_path / "x.jpg").read_bytes(), 256))
    with Image.open(tmp_path / "y.jpg") as image:
        assert image.size == expected


def test_what_is_in_the_way(pulled: Machine) -> None:
    copies(pulled).mkdir(parents=True)
    (copies(pulled) / "mine").write_text("x")
    done = pulled.run("resize", *SMALL)
    assert done.code == 2
    assert "is not a tree of copies" in done.err
    assert [path.name for path in copies(pulled).iterdir()] == ["mine"]
    shutil.rmtree(copies(pulled))
    assert pulled.run("resize", *SMALL).code == 0
    description = copies(pulled) / "DERIVED.json"
    description.write_text(description.read_text().replace("Lanczos", "Box"))
    assert "made in another way" in pulled.run("resize", *SMALL).err
    assert pulled.run("resize", "--dicom", *SMALL).code == 2


def test_killed_and_resumed(pulled: Machine) -> None:
    """Each image has its copy in the end, and no worker outlives the command for long."""
    root = copies(pulled)
    expected = len(images(original(pulled)))
    for _ in range(2):
        kill_once(pulled)
    done = pulled.run("resize", *SMALL, "--json")
    assert done.code == 0, done.err
    assert len(images(root)) == expected
    assert sha256sum(root).returncode == 0
    assert list((root / ".derived/new").iterdir()) == []
    listed = {line.split()[1] for line in (root / "SHA256SUMS.txt").read_text().splitlines()}
    assert {str(path.relative_to(root)) for path in root.glob("files/**/*.*")} == listed


def kill_once(pulled: Machine) -> None:
    """Kill the command once a further copy is there, and wait until its workers are gone, too."""
    process = pulled.start("resize", *SMALL, start_new_session=True)
    seen = len(images(copies(pulled)))
    wait_until(lambda: len(images(copies(pulled))) > seen or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_until(lambda: not is_alive(process.pid))


def is_alive(group: int) -> bool:
    """Whether a process of the group runs. One that has ended may wait for long until the system's
    first process, its new parent, has looked at it."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _parent, own, *_ = stat.read_text(errors="replace").rpartition(")")[2].split()
            if int(own) == group and state not in "ZX":
                return True
    return False
