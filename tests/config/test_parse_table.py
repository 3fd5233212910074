"""What names a table: a name, a path with its dataset, an address."""

import pytest

from cxrsync.catalog.load import load
from cxrsync.config.job import DEFAULT_BASE_URL
from cxrsync.config.parse_table import parse_table
from cxrsync.config.places import Place
from cxrsync.errors import UsageError

JPG, TABLE = "mimic-cxr-jpg", "mimic-cxr-2.0.0-split.csv.gz"


@pytest.mark.parametrize(
    ("word", "place"),
    [
        ("split", Place("", None, "split")),
        (f" ./{TABLE} ", Place("", None, TABLE)),
        ("hosp/patients.csv.gz", Place("", None, "hosp/patients.csv.gz")),
        (f"{JPG}/split", Place(JPG, None, "split")),
        ("jpg/split", Place(JPG, None, "split")),
        ("mimiciv/hosp/patients", Place("mimiciv", None, "hosp/patients")),
        (f"{JPG}/2.0.0/{TABLE}", Place(JPG, "2.0.0", TABLE)),
        (f"{JPG}/latest/split", Place(JPG, "latest", "split")),
        (f"{JPG}/2.1.0-test-set", Place(JPG, None, "2.1.0-test-set")),
        (f"https://physionet.org/files/{JPG}/2.1.0/{TABLE}", Place(JPG, "2.1.0", TABLE)),
        (f"physionet.org/content/{JPG}/2.1.0/{TABLE}", Place(JPG, "2.1.0", TABLE)),
    ],
)
def test_a_table(word: str, place: Place) -> None:
    assert parse_table(word, DEFAULT_BASE_URL, load()) == place


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("", "the argument is empty"),
        (" / ", "the argument is empty"),
        (f"{JPG}/2.1.0", "is a dataset, and no table"),
        (f"{JPG}/2.1.0/", "is a dataset, and no table"),
        (f"https://physionet.org/content/{JPG}/2.1.0/", "names mimic-cxr-jpg, but no table in it"),
        ("https://example.org/x.csv", "no address of physionet.org"),
        (f"{JPG}/", "is a dataset, and no table"),
    ],
)
def test_no_table(word: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_table(word, DEFAULT_BASE_URL, load())
