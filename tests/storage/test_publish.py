"""Final names: verified bytes only, and nothing that stands in their way is lost."""

import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cxrsync.errors import LockLost
from cxrsync.model import Entry, FileStat
from cxrsync.storage.filesystem import NotAFolder, make_folders, sync_folders
from cxrsync.storage.partial import Partial
from cxrsync.storage.publish import (
    VerifiedFile,
    continue_short_file,
    copy_partial_name,
    copy_published,
    publish,
    restrict_access,
)
from cxrsync.storage.sidecar import ObjectVersion
from cxrsync.storage.trash import Trash
from cxrsync.storage.tree import Tree

MODIFIED = 1_721_736_000.0
IMAGE = "files/p10/p10000032/s50414267/image.jpg"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path / "mimic-cxr-jpg" / "2.1.0")
    tree.create()
    make_folders(tree.partition("p10"))
    return tree


@pytest.fixture
def trash(tree: Tree) -> Trash:
    return Trash(tree, "20250102T030405Z")


@pytest.fixture
def verified(tree: Tree) -> Iterator[Callable[..., VerifiedFile]]:
    """Makes files that are ready to be published."""
    made: list[Partial] = []

    def make(path: str, data: bytes = b"right", modified: float | None = MODIFIED) -> VerifiedFile:
        entry = Entry(path, hashlib.sha256(data).hexdigest())
        partial = Partial(folder_of(tree), copy_partial_name(entry))
        partial.bind(ObjectVersion("source", len(data), '"tag"', modified))
        partial.write(0, [data], 0)
        assert partial.digest() == entry.sha256
        made.append(partial)
        return VerifiedFile(entry, partial)

    yield make
    for partial in made:
        partial.close()


def folder_of(tree: Tree) -> Path:
    return tree.partition("p10") / "partial"


# ── the name ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
@pytest.mark.parametrize("fsync", [True, False])
def test_a_published_file(
    tree: Tree, trash: Trash, verified: Callable[..., VerifiedFile], umask: int, *, fsync: bool
) -> None:
    before = os.umask(umask)
    try:
        ready = verified(IMAGE)
        [found] = publish(tree, [ready], trash.link_or_move, fsync=fsync)
    finally:
        os.umask(before)
    final = Path(tree.final(IMAGE))
    assert final.read_bytes() == b"right"
    assert oct(final.stat().st_mode & 0o7777) == "0o600"
    assert {oct(folder.stat().st_mode & 0o7777) for folder in list(final.parents)[:4]} == {"0o700"}
    assert final.stat().st_mtime == MODIFIED
    assert found == FileStat(5, int(MODIFIED) * 10**9) == tree.find(IMAGE)
    assert list(folder_of(tree).iterdir()) == []
    assert not trash.folder.exists()


def test_without_a_time_from_the_server_the_file_keeps_its_own(
    tree: Tree, trash: Trash, verified: Callable[..., VerifiedFile]
) -> None:
    ready = verified(IMAGE, modified=None)
    written = ready.partial.path.stat().st_mtime_ns
    assert publish(tree, [ready], trash.link_or_move) == [FileStat(5, written)]


def test_the_sidecar_goes_with_the_partial(tree: Tree, trash: Trash) -> None:
    partial = Partial(folder_of(tree), "a" * 64)
    partial.bind(ObjectVersion("source", 5))
    partial.write(0, [b"ri"], 0)
    partial.write(2, [b"ght"], 0)
    assert len(list(folder_of(tree).iterdir())) == 2
    publish(tree, [VerifiedFile(Entry(IMAGE, "a" * 64), partial)], trash.link_or_move)
    assert list(folder_of(tree).iterdir()) == []


def test_an_empty_file_is_published_too(
    tree: Tree, trash: Trash, verified: Callable[..., VerifiedFile]
) -> None:
    assert publish(tree, [verified("empty.txt", b"")], trash.link_or_move) == [
        FileStat(0, int(MODIFIED) * 10**9)
    ]


