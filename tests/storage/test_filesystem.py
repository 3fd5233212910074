"""One version's tree: its signs, its files, and that no folder leads out of it."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cxrsync.errors import DiskError, UsageError
from cxrsync.model import FileStat
from cxrsync.storage.checksum import sha256_file
from cxrsync.storage.filesystem import disk_error, make_folders, read_json
from cxrsync.storage.layout import is_version_root
from cxrsync.storage.lock import Lock
from cxrsync.storage.tree import Tree


@pytest.fixture
def umask_zero() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


# ── a version's root ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("sign", ["SHA256SUMS.txt", "files/p10/", "files/p19/", ".cxrsync/"])
def test_the_signs_of_a_versions_root(tmp_path: Path, sign: str) -> None:
    if sign.endswith("/"):
        (tmp_path / sign).mkdir(parents=True)
    else:
        (tmp_path / sign).touch()
    assert is_version_root(tmp_path)


@pytest.mark.parametrize(
    "other", ["files/mimic-cxr-jpg", "files/p1", "files/p100", "files/xp10", "SHA256SUMS.txt/"]
)
def test_other_folders_are_no_versions_root(tmp_path: Path, other: str) -> None:
    (tmp_path / other).mkdir(parents=True)
    assert not is_version_root(tmp_path)
    assert not is_version_root(tmp_path / "nowhere")


# ── files in the tree ──────────────────────────────────────────────────────────────────────────


def test_finding_only_regular_files(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    file = tmp_path / "a.jpg"
    file.write_bytes(b"12345")
    os.utime(file, ns=(1, 1_721_736_000_000_000_007))
    (tmp_path / "link.jpg").symlink_to(file)
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    assert tree.find("a.jpg") == FileStat(5, 1_721_736_000_000_000_007)
    for other in ("link.jpg", "dangling.jpg", "folder.jpg", "pipe.jpg", "none.jpg", "a.jpg/b"):
        assert tree.find(other) is None


def test_having_a_folder(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    (tmp_path / "files" / "p10").mkdir(parents=True)
    (tmp_path / "files" / "p11").touch()
    assert tree.has_folder("files/p10")
    assert not tree.has_folder("files/p11")
    assert not tree.has_folder("files/p12")


def test_the_names_of_the_tree(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    assert tree.final("files/p10/a #?%20.jpg") == f"{tmp_path}/files/p10/a #?%20.jpg"
    assert tree.manifest == tmp_path / "SHA256SUMS.txt"
    assert tree.partition("p10") == tmp_path / ".cxrsync" / "p10"


# ── folders ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("umask_zero")
def test_new_folders_are_for_their_owner_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_folders(tmp_path / "a" / "b" / "c")
    tree = Tree(tmp_path / "root")
    tree.create()
    # What has changed: the new folder's own names, and those that it and its parent stand among.
    files = f"{tree.root}/files"
    assert tree.make_parent("files/p10/x.jpg") == {f"{files}/p10", files, str(tree.root)}
    assert tree.make_parent("files/p10/y.jpg") == {f"{files}/p10"}
    made = [folder for folder in tmp_path.rglob("*") if folder.is_dir()]
    assert len(made) == 7
    assert {oct(folder.stat().st_mode & 0o7777) for folder in made} == {"0o700"}
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_folders_that_are_there_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir(mode=0o750)
    make_folders(tmp_path / "shared")
    make_folders(tmp_path / "shared" / "new")
    assert (tmp_path / "shared").stat().st_mode & 0o777 == 0o750


def test_no_folder_where_something_else_is(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for place in ("file", "dangling", "file/below", "dangling/below"):
        with pytest.raises(FileExistsError):
            make_folders(tmp_path / place)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("link", ["files", "files/p10"])
@pytest.mark.parametrize("target", ["outside", "nowhere"])
def test_no_link_leads_out_of_the_tree(tmp_path: Path, link: str, target: str) -> None:
    (tmp_path / "outside").mkdir()
    tree = Tree(tmp_path / "root")
    tree.create()
    (tree.root / link).parent.mkdir(exist_ok=True)
    (tree.root / link).symlink_to(tmp_path / target)
    with pytest.raises(NotADirectoryError) as caught:
        tree.make_parent("files/p10/p10000032/a.jpg")
    assert caught.value.filename == str(tree.root / link)
    assert list((tmp_path / "outside").iterdir()) == []
    assert not (tmp_path / "nowhere").exists()


def test_the_root_itself_may_be_reached_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk2").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "disk2")
    tree = Tree(tmp_path / "root")
    tree.create()
    tree.make_parent("files/p10/a.jpg")
    assert (tmp_path / "disk2" / "files" / "p10").is_dir()


def test_the_root_is_the_parent_of_a_file_without_a_folder(tmp_path: Path) -> None:
    assert Tree(tmp_path).make_parent("LICENSE.txt") == {str(tmp_path)}


# ── the destination ────────────────────────────────────────────────────────────────────────────


def test_creating_leaves_nothing_but_our_folder(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "a" / "b")
    tree.create()
    tree.create()
    assert [path.name for path in tree.root.iterdir()] == [".cxrsync"]
    assert list(tree.own.iterdir()) == []


@pytest.mark.parametrize("place", ["file", "file/below", "dangling"])
def test_a_destination_that_is_no_folder(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="is not a folder") as caught:
        Tree(tmp_path / place).create()
    assert caught.value.exit_code == 2
    assert "--dest" in caught.value.next_step
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("below", ["", "new"])
def test_a_destination_that_cannot_be_written(tmp_path: Path, below: str) -> None:
    place = tmp_path / "read-only"
    (place / ".cxrsync").mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "cxrsync-test", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system is not permitted here")
    try:
        with pytest.raises(DiskError, match="Read-only file system") as caught:
            Tree(place / below).create()
    finally:
        subprocess.run(["umount", str(place)], check=True)
    assert caught.value.exit_code == 7


def test_our_folder_is_there_but_the_disk_is_read_only(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.create()
    mount = ["mount", "--bind", str(tmp_path), str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system is not permitted here")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(tmp_path)], check=True)
        with pytest.raises(DiskError, match="Read-only file system"):
            tree.create()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


WHOLE_DISK = ("ENOSPC", "EDQUOT", "EROFS", "EIO", "EMFILE", "ENFILE")
ONE_FILE = ("EACCES", "EPERM", "ENOENT", "ENOTDIR", "EISDIR", "ENAMETOOLONG", "ELOOP", "EFBIG")


@pytest.mark.parametrize("name", WHOLE_DISK)
def test_errors_of_the_whole_disk_end_the_run(name: str) -> None:
    number = getattr(errno, name)
    error = disk_error(OSError(number, os.strerror(number)), "cannot write a.jpg")
    assert isinstance(error, DiskError)
    assert str(error) == f"cannot write a.jpg: {os.strerror(number)}"


@pytest.mark.parametrize("name", ONE_FILE)
def test_errors_of_one_file_do_not(name: str) -> None:
    assert disk_error(OSError(getattr(errno, name), "…"), "cannot write a.jpg") is None


def test_an_error_without_a_number_is_one_files() -> None:
    assert disk_error(OSError("odd"), "cannot write a.jpg") is None


# ── a tree that was begun for nothing ──────────────────────────────────────────────────────────


def begun(root: Path) -> Tree:
    """A tree as a run has it that has asked for nothing yet."""
    tree = Tree(root)
    tree.create()
    (tree.own / "tree.json").write_text("{}")
    tree.remember_created_file(tree.own / "tree.json", b"{}")
    tree.make_own_folder(tree.own / "manifests")
    return tree


def test_what_a_run_has_made_it_takes_back(tmp_path: Path) -> None:
    begun(tmp_path / "a" / "b").remove_created()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "others",
    [".cxrsync/manifests/x", ".cxrsync/p10/partial/0", ".cxrsync/trash/t/x", "files/p10/a.jpg"],
)
def test_what_others_have_made_meanwhile_stays(tmp_path: Path, others: str) -> None:
    tree = begun(tmp_path / "a" / "b")
    (tree.root / others).parent.mkdir(parents=True, exist_ok=True)
    (tree.root / others).write_text("theirs")
    tree.remove_created()
    assert (tree.root / others).read_text() == "theirs"
    if others.startswith(".cxrsync"):
        assert (tree.own / "tree.json").read_text() == "{}"


def test_a_second_run_takes_back_nothing_of_the_first(tmp_path: Path) -> None:
    first = begun(tmp_path / "a")
    second = Tree(first.root)
    second.create()
    second.make_own_folder(second.own / "manifests")
    second.remove_created()
    assert {path.name for path in first.own.iterdir()} == {"tree.json", "manifests"}


def test_a_file_that_another_run_has_replaced_is_not_taken_back(tmp_path: Path) -> None:
    tree = begun(tmp_path / "a")
    (tree.own / "new").write_text("theirs")
    (tree.own / "new").replace(tree.own / "tree.json")
    tree.remove_created()
    assert (tree.own / "tree.json").read_text() == "theirs"


@pytest.mark.parametrize("read", [read_json, lambda path: sha256_file(str(path))])
def test_a_folder_in_the_place_of_a_file_is_not_left_open(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    """A reader of many such places would run out of descriptors."""
    spare = os.dup(0)
    os.close(spare)
    with pytest.raises(IsADirectoryError):
        read(tmp_path)
    again = os.dup(0)
    os.close(again)
    assert again == spare


def test_only_create_makes_the_marker(tmp_path: Path) -> None:
    """A run whose disk is gone would make it under the mount point."""
    tree = Tree(tmp_path / "a" / "b")
    with pytest.raises(FileNotFoundError):
        make_folders(tree.partition("p10"))
    with pytest.raises(DiskError, match="No such file"):
        Lock(tree.partition("p10")).acquire()
    assert list(tmp_path.iterdir()) == []
    tree.create()
    tree.create()
    assert make_folders(tree.partition("p10")) == [tree.partition("p10")]
