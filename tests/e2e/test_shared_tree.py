"""``permissions``: a group reads a tree, others do not, and nobody but its owner needs to write."""

from __future__ import annotations

import asyncio
import grp
import json
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import tempfile
from asyncio import StreamWriter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from e2e.other_users import as_user
from e2e.scripted import (
    MANIFEST,
    SLUG,
    VERSION,
    Ended,
    Request,
    ScriptedServer,
    command,
    differences,
    manifest_of,
    noise,
)

from cxrsync.dataset.shared_tree import Shared

STUDY = "files/p10/p10000032/s50414267"
FILES = {
    **{f"{STUDY}/{n}.jpg": noise(str(n), 3_000 + n) for n in range(3)},
    "files/p11/p11000032/s50414267/x.jpg": noise("x", 3_000),
    "LICENSE.txt": b"words",
    "table.csv": b"a,b\n1,2\n",
}
LAST = f"{STUDY}/2.jpg"
# Users and groups that Debian has; the group has no members, and needs none here.
OWNER, READER, STRANGER = 1, 65534, 13
GROUP = "games"
PERMISSIONS = f"files=0440,folders=2750,group={GROUP}"
QUIET = ("--json", "--progress", "none")
PULL = ("pull", *QUIET)


@pytest.fixture(scope="module")
def gid() -> int:
    try:
        return grp.getgrnam(GROUP).gr_gid
    except KeyError:
        pytest.skip(f"only root can be a member of {GROUP}, which this machine lacks")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder in which every user may make files: pytest's own are root's alone."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(dict(FILES)) as server:
        yield server


@pytest.fixture
def dest(place: Path) -> Path:
    return place / "mirror"


def pull(server: ScriptedServer, dest: Path, gid: int, *words: str) -> Ended:
    with as_user(OWNER, OWNER, gid):
        return command(dest, *PULL, *words, base_url=server.base_url)


def shared(server: ScriptedServer, dest: Path, gid: int, *words: str) -> Ended:
    return pull(server, dest, gid, "--permissions", PERMISSIONS, *words)


def modes(root: Path) -> dict[str, tuple[str, int]]:
    """Mode and group of everything below a folder, and of itself."""
    found = {}
    for path in (root, *root.rglob("*")):
        seen = path.lstat()
        found[str(path.relative_to(root))] = (oct(stat.S_IMODE(seen.st_mode)), seen.st_gid)
    return found


def tree(dest: Path) -> Path:
    return dest / SLUG / VERSION


def notices(ended: Ended) -> list[str]:
    return [each["text"] for each in ended.events if each["event"] == "notice"]


def readable(path: str) -> bool:
    """Whether a path of a tree is for its readers, by what docs/nightly.md says."""
    parts = path.split("/")
    return ".cxrsync" not in parts or not {"partial", "lock", "trash"}.intersection(parts)


def assert_shared(dest: Path, gid: int) -> None:
    for path, found in modes(dest).items():
        if not readable(path):
            assert int(found[0], 8) & 0o077 == 0, path
        else:
            mode = "0o2750" if (dest / path).is_dir() else "0o440"
            assert found == (mode, gid), path


def test_a_group_reads_and_others_do_not(
    server: ScriptedServer, dest: Path, place: Path, gid: int
) -> None:
    assert shared(server, dest, gid).code == 0
    assert_shared(dest, gid)
    assert differences(dest, FILES) == []
    copy = place / "copy"
    requests = len(server.log)
    with as_user(READER, READER, gid):
        for words in (("ls",), ("status", *QUIET[:1]), ("verify", *QUIET), ("verify", "--all")):
            ended = command(dest, *words)
            assert (ended.code, ended.err if words[0] == "ls" else "") == (0, ""), ended
        assert len(command(dest, "ls").out.split()) == len(FILES)
        status = json.loads(command(dest, "status", "--json").out)
        assert status["partitions"]["p10"]["verified"] == 3
        assert command(copy, *PULL, "--from", str(dest), base_url=server.base_url).code == 0
        assert differences(copy, FILES) == []
        # Nothing is theirs to change.
        assert command(dest, *PULL, "--shard", "p10", base_url=server.base_url).code == 7
    assert len(server.log) == requests
    with as_user(STRANGER, STRANGER):
        assert command(dest, "ls").code != 0
        with pytest.raises(PermissionError):
            os.listdir(dest)


