"""How PhysioNet words a citation: its parts, and what is not one."""

import pytest

from cxrsync.catalog.citation import Work, parse_wording, plain_wording
from cxrsync.catalog.load import dataset_info, load

# As physionet-build's ``citation_text("Vancouver")`` makes it.
JPG = (
    "Johnson A, Lungren M, Celi L A, van der Berg J. MIMIC-CXR-JPG - chest radiographs. With "
    "labels (version 2.1.0). PhysioNet. 2024. RRID:SCR_007345. Available from: "
    "https://doi.org/10.13026/jsn5-t979"
)
OTHERS = [
    "",
    "Johnson A. MIMIC (version 2.0.0). PhysioNet. 2024.",  # another version
    "Johnson A. MIMIC. PhysioNet. 2024.",
    "Johnson. MIMIC (version 2.1.0). PhysioNet. 2024.",  # no initials
    "Johnson, Alistair. MIMIC (version 2.1.0). PhysioNet. soon.",
]


def test_the_parts() -> None:
    assert parse_wording(JPG, "2.1.0") == Work(
        title="MIMIC-CXR-JPG - chest radiographs. With labels",
        authors=("Johnson, A.", "Lungren, M.", "Celi, L. A.", "van der Berg, J."),
        journal="PhysioNet",
        year=2024,
        doi="10.13026/jsn5-t979",
        rrid="RRID:SCR_007345",
        version="2.1.0",
    )


@pytest.mark.parametrize("rest", ["", " RRID:SCR_007345."])
def test_a_version_without_doi(rest: str) -> None:
    work = parse_wording(f"Doe J-P. Waves (version 1). Elsewhere. 1999.{rest}", "1")
    assert (work.journal, work.year, work.doi, bool(work.rrid)) == (
        "Elsewhere",
        1999,
        "",
        bool(rest),
    )
    assert work.authors == ("Doe, J.-P.",)


@pytest.mark.parametrize("text", OTHERS)
def test_another_wording_stays(text: str) -> None:
    assert parse_wording(text, "2.1.0") == Work(version="2.1.0", wording=text)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (
            'A &amp; B. <a href="https://doi.org/1">https://doi.org/1</a>',
            "A & B. https://doi.org/1",
        ),
        ("two\nlines", "two lines"),
        ("\x1b[31mred", ""),
        ("x" * 5000, ""),
        (None, ""),
        (["A"], ""),
    ],
)
def test_html_of_the_api(text: object, plain: str) -> None:
    assert plain_wording(text) == plain


@pytest.mark.parametrize("slug", list(load()))
def test_the_catalogue_cites_the_newest_version(slug: str) -> None:
    known = dataset_info(slug)
    newest = known.versions[-1]
    assert known.citation.years[newest] > 2000
    assert known.dois[newest]
    assert known.citation.article is not None
    works = (*known.citation.authors, *known.citation.article.authors)
    assert all(name.count(", ") == 1 for name in works)
