"""Files that cannot be read are no files that are wrong: `verify` says which they are, and why; a
repair fetches anew what the disk has lost, and nothing that is somebody's to open."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e.failing_disk import FailingDisk, Fault, Told, build, failing_disk
from e2e.scripted import SLUG, VERSION, ScriptedServer, differences, noise

STUDY = "files/p10/p10000032/s50414267"
FILES = {f"{STUDY}/{n}.jpg": noise(str(n), 9_000 + n) for n in range(4)}
FIRST, SECOND, *_OTHERS = FILES


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(dict(FILES)) as server:
        yield server


@pytest.fixture(scope="module")
def disk(server: ScriptedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FailingDisk]:
    layer = build(tmp_path_factory.mktemp("layer"))
    if layer is None:
        pytest.skip("needs Linux and a C compiler")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path_factory.mktemp("home")),
        "CXRSYNC_DATASET": SLUG,
        "CXRSYNC_DATASET_VERSION": VERSION,
        "CXRSYNC_BASE_URL": server.base_url,
    }
    with failing_disk(layer, environment) as disk:
        yield disk


@pytest.fixture(scope="module")
def whole(disk: FailingDisk, tmp_path_factory: pytest.TempPathFactory) -> Path:
    dest = tmp_path_factory.mktemp("whole")
    assert disk.run("pull", "--progress", "none", "--dest", str(dest)).code == 0
    return dest


@pytest.fixture
def root(whole: Path, tmp_path: Path, server: ScriptedServer) -> Path:
    """A tree that is complete; what is asked of the server counts from here."""
    shutil.copytree(whole, tmp_path / "mirror")
    server.counts.clear()
    return tmp_path / "mirror" / SLUG / VERSION


Verify = Callable[..., Told]


@pytest.fixture
def verify(disk: FailingDisk, root: Path) -> Verify:
    def run(*words: str, fault: Fault | None = None) -> Told:
        told = disk.run("verify", "--json", *words, "--dest", str(root.parents[1]), fault=fault)
        assert "Traceback" not in told.err
        assert "unexpected" not in told.err
        return told

    return run


def findings(told: Told) -> dict[str, tuple[str, str]]:
    """What was found of each file that is not good, and why."""
    found = {}
    for event in told.events:
        if event["event"] == "file" and event.get("finding", "good") != "good":
            found[event["path"]] = (event["finding"], event["reason"])
    return found


def counts(told: Told) -> dict[str, Any]:
    return {name: count for name, count in told.summary["files"].items() if count}


@pytest.mark.parametrize("error", [errno.EIO, errno.EACCES, errno.EPERM, errno.ENODATA])
def test_a_file_that_cannot_be_read(verify: Verify, error: int) -> None:
    told = verify(fault=Fault("read", f"*/{FIRST}", error))
    assert told.code == 5
    assert findings(told) == {FIRST: ("unreadable", os.strerror(error))}
    assert counts(told) == {"selected": 4, "good": 3, "unreadable": 1}
    assert "1 unreadable" in told.err
    assert f"unreadable: {FIRST}: {os.strerror(error)}" in told.err


def test_one_that_vanishes_meanwhile_is_missing(verify: Verify) -> None:
    told = verify(fault=Fault("read", f"*/{FIRST}", errno.ENOENT))
    assert (told.code, findings(told)) == (5, {FIRST: ("missing", "")})
    assert counts(told) == {"selected": 4, "good": 3, "missing": 1}


def test_one_that_cannot_be_looked_at(verify: Verify) -> None:
    """The folder's list has it; its inode is damaged, or the folder is somebody's."""
    told = verify(fault=Fault("find", f"*/{FIRST}", errno.EIO))
    assert (told.code, findings(told)) == (5, {FIRST: ("unreadable", os.strerror(errno.EIO))})


def test_a_folder_in_its_place_is_no_file(verify: Verify, root: Path) -> None:
    (root / FIRST).unlink()
    (root / FIRST).mkdir()
    told = verify()
    assert (told.code, findings(told)) == (5, {FIRST: ("missing", "")})


def test_what_is_wrong_counts_more(verify: Verify, root: Path) -> None:
    (root / SECOND).write_bytes(b"rotten")
    told = verify(fault=Fault("read", f"*/{FIRST}", errno.EIO))
    assert told.code == 6
    assert counts(told) == {"selected": 4, "good": 2, "bad": 1, "unreadable": 1}


@pytest.mark.parametrize("call", ["read", "find"])
@pytest.mark.parametrize("error", [errno.ESTALE, errno.ENOTCONN, errno.EMFILE])
def test_what_is_the_whole_disks_ends_it(verify: Verify, call: str, error: int) -> None:
    told = verify(fault=Fault(call, f"*/{FIRST}", error))
    assert told.code == 7
    assert os.strerror(error) in told.err
    assert "bad" not in told.err


def test_a_repair_fetches_what_the_disk_has_lost(
    verify: Verify, root: Path, server: ScriptedServer
) -> None:
    """The bad one is set aside, not removed: somebody may get more out of that disk."""
    inode = (root / FIRST).stat().st_ino
    told = verify("--repair", "--progress", "none", fault=Fault("read", f"*/{FIRST}", errno.EIO))
    assert told.code == 0, told.err
    assert server.counts[FIRST] == 1
    assert not server.counts.keys() & (FILES.keys() - {FIRST})
    assert differences(root.parents[1], FILES) == []
    assert (root / FIRST).stat().st_ino != inode
    [kept] = (root / ".cxrsync/trash").rglob("*.jpg")
    assert (kept.stat().st_ino, kept.read_bytes()) == (inode, FILES[FIRST])
    assert verify().code == 0


def test_a_repair_leaves_what_is_not_ours_to_open(
    verify: Verify, root: Path, server: ScriptedServer
) -> None:
    """Although the state says that it was right once: nobody has seen that now."""
    fault = Fault("read", f"*/{FIRST}", errno.EACCES)
    told = verify("--repair", "--progress", "none", fault=fault)
    assert told.code == 5
    [problem] = told.summary["problems"]
    assert problem["reason"] == "cannot read the existing file: Permission denied"
    assert not server.counts.keys() & FILES.keys()
    assert not (root / ".cxrsync/trash").exists()
    assert differences(root.parents[1], FILES) == []


def test_a_pull_by_itself_sets_nothing_aside_for_a_read_that_fails(
    disk: FailingDisk, root: Path, server: ScriptedServer
) -> None:
    """A cable may be loose: only a repair gives a file up."""
    (root / ".cxrsync/p10/state.sqlite3").unlink()
    fault = Fault("read", f"*/{FIRST}", errno.EIO)
    words = ("pull", "--json", "--progress", "none", "--dest", str(root.parents[1]))
    assert disk.run(*words, fault=fault).code == 5
    assert FIRST not in server.counts
    assert disk.run(*words).code == 0
