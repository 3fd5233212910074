"""A disk that does not tell capitals from small letters: two names of a manifest are one there."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.scripted import (
    SLUG,
    VERSION,
    ScriptedServer,
    command_process,
    differences,
    noise,
    pull_from,
)

STUDY = "files/p10/p10000032/s50414267"
OTHERS = {
    "LICENSE.txt": b"words",
    f"{STUDY}/0.jpg": noise("0", 20_000),
    f"{STUDY.upper()}/1.jpg": noise("1", 20_000),  # in a folder that is the other's there, as well
    f"{STUDY}/2.jpg": noise("2", 20_000),
}
# Each of these falls onto another of them.
FALLING = {
    f"{STUDY}/IMAGE.jpg": noise("large", 20_000),
    f"{STUDY}/image.jpg": noise("small", 20_000),
    "tables/É.csv": noise("É", 3_000),
    "tables/é.csv": noise("é", 3_000),
    "data": noise("file", 3_000),
    "Data/x.csv": noise("in a folder", 3_000),
    "Data/y.csv": noise("in it, too", 3_000),
}
FILES = OTHERS | FALLING


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk as Windows has it."""
    make, mount = (
        shutil.which("mkntfs", path="/usr/sbin:/sbin:/usr/bin"),
        shutil.which("lowntfs-3g"),
    )
    if make is None or mount is None:
        pytest.skip("needs ntfs-3g")
    image, folder = tmp_path / "image", tmp_path / "disk"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(32 << 20)
    subprocess.run([make, "-F", "-Q", "-q", str(image)], capture_output=True, check=True)
    words = [mount, "-o", "ignore_case", str(image), str(folder)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("mounting needs root, and FUSE")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_such_files_fail_and_the_others_arrive(disk: Path) -> None:
    with ScriptedServer(dict(FILES)) as server:
        for _ in range(2):
            pulled = await pull_from(server, disk)
            assert (pulled.code, pulled.error) == (5, None)
            said = {each.path: each.reason for each in pulled.summary.problems}
            # A file with the name of a folder goes; what is in the folder stays.
            assert said.keys() == FALLING.keys() - {"Data/x.csv", "Data/y.csv"}
            assert (
                f"cannot tell its name from that of {STUDY}/image.jpg" in said[f"{STUDY}/IMAGE.jpg"]
            )
            assert "cannot tell its name from that of Data" in said["data"]
        assert not server.counts.keys() & said.keys()
    root = disk / SLUG / VERSION
    for path in FILES.keys() - said.keys():
        assert (root / path).read_bytes() == FILES[path]
    assert not (root / ".cxrsync/trash").exists()
    assert command_process(disk, "verify", "--all").code == 5


async def test_also_where_only_one_of_them_is_asked_for(disk: Path) -> None:
    """The other may come tomorrow; or lie there, right, from a copy of another disk's tree."""
    here = f"{STUDY}/IMAGE.jpg"
    file = disk / SLUG / VERSION / here
    file.parent.mkdir(parents=True)
    file.write_bytes(FILES[here])
    with ScriptedServer(dict(FILES)) as server:
        for path in (f"{STUDY}/image.jpg", here):
            pulled = await pull_from(server, disk, include=[path])
            assert [each.path for each in pulled.summary.problems] == [path]
            assert pulled.code == 5
    assert file.read_bytes() == FILES[here]


async def test_a_manifest_without_such_names_is_whole_there(disk: Path) -> None:
    with ScriptedServer(dict(OTHERS)) as server:
        pulled = await pull_from(server, disk)
        assert (pulled.code, pulled.error) == (0, None)
    for path, data in OTHERS.items():
        assert (disk / SLUG / VERSION / path).read_bytes() == data
    assert command_process(disk, "verify", "--all").code == 0


async def test_where_capitals_count_all_of_them_arrive(tmp_path: Path) -> None:
    with ScriptedServer(dict(FILES)) as server:
        assert (await pull_from(server, tmp_path)).code == 0
    assert differences(tmp_path, FILES) == []
