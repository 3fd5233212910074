"""Which slices of a sorted manifest selections need, purely: key ranges, then byte ranges.

A selection of shards, subjects or studies is a range of the manifest. It is found by bisection
(:mod:`cxrsync.manifest.bisect`) instead of reading 54 to 77 MB.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence

from cxrsync.catalog.dataset_info import DatasetInfo
from cxrsync.config.selection import Selection
from cxrsync.manifest.bisect import ManifestNotSorted, Range, prefix_range, seek

KeyRange = tuple[bytes, bytes | None]
"""The paths ``low <= path < high``; None: to the end."""

# What lies outside the shards: licences, tables, archives. A few lines at either end.
ROOT_KEYS: tuple[KeyRange, ...] = ((b"", b"files/"), (b"files0", None))

# Beyond these numbers one long read asks less of the server than many short ones. They hold for
# each selection: a tree that was filled subject by subject has those slices already.
MAX_SHARDS = 5
MAX_FOLDERS = 16


def needs_lookup(selection: Selection) -> bool:
    """Whether its studies or images tell a slice once it is known whose they are."""
    ids = len(selection.studies) + len(selection.images)
    return 0 < ids <= MAX_FOLDERS and not selection.subjects


def key_ranges_for(
    selections: Iterable[Selection], dataset: DatasetInfo, owners: Mapping[str, str]
) -> tuple[KeyRange, ...] | None:
    """The key ranges that hold everything which ``selections`` can mean, the root included.

    ``owners`` gives the subject of a study or of an image, as far as it is known. None where only
    the whole manifest will do.
    """
    prefixes: set[bytes] = set()
    for selection in selections:
        own = _prefixes(selection, owners)
        if own is None:
            return None
        prefixes |= own
    if not dataset.shards:
        return None
    # A shard holds its subjects: no range may lie within another.
    outer = [
        prefix
        for prefix in sorted(prefixes)
        if not any(prefix != other and prefix.startswith(other) for other in prefixes)
    ]
    head, tail = ROOT_KEYS
    return (head, *map(prefix_range, outer), tail)


def _prefixes(selection: Selection, owners: Mapping[str, str]) -> set[bytes] | None:
    subjects = set(selection.subjects)
    ids = (*selection.studies, *selection.images)
    if ids and not subjects and all(each in owners for each in ids):
        subjects = {owners[each] for each in ids}
    if 0 < len(subjects) <= MAX_FOLDERS:
        return {f"files/{subject[:3]}/{subject}/".encode() for subject in subjects}
    if selection.shards and len(selection.shards) <= MAX_SHARDS:
        return {f"files/{shard}/".encode() for shard in selection.shards}
    return None


def find_slices(
    keys: Sequence[KeyRange], total: int, fan: int
) -> Generator[tuple[Range, ...], tuple[bytes, ...], tuple[Range, ...]]:
    """The byte range of each key range, by bisection; see :func:`~cxrsync.manifest.bisect.seek`.

    Driven as that is. At the end each slice itself is asked for, so that it is there. Raises
    ManifestNotSorted.
    """
    found: list[Range] = []
    for low, high in keys:
        start = 0 if not low else (yield from seek(low, total, fan))
        stop = total if high is None else (yield from seek(high, total, fan))
        if stop < start or (found and start < found[-1][1]):
            raise ManifestNotSorted("slices that overlap")
        found.append((start, stop))
    there = tuple(each for each in found if each[0] < each[1])
    if there:
        yield there
    return there


def is_in_key_ranges(keys: Sequence[KeyRange], path: str) -> bool:
    """Whether a path lies within the key ranges."""
    key = path.encode()
    return any(low <= key and (high is None or key < high) for low, high in keys)
