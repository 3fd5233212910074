"""Hashing again what is there; telling what is missing, bad, unreadable or extra. Reads only, and
locks nothing.

A reader of a shared mirror can run this, beside a pull that is at work.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from cxrsync.dataset.states import known_mismatches
from cxrsync.errors import DiskError, ExitCode
from cxrsync.events import Checked, EventSink, Finding, Notice, Planned
from cxrsync.manifest.file import ManifestFile
from cxrsync.manifest.key_ranges import is_in_key_ranges
from cxrsync.model import MANIFEST_NAME, Entry, FileStat
from cxrsync.operations.exit_status import Ending, exit_status
from cxrsync.operations.expected import Expectation
from cxrsync.sanitize import reason_of
from cxrsync.sorted_merge import merge_join
from cxrsync.storage.checksum import sha256_file
from cxrsync.storage.filesystem import reading_error
from cxrsync.storage.parallel_hash import map_on_all_cores
from cxrsync.storage.tree import Tree


@dataclass(slots=True)
class Verification:
    """What was found. ``acknowledged`` files are missing, and known to be; ``debris`` counts the
    index pages that wget leaves, which harm nothing."""

    selection: str
    selected: int = 0
    good: int = 0
    good_bytes: int = 0
    bad: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    missing: int = 0
    acknowledged: int = 0
    extra: int = 0
    debris: int = 0
    refused_lines: int = 0

    @property
    def exit_code(self) -> ExitCode:
        """0 if everything expected is there and right; extra files are no fault. Of a file that
        cannot be read nothing is known: it has failed."""
        return exit_status(
            Ending(
                contradicted=len(self.bad),
                failed=self.missing + len(self.unreadable),
                refused_lines=self.refused_lines,
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
                "unreadable": len(self.unreadable),
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
    expected: Expectation,
    emit: EventSink,
    acknowledged: frozenset[tuple[str, str]] = frozenset(),
) -> Verification:
    """Hash every expected file again, on every core.

    ``acknowledged``: path and digest of files that the source has otherwise than they are
    published; where a pull found that, too, they are not missed. Raises DiskError where it is not
    one file that cannot be read, but the disk.
    """
    tree = expected.target.tree
    absent = {path for path, observed in acknowledged & known_mismatches(tree)}
    if expected.only_present:
        emit(Notice("this tree does not say what it ought to hold: only what is there is judged"))
    manifest = expected.manifest
    present = 0
    for surveyed in expected.without_records():
        present += isinstance(surveyed.found, FileStat)
    emit(Planned(present, 0, 0, 0, present, refused_lines=manifest.refused_lines))
    verifier = _Verifier(expected, emit, absent)
    result = verifier.result
    result.refused_lines = manifest.refused_lines
    await map_on_all_cores(verifier.there(), verifier.hash, verifier.judge)
    if verifier.ended is not None:
        raise verifier.ended
    for path in extra_files(tree, manifest):
        if path.rpartition("/")[2].startswith("index.html"):
            result.debris += 1
        else:
            result.extra += 1
            emit(Checked(path, Finding.EXTRA))
    return result


class _Verifier:
    """Judges one file after the other. ``ended``: an error of the whole disk, after which it is of
    no use to go on."""

    def __init__(self, expected: Expectation, emit: EventSink, absent: set[str]) -> None:
        self.result = Verification(expected.words)
        self.ended: DiskError | None = None
        self._tree = expected.target.tree
        self._expected = expected
        self._emit = emit
        self._absent = absent

    def there(self) -> Iterator[tuple[Entry, FileStat]]:
        """The files that are there; what is said of the others on the way."""
        for _offset, entry, _record, found in self._expected.without_records():
            if self.ended is not None:
                return
            if isinstance(found, FileStat):
                yield entry, found
            elif isinstance(found, OSError):
                self._note(entry.path, found)
            elif entry.path in self._absent:
                self.result.acknowledged += 1
                self.result.selected += 1
            else:
                self._miss(entry.path)

    def hash(self, item: tuple[Entry, FileStat]) -> str:
        """The digest of a file. Raises OSError."""
        return sha256_file(self._tree.final(item[0].path))

    async def judge(self, item: tuple[Entry, FileStat], digest: str | OSError) -> None:
        """What a file is worth by its digest."""
        entry, found = item
        if isinstance(digest, OSError):
            self._note(entry.path, digest, found.size)
            return
        self.result.selected += 1
        if digest == entry.sha256:
            self.result.good += 1
            self.result.good_bytes += found.size
            self._emit(Checked(entry.path, Finding.GOOD, found.size))
        else:
            self.result.bad.append(entry.path)
            self._emit(Checked(entry.path, Finding.BAD, found.size))

    def _miss(self, path: str) -> None:
        if self._expected.only_present:
            return
        self.result.missing += 1
        self.result.selected += 1
        self._emit(Checked(path, Finding.MISSING))

    def _note(self, path: str, problem: OSError, size: int = 0) -> None:
        """A file could not be read."""
        no_file = isinstance(problem, FileNotFoundError | NotADirectoryError | IsADirectoryError)
        if no_file and self._tree.root.is_dir():
            self._miss(path)
        elif error := reading_error(problem, f"cannot read {path}"):
            self.ended = error
        else:
            self.result.selected += 1
            self.result.unreadable.append(path)
            reason = reason_of(problem)
            self._emit(Checked(path, Finding.UNREADABLE, size, reason))


def extra_files(tree: Tree, manifest: ManifestFile) -> Iterator[str]:
    """The files of the tree that the manifest does not list.

    Of a manifest that is here in part only the part is judged.
    """
    for path, listed in merge_join(tree.files(), manifest.entries(), str, lambda it: it[1].path):
        is_extra = path is not None and listed is None and path != MANIFEST_NAME
        if path is not None and is_extra and is_in_key_ranges(manifest.keys, path):
            yield path
