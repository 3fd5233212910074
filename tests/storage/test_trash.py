"""The trash is emptied by the dates in the names of its folders."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cxrsync.clock import stamp_of, time_of
from cxrsync.storage.trash import Emptied, TrashDates, empty_trash
from cxrsync.storage.tree import Tree

DAY = 86_400
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC).timestamp()
OWN = "20261126T120000.000000Z"
RIGHT = TrashDates(NOW, [NOW - DAY * night for night in range(1, 9)])


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
    dates = TrashDates(NOW + DAY, [NOW, NOW + DAY - 5])
    assert dates.expired([name], 30 * DAY) == [name] * is_expired


@pytest.mark.parametrize(
    ("now", "runs", "is_expired", "is_misdated"),
    [
        # Nights ago. The folders are of 31 days ago and of 300 days to come.
        (0, [1, 2, 3], False, True),  # the night before, it was 30 days
        (0, [0.51, 1, 2], True, True),
        (-365, [0.7, 1, 2, 3], False, False),  # a clock that is a year ahead, for one night
        (-365, [-364, 0, 1], True, False),  # who believes it after two, is right in most cases
        (0, [-365, 0.51, 1, 2], True, True),  # and is back
        (0, [-365, 1, 2, 3], False, True),
        (0, [-365], False, False),
        (300, [0, 1, 2, 3, 301], False, False),  # a clock that is far behind
        (0, [0.51, 1, 2, 3, 300], True, True),  # and is back
        (-365, [-364.99, 0.7, 1, 2], False, False),  # the night's first run is no witness
        (0, [], False, False),
        (0, [-0.01, 0.51], True, True),  # another machine's clock is a little ahead
    ],
)
def test_a_clock_that_jumps(
    now: float, runs: list[float], is_expired: bool, is_misdated: bool
) -> None:
    dates = TrashDates(NOW - now * DAY, [NOW - night * DAY for night in runs])
    old, new = stamp_of(NOW - 31 * DAY), stamp_of(NOW + 300 * DAY)
    assert (old in dates.expired([old, new], 30.4 * DAY)) == is_expired
    assert (new in dates.misdated([old, new])) == is_misdated


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

    assert empty_trash(tree, RIGHT, 30 * DAY, {OWN}) == Emptied(1)
    assert sorted(os.listdir(trash)) == sorted(
        [*names[1:], "20260102T000000.000000Z", "20260103T000000.000000Z"]
    )
    assert (outside / "kept").exists()
    later = TrashDates(NOW + 300 * DAY, [NOW + 299 * DAY])
    assert empty_trash(tree, later, 30 * DAY, {OWN}) == Emptied(1)
    assert (trash / OWN).exists()


def test_a_folder_of_the_future_gets_the_present_date(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    trash = tree.own / "trash"
    for night in (300, 301):
        (trash / stamp_of(NOW + night * DAY) / "files").mkdir(parents=True)
    assert empty_trash(tree, RIGHT, 30 * DAY, ()) == Emptied(redated=2)
    assert all(abs(time_of(name) - NOW) < 1 for name in os.listdir(trash))
    assert empty_trash(tree, RIGHT, 30 * DAY, ()) == Emptied()
    later = TrashDates(NOW + 32 * DAY, [NOW + 31 * DAY])
    assert empty_trash(tree, later, 30 * DAY, ()) == Emptied(2)


def test_a_tree_without_trash(tmp_path: Path) -> None:
    assert empty_trash(Tree(tmp_path), RIGHT, DAY, ()) == Emptied()
    (tmp_path / ".cxrsync").mkdir()
    (tmp_path / ".cxrsync/trash").symlink_to(tmp_path)
    assert empty_trash(Tree(tmp_path), RIGHT, DAY, ()) == Emptied()
