"""The scripted server answers honestly where nothing is scripted."""

from pathlib import Path

from e2e.scripted import MANIFEST, ScriptedServer, differences, noise, pull_from

FILES = {"a.bin": noise("a", 3_000), "files/p10/p10000032/s50414267/0.jpg": noise("0", 70_000)}


async def test_a_pull_from_it(tmp_path: Path) -> None:
    with ScriptedServer(dict(FILES)) as server:
        pulled = await pull_from(server, tmp_path)
        assert (pulled.code, pulled.error) == (0, None)
        assert differences(tmp_path, FILES) == []
        assert len(server.requests_for(MANIFEST)) == 1
        assert (await pull_from(server, tmp_path)).summary.requests == 1
