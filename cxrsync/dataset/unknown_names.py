"""Ids and paths that a version does not have: the error, or the sentence that says so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from cxrsync.catalog.dataset_info import DatasetInfo
from cxrsync.catalog.load import dataset_info
from cxrsync.config.selection import Selection
from cxrsync.dataset.target import Target
from cxrsync.errors import EmptySelection
from cxrsync.manifest.matcher import folders_of, is_glob
from cxrsync.model import ROOT, Kind, partition_of

_MAX_NAMED = 5


def named(ids: Sequence[str]) -> str:
    """Return the first ids, and the number of the others."""
    more = f" and {len(ids) - _MAX_NAMED:,} more" if len(ids) > _MAX_NAMED else ""
    return ", ".join(ids[:_MAX_NAMED]) + more


def unknown_error(sort: str, names: Sequence[str], selected: int, target: Target) -> EmptySelection:
    """Return the error for names that the version does not have.

    ``sort``: subject, study, image or path. ``selected``: how many were asked for.
    """
    step = "Check the ids, and the version: a later one may have withdrawn some."
    if sort == "path":
        step = where_it_is(names[0], target) or "Check the names, and the version."
    if len(names) == selected:
        of = "" if selected == 1 else ": none of those selected"
    else:
        of = f": {len(names):,} of {selected:,}"
        step += " --skip-unknown leaves out what is not there."
    return EmptySelection(f"{target.name} has no {sort} {named(names)}{of}", next_step=step)


def left_out(sort: str, names: Sequence[str], selected: int, target: Target) -> str:
    """Return the sentence for names that a selection leaves out."""
    plural = "studies" if sort == "study" else f"{sort}s"
    verb = "is" if len(names) == 1 else "are"
    return (
        f"{len(names):,} of {selected:,} {plural} {verb} not in {target.name}, and {verb} left "
        f"out: {named(names)}"
    )


def unknown_paths(wanted: Iterable[str], paths: Iterable[str]) -> list[str]:
    """Return those of the wanted files and folders that are not among the paths, sorted."""
    left = set(wanted)
    for path in paths:
        if not left:
            break
        left.discard(path)
        left.difference_update(folders_of(path))
    return sorted(left)


def plain_includes(selection: Selection) -> list[str]:
    """Return the paths, no globs, that a selection includes."""
    return [each for each in selection.include if not is_glob(each)]


def where_it_is(path: str, target: Target) -> str:
    """Return a sentence that names the dataset with this file, if it may be in a linked one."""
    ours = target.dataset
    for slug in (ours.tables_in, ours.reports_in):
        if not slug:
            continue
        other = dataset_info(slug)
        if any(fnmatchcase(path, pattern) for pattern in other.tables.values()):
            known = "It is"
        elif _may_be_in(path, ours, other):
            known = "It may be"
        else:
            continue
        link = f"https://physionet.org/files/{slug}/{target.version}/{path}"
        return f"{known} in {slug}, which has its own agreement: cxrsync pull {link}"
    return ""


def _may_be_in(path: str, ours: DatasetInfo, other: DatasetInfo) -> bool:
    kind = other.kind_of(path)
    is_in_root = partition_of(path) == ROOT and "/" not in path
    is_root_file = is_in_root and kind in {Kind.TABLES, Kind.ARCHIVES}
    return is_root_file or (kind is not Kind.DOCS and ours.kind_of(path) is Kind.DOCS)
