"""Planning: the status of one file by a table, and the merge compared with a naive model."""

import os
import shutil
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.catalog.load import dataset_info
from cxrsync.manifest.file import ManifestFile
from cxrsync.model import Entry, FileRecord, FileStat, Kind, partition_of
from cxrsync.plan.planner import make_plan
from cxrsync.plan.survey import MTIME_TOLERANCE_NS, FileStatus, file_status, matches_record, survey
from cxrsync.storage.tree import Tree

many = settings(max_examples=examples(150))

A, B = "a" * 64, "b" * 64
S = 10**9
T = 1_721_736_000 * S


def record(path: str = "x", sha256: str = A, size: int = 10, mtime_ns: int = T) -> FileRecord:
    return FileRecord(path, sha256, size, mtime_ns, "https://physionet.org", '"tag"', 0.0)


@pytest.mark.parametrize(
    ("record", "found", "expected"),
    [
        (None, None, FileStatus.FETCH),
        (record(), None, FileStatus.FETCH),  # after a power loss a record may lack its file
        (None, FileStat(10, T), FileStatus.HASH),  # a file of wget, or one whose state is lost
        (None, FileStat(0, T), FileStatus.HASH),
        (record(), FileStat(10, T), FileStatus.PRESENT),
        (record(), FileStat(10, T + 2 * S), FileStatus.PRESENT),
        (record(), FileStat(10, T - 2 * S), FileStatus.PRESENT),
        # Not as the record says: hashed again, and not fetched for that reason alone.
        (record(), FileStat(10, T + 2 * S + 1), FileStatus.HASH),
        (record(), FileStat(10, T - 2 * S - 1), FileStatus.HASH),
        (record(), FileStat(9, T), FileStatus.HASH),
        (record(), FileStat(11, T), FileStatus.HASH),
        (record(), FileStat(0, T), FileStatus.HASH),
        # Verified with another digest than the manifest's (a new version): fetched.
        (record(sha256=B), FileStat(10, T), FileStatus.FETCH),
        (record(sha256=B), FileStat(11, T), FileStatus.HASH),  # the record is of another file
        (record(sha256=B), None, FileStatus.FETCH),
    ],
)
def test_file_status(
    record: FileRecord | None, found: FileStat | None, expected: FileStatus
) -> None:
    assert file_status(Entry("x", A), record, found) is expected


@pytest.mark.parametrize(
    ("size", "late", "expected"),
    [
        (10, 0, True),
        (10, MTIME_TOLERANCE_NS, True),
        (10, -MTIME_TOLERANCE_NS, True),
        (10, MTIME_TOLERANCE_NS + 1, False),
        (10, -MTIME_TOLERANCE_NS - 1, False),
        (9, 0, False),
    ],
)
def test_a_file_matches_its_record_by_size_and_time(size: int, late: int, expected: bool) -> None:
    assert matches_record(record(), FileStat(size, T + late)) is expected


def kind(path: str) -> Kind:
    return dataset_info("mimic-cxr-jpg").kind_of(path)


# ── the merge ──────────────────────────────────────────────────────────────────────────────────

PATHS = sorted(
    [
        "LICENSE.txt",
        "tables/split.csv",
        "files/p10/p1/s1.txt",
        "files/p10/p1/s1/a.jpg",
        "files/p10/p1/s1/b.jpg",
        "files/p10/p1/s10/a.jpg",
        "files/p10/p2/s1/a.jpg",
        "files/p11/p3/s1/a.jpg",
        "files/p11/p3/s1/b.jpg",
        "files/p12/p4/s1/a.jpg",
        "files/p100/a.jpg",
        "é.csv",
    ]
)
digests = st.sampled_from([A, B])
# Size, and seconds since T, of a file or of its record.
evidence = st.tuples(st.sampled_from([0, 3]), st.sampled_from([0, 2, 3]))


def records_of(
    records: dict[str, FileRecord], partitions: set[str]
) -> dict[str, Iterator[FileRecord]]:
    """Return the records as the states give them: by partition, in the order of the paths."""
    return {
        name: iter(sorted(each for each in records.values() if partition_of(each.path) == name))
        for name in partitions
    }


