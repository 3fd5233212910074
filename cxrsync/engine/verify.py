"""Hashing again what is there; telling what is missing, bad or extra. Reads only, locks nothing.

A reader of a shared mirror can run this, beside a pull that is at work.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from cxrsync.catalog import describe
from cxrsync.engine.hashing import digest_of, on_every_core
from cxrsync.engine.manifest import ManifestFile
from cxrsync.engine.outage import Emit
from cxrsync.engine.partitions import PARTIAL_FOLDER
from cxrsync.engine.plan import Standing, standing, survey
from cxrsync.errors import ExitCode
from cxrsync.job import Selection
from cxrsync.manifest.select import any_wanted, wanted
from cxrsync.model import (
    MANIFEST_NAME,
    Checked,
    Entry,
    Finding,
    Found,
    Notice,
    Planned,
    Row,
    partition_of,
)
from cxrsync.store.layout import Tree
from cxrsync.store.state import State

_MOST_KEPT = 100_000


@dataclass(slots=True)
class Verification:
    """What was found. ``debris`` counts the index pages that wget leaves; they harm nothing."""

    selection: str
    selected: int = 0
    good: int = 0
    good_bytes: int = 0
    bad: list[str] = field(default_factory=list)
    missing: int = 0
    missing_named: list[str] = field(default_factory=list)
    extra: int = 0
    debris: int = 0
    refused_lines: int = 0

    @property
    def exit_code(self) -> ExitCode:
        """0 if everything expected is there and right; extra files are no fault."""
        if self.bad:
            return ExitCode.CONTRADICTED
        return ExitCode.FILES_FAILED if self.missing else ExitCode.COMPLETE

    def as_json(self) -> dict[str, object]:
        """The verification as other people's scripts read it."""
        return {
            "selection": self.selection,
            "files": {
                "selected": self.selected,
                "good": self.good,
                "bad": len(self.bad),
                "missing": self.missing,
                "extra": self.extra,
                "index_pages": self.debris,
                "refused": self.refused_lines,
            },
            "bytes": {"good": self.good_bytes},
            "exit_code": int(self.exit_code),
        }


@dataclass(frozen=True, slots=True)
class Expectation:
    """Which files ought to be there, and in words. ``only_present``: nothing is known of what was
    asked for, so that only what is there can be judged."""

    is_wanted: Callable[[str], bool]
    words: str
    selections: tuple[Selection, ...]
    only_present: bool = False


def expectation(tree: Tree, dataset: str, selection: Selection, *, everything: bool) -> Expectation:
    """What a tree ought to hold: what is asked for now, else what it was pulled with."""
    known = describe(dataset)
    if everything or not selection.whole:
        return Expectation(wanted(selection, known), str(selection), (selection,))
    remembered: dict[Selection, None] = {}
    for name in partition_names(tree):
        state = State.read(tree.partition(name))
        if state is not None:
            with state:
                remembered.update(dict.fromkeys(state.selections()))
    if not remembered:
        return Expectation(lambda _path: True, "what is there", (selection,), only_present=True)
    selections = tuple(remembered)
    return Expectation(any_wanted(selections, known), "; ".join(map(str, selections)), selections)


def partition_names(tree: Tree) -> list[str]:
    """The partitions that have a state in the tree."""
    try:
        names = os.listdir(tree.own)
    except OSError:
        return []
    return sorted(name for name in names if (tree.own / name / "state.sqlite3").is_file())


async def verify(
    tree: Tree, manifest: ManifestFile, expected: Expectation, emit: Emit
) -> Verification:
    """Hash every expected file again, on every core."""
    result = Verification(expected.words)
    if expected.only_present:
        emit(Notice("this tree was not made by cxrsync: only what is there is judged"))
    present = 0
    for _offset, _entry, _row, found in _everywhere(tree, manifest, expected, {}):
        present += found is not None
    emit(Planned(present, 0, 0, 0, present, refused_lines=manifest.refused_lines))

    def there() -> Iterator[tuple[Entry, Found]]:
        for _offset, entry, _row, found in _everywhere(tree, manifest, expected, {}):
            if found is not None:
                yield entry, found
            elif not expected.only_present:
                result.missing += 1
                result.selected += 1
                if len(result.missing_named) < _MOST_KEPT:
                    result.missing_named.append(entry.path)
                emit(Checked(entry.path, Finding.MISSING))

    async def judge(item: tuple[Entry, Found], digest: str | OSError) -> None:
        entry, found = item
        result.selected += 1
        if digest == entry.sha256:
            result.good += 1
            result.good_bytes += found.size
            emit(Checked(entry.path, Finding.GOOD, found.size))
        else:
            result.bad.append(entry.path)
            emit(Checked(entry.path, Finding.BAD, found.size))

    await on_every_core(there(), lambda item: digest_of(tree.final(item[0].path)), judge)
    for path in extra_files(tree, manifest):
        if path.rpartition("/")[2].startswith("index.html"):
            result.debris += 1
        else:
            result.extra += 1
            emit(Checked(path, Finding.EXTRA))
    result.refused_lines = manifest.refused_lines
    return result


def _everywhere(
    tree: Tree, manifest: ManifestFile, expected: Expectation, states: dict[str, State]
) -> Iterator[tuple[int, Entry, Row | None, Found | None]]:
    rows = {
        name: states[name].rows() if name in states else iter(()) for name in manifest.partitions
    }
    return survey(manifest, expected.is_wanted, rows, tree)


def extra_files(tree: Tree, manifest: ManifestFile) -> Iterator[str]:
    """The files of the tree that the manifest does not list, by a merge of two sorted walks."""
    entries = manifest.entries()
    entry = next(entries, None)
    for path in tree.files():
        while entry is not None and entry[1].path < path:
            entry = next(entries, None)
        if (entry is None or entry[1].path != path) and path != MANIFEST_NAME:
            yield path


@dataclass(slots=True)
class Share:
    """Where one partition stands, in files and bytes. ``partial``: bytes of unfinished files."""

    selected: int = 0
    verified: int = 0
    unproved: int = 0
    missing: int = 0
    verified_bytes: int = 0
    partial_bytes: int = 0


def status(tree: Tree, manifest: ManifestFile, expected: Expectation) -> dict[str, Share]:
    """Where each partition stands, by state, size and time alone: nothing is hashed."""
    shares: dict[str, Share] = {}
    with ExitStack() as stack:
        states = {
            name: stack.enter_context(state)
            for name in partition_names(tree)
            if (state := State.read(tree.partition(name))) is not None
        }
        for _offset, entry, row, found in _everywhere(tree, manifest, expected, states):
            if found is None and expected.only_present:
                continue
            share = shares.setdefault(partition_of(entry.path), Share())
            share.selected += 1
            where = standing(entry, row, found)
            if where is Standing.PRESENT and found is not None:
                share.verified += 1
                share.verified_bytes += found.size
            elif where is Standing.HASH:
                share.unproved += 1
            else:
                share.missing += 1
    for name, share in shares.items():
        share.partial_bytes = _size_of(tree.partition(name) / PARTIAL_FOLDER)
    return dict(sorted(shares.items()))


def _size_of(folder: os.PathLike[str]) -> int:
    try:
        with os.scandir(folder) as found:
            # Blocks, not length: a file in segments has holes.
            return sum(item.stat().st_blocks * 512 for item in found if "." not in item.name)
    except OSError:
        return 0
