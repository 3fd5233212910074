"""The shipped catalogue, and the entry of a dataset that it does not contain."""

import pytest

from cxrsync.catalog.dataset_info import suggest
from cxrsync.catalog.load import dataset_info, load, near_datasets
from cxrsync.model import Kind

TEN = tuple(f"p{number}" for number in range(10, 20))


def test_mimic_cxr_and_mimic_cxr_jpg() -> None:
    aliases = {known.alias: slug for slug, known in load().items() if known.alias}
    assert aliases == {"jpg": "mimic-cxr-jpg", "dicom": "mimic-cxr"}
    for slug in aliases.values():
        known = dataset_info(slug)
        assert known.shards == TEN
        assert known.versions == ("2.0.0", "2.1.0")
        assert known.agreement == f"https://physionet.org/content/{slug}/"
        assert known.elsewhere
    # For estimates: 558 GB and 4.7 TB over 377,110 images.
    assert dataset_info("mimic-cxr-jpg").means[Kind.IMAGES] == pytest.approx(
        558e9 / 377_110, rel=0.02
    )
    assert dataset_info("mimic-cxr").means[Kind.IMAGES] == pytest.approx(4.7e12 / 377_110, rel=0.02)


@pytest.mark.parametrize("slug", list(load()))
def test_every_entry_is_complete(slug: str) -> None:
    known = dataset_info(slug)
    assert known.slug == slug
    assert known.title
    # Without quotes, YAML reads 2.10 as the number 2.1.
    assert all(isinstance(version, str) for version in known.versions)
    assert known.versions == tuple(sorted(known.versions))
    assert known.agreement.endswith(f"/{slug}/")
    assert known.kind_of("README") is Kind.DOCS
    assert known.kind_of("data.csv.gz") is Kind.TABLES
    assert known.kind_of("data.zip") is Kind.ARCHIVES


def test_a_dataset_without_an_entry() -> None:
    unknown = dataset_info("chexchonet")
    assert unknown.slug == unknown.title == "chexchonet"
    assert unknown.versions == unknown.shards == ()
    assert unknown.agreement == "https://physionet.org/content/chexchonet/"
    kinds = {name: unknown.kind_of(name).value for name in ("a/b.png", "c.parquet", "d.7z", "e")}
    assert kinds == {"a/b.png": "images", "c.parquet": "tables", "d.7z": "archives", "e": "docs"}


@pytest.mark.parametrize(
    ("dataset", "path", "kind"),
    [
        ("mimic-cxr", "files/p10/p10000032/s50414267.txt", Kind.REPORTS),
        ("mimic-cxr", "LICENSE.txt", Kind.DOCS),  # a .txt file is a report only below files/
        ("mimic-cxr-jpg", "files/p10/p10000032/s50414267.txt", Kind.DOCS),
        ("mimic-cxr-jpg", "figure.jpg", Kind.DOCS),
        ("mimic-cxr-jpg", "files/x.jpg.tmp", Kind.DOCS),
        ("mimic-cxr-jpg", "labels.csv", Kind.TABLES),
    ],
)
def test_kind(dataset: str, path: str, kind: Kind) -> None:
    assert dataset_info(dataset).kind_of(path) is kind


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("mimic-cxr-jgp", "mimic-cxr-jpg, mimic-cxr"),
        ("eicu", "eicu-crd"),
        ("zzz", "mimic-cxr, mimic-cxr-jpg, eicu-crd"),  # no similar name: all names
    ],
)
def test_suggest(name: str, phrase: str) -> None:
    assert suggest(name, ("mimic-cxr", "mimic-cxr-jpg", "eicu-crd")) == phrase


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("jgp", "mimic-cxr-jpg"),
        ("dcom", "mimic-cxr"),
        ("mimic-cxr-jpeg", "mimic-cxr-jpg, mimic-cxr"),
    ],
)
def test_a_similar_alias_is_a_name_too(name: str, near: str) -> None:
    assert near_datasets(name) == near


def test_without_a_similar_one_all_are_named() -> None:
    assert near_datasets("zzzz").split(", ") == list(load())
