"""A page of help as a man page, in the macros of man(7)."""

from __future__ import annotations

from collections.abc import Iterator

from cxrsync.cli.help.page import Block, Heading, Page, Rows, Text


def as_man(page: Page, section: int) -> str:
    """Return the page in roff. It has no date and no version, so that only content changes it."""
    return "\n".join(_lines(page, section)) + "\n"


def _lines(page: Page, section: int) -> Iterator[str]:
    name = page.name.replace(" ", "-")
    yield f'.TH {_escaped(name.upper())} {section} "" "cxrsync" "cxrsync manual"'
    yield from (".nh", ".ad l")  # no word is broken, no line is stretched
    yield ".SH NAME"
    yield f"{_escaped(name)} \\- {_escaped(page.summary.rstrip('.'))}"
    if page.usage:
        yield ".SH SYNOPSIS"
        yield f".B {_escaped(page.usage)}"
    blocks = list(page.blocks)
    if blocks and not isinstance(blocks[0], Heading):
        yield ".SH DESCRIPTION"
    after_heading = True
    for block in blocks:
        yield from _block(block, after_heading=after_heading)
        after_heading = isinstance(block, Heading)


def _block(block: Block, *, after_heading: bool) -> Iterator[str]:
    if isinstance(block, Heading):
        yield f".SH {_escaped(block.text.upper())}"
    elif isinstance(block, Rows):
        for term, description in block.rows:
            yield from (".TP", f".B {_escaped(term)}", _line(description))
    elif isinstance(block, Text):
        yield from ([] if after_heading else [".PP"])
        yield _line(block.text)
    else:
        yield from ([] if after_heading else [".PP"])
        yield ".RS 4"
        yield ".nf"
        yield from map(_line, block.lines)
        yield ".fi"
        yield ".RE"


def _line(text: str) -> str:
    """Return text as one line of roff; one that begins with a dot or quote is no request."""
    escaped = _escaped(text)
    return f"\\&{escaped}" if escaped.startswith((".", "'")) or not escaped else escaped


# A bare hyphen, quote, accent or tilde becomes another character, which cannot be copied.
_ESCAPES = {"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "~": "\\(ti", "^": "\\(ha"}


def _escaped(text: str) -> str:
    return "".join(_ESCAPES.get(each) or _ascii(each) for each in text)


def _ascii(character: str) -> str:
    return character if character.isascii() else f"\\[u{ord(character):04X}]"
