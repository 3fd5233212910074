"""Works to cite as text (in the manner of PhysioNet's pages, APA), and as BibTeX. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cxrsync.catalog.citation import Work

_MOST_AUTHORS = 20  # APA, seventh edition: of more, the first 19 and the last
_SPECIAL = re.compile(r"[\\{}$&#%_^~]")
_REPLACED = {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}


def as_text(work: Work) -> str:
    """Return the citation of a work, as one line."""
    if work.wording:
        return work.wording
    version = f" (version {work.version})" if work.version else ""
    issue = f"{work.volume}({work.number})" if work.number else work.volume
    volume = "".join(f", {each}" for each in (issue, work.pages) if each)
    parts = [
        _authors(work.authors),
        f"({work.year})." if work.year else "(n.d.).",
        f"{work.title}{version}.",
        f"{work.journal}{volume}.",
        f"{work.rrid}." if work.rrid else "",
        f"https://doi.org/{work.doi}" if work.doi else "",
    ]
    return " ".join(filter(None, parts))


def _authors(names: Sequence[str]) -> str:
    short = [_initialed(name) for name in names]
    if len(short) > _MOST_AUTHORS:
        return f"{', '.join(short[: _MOST_AUTHORS - 1])}, … {short[-1]}"
    if len(short) < 2:
        return "".join(short)
    return f"{', '.join(short[:-1])}, & {short[-1]}"


def _initialed(name: str) -> str:
    """``Deng, Chih-ying`` → ``Deng, C.-y.``; initials stay."""
    family, _comma, given = name.partition(", ")
    words = ["-".join(f"{part[0]}." for part in word.split("-") if part) for word in given.split()]
    return f"{family}, {' '.join(words)}" if words else family


def as_bibtex(work: Work, key: str) -> str:
    """Return an entry with this key: ``@article`` for an article, ``@misc`` for a dataset."""
    is_article = not work.version
    fields = {
        "author": " and ".join(map(_name, work.authors)),
        "title": f"{{{_escaped(work.title)}}}" if work.title else "",
        "journal" if is_article else "publisher": _escaped(work.journal) if work.title else "",
        "year": str(work.year or ""),
        "volume": _escaped(work.volume),
        "number": _escaped(work.number),
        "pages": work.pages.replace("-", "--"),
        "version": _escaped(work.version),
        "note": _note(work),
        "doi": work.doi,
        "url": f"https://doi.org/{work.doi}" if work.doi else "",
    }
    lines = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items() if value)
    return f"@{'article' if is_article else 'misc'}{{{key},\n{lines}\n}}"


def _note(work: Work) -> str:
    """Styles that know no ``version`` print the note."""
    if work.wording:
        return _escaped(work.wording)
    said = [f"Version {work.version}" if work.version else "", work.rrid]
    return _escaped(", ".join(filter(None, said)))


def _name(name: str) -> str:
    """A family name of several words in braces, so that BibTeX does not divide it."""
    family, comma, given = name.partition(", ")
    family = _escaped(family)
    return f"{{{family}}}{comma}{_escaped(given)}" if " " in family else _escaped(name)


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda found: _REPLACED.get(found[0], f"\\{found[0]}"), text)
