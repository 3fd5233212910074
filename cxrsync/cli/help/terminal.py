"""A page of help as text for a terminal."""

from __future__ import annotations

import os
import re
import shutil
import textwrap
from collections.abc import Iterator, Mapping

from cxrsync.cli.help.page import Block, Heading, Page, Rows, Text, Verbatim

# Columns. Longer lines are hard to read; in narrower ones no word has room beside an option.
_WIDEST, _NARROWEST = 100, 30
_USUAL = 80  # where there is no terminal
_WIDEST_TERM = 28
_TWO_COLUMNS = 60  # a narrower terminal has the description below its term
# The blank in "[env: NAME]" and in "1 %", where no line is broken.
_BOUND = re.compile(r"(?<=\[env:) | (?=%)")
_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"


def terminal_width() -> int:
    """Return the columns of this terminal that help uses; 80 without a terminal."""
    return max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size((_USUAL, 24)).columns))


def wants_style(environ: Mapping[str, str] = os.environ, *, is_terminal: bool) -> bool:
    """Return whether headings may be bold: on a terminal, without NO_COLOR and TERM=dumb."""
    return is_terminal and not environ.get("NO_COLOR") and environ.get("TERM", "") != "dumb"


def shown(page: Page, *, style: bool | None = None) -> str:
    """Return the page as text for this terminal."""
    return as_text(page, terminal_width(), style=bool(style))


def as_text(page: Page, width: int, *, style: bool = False) -> str:
    """Return the page as lines of at most ``width`` columns; ``style``: with bold headings."""
    lines: list[str] = []
    if page.usage:
        lines += [*_wrapped(f"Usage: {page.usage}", width, "", " " * 7), ""]
    lines += _wrapped(page.summary, width, "  ")
    column = _term_column(page.blocks, width)
    before: Block | None = None
    for block in page.blocks:
        if not _is_joined(before, block):
            lines.append("")
        lines += _lines(block, width, column, style=style)
        before = block
    return "\n".join(lines)


def _is_joined(before: Block | None, block: Block) -> bool:
    """Return whether two blocks have no empty line between them."""
    introduces = isinstance(before, Text) and before.text.endswith(":")
    return isinstance(before, Heading) or (introduces and isinstance(block, Verbatim))


def _term_column(blocks: tuple[Block, ...], width: int) -> int:
    """Return the column where descriptions begin: the same one on the whole page."""
    terms = [term for block in blocks if isinstance(block, Rows) for term, _ in block.rows]
    longest = max((len(term) for term in terms if len(term) <= _WIDEST_TERM), default=8)
    return 6 if width < _TWO_COLUMNS else 2 + longest + 2


def _lines(block: Block, width: int, column: int, *, style: bool) -> Iterator[str]:
    if isinstance(block, Heading):
        yield f"{_BOLD}{block.text}:{_PLAIN}" if style else f"{block.text}:"
    elif isinstance(block, Text):
        yield from _wrapped(block.text, width, "  ")
    elif isinstance(block, Verbatim):
        yield from (f"    {line}".rstrip() for line in block.lines)
    else:
        for term, description in block.rows:
            yield from _row(term, description, width, column)


def _row(term: str, description: str, width: int, column: int) -> Iterator[str]:
    text = _wrapped(description, width, " " * column)
    first = f"  {term}"
    if len(first) + 2 <= column and text:
        yield first.ljust(column) + text[0].lstrip()
        yield from text[1:]
    else:
        yield from _wrapped(term, width, "  ", " " * 4)
        yield from text


def _wrapped(text: str, width: int, indent: str, later: str | None = None) -> list[str]:
    lines = textwrap.wrap(
        _BOUND.sub("\u00a0", text),
        width,
        initial_indent=indent,
        subsequent_indent=indent if later is None else later,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace("\u00a0", " ") for line in lines]
