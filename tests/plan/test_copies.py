"""What a pull does about smaller copies: the table of needs, and the plan that follows from it."""

from array import array
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cxrsync.catalog.load import dataset_info
from cxrsync.errors import UsageError
from cxrsync.events import Totals
from cxrsync.manifest.file import ManifestFile
from cxrsync.model import CopyRecord, Entry, FileRecord, Kind
from cxrsync.plan.capacity import needed_bytes, needed_files
from cxrsync.plan.copies import CopyOrder, Need, copy_bytes, need_of, remarks
from cxrsync.plan.estimate import Count, Inventory, estimate
from cxrsync.plan.planner import Copies, Plan, PlanOptions, Replaced, make_plan
from cxrsync.plan.survey import FileStatus, file_status
from cxrsync.storage.tree import Tree

A, B, C = "a" * 64, "b" * 64, "c" * 64
SMALL = CopyRecord(512, C, 9)
NONE = CopyOrder()
BESIDE = CopyOrder(512)
INSTEAD = CopyOrder(512, drop=True)
OTHER = CopyOrder(256, drop=True)
MIRROR = CopyOrder(keep=True)
MIRROR_BESIDE = CopyOrder(512, keep=True)
MIRROR_INSTEAD = CopyOrder(512, drop=True, keep=True)
MIRROR_OTHER = CopyOrder(256, keep=True)
REFETCH = CopyOrder(refetch=True)
MIRROR_REFETCH = CopyOrder(keep=True, refetch=True)
OTHER_REFETCH = CopyOrder(256, drop=True, refetch=True)
INSTEAD_REFETCH = CopyOrder(512, drop=True, refetch=True)


@pytest.mark.parametrize(
    ("order", "replaced", "present", "with_own"),
    [
        # What a file needs that a copy has replaced; that is verified; and has its copy beside it.
        (NONE, Need.FETCH, Need.NOTHING, Need.NOTHING),
        (BESIDE, Need.FETCH, Need.COPY, Need.NOTHING),
        (INSTEAD, Need.DERIVED, Need.COPY, Need.COPY),
        (OTHER, Need.OTHER_COPY, Need.COPY, Need.COPY),
        (MIRROR, Need.DERIVED, Need.NOTHING, Need.NOTHING),
        (MIRROR_BESIDE, Need.DERIVED, Need.COPY, Need.NOTHING),
        (MIRROR_INSTEAD, Need.DERIVED, Need.COPY, Need.COPY),
        (MIRROR_OTHER, Need.OTHER_COPY, Need.COPY, Need.NOTHING),
        (REFETCH, Need.FETCH, Need.NOTHING, Need.NOTHING),
        (MIRROR_REFETCH, Need.FETCH, Need.NOTHING, Need.NOTHING),
        (OTHER_REFETCH, Need.FETCH, Need.COPY, Need.COPY),
        (INSTEAD_REFETCH, Need.DERIVED, Need.COPY, Need.COPY),
    ],
)
def test_needs(order: CopyOrder, replaced: Need, present: Need, with_own: Need) -> None:
    def need(status: FileStatus, *, is_image: bool = True, has_own: bool = False) -> Need:
        return need_of(status, SMALL, order, is_image=is_image, has_own=has_own)

    assert need(FileStatus.DERIVED) is replaced
    assert need(FileStatus.PRESENT) is present
    assert need(FileStatus.PRESENT, has_own=True) is with_own
    # A table has no copy; and what is to be hashed or fetched gets its copy afterwards.
    assert need(FileStatus.PRESENT, is_image=False) is Need.NOTHING
    assert need(FileStatus.HASH) is Need.HASH
    assert need(FileStatus.FETCH) is Need.FETCH


@pytest.mark.parametrize(
    ("sha256", "copy", "expected"),
    [
        (A, SMALL, FileStatus.DERIVED),
        (A, None, FileStatus.FETCH),  # its copy is gone, too
        (B, SMALL, FileStatus.FETCH),  # of another version of the file
    ],
)
def test_a_replaced_file_is_not_missing(
    sha256: str, copy: CopyRecord | None, expected: FileStatus
) -> None:
    record = FileRecord("x", sha256, 10, 1, "", "", 0.0, copy)
    assert file_status(Entry("x", A), record, None) is expected


PATHS = [f"files/p10/p1/s1/{name}.jpg" for name in ("gone", "kept", "lost", "there")]


@pytest.fixture
def manifest(tmp_path: Path) -> Iterator[ManifestFile]:
    """Of four images ``kept`` was replaced, ``lost`` has lost its copy, too, and ``there`` is there
    although its record says that it was replaced."""
    sums = tmp_path / "SHA256SUMS.txt"
    sums.write_text("".join(f"{A}  {path}\n" for path in PATHS) + f"{A}  split.csv\n")
    folder = tmp_path / "files/p10/p1/s1"
    folder.mkdir(parents=True)
    (folder / "there.jpg").write_bytes(b"x" * 10)
    manifest = ManifestFile(sums)
    yield manifest
    manifest.close()


def kind(path: str) -> Kind:
    return dataset_info("mimic-cxr-jpg").kind_of(path)


