"""``--gunzip-tables``: lay the plain ``.csv`` beside each selected ``.csv.gz``, after a pull."""

from __future__ import annotations

from collections import Counter

from cxrsync.dataset.resolve_selection import ResolvedSelection
from cxrsync.dataset.run_context import RunContext
from cxrsync.events import Notice
from cxrsync.model import Entry, Kind
from cxrsync.storage.plain_table import Unpacked, is_packed_table, plain_name, unpack
from cxrsync.threads import run_in_thread


async def gunzip_tables(run: RunContext, selected: ResolvedSelection) -> None:
    """Unpack every selected table that is verified, and say what was done. A file that has the name
    of a plain table and other bytes stays. Raises OSError."""
    entries = await run_in_thread(lambda: _packed_tables(selected))
    done: Counter[Unpacked] = Counter()
    for entry in entries:
        result = await run_in_thread(lambda: unpack(run.target.tree, entry))  # noqa: B023
        done[result] += 1
        if result is Unpacked.OTHER:
            run.emit(
                Notice(
                    f"{plain_name(entry.path)} is not what {entry.path} holds, and stays as it is: "
                    "move it away, and run the same command again"
                )
            )
        elif result is Unpacked.NOT_GZIP:
            run.emit(Notice(f"{entry.path} cannot be unpacked: {result.value}"))
    if written := done[Unpacked.WRITTEN]:
        tables = "1 table" if written == 1 else f"{written:,} tables"
        run.emit(Notice(f"{tables} unpacked: the plain .csv lies beside its .csv.gz"))


def _packed_tables(selected: ResolvedSelection) -> list[Entry]:
    """Return the selected packed tables of which the dataset has no plain copy of its own."""
    kind_of = selected.target.dataset.kind_of
    packed = [
        entry
        for entry in selected.entries()
        if is_packed_table(entry.path) and kind_of(entry.path) is Kind.TABLES
    ]
    names = {plain_name(entry.path) for entry in packed}
    published = names.intersection(selected.manifest.paths()) if names else set()
    return [entry for entry in packed if plain_name(entry.path) not in published]
