"""What a destination lies in: synced drives are known, what resembles them is not; git is asked."""

import os
import shutil
import subprocess
import time
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.preflight import git_check
from cxrsync.preflight.cloud_sync import find_synced_drive
from cxrsync.preflight.destination import DestinationInfo, Mount, inspect, parse_mounts
from cxrsync.preflight.git_check import find_work_tree, ignore_rule, is_ignored

many = settings(max_examples=examples(100))
HOME = "/home/alice"


def around(place: str, *mounts: Mount, **hidden: str) -> DestinationInfo:
    """``hidden``: a folder's names; ``_`` in the keyword stands for ``/``."""
    return DestinationInfo(
        PurePosixPath(place),
        PurePosixPath(HOME),
        mounts,
        {
            PurePosixPath(folder.replace("_", "/")): frozenset(names.split())
            for folder, names in hidden.items()
        },
    )


def client(around: DestinationInfo) -> str | None:
    found = find_synced_drive(around)
    return None if found is None else found.client


# ── by name ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("place", "drive"),
    [
        ("/home/alice/Dropbox", "Dropbox"),
        ("/home/alice/Dropbox/data/mimic", "Dropbox"),
        ("/home/alice/Dropbox (Personal)/x", "Dropbox"),
        ("/data/Dropbox (Lab of Y)/x", "Dropbox"),
        ("/mnt/c/Users/alice/OneDrive/x", "OneDrive"),
        ("/mnt/c/Users/alice/OneDrive - University of X/cxr", "OneDrive"),
        ("/Users/alice/OneDrive/x", "OneDrive"),
        ("/Users/alice/Library/CloudStorage/OneDrive-Personal/x", "OneDrive"),
        ("/Users/alice/Library/CloudStorage/GoogleDrive-a@b.org/Mon Drive", "GoogleDrive"),
        ("/Users/alice/Library/CloudStorage/Box-Box/x", "Box"),
        ("/Users/alice/Library/CloudStorage/Dropbox", "Dropbox"),
        ("/Users/alice/Library/Mobile Documents/com~apple~CloudDocs/x", "iCloud Drive"),
        ("/mnt/c/Users/alice/iCloudDrive/x", "iCloud Drive"),
        ("/Users/alice/iCloud Drive", "iCloud Drive"),
        ("/Volumes/GoogleDrive/My Drive/x", "Google Drive"),
        ("/Volumes/Google Drive File Stream/x", "Google Drive"),
        ("/Users/alice/Google Drive/x", "Google Drive"),
        ("/mnt/g/My Drive/x", "Google Drive"),
        ("/Users/alice/My Drive (a@b.org)", "Google Drive"),
        ("/run/user/1000/gvfs/google-drive:host=b.org,user=a/0AG", "Google Drive"),
        ("/run/user/1000/gvfs/onedrive:host=x/y", "OneDrive"),
        ("/home/alice/pCloudDrive/x", "pCloud"),
        ("/Users/bob/pCloud Drive", "pCloud"),
        ("/home/alice/Box/x", "Box"),
        ("/Users/bob/Box/x", "Box"),
        ("/data/Box Sync", "Box"),
        ("/home/alice/Nextcloud/x", "Nextcloud"),
        ("/home/bob/ownCloud", "ownCloud"),
    ],
)
def test_the_names_that_clients_give(place: str, drive: str) -> None:
    assert client(around(place)) == drive