def plan_for(order: CopyOrder, manifest: ManifestFile, has_own: bool = False):
    root = manifest.path.parent
    there = (root / PATHS[3]).stat()
    copied = [FileRecord(path, A, 10, there.st_mtime_ns, "", "", 0.0, SMALL) for path in PATHS[1:]]
    copies = Copies(
        order,
        has_copy=lambda record: record.path != PATHS[2],
        is_image=lambda path: kind(path) is Kind.IMAGES,
        has_own=lambda _entry: has_own,
    )
    records = {"p10": iter(copied), "root": iter(())}
    return make_plan(manifest, lambda _path: True, records, Tree(root), kind, PlanOptions(copies))


@pytest.mark.parametrize(
    ("order", "has_own", "fetched", "to_copy", "kept", "gone"),
    [
        (NONE, False, ["gone", "kept", "lost"], [], 0, 1),
        (BESIDE, False, ["gone", "kept", "lost"], ["there"], 0, 1),
        (BESIDE, True, ["gone", "kept", "lost"], [], 0, 1),
        (INSTEAD, True, ["gone", "lost"], ["there"], 1, 1),
        (MIRROR, False, ["gone", "lost"], [], 1, 1),
        (OTHER_REFETCH, False, ["gone", "kept", "lost"], ["there"], 0, 1),
    ],
)
def test_plans(
    manifest: ManifestFile,
    order: CopyOrder,
    has_own: bool,
    fetched: list[str],
    to_copy: list[str],
    kept: int,
    gone: int,
) -> None:
    plan = plan_for(order, manifest, has_own)
    images = [Path(entry.path) for entry in plan.entries_to_fetch()][:-1]
    assert [path.stem for path in images] == fetched
    assert [Path(entry.path).stem for entry in plan.entries_to_copy()] == to_copy
    assert (plan.replaced.kept.files, plan.replaced.kept.bytes) == (kept, 10 * kept)
    assert plan.replaced.copies == 9 * kept
    assert plan.gone == gone
    # What --max-refetch is a share of: a tree of copies is not small, because its originals went.
    assert plan.verified == kept + 1
    # The books: present, replaced, or due an outcome.
    assert plan.selected == plan.present.files + plan.replaced.kept.files + len(plan.due) == 5
    assert plan.is_empty is False


def test_a_copy_of_another_size_is_not_made(manifest: ManifestFile) -> None:
    with pytest.raises(UsageError, match="1 file was replaced by copies of 512 pixels") as refused:
        plan_for(OTHER, manifest)
    assert "--resize 512" in refused.value.next_step
    assert "--refetch" in refused.value.next_step


def test_what_is_said() -> None:
    assert not list(remarks(NONE, 0, 0))
    assert not list(remarks(INSTEAD, 0, 5))
    [text] = remarks(NONE, 2, 0)
    assert "2 originals that copies have replaced are fetched again" in text
    assert "--drop-originals" in text
    assert list(remarks(REFETCH, 1, 0)) == [
        "1 original that a copy has replaced is fetched again, by --refetch"
    ]
    [text] = remarks(MIRROR, 0, 1)
    assert "1 file is here as a smaller copy only, and stays so" in text


@pytest.mark.parametrize(
    ("order", "expected_bytes", "expected_files"),
    [
        # 1,000 images of 2 MB to fetch, 10 to copy, and tables of 5 MB; 300 folders.
        (NONE, 2_005_000_000, 1_301),
        (BESIDE, 2_005_000_000 + 1_010 * copy_bytes(512), 1_301 + 1_010 + 300),
        # Of the originals there are only those in flight at a time.
        (replace(INSTEAD, in_flight=100), 205_000_000 + 1_010 * copy_bytes(512), 401 + 1_010 + 300),
        # All are fewer than may be in flight.
        (replace(INSTEAD, in_flight=5_000), 2_005_000_000 + 1_010 * copy_bytes(512), 2_611),
    ],
)
def test_needed_space(order: CopyOrder, expected_bytes: int, expected_files: int) -> None:
    inventory = Inventory(kind)
    inventory.folders = 300
    inventory.missing["p10", Kind.IMAGES] = Count(1_000, 1_000, 2_000_000_000)
    inventory.missing["root", Kind.TABLES] = Count(1, 1, 5_000_000)
    plan = replace(
        Plan(
            *(None, inventory, 1_011, Totals()),  # type: ignore[arg-type]
            *(array("Q", range(1_000)), array("Q"), array("Q", [0]), array("Q")),
            *((), (), array("q")),
        ),
        to_copy=array("Q", range(10)),
        order=order,
    )
    assert needed_bytes(plan, estimate(inventory, {})) == expected_bytes
    assert needed_files(plan) == expected_files


def test_the_mean_of_the_copies_that_are_there_counts() -> None:
    inventory = Inventory(kind)
    inventory.missing["p10", Kind.IMAGES] = Count(1_000, 1_000, 2_000_000_000)
    plan = replace(
        Plan(
            *(None, inventory, 1_000, Totals()),  # type: ignore[arg-type]
            *(array("Q", range(1_000)), array("Q"), array("Q"), array("Q"), (), (), array("q")),
        ),
        order=BESIDE,
        replaced=Replaced(Totals(20, 40_000_000), copies=20 * 30_000),
    )
    assert needed_bytes(plan, estimate(inventory, {})) == 2_000_000_000 + 1_000 * 30_000
