"""The room of a destination, and what of a need it lacks."""

import os
from pathlib import Path

import pytest

from cxrsync.storage.disk_space import FreeSpace, Shortage, free_space, shortage

ROOMY = FreeSpace(1_000, 10)
ENDLESS = FreeSpace(1_000, None)  # as btrfs


@pytest.mark.parametrize(
    ("there", "need_bytes", "need_files", "lacking"),
    [
        (ROOMY, 0, 0, None),
        (ROOMY, 1_000, 10, None),
        (ROOMY, 1_001, 10, Shortage(1, 0)),
        (ROOMY, 1_000, 11, Shortage(0, 1)),
        (ROOMY, 5_000, 70, Shortage(4_000, 60)),
        (ENDLESS, 1_000, 670_000, None),
        (ENDLESS, 1_500, 670_000, Shortage(500, 0)),
        (FreeSpace(0, 0), 0, 0, None),
        (FreeSpace(0, 0), 7, 3, Shortage(7, 3)),
    ],
)
def test_shortage(
    there: FreeSpace, need_bytes: int, need_files: int, lacking: Shortage | None
) -> None:
    assert shortage(there, need_bytes, need_files) == lacking


@pytest.mark.parametrize(
    ("files", "free", "told"), [(0, 0, None), (0, 99, None), (500, 40, 40), (500, 0, 0)]
)
def test_what_the_file_system_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int, free: int, told: int | None
) -> None:
    # All numbers differ: frsize is the unit, and what root alone may use is not ours.
    numbers = (8_192, 4_096, 1_000, 300, 200, files, free + 7, free, 0, 255)
    monkeypatch.setattr(os, "statvfs", lambda _folder: os.statvfs_result(numbers))
    assert free_space(tmp_path) == FreeSpace(200 * 4_096, told)


@pytest.mark.parametrize("below", ["", "here", "here/no/such", "none/at/all", "file/below"])
def test_the_nearest_folder_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "file").touch()
    nearest = {"": tmp_path, "here": tmp_path / "here", "none": tmp_path, "file": tmp_path / "file"}
    answered: list[Path] = []
    statvfs = os.statvfs

    def noted(folder: Path) -> os.statvfs_result:
        found = statvfs(folder)
        answered.append(folder)
        return found

    monkeypatch.setattr(os, "statvfs", noted)
    there = nearest[below.partition("/")[0]]
    assert free_space(tmp_path / below).bytes > 0
    monkeypatch.chdir(tmp_path)
    assert free_space(Path(below)).bytes > 0
    assert answered == [there, there.relative_to(tmp_path)]


def test_a_folder_that_cannot_be_looked_at(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        free_space(tmp_path / "loop" / "below")
