"""Somebody, or an accident, has put things into the tree that are no files of ours: a run neither
writes through them, nor waits for them, nor takes them for right."""

import hashlib
import os
import socket
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from e2e.stage import Machine, fingerprint

from cxrsync.demo.data.tree import MARKER
from cxrsync.demo.server.server import MiniPhysioNet

NAME, VERSION = "planted", "1.0"
DATASET = ("--dataset", NAME, "--dataset-version", VERSION)
SHARDS = [f"p1{number}" for number in range(9)]
STUDIES = [f"files/{shard}/{shard}000032/s50414267" for shard in SHARDS]
IMAGES = [f"{study}/0.jpg" for study in STUDIES]
FILES = {path: hashlib.shake_128(path.encode()).digest(3_000) for path in ("LICENSE.txt", *IMAGES)}
CANARY = b"mine, and nobody else's"
# A run that hangs is killed long before the test is.
PATIENCE = 60.0


def digest(path: str) -> str:
    return hashlib.sha256(FILES[path]).hexdigest()


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small open dataset: no sign-in, and an image in each shard."""
    root = tmp_path_factory.mktemp("published")
    (root / MARKER).touch()
    for path, data in FILES.items():
        file = root / NAME / VERSION / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    lines = [f"{digest(path)} {path}\n" for path in sorted(FILES)]
    (root / NAME / VERSION / "SHA256SUMS.txt").write_text("".join(lines))
    return root


@pytest.fixture
def machine(
    serve: Callable[..., MiniPhysioNet],
    make_machine: Callable[[MiniPhysioNet], Machine],
    published: Path,
) -> Machine:
    return make_machine(serve(published, open_datasets=frozenset({NAME})))


@pytest.fixture
def tree(machine: Machine) -> Path:
    """The version's root. Ours is a folder there, so that it is taken up and not made anew."""
    root = machine.dest / NAME / VERSION
    (root / ".cxrsync").mkdir(parents=True)
    return root


class Outside:
    """A folder that is none of our business, with a file in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.file = folder / "canary"
        self.file.write_bytes(CANARY)
        self._before = self._look()

    def _look(self) -> tuple[list[str], bytes, int, int]:
        found = self.file.stat()
        names = sorted(str(path) for path in self.folder.rglob("*"))
        return names, self.file.read_bytes(), found.st_mtime_ns, found.st_mode

    def assert_untouched(self) -> None:
        assert self._look() == self._before


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    return Outside(tmp_path / "outside")


def make_socket(path: Path) -> None:
    # Bound by a short name: the system takes no more than some 100 bytes.
    there = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as ours:
            ours.bind(f"/proc/self/fd/{there}/{path.name}")
    finally:
        os.close(there)


def make_device(path: Path) -> None:
    """One that swallows all; or, where that is root's to make, a pipe."""
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        os.mkfifo(path)


THINGS: dict[str, Callable[[Path, Outside], object]] = {
    "link": lambda path, outside: path.symlink_to(outside.file),
    "link to nothing": lambda path, outside: path.symlink_to(outside.folder / "new"),
    "link to a folder": lambda path, outside: path.symlink_to(outside.folder),
    "link without end": lambda path, outside: path.symlink_to("/dev/zero"),
    "hard link": lambda path, outside: path.hardlink_to(outside.file),
    "pipe": lambda path, outside: os.mkfifo(path),
    "socket": lambda path, outside: make_socket(path),
    "device": lambda path, outside: make_device(path),
    "folder": lambda path, outside: path.mkdir(),
}


def plant(paths: Iterable[Path], outside: Outside) -> None:
    """A thing under each path, as far as they reach."""
    for path, make in zip(paths, THINGS.values(), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path, outside)


def run(machine: Machine, *words: str) -> tuple[int, str]:
    """A command's code and what it said. One that hangs is ended, and the test fails."""
    process = machine.start(*words, *DATASET)
    try:
        _out, said = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.communicate()
    assert "Traceback" not in said
    assert "unexpected" not in said
    return process.returncode, said


def pull(machine: Machine, *words: str) -> tuple[int, str]:
    return run(machine, "pull", "--progress", "none", *words)


def assert_complete(machine: Machine, tree: Path) -> None:
    found = fingerprint(tree)
    found.pop("SHA256SUMS.txt")
    assert {path: sha for path, (sha, _time) in found.items()} == {p: digest(p) for p in FILES}
    assert not any((tree / path).is_symlink() for path in FILES)
    assert run(machine, "verify")[0] == 0


# ── folders ────────────────────────────────────────────────────────────────────────────────────


def test_a_folder_of_the_tree_that_leads_out(
    machine: Machine, tree: Path, outside: Outside
) -> None:
    for folder, code in (
        (".cxrsync", 2),
        (".cxrsync/p10", 2),
        (".cxrsync/p10/partial", 2),
        (".cxrsync/manifests", 2),
        (".cxrsync/trash", 2),
        ("files", 2),
        ("files/p10", 2),
        (STUDIES[0].rpartition("/")[0], 5),
        (STUDIES[0], 5),
    ):
        link = tree / folder
        if link.exists():
            link.rename(tree / "as it was")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(outside.folder)

        ended, said = pull(machine)

        assert ended == code, (folder, said)
        assert code == 5 or str(link) in said
        outside.assert_untouched()
        link.unlink()
        if (tree / "as it was").exists():
            (tree / "as it was").rename(link)

    assert pull(machine)[0] == 0
    assert_complete(machine, tree)


