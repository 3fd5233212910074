"""Where the data may go: onto no drive that syncs online, nor unseen into a git work tree."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e.stage import JPG, VERSION, Ended, Machine

from cxrsync.demo.server.server import MiniPhysioNet

DOCUMENTS = ("--jpg", "--only", "docs")


@pytest.fixture
def server(shared_server: MiniPhysioNet) -> MiniPhysioNet:
    return shared_server


def warnings(ended: Ended) -> list[str]:
    """What was said of git."""
    notices = [event["text"] for event in ended.events if event["event"] == "notice"]
    return [text for text in notices if "git add" in text]


def in_dropbox(home: Path) -> Path:
    return home / "Dropbox" / "cxr"


def by_marker(home: Path) -> Path:
    (home / "cloud").mkdir()
    (home / "cloud" / ".sync_0123abcd.db").touch()
    return home / "cloud" / "cxr"


def by_link(home: Path) -> Path:
    (home / "OneDrive - University of X").mkdir()
    (home / "data").symlink_to("OneDrive - University of X")
    return home / "data" / "cxr"


def by_link_of_the_dataset(home: Path) -> Path:
    (home / "My Drive" / "mimic").mkdir(parents=True)
    (home / "cxr").mkdir()
    (home / "cxr" / JPG).symlink_to(home / "My Drive" / "mimic")
    return home / "cxr"


DRIVES = [in_dropbox, by_marker, by_link, by_link_of_the_dataset]


@pytest.mark.parametrize("drive", DRIVES, ids=lambda drive: drive.__name__)
def test_a_drive_that_syncs_is_refused(
    machine: Machine, server: MiniPhysioNet, drive: Callable[[Path], Path]
) -> None:
    machine.dest = drive(machine.home)
    before = sorted(machine.home.rglob("*"))

    ended = machine.pull(*DOCUMENTS)

    assert ended.code == 2
    for each in ("agreement", "not atomic", "--dest", "--allow-synced"):
        assert each in ended.err
    assert server.request_log.snapshot().requests == 0
    assert sorted(machine.home.rglob("*")) == before


@pytest.mark.parametrize(
    "words",
    [
        ("pull", *DOCUMENTS, "--dry-run"),
        ("ls", "--jpg"),
        ("diff", "2.0.0", VERSION, "--jpg"),
    ],
    ids=lambda words: words[0],
)
def test_whoever_would_write_there_is_refused(
    machine: Machine, server: MiniPhysioNet, words: tuple[str, ...]
) -> None:
    machine.dest = in_dropbox(machine.home)
    refused = machine.run(*words)
    assert refused.code == 2
    assert "--allow-synced" in refused.err
    assert server.request_log.snapshot().requests == 0
    assert not machine.dest.exists()

    assert machine.run(*words, "--allow-synced").code == 0


def test_a_drive_that_syncs_is_allowed_by_variable(machine: Machine) -> None:
    machine.dest = in_dropbox(machine.home)
    machine.environment["CXRSYNC_ALLOW_SYNCED"] = "1"
    ended = machine.pull(*DOCUMENTS)
    assert ended.code == 0, ended.err
    assert ended.summary["files"]["fetched"] > 0


def test_what_is_there_can_be_read_and_repaired(machine: Machine) -> None:
    machine.dest = in_dropbox(machine.home)
    assert machine.pull(*DOCUMENTS, "--allow-synced").code == 0
    for reader in (("verify", "--jpg"), ("status", "--jpg"), ("ls", *DOCUMENTS)):
        assert machine.run(*reader).code == 0
    [gone, *_] = [p for p in (machine.dest / JPG / VERSION).glob("*.txt") if "SHA" not in p.name]
    gone.unlink()
    assert machine.run("verify", "--repair").code == 2
    assert machine.run("verify", "--repair", "--allow-synced").code == 0
    assert gone.exists()


def test_what_only_resembles_one_is_no_matter(machine: Machine) -> None:
    machine.dest = machine.home / "dropbox_old" / "onedrive-backup"
    ended = machine.pull(*DOCUMENTS)
    assert ended.code == 0, ended.err


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
def test_a_git_work_tree_that_does_not_ignore_it(machine: Machine) -> None:
    project = machine.home / "project"
    subprocess.run(["git", "init", "-q", project], check=True, capture_output=True)
    machine.dest = project / "data"

    warned = machine.pull(*DOCUMENTS)
    assert warned.code == 0, warned.err
    [text] = warnings(warned)

    # The advice is followed to the letter.
    rule = text.rpartition(": ")[2]
    assert rule.startswith("/data/")
    (project / ".gitignore").write_text(rule + "\n")
    heeded = machine.pull(*DOCUMENTS)
    assert heeded.code == 0
    assert warnings(heeded) == []


def test_no_work_tree_no_warning(machine: Machine) -> None:
    ended = machine.pull(*DOCUMENTS)
    assert ended.code == 0
    assert warnings(ended) == []
