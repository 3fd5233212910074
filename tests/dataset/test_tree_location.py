"""Finding the tree of a version: in each of wget's layouts, in no other place, never by a guess."""

import os
import shutil
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest

from cxrsync.dataset.tree_identity import claim_tree
from cxrsync.dataset.tree_location import Layout, Location, wget_folders
from cxrsync.errors import ExitCode, UsageError
from cxrsync.storage.filesystem import make_folders
from cxrsync.storage.tree import Tree

SLUG, OTHER, VERSION = "mimic-cxr-jpg", "mimic-cxr", "2.1.0"
MIRROR = "https://mirror.example:8443/pub/files"
SUBJECT, STUDY = "p10000032", "s50414267"


def location(folder: Path, base_url: str = "https://physionet.org/files") -> Location:
    return Location(folder, wget_folders(base_url))


def make_tree(root: Path) -> Path:
    """Make a tree as wget leaves it: a manifest and a shard, no claim."""
    make_folders(root / "files" / "p10" / SUBJECT / STUDY)
    (root / "SHA256SUMS.txt").touch()
    return root


def refusal(call: Callable[[], object]) -> str:
    """Return the message of the UsageError that ``call`` raises, with its next step."""
    with pytest.raises(UsageError) as caught:
        call()
    assert caught.value.exit_code is ExitCode.USAGE
    return f"{caught.value} {caught.value.next_step}"


# ── where wget puts a tree ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("url", "folders"),
    [
        ("https://physionet.org/files", []),
        ("https://physionet.org:443/files", []),
        ("http://PhysioNet.org/files/", []),
        ("https://mirror.example/files", ["mirror.example/files"]),
        ("https://127.0.0.1:8443/files", ["127.0.0.1:8443/files"]),
        ("http://mirror.example:80/files", ["mirror.example/files"]),
        ("https://mirror.example:80/files", ["mirror.example:80/files"]),
        (MIRROR, ["pub/files", "mirror.example:8443/pub/files"]),
        ("https://mirror.example", ["mirror.example"]),
        # An invalid address, or one with "..", adds no folder.
        ("https://mirror.example/../../etc", []),
        ("https://mirror.example/a b", []),
        ("https://[::1/files", []),
        ("https://mirror.example:port/files", []),
        ("files", []),
        ("", []),
    ],
)
def test_the_folders_that_wget_makes_of_an_address(url: str, folders: list[str]) -> None:
    always = ["", "files", "physionet.org/files", "www.physionet.org/files"]
    assert list(wget_folders(url)) == always + folders


LAYOUTS = {
    f"{SLUG}/{VERSION}": Layout.PLAIN,
    f"physionet.org/files/{SLUG}/{VERSION}": Layout.WGET,
    f"www.physionet.org/files/{SLUG}/{VERSION}": Layout.WGET,
    f"mirror.example:8443/pub/files/{SLUG}/{VERSION}": Layout.WGET,
    f"files/{SLUG}/{VERSION}": Layout.WGET,
    VERSION: Layout.VERSIONS,
    ".": Layout.ROOT,
}


@pytest.mark.parametrize(("below", "layout"), LAYOUTS.items())
@pytest.mark.parametrize("is_claimed", [True, False])
def test_each_layout_is_found(tmp_path: Path, below: str, layout: Layout, is_claimed: bool) -> None:
    root = make_tree(tmp_path / below)
    if is_claimed:
        claim_tree(Tree(root), SLUG, VERSION)
    here = location(tmp_path, MIRROR)

    found = here.find(SLUG, VERSION)

    assert (found.root, found.layout, found.exists) == (root, layout, True)
    assert here.find_existing(SLUG, VERSION) == found
    assert here.versions(SLUG) == ([] if layout is Layout.ROOT and not is_claimed else [VERSION])
    assert here.trees(SLUG) == ([] if layout is Layout.ROOT else [root])
    assert here.claimed() == ([(SLUG, VERSION)] if is_claimed else [])
    notice = here.notice(found, SLUG, VERSION)
    is_plain = layout is Layout.PLAIN or (layout is Layout.ROOT and is_claimed)
    assert (notice is None) is is_plain
    assert notice is None or (str(root) in notice and ("wget" in notice) is not is_claimed)