@many
@given(
    listed=st.dictionaries(st.sampled_from(PATHS), digests),
    records=st.dictionaries(st.sampled_from(PATHS), st.tuples(digests, evidence)),
    files=st.dictionaries(st.sampled_from(PATHS), evidence),
    links=st.sets(st.sampled_from(PATHS), max_size=2),
    wanted=st.sets(st.sampled_from(PATHS), min_size=6),
    partitions=st.sets(st.sampled_from(["root", "p10", "p11", "p12"]), min_size=2),
)
def test_against_the_model(
    tmp_path_factory: pytest.TempPathFactory,
    listed: dict[str, str],
    records: dict[str, tuple[str, tuple[int, int]]],
    files: dict[str, tuple[int, int]],
    links: set[str],
    wanted: set[str],
    partitions: set[str],
) -> None:
    root = tmp_path_factory.getbasetemp() / "tree"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    for path in set(files) | links:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if path in links:
            file.symlink_to("/etc/hostname")  # a link never counts as the file
        else:
            size, late = files[path]
            file.write_bytes(b"x" * size)
            os.utime(file, ns=(T, T + late * S))
    sums = root / "SHA256SUMS.txt"
    sums.write_text("".join(f"{listed[path]} {path}\n" for path in sorted(listed)))
    known = {path: record(path, sha, size, T + s * S) for path, (sha, (size, s)) in records.items()}

    # The model decides file by file, with sets and dictionaries.
    present, to_hash, in_shards, in_root = [], [], [], []
    for path in sorted(set(listed) & wanted):
        if partition_of(path) not in partitions:
            continue
        file = None if path in links else files.get(path)
        claimed = records.get(path)
        if file is None:
            is_verified, is_there = False, False
        else:
            is_there = True
            is_verified = (
                claimed is not None
                and claimed[1][0] == file[0]
                and abs(claimed[1][1] - file[1]) <= 2
            )
        if is_there and not is_verified:
            to_hash.append(path)
        elif is_verified and claimed is not None and claimed[0] == listed[path]:
            present.append(path)
        else:
            (in_root if partition_of(path) == "root" else in_shards).append(path)

    manifest = ManifestFile(sums)
    try:
        plan = make_plan(
            manifest, wanted.__contains__, records_of(known, partitions), Tree(root), kind
        )
        assert [entry.path for entry in plan.entries_to_hash()] == to_hash
        # Fewer than 16 images here: all of them come before the root.
        assert list(plan.entries_to_fetch()) == [
            Entry(path, listed[path]) for path in in_shards + in_root
        ]
        assert plan.to_fetch == len(in_shards) + len(in_root)
        assert plan.present.files == len(present)
        assert plan.present.bytes == sum(files[path][0] for path in present)
        assert plan.selected == plan.present.files + plan.to_fetch + len(plan.to_hash)
    finally:
        manifest.close()


@pytest.fixture
def manifest(tmp_path: Path) -> Iterator[ManifestFile]:
    names = ["LICENSE.txt", *[f"files/p10/{n:02}.jpg" for n in range(20)], "z.csv"]
    path = tmp_path / "SHA256SUMS.txt"
    path.write_text("".join(f"{A} {name}\n" for name in names) + "hello\n")
    manifest = ManifestFile(path)
    yield manifest
    manifest.close()


def everything(_path: str) -> bool:
    return True


def test_the_first_images_then_the_root_then_the_others(
    manifest: ManifestFile, tmp_path: Path
) -> None:
    plan = make_plan(manifest, everything, records_of({}, {"root", "p10"}), Tree(tmp_path), kind)
    images = [f"files/p10/{n:02}.jpg" for n in range(20)]
    assert [entry.path for entry in plan.entries_to_fetch()] == [
        *images[:16],
        "LICENSE.txt",
        "z.csv",
        *images[16:],
    ]
    assert isinstance(plan.in_shards, array)  # eight bytes a file
    assert [each.line for each in plan.rejected] == [23]


def test_a_missing_folder_is_looked_for_once(
    manifest: ManifestFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = Tree(tmp_path)
    asked: list[str] = []
    examine = tree.examine
    monkeypatch.setattr(tree, "examine", lambda path: asked.append(path) or examine(path))
    records = records_of({}, {"root", "p10"})
    assert all(found is None for *_rest, found in survey(manifest, everything, records, tree))
    assert asked == ["LICENSE.txt", "files/p10/00.jpg", "z.csv"]


def test_records_of_unselected_files_are_skipped(manifest: ManifestFile, tmp_path: Path) -> None:
    paths = ["files/p10/00.jpg", "files/p10/00x.jpg", "files/p10/07.jpg", "files/p10/zz.jpg"]
    records = records_of({path: record(path) for path in paths}, {"p10"})

    def is_wanted(path: str) -> bool:
        return path > "files/p10/05"

    surveyed = survey(manifest, is_wanted, records, Tree(tmp_path))
    with_record = [entry.path for _offset, entry, record, _found in surveyed if record is not None]
    assert with_record == ["files/p10/07.jpg"]
