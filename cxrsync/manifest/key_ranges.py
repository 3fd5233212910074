"""The slices of a sorted manifest that a selection needs: key ranges, then byte ranges. Pure.

The files of selected shards, subjects or studies are ranges of the manifest. Bisection
(:mod:`cxrsync.manifest.bisect`) finds them without reading 54 to 77 MB.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from types import MappingProxyType

from cxrsync.catalog.dataset_info import DatasetInfo
from cxrsync.config.selection import Selection
from cxrsync.manifest.bisect import ManifestNotSorted, Range, prefix_range, seek

KeyRange = tuple[bytes, bytes | None]
"""The paths ``low <= path < high``; None: to the end."""

# The files outside the shards (licences, tables, archives): a few lines at either end.
ROOT_KEYS: tuple[KeyRange, ...] = ((b"", b"files/"), (b"files0", None))

# With more shards or folders one long read costs the server less than many short ones. The limits
# hold for each selection: a tree that was filled subject by subject has those slices already.
MAX_SHARDS = 5
MAX_FOLDERS = 16

_NONE: Mapping[Selection, KeyRange] = MappingProxyType({})
_FILES = "files/"
_FOLDER = re.compile(r"files/p[0-9]{2}/(p[0-9]{8}/)?")
_WILD = re.compile(r"[*?\[]")


def needs_lookup(selection: Selection) -> bool:
    """Return whether a few slices suffice once the subjects of its ids are known."""
    ids = len(selection.studies) + len(selection.images)
    return 0 < ids <= MAX_FOLDERS and not selection.subjects


def key_ranges_for(
    selections: Iterable[Selection],
    dataset: DatasetInfo,
    owners: Mapping[str, str],
    firsts: Mapping[Selection, KeyRange] = _NONE,
) -> tuple[KeyRange, ...] | None:
    """Return the key ranges of all files that ``selections`` can select, with those of the root.

    ``owners``: the known subjects of studies and images. ``firsts``: the range in which all files
    of a selection with ``--limit`` were found. Returns None if the whole manifest is needed.
    """
    ranges: set[KeyRange] = set()
    for selection in selections:
        if (first := firsts.get(selection)) is not None:
            ranges.add(first)
        elif (own := _prefixes(selection, owners)) is not None:
            ranges.update(map(prefix_range, own))
        else:
            return None
    return with_root(*ranges) if dataset.shards else None


def with_root(*ranges: KeyRange) -> tuple[KeyRange, ...]:
    """Return the ranges and those of the root, in their order, those that overlap as one."""
    merged: list[KeyRange] = []
    for low, high in sorted((*ROOT_KEYS, *ranges), key=lambda each: each[0]):
        last = merged[-1] if merged else None
        if last is None or (last[1] is not None and last[1] < low):
            merged.append((low, high))
        elif last[1] is not None:  # a shard contains its subjects
            merged[-1] = (last[0], None if high is None else max(last[1], high))
    return tuple(merged)


def first_ranges(selection: Selection, dataset: DatasetInfo) -> tuple[KeyRange, ...]:
    """Return the ranges in which all files of a selection with ``--limit`` may be, the smallest
    first: of one shard, the first hundredth of its subjects, the first tenth, all. Empty if there
    are none.

    They hold its files if as many as the limit are found there, because the limit takes the first
    ones.
    """
    is_one_by_one = selection.subjects or selection.studies or selection.images or selection.paths
    is_limited = selection.limit is not None and selection.sample is None
    if not is_limited or is_one_by_one or not dataset.shards or len(selection.shards) > 1:
        return ()
    [shard] = selection.shards or (min(dataset.shards),)
    folder = f"files/{shard}/".encode()
    # All that is before the first shard belongs to the root.
    low = folder if selection.shards else b""
    highs = [prefix_range(folder + f"{shard}{digits}".encode())[1] for digits in ("00", "0")]
    return tuple((low, high) for high in (*highs, prefix_range(folder)[1]))


def _prefixes(selection: Selection, owners: Mapping[str, str]) -> set[bytes] | None:
    subjects = set(selection.subjects)
    ids = (*selection.studies, *selection.images)
    known = {owners[each] for each in ids if each in owners}
    # What is in no table is in no slice either: it may only be left out.
    if known and not subjects and (selection.skip_unknown or all(each in owners for each in ids)):
        subjects = known
    if 0 < len(subjects) <= MAX_FOLDERS:
        return {f"files/{subject[:3]}/{subject}/".encode() for subject in subjects}
    if selection.shards and len(selection.shards) <= MAX_SHARDS:
        return {f"files/{shard}/".encode() for shard in selection.shards}
    if selection.paths:
        return _folders(f"{path}/" for path in selection.paths)
    if selection.include and not selection.narrows:
        return _folders(_WILD.split(glob, 1)[0] for glob in selection.include)
    return None


def _folders(beginnings: Iterable[str]) -> set[bytes] | None:
    """Return the shards and subjects that hold all paths with these beginnings; None if they are
    too many, or not known."""
    shards: set[bytes] = set()
    subjects: set[bytes] = set()
    for beginning in beginnings:
        if not _FILES.startswith(beginning[: len(_FILES)]):
            continue  # in the root
        folder = _FOLDER.match(beginning)
        if folder is None:
            return None
        (subjects if folder[1] else shards).add(folder[0].encode())
    if len(shards) > MAX_SHARDS or len(subjects) > MAX_FOLDERS:
        return None
    return shards | subjects


def find_slices(
    keys: Sequence[KeyRange], total: int, fan_out: int
) -> Generator[tuple[Range, ...], tuple[bytes, ...], tuple[Range, ...]]:
    """Find the byte range of each key range by bisection.

    The caller fetches ranges as for :func:`~cxrsync.manifest.bisect.seek`. The slices themselves
    are asked for at the end. Returns the slices that are not empty. Raises ManifestNotSorted.
    """
    found: list[Range] = []
    for low, high in keys:
        start = 0 if not low else (yield from seek(low, total, fan_out))
        stop = total if high is None else (yield from seek(high, total, fan_out))
        if stop < start or (found and start < found[-1][1]):
            raise ManifestNotSorted("slices that overlap")
        found.append((start, stop))
    slices = tuple(each for each in found if each[0] < each[1])
    if slices:
        yield slices
    return slices


def is_in_key_ranges(keys: Sequence[KeyRange], path: str) -> bool:
    """Return whether a path is within the key ranges."""
    key = path.encode("utf-8", "surrogateescape")
    return any(low <= key and (high is None or key < high) for low, high in keys)