@pytest.mark.parametrize(
    "place",
    [
        "/",
        "/data",
        "/home/alice/physionet.org/files/mimic-cxr-jpg/2.1.0",
        "/home/alice/dropbox",
        "/home/alice/dropbox_old/x",
        "/home/alice/Dropbox-old",
        "/home/alice/not Dropbox",
        "/home/alice/DropboxData",
        "/home/alice/onedrive-backup",
        "/home/alice/OneDrive-backup/x",
        "/home/alice/OneDrive_old",
        "/home/alice/My Drives",
        "/home/alice/GoogleDriveExport",
        "/home/alice/google-drive",
        "/data/Box/x",
        "/home/Box/x",
        "/home/alice/experiments/Box",
        "/srv/Nextcloud/data",
        "/var/www/ownCloud/data",
        "/Users/alice/Library/CloudStorage",
        "/Users/alice/CloudStorage/x",
        "/data/Mobile Documents/x",
    ],
)
def test_what_only_resembles_them(place: str) -> None:
    assert find_synced_drive(around(place)) is None


@many
@given(
    st.sampled_from(
        ["Dropbox", "OneDrive", "Google Drive", "My Drive", "iCloud Drive", "pCloudDrive",
         "Box Sync", "Box", "Nextcloud", "ownCloud"]
    ),
    st.text("abcXYZ019_.-", max_size=4),
    st.text("abcXYZ019_.-", max_size=4),
)  # fmt: skip
def test_a_name_counts_as_a_whole(name: str, before: str, after: str) -> None:
    assert find_synced_drive(around(f"{HOME}/{name}/x")) is not None
    assume(before or after)
    assert find_synced_drive(around(f"{HOME}/{before}{name}{after}/x")) is None


def test_the_sign_names_the_folder() -> None:
    found = find_synced_drive(around("/home/alice/Dropbox/data/mimic"))
    assert found is not None
    assert "/home/alice/Dropbox " in found.sign


# ── by marker ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "drive"),
    [
        (".dropbox", "Dropbox"),
        (".849C9593-D756-4E56-8D6E-42412F2A707B", "OneDrive"),
        (".tmp.drivedownload/", "Google Drive"),
        (".shortcut-targets-by-id/", "Google Drive"),
        (".sync_0123abcdef.db", "Nextcloud or ownCloud"),
        ("._sync_0123abcdef.db", "Nextcloud or ownCloud"),
        (".dropbox/", None),  # the client's settings, in a home
        (".dropbox-dist/", None),
        (".sync_0123abcdef.db-wal", None),
        (".sync/", None),
        (".gitignore", None),
    ],
)
def test_what_clients_leave_in_a_folder(name: str, drive: str | None) -> None:
    assert client(around("/data/cloud/cxr", _data_cloud=f".x {name} .y/")) == drive
    assert client(around("/data/cloud", _data_cloud=name)) == drive
    # In a folder beside, it is another's.
    assert client(around("/data/own/cxr", _data_cloud=name)) is None


# ── by mount ───────────────────────────────────────────────────────────────────────────────────

TABLE = r"""22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:26 / /proc rw,nosuid shared:12 - proc proc rw
41 22 0:44 / /home/alice/cloud rw,nosuid shared:200 master:3 - fuse.rclone mine:a rw,user_id=1000
42 22 0:45 / /mnt/My\040Files rw - fuse.google-drive-ocamlfuse google-drive-ocamlfuse rw
43 22 0:46 / /content/drive rw - fuse.drive drive rw
44 22 0:47 / /home/alice/one rw - fuse.onedriver onedriver rw
45 22 0:48 / /home/alice/p rw - fuse.pCloud.AppImage pCloud.fs rw
46 22 0:49 / /home/alice/p2 rw - fuse pCloud.fs rw
47 22 0:50 / /net rw - fuse.sshfs server:/x rw
48 41 0:51 / /home/alice/cloud/ram rw - tmpfs tmpfs rw
49 22 0:52 / /scratch rw - fuse.rclone mine:b rw
50 49 0:53 / /scratch rw - xfs /dev/vdb rw
51 22 0:54 / /bucket rw - fuse.gcsfuse bucket rw
odd line
52 22 0:55 /
"""