def test_what_a_run_works_on_is_its_owners_alone(
    server: ScriptedServer, dest: Path, gid: int
) -> None:
    """Locks, partials and the working copies of states; also where all is shared already."""
    seen: dict[str, str] = {}

    async def look(request: Request, writer: StreamWriter, _server: ScriptedServer) -> bool | None:
        if request.path == LAST:
            body = FILES[LAST]
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode())
            for at in range(len(body)):  # a piece is on the disk after a quarter of a second
                writer.write(body[at : at + 1])
                if not any("partial/" in path for path in seen):
                    await writer.drain()
                    seen.update({path: mode for path, (mode, _gid) in modes(dest).items()})
                    await asyncio.sleep(0.01)
            return False
        return None

    assert shared(server, dest, gid, "--shard", "p10", "--exclude", LAST).code == 0
    server.script = look
    assert shared(server, dest, gid, "--shard", "p10", "--connections", "1").code == 0
    own = {path for path in seen if re.search(r"/(lock|partial)(/|$)|state\.\w{32}\.", path)}
    assert {int(seen[path], 8) & 0o077 for path in own} == {0}
    assert any("/p10/lock/" in path for path in own)
    assert seen[f"{SLUG}/{VERSION}/.cxrsync/p10/state.sqlite3"] == "0o440"
    assert_shared(dest, gid)


def test_a_tree_that_was_its_owners_alone(server: ScriptedServer, dest: Path, gid: int) -> None:
    """Files that are not the dataset's stay as they are; the second night touches nothing."""
    assert pull(server, dest, gid).code == 0
    assert {int(mode, 8) & 0o077 for mode, _gid in modes(dest).values()} == {0}
    notes = tree(dest) / "files/p10/notes.txt"
    notes.write_text("of a colleague")
    notes.chmod(0o600)
    linked = tree(dest) / STUDY / "0.jpg"
    os.link(linked, dest.parent / "elsewhere")
    stranger = tree(dest) / STUDY / "1.jpg"
    os.chown(stranger, READER, READER)
    ended = shared(server, dest, gid)
    assert ended.code == 0
    [told, left, closed] = notices(ended)
    # 4 files of the dataset, the manifest, what is known of it and of the tree, the states of three
    # partitions, the log of the first run.
    assert told.startswith("11 files and 16 folders that were there have the permissions")
    assert told.endswith(PERMISSIONS)
    assert left.startswith("2 files keep their own permissions")
    # Nothing tells that an earlier run has made this one.
    assert closed.startswith(f"the group {GROUP} cannot read the tree: it cannot enter {dest} ")
    assert closed.endswith(f"setfacl -m g:{GROUP}:x {dest}")
    for path in (notes, linked):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    os.unlink(dest.parent / "elsewhere")
    os.chown(stranger, OWNER, OWNER)
    changed = {path: path.lstat().st_ctime_ns for path in dest.rglob("*.jpg")}
    again = shared(server, dest, gid)
    assert (again.code, notices(again)) == (0, [closed])
    assert {path: path.lstat().st_ctime_ns for path in changed} == changed


