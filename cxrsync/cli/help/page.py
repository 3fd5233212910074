"""A page of help as a value: what a terminal shows, and what becomes a man page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Heading:
    """The heading of a part of a page."""

    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph. It is wrapped."""

    text: str


@dataclass(frozen=True, slots=True)
class Verbatim:
    """Lines that are not wrapped, as a folder tree or a command."""

    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """Terms, each with its description: options, codes, variables."""

    rows: tuple[tuple[str, str], ...]


Block = Heading | Text | Verbatim | Rows


@dataclass(frozen=True, slots=True)
class Page:
    """A page of help. ``usage``: the form of the command line; "" for a topic."""

    name: str
    summary: str
    blocks: tuple[Block, ...]
    usage: str = ""


def examples(*pairs: tuple[str, str]) -> list[Block]:
    """Return command lines as blocks: what each does, then the line itself, to be copied."""
    blocks: list[Block] = []
    for line, what in pairs:
        blocks += [Text(f"{what}:"), Verbatim((line,))]
    return blocks