@pytest.mark.parametrize(
    ("place", "drive"),
    [
        ("/home/alice/cloud", "rclone"),
        ("/home/alice/cloud/a/b", "rclone"),
        ("/mnt/My Files/x", "Google Drive"),
        ("/content/drive/MyDrive/x", "Google Drive"),
        ("/home/alice/one/x", "OneDrive"),
        ("/home/alice/p/x", "pCloud"),
        ("/home/alice/p2/x", "pCloud"),
        ("/home/alice/cloudy", None),
        ("/home/alice", None),
        ("/net/x", None),
        ("/home/alice/cloud/ram/x", None),  # another file system in there
        ("/scratch/x", None),  # mounted over
        ("/bucket/x", None),  # not a drive that syncs
    ],
)
def test_the_type_of_the_mount(place: str, drive: str | None) -> None:
    assert client(around(place, *parse_mounts(TABLE))) == drive


def test_the_table_of_mounts() -> None:
    mounts = parse_mounts(TABLE)
    assert len(mounts) == 13
    assert mounts[3] == Mount(
        PurePosixPath("/mnt/My Files"), "fuse.google-drive-ocamlfuse", "google-drive-ocamlfuse"
    )
    assert parse_mounts(r"1 2 0:1 / /a\134b\012c rw - tmpfs x\011y rw") == (
        Mount(PurePosixPath("/a\\b\nc"), "tmpfs", "x\ty"),
    )


@many
@given(st.lists(st.sampled_from([" ", " - ", "-", "\\", "\\04", "\\777", "\n", "/", "a", "\x85"])))
def test_no_table_is_too_odd(pieces: list[str]) -> None:
    find_synced_drive(around("/a/b", *parse_mounts("".join(pieces))))


# ── looking ────────────────────────────────────────────────────────────────────────────────────


def test_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "cloud" / "cxr").mkdir(parents=True)
    (tmp_path / "cloud" / ".dropbox").touch()
    (tmp_path / ".dropbox").mkdir()
    (tmp_path / ".dropbox" / "info.json").touch()
    (tmp_path / "seen").touch()
    here = PurePosixPath(os.path.realpath(tmp_path))

    found = inspect(tmp_path / "cloud" / "cxr" / "not" / "yet")
    assert found.place == here / "cloud/cxr/not/yet"
    assert found.home == here
    assert found.hidden[here] == {".dropbox/"}
    assert client(found) == "Dropbox"
    assert client(inspect(tmp_path / "elsewhere")) is None


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "Dropbox").mkdir()
    (tmp_path / "scratch").mkdir()
    (tmp_path / "data").symlink_to("Dropbox")
    (tmp_path / "Dropbox" / "out").symlink_to(tmp_path / "scratch")
    assert client(inspect(tmp_path / "data" / "cxr")) == "Dropbox"
    assert client(inspect(tmp_path / "Dropbox" / "out" / "cxr")) is None


def test_settings_that_were_moved_to_another_disk(tmp_path: Path) -> None:
    (tmp_path / "settings").mkdir()
    (tmp_path / ".dropbox").symlink_to("settings")
    assert client(inspect(tmp_path / "cxr")) is None


def test_what_cannot_be_looked_at(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / ".loop").symlink_to(".loop")
    assert client(inspect(tmp_path / "file" / "below")) is None
    assert client(inspect(tmp_path / "loop" / "below")) is None
    (tmp_path / ".dropbox").touch()  # seen beside what cannot be
    assert client(inspect(tmp_path / "below")) == "Dropbox"


# ── git ────────────────────────────────────────────────────────────────────────────────────────

with_git = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PurePosixPath:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_CONFIG_GLOBAL"):
        monkeypatch.delenv(name, raising=False)
    top = tmp_path.resolve() / "project"
    top.mkdir()
    subprocess.run(["git", "init", "-q", top], check=True, capture_output=True)
    return PurePosixPath(top)


def test_the_nearest_work_tree() -> None:
    for name in (".git", ".git/"):  # a file in submodules and linked work trees
        found = find_work_tree(around("/data/a/b/c", _data=".git/", _data_a=name, _other=".git/"))
        assert found == PurePosixPath("/data/a")
    assert (
        find_work_tree(around("/data/a/b/c", _data=".gitignore .github/", _other=".git/")) is None
    )


