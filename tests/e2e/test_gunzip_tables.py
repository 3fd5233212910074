"""`--gunzip-tables`: the plain .csv beside the .csv.gz, whole, and nobody's file in its place."""

from __future__ import annotations

import gzip
import stat
from pathlib import Path

import pytest
from e2e.stage import JPG, VERSION, Machine

from cxrsync.model import Entry
from cxrsync.storage.checksum import sha256_file
from cxrsync.storage.plain_table import Unpacked, is_plain_copy, unpack
from cxrsync.storage.tree import Tree

PULL = ("--jpg", "--metadata-only", "--gunzip-tables")
ROLES = ("chexpert", "metadata", "negbio", "split")
SPLIT = "mimic-cxr-2.0.0-split.csv"


def notices(machine: Machine, *words: str) -> list[str]:
    done = machine.pull(*PULL, *words)
    assert done.code == 0, done.err
    return [each["text"] for each in done.events if each["event"] == "notice"]


def test_plain_tables(machine: Machine) -> None:
    assert any(text.startswith("4 tables unpacked") for text in notices(machine))
    root = machine.dest / JPG / VERSION
    plain = {f"mimic-cxr-2.0.0-{role}.csv" for role in ROLES}
    assert {path.name for path in root.glob("mimic-cxr-2.0.0-*.csv")} == plain
    for name in plain:
        packed = root / f"{name}.gz"
        assert (root / name).read_bytes() == gzip.decompress(packed.read_bytes())
        assert (root / name).stat().st_mtime_ns == packed.stat().st_mtime_ns
        assert stat.S_IMODE((root / name).stat().st_mode) == 0o600
    assert list((root / ".cxrsync/unpack").iterdir()) == []
    before = {name: (root / name).stat().st_ino for name in plain}
    assert not any("unpacked" in text for text in notices(machine))
    assert {name: (root / name).stat().st_ino for name in plain} == before

    found = machine.run("verify", "--jpg", "--json").summary
    assert (found["exit_code"], found["files"]["unpacked"], found["files"]["extra"]) == (0, 4, 0)
    assert "4 tables are unpacked beside the .csv.gz, and right" in machine.run("verify").err


def test_a_file_of_somebody_stays(machine: Machine) -> None:
    assert machine.pull("--jpg", "--metadata-only").code == 0
    root = machine.dest / JPG / VERSION
    (root / SPLIT).write_text("mine")
    said = notices(machine)
    assert any(text.startswith(f"{SPLIT} is not what {SPLIT}.gz holds") for text in said)
    assert (root / SPLIT).read_text() == "mine"
    found = machine.run("verify", "--jpg", "--json").summary["files"]
    assert (found["unpacked"], found["extra"]) == (3, 1)


def test_a_job_file_has_the_key(machine: Machine, tmp_path: Path) -> None:
    jobs = tmp_path / "jobs.yaml"
    jobs.write_text(
        f"defaults:\n  dest: {machine.dest}\n  base_url: {machine.base_url}\n"
        f"  ca_file: {machine.ca_file}\n"
        f"jobs:\n  - dataset: {JPG}\n    dataset_version: {VERSION}\n    metadata_only: true\n"
        "    gunzip_tables: true\n"
    )
    assert machine.run("mirror", str(jobs), "--init").code == 0
    done = machine.run("mirror", str(jobs))
    assert done.code == 0, done.err
    assert (machine.dest / JPG / VERSION / SPLIT).is_file()


# ── one table ──────────────────────────────────────────────────────────────────────────────────

TEXT = b"dicom_id,split\n" + b"x,train\n" * 100_000


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    (tmp_path / ".cxrsync").mkdir()
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(TEXT))
    return Tree(tmp_path)


def entry(tree: Tree) -> Entry:
    return Entry("t.csv.gz", sha256_file(tree.final("t.csv.gz")))


def left(tree: Tree) -> set[str]:
    return {path.name for path in tree.root.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "plain", [TEXT[:-1], TEXT + b"x", b"", TEXT[:500_000] + b"y" + TEXT[500_001:]]
)
def test_other_bytes_are_no_plain_copy(tree: Tree, plain: bytes) -> None:
    (tree.root / "t.csv").write_bytes(plain)
    assert not is_plain_copy(tree, "t.csv")
    assert unpack(tree, entry(tree)) is Unpacked.OTHER
    assert (tree.root / "t.csv").read_bytes() == plain


@pytest.mark.parametrize(
    ("packed", "result"),
    [
        (gzip.compress(TEXT)[:-4], Unpacked.NOT_GZIP),
        (gzip.compress(TEXT)[:500], Unpacked.NOT_GZIP),
        (TEXT, Unpacked.NOT_GZIP),
        (b"", Unpacked.WRITTEN),  # as gunzip takes it
    ],
)
def test_a_published_table_that_is_no_gzip(tree: Tree, packed: bytes, result: Unpacked) -> None:
    (tree.root / "t.csv.gz").write_bytes(packed)
    assert unpack(tree, entry(tree)) is result
    is_written = result is Unpacked.WRITTEN
    assert left(tree) == {"t.csv.gz", "t.csv"} if is_written else left(tree) == {"t.csv.gz"}
    assert not is_plain_copy(tree, "t.csv") or is_written


def test_only_the_published_table_is_unpacked(tree: Tree) -> None:
    published = entry(tree)
    (tree.root / "t.csv.gz").write_bytes(gzip.compress(TEXT + b"z,test\n"))
    assert unpack(tree, published) is Unpacked.NOT_VERIFIED
    assert left(tree) == {"t.csv.gz"}
    (tree.root / "t.csv.gz").unlink()
    assert unpack(tree, published) is Unpacked.NOT_VERIFIED