def test_a_file_at_the_root_of_the_version(
    tree: Tree, trash: Trash, verified: Callable[..., VerifiedFile]
) -> None:
    publish(tree, [verified("LICENSE.txt")], trash.link_or_move)
    assert (tree.root / "LICENSE.txt").read_bytes() == b"right"


# ── what stands in the way ─────────────────────────────────────────────────────────────────────


def test_what_is_displaced_goes_to_the_trash_each_time(
    tree: Tree, trash: Trash, verified: Callable[..., VerifiedFile]
) -> None:
    for data in (b"first", b"second", b"third", b"fourth"):
        assert isinstance(publish(tree, [verified(IMAGE, data)], trash.link_or_move)[0], FileStat)
    assert Path(tree.final(IMAGE)).read_bytes() == b"fourth"
    kept = trash.folder / IMAGE
    assert {path.name: path.read_bytes() for path in kept.parent.iterdir()} == {
        "image.jpg": b"first",
        "image.jpg.1": b"second",
        "image.jpg.2": b"third",
    }


def test_a_displaced_file_is_moved_not_rewritten(
    tree: Tree, trash: Trash, verified: Callable[..., VerifiedFile]
) -> None:
    publish(tree, [verified(IMAGE, b"first")], trash.link_or_move)
    inode = Path(tree.final(IMAGE)).stat().st_ino
    with Path(tree.final(IMAGE)).open("rb") as viewer:
        publish(tree, [verified(IMAGE, b"second")], trash.link_or_move)
        assert viewer.read() == b"first"
    assert (trash.folder / IMAGE).stat().st_ino == inode
    assert Path(tree.final(IMAGE)).stat().st_ino != inode


@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_under_the_final_name_is_not_written_through(
    tree: Tree,
    trash: Trash,
    verified: Callable[..., VerifiedFile],
    tmp_path: Path,
    *,
    dangling: bool,
) -> None:
    outside = tmp_path / "outside"
    if not dangling:
        outside.write_bytes(b"mine")
    tree.make_parent(IMAGE)
    final = Path(tree.final(IMAGE))
    final.symlink_to(outside)
    assert isinstance(publish(tree, [verified(IMAGE)], trash.link_or_move)[0], FileStat)
    assert not outside.exists() if dangling else outside.read_bytes() == b"mine"
    assert not final.is_symlink()
    assert final.read_bytes() == b"right"
    assert (trash.folder / IMAGE).is_symlink()


def test_a_link_that_appears_late_is_replaced_not_followed(
    tree: Tree, verified: Callable[..., VerifiedFile], tmp_path: Path
) -> None:
    """Even if nobody displaces it, the rename takes the link's place."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    tree.make_parent(IMAGE)
    Path(tree.final(IMAGE)).symlink_to(outside)
    publish(tree, [verified(IMAGE)], lambda _path: None)
    assert outside.read_bytes() == b"mine"
    assert Path(tree.final(IMAGE)).read_bytes() == b"right"


def test_a_folder_under_the_final_name_stays(
    tree: Tree, trash: Trash, verified: Callable[..., VerifiedFile]
) -> None:
    """A shard's, with 37,000 files in it, where a manifest lists `files/p10`."""
    in_the_way = Path(tree.final(IMAGE))
    in_the_way.mkdir(parents=True)
    (in_the_way / "note").write_text("mine")
    ready = verified(IMAGE)
    [problem] = publish(tree, [ready], trash.link_or_move)
    assert isinstance(problem, IsADirectoryError)
    assert problem.strerror == "a folder is where the file should be"
    assert (in_the_way / "note").read_text() == "mine"
    assert not trash.folder.exists()
    assert ready.partial.path.read_bytes() == b"right"


