"""The Python in README.md and docs/ runs, on a tree that was pulled from the miniature server."""

from __future__ import annotations

import ast
import asyncio
import builtins
import getpass
import inspect
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
from docs.pages import PAGES, blocks, name_of
from e2e.conftest import files_root, module_server, shared_server
from e2e.stage import JPG, VERSION

from cxrsync.demo.server.server import MiniPhysioNet

__all__ = ["files_root", "module_server", "shared_server"]

TREE = f"physionet.org/files/{JPG}/{VERSION}"
# tests/e2e/test_python_docs.py runs that page.
ELSEWHERE = "docs/python.md"
PYTHON = {
    name_of(page): [each.text for each in found if not each.not_run]
    for page in PAGES
    if name_of(page) != ELSEWHERE
    if (found := list(blocks(page.read_text("utf-8"), "python")))
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files_root: Path) -> Path:
    """The reader's folder: a tree, a tar file of its shard, and its digests."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(files_root / JPG / VERSION, TREE, copy_function=os.link)
    lines = Path(TREE, "SHA256SUMS.txt").read_text().splitlines(keepends=True)
    Path("p10.sha256").write_text("".join(line for line in lines if " files/p10/" in line))
    with tarfile.open("p10.tar", "w") as packed:
        packed.add(f"{TREE}/files/p10", "files/p10")
    return tmp_path


def run(text: str, names: dict[str, Any]) -> None:
    """Run a block as a notebook does, which may use ``await``."""
    code = compile(text, "block", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if code.co_flags & inspect.CO_COROUTINE:
        asyncio.run(eval(code, names))
    else:
        exec(code, names)


@pytest.mark.parametrize("page", PYTHON)
def test_python(
    page: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    shared_server: MiniPhysioNet,
) -> None:
    monkeypatch.setenv("PHYSIONET_USERNAME", "demo")
    monkeypatch.setenv("PHYSIONET_PASSWORD", "demo-password")
    monkeypatch.setattr(builtins, "input", lambda _prompt: "demo")
    monkeypatch.setattr(getpass, "getpass", lambda _prompt: "demo-password")
    here = f'base_url="{shared_server.base_url}", ca_file="{shared_server.ca_file}", dest="{folder}'
    names: dict[str, Any] = {}
    for text in PYTHON[page]:
        run(text.replace('dest="', here), names)
    if "report" in names:
        assert (names["report"].exit_code, names["report"].problems) == (0, ())
    if "train" in names:
        train = names["train"]
        image, labels = train[0]
        assert len(train) > 10
        assert (image.mode, labels.shape) == ("L", (len(names["LABELS"]),))


def test_a_wrong_tar_file_is_found(folder: Path) -> None:
    image = min(Path(TREE, "files/p10").rglob("*.jpg"))
    with tarfile.open("p10.tar", "w") as packed:
        packed.add(Path(TREE, "README"), str(image.relative_to(TREE)))
    with pytest.raises(AssertionError, match="files/p10/"):
        run(PYTHON["docs/recipes/few-inodes.md"][0], {})
