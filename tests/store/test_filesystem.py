"""Where the folders of a path lead, and what a rename reaches, on real folders."""

import errno
import os
import subprocess
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from cxrsync.model import NameRules
from cxrsync.store.filesystem import _BY_EFFECTIVE_ID, Way, Ways, is_beyond, try_names

IMAGE = "files/p10/p10000032/s50414267/0.jpg"


def way(there: bool = True, obstacle: str = "", mount: str = "") -> Way:
    return Way(there, obstacle, mount)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "mounted"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("mounting needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_real_folders_and_those_that_are_not_there_yet(tmp_path: Path) -> None:
    (tmp_path / "files/p10/p1").mkdir(parents=True)
    ways = Ways(tmp_path)
    for path, there in (
        ("LICENSE.txt", True),
        ("files/p10/a.jpg", True),
        ("files/p10/p1/a.jpg", True),
        ("files/p10/p1/s1/a.jpg", False),
        ("files/p10/p1/s2/a.jpg", False),
        ("files/p10/p2/s2/a.jpg", False),
        ("files/p10/p1/z.jpg", True),
        ("z.csv", True),
    ):
        assert ways.to(path) == way(there), path


@pytest.mark.parametrize("depth", range(1, 5))
@pytest.mark.parametrize("thing", ["link", "link to nothing", "file"])
def test_anything_but_a_folder_is_an_obstacle(tmp_path: Path, depth: int, thing: str) -> None:
    folder = "/".join(IMAGE.split("/")[:depth])
    where = tmp_path / "root" / folder
    where.parent.mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    if thing == "file":
        where.touch()
        obstacle = f"{folder} is no folder"
    else:
        where.symlink_to(tmp_path / ("outside" if thing == "link" else "nowhere"))
        obstacle = f"{folder} is a link, and nothing is changed behind links"
    ways = Ways(tmp_path / "root")
    assert ways.to(IMAGE) == way(obstacle=obstacle)
    assert ways.to("LICENSE.txt") == way()


def test_each_folder_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "files/p10/p1").mkdir(parents=True)
    ways = Ways(tmp_path)
    looked: list[str] = []
    lstat = os.lstat
    monkeypatch.setattr(os, "lstat", lambda path: looked.append(path) or lstat(path))
    for path in ("a", "files/p10/p1/0", "files/p10/p1/1", "files/p10/p2/s1/0", "files/p10/p2/s2/0"):
        ways.to(path)
    assert looked == [
        f"{tmp_path}/{folder}" for folder in ("files", "files/p10", "files/p10/p1", "files/p10/p2")
    ]


def test_another_file_system_is_told(mounted: Path) -> None:
    (mounted / "s1").mkdir()
    ways = Ways(mounted.parent)
    for path, there in (("mounted/a", True), ("mounted/s1/a", True), ("mounted/s2/a", False)):
        assert ways.to(path) == way(there, mount="mounted")
    assert ways.to("z") == way()


def test_where_nothing_may_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "files/p10/p1/s1").mkdir(parents=True)
    shut = f"{tmp_path}/files/p10/p1"
    asked: list[str] = []

    def access(path: str, _mode: int, *, effective_ids: bool) -> bool:
        assert effective_ids == _BY_EFFECTIVE_ID
        asked.append(path)
        return path != shut

    monkeypatch.setattr(os, "access", access)
    ways = Ways(tmp_path)
    for path, closed in (
        ("a", ""),
        ("files/p10/a", ""),
        ("files/p10/p1/a", "files/p10/p1"),
        ("files/p10/p1/s1/a", ""),
        ("files/p10/p1/s2/a", "files/p10/p1"),
        ("files/p10/p1/s3/a", "files/p10/p1"),
        ("files/p10/p2/s3/a", ""),
    ):
        assert ways.to(path).closed == closed, path
    assert len(asked) == len(set(asked)) == 5


def test_what_a_rename_reaches(tmp_path: Path, mounted: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert not is_beyond(tmp_path / "a", tmp_path / "b")
    assert is_beyond(tmp_path, mounted)
    assert is_beyond(mounted, tmp_path)
    subprocess.run(["mount", "--bind", tmp_path / "a", tmp_path / "b"], check=True)
    try:
        assert (tmp_path / "a").stat().st_dev == (tmp_path / "b").stat().st_dev
        assert is_beyond(tmp_path / "a", tmp_path / "b")
        assert is_beyond(tmp_path / "b", tmp_path)
    finally:
        subprocess.run(["umount", tmp_path / "b"], check=True)
    assert list((tmp_path / "a").iterdir()) == []


# ── names that are one ─────────────────────────────────────────────────────────────────────────


def test_this_disk_tells_them_apart_and_nothing_is_left(tmp_path: Path) -> None:
    assert try_names(tmp_path) == NameRules(case=False, forms=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("case", [False, True])
@pytest.mark.parametrize("forms", [False, True])
def test_a_disk_that_takes_them_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, case: bool, forms: bool
) -> None:
    """As macOS and Windows have them; a real one of each is not to be had everywhere."""

    def as_it_sees(name: str) -> str:
        name = unicodedata.normalize("NFD", name) if forms else name
        return name.casefold() if case else name

    def lexists(path: Path) -> bool:
        return as_it_sees(path.name) in map(as_it_sees, os.listdir(path.parent))

    monkeypatch.setattr(os.path, "lexists", lexists)
    assert try_names(tmp_path) == NameRules(case, forms)
    assert os.listdir(tmp_path) == []


def test_a_disk_without_such_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only ASCII can be stored there."""
    make = os.open

    def only_ascii(path: Path, *rest: int) -> int:
        if not str(path).isascii():
            raise OSError(errno.EILSEQ, os.strerror(errno.EILSEQ), str(path))
        return make(path, *rest)

    monkeypatch.setattr(os, "open", only_ascii)
    assert try_names(tmp_path) == NameRules(case=False, forms=False)
    assert list(tmp_path.iterdir()) == []