@pytest.mark.parametrize("below", list(LAYOUTS)[:-1])
def test_another_version_goes_next_to_the_first(tmp_path: Path, below: str) -> None:
    root = make_tree(tmp_path / below)
    claim_tree(Tree(root), SLUG, VERSION)
    found = location(tmp_path, MIRROR).find(SLUG, "2.2.0")
    assert (found.root, found.exists) == (root.parent / "2.2.0", False)
    notice = location(tmp_path, MIRROR).notice(found, SLUG, "2.2.0")
    assert (notice is None) is (below == f"{SLUG}/{VERSION}")


@pytest.mark.parametrize(
    "below",
    [
        f"somebody/files/{SLUG}/{VERSION}",
        f"mirror.example:8443/files/{SLUG}/{VERSION}",
        f"physionet.org/{SLUG}/{VERSION}",
        f"physionet.org/files/{OTHER}/{VERSION}",
        f"{OTHER}/{VERSION}",
        f"backup/{VERSION}",
        f"backup/{SLUG}/{VERSION}",
    ],
)
def test_a_tree_in_another_place_is_not_used(tmp_path: Path, below: str) -> None:
    claim_tree(Tree(make_tree(tmp_path / below)), SLUG if SLUG in below else OTHER, VERSION)
    here = location(tmp_path)
    found = here.find(SLUG, VERSION)
    plain = tmp_path / SLUG / VERSION
    assert (found.root, found.layout, found.exists) == (plain, Layout.PLAIN, False)
    assert here.find_existing(SLUG, VERSION) is None
    assert (here.versions(SLUG), here.trees(SLUG)) == ([], [])
    assert SLUG not in {each.dataset for each in here.claimed()}


def test_a_new_tree_goes_into_the_plain_layout(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "no" / "such"):
        here = location(folder)
        assert here.find(SLUG, VERSION).root == folder / SLUG / VERSION
        assert (here.versions(SLUG), here.claimed()) == ([], [])
    assert list(tmp_path.iterdir()) == []


def test_only_roots_count_as_versions(tmp_path: Path) -> None:
    for version in ("2.0.0", "1.0.0"):
        make_tree(tmp_path / SLUG / version)
    (tmp_path / SLUG / "3.0.0-empty").mkdir()
    (tmp_path / SLUG / "index.html").touch()
    assert location(tmp_path).versions(SLUG) == ["1.0.0", "2.0.0"]


def test_a_version_that_wget_only_began_is_found(tmp_path: Path) -> None:
    """It has no manifest yet: the layout identifies it, or the folder's own path."""
    root = tmp_path / "physionet.org/files" / SLUG / VERSION
    root.mkdir(parents=True)
    assert location(tmp_path).find(SLUG, VERSION).root == tmp_path / SLUG / VERSION
    (root / "LICENSE.txt").touch()
    assert location(tmp_path).find(SLUG, VERSION).root == root
    found = location(root).find(SLUG, VERSION)
    assert (found.root, found.layout) == (root, Layout.ROOT)
    assert location(root).versions(SLUG) == [VERSION]
    assert location(root).find(OTHER, VERSION).layout is Layout.PLAIN


def test_folders_with_numbers_are_not_versions(tmp_path: Path) -> None:
    """A folder named after a year is not taken for a version, nor for the place of versions."""
    make_tree(tmp_path / "2023")
    here = location(tmp_path)
    assert here.versions(SLUG) == []
    assert here.find(SLUG, VERSION).root == tmp_path / SLUG / VERSION
    assert here.find(SLUG, "2023").root == tmp_path / "2023"  # the user named this version


# ── two trees of one version ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("first", "second"), list(combinations(LAYOUTS, 2)))
def test_two_trees_of_one_version_are_refused(tmp_path: Path, first: str, second: str) -> None:
    one, other = make_tree(tmp_path / first), make_tree(tmp_path / second)
    here = location(tmp_path, MIRROR)
    for call in (here.find, here.find_existing):
        message = refusal(lambda call=call: call(SLUG, VERSION))  # type: ignore[misc]
        assert all(f"in {root}" in message for root in (one, other))
    # The next steps that the error names work.
    assert location(one).find(SLUG, VERSION).root == one
    shutil.move(one, tmp_path.parent / f"{tmp_path.name}-away")
    assert here.find(SLUG, VERSION).root == other


