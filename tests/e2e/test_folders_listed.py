"""A manifest that lists a file where others have their folder."""

from pathlib import Path

import pytest
from e2e.scripted import (
    SLUG,
    VERSION,
    ScriptedServer,
    differences,
    manifest_of,
    noise,
    pull_from,
    sha256,
)

IMAGES = {f"files/p10/p10000032/s50414267/{n}.jpg": noise(str(n), 9_000) for n in range(3)}
FILES = {"LICENSE.txt": b"words", **IMAGES}
ODD = b"a file in place of a folder"


@pytest.mark.parametrize("folder", ["files", "files/p10", "files/p10/p10000032"])
@pytest.mark.parametrize("first", ["as published", "listed"])
async def test_the_folder_stays(tmp_path: Path, folder: str, first: str) -> None:
    lines = manifest_of(FILES).decode().splitlines(keepends=True)
    lines.append(f"{sha256(ODD)} {folder}\n")
    odd = "".join(sorted(lines, key=lambda line: line[65:].encode())).encode()
    with ScriptedServer(dict(FILES)) as server:
        if first == "as published":
            assert (await pull_from(server, tmp_path)).code == 0
        server.manifest, server.files = odd, {**FILES, folder: ODD}
        for _ in range(2):
            pulled = await pull_from(server, tmp_path)
            assert (pulled.code, pulled.error) == (5, None)
            [refused] = pulled.summary.refused
            assert refused.reason == f"{folder} is a folder of other files"
            assert differences(tmp_path, FILES) == []
    assert folder not in server.counts
    assert not (tmp_path / SLUG / VERSION / ".cxrsync/trash").exists()


async def test_a_folder_of_somebodys_under_the_name_of_a_file(tmp_path: Path) -> None:
    """It stays too, with all that is in it, before a byte of the file is fetched."""
    folder = tmp_path / SLUG / VERSION / "LICENSE.txt"
    folder.mkdir(parents=True)
    (folder / "note").write_text("mine")
    with ScriptedServer(dict(FILES)) as server:
        pulled = await pull_from(server, tmp_path)
        assert pulled.code == 5
        [problem] = pulled.summary.problems
        assert problem.path == "LICENSE.txt"
        assert problem.reason == "a folder is where the file should be"
        assert "LICENSE.txt" not in server.counts
    assert (folder / "note").read_text() == "mine"
    assert set(differences(tmp_path, IMAGES)) == {"LICENSE.txt/note"}