# ── final names ────────────────────────────────────────────────────────────────────────────────


def test_things_under_final_names(machine: Machine, tree: Path, outside: Outside) -> None:
    """Each gives way, and the file is fetched; only a folder stays, with all that may be in it."""
    plant((tree / path for path in IMAGES), outside)
    [folder] = [
        path for path in IMAGES if (tree / path).is_dir() and not (tree / path).is_symlink()
    ]
    (tree / folder / "note").write_text("mine")

    code, said = pull(machine)

    assert code == 5, said
    assert f"{folder}: a folder is where the file should be" in said
    assert (tree / folder / "note").read_text() == "mine"
    outside.assert_untouched()
    (tree / folder).rename(tree / "set aside by hand")
    assert pull(machine)[0] == 0
    (tree / "set aside by hand" / "note").unlink()
    assert_complete(machine, tree)


@pytest.mark.parametrize("thing", ["link", "link to nothing", "link without end", "folder"])
def test_something_under_the_manifests_name(
    machine: Machine, tree: Path, outside: Outside, thing: str
) -> None:
    THINGS[thing](tree / "SHA256SUMS.txt", outside)
    code, said = pull(machine)
    assert (code, "SHA256SUMS.txt" in said) == (7, True)
    outside.assert_untouched()


# ── what is ours ───────────────────────────────────────────────────────────────────────────────


def test_things_under_the_names_of_partials(machine: Machine, tree: Path, outside: Outside) -> None:
    paths = [tree / f".cxrsync/{path[6:9]}/partial/{digest(path)}" for path in IMAGES]
    plant(paths, outside)

    code, said = pull(machine)

    assert code == 0, said
    outside.assert_untouched()
    assert_complete(machine, tree)


def test_things_under_the_names_of_sidecars(machine: Machine, tree: Path, outside: Outside) -> None:
    paths = [tree / f".cxrsync/{path[6:9]}/partial/{digest(path)}" for path in IMAGES]
    plant((path.with_name(f"{path.name}.json") for path in paths), outside)
    for path, partial in zip(IMAGES, paths, strict=True):
        partial.write_bytes(FILES[path][:1_000])

    code, said = pull(machine)

    assert code == 5, said
    outside.assert_untouched()
    [lacking] = {path for path in FILES if not (tree / path).exists()}
    (tree / f".cxrsync/{lacking[6:9]}/partial/{digest(lacking)}.json").rmdir()
    assert pull(machine)[0] == 0
    assert_complete(machine, tree)


@pytest.mark.parametrize("name", ["state.sqlite3", "state.sqlite3-journal"])
def test_things_under_the_names_of_states(
    machine: Machine, tree: Path, outside: Outside, name: str
) -> None:
    plant((tree / ".cxrsync" / shard / name for shard in SHARDS), outside)

    code, said = pull(machine)

    assert code == 0, said
    outside.assert_untouched()
    assert_complete(machine, tree)


def test_things_under_the_names_of_states_that_are_only_read(
    machine: Machine, tree: Path, outside: Outside
) -> None:
    assert pull(machine)[0] == 0
    for shard in SHARDS:
        (tree / ".cxrsync" / shard / "state.sqlite3").unlink()
    plant((tree / ".cxrsync" / shard / "state.sqlite3" for shard in SHARDS), outside)
    for command in ("status", "verify"):
        code, said = run(machine, command)
        assert code == 2  # what was pulled is not known: nothing less is judged, and called right
        assert "cannot be read" in said
    outside.assert_untouched()


@pytest.mark.parametrize("thing", ["link", "link to nothing", "link without end", "pipe"])
def test_something_under_the_name_of_a_lock(
    machine: Machine, tree: Path, outside: Outside, thing: str
) -> None:
    (tree / ".cxrsync/p10").mkdir()
    THINGS[thing](tree / ".cxrsync/p10/lock", outside)
    code, said = pull(machine)
    assert code in {7, 8}
    assert "p10" in said
    outside.assert_untouched()
    assert not (tree / "files/p10").exists()


@pytest.mark.parametrize(
    ("thing", "code"), [("link", 2), ("link to nothing", 2), ("pipe", 0), ("folder", 7)]
)
def test_something_under_the_names_of_records(
    machine: Machine, tree: Path, outside: Outside, thing: str, code: int
) -> None:
    """A link in our own folder is refused; what else there is cannot be what it should be."""
    for name in ("tree.json", "progress.json", "progress"):
        THINGS[thing](tree / ".cxrsync" / name, outside)

    ended, said = pull(machine)

    assert ended == code, said
    assert run(machine, "status")[0] == (0 if code == 0 else 2)
    outside.assert_untouched()
