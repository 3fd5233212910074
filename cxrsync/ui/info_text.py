"""What ``cxrsync info`` tells, as lines for people. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from cxrsync import humanize
from cxrsync.catalog.dataset_info import DatasetInfo
from cxrsync.catalog.table_names import roles_of, short_name
from cxrsync.dataset.dataset_facts import THE_SITE, DatasetFacts, TreeHere
from cxrsync.model import Kind
from cxrsync.ui.table import as_fitting_table

_MOST_TABLES = 12
_SINGULAR = {Kind.IMAGES: "image", Kind.REPORTS: "report", Kind.TABLES: "table",
             Kind.ARCHIVES: "archive", Kind.DOCS: "document"}  # fmt: skip
_PLURAL = {kind: f"{word}s" for kind, word in _SINGULAR.items()}


def as_lines(facts: DatasetFacts, dest: Path, width: int) -> list[str]:
    """Return the lines, of at most ``width`` characters where a line can be broken."""
    dataset = facts.dataset
    title = facts.title if facts.title != dataset.slug else ""
    lines = [f"{dataset.slug} {facts.version}" + (f": {title}" if title else "")]
    for name, text in (
        ("versions", _versions(facts)),
        ("size", _size(facts)),
        ("files", _files(facts)),
        ("tables", _tables(facts)),
        ("agreement", f"{dataset.page(facts.version)} (signed for each version)"),
        ("DOI", f"https://doi.org/{facts.doi}" if facts.doi.startswith("10.") else facts.doi),
        ("licence", facts.license),
        ("here", _here(facts.here, dest)),
        ("elsewhere", dataset.elsewhere),
        ("the site", _silence(facts)),
    ):
        lines += _entry(name, text, width) if text else ()
    return lines


def as_overview(
    rows: Sequence[tuple[DatasetInfo, Sequence[TreeHere]]], width: int = 0
) -> list[str]:
    """Return a table of datasets with what of each is here. ``width``: of a terminal, else 0."""
    cells = [("dataset", "option", "newest known", "here")]
    for dataset, here in rows:
        option = f"--{dataset.alias}" if dataset.alias else f"--dataset {dataset.slug}"
        versions = ", ".join(f"{tree.version or '?'} in {tree.root}" for tree in here)
        newest = dataset.versions[-1] if dataset.versions else "?"
        cells.append((dataset.slug, option, newest, versions or "-"))
    return as_fitting_table(cells, width, left=4, repeated=1).split("\n")


def _entry(name: str, text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text,
        max(width, 40),
        initial_indent=f"  {name:<10} ",
        subsequent_indent=" " * 13,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _versions(facts: DatasetFacts) -> str:
    by = "the site lists them" if facts.versions_from == THE_SITE else f"by {facts.versions_from}"
    return f"{', '.join(facts.versions)} ({by})"


def _size(facts: DatasetFacts) -> str:
    if facts.bytes is None:
        return "unknown"
    return f"{humanize.size(facts.bytes)} (by {facts.bytes_from})"


def _files(facts: DatasetFacts) -> str:
    if not facts.files:
        return "unknown; `cxrsync ls` fetches the manifest, which lists them"
    counted = [
        f"{count:,} {(_SINGULAR if count == 1 else _PLURAL)[kind]}"
        for kind, count in facts.files.items()
    ]
    return f"{', '.join(counted)} (by {facts.files_from})"


def _tables(facts: DatasetFacts) -> str:
    if not facts.tables:
        return ""
    roles = roles_of(facts.dataset)
    names = [short_name(path, roles) for path in facts.tables]
    more = f" and {len(names) - _MOST_TABLES:,} more" if len(names) > _MOST_TABLES else ""
    return (
        f"{', '.join(names[:_MOST_TABLES])}{more}; `cxrsync head {facts.dataset.slug}/{names[0]}` "
        "shows the first rows"
    )


def _here(trees: Sequence[TreeHere], dest: Path) -> str:
    if not trees:
        return f"nothing in {dest}"
    return "; ".join(_tree(tree) for tree in trees)


def _tree(tree: TreeHere) -> str:
    where = f"{tree.version or 'a version that is not recorded'} in {tree.root}"
    if tree.files is None or tree.bytes is None:
        return f"{where}: not verified by cxrsync"
    if not tree.files:
        return f"{where}: no verified file yet"
    return (
        f"{where}: {humanize.files(tree.files)} ({humanize.size(tree.bytes)}) recorded as verified"
    )


def _silence(facts: DatasetFacts) -> str:
    if facts.unanswered:
        return f"does not tell more now: {facts.unanswered}"
    if facts.is_listed is False:
        return "lists no such dataset"
    return "" if facts.version in facts.versions else f"lists no version {facts.version}"
