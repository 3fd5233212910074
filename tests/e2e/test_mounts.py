"""A part of the tree on another file system, or on another mount of the same one: no finished file
can be moved there. Found before a byte is fetched; at the latest, with the first file."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from e2e.scripted import (
    SLUG,
    VERSION,
    Pulled,
    ScriptedServer,
    command_process,
    differences,
    noise,
    pull_from,
)

from cxrsync.errors import DiskError

SUBJECT = "files/p10/p10000032"
FILES = {
    **{f"{SUBJECT}/s50414267/{n}.jpg": noise(f"10 {n}", 9_000) for n in range(3)},
    **{f"files/p11/p11000032/s50414267/{n}.jpg": noise(f"11 {n}", 9_000) for n in range(3)},
    "LICENSE.txt": b"words",
}
IMAGES = [path for path in FILES if path.startswith("files/p10/")]
Mount = Callable[[Path, str], None]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mounts a tmpfs, or a folder of the same disk, on a folder; skips where it may not."""
    mounted: list[Path] = []

    def make(folder: Path, kind: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        words = {
            "tmpfs": ["-t", "tmpfs", "-o", "mode=0700", "tmpfs"],
            "bind": ["--bind", str(elsewhere)],
        }
        done = subprocess.run(
            ["mount", *words[kind], str(folder)], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip("mounting needs root")
        mounted.append(folder)

    yield make
    for folder in reversed(mounted):
        subprocess.run(["umount", str(folder)], capture_output=True, check=False)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "mirror" / SLUG / VERSION


def assert_refused(pulled: Pulled, folder: Path) -> None:
    assert isinstance(pulled.error, DiskError)
    assert pulled.code == 7
    assert str(folder) in str(pulled.error)
    assert "another file system" in str(pulled.error)
    assert "--dest" in pulled.error.next_step


@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
@pytest.mark.parametrize("folder", ["files", "files/p10"])
async def test_a_shard_on_another_mount(root: Path, mount: Mount, folder: str, kind: str) -> None:
    mount(root / folder, kind)
    with ScriptedServer(dict(FILES)) as server:
        pulled = await pull_from(server, root.parents[1])
        assert_refused(pulled, root / folder)
        assert not set(server.counts) & set(IMAGES)
        dry = command_process(root.parents[1], "pull", "--dry-run", base_url=server.base_url)
    assert (dry.code, "another file system" in dry.err) == (7, True)


async def test_a_subject_on_another_file_system(root: Path, mount: Mount) -> None:
    mount(root / SUBJECT, "tmpfs")
    with ScriptedServer(dict(FILES)) as server:
        assert_refused(await pull_from(server, root.parents[1]), root / SUBJECT)
        assert not set(server.counts) & set(IMAGES)


async def test_a_subject_on_another_mount_of_the_same(root: Path, mount: Mount) -> None:
    """Nothing but the first file tells: it ends the run, and is not fetched again."""
    mount(root / SUBJECT, "bind")
    with ScriptedServer(dict(FILES)) as server:
        pulled = await pull_from(server, root.parents[1])
        assert_refused(pulled, root / SUBJECT / "s50414267")
        assert not [each for each in pulled.summary.problems if each.path in IMAGES]
        subprocess.run(["umount", str(root / SUBJECT)], check=True)
        arrived = {path for path in IMAGES if server.counts[path]}
        assert arrived
        server.counts.clear()
        pulled = await pull_from(server, root.parents[1])
        assert (pulled.code, pulled.error) == (0, None)
        sent = [each.range for path in arrived for each in server.requests_for(path)[1:]]
        assert None not in sent  # of what was here no more than a byte came again
    assert differences(root.parents[1], FILES) == []


@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
@pytest.mark.parametrize("folder", ["", "manifests", "trash", "p10", "p10/partial"])
async def test_a_folder_of_ours_on_another_mount(
    root: Path, mount: Mount, folder: str, kind: str
) -> None:
    mount(root / ".cxrsync" / folder, kind)
    with ScriptedServer(dict(FILES)) as server:
        assert_refused(await pull_from(server, root.parents[1]), root / ".cxrsync" / folder)
        assert not server.counts


async def test_a_shard_that_is_complete_may_lie_on_another_mount(root: Path, mount: Mount) -> None:
    """Where nothing is missing nothing is moved there; also where it has yet to be hashed."""
    mount(root / "files/p10", "tmpfs")
    for path in IMAGES:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(FILES[path])
    with ScriptedServer(dict(FILES)) as server:
        for _ in range(2):
            pulled = await pull_from(server, root.parents[1])
            assert (pulled.code, pulled.error) == (0, None)
        (root / IMAGES[0]).write_bytes(b"rotten")
        assert_refused(await pull_from(server, root.parents[1]), root / "files/p10")
    assert (root / IMAGES[0]).read_bytes() == b"rotten"


async def test_the_whole_tree_on_a_mount_of_its_own(root: Path, mount: Mount) -> None:
    mount(root, "tmpfs")
    with ScriptedServer(dict(FILES)) as server:
        assert (await pull_from(server, root.parents[1])).code == 0
    assert differences(root.parents[1], FILES) == []
