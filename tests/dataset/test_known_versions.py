"""What a mirror remembers of newer versions."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cxrsync.dataset.known_versions import (
    VERSIONS_NAME,
    Access,
    FoundVersion,
    KnownVersions,
    VersionChanges,
    read_known,
    write_known,
)
from cxrsync.storage.tree import Tree

CHANGES = VersionChanges(1, 2, 3, 4, 5, 6, 7, 8, was_sorted=True, is_sorted=False, exact=False)
KNOWN = KnownVersions(
    1.5,
    2.0,
    ("2.0.0", "2.2.0"),
    {
        "2.2.0": FoundVersion(Access.OPEN, 3.0, changes=CHANGES, told=True),
        "2.3.0": FoundVersion(Access.DENIED, 4.0, "mimic-cxr"),
    },
)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    (tmp_path / ".cxrsync").mkdir()
    return Tree(tmp_path)


@pytest.mark.parametrize("known", [KNOWN, KnownVersions()])
def test_what_is_written_is_read(tree: Tree, known: KnownVersions) -> None:
    assert read_known(tree) == KnownVersions()
    write_known(tree, known)
    assert read_known(tree) == known


def test_a_tree_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    write_known(Tree(tmp_path / "none"), KNOWN)
    assert not (tmp_path / "none").exists()


def spoilt(**changes: object) -> str:
    raw = {
        "looked_at": 1.0, "listed_at": None, "listed": ["2.0.0"],
        "found": {"2.2.0": {"access": "open", "asked_at": 1, "dataset": "", "changes": None,
                            "told": False}},
    }  # fmt: skip
    for path, value in changes.items():
        target = raw["found"]["2.2.0"] if path.startswith("f_") else raw  # type: ignore[index,call-overload]
        target[path.removeprefix("f_")] = value
    return json.dumps(raw)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "7", "{}", "null", "[" * 100_000,
        spoilt(looked_at="now"), spoilt(looked_at=-1), spoilt(looked_at=1e300), spoilt(listed=7),
        spoilt(listed=["../x"]), spoilt(listed=[7]), spoilt(listed=["1"] * 5000),
        spoilt(found=[]), spoilt(found={"a/b": {}}), spoilt(f_access="maybe"),
        spoilt(f_access=7), spoilt(f_asked_at=True), spoilt(f_dataset="a/b"), spoilt(f_changes={}),
        spoilt(f_changes={**dict.fromkeys(VersionChanges.__slots__, -1)}),
    ],
)  # fmt: skip
def test_a_file_that_is_no_good_is_none(tree: Tree, text: str) -> None:
    (tree.own / VERSIONS_NAME).write_text(spoilt())
    assert read_known(tree).found
    (tree.own / VERSIONS_NAME).write_text(text)
    assert read_known(tree) == KnownVersions()


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (FoundVersion(Access.DENIED, 9.0, "mimic-cxr"), True),
        (FoundVersion(Access.DENIED, 9.0, "mimic-cxr-jpg"), False),
        (FoundVersion(Access.OPEN, 9.0), False),
        (FoundVersion(Access.ABSENT, 9.0, "mimic-cxr"), False),
    ],
)
def test_the_same_is_told_once(after: FoundVersion, told: bool) -> None:
    before = replace(KNOWN.found["2.3.0"], told=True)
    assert after.told_as(before).told is told
    assert after.told_as(replace(before, told=False)).told is False
    assert after.told_as(None).told is False