def test_the_tree_keeps_them(server: ScriptedServer, dest: Path, gid: int) -> None:
    """A pull by hand and a repair do as the mirror does, until a job says otherwise."""
    assert shared(server, dest, gid, "--shard", "p10").code == 0
    assert pull(server, dest, gid).code == 0
    assert_shared(dest, gid)
    (tree(dest) / STUDY / "1.jpg").unlink()
    with as_user(OWNER, OWNER, gid):
        done = command(dest, "verify", "--repair", *QUIET, base_url=server.base_url)
    assert (done.code, differences(dest, FILES)) == (0, [])
    assert_shared(dest, gid)
    states = {path: path.stat().st_ino for path in dest.rglob("state.sqlite3")}
    for path in states:
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE file SET verified_at = verified_at - 86400 * 31")
    with as_user(OWNER, OWNER, gid):
        scrubbed = command(dest, "verify", "--scrub", "30d", *QUIET)
    assert scrubbed.code == 0
    assert any(path.stat().st_ino != inode for path, inode in states.items())
    assert_shared(dest, gid)
    own = pull(server, dest, gid, "--permissions", "files=0600,folders=0700")
    assert own.code == 0
    assert {int(mode, 8) & 0o077 for mode, _gid in modes(tree(dest)).values()} == {0}
    assert notices(pull(server, dest, gid)) == []


def test_a_pass_that_was_stopped_is_made_again(
    server: ScriptedServer, dest: Path, gid: int
) -> None:
    assert shared(server, dest, gid).code == 0
    record = tree(dest) / ".cxrsync/permissions.json"
    text = json.loads(record.read_text())
    assert text == {"files": "0440", "folders": "2750", "group": GROUP, "complete": True}
    record.unlink()
    record.write_text(json.dumps({**text, "complete": False}))
    os.chown(record, OWNER, gid)
    (tree(dest) / STUDY / "1.jpg").chmod(0o600)
    assert pull(server, dest, gid).code == 0
    assert_shared(dest, gid)
    assert json.loads(record.read_text()) == text


