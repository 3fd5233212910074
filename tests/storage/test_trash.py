"""The trash is emptied by the dates in the names of its folders."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cxrsync.storage.trash import empty_trash, expired
from cxrsync.storage.tree import Tree

DAY = 86_400
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC).timestamp()
OWN = "20261126T120000.000000Z"


@pytest.mark.parametrize(
    ("name", "is_expired"),
    [
        ("20261027T115959.000000Z", True),
        ("20261027T120001.000000Z", False),
        ("20261027T115959Z", True),  # as version 0.1 wrote them
        ("20261126T120000.000000Z", False),
        ("20990101T000000.000000Z", False),  # a clock that was wrong
        ("00010101T000000.000000Z", True),
        ("20260631T000000.000000Z", False),  # no such day
        ("20261027", False),
        ("notes", False),
        ("20261027T115959.000000Z.1", False),
        ("", False),
    ],
)
def test_expired(name: str, is_expired: bool) -> None:
    assert expired([name], NOW, 30 * DAY) == [name] * is_expired


def test_only_old_folders_are_deleted(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "tree")
    trash = tree.own / "trash"
    names = ["20260101T000000.000000Z", "20261120T000000.000000Z", "mine", OWN]
    for name in names:
        (trash / name / "files").mkdir(parents=True)
        (trash / name / "files/x.jpg").write_bytes(b"x")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    (trash / "20260102T000000.000000Z").symlink_to(outside)
    (trash / names[0] / "link").symlink_to(outside)
    (trash / "20260103T000000.000000Z").write_text("a file")

    assert empty_trash(tree, NOW, 30 * DAY, {OWN}) == (1, [])
    assert sorted(os.listdir(trash)) == sorted(
        [*names[1:], "20260102T000000.000000Z", "20260103T000000.000000Z"]
    )
    assert (outside / "kept").exists()
    assert empty_trash(tree, NOW + 300 * DAY, 30 * DAY, {OWN}) == (1, [])
    assert (trash / OWN).exists()


def test_a_tree_without_trash(tmp_path: Path) -> None:
    assert empty_trash(Tree(tmp_path), NOW, DAY, ()) == (0, [])
    (tmp_path / ".cxrsync").mkdir()
    (tmp_path / ".cxrsync/trash").symlink_to(tmp_path)
    assert empty_trash(Tree(tmp_path), NOW, DAY, ()) == (0, [])
