"""A folder of the tree that is a link: what lies behind it is not ours to move, trash or chmod, and
nothing is fetched that could not be put there."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e.scripted import (
    SLUG,
    VERSION,
    ScriptedServer,
    command,
    differences,
    noise,
    pull_from,
    sha256,
)

from cxrsync.api import run_job
from cxrsync.config.parse_job import make_job
from cxrsync.model import Outcome, Result

SUBJECT = "files/p10/p10000032"
STUDY = f"{SUBJECT}/s50414267"
LINKED = f"{STUDY}/0.jpg"
FILES = {
    LINKED: noise("linked", 30_000),
    f"{STUDY}/1.jpg": noise("too", 20_000),
    "files/p10/p10000764/s57375967/0.jpg": noise("another", 20_000),
    "LICENSE.txt": b"words",
}
BEHIND = [path for path in FILES if path.startswith(f"{SUBJECT}/")]
RIGHT = FILES[LINKED]
# What stands behind the link under the name of an image.
CONTENTS: dict[str, bytes | None] = {
    "nothing": None,
    "right": RIGHT,
    "wrong": noise("theirs", 30_000),
    "short": RIGHT[:10_000],
    "longer": RIGHT + b"more",
}


def look(folder: Path) -> dict[str, tuple[object, ...]]:
    """Everything below a folder that a run could change."""
    found = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        told = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        name = str(path.relative_to(folder))
        found[name] = (told.st_mode, told.st_mtime_ns, told.st_ino, told.st_nlink, content)
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "mirror" / SLUG / VERSION
    root.mkdir(parents=True)
    return root


@pytest.fixture
def link(root: Path, tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder of the tree a link to one elsewhere, with an image behind it."""

    def make(folder: str, content: bytes | None) -> Path:
        outside = tmp_path / "elsewhere"
        outside.mkdir(mode=0o755)
        (root / folder).parent.mkdir(parents=True, exist_ok=True)
        (root / folder).symlink_to(outside)
        if content is not None:
            (root / LINKED).parent.mkdir(parents=True, exist_ok=True)
            (root / LINKED).write_bytes(content)
            (root / LINKED).chmod(0o644)
            os.utime(root / LINKED, (1e9, 1e9))
        return outside

    return make


def reasons(outcomes: tuple[Outcome, ...]) -> dict[str, str]:
    return {each.path: each.reason for each in outcomes if each.result is Result.FAILED}


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("folder", [SUBJECT, STUDY])
async def test_nothing_behind_it_is_changed(
    root: Path, link: Callable[..., Path], folder: str, content: str
) -> None:
    outside = link(folder, CONTENTS[content])
    before = look(outside)

    with ScriptedServer(dict(FILES)) as server:
        pulled = await pull_from(server, root.parents[1])
        asked = set(server.counts)

    assert look(outside) == before
    assert pulled.code == 5
    assert not asked & set(BEHIND)
    said = reasons(pulled.summary.problems)
    assert sorted(said) == sorted(BEHIND)
    assert all(f"{folder} is a link" in reason for reason in said.values())
    assert not list(root.glob(".cxrsync/*/partial/*"))
    assert not list(root.glob(".cxrsync/trash/*"))
    right = {path: data for path, data in FILES.items() if path not in BEHIND}
    assert set(differences(root.parents[1], right)) <= set(BEHIND)


async def test_such_files_use_up_no_limit(root: Path, link: Callable[..., Path]) -> None:
    """Or a limit of as many files would let no run come any further."""
    link(SUBJECT, None)
    with ScriptedServer(dict(FILES)) as server:
        pulled = await pull_from(server, root.parents[1], max_files=len(BEHIND))
    assert pulled.summary.fetched.files == len(BEHIND)


async def test_what_was_verified_before_it_was_moved_behind_a_link_is_here(
    root: Path, tmp_path: Path
) -> None:
    """Reading follows it, as every program would that opens the file; so do verify and status."""
    dest = root.parents[1]
    with ScriptedServer(dict(FILES)) as server:
        assert (await pull_from(server, dest)).code == 0
        (root / SUBJECT).rename(tmp_path / "elsewhere")
        (root / SUBJECT).symlink_to(tmp_path / "elsewhere")
        before = look(tmp_path / "elsewhere")
        pulled = await pull_from(server, dest)
    assert (pulled.code, pulled.summary.present.files) == (0, len(FILES))
    assert look(tmp_path / "elsewhere") == before


def test_readers_read_through_it(root: Path, link: Callable[..., Path]) -> None:
    outside = link(SUBJECT, RIGHT)
    lines = [f"{sha256(data)} {path}\n" for path, data in sorted(FILES.items())]
    (root / "SHA256SUMS.txt").write_text("".join(lines))
    before = look(outside)
    verified = command(root, "verify", "--all", "--json")
    assert verified.code == 5
    files = json.loads(verified.out.splitlines()[-1])["files"]
    assert (files["good"], files["missing"]) == (1, 3)
    assert command(root, "status", "--all").code == 0
    assert look(outside) == before


async def test_a_repair_behind_it_changes_nothing(root: Path, tmp_path: Path) -> None:
    """A file that rotted there is named, and left to whoever owns the place."""
    dest = root.parents[1]
    with ScriptedServer(dict(FILES)) as server:
        assert (await pull_from(server, dest)).code == 0
        outside = tmp_path / "elsewhere"
        (root / SUBJECT).rename(outside)
        (root / SUBJECT).symlink_to(outside)
        (root / LINKED).write_bytes(b"rotten")
        before = look(outside)
        said = {"dataset": SLUG, "dataset_version": VERSION, "dest": dest}
        job = make_job({**said, "base_url": server.base_url})
        summary = await run_job(job, lambda _event: None, distrust=[LINKED])
    assert summary.exit_code == 5
    assert f"{SUBJECT} is a link" in reasons(summary.problems)[LINKED]
    assert look(outside) == before


def test_a_dry_run_names_it(root: Path, link: Callable[..., Path]) -> None:
    link(SUBJECT, None)
    with ScriptedServer(dict(FILES)) as server:
        ended = command(root.parents[1], "pull", "--dry-run", base_url=server.base_url)
    assert ended.code == 0
    assert "2 files cannot be created" in ended.err
    assert f"{SUBJECT} is a link" in ended.err
