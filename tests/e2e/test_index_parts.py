"""An index that is made in parts, one a partition, is the index that one run makes."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path
from threading import Event as ThreadEvent
from typing import Any

import pyarrow.parquet as parquet
import pytest
from e2e.stage import JPG, VERSION, Machine, fingerprint

from cxrsync.cli import on_dask
from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.distributed.divide import Division
from cxrsync.distributed.index_parts import Block, IndexPart, make_part, merged_part
from cxrsync.distributed.task_stream import Order, TaskEnd
from cxrsync.errors import ExitCode, Stopped
from cxrsync.plan.image_index import Unmatched


@pytest.fixture
def filled(
    files_root: Path, server: MiniPhysioNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Machine:
    """A machine with a tree that has images outside of the known shards: after them all, before
    them all, and between two; and tables with rows about no image. Its tasks run in this process.
    """
    home, dest = tmp_path / "home", tmp_path / "mirror"
    home.mkdir()
    root = dest / JPG / VERSION
    shutil.copytree(files_root / JPG / VERSION, root)
    image = next((root / "files/p10").rglob("*.jpg"))
    for name in ("files/p20/p20000001/s50000001/a.jpg", "files/a.jpg", "files/p10z/a.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(image, root / name)
    table = root / "mimic-cxr-2.0.0-split.csv.gz"
    lines = gzip.decompress(table.read_bytes()).decode().splitlines()
    lines += [f"none,59999999,{subject},train" for subject in ("10999999", "19999999", "20000009")]
    table.write_bytes(gzip.compress("\n".join(lines).encode()))
    prints = fingerprint(root)
    del prints["SHA256SUMS.txt"]
    manifest = "".join(f"{digest}  {path}\n" for path, (digest, _) in sorted(prints.items()))
    (root / "SHA256SUMS.txt").write_text(manifest)
    monkeypatch.setattr(on_dask, "run_on_dask", run_here)
    return Machine(home, dest, server.base_url, server.ca_file)


async def run_here(
    division: Division, orders: list[Order], *_: Any, **_options: Any
) -> dict[str, TaskEnd]:
    """Run the tasks one after the other, the last one first."""
    ends = {}
    for name, order in reversed(list(zip(division.partitions, orders, strict=True))):
        assert order.index is not None
        part = make_part(order.job, order.index, lambda _event: None, ThreadEvent())
        ends[name] = TaskEnd(0, part)
    return ends


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--limit", "7"),
        ("--shard", "p11,p19", "--frontal"),
        ("--present", "--no-tables"),
    ],
    ids=" ".join,
)
def test_csv(filled: Machine, words: tuple[str, ...]) -> None:
    alone = filled.run("index", "--jpg", *words)
    divided = filled.run("index", "--jpg", *words, "--on", "dask")
    assert (alone.code, divided.code) == (0, 0), divided.err
    assert divided.out == alone.out
    assert divided.err == alone.err  # what has no counterpart in the tables
    assert words or "3 rows of mimic-cxr-2.0.0-split.csv.gz are about no image" in alone.err


def test_files(filled: Machine, tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.parquet", "a.csv"):
        alone, divided = tmp_path / f"alone-{name}", tmp_path / name
        assert filled.run("index", "--jpg", "-o", str(alone)).code == 0
        ended = filled.run("index", "--jpg", "-o", str(divided), "--on", "dask")
        assert ended.code == 0, ended.err
        if name == "a.parquet":
            assert parquet.read_table(divided).equals(parquet.read_table(alone))
        else:
            assert divided.read_bytes() == alone.read_bytes()
        assert filled.run("index", "--jpg", "-o", str(divided), "--on", "dask").code == 2
    empty = filled.run("index", "--jpg", "--on", "dask", "--no-tables", "--only", "docs",
                       "-o", str(tmp_path / "empty.parquet"))  # fmt: skip
    assert empty.code == 0, empty.err
    assert parquet.read_table(tmp_path / "empty.parquet").num_rows == 0


def test_a_task_fails(filled: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(*_: Any, **_options: Any) -> dict[str, TaskEnd]:
        failed = TaskEnd(ExitCode.DISK, None, "no room", "Make room.")
        return {"p10": TaskEnd(ExitCode.TERMINATED), "p11": failed}

    monkeypatch.setattr(on_dask, "run_on_dask", run)
    file = tmp_path / "index.csv"
    file.write_text("before")
    ended = filled.run("index", "--jpg", "-o", str(file), "--force", "--on", "dask")
    assert (ended.code, file.read_text()) == (7, "before")
    assert "p11: no room" in ended.err
    assert "Make room." in ended.err
    assert list(tmp_path.glob(".index*")) == []


def test_it_ends_when_it_is_told_to(filled: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(_division: Division, orders: list[Order], *_: Any, **_options: Any) -> Any:
        stopped = ThreadEvent()
        stopped.set()
        assert orders[1].index is not None
        make_part(orders[1].job, orders[1].index, lambda _event: None, stopped)

    monkeypatch.setattr(on_dask, "run_on_dask", run)
    ended = filled.run("index", "--jpg", "--on", "dask")
    assert (ended.code, ended.out) == (Stopped.exit_code, "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--on", "dask", "--as", "huggingface", "-o", "/tmp"),
            "--on cannot be combined with --as",
        ),
        (("--on", "dask:10.0.0.1"), "not a cluster"),
        (("--on", "slurm"), "not a cluster"),
    ],
)
def test_it_is_typed_wrong(filled: Machine, words: tuple[str, ...], said: str) -> None:
    ended = filled.run("index", "--jpg", *words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


def test_parts_add_up() -> None:
    first = IndexPart((), (Block("c", b"2"),), 2, 1, Unmatched({"split": 1}, {"split": 2}))
    second = IndexPart((), (Block("d", b"3"), Block("a", b"1")), 3, 0, Unmatched({"split": 4}, {}))
    assert merged_part([first, second]) == IndexPart(
        (),
        (Block("a", b"1"), Block("c", b"2"), Block("d", b"3")),
        5,
        1,
        Unmatched({"split": 5}, {"split": 2}),
    )
