"""Files that a colleague, or another tool, has put into a tree of ours: taken for what they are,
never changed."""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from e2e.scripted import SLUG, VERSION, ScriptedServer, command_process, differences, noise

STUDY = "files/p10/p10000032/s50414267"
FILES = {f"{STUDY}/{n}.jpg": noise(str(n), 9_000 + n) for n in range(4)}
FIRST, *OTHERS = FILES
COLLEAGUE = 65534
EVERYONE_MAY_READ = 0o644
# As any user: root's own files, and nothing more to say of those of others.
CAPABILITIES = "-chown,-dac_override,-dac_read_search,-fowner"
AS_A_USER = ("setpriv", "--bounding-set", CAPABILITIES, "--inh-caps", CAPABILITIES)


@pytest.fixture(autouse=True)
def two_users() -> None:
    if os.geteuid() or shutil.which("setpriv") is None:
        pytest.skip("two users need root, and setpriv")
    if subprocess.run([*AS_A_USER, "true"], capture_output=True, check=False).returncode:
        pytest.skip("nobody may give up capabilities here")


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "mirror"


@pytest.fixture
def put(dest: Path) -> Callable[..., Path]:
    """Puts a file of the colleague's into folders of ours."""

    def make(path: str, data: bytes, mode: int = EVERYONE_MAY_READ, owner: int = COLLEAGUE) -> Path:
        file = dest / SLUG / VERSION / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        file.chmod(mode)
        os.chown(file, owner, owner)
        os.utime(file, (1e9, 1e9))
        return file

    return make


@dataclass(frozen=True)
class Pulled:
    code: int
    events: list[dict[str, Any]]
    asked: set[str]

    @property
    def files(self) -> dict[str, int]:
        counts: dict[str, int] = self.events[-1]["files"]
        return counts

    @property
    def problems(self) -> dict[str, str]:
        return {each["path"]: each["reason"] for each in self.events[-1]["problems"]}

    @property
    def said(self) -> list[str]:
        """What was said of files that other users can read."""
        texts = [each["text"] for each in self.events if each["event"] == "notice"]
        return [text for text in texts if "other users can read" in text]


def pull(dest: Path) -> Pulled:
    with ScriptedServer(dict(FILES)) as server:
        words = ("pull", "--json", "--progress", "none")
        ended = command_process(dest, *words, base_url=server.base_url, through=AS_A_USER)
        asked = set(server.counts)
    assert "Traceback" not in ended.err
    events = [json.loads(line) for line in ended.out.splitlines()]
    return Pulled(ended.code, events, asked)


def test_right_ones_are_adopted_as_they_are(dest: Path, put: Callable[..., Path]) -> None:
    files = [put(path, data) for path, data in FILES.items()]
    pulled = pull(dest)
    assert (pulled.code, pulled.files["adopted"]) == (0, len(FILES))
    [said] = pulled.said
    assert said.startswith(f"{len(FILES)} files ")
    for file in files:
        found = file.stat()
        assert (found.st_mode & 0o777, found.st_uid, found.st_mtime) == (0o644, COLLEAGUE, 1e9)
    again = pull(dest)
    assert (again.code, again.files["present"], again.said) == (0, len(FILES), [])


def test_a_file_of_ours_with_another_name_elsewhere_stays_as_it_is(
    dest: Path, put: Callable[..., Path]
) -> None:
    """Its mode is that of the other name, too."""
    file = put(FIRST, FILES[FIRST], owner=0)
    other = dest / "other name"
    other.hardlink_to(file)
    closed = put(OTHERS[0], FILES[OTHERS[0]], owner=0)
    pulled = pull(dest)
    assert (pulled.code, pulled.files["adopted"]) == (0, 2)
    assert other.stat().st_mode & 0o777 == EVERYONE_MAY_READ
    assert closed.stat().st_mode & 0o777 == 0o640
    assert [text.startswith("1 file ") for text in pulled.said] == [True]


