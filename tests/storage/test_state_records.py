"""The rows of a state, page by page."""

import sqlite3
from contextlib import closing

import pytest

from cxrsync.model import CopyRecord, FileRecord
from cxrsync.storage.state_records import select_page, write_records
from cxrsync.storage.state_schema import open_empty

COPY = CopyRecord(512, "b" * 64, 3)


def row(number: int, copy: CopyRecord | None = None) -> FileRecord:
    return FileRecord(f"{number:04}.jpg", "a" * 64, 10, 5, "https://x/", "", 1.0, copy)


def plan_of(db: sqlite3.Connection) -> str:
    """How SQLite finds a page."""
    asked: list[str] = []
    db.set_trace_callback(asked.append)
    select_page(db, "0002.jpg", 3)
    db.set_trace_callback(None)
    [query] = [each for each in asked if "CAST" in each]
    return " ".join(each[-1] for each in db.execute(f"EXPLAIN QUERY PLAN {query}"))


@pytest.mark.parametrize("copy", [None, COPY])
def test_a_page_is_found_by_the_key(copy: CopyRecord | None) -> None:
    """Not by a sort of all rows after it: a tree of one partition took the square of its files."""
    with closing(open_empty()) as db:
        write_records(db, [row(number, copy if number % 3 else None) for number in range(9)])
        page = select_page(db, "0002.jpg", 3)
        assert [each[0] for each in page] == ["0003.jpg", "0004.jpg", "0005.jpg"]
        assert [each[-1] for each in page] == [None, copy, copy]
        plan = plan_of(db)
    assert "PRIMARY KEY (path>?)" in plan
    assert "TEMP B-TREE" not in plan