@with_git
@pytest.mark.parametrize(
    ("rules", "ignored"),
    [
        ("", False),
        ("/data/\n", True),
        ("/data\n", True),
        ("data/mimic/\n", True),
        ("/data/mimic/*\n", True),
        ("*\n", True),
        ("*.dcm\n*.jpg\n*.csv.gz\nSHA256SUMS.txt\nfiles/\n", False),  # one kind of file at a time
        ("/data/\n!/data/\n", False),
        ("/mimic/\n", False),
    ],
)
def test_what_git_ignores(repository: PurePosixPath, rules: str, ignored: bool) -> None:
    Path(repository, ".gitignore").write_text(rules)
    place = inspect(Path(repository, "data", "mimic")).place
    assert is_ignored(place, repository) is ignored
    Path(place).mkdir(parents=True)
    assert is_ignored(place, repository) is ignored


@with_git
@pytest.mark.parametrize("below", [".", "data", "a b/c", "a[b]*?", "back\\slash", "!x", "#x"])
def test_the_rule_does_what_it_says(repository: PurePosixPath, below: str) -> None:
    place = repository / below
    assert is_ignored(place, repository) is False
    Path(repository, ".gitignore").write_text(ignore_rule(place, repository) + "\n")
    assert is_ignored(place, repository) is True
    assert is_ignored(repository / "src", repository) is (below == ".")


@with_git
def test_another_repository_in_the_environment(
    repository: PurePosixPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "-q", tmp_path / "other"], check=True, capture_output=True)
    (tmp_path / "other" / ".git" / "info").mkdir(exist_ok=True)
    (tmp_path / "other" / ".git" / "info" / "exclude").write_text("*\n")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(repository))
    assert is_ignored(repository / "data", repository) is False


@with_git
def test_the_rules_of_the_person_count(repository: PurePosixPath, tmp_path: Path) -> None:
    (tmp_path / "home" / ".config" / "git").mkdir(parents=True)
    (tmp_path / "home" / ".config" / "git" / "ignore").write_text("data/\n")
    assert is_ignored(repository / "data", repository) is True


@with_git
def test_what_was_added_before_is_not_asked(repository: PurePosixPath) -> None:
    Path(repository, ".gitignore").write_text("/data/\n")
    Path(repository, ".git", "index").write_text("damaged")
    assert is_ignored(repository / "data", repository) is True


@with_git
def test_no_repository_after_all(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    place = PurePosixPath(tmp_path.resolve())
    assert is_ignored(place / "data", place) is None


def a_git(folder: Path, script: str) -> str:
    folder.mkdir()
    git = folder / "git"
    git.write_text(f"#!/bin/sh\n{script}\n")
    git.chmod(0o700)
    return f"{folder}:/usr/bin:/bin"


def test_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert is_ignored(PurePosixPath(tmp_path, "x"), PurePosixPath(tmp_path)) is None


def test_a_git_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", a_git(tmp_path / "bin", "exec sleep 60"))
    monkeypatch.setattr(git_check, "_GIT_SECONDS", 0.2)
    began = time.monotonic()
    assert is_ignored(PurePosixPath(tmp_path, "x"), PurePosixPath(tmp_path)) is None
    assert time.monotonic() - began < 30


def test_git_is_told_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "told"
    monkeypatch.setenv("PATH", a_git(tmp_path / "bin", f"env > '{told}'; exit 1"))
    monkeypatch.setenv("PHYSIONET_PASSWORD", "s3cret")
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    assert is_ignored(PurePosixPath(tmp_path, "x"), PurePosixPath(tmp_path)) is False
    assert "PATH=" in told.read_text()
    assert "s3cret" not in told.read_text()
    assert "/elsewhere" not in told.read_text()
