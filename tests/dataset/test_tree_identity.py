"""The dataset and version of a tree: by its claim, by its path, by its images, or unknown."""

from pathlib import Path

import pytest

from cxrsync.dataset.tree_identity import (
    Identity,
    check_identity,
    claim_tree,
    identity_from_path,
    identity_of,
    read_claim,
)
from cxrsync.errors import UsageError
from cxrsync.storage.tree import Tree

JPG, DICOM, TINY = "mimic-cxr-jpg", "mimic-cxr", "tiny"


@pytest.mark.parametrize(
    ("names", "identity"),
    [
        (f"{JPG}/2.1.0", (JPG, "2.1.0")),
        (f"{DICOM}/2.1.0", (DICOM, "2.1.0")),
        (f"{TINY}/1.0", (TINY, "1.0")),  # the dataset of the job
        (f"{JPG}/2.2.0-beta.1", (JPG, "2.2.0-beta.1")),
        ("backup/2.1.0", None),
        (f"{JPG}/2024", None),
        (f"{JPG}/current", None),
        (f"{JPG}/files", None),
        ("novel/1.0", None),
        (JPG, None),
    ],
)
def test_identity_from_path(tmp_path: Path, names: str, identity: tuple[str, str] | None) -> None:
    (tmp_path / names).mkdir(parents=True)
    assert identity_from_path(tmp_path / names, TINY) == identity
    assert identity_from_path(tmp_path / names / ".." / Path(names).name, TINY) == identity
    (tmp_path / "link").symlink_to(tmp_path / names)
    assert identity_from_path(tmp_path / "link", TINY) == identity


def test_the_path_of_a_link_counts(tmp_path: Path) -> None:
    (tmp_path / "disk7").mkdir()
    (tmp_path / JPG).mkdir()
    (tmp_path / JPG / "2.1.0").symlink_to(tmp_path / "disk7")
    assert identity_from_path(tmp_path / JPG / "2.1.0", JPG) == (JPG, "2.1.0")


def test_the_claim_counts_more_than_the_path(tmp_path: Path) -> None:
    root = tmp_path / JPG / "2.1.0"
    claim_tree(Tree(root), JPG, "2.1.0")
    moved = root.rename(tmp_path / JPG / "2.2.0")
    assert identity_of(moved, JPG) == read_claim(Tree(moved)) == (JPG, "2.1.0")


@pytest.mark.parametrize(
    ("names", "asked", "words"),
    [
        (f"{JPG}/2.0.0", (JPG, "2.1.0"), ["holds mimic-cxr-jpg 2.0.0", "--dataset-version 2.0.0"]),
        (f"{DICOM}/2.1.0", (JPG, "2.1.0"), ["holds mimic-cxr 2.1.0", "another --from"]),
    ],
)
def test_a_tree_of_another_version_or_dataset_is_refused(
    tmp_path: Path, names: str, asked: tuple[str, str], words: list[str]
) -> None:
    (tmp_path / names).mkdir(parents=True)
    with pytest.raises(UsageError) as caught:
        check_identity(tmp_path / names, Identity(*asked), "--from")
    message = f"{caught.value} {caught.value.next_step}"
    assert [word for word in words if word not in message] == []
    with pytest.raises(UsageError):
        claim_tree(Tree(tmp_path / names), *asked)
    assert list((tmp_path / names).iterdir()) == []


def test_the_error_names_the_destination_of_a_new_version(tmp_path: Path) -> None:
    root = tmp_path / JPG / "2.0.0"
    root.mkdir(parents=True)
    with pytest.raises(UsageError) as caught:
        check_identity(root, Identity(JPG, "2.1.0"))
    assert f"--dest {tmp_path}" in caught.value.next_step


def test_images_identify_a_tree_without_claim(tmp_path: Path) -> None:
    image = tmp_path / "data/files/p10/p10000032/s50414267/0.jpg"
    image.parent.mkdir(parents=True)
    image.touch()
    check_identity(tmp_path / "data", Identity(JPG, "2.1.0"))
    with pytest.raises(UsageError, match="holds images of mimic-cxr-jpg, not of mimic-cxr"):
        check_identity(tmp_path / "data", Identity(DICOM, "2.1.0"))