def test_a_claimed_root_is_chosen_before_trees_inside_it(tmp_path: Path) -> None:
    """Other trees inside it do not count: an older cxrsync created trees in trees."""
    root = make_tree(tmp_path / SLUG / VERSION)
    claim_tree(Tree(root), SLUG, VERSION)
    nested = make_tree(root / "files" / SLUG / VERSION)
    claim_tree(Tree(nested), SLUG, VERSION)
    assert location(root).find(SLUG, VERSION).root == root
    assert location(nested).find(SLUG, VERSION).root == nested
    assert location(root / "files").find(SLUG, VERSION).root == root


def test_a_link_to_a_tree_is_not_a_second_tree(tmp_path: Path) -> None:
    root = make_tree(tmp_path / "physionet.org/files" / SLUG / VERSION)
    (tmp_path / SLUG).symlink_to(root.parent)
    here = location(tmp_path)
    assert here.find(SLUG, VERSION).root == tmp_path / SLUG / VERSION
    assert here.find(SLUG, "2.2.0").root == tmp_path / SLUG / "2.2.0"
    assert here.trees(SLUG) == [tmp_path / SLUG / VERSION]


def test_a_tree_that_wget_only_began_is_not_a_second_tree(tmp_path: Path) -> None:
    root = make_tree(tmp_path / SLUG / VERSION)
    begun = tmp_path / "physionet.org/files" / SLUG / VERSION
    begun.mkdir(parents=True)
    (begun / "index.html").touch()
    assert location(tmp_path).find(SLUG, VERSION).root == root


def test_two_folders_of_one_dataset_are_refused_for_a_new_version(tmp_path: Path) -> None:
    make_tree(tmp_path / "files" / SLUG / "1.0.0")
    make_tree(tmp_path / "physionet.org/files" / SLUG / "2.0.0")
    here = location(tmp_path)
    assert here.versions(SLUG) == ["1.0.0", "2.0.0"]
    assert here.find(SLUG, "1.0.0").root == tmp_path / "files" / SLUG / "1.0.0"
    assert "versions of mimic-cxr-jpg twice" in refusal(lambda: here.find(SLUG, VERSION))
    make_tree(tmp_path / SLUG / "2.0.1")  # new versions go into the plain layout
    assert here.find(SLUG, VERSION).root == tmp_path / SLUG / VERSION


# ── a part of a tree, or another's ─────────────────────────────────────────────────────────────


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_tree(tmp_path / SLUG / VERSION)


def test_the_folder_files_leads_to_its_tree(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root / "files")
    for folder in (
        root / "files",
        Path(f"{root}/files/"),
        root / "files/p10/..",
        tmp_path / "link",
    ):
        found = location(folder).find(SLUG, VERSION)
        assert (found.root, found.layout) == (root, Layout.FILES)
        notice = location(folder).notice(found, SLUG, VERSION)
        assert notice is not None
        assert str(root) in notice


@pytest.mark.parametrize(
    ("below", "words"),
    [
        ("files/p10", " --shard p10"),
        ("files/p11", " --shard p11"),  # not there yet
        (f"files/p10/{SUBJECT}", f" --subject {SUBJECT}"),
        (f"files/p10/{SUBJECT}/{STUDY}", f" --study {STUDY}"),
        ("files/p10/new", ""),
        ("anything", ""),
        (".cxrsync", ""),
        (".cxrsync/p10/partial", ""),
        (".cxrsync/trash/x", ""),
    ],
)
def test_a_folder_in_a_tree_is_refused(root: Path, below: str, words: str) -> None:
    (root / below).mkdir(parents=True, exist_ok=True)
    (root / ".cxrsync").mkdir(exist_ok=True)
    for folder in (root / below, Path(os.path.relpath(root / below))):
        message = refusal(lambda folder=folder: location(folder).find(SLUG, VERSION))  # type: ignore[misc]
        assert message.endswith(f"Say --dest {root}{words}")
        assert location(folder).find_existing(SLUG, VERSION) is None


