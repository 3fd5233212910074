"""What a pull does about smaller copies: the table of needs, and the plan that follows from it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cxrsync.catalog.load import dataset_info
from cxrsync.errors import UsageError
from cxrsync.manifest.file import ManifestFile
from cxrsync.model import CopyRecord, Entry, FileRecord, Kind
from cxrsync.plan.copies import CopyOrder, Need, need_of, remarks
from cxrsync.plan.planner import Copies, make_plan
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
    return make_plan(manifest, lambda _path: True, records, Tree(root), kind, copies)


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