def test_in_a_new_tree_nothing_was_there(
    server: ScriptedServer, dest: Path, gid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that another thread of the run is just making may be met without its mode."""
    met = Shared(folders=1)
    monkeypatch.setattr("cxrsync.operations.share_tree.share_existing", lambda *_words: met)
    assert notices(shared(server, dest, gid)) == []


@pytest.mark.parametrize("link", ["hardlink", "reflink", "copy"])
def test_files_of_an_older_version(
    server: ScriptedServer, dest: Path, place: Path, gid: int, link: str
) -> None:
    """Of mode 0440: not even their owner may open them for writing, which a hard link shows."""
    old = place / "tiny/0.9"
    for path, data in {**FILES, MANIFEST: manifest_of(FILES)}.items():
        file = old / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        file.chmod(0o440)
        os.chown(file, OWNER, gid)
    ended = shared(server, dest, gid, "--link-from", str(old), "--link", link)
    assert (ended.code, ended.summary["files"]["copied"]) == (0, len(FILES))
    is_linked = (tree(dest) / "table.csv").samefile(old / "table.csv")
    assert is_linked is (link == "hardlink")
    assert_shared(dest, gid)
    assert notices(ended) == []


@pytest.mark.parametrize(
    ("permissions", "said", "step"),
    [
        ("group=no-such-group", "this machine has no group 'no-such-group'", "groupadd"),
        (f"group={GROUP}", f"no member of the group {GROUP}", "usermod -aG"),
        ("files=0444,group=x", "0444 gives other users of the machine access", "0440"),
    ],
)
def test_what_is_refused_before_anything_is_asked(
    server: ScriptedServer, dest: Path, permissions: str, said: str, step: str
) -> None:
    with as_user(OWNER, OWNER):
        words = (*PULL, "--permissions", permissions)
        ended = command(dest, *words, base_url=server.base_url)
    assert ended.code == 2
    assert said in ended.err
    assert step in ended.err
    assert (server.log, dest.exists()) == ([], False)


def test_a_tree_whose_group_is_unknown_here(server: ScriptedServer, dest: Path, gid: int) -> None:
    """As on a disk that was brought from another machine: what arrives now is its owner's alone."""
    assert shared(server, dest, gid, "--shard", "p10").code == 0
    with as_user(OWNER, OWNER):
        ended = command(dest, *PULL, base_url=server.base_url)
    assert ended.code == 0
    [said] = notices(ended)
    assert "new files are for their owner only now" in said
    x = tree(dest) / "files/p11/p11000032/s50414267/x.jpg"
    assert stat.S_IMODE(x.stat().st_mode) == 0o600
    # The next run of a member gives these files to the group, too.
    again = pull(server, dest, gid)
    assert (again.code, again.summary["files"]["fetched"]) == (0, 0)
    assert_shared(dest, gid)


# ── access control lists ───────────────────────────────────────────────────────────────────────


def acl(path: Path) -> set[str]:
    text = subprocess.run(
        ["getfacl", "--absolute-names", "--omit-header", "--no-effective", str(path)],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return set(text.split())


@pytest.fixture
def with_acl(place: Path) -> Path:
    """A folder in which a colleague may read whatever is made there, and its group nothing."""
    folder = place / "mirror"
    folder.mkdir()
    os.chown(folder, OWNER, OWNER)
    words = ["setfacl", "-d", "-m", f"u::rwx,g::---,o::---,u:{READER}:rx", str(folder)]
    if shutil.which("setfacl") is None or subprocess.run(words, check=False).returncode:
        pytest.skip("setfacl is not installed, or this disk keeps no ACL")
    return folder


def test_an_inherited_acl_stays(server: ScriptedServer, with_acl: Path, gid: int) -> None:
    """Also where files that were their owner's alone get permissions later."""
    dest = with_acl
    assert pull(server, dest, gid, "--shard", "p10").code == 0
    assert "mask::---" in acl(tree(dest) / STUDY / "0.jpg")
    assert shared(server, dest, gid).code == 0
    user = "user:nobody:r-x"
    for path in (*tree(dest).rglob("*.jpg"), *tree(dest).rglob("state.sqlite3")):
        assert acl(path) == {"user::r--", user, "group::r--", "mask::r--", "other::---"}
    for path in (tree(dest), tree(dest) / STUDY, tree(dest) / ".cxrsync/p10"):
        assert acl(path) == {
            *("user::rwx", user, "group::r-x", "mask::r-x", "other::---"),
            *(f"default:{each}" for each in ("user::rwx", user, "group::---")),
            *("default:mask::r-x", "default:other::---"),
        }
    assert "mask::---" in acl(tree(dest) / ".cxrsync/p10/partial")
    with as_user(READER, READER):  # by the entry of its own, without the group
        assert command(tree(dest), "ls").code == 0
        assert command(tree(dest), "verify", *QUIET).code == 0
    dest.chmod(0o755)
    with as_user(STRANGER, STRANGER, gid):  # by the group
        assert (tree(dest) / STUDY / "0.jpg").read_bytes() == FILES[f"{STUDY}/0.jpg"]


# ── disks without modes ────────────────────────────────────────────────────────────────────────


@pytest.fixture
def ntfs(place: Path) -> Iterator[Path]:
    """A disk as Windows has it: each file has the permissions of the mount."""
    make = shutil.which("mkntfs", path="/usr/sbin:/sbin:/usr/bin")
    if make is None or shutil.which("ntfs-3g") is None:
        pytest.skip("needs ntfs-3g")
    image, folder = place / "image", place / "disk"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(32 << 20)
    subprocess.run([make, "-F", "-Q", "-q", str(image)], capture_output=True, check=True)
    words = ["ntfs-3g", "-o", f"uid={OWNER},umask=0027", str(image), str(folder)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("mounting needs root, and FUSE")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_keeps_no_modes(server: ScriptedServer, ntfs: Path, gid: int) -> None:
    for _night in range(2):
        ended = shared(server, ntfs / "mirror", gid)
        assert ended.code == 0, ended.err
        [said] = notices(ended)
        assert "does not keep group and mode of a file" in said
    assert differences(ntfs / "mirror", FILES) == []
    assert not (tree(ntfs / "mirror") / ".cxrsync/permissions.json").exists()