def test_a_tree_inside_a_tree_is_continued(root: Path) -> None:
    """An older cxrsync created it: nothing that was downloaded is lost."""
    nested = make_tree(root / "files/p10" / SLUG / VERSION)
    assert location(root / "files/p10").find(SLUG, VERSION).root == nested


def test_siblings_of_a_root_lie_in_its_internal_folder(root: Path) -> None:
    beside = root / ".cxrsync/beside"
    assert location(beside).find(OTHER, VERSION).root == beside / OTHER / VERSION


@pytest.mark.parametrize(
    ("parts", "place"),
    [
        (f"p10/{SUBJECT}", "TREE/files/"),
        (SUBJECT, "TREE/files/p10/"),
        (STUDY, f"TREE/files/p10/{SUBJECT}/"),
    ],
)
def test_loose_parts_of_a_tree_are_refused(tmp_path: Path, parts: str, place: str) -> None:
    (tmp_path / "moved" / parts).mkdir(parents=True)
    message = refusal(lambda: location(tmp_path / "moved").find(SLUG, VERSION))
    assert place in message
    # After the move that the error names, the tree is found.
    root = tmp_path / "TREE"
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "moved").rename(tmp_path / place)
    assert location(root).find(SLUG, VERSION).root == root


def test_folders_with_names_like_parts_are_accepted(tmp_path: Path) -> None:
    for name in ("p10", "p11/src", "p10/x10000032", "projects/p10000032x"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    assert location(tmp_path).find(SLUG, VERSION).root == tmp_path / SLUG / VERSION
    assert location(tmp_path / "p10").find(SLUG, VERSION).root == tmp_path / "p10" / SLUG / VERSION


def test_a_folder_with_versions_of_another_dataset_is_refused(tmp_path: Path) -> None:
    make_tree(tmp_path / OTHER / VERSION)
    message = refusal(lambda: location(tmp_path / OTHER).find(SLUG, VERSION))
    assert f"holds versions of {OTHER}, not of {SLUG} Say --dest {tmp_path}" in message
    (tmp_path / OTHER).rename(tmp_path / "data")
    claim_tree(Tree(tmp_path / "data" / VERSION), OTHER, VERSION)
    message = refusal(lambda: location(tmp_path / "data").find(SLUG, VERSION))
    assert "another folder" in message


@pytest.mark.parametrize("name", ["file", f"{SLUG}/{VERSION}/SHA256SUMS.txt"])
def test_a_file_is_refused(root: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    message = refusal(lambda: location(tmp_path / name).find(SLUG, VERSION))
    assert "is not a folder" in message
    assert (str(root) in message.partition("Say")[2]) is (name != "file")


def test_other_paths_of_the_same_folder(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(root)
    monkeypatch.chdir(root)
    for path in (".", "../2.1.0", str(tmp_path / "link"), f"{root}/", "files/.."):
        found = location(Path(path)).find(SLUG, VERSION)
        assert found.root.samefile(root)
        assert found.layout is Layout.ROOT
        assert location(Path(path)).versions(SLUG) == [VERSION]
    monkeypatch.chdir(root / "files")
    assert location(Path()).find(SLUG, VERSION).root == root
    monkeypatch.chdir(tmp_path)
    assert location(Path()).find(SLUG, VERSION).root == root


def test_a_loop_of_links_is_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    here = location(tmp_path / "a")
    assert here.versions(SLUG) == []
    assert here.find(SLUG, VERSION).root == tmp_path / "a" / SLUG / VERSION


def test_a_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_tree(tmp_path / SLUG / VERSION)

    def refuse(folder: str | Path) -> list[str]:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(os, "listdir", refuse)
    assert location(tmp_path).find(SLUG, VERSION).root == root
    (tmp_path / "empty").mkdir()
    assert location(tmp_path / "empty").versions(SLUG) == []
