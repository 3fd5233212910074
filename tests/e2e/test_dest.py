"""Where a destination leads, by the command line: to one of wget's places, said aloud; nowhere
that is somebody else's; and never into a tree, with everything fetched again."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e.stage import DICOM, JPG, VERSION, Ended, Machine, fingerprint

from cxrsync.demo.server.server import MiniPhysioNet

SHARD = ("--jpg", "--shard", "p10", "--no-tables")
READERS = (("status",), ("verify",), ("ls",))


@pytest.fixture
def server(shared_server: MiniPhysioNet) -> MiniPhysioNet:
    return shared_server


def notices(ended: Ended) -> list[str]:
    return [event["text"] for event in ended.events if event["event"] == "notice"]


def copy(tree: Path, root: Path) -> Path:
    """What somebody, or wget, left there: a shard of it, and nothing of ours."""
    shutil.copytree(tree / "files/p10", root / "files/p10")
    shutil.copy2(tree / "SHA256SUMS.txt", root)
    return root


@pytest.fixture
def tree(machine: Machine, jpg: Path) -> Path:
    return copy(jpg, machine.dest / JPG / VERSION)


# ── somebody else's ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("above", ["somebody/files", "tmp.x7/files", "mirror.example:8443/files"])
def test_a_tree_of_somebody_else_is_left_alone(machine: Machine, jpg: Path, above: str) -> None:
    other = copy(jpg, machine.dest / above / JPG / VERSION)
    before = sorted(other.rglob("*"))

    for command in READERS:
        ended = machine.run(*command, *SHARD, "--from", str(jpg.parents[1]))
        assert str(other) not in ended.out + ended.err
    done = machine.pull("--jpg", "--only", "docs")

    assert done.code == 0, done.err
    assert done.summary["root"] == str(machine.dest / JPG / VERSION)
    assert sorted(other.rglob("*")) == before


# ── said aloud ─────────────────────────────────────────────────────────────────────────────────


def test_a_tree_that_wget_left_is_said_and_gone_on_with(
    machine: Machine, server: MiniPhysioNet, jpg: Path
) -> None:
    root = copy(jpg, machine.dest / "physionet.org/files" / JPG / VERSION)
    for command in READERS:
        looked = machine.run(*command, *SHARD)
        assert looked.code == 0, looked.err
        assert f"note: continuing with the tree that wget left in {root}" in looked.err

    done = machine.pull(*SHARD)

    assert done.code == 0, done.err
    assert f"continuing with the tree that wget left in {root}" in notices(done)
    assert done.summary["root"] == str(root)
    assert done.summary["files"]["fetched"] == 0
    again = machine.pull(*SHARD)
    assert f"continuing with the tree in {root}" in notices(again)
    assert machine.run("-q", "status", *SHARD).err == ""


def test_the_host_of_a_mirror(machine: Machine, server: MiniPhysioNet, jpg: Path) -> None:
    """As `wget -r` writes it, with the port; for readers as well."""
    host = machine.base_url.removeprefix("https://")
    root = copy(jpg, machine.dest / host / JPG / VERSION)
    for command in READERS:
        assert f"wget left in {root}" in machine.run(*command, *SHARD).err
    assert machine.pull(*SHARD).summary["root"] == str(root)
    assert machine.run("status").code == 0


def test_the_plain_place_needs_no_word(machine: Machine, tree: Path) -> None:
    done = machine.pull(*SHARD)
    assert done.summary["root"] == str(tree)
    assert not any("continuing with" in text for text in notices(done))


def test_a_tree_whose_version_nothing_tells(machine: Machine, jpg: Path) -> None:
    copy(jpg, machine.dest)
    done = machine.pull(*SHARD)
    assert done.code == 0, done.err
    assert any("2.1.0 is assumed" in text for text in notices(done))
    assert done.summary["files"]["fetched"] == 0
    # It is noted now.
    assert not any("is assumed" in text for text in notices(machine.pull(*SHARD)))
    assert machine.run("status").code == 0


# ── two of them ────────────────────────────────────────────────────────────────────────────────


def test_two_trees_of_one_version_are_named(
    machine: Machine, server: MiniPhysioNet, tree: Path, jpg: Path
) -> None:
    other = copy(jpg, machine.dest / "physionet.org/files" / JPG / VERSION)
    before = sorted(machine.dest.rglob("*"))
    for command in (*READERS, ("pull",), ("pull", "--dry-run"), ("verify", "--repair")):
        ended = machine.run(*command, *SHARD)
        assert ended.code == 2
        assert f"in {tree} and in {other}" in ended.err
    assert server.request_log.snapshot().requests == 0
    assert sorted(machine.dest.rglob("*")) == before
    named = machine.pull(*SHARD, "--dest", str(other))
    assert named.summary["root"] == str(other)


# ── a part of a tree ───────────────────────────────────────────────────────────────────────────


def test_the_folder_files_of_a_tree(machine: Machine, tree: Path) -> None:
    for command in (("pull", *SHARD), ("pull", *SHARD, "--dry-run"), ("status",), ("verify",)):
        ended = machine.run(*command, "--dest", f"{tree}/files/")
        assert ended.code == 0, ended.err
        assert f"{tree}/files is a part of the tree in {tree}" in ended.err
    assert not (tree / "files" / JPG).exists()
    assert fingerprint(tree).keys() == {
        str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()
    } - {str(path.relative_to(tree)) for path in (tree / ".cxrsync").rglob("*")}


@pytest.mark.parametrize("below", ["files/p10", "{subject}", ".cxrsync", ".cxrsync/p10"])
def test_a_folder_in_a_tree(
    machine: Machine, server: MiniPhysioNet, tree: Path, below: str
) -> None:
    assert machine.pull(*SHARD).code == 0
    server.request_log.reset()
    [subject, *_] = sorted((tree / "files/p10").iterdir())
    folder = tree / below.format(subject=subject.relative_to(tree))
    before = sorted(folder.rglob("*"))
    for command in (("pull",), ("ls",), ("status",), ("verify",), ("pull", "--dry-run")):
        ended = machine.run(*command, *SHARD, "--dest", str(folder))
        assert ended.code == 2
        assert f"Say --dest {tree}" in ended.err
        assert "note:" not in ended.err
    for command in (("status",), ("verify",)):  # whose dataset is not named
        assert f"Say --dest {tree}" in machine.run(*command, "--dest", str(folder)).err
    if folder == subject:
        assert f"--dest {tree} --subject {subject.name}" in ended.err
    assert server.request_log.snapshot().requests == 0
    assert sorted(folder.rglob("*")) == before


def test_a_shard_that_somebody_moved(machine: Machine, server: MiniPhysioNet, jpg: Path) -> None:
    moved = machine.dest / "p10"
    shutil.copytree(jpg / "files/p10", moved)
    for dest in (machine.dest, moved):
        ended = machine.pull(*SHARD, "--dest", str(dest))
        assert ended.code == 2
        assert f"{dest} holds parts of a tree" in ended.err
        assert "TREE/files/" in ended.err
    assert server.request_log.snapshot().requests == 0
    assert sorted(path.name for path in machine.dest.iterdir()) == ["p10"]


# ── another version, another dataset ───────────────────────────────────────────────────────────


def test_the_name_of_a_folder_tells_its_version(
    machine: Machine, server: MiniPhysioNet, files_root: Path
) -> None:
    root = copy(files_root / JPG / "2.0.0", machine.dest / JPG / "2.0.0")
    before = sorted(root.rglob("*"))
    for command in (("pull",), ("ls",), ("status",), ("verify",)):
        ended = machine.run(*command, *SHARD, "--dest", str(root), "--dataset-version", VERSION)
        assert ended.code == 2
        assert f"{root} holds mimic-cxr-jpg 2.0.0, not mimic-cxr-jpg 2.1.0" in ended.err
    assert f"With --dest {machine.dest}, version 2.1.0 goes into a folder" in ended.err
    assert server.request_log.snapshot().requests == 0
    assert sorted(root.rglob("*")) == before

    done = machine.pull(*SHARD, "--dest", str(root))
    assert done.code == 0, done.err
    assert done.event("start")["version"] == "2.0.0"
    assert done.summary["files"]["fetched"] == 0


def test_the_name_of_a_folder_tells_its_dataset(machine: Machine, tree: Path) -> None:
    for dest in (tree, tree.parent):
        for command in (("pull",), ("verify",)):
            ended = machine.run(*command, "--dicom", "--shard", "p10", "--dest", str(dest))
            assert ended.code == 2, ended.err
            assert "mimic-cxr-jpg" in ended.err
    assert not list(machine.dest.rglob(DICOM))


# ── ways to say a folder ───────────────────────────────────────────────────────────────────────


def test_other_ways_to_say_it(machine: Machine, tree: Path) -> None:
    (machine.home / "link").symlink_to(tree)
    (machine.home / "cxr").symlink_to(machine.dest)
    for dest in ("~/link", "~/cxr", "~/cxr/", f"{tree}/", f"{tree}/files/..", f"{tree}/../2.1.0"):
        done = machine.pull(*SHARD, "--dest", dest)
        assert done.code == 0, done.err
        assert Path(done.summary["root"]).samefile(tree)
        assert done.summary["files"]["fetched"] == 0


@pytest.mark.parametrize(
    ("where", "dest"), [("", "."), ("files", "."), ("files", ".."), ("files/p10", "../..")]
)
def test_relative_to_where_one_is(
    serve: Callable[..., MiniPhysioNet], machine: Machine, tree: Path, where: str, dest: str
) -> None:
    process = machine.start(
        "pull", "--json", "--progress", "none", *SHARD, "--dest", dest, cwd=tree / where
    )
    out, err = process.communicate()
    done = Ended(process.returncode, out, err)
    assert done.code == 0, err
    assert done.summary["root"] == str(tree)


def test_a_file(machine: Machine, server: MiniPhysioNet, tree: Path) -> None:
    for command in (("pull",), ("ls",), ("status",), ("verify",)):
        ended = machine.run(*command, *SHARD, "--dest", str(tree / "SHA256SUMS.txt"))
        assert ended.code == 2
        assert f"is not a folder\nSay --dest {tree}" in ended.err
    assert server.request_log.snapshot().requests == 0


# ── what an older version has ──────────────────────────────────────────────────────────────────


def test_link_from_goes_by_the_same_rule(machine: Machine, files_root: Path) -> None:
    old = files_root / JPG / "2.0.0"
    copy(old, machine.home / "somebody/files" / JPG / "2.0.0")
    refused = machine.pull(*SHARD, "--link-from", str(machine.home))
    assert refused.code == 2
    assert "holds no version of mimic-cxr-jpg" in refused.err

    wget = copy(old, machine.home / "physionet.org/files" / JPG / "2.0.0")
    for place in (machine.home, wget, wget / "files"):
        machine.dest = machine.home / "new" / str(len(place.parts))
        done = machine.pull(*SHARD, "--link-from", str(place))
        assert done.code == 0, done.err
        assert done.summary["files"]["copied"] > 0
