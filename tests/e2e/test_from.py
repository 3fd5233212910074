"""``--from``: nothing is copied under the name of another version than the tree is of."""

import shutil
from pathlib import Path

import pytest
from e2e.scripted import SLUG, VERSION, ScriptedServer, differences, noise, pull_from
from e2e.stage import JPG, Machine

import cxrsync
from cxrsync.api import run_job
from cxrsync.config.parse_job import make_job
from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.errors import UsageError
from cxrsync.events import RunSummary

FILES = {"a.bin": noise("a", 3000), "files/p10/p10000032/s50414267/0.jpg": noise("image", 9000)}


@pytest.fixture
async def mirror(tmp_path: Path) -> Path:
    """A folder in which version 1.0 lies, as we pulled it."""
    with ScriptedServer(FILES) as server:
        pulled = await pull_from(server, tmp_path / "mirror")
    assert pulled.code == 0
    return tmp_path / "mirror"


def without_note(root: Path) -> Path:
    shutil.rmtree(root / ".cxrsync")
    return root


async def copy(dest: Path, source: Path, version: str | None = None) -> RunSummary:
    said = {"dataset": SLUG, "dataset_version": version, "dest": dest, "from_dir": source}
    return await run_job(make_job({**said, "force": True}), lambda _event: None)


