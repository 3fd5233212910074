"""``pull --delete``: what left the manifest goes to the trash, and nothing else does."""

import hashlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e.stage import JPG, VERSION, Machine, files_below

from cxrsync.clock import stamp_of, time_of
from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.storage.trash import Trash


class Publisher:
    """Changes what the server has."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.images = sorted(str(path) for path in files_below(root) if "p10/" in str(path))

    def withdraw(self, *paths: str) -> None:
        self.write({path: digest for path, digest in self.manifest().items() if path not in paths})

    def manifest(self) -> dict[str, str]:
        lines = (self.root / "SHA256SUMS.txt").read_text().splitlines()
        return {line[65:].strip(): line[:64] for line in lines}

    def write(self, manifest: dict[str, str]) -> None:
        file = self.root / "SHA256SUMS.txt"
        text = "".join(f"{manifest[path]} {path}\n" for path in sorted(manifest))
        shutil.copyfile(file, file.with_name("old"))
        file.write_text(text)
        file.with_name("old").unlink()


@pytest.fixture
def publisher(own_files: Path) -> Publisher:
    return Publisher(own_files / JPG / VERSION)


@pytest.fixture
def mirror(
    publisher: Publisher,
    own_files: Path,
    serve: Callable[..., MiniPhysioNet],
    make_machine: Callable[[MiniPhysioNet], Machine],
) -> Machine:
    machine = make_machine(serve(own_files))
    assert machine.pull("--jpg").code == 0
    assert publisher.images
    return machine


def root_of(machine: Machine) -> Path:
    return machine.dest / JPG / VERSION


def in_trash(machine: Machine) -> set[str]:
    trash = root_of(machine) / ".cxrsync/trash"
    return {
        str(path.relative_to(trash)).partition("/")[2]
        for path in trash.rglob("*")
        if path.is_file()
    }


def test_what_left_the_manifest_goes_to_the_trash(mirror: Machine, publisher: Publisher) -> None:
    gone = publisher.images[:2]
    digests = publisher.manifest()
    publisher.withdraw(*gone)

    assert mirror.pull("--jpg").code == 0
    assert all((root_of(mirror) / path).exists() for path in gone)  # it is not asked for

    done = mirror.pull("--jpg", "--delete", "--max-delete", "2")

    assert done.code == 0, done.err
    assert done.summary["files"]["deleted"] == 2
    sizes = [
        path.stat().st_size for path in root_of(mirror).glob(".cxrsync/trash/*/files/p10/*/*/*")
    ]
    assert (len(sizes), done.summary["bytes"]["deleted"]) == (2, sum(sizes))
    assert in_trash(mirror) == set(gone)
    assert not any((root_of(mirror) / path).exists() for path in gone)
    [kept] = root_of(mirror).glob(f".cxrsync/trash/*/{gone[0]}")
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == digests[gone[0]]
    assert mirror.pull("--jpg", "--delete").code == 0
    done = mirror.run("verify", "--jpg", "--json")
    assert (done.code, done.summary["files"]["extra"]) == (0, 0)


def test_too_many_are_not_deleted(mirror: Machine, publisher: Publisher) -> None:
    gone = publisher.images[:3]
    publisher.withdraw(*gone)
    refused = mirror.pull("--jpg", "--delete", "--max-delete", "2")
    assert refused.code == 11, refused.err
    assert "nothing was deleted" in refused.err
    assert in_trash(mirror) == set()
    assert all((root_of(mirror) / path).exists() for path in gone)
    assert mirror.pull("--jpg", "--delete", "--max-delete", "3").code == 0
    assert in_trash(mirror) == set(gone)


def test_only_the_datasets_own_bytes_are_deleted(mirror: Machine, publisher: Publisher) -> None:
    edited, gone, *_others = publisher.images
    publisher.withdraw(edited, gone)
    root = root_of(mirror)
    (root / edited).write_bytes(b"a doctor's own notes")
    (root / "files/p10/notes.txt").write_text("never the dataset's")
    link = root / publisher.images[2]

    assert mirror.pull("--jpg", "--delete", "--max-delete", "100%").code == 0

    assert in_trash(mirror) == {gone}
    assert (root / edited).read_bytes() == b"a doctor's own notes"
    assert (root / "files/p10/notes.txt").exists()
    assert link.exists()


def test_what_left_the_selection_stays(mirror: Machine, publisher: Publisher) -> None:
    """With a selection, only what left the manifest in its shards is deleted."""
    before = set(files_below(root_of(mirror)))
    other = next(path for path in publisher.manifest() if path.startswith("files/p11/"))
    publisher.withdraw(publisher.images[0], other)
    done = mirror.pull("--jpg", "--shard", "p10", "--delete", "--max-delete", "100%")
    assert done.code == 0, done.err
    assert set(files_below(root_of(mirror))) == before - {Path(publisher.images[0])}
    done = mirror.pull("--jpg", "--metadata-only", "--delete", "--max-delete", "100%")
    assert done.code == 0, done.err
    assert (root_of(mirror) / other).exists()


def test_a_dry_run_says_what_would_be_deleted(mirror: Machine, publisher: Publisher) -> None:
    publisher.withdraw(publisher.images[0])
    done = mirror.run("pull", "--jpg", "--dry-run", "--delete")
    assert done.code == 0, done.err
    assert "1 file on the disk left the manifest" in done.err
    assert (root_of(mirror) / publisher.images[0]).exists()


def test_a_rejected_line_is_no_withdrawal(mirror: Machine, publisher: Publisher) -> None:
    """One flipped bit makes a line of the manifest unreadable; its file stays."""
    victim = publisher.images[0]
    file = publisher.root / "SHA256SUMS.txt"
    lines = file.read_bytes().splitlines(keepends=True)
    spoiled = [b"#" + line[1:] if victim.encode() in line else line for line in lines]
    file.write_bytes(b"".join(spoiled))
    done = mirror.pull("--jpg", "--delete", "--max-delete", "100%")
    assert done.code == 5, done.err
    assert (root_of(mirror) / victim).exists()
    assert "nothing is deleted" in done.out


def test_a_deletion_that_was_killed_goes_on(
    mirror: Machine, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = publisher.images[:4]
    publisher.withdraw(*gone)
    move = Trash.move
    moved = []

    def move_two(self: Trash, path: str) -> None:
        if len(moved) == 2:
            raise KeyboardInterrupt
        moved.append(path)
        move(self, path)

    with monkeypatch.context() as patch:
        patch.setattr(Trash, "move", move_two)
        assert mirror.pull("--jpg", "--delete", "--max-delete", "100%").code != 0
    assert in_trash(mirror) == set(gone[:2])
    assert mirror.pull("--jpg", "--delete", "--max-delete", "100%").code == 0
    assert in_trash(mirror) == set(gone)


def test_the_trash_is_emptied_by_age(mirror: Machine) -> None:
    trash = root_of(mirror) / ".cxrsync/trash"
    for name in ("20200101T000000.000000Z", "20990101T000000.000000Z"):
        (trash / name).mkdir(parents=True)
        (trash / name / "x").touch()
    assert mirror.pull("--jpg").code == 0
    assert len(list(trash.iterdir())) == 2
    assert mirror.pull("--jpg", "--trash-keep", "30d").code == 0
    # A clock can be wrong for a night: a run of an earlier one must find so, too.
    assert (trash / "20200101T000000.000000Z").exists()
    yesterday = stamp_of(time.time() - 86_400)
    (root_of(mirror) / f".cxrsync/runs/{yesterday}.json").write_text("{}")
    done = mirror.pull("--jpg", "--trash-keep", "30d")
    assert done.code == 0
    assert "older than --trash-keep" in done.out
    assert "1 folder older" in done.out
    [left] = trash.iterdir()
    assert abs(time_of(left.name) - time.time()) < 60