@pytest.mark.parametrize("size", [0, 5_000, 8_999])
def test_a_short_one_is_gone_on_with_as_a_copy(
    dest: Path, put: Callable[..., Path], size: int
) -> None:
    theirs = put(FIRST, FILES[FIRST][:size])
    inode = theirs.stat().st_ino
    pulled = pull(dest)
    assert pulled.code == 0
    assert differences(dest, FILES) == []
    assert (theirs.stat().st_uid, theirs.stat().st_mode & 0o777) == (0, 0o600)
    [kept] = (dest / SLUG / VERSION / ".cxrsync/trash").rglob("*.jpg")
    assert (kept.read_bytes(), kept.stat().st_ino) == (FILES[FIRST][:size], inode)
    assert (kept.stat().st_uid, kept.stat().st_mode & 0o777) == (COLLEAGUE, EVERYONE_MAY_READ)


@pytest.mark.parametrize("token", ["", "." + "f" * 32], ids=["unclaimed", "claimed"])
def test_a_partial_that_only_its_owner_may_open_is_left_alone(
    dest: Path, put: Callable[..., Path], token: str
) -> None:
    name = f".cxrsync/p10/partial/{hashlib.sha256(FILES[FIRST]).hexdigest()}{token}"
    theirs = put(name, FILES[FIRST][:5_000], mode=0o600)
    before = theirs.stat()
    for _again in range(2):
        pulled = pull(dest)
        assert (pulled.code, differences(dest, FILES)) == (0, [])
        texts = [each["text"] for each in pulled.events if each["event"] == "notice"]
        assert len([text for text in texts if "1 partial download" in text]) == 1
    after = theirs.stat()
    assert (after.st_ino, after.st_size, after.st_uid) == (before.st_ino, 5_000, COLLEAGUE)


def test_a_wrong_one_is_set_aside(dest: Path, put: Callable[..., Path]) -> None:
    inode = put(FIRST, noise("wrong", 20_000)).stat().st_ino
    pulled = pull(dest)
    assert (pulled.code, differences(dest, FILES)) == (0, [])
    kept = {
        file.stat().st_ino: file
        for file in (dest / SLUG / VERSION / ".cxrsync/trash").rglob("*.jpg")
    }
    assert kept[inode].read_bytes() == noise("wrong", 20_000)


def test_one_that_we_may_not_read_fails(dest: Path, put: Callable[..., Path]) -> None:
    theirs = put(FIRST, FILES[FIRST], 0o600)
    pulled = pull(dest)
    assert pulled.code == 5
    assert pulled.problems == {FIRST: "cannot read the existing file: Permission denied"}
    assert theirs.read_bytes() == FILES[FIRST]


def test_to_verify_it_is_unreadable_and_not_wrong(dest: Path, put: Callable[..., Path]) -> None:
    """Verified once, and closed by its owner since: a repair does not take the old proof for it."""
    for path, data in FILES.items():
        put(path, data)
    assert pull(dest).code == 0
    theirs = dest / SLUG / VERSION / FIRST
    theirs.chmod(0o600)
    before = theirs.stat()
    with ScriptedServer(dict(FILES)) as server:
        for words in (("verify", "--json"), ("verify", "--json", "--repair")):
            ended = command_process(dest, *words, base_url=server.base_url, through=AS_A_USER)
            assert (ended.code, "Permission denied" in ended.out) == (5, True)
        assert FIRST not in server.counts
    assert theirs.stat() == before


def test_a_folder_where_we_may_not_write(dest: Path, put: Callable[..., Path]) -> None:
    """What is there is adopted; what is missing fails before it is fetched."""
    folder = put(FIRST, FILES[FIRST]).parent
    os.chown(folder, COLLEAGUE, COLLEAGUE)
    folder.chmod(0o755)
    pulled = pull(dest)
    assert (pulled.code, pulled.files["adopted"]) == (5, 1)
    reason = f"nothing may be written in {STUDY}"
    assert pulled.problems == dict.fromkeys(OTHERS, reason)
    assert not pulled.asked & set(OTHERS)
