"""Which paths a selection means, by table and against a model that spells the rules out."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.catalog.load import dataset_info
from cxrsync.config.selection import Selection
from cxrsync.manifest.matcher import any_matcher, matcher_for
from cxrsync.model import Kind

many = settings(max_examples=examples(200))

# The two trees, in small.
TREES = {
    "mimic-cxr-jpg": {
        "IMAGE_FILENAMES": Kind.DOCS,
        "LICENSE.txt": Kind.DOCS,
        "mimic-cxr-2.0.0-split.csv.gz": Kind.TABLES,
        "mimic-cxr-2.1.0-test-set-labeled.csv": Kind.TABLES,
        "files/p10/p10000032/s50414267/a.jpg": Kind.IMAGES,
        "files/p11/p11000011/s51029426/b.jpg": Kind.IMAGES,
        "files/p11/index.html": Kind.DOCS,
    },
    "mimic-cxr": {
        "LICENSE.txt": Kind.DOCS,
        "cxr-record-list.csv.gz": Kind.TABLES,
        "mimic-cxr-reports.zip": Kind.ARCHIVES,
        "files/p10/p10000032/s50414267.txt": Kind.REPORTS,
        "files/p10/p10000032/s50414267/a.dcm": Kind.IMAGES,
        "files/p11/p11000011/s51029426.txt": Kind.REPORTS,
        "files/p11/p11000011/s51029426/b.dcm": Kind.IMAGES,
    },
    "something-else": {
        "README.md": Kind.DOCS,
        "data.parquet": Kind.TABLES,
        "all.tar.gz": Kind.ARCHIVES,
        "files/p10/scan.png": Kind.IMAGES,
        "files/p10/labels.csv": Kind.TABLES,
        "files/p100/scan.png": Kind.IMAGES,  # no shard: p and two digits are
    },
}


def selected(dataset: str, selection: Selection) -> list[str]:
    return [path for path in TREES[dataset] if matcher_for(selection, dataset_info(dataset))(path)]


CASES: list[tuple[str, Selection, list[str]]] = [
    ("mimic-cxr-jpg", Selection(), list(TREES["mimic-cxr-jpg"])),
    ("mimic-cxr-jpg", Selection(tables=False), list(TREES["mimic-cxr-jpg"])),
    (
        "mimic-cxr-jpg",
        Selection(shards=("p10",)),
        [
            "mimic-cxr-2.0.0-split.csv.gz",
            "mimic-cxr-2.1.0-test-set-labeled.csv",
            "files/p10/p10000032/s50414267/a.jpg",
        ],
    ),
    (
        "mimic-cxr-jpg",
        Selection(shards=("p10",), tables=False),
        ["files/p10/p10000032/s50414267/a.jpg"],
    ),
    (
        "mimic-cxr-jpg",
        Selection(shards=("p11",), only=(Kind.IMAGES,)),
        ["files/p11/p11000011/s51029426/b.jpg"],
    ),
    (
        "mimic-cxr-jpg",
        Selection(only=(Kind.TABLES,)),
        ["mimic-cxr-2.0.0-split.csv.gz", "mimic-cxr-2.1.0-test-set-labeled.csv"],
    ),
    (  # who says what of a shard's root is wanted gets that, tables or not
        "mimic-cxr",
        Selection(shards=("p10",), only=(Kind.REPORTS, Kind.ARCHIVES), tables=False),
        ["mimic-cxr-reports.zip", "files/p10/p10000032/s50414267.txt"],
    ),
    (  # archives stay out of a selection of shards: 135 MB nobody asked for
        "mimic-cxr",
        Selection(shards=("p11",)),
        [
            "cxr-record-list.csv.gz",
            "files/p11/p11000011/s51029426.txt",
            "files/p11/p11000011/s51029426/b.dcm",
        ],
    ),
    ("mimic-cxr-jpg", Selection(shards=("p19",), tables=False), []),
    (  # values of one field are alternatives, and * crosses /
        "mimic-cxr",
        Selection(include=("files/p10/*.dcm", "LICENSE*")),
        ["LICENSE.txt", "files/p10/p10000032/s50414267/a.dcm"],
    ),
    ("mimic-cxr", Selection(include=("a.dcm", "files")), []),  # the whole path, not a part of it
    ("mimic-cxr", Selection(include=("license.txt",)), []),  # case counts
    (
        "mimic-cxr",
        Selection(exclude=("files/*", "*.zip")),
        ["LICENSE.txt", "cxr-record-list.csv.gz"],
    ),
    (
        "mimic-cxr",
        Selection(include=("*.txt",), exclude=("files/p10/*",)),
        ["LICENSE.txt", "files/p11/p11000011/s51029426.txt"],
    ),
    (  # globs narrow what the shards bring, tables included
        "mimic-cxr",
        Selection(shards=("p10",), include=("*.dcm",)),
        ["files/p10/p10000032/s50414267/a.dcm"],
    ),
    (
        "something-else",
        Selection(shards=("p10",)),
        ["data.parquet", "files/p10/scan.png", "files/p10/labels.csv"],
    ),
    ("something-else", Selection(only=(Kind.ARCHIVES,)), ["all.tar.gz"]),
]


@pytest.mark.parametrize(("dataset", "selection", "paths"), CASES)
def test_what_a_selection_means(dataset: str, selection: Selection, paths: list[str]) -> None:
    assert selected(dataset, selection) == paths


@pytest.mark.parametrize("dataset", TREES)
def test_kinds(dataset: str) -> None:
    assert {path: dataset_info(dataset).kind_of(path) for path in TREES[dataset]} == TREES[dataset]


def test_any_of_several_selections() -> None:
    dataset = dataset_info("mimic-cxr-jpg")
    p10, p11 = (
        matcher_for(Selection(shards=(shard,), tables=False), dataset) for shard in ("p10", "p11")
    )
    both = any_matcher([p10, p11])
    assert both("files/p10/a.jpg")
    assert both("files/p11/a.jpg")
    assert not both("files/p12/a.jpg")
    assert not any_matcher([p10])("files/p11/a.jpg")
    assert not any_matcher([])("files/p10/a.jpg")


globs = st.sampled_from(["*", "files/*", "*.txt", "*.jpg", "files/p1[01]/*", "?ICENSE*", "x"])
selections = st.builds(
    Selection,
    shards=st.lists(st.sampled_from(["p10", "p11", "p12"]), unique=True).map(tuple),
    only=st.lists(st.sampled_from(Kind), unique=True, max_size=3).map(tuple),
    include=st.lists(globs, max_size=2).map(tuple),
    exclude=st.lists(globs, max_size=2).map(tuple),
    tables=st.booleans(),
)


def model(selection: Selection, path: str, kind: Kind) -> bool:
    """The rules of the command line's help, one sentence each."""
    rules = [True]
    if selection.shards:
        in_shard = any(path.startswith(f"files/{shard}/") for shard in selection.shards)
        brought = selection.tables and kind is Kind.TABLES
        in_root = not path.startswith(("files/p10/", "files/p11/"))
        rules.append(in_shard or (in_root and (brought or bool(selection.only))))
    if selection.only:
        rules.append(kind in selection.only)
    if selection.include:
        rules.append(any(fnmatchcase(path, glob) for glob in selection.include))
    rules.append(not any(fnmatchcase(path, glob) for glob in selection.exclude))
    return all(rules)


@many
@given(selections, st.sampled_from(sorted(TREES)))
def test_against_the_model(selection: Selection, dataset: str) -> None:
    tree = TREES[dataset]
    expected = [path for path, kind in tree.items() if model(selection, path, kind)]
    assert selected(dataset, selection) == expected
