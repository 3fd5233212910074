"""Citations as text, and as BibTeX that LaTeX can read."""

import dataclasses

import pytest

from cxrsync.catalog.citation import PHYSIONET, Work
from cxrsync.ui.citation_text import as_bibtex, as_text

DATA = Work(
    title="Waves & 100 % noise",
    authors=("Doe, Jane", "van der Berg, Chih-ying A."),
    year=2024,
    doi="10.5072/a_b",
    rrid="RRID:SCR_007345",
    version="2.1.0",
)


def test_text() -> None:
    assert as_text(DATA) == (
        "Doe, J., & van der Berg, C.-y. A. (2024). Waves & 100 % noise (version 2.1.0). PhysioNet. "
        "RRID:SCR_007345. https://doi.org/10.5072/a_b"
    )
    assert "Circulation, 101(23), e215-e220. RRID:SCR_007345. https://" in as_text(PHYSIONET)


@pytest.mark.parametrize(
    ("count", "told"), [(0, ""), (1, "A0, B."), (2, "A0, B., & A1, B."), (21, "A18, B., … A20, B.")]
)
def test_few_and_many_authors(count: int, told: str) -> None:
    work = dataclasses.replace(DATA, authors=tuple(f"A{each}, Bea" for each in range(count)))
    assert as_text(work).partition(" (2024)")[0].endswith(told)


def test_what_is_not_known_is_left_out() -> None:
    assert as_text(Work(title="T", version="1")) == "(n.d.). T (version 1). PhysioNet."
    assert as_text(Work(wording="As the site says.", version="1")) == "As the site says."


def test_bibtex() -> None:
    assert as_bibtex(DATA, "waves-2.1.0") == (
        "@misc{waves-2.1.0,\n"
        "  author = {Doe, Jane and {van der Berg}, Chih-ying A.},\n"
        "  title = {{Waves \\& 100 \\% noise}},\n"
        "  publisher = {PhysioNet},\n"
        "  year = {2024},\n"
        "  version = {2.1.0},\n"
        "  note = {Version 2.1.0, RRID:SCR\\_007345},\n"
        "  doi = {10.5072/a_b},\n"
        "  url = {https://doi.org/10.5072/a_b}\n"
        "}"
    )
    article = as_bibtex(PHYSIONET, "physionet")
    assert article.startswith("@article{physionet,")
    assert (
        "  journal = {Circulation},\n  year = {2000},\n  volume = {101},\n  number = {23},\n"
        in article
    )


def test_bibtex_of_a_wording_is_one_field() -> None:
    text = as_bibtex(Work(wording="Odd {wording} of 50 %.", version="1"), "odd-1")
    assert text == "@misc{odd-1,\n  version = {1},\n  note = {Odd \\{wording\\} of 50 \\%.}\n}"
