"""Tables of text, as ``status`` and ``pull --dry-run`` print them."""

from __future__ import annotations

from collections.abc import Sequence


def as_table(rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """``rows`` as lines, with columns of equal width.

    The first ``left`` columns are aligned to the left; the others, which are numbers, to the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
