"""A served tree, and a client whose agent is accepted."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from demo.guest import MTIME, QUICK, TREE, open_session

from cxrsync.demo.server.server import MiniPhysioNet


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    for name, content in TREE.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (MTIME, MTIME))
    (folder / ".cxrsync-demo").touch()
    (folder / "alpha/1.0/link.txt").symlink_to(folder / "beta/1.0/SHA256SUMS.txt")
    (folder / "alpha/1.0/linked").symlink_to(folder / "beta")
    return folder


@pytest.fixture
def server(root: Path) -> Iterator[MiniPhysioNet]:
    with MiniPhysioNet(root, QUICK) as server:
        yield server


@pytest.fixture
async def http(server: MiniPhysioNet) -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session(server) as session:
        yield session
