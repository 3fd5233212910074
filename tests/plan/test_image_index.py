"""The join of images and tables: as a dictionary joins them, and in one pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrsync.manifest import sorted_table
from cxrsync.manifest.csv_reader import InvalidTable
from cxrsync.manifest.sorted_table import SortedTable, image_row_key, study_row_key
from cxrsync.model import Entry, FileRecord, FileStat
from cxrsync.plan.image_index import JoinedImage, Unmatched, join_tables
from cxrsync.plan.survey import Surveyed

Ids = tuple[str, str, str]
IDS = st.tuples(
    st.sampled_from(["10000032", "10000033", "11000000"]),
    st.sampled_from(["50000001", "50000002", "5"]),
    st.sampled_from(["a", "a-1", "ab", "b"]),
)


@dataclass
class Rows:
    name: str
    columns: tuple[str, ...]
    by_study: bool
    keyed: dict[str, tuple[str, ...]]

    def rows(self) -> Iterator[tuple[str, ...]]:
        return iter((key, *self.keyed[key]) for key in sorted(self.keyed))


def path_of(ids: Ids) -> str:
    subject, study, image = ids
    return f"files/p{subject[:2]}/p{subject}/s{study}/{image}.jpg"


def surveyed(path: str) -> Surveyed:
    return Surveyed(0, Entry(path, "0" * 64), None, None)


@given(images=st.sets(IDS), described=st.sets(IDS), studies=st.sets(IDS.map(lambda ids: ids[:2])))
def test_it_joins_as_a_dictionary_does(
    images: set[Ids], described: set[Ids], studies: set[tuple[str, str]]
) -> None:
    by_image = {image_row_key(*ids): (ids[2], ids[0]) for ids in described}
    by_study = {study_row_key(*ids): (ids[1],) for ids in studies}
    tables = [Rows("views", ("v", "w"), False, by_image), Rows("labels", ("l",), True, by_study)]
    unmatched = Unmatched()
    paths = sorted(map(path_of, images))

    joined = list(join_tables(map(surveyed, paths), tables, unmatched))

    assert [each.surveyed.entry.path for each in joined] == paths
    found = {each.surveyed.entry.path: each.values for each in joined}
    assert found == {
        path_of(ids): (
            *by_image.get(image_row_key(*ids), ("", "")),
            *by_study.get(study_row_key(*ids[:2]), ("",)),
        )
        for ids in images
    }
    of_images = {ids[:2] for ids in images}
    assert unmatched.images == {
        "views": len(images - described), "labels": len(of_images - studies),
    }  # fmt: skip
    assert unmatched.rows == {"views": len(described - images), "labels": len(studies - of_images)}


def test_files_without_ids_have_blanks() -> None:
    tables = [Rows("views", ("v", "w"), False, {})]
    [joined] = join_tables([surveyed("scans/1.png")], tables, Unmatched())
    assert (joined.ids, joined.values) == (None, ("", ""))


@given(st.dictionaries(st.text("ab/.", min_size=1), st.text("xyz"), max_size=30), st.randoms())
def test_rows_are_sorted(rows: dict[str, str], random: object) -> None:
    shuffled = list(rows.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for given_rows in (shuffled, sorted(rows.items())):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sorted_table, "_BLOCK_ROWS", 4)
            table = SortedTable.of_rows("t", ("value",), given_rows, by_study=False)
            assert list(table.rows()) == list(table.rows()) == sorted(rows.items())
            table.close()


def test_two_rows_for_one_image_are_refused() -> None:
    with pytest.raises(InvalidTable, match="two rows for an image"):
        SortedTable.of_rows("t", ("value",), [("a", "1"), ("a", "1")], by_study=False)


def test_a_full_disk_is_the_temporary_files_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr(sorted_table.tempfile, "TemporaryFile", lambda: full)
        with pytest.raises(sorted_table.TemporaryFileFailed):
            SortedTable.of_rows("t", ("value",), [("a", "1")], by_study=False)


RECORD = FileRecord("x", "0" * 64, 5, 10**9, "", "", 77.0)
FOUND = FileStat(5, 10**9)


@pytest.mark.parametrize(
    ("record", "found", "size", "verified_at"),
    [
        (RECORD, FOUND, 5, 77.0),
        (RECORD, None, 5, None),
        (None, FOUND, 5, None),
        (None, None, None, None),
        (RECORD, FileStat(6, 10**9), 6, None),
        (RECORD._replace(sha256="1" * 64), FOUND, 5, None),
        (RECORD._replace(sha256="1" * 64), None, None, None),
        (RECORD, OSError(), 5, None),
    ],
)
def test_size_and_proof(
    record: FileRecord | None,
    found: FileStat | OSError | None,
    size: int | None,
    verified_at: float | None,
) -> None:
    image = JoinedImage(Surveyed(0, Entry("x", "0" * 64), record, found), None, ())
    assert (image.size, image.verified_at) == (size, verified_at)