@pytest.mark.parametrize("link", ["files", "files/p10", "files/p10/p10000032"])
def test_nothing_is_taken_from_behind_a_link(
    tree: Tree, trash: Trash, tmp_path: Path, link: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tree.root / link).parent.mkdir(parents=True, exist_ok=True)
    (tree.root / link).symlink_to(outside, target_is_directory=True)
    file = Path(tree.final(IMAGE))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"mine")
    mode = file.stat().st_mode
    with pytest.raises(NotADirectoryError):
        trash.move(IMAGE)
    with pytest.raises(NotADirectoryError):
        continue_short_file(tree, Entry(IMAGE, "a" * 64), Partial(folder_of(tree), "a" * 64), trash)
    assert (file.read_bytes(), file.stat().st_mode) == (b"mine", mode)
    assert not trash.folder.exists()


@pytest.mark.parametrize(
    "link", ["trash", "trash/20250102T030405Z", "trash/20250102T030405Z/files"]
)
def test_nothing_is_taken_to_behind_a_link(
    tree: Tree, trash: Trash, verified: Callable[..., VerifiedFile], tmp_path: Path, link: str
) -> None:
    """Planted after the run has begun: before, it is refused."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (tree.own / link).parent.mkdir(parents=True, exist_ok=True)
    (tree.own / link).symlink_to(outside, target_is_directory=True)
    publish(tree, [verified(IMAGE, b"first")], trash.link_or_move)
    [problem] = publish(tree, [verified(IMAGE, b"second")], trash.link_or_move)
    assert isinstance(problem, NotADirectoryError)
    assert Path(tree.final(IMAGE)).read_bytes() == b"first"
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("link", ["files", "files/p10", "files/p10/p10000032"])
def test_a_link_among_the_parent_folders_is_refused(
    tree: Tree, trash: Trash, verified: Callable[..., VerifiedFile], tmp_path: Path, link: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tree.root / link).parent.mkdir(parents=True, exist_ok=True)
    (tree.root / link).symlink_to(outside, target_is_directory=True)
    ready = verified(IMAGE)
    [problem] = publish(tree, [ready], trash.link_or_move)
    assert isinstance(problem, NotADirectoryError)
    assert problem.filename == str(tree.root / link)
    assert list(outside.iterdir()) == []
    assert ready.partial.path.read_bytes() == b"right"


def test_one_bad_file_does_not_stop_the_others(
    tree: Tree, trash: Trash, verified: Callable[..., VerifiedFile]
) -> None:
    (tree.root / "files").mkdir()
    (tree.root / "files" / "p11").write_text("a file where a folder should be")
    batch = [
        verified("files/p10/a.jpg"),
        verified("files/p11/b.jpg"),  # no such folder can be made
        verified("files/p12/c.jpg"),
        verified("files/p12/d.jpg"),
        verified("files/p12/e.jpg"),
    ]
    batch[2].partial.path.unlink()  # somebody tidied up
    with ThreadPoolExecutor(4) as pool:
        results = publish(tree, batch, trash.link_or_move, pool=pool)
    kinds = [type(result) for result in results]
    assert kinds == [FileStat, NotAFolder, FileNotFoundError, FileStat, FileStat]
    names = ["files/p10/a.jpg", "files/p12/d.jpg", "files/p12/e.jpg"]
    assert [tree.find(name) for name in names] == [results[0], *results[3:]]


def test_a_file_that_cannot_be_displaced_is_left_alone(
    tree: Tree, verified: Callable[..., VerifiedFile]
) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(errno.EPERM, "immutable", path)

    first, second = verified("a.jpg", b"old"), verified("b.jpg")
    publish(tree, [first], refuse)
    results = publish(tree, [verified("a.jpg", b"new"), second], refuse)
    assert [type(result) for result in results] == [PermissionError, FileStat]
    assert Path(tree.final("a.jpg")).read_bytes() == b"old"


def test_a_failed_fsync_is_not_published(
    tree: Tree, trash: Trash, verified: Callable[..., VerifiedFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = verified("bad.jpg"), verified("good.jpg")
    sync = os.fsync

    def failing(fd: int) -> None:
        if fd == bad.partial.fileno():
            raise OSError(errno.EIO, "Input/output error")
        sync(fd)

    monkeypatch.setattr(os, "fsync", failing)
    results = publish(tree, [bad, good], trash.link_or_move)
    assert isinstance(results[0], OSError)
    assert isinstance(results[1], FileStat)
    assert tree.find("bad.jpg") is None


def test_wrong_bytes_of_a_partial_are_kept_in_the_trash(
    tree: Tree, trash: Trash, verified: Callable[..., VerifiedFile]
) -> None:
    partial = verified(IMAGE, b"wrong").partial
    trash.move_partial(partial, IMAGE)
    assert (trash.folder / IMAGE).read_bytes() == b"wrong"
    assert (partial.size, partial.generation) == (0, 1)
    assert list(folder_of(tree).iterdir()) == []


def test_a_file_that_is_not_replaced_stands_where_it_stood(
    tree: Tree, trash: Trash, verified: Callable[..., VerifiedFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever took over unlinks our partial when we have set aside what stands in its way."""
    publish(tree, [verified(IMAGE, b"theirs")], trash.link_or_move)
    ready = verified(IMAGE, b"ours")
    keep = trash.link_or_move

    def lose(path: str) -> Path | None:
        kept = keep(path)
        ready.partial.path.unlink()
        return kept

    [problem] = publish(tree, [ready], lose)
    assert isinstance(problem, FileNotFoundError)
    final = Path(tree.final(IMAGE))
    assert (final.read_bytes(), final.stat().st_nlink) == (b"theirs", 1)
    assert not list(trash.folder.rglob("*.jpg"))


