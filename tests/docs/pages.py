"""The commands in README.md and docs/: what a reader would type."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Why a block is not run: a comment before it says so, ``<!-- not run: REASON -->``.
REASONS = {
    "it reaches a server outside of this machine",
    "it needs SLURM, or a Dask cluster",
    "it needs a PBS cluster",
    "needs torch",
    "needs torchxrayvision, which brings gigabytes",
    "needs the library datasets",
    "needs the output of a sectioner that is published elsewhere",
    "needs the block above",
}
_FENCE = re.compile(
    r"(?:^ *<!-- not run: (?P<reason>[^>]*) -->\n+)?"
    r"^ *```(?P<language>[\w{}-]*)[^\n]*\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
_INLINE = re.compile(r"`(cxrsync [^`\n]+)`")
# Stands for something that the reader puts in.
_OPEN = re.compile(r"…|\bCOMMAND\b")


@dataclass(frozen=True)
class Typed:
    """A command line of a page: its words after ``cxrsync``. ``not_run``: why no test can run it,
    as a comment before its block says: ``<!-- not run: REASON -->``."""

    page: str
    words: tuple[str, ...]
    not_run: str = ""

    @property
    def line(self) -> str:
        return shlex.join(["cxrsync", *self.words])

    @property
    def command(self) -> str:
        return next((word for word in self.words if not word.startswith("-")), "")

    @property
    def kind(self) -> tuple[str, ...]:
        """Its command and its options, without their values."""
        given = {word.partition("=")[0] for word in self.words if word.startswith("-")}
        return (self.command, *sorted(given))


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, and why no test can run it."""

    language: str
    text: str
    not_run: str = ""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(text: str, *languages: str) -> Iterator[Block]:
    """The blocks of a page that are in one of these languages."""
    for found in _FENCE.finditer(text):
        if found["language"] in languages:
            yield Block(found["language"], found["text"], found["reason"] or "")


def typed_in(text: str, page: str = "") -> list[Typed]:
    """The command lines of cxrsync in the blocks of a page."""
    return [
        Typed(page, words, block.not_run)
        for block in blocks(text, "sh", "console")
        for line in _lines(block)
        for words in _commands(line)
    ]


def typed_in_blocks() -> list[Typed]:
    """Those of all pages."""
    return [each for page in PAGES for each in typed_in(page.read_text("utf-8"), name_of(page))]


def typed_in_text() -> list[Typed]:
    """Every command line of cxrsync that the text of a page names."""
    found = []
    for page in PAGES:
        text = _FENCE.sub("", page.read_text("utf-8"))
        for line in _INLINE.findall(text):
            if not _OPEN.search(line):
                found += [
                    Typed(name_of(page), words) for words in _commands(line.replace("\\|", "|"))
                ]
    return found


def _lines(block: Block) -> list[str]:
    lines = re.sub(r"\\\n *", "", block.text).splitlines()
    if block.language == "console":
        lines = [line.strip().removeprefix("$ ") for line in lines if line.strip().startswith("$ ")]
    return [line for line in lines if "cxrsync" in line and not line.strip().startswith("#")]


def _commands(line: str) -> Iterator[tuple[str, ...]]:
    """The commands of a line of the shell, without variables and redirections."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    is_target = False
    for word in [*lexer, ";"]:
        if word in {"|", ";", "&", "&&", "||", "|&"}:
            if words:
                yield tuple(words[1:])
            words = []
        elif word in {">", ">>", "<", ">&"}:
            is_target = True
            if words and words[-1].isdigit():  # 2>FILE
                words.pop()
        elif is_target:
            is_target = False
        elif words or word.rpartition("/")[2] == "cxrsync":
            words.append(word)
