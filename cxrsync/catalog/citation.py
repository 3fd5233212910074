"""A work that a paper cites: a dataset, its article, PhysioNet; how PhysioNet words it. Pure."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_TAG = re.compile(r"<[^<>]*>")
# Initials stand without periods, so the first one ends the authors.
_VANCOUVER = re.compile(
    r"(?P<authors>[^.]+)\. (?P<title>.+) \(version (?P<version>[^()]+)\)\. "
    r"(?P<site>[^.]+)\. (?P<year>\d{4})\.(?: (?P<rrid>RRID:[\w:]+)\.)?"
    r"(?: Available from: https?://doi\.org/(?P<doi>\S+?)\.?)?"
)
_AUTHOR = re.compile(r"(?P<name>\S.*?) (?P<initials>[^\W\d_](?:[ -][^\W\d_])*)")
_MAX_LENGTH = 3_000


@dataclass(frozen=True, slots=True)
class Work:
    """A work to cite.

    authors: each as ``Family, Given`` (or initials). journal: the journal, or the site. year: 0 if
    it is unknown. volume, number, pages, doi, rrid, version: "" if there is none. wording: how the
    site words the citation, if its parts could not be told apart; then only ``version`` counts too.
    """

    title: str = ""
    authors: tuple[str, ...] = ()
    journal: str = "PhysioNet"
    year: int = 0
    volume: str = ""
    number: str = ""
    pages: str = ""
    doi: str = ""
    rrid: str = ""
    version: str = ""
    wording: str = ""


@dataclass(frozen=True, slots=True)
class CitationInfo:
    """What the catalogue knows for citing a dataset: the authors and the year of each version that
    ``years`` has, and the article that describes the dataset."""

    authors: tuple[str, ...] = ()
    years: Mapping[str, int] = field(default_factory=dict)
    article: Work | None = None


# PhysioNet's entry in the registry of research resources; its citations have it since 2025.
RRID = "RRID:SCR_007345"
PHYSIONET = Work(
    title="PhysioBank, PhysioToolkit, and PhysioNet: components of a new research resource for "
    "complex physiologic signals",
    authors=(
        *("Goldberger, Ary L.", "Amaral, Luis A. N.", "Glass, Leon", "Hausdorff, Jeffrey M."),
        *("Ivanov, Plamen Ch.", "Mark, Roger G.", "Mietus, Joseph E.", "Moody, George B."),
        *("Peng, Chung-Kang", "Stanley, H. Eugene"),
    ),
    journal="Circulation",
    year=2000,
    volume="101",
    number="23",
    pages="e215-e220",
    doi="10.1161/01.CIR.101.23.e215",
    rrid=RRID,
)


def plain_wording(text: object) -> str:
    """Return a citation of the public API, which is HTML, as one line; "" if it is none."""
    if not isinstance(text, str) or len(text) > _MAX_LENGTH:
        return ""
    plain = " ".join(html.unescape(_TAG.sub("", text)).split())
    return plain if plain.isprintable() else ""


def parse_wording(text: str, version: str) -> Work:
    """Return the work that PhysioNet words as ``text`` (Vancouver style).

    If it has another form, or is about another version, the work keeps the wording as it is.
    """
    found = _VANCOUVER.fullmatch(text)
    names = [_AUTHOR.fullmatch(each) for each in found["authors"].split(", ")] if found else []
    if found is None or found["version"] != version or not all(names):
        return Work(version=version, wording=text)
    return Work(
        title=found["title"],
        authors=tuple(_family_first(each) for each in names if each is not None),
        journal=found["site"],
        year=int(found["year"]),
        doi=found["doi"] or "",
        rrid=found["rrid"] or "",
        version=version,
    )


def _family_first(name: re.Match[str]) -> str:
    """``Celi L A`` → ``Celi, L. A.``."""
    initials = re.sub(r"([^\W\d_])", r"\1.", name["initials"])
    return f"{name['name']}, {initials}"
