"""Every tree in a folder is found, also one that cannot be used, and nothing else."""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.other_users import as_user

from cxrsync.dataset.found_trees import FoundTree, find_trees
from cxrsync.dataset.tree_location import Location, wget_folders
from cxrsync.errors import DiskError, ExitCode, UsageError

JPG = "mimic-cxr-jpg"
NOBODY = 4321


@pytest.fixture
def dest() -> Iterator[Path]:
    """A folder that another user may enter, which those of pytest are not."""
    with tempfile.TemporaryDirectory(prefix="cxrsync-trees-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


def tree(root: Path, claim: tuple[str, str] | None = None) -> Path:
    """A tree that wget left, or that a run has claimed."""
    root.mkdir(parents=True)
    (root / "SHA256SUMS.txt").write_text("")
    if claim is not None:
        (root / ".cxrsync").mkdir()
        dataset, version = claim
        (root / ".cxrsync/tree.json").write_text(
            json.dumps({"dataset": dataset, "version": version})
        )
    return root


def found_in(dest: Path) -> list[FoundTree]:
    return find_trees(Location(dest, wget_folders("https://physionet.org/files")))


CASES = {
    "plain": (f"{JPG}/2.1.0", (JPG, "2.1.0"), "", (JPG, "2.1.0")),
    "left by wget": (f"{JPG}/2.1.0", None, "", (JPG, "2.1.0")),
    "below the host": (f"physionet.org/files/{JPG}/2.0.0", None, "", (JPG, "2.0.0")),
    "not in the catalogue": ("other/1.0", None, "", ("other", "1.0")),
    "a version that is a word": ("other/next", ("other", "next"), "", ("other", "next")),
    "in a folder of versions": ("2.1.0", (JPG, "2.1.0"), "", (JPG, "2.1.0")),
    "the folder of a dataset": (f"{JPG}/2.1.0", None, JPG, (JPG, "2.1.0")),
    "the root itself": (f"{JPG}/2.1.0", None, f"{JPG}/2.1.0", (JPG, "2.1.0")),
    "a root with any name": ("any", (JPG, "2.1.0"), "any", (JPG, "2.1.0")),
}


@pytest.mark.parametrize("name", CASES)
def test_a_tree_is_found(dest: Path, name: str) -> None:
    place, claim, named, identity = CASES[name]
    root = tree(dest / place, claim)
    [found] = found_in(dest / named)
    assert (found.identity, found.root, found.problem) == (identity, root, None)
    assert found.target().name == " ".join(identity)


PASSED_OVER = {
    "a copy under another name": ("backup/2.1.0", (JPG, "2.1.0")),
    "a folder of the user's own": ("mine/notes", None),
    "not where wget puts it": (f"somebody/{JPG}/2.1.0", None),
}


@pytest.mark.parametrize("name", PASSED_OVER)
def test_what_is_no_tree_here(dest: Path, name: str) -> None:
    place, claim = PASSED_OVER[name]
    tree(dest / place, claim)
    assert found_in(dest) == []


def test_older_versions_come_first(dest: Path) -> None:
    for version in ("2.10.0", "2.9.0", "2.1.0"):
        tree(dest / JPG / version)
    assert [each.root.name for each in found_in(dest)] == ["2.1.0", "2.9.0", "2.10.0"]


def test_nothing_says_which_dataset_it_is(dest: Path) -> None:
    root = tree(dest / "2.1.0")
    for named in (dest, root):
        [found] = found_in(named)
        assert found.identity is None
        with pytest.raises(UsageError, match="which dataset"):
            found.target()


def test_a_tree_that_is_another_one_than_its_folders_say(dest: Path) -> None:
    tree(dest / JPG / "2.0.0", (JPG, "2.1.0"))
    [found] = found_in(dest)
    assert str(found.problem).endswith(f"holds {JPG} 2.1.0, not {JPG} 2.0.0")


def test_a_broken_link(dest: Path) -> None:
    (dest / JPG).mkdir()
    (dest / JPG / "2.1.0").symlink_to("/nowhere/2.1.0")
    (dest / "mimic-cxr").symlink_to("/nowhere")
    (dest / "mine").symlink_to("/nowhere")
    dicom, jpg = found_in(dest)
    for found in (dicom, jpg):
        assert isinstance(found.problem, DiskError)
        assert found.problem.exit_code == ExitCode.DISK
        assert "which is not there" in str(found.problem)
    assert (dicom.identity, jpg.identity) == (("mimic-cxr", ""), (JPG, "2.1.0"))


@pytest.mark.parametrize(
    ("closed", "mode"),
    [(f"{JPG}/2.1.0", 0), (JPG, 0), (JPG, 0o711), ("", 0), ("", 0o711)],
)
def test_a_folder_that_we_may_not_read(dest: Path, closed: str, mode: int) -> None:
    tree(dest / JPG / "2.1.0")
    (dest / closed).chmod(mode)
    with as_user(NOBODY, NOBODY):
        if closed:
            [found] = found_in(dest)
            problem = found.problem
        else:
            with pytest.raises(DiskError) as caught:
                found_in(dest)
            problem = caught.value
    assert "may not be read by this user" in str(problem)


def test_a_folder_that_is_a_file(dest: Path) -> None:
    (dest / "file").write_text("")
    with pytest.raises(UsageError, match="is not a folder"):
        found_in(dest / "file")
