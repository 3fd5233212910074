"""How complete a partition is, as one bar: verified, not verified, in trouble, not fetched yet."""

from __future__ import annotations

from cxrsync.report_data import PartitionData
from cxrsync.ui.pictures.svg import element, picture, rect

_HEIGHT = 16
# So that three files of 37,000 are seen, too.
_MIN_SHARE = 1.2


def completeness_bar(partition: PartitionData) -> str:
    """The bar of one partition."""
    counts = segments(partition)
    widths = shares([files for _class, _words, files in counts])
    parts, x = [], 0.0
    for (class_, words, files), width in zip(counts, widths, strict=True):
        if files:
            parts.append(rect(x, 0, width, _HEIGHT, class_, f"{words}: {files:,}"))
            x += width
    told = ", ".join(f"{files:,} {words}" for _class, words, files in counts if files)
    title = f"{partition.name}: {told or 'nothing selected'} of {partition.selected:,}"
    frame = element("rect", x="0%", y=0, width="100%", height=_HEIGHT, class_="frame")
    return picture(f"bar-{partition.name}", title, _HEIGHT, [*parts, frame], "picture bar")


def segments(partition: PartitionData) -> list[tuple[str, str, int]]:
    """Class, words and files of each segment. A troubled file is counted once."""
    troubled = min(partition.troubled, partition.unverified + partition.missing)
    waiting = max(0, partition.missing - troubled)
    unverified = partition.unverified - max(0, troubled - partition.missing)
    return [
        ("verified", "verified", partition.verified),
        ("unverified", "not verified", unverified),
        ("troubled", "in trouble", troubled),
        ("missing", "not fetched yet", waiting),
    ]


def shares(counts: list[int]) -> list[float]:
    """The widths in percent: together 100, none that is not 0 too narrow to be seen."""
    total = sum(counts)
    if not total:
        return [0.0] * len(counts)
    widths = [max(_MIN_SHARE, 100 * count / total) if count else 0.0 for count in counts]
    widest = widths.index(max(widths))
    widths[widest] -= sum(widths) - 100
    return widths