def test_where_there_are_no_links_a_file_is_moved_aside(
    tree: Tree, trash: Trash, verified: Callable[..., VerifiedFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_words: object, **_options: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    publish(tree, [verified(IMAGE, b"first")], trash.link_or_move)
    monkeypatch.setattr(os, "link", refuse)
    assert isinstance(publish(tree, [verified(IMAGE, b"second")], trash.link_or_move)[0], FileStat)
    assert Path(tree.final(IMAGE)).read_bytes() == b"second"
    assert (trash.folder / IMAGE).read_bytes() == b"first"


@pytest.mark.parametrize("links", [True, False])
def test_what_is_another_run_s_by_now_is_given_back(
    tree: Tree,
    verified: Callable[..., VerifiedFile],
    monkeypatch: pytest.MonkeyPatch,
    *,
    links: bool,
) -> None:
    def lose(path: str) -> None:
        raise LockLost(path)

    def refuse(*_words: object, **_options: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    trash = Trash(tree, "t", lose)
    publish(tree, [verified(IMAGE, b"theirs")], trash.link_or_move)
    final = Path(tree.final(IMAGE))
    before = final.stat()
    if not links:
        monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(LockLost):
        trash.move(IMAGE)
    with pytest.raises(LockLost):
        continue_short_file(tree, ENTRY, Partial(folder_of(tree), ENTRY.sha256), trash)
    after = final.stat()
    assert (after.st_ino, after.st_nlink, after.st_mtime_ns) == (
        before.st_ino,
        1,
        before.st_mtime_ns,
    )
    assert not list(trash.folder.rglob("*.jpg"))
    assert not list(folder_of(tree).iterdir())


def test_what_stands_there_by_now_is_not_replaced_by_what_is_given_back(
    tree: Tree, verified: Callable[..., VerifiedFile]
) -> None:
    """The other run has put a file there while we had taken the one before."""

    def publish_and_lose(path: str) -> None:
        publish(tree, [verified(path, b"theirs")], lambda _path: None)
        raise LockLost(path)

    publish(tree, [verified(IMAGE, b"wrong")], lambda _path: None)
    trash = Trash(tree, "t", publish_and_lose)
    with pytest.raises(LockLost):
        trash.move(IMAGE)
    assert Path(tree.final(IMAGE)).read_bytes() == b"theirs"
    assert (trash.folder / IMAGE).read_bytes() == b"wrong"


def test_what_the_trash_cannot_find_it_does_not_invent(trash: Trash) -> None:
    with pytest.raises(FileNotFoundError):
        trash.move("not-there.jpg")


# ── the order of things ────────────────────────────────────────────────────────────────────────

PUBLISH_TWO = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from cxrsync.model import Entry
from cxrsync.storage.tree import Tree
from cxrsync.storage.sidecar import ObjectVersion
from cxrsync.storage.partial import Partial
from cxrsync.storage.publish import VerifiedFile, publish
tree = Tree(Path(sys.argv[1]))
tree.create()
batch = []
for name in ("one.jpg", "two.jpg"):
    partial = Partial(tree.own / "partial", name)
    partial.bind(ObjectVersion("source", len(name)))
    partial.write(0, [name.encode()], 0)
    batch.append(VerifiedFile(Entry(f"files/p10/{name}", ""), partial))
with ThreadPoolExecutor(2) as pool:
    publish(tree, batch, print, pool=pool)
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="there is no strace here")
def test_data_then_name_then_folder_as_the_kernel_sees_it(tmp_path: Path) -> None:
    root, trace = tmp_path / "root", tmp_path / "trace"
    calls = "trace=fsync,fdatasync,rename,renameat,renameat2"
    command = ["strace", "-f", "-y", "-o", str(trace), "-e", calls, "--"]
    traced = subprocess.run(
        [*command, sys.executable, "-c", PUBLISH_TWO, str(root)],
        capture_output=True,
        text=True,
        check=False,
    )
    if "PTRACE" in traced.stderr:
        pytest.skip("tracing is not permitted here")
    assert traced.returncode == 0, traced.stderr
    lines = trace.read_text().splitlines()

    def only(pattern: str) -> int:
        [at] = [number for number, line in enumerate(lines) if re.search(pattern, line)]
        return at

    def end_of(start: int) -> int:
        """Where a call ends that another thread's call interrupted in the trace."""
        if "unfinished" not in lines[start]:
            return start
        thread = lines[start].split()[0]
        ends = (n for n in range(start + 1, len(lines)) if lines[n].startswith(f"{thread} "))
        return next(n for n in ends if "resumed" in lines[n])

    names = []
    for name in ("one.jpg", "two.jpg"):
        data = end_of(only(rf"f(data)?sync\(\d+<{re.escape(str(root))}/\.cxrsync/partial/{name}>"))
        names.append(only(rf'rename.*"{re.escape(str(root))}/files/p10/{name}"'))
        assert data < names[-1]
    folder = only(rf"fsync\(\d+<{re.escape(str(root))}/files/p10>")
    assert folder > max(names)
    assert lines[end_of(folder)].endswith("= 0")


def test_one_sync_serves_all_files_of_a_folder(
    tree: Tree, trash: Trash, verified: Callable[..., VerifiedFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = [verified(f"files/p10/{number}.jpg") for number in range(5)]
    synced: list[str] = []
    sync = os.fsync

    def counting(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        sync(fd)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("there is no /proc here")
    monkeypatch.setattr(os, "fsync", counting)
    publish(tree, batch, trash.link_or_move)
    assert synced.count(str(tree.root / "files" / "p10")) == 1
    # Five files, the folder, and the two that it and its parent are new in.
    assert len(synced) == 8
    synced.clear()
    publish(tree, [verified("again.jpg")], trash.link_or_move, fsync=False)
    assert synced == []


def test_a_folder_that_is_gone_cannot_be_synced(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sync_folders([str(tmp_path / "gone")])


# ── other tools' files ─────────────────────────────────────────────────────────────────────────

WHOLE = b"0123456789" * 100
ENTRY = Entry(IMAGE, hashlib.sha256(WHOLE).hexdigest())


@pytest.fixture
def short(tree: Tree) -> Path:
    """The file as a killed wget left it."""
    tree.make_parent(IMAGE)
    path = Path(tree.final(IMAGE))
    path.write_bytes(WHOLE[:400])
    path.chmod(0o644)
    return path


def resumed(tree: Tree) -> Partial:
    partial = Partial(folder_of(tree), ENTRY.sha256)
    partial.load()
    return partial


def test_a_short_file_becomes_the_beginning_of_a_partial(tree: Tree, short: Path) -> None:
    inode = short.stat().st_ino
    continue_short_file(tree, ENTRY, Partial(folder_of(tree), ENTRY.sha256), Trash(tree, "t"))
    assert not short.exists()
    partial = resumed(tree)
    assert (partial.ranges, partial.object_version) == ([(0, 400)], None)
    assert partial.path.stat().st_ino == inode
    assert oct(partial.path.stat().st_mode & 0o7777) == "0o600"


def test_a_sidecar_that_was_left_alone_does_not_speak_of_a_short_file(
    tree: Tree, short: Path
) -> None:
    partial = Partial(folder_of(tree), ENTRY.sha256)
    partial.fileno()
    partial.close()
    raw = {"source": "s", "total": 9, "validator": None, "modified": None, "ranges": []}
    (folder_of(tree) / f"{ENTRY.sha256}.json").write_text(json.dumps(raw))
    continue_short_file(tree, ENTRY, Partial(folder_of(tree), ENTRY.sha256), Trash(tree, "t"))
    assert resumed(tree).ranges == [(0, 400)]


def test_a_short_file_with_other_links_is_copied(tree: Tree, short: Path, tmp_path: Path) -> None:
    other = tmp_path / "other-link"
    other.hardlink_to(short)
    before = other.stat()
    continue_short_file(tree, ENTRY, Partial(folder_of(tree), ENTRY.sha256), Trash(tree, "t"))
    partial = resumed(tree)
    partial.bind(ObjectVersion("source", len(WHOLE)))
    partial.write(400, [WHOLE[400:]], 0)
    assert partial.digest() == ENTRY.sha256
    publish(tree, [VerifiedFile(ENTRY, partial)], lambda _path: None)
    after = other.stat()
    assert other.read_bytes() == WHOLE[:400]
    assert (after.st_ino, after.st_mtime_ns, after.st_mode, after.st_nlink) == (
        before.st_ino,
        before.st_mtime_ns,
        before.st_mode,
        1,
    )
    assert short.read_bytes() == WHOLE
    assert short.stat().st_ino != before.st_ino


@pytest.mark.parametrize("dangling", [False, True])
def test_a_copy_is_not_written_through_a_link_under_its_name(
    tree: Tree, short: Path, tmp_path: Path, *, dangling: bool
) -> None:
    (tmp_path / "other-link").hardlink_to(short)
    outside = tmp_path / "outside"
    if not dangling:
        outside.write_bytes(b"mine")
    published = Path(tree.final("published.jpg"))
    published.write_bytes(WHOLE)
    copied = Partial(folder_of(tree), copy_partial_name(ENTRY))
    folder_of(tree).mkdir(parents=True)
    for planted in (folder_of(tree) / ENTRY.sha256, copied.path):
        planted.symlink_to(outside)
    continue_short_file(tree, ENTRY, Partial(folder_of(tree), ENTRY.sha256), Trash(tree, "t"))
    copy_published(str(published), copied)
    assert not outside.exists() if dangling else outside.read_bytes() == b"mine"
    assert resumed(tree).ranges == [(0, 400)]
    assert (copied.path.is_symlink(), copied.path.read_bytes()) == (False, WHOLE)


@pytest.mark.parametrize(("there", "left"), [(600, 600), (400, 400), (100, 400)])
def test_the_longer_beginning_wins(tree: Tree, short: Path, there: int, left: int) -> None:
    partial = Partial(folder_of(tree), ENTRY.sha256)
    partial.bind(ObjectVersion("source", len(WHOLE)))
    partial.write(0, [WHOLE[:there]], 0)
    partial.close()
    continue_short_file(tree, ENTRY, Partial(folder_of(tree), ENTRY.sha256), Trash(tree, "t"))
    assert not short.exists()
    # The user's file is in the partial, or in the trash: never gone.
    kept = list((tree.own / "trash").rglob(short.name))
    assert [path.read_bytes() for path in kept] == (
        [WHOLE[:400]] if left > 400 or there == 400 else []
    )
    after = resumed(tree)
    assert after.ranges == [(0, left)]
    assert (after.object_version is None) == (left > there)


def test_a_partial_with_gaps_is_not_as_long_as_it_looks(tree: Tree, short: Path) -> None:
    partial = Partial(folder_of(tree), ENTRY.sha256)
    partial.bind(ObjectVersion("source", len(WHOLE)))
    partial.write(900, [WHOLE[900:]], 0)
    partial.save()
    partial.close()
    assert partial.path.stat().st_size > short.stat().st_size
    continue_short_file(tree, ENTRY, Partial(folder_of(tree), ENTRY.sha256), Trash(tree, "t"))
    assert resumed(tree).ranges == [(0, 400)]


# ── copies ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("total", [None, len(WHOLE) - 1, len(WHOLE) + 1])
def test_what_does_not_cover_its_total_gets_no_name(
    tree: Tree, trash: Trash, verified: Callable[..., VerifiedFile], total: int | None
) -> None:
    ready = verified("first.jpg", WHOLE)
    ready.partial.bind(ObjectVersion("source", total))
    assert isinstance(publish(tree, [ready], trash.link_or_move)[0], OSError)
    assert tree.find("first.jpg") is None


def test_a_second_path_with_the_same_digest_is_a_copy(
    tree: Tree, trash: Trash, verified: Callable[..., VerifiedFile]
) -> None:
    publish(tree, [verified("first.jpg", WHOLE)], trash.link_or_move)
    second = Entry("files/p11/second.jpg", ENTRY.sha256)
    partial = Partial(folder_of(tree), copy_partial_name(second))
    copy_published(tree.final("first.jpg"), partial)
    partial.load()
    partial.bind(ObjectVersion("source", len(WHOLE)))  # its own size and time are asked for
    assert partial.digest() == ENTRY.sha256
    assert isinstance(
        publish(tree, [VerifiedFile(second, partial)], trash.link_or_move)[0], FileStat
    )
    copy = Path(tree.final(second.path))
    assert copy.read_bytes() == WHOLE
    assert oct(copy.stat().st_mode & 0o7777) == "0o600"
    assert copy.stat().st_ino != Path(tree.final("first.jpg")).stat().st_ino


def test_a_copy_of_a_file_that_has_rotted_is_found_out(
    tree: Tree, trash: Trash, verified: Callable[..., VerifiedFile]
) -> None:
    publish(tree, [verified("first.jpg", WHOLE)], trash.link_or_move)
    Path(tree.final("first.jpg")).write_bytes(b"rot")
    partial = Partial(folder_of(tree), copy_partial_name(ENTRY))
    copy_published(tree.final("first.jpg"), partial)
    partial.load()
    assert partial.digest() != ENTRY.sha256
    partial.close()


def test_each_path_has_a_copy_of_its_own() -> None:
    names = {copy_partial_name(Entry(path, "a" * 64)) for path in ("x", "y", "x/y")}
    assert len(names) == 3
    assert all("/" not in name and name.startswith("a" * 64) for name in names)


@pytest.mark.parametrize(
    ("before", "after"), [(0o644, 0o640), (0o777, 0o770), (0o600, 0o600), (0o2755, 0o2750)]
)
def test_an_adopted_file_is_closed_to_others_only(tmp_path: Path, before: int, after: int) -> None:
    file = tmp_path / "adopted"
    file.touch()
    file.chmod(before)
    restrict_access(Tree(tmp_path), "adopted")
    assert oct(file.stat().st_mode & 0o7777) == oct(after)