async def refusal(dest: Path, source: Path, version: str | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        await copy(dest, source, version)
    assert not dest.exists(), "nothing is begun"
    return f"{caught.value} {caught.value.next_step}"


@pytest.mark.parametrize("is_noted", [True, False])
@pytest.mark.parametrize("below", ["", "files"])
async def test_another_version_than_its_own(
    mirror: Path, tmp_path: Path, is_noted: bool, below: str
) -> None:
    """By our note in it; where that is gone, by its folders' names."""
    root = mirror / SLUG / VERSION
    if not is_noted:
        without_note(root)
    said = await refusal(tmp_path / "new", root / below, "2.0")
    assert f"{root} holds tiny 1.0, not tiny 2.0" in said
    assert "--dataset-version 1.0" in said


async def test_another_dataset_than_its_own(mirror: Path, tmp_path: Path) -> None:
    root = mirror / SLUG / VERSION
    for version in (VERSION, None):
        with pytest.raises(UsageError, match=r"holds tiny 1\.0, not mimic-cxr-jpg"):
            await cxrsync.apull(
                jpg=True, dataset_version=version, dest=tmp_path / "new", from_dir=root
            )
    jpg = without_note(root).parent.parent / JPG / "2.1.0"
    jpg.parent.mkdir()
    root.rename(jpg)
    with pytest.raises(UsageError, match=r"holds mimic-cxr-jpg 2\.1\.0, not mimic-cxr 2\.1\.0"):
        await cxrsync.apull(dicom=True, dest=tmp_path / "new", from_dir=jpg)
    bare = jpg.rename(tmp_path / "bare")
    with pytest.raises(UsageError, match="holds images of mimic-cxr-jpg, not of mimic-cxr"):
        await cxrsync.apull(
            dicom=True, dataset_version="2.1.0", dest=tmp_path / "new", from_dir=bare
        )


async def test_the_version_is_the_source_s_where_none_is_named(
    mirror: Path, tmp_path: Path
) -> None:
    for number, source in enumerate((mirror, mirror / SLUG, mirror / SLUG / VERSION)):
        dest = tmp_path / f"new{number}"
        assert (await copy(dest, source)).version == VERSION
        assert differences(dest, FILES) == []


async def test_the_destination_s_version_has_the_first_word(mirror: Path, tmp_path: Path) -> None:
    dest = tmp_path / "new"
    await copy(dest, mirror)
    shutil.copytree(mirror / SLUG / VERSION, mirror / SLUG / "2.0")
    without_note(mirror / SLUG / "2.0")
    assert (await copy(dest, mirror)).version == VERSION
    assert (await copy(tmp_path / "other", mirror)).version == "2.0"
    shutil.rmtree(mirror / SLUG / VERSION)
    with pytest.raises(UsageError) as caught:
        await copy(dest, mirror)
    assert "holds tiny 1.0, and --from" in str(caught.value)
    assert "--dataset-version 2.0" in caught.value.next_step


async def test_what_tells_nothing_is_taken_on_the_user_s_word_alone(
    mirror: Path, tmp_path: Path
) -> None:
    bare = without_note(mirror / SLUG / VERSION).rename(tmp_path / "bare")
    said = await refusal(tmp_path / "new", bare)
    assert "does not say which version of tiny it holds Say --dataset-version" in said
    assert (await copy(tmp_path / "new", bare, VERSION)).exit_code == 0
    assert differences(tmp_path / "new", FILES) == []


async def test_a_version_that_is_not_there(mirror: Path, tmp_path: Path) -> None:
    said = await refusal(tmp_path / "new", mirror, "2.0")
    assert "holds no tiny 2.0 It holds tiny 1.0." in said
    with pytest.raises(UsageError, match=f"holds no {JPG}") as caught:
        await cxrsync.apull(jpg=True, dest=tmp_path / "new", from_dir=mirror)
    assert "It holds tiny 1.0." in caught.value.next_step


@pytest.mark.parametrize("above", ["files", "physionet.org/files"])
async def test_wget_s_layouts(mirror: Path, tmp_path: Path, above: str) -> None:
    without_note(mirror / SLUG / VERSION)
    moved = tmp_path / "wget" / above
    moved.parent.mkdir(parents=True)
    mirror.rename(moved)
    assert (await copy(tmp_path / "new", tmp_path / "wget")).version == VERSION
    assert differences(tmp_path / "new", FILES) == []


async def test_two_trees_of_it(mirror: Path, tmp_path: Path) -> None:
    shutil.copytree(mirror / SLUG, mirror / "files" / SLUG)
    for version in (VERSION, None):
        said = await refusal(tmp_path / "new", mirror, version)
        assert f"in {mirror}/tiny/1.0 and in {mirror}/files/tiny/1.0" in said


async def test_somebody_else_s(mirror: Path, tmp_path: Path) -> None:
    moved = tmp_path / "home/somebody/files"
    moved.parent.mkdir(parents=True)
    mirror.rename(moved)
    assert "holds no tiny" in await refusal(tmp_path / "new", tmp_path / "home", VERSION)


@pytest.mark.parametrize("below", ["files/p10", ".cxrsync"])
async def test_a_part_of_a_tree(mirror: Path, tmp_path: Path, below: str) -> None:
    root = mirror / SLUG / VERSION
    said = await refusal(tmp_path / "new", root / below, VERSION)
    assert f"Say --from {root}" in said


def test_by_the_command_line(
    machine: Machine, server: MiniPhysioNet, files_root: Path, tmp_path: Path
) -> None:
    old = tmp_path / "copies" / JPG / "2.0.0"
    shutil.copytree(files_root / JPG / "2.0.0", old)
    for command in (("pull",), ("pull", "--dry-run"), ("ls",)):
        ended = machine.run(*command, "--jpg", "--dataset-version", "2.1.0", "--from", str(old))
        assert ended.code == 2
        assert f"{old} holds mimic-cxr-jpg 2.0.0, not mimic-cxr-jpg 2.1.0" in ended.err
    assert not machine.dest.exists()

    done = machine.pull("--jpg", "--only", "docs", "--from", str(old))
    assert done.code == 0, done.err
    assert done.event("start")["version"] == "2.0.0"

    bare = old.rename(tmp_path / "bare")
    machine.dest = tmp_path / "other"
    assert machine.pull("--jpg", "--only", "docs", "--from", str(bare)).code == 2
    trusted = machine.pull(
        "--jpg", "--only", "docs", "--from", str(bare), "--dataset-version", "2.0.0"
    )
    assert trusted.code == 0, trusted.err
    notices = [event["text"] for event in trusted.events if event["event"] == "notice"]
    assert any("mimic-cxr-jpg 2.0.0 is assumed, as named" in text for text in notices)
    assert server.request_log.snapshot().requests == 0


def test_another_dataset_s_files_are_not_looked_for_in_it(
    machine: Machine, files_root: Path, tmp_path: Path
) -> None:
    """The reports are in another dataset, which a version's own folder does not hold."""
    root = files_root / JPG / "2.1.0"
    ended = machine.pull("--jpg", "--shard", "p10", "--with-reports", "--from", str(root))
    assert ended.code == 2
    assert "has no mimic-cxr 2.1.0, which holds the reports" in ended.err
