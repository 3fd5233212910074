"""Which table a user means, and which one a mistyped word may mean."""

import pytest

from cxrsync.catalog.load import dataset_info, load
from cxrsync.catalog.table_names import (
    find_tables,
    is_table_name,
    roles_of,
    short_name,
    similar_tables,
)
from cxrsync.model import Kind

JPG, DICOM = dataset_info("mimic-cxr-jpg"), dataset_info("mimic-cxr")
SPLIT = "mimic-cxr-2.0.0-split.csv.gz"
LABELED = "mimic-cxr-2.1.0-test-set-labeled.csv"
RECORDS = "cxr-record-list.csv.gz"
MIMIC_IV = ("hosp/patients.csv.gz", "hosp/d_items.csv.gz", "icu/d_items.csv.gz", "icu/stays.csv")


@pytest.mark.parametrize(
    ("word", "found"),
    [
        (SPLIT, [SPLIT]),
        (f"./{SPLIT}", [SPLIT]),
        ("split", [SPLIT]),
        (" Split ", [SPLIT]),
        ("split.csv", [SPLIT]),
        ("MIMIC-CXR-2.0.0-SPLIT", [SPLIT]),
        ("mimic_cxr_2.0.0_split.csv", [SPLIT]),
        ("metadata", ["mimic-cxr-2.0.0-metadata.csv.gz"]),
        ("negbio", ["mimic-cxr-2.0.0-negbio.csv.gz"]),
        ("test-set", [LABELED]),
        ("labeled", [LABELED]),
        ("2.1.0", [LABELED]),
        ("2.0.0", list(JPG.table_files[:4])),
        ("images", []),  # a role of ours, and no name of a table
        ("splt", []),
        ("", []),
        ("-", []),
        (RECORDS, []),
    ],
)
def test_a_name_of_a_table(word: str, found: list[str]) -> None:
    assert list(find_tables(word, JPG.table_files, roles_of(JPG))) == found


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("hosp/d_items.csv.gz", ["hosp/d_items.csv.gz"]),
        ("d_items.csv.gz", ["hosp/d_items.csv.gz", "icu/d_items.csv.gz"]),
        ("d_items", ["hosp/d_items.csv.gz", "icu/d_items.csv.gz"]),
        ("icu d_items", ["icu/d_items.csv.gz"]),
        ("icu/d_items", ["icu/d_items.csv.gz"]),
        ("patients", ["hosp/patients.csv.gz"]),
        ("stays.csv.gz", ["icu/stays.csv"]),
    ],
)
def test_tables_in_folders(word: str, found: list[str]) -> None:
    assert list(find_tables(word, MIMIC_IV, {})) == found


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("splt", ["split"]),
        ("metdata", ["metadata"]),
        ("chexprt.csv.gz", ["chexpert"]),
        ("mimic-cxr-2.0.0-splits.csv.gz", [SPLIT]),
        ("labelled", [LABELED]),
        ("zzz", []),
    ],
)
def test_a_mistyped_name(word: str, near: list[str]) -> None:
    assert similar_tables(word, JPG.table_files, roles_of(JPG))[:1] == near


@pytest.mark.parametrize(
    ("path", "is_table"),
    [
        (SPLIT, True),
        ("A.CSV", True),
        ("files/p10/p10000032/s50414267.txt", False),
        ("mimic-cxr-reports.zip", False),
        ("notes.csv.zip", False),
        ("csv", False),
    ],
)
def test_only_tables(path: str, is_table: bool) -> None:
    assert is_table_name(path) is is_table


def test_short_names() -> None:
    assert short_name(SPLIT, roles_of(JPG)) == "split"
    assert short_name(LABELED, roles_of(JPG)) == LABELED


@pytest.mark.parametrize("slug", list(load()))
def test_the_catalogue_names_tables(slug: str) -> None:
    known = dataset_info(slug)
    assert all(
        known.kind_of(path) is Kind.TABLES and is_table_name(path) for path in known.table_files
    )
    assert known.dois.keys() <= set(known.versions)
    for role in roles_of(known):
        assert find_tables(role, known.table_files, roles_of(known))
