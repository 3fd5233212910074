"""Hashing again what is there; telling what is missing, bad or extra. Reads only, locks nothing.

A reader of a shared mirror can run this, beside a pull that is at work.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from cxrsync.engine.exit_status import Ending, exit_status
from cxrsync.engine.expectation import Expectation, observations, without_proof
from cxrsync.engine.hashing import on_every_core
from cxrsync.engine.manifest_file import ManifestFile
from cxrsync.errors import ExitCode
from cxrsync.manifest.slices import covers
from cxrsync.model import MANIFEST_NAME, Checked, Emit, Entry, Finding, Found, Notice, Planned
from cxrsync.store.hashing import digest_of
from cxrsync.store.layout import Tree


@dataclass(slots=True)
class Verification:
    """What was found. ``acknowledged`` files are missing, and known to be; ``debris`` counts the
    index pages that wget leaves, which harm nothing."""

    selection: str
    selected: int = 0
    good: int = 0
    good_bytes: int = 0
    bad: list[str] = field(default_factory=list)
    missing: int = 0
    acknowledged: int = 0
    extra: int = 0
    debris: int = 0
    refused_lines: int = 0

    @property
    def exit_code(self) -> ExitCode:
        """0 if everything expected is there and right; extra files are no fault."""
        return exit_status(
            Ending(
                contradicted=len(self.bad), failed=self.missing, refused_lines=self.refused_lines
            )
        )

    def as_json(self) -> dict[str, object]:
        """The verification as other people's scripts read it."""
        return {
            "selection": self.selection,
            "files": {
                "selected": self.selected,
                "good": self.good,
                "bad": len(self.bad),
                "missing": self.missing,
                "acknowledged": self.acknowledged,
                "extra": self.extra,
                "index_pages": self.debris,
                "refused": self.refused_lines,
            },
            "bytes": {"good": self.good_bytes},
            "exit_code": int(self.exit_code),
        }


async def verify(
    tree: Tree,
    expected: Expectation,
    emit: Emit,
    acknowledged: frozenset[tuple[str, str]] = frozenset(),
) -> Verification:
    """Hash every expected file again, on every core.

    ``acknowledged``: path and digest of files that the source has otherwise than they are
    published; where a pull found that, too, they are not missed.
    """
    absent = {path for path, observed in acknowledged & observations(tree)}
    manifest = expected.manifest
    result = Verification(expected.words)
    if expected.only_present:
        emit(Notice("this tree does not say what it ought to hold: only what is there is judged"))
    present = 0
    for _offset, _entry, _row, found in without_proof(tree, expected):
        present += isinstance(found, Found)
    emit(Planned(present, 0, 0, 0, present, refused_lines=manifest.refused_lines))

    def there() -> Iterator[tuple[Entry, Found]]:
        for _offset, entry, _row, found in without_proof(tree, expected):
            if isinstance(found, Found):
                yield entry, found
            elif entry.path in absent:
                result.acknowledged += 1
                result.selected += 1
            elif not expected.only_present:
                result.missing += 1
                result.selected += 1
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

    result.refused_lines = manifest.refused_lines
    await on_every_core(there(), lambda item: digest_of(tree.final(item[0].path)), judge)
    for path in extra_files(tree, manifest):
        if path.rpartition("/")[2].startswith("index.html"):
            result.debris += 1
        else:
            result.extra += 1
            emit(Checked(path, Finding.EXTRA))
    return result


def extra_files(tree: Tree, manifest: ManifestFile) -> Iterator[str]:
    """The files of the tree that the manifest does not list, by a merge of two sorted walks.

    Where it is here in part, what lies elsewhere is not judged."""
    entries = manifest.entries()
    entry = next(entries, None)
    for path in tree.files():
        while entry is not None and entry[1].path < path:
            entry = next(entries, None)
        listed = entry is not None and entry[1].path == path
        if not listed and path != MANIFEST_NAME and covers(manifest.keys, path):
            yield path
