"""Tables of text, as ``status`` and ``pull --dry-run`` print them."""

from __future__ import annotations

from collections.abc import Sequence

_GAP = "  "
# A column of these, and of empty cells, says nothing.
_NOTHING = {"", "0", "0 B"}


def as_table(rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """``rows`` as lines, with columns of equal width.

    The first ``left`` columns are aligned to the left; the others, which are numbers, to the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        _GAP.join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def as_fitting_table(
    rows: Sequence[Sequence[str]], width: int, *, left: int = 1, repeated: int | None = None
) -> str:
    """``rows`` as a table of at most ``width`` columns of a terminal; 0: as wide as it is.

    What is too wide loses the columns that say nothing, from the right: those that have zeros only.
    Columns that still do not fit follow below, with the first ``repeated`` ones, by default the
    ``left`` ones, before them again.
    """
    kept = list(range(len(rows[0]) if rows else 0))
    again = left if repeated is None else repeated
    empty = [at for at in reversed(kept[left:]) if {row[at] for row in rows[1:]} <= _NOTHING]
    while width and empty and _width_of(rows, kept) > width:
        kept.remove(empty.pop(0))
    first, others = kept[:again], kept[again:]
    blocks = []
    while others:
        count = len(others) if not width else 1
        while count < len(others) and _width_of(rows, [*first, *others[: count + 1]]) <= width:
            count += 1
        shown, others = [*first, *others[:count]], others[count:]
        text = [[row[at] for at in shown] for row in rows]
        blocks.append(as_table(text, left=sum(at < left for at in shown)))
    return "\n\n".join(blocks)


def _width_of(rows: Sequence[Sequence[str]], columns: Sequence[int]) -> int:
    widths = (max(len(row[at]) for row in rows) for at in columns)
    return sum(widths) + len(_GAP) * max(0, len(columns) - 1)
