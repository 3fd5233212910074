"""Which slices of a manifest selections need: nothing that they mean lies outside."""

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.catalog.load import dataset_info
from cxrsync.config.selection import Sample, Selection, Unit
from cxrsync.manifest.bisect import ManifestNotSorted
from cxrsync.manifest.filters import ImageFilter
from cxrsync.manifest.key_ranges import (
    MAX_FOLDERS,
    MAX_SHARDS,
    ROOT_KEYS,
    KeyRange,
    find_slices,
    first_ranges,
    is_in_key_ranges,
    key_ranges_for,
    needs_lookup,
)
from cxrsync.manifest.matcher import matcher_for
from cxrsync.manifest.path_ids import image_key
from cxrsync.model import Kind

many = settings(max_examples=examples(200))

JPG, DICOM = dataset_info("mimic-cxr-jpg"), dataset_info("mimic-cxr")
SUBJECTS = [f"p1{shard}00000{number}" for shard in range(10) for number in range(3)]
# Study and image → subject: two studies of two images each.
STUDIES = {f"s5{subject[1:6]}{subject[7:]}{n}": subject for subject in SUBJECTS for n in range(2)}
IMAGES = {f"{study[1:]}a{n}": STUDIES[study] for study in STUDIES for n in range(2)}
OWNERS = STUDIES | IMAGES
PATHS = sorted(
    [
        *(
            "LICENSE.txt",
            "SHA256SUMS.txt.asc",
            "cxr-record-list.csv.gz",
            "files-index.csv",
            "zz.csv",
        ),
        *(f"files/{subject[:3]}/{subject}/{study}.txt" for study, subject in STUDIES.items()),
        *(
            f"files/{subject[:3]}/{subject}/s{image[:-2]}/{image}.dcm"
            for image, subject in IMAGES.items()
        ),
    ]
)


def inner(keys: tuple[KeyRange, ...] | None) -> list[str] | None:
    """The prefixes of the slices between the two of the root."""
    if keys is None:
        return None
    assert (keys[0], keys[-1]) == ROOT_KEYS
    assert all(high is not None and high == low[:-1] + b"0" for low, high in keys[1:-1])
    return [low.decode() for low, _high in keys[1:-1]]


P10, P11 = "p10000032", "p11000011"


@pytest.mark.parametrize(
    ("selections", "owners", "prefixes"),
    [
        ([Selection(subjects=(P10,))], {}, [f"files/p10/{P10}/"]),
        ([Selection(subjects=(P11, P10))], {}, [f"files/p10/{P10}/", f"files/p11/{P11}/"]),
        ([Selection(shards=("p10", "p19"))], {}, ["files/p10/", "files/p19/"]),
        # The subject is the smaller part; a filter by tables makes it no larger.
        ([Selection(shards=("p10",), subjects=(P10,))], {}, [f"files/p10/{P10}/"]),
        ([Selection(subjects=(P10,), splits=("test",), limit=3)], {}, [f"files/p10/{P10}/"]),
        ([Selection(studies=("s1",))], {"s1": P10}, [f"files/p10/{P10}/"]),
        ([Selection(studies=("s1",), images=("a",))], {"s1": P10}, None),
        ([Selection(shards=("p11",), studies=("s1",))], {}, ["files/p11/"]),
        # Several selections: together, none within another.
        (
            [Selection(subjects=(P10,)), Selection(shards=("p11",)), Selection(subjects=(P11,))],
            {},
            [f"files/p10/{P10}/", "files/p11/"],
        ),
        ([Selection(subjects=(P10,)), Selection(splits=("test",))], {}, None),
        # Ids that are in no table can only be left out.
        ([Selection(studies=("s1", "s2"), skip_unknown=True)], {"s1": P10}, [f"files/p10/{P10}/"]),
        ([Selection(studies=("s1", "s2"))], {"s1": P10}, None),
        # Paths, and globs that begin with folders.
        ([Selection(paths=("LICENSE.txt",))], {}, []),
        ([Selection(paths=("LICENSE.txt", f"files/p10/{P10}/s1.txt"))], {}, [f"files/p10/{P10}/"]),
        ([Selection(paths=(f"files/p10/{P10}",))], {}, [f"files/p10/{P10}/"]),
        (
            [Selection(paths=("files/p10", f"files/p11/{P11}"))],
            {},
            ["files/p10/", f"files/p11/{P11}/"],
        ),
        ([Selection(paths=("files",))], {}, None),
        ([Selection(paths=(f"files/p10/{P10}",), shards=("p10",))], {}, ["files/p10/"]),
        ([Selection(include=(f"files/p10/{P10}/*", "*.x"))], {}, None),
        ([Selection(include=(f"files/p10/{P10}/*", "cxr-*"))], {}, [f"files/p10/{P10}/"]),
        ([Selection(include=(f"files/p10/{P10}*",))], {}, ["files/p10/"]),
        ([Selection(include=("files/p10*",))], {}, None),
        ([Selection(include=("f*",))], {}, None),
        ([Selection(include=tuple(f"files/{each}/*" for each in JPG.shards))], {}, None),
        # Only the whole will do.
        ([Selection()], {}, None),
        ([Selection(splits=("test",))], {}, None),
        ([Selection(only=(Kind.TABLES,))], {}, None),
        ([Selection(studies=("s1",))], {}, None),
    ],
)
def test_the_slices_of_selections(
    selections: list[Selection], owners: Mapping[str, str], prefixes: list[str] | None
) -> None:
    assert inner(key_ranges_for(selections, JPG, owners)) == prefixes


def test_a_dataset_without_shards_has_no_slices() -> None:
    assert key_ranges_for([Selection(subjects=(P10,))], dataset_info("novel"), {}) is None


def test_many_small_slices_are_one_large_read() -> None:
    few = tuple(f"p1000{number:04}" for number in range(MAX_FOLDERS))
    assert len(inner(key_ranges_for([Selection(subjects=few)], JPG, {})) or ()) == MAX_FOLDERS
    more = Selection(subjects=(*few, P11))
    assert key_ranges_for([more], JPG, {}) is None
    # … unless they came one by one: then they are here.
    one_by_one = [Selection(subjects=(each,)) for each in more.subjects]
    assert len(inner(key_ranges_for(one_by_one, JPG, {})) or ()) == MAX_FOLDERS + 1
    shards = JPG.shards[: MAX_SHARDS + 1]
    assert key_ranges_for([Selection(shards=shards)], JPG, {}) is None
    assert inner(key_ranges_for([Selection(shards=shards[:-1])], JPG, {})) is not None
    # The shard of too many subjects is one.
    in_p10 = Selection(shards=("p10",), subjects=more.subjects)
    assert inner(key_ranges_for([in_p10], JPG, {})) == ["files/p10/"]


@pytest.mark.parametrize(
    ("selection", "needs"),
    [
        (Selection(studies=("s1",)), True),
        (Selection(images=("a",) * MAX_FOLDERS), True),
        (Selection(images=("a",) * MAX_FOLDERS, studies=("s1",)), False),
        (Selection(studies=("s1",), subjects=(P10,)), False),
        (Selection(subjects=(P10,)), False),
        (Selection(), False),
    ],
)
def test_which_selections_are_worth_a_look_into_a_table(selection: Selection, needs: bool) -> None:
    assert needs_lookup(selection) is needs


def few(values: list[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), max_size=3, unique=True).map(tuple)


selections = st.builds(
    Selection,
    shards=few(sorted({subject[:3] for subject in SUBJECTS})),
    subjects=few(SUBJECTS),
    studies=few(sorted(STUDIES)),
    images=few(sorted(IMAGES)),
    only=st.lists(st.sampled_from(Kind), max_size=2, unique=True).map(tuple),
    include=st.lists(
        st.sampled_from(
            ["files/*", "*.csv", "*.dcm", "*", "files/p10/*", "files/p11/p11000000*", "c*", "fil*"]
        ),
        max_size=2,
    ).map(tuple),
    paths=st.lists(
        st.sampled_from(["files", "files/p10", f"files/p12/{SUBJECTS[6]}", "LICENSE.txt"]),
        max_size=2,
    ).map(tuple),
    limit=st.none() | st.integers(1, 9),
    tables=st.booleans(),
)


def has_a_place(selection: Selection, owners: Mapping[str, str]) -> bool:
    """Whether it says by itself, or with the owners of its ids, where its files lie."""
    ids = {*selection.studies, *selection.images}
    known = bool(ids) and ids <= owners.keys()
    return bool(selection.subjects or selection.shards) or known


@many
@given(st.lists(selections, min_size=1, max_size=3), st.sampled_from([{}, STUDIES, OWNERS]))
def test_nothing_that_is_meant_lies_outside(
    several: list[Selection], owners: Mapping[str, str]
) -> None:
    keys = key_ranges_for(several, DICOM, owners)
    if keys is None:
        assert not all(has_a_place(each, owners) for each in several)
        return
    lows = [low for low, _high in keys]
    assert lows == sorted(set(lows))
    assert all(
        high is not None and high <= low for (_, high), low in zip(keys, lows[1:], strict=False)
    )
    for each in several:
        images = frozenset(map(image_key, each.images))
        is_wanted = matcher_for(
            each, DICOM, ImageFilter(images, frozenset()) if images else ImageFilter()
        )
        outside = [path for path in PATHS if is_wanted(path) and not is_in_key_ranges(keys, path)]
        assert outside == []


# ── key ranges → byte ranges ───────────────────────────────────────────────────────────────────

LINES = [f"{'0' * 64} {path}\n".encode() for path in PATHS]
TEXT = b"".join(LINES)


def found(
    keys: tuple[KeyRange, ...], text: bytes = TEXT
) -> tuple[tuple[tuple[int, int], ...], int]:
    """The slices, and how many bytes were asked for."""
    search = find_slices(keys, len(text), 4)
    asked = 0
    try:
        ranges = next(search)
        while True:
            asked += sum(stop - start for start, stop in ranges)
            ranges = search.send(tuple(text[start:stop] for start, stop in ranges))
    except StopIteration as done:
        return done.value, asked


@many
@given(st.lists(selections, min_size=1, max_size=3))
def test_the_slices_hold_exactly_what_the_keys_do(several: list[Selection]) -> None:
    keys = key_ranges_for(several, DICOM, OWNERS)
    if keys is None:
        return
    slices, _asked = found(keys)
    lines = b"".join(TEXT[start:stop] for start, stop in slices).decode().splitlines()
    assert [line[65:] for line in lines] == [path for path in PATHS if is_in_key_ranges(keys, path)]


def test_slices_that_are_empty_are_none() -> None:
    keys = key_ranges_for([Selection(subjects=("p10999999",)), Selection(shards=("p18",))], JPG, {})
    assert keys is not None
    slices, asked = found(keys)
    held = [TEXT[start:stop].split(b"\n")[0][65:] for start, stop in slices]
    first = next(path for path in PATHS if path.startswith("files/p18/"))
    assert held == [b"LICENSE.txt", first.encode(), b"zz.csv"]
    assert asked > 0
    assert found((), b"") == ((), 0)
    assert found(keys, b"") == ((), 0)


def test_what_is_out_of_order_is_told() -> None:
    keys = key_ranges_for([Selection(shards=("p12",))], JPG, {})
    assert keys is not None
    with pytest.raises(ManifestNotSorted):
        found(keys, b"".join(reversed(LINES)))


@pytest.mark.parametrize(
    ("path", "within"),
    [
        ("LICENSE.txt", True),
        ("zz.csv", True),
        ("files0", True),
        ("files", True),
        ("files/p10/p10000032/s1/a.dcm", True),
        ("files/p10/p10000032", False),
        ("files/p10/p100000320/s1/a.dcm", False),
        ("files/p10/p10000031/s1/a.dcm", False),
        ("files/README", False),
    ],
)
def test_covers(path: str, within: bool) -> None:
    keys = key_ranges_for([Selection(subjects=(P10,))], JPG, {})
    assert keys is not None
    assert is_in_key_ranges(keys, path) is within


def test_a_name_that_is_not_utf8_is_in_a_range_too() -> None:
    """Another program's file may have one, and ``verify`` asks this of every extra file."""
    assert is_in_key_ranges(((b"", None),), "files/x\udcff.bin")
    assert not is_in_key_ranges(((b"files/p10/", b"files/p100"),), "files/x\udcff.bin")


FIRST = (b"", b"files/p10/p1001")


@pytest.mark.parametrize(
    ("selection", "ranges"),
    [
        (Selection(limit=1), [FIRST, (b"", b"files/p10/p101"), (b"", b"files/p100")]),
        (
            Selection(limit=1, shards=("p15",), splits=("test",)),
            [
                (b"files/p15/", b"files/p15/p1501"),
                (b"files/p15/", b"files/p15/p151"),
                (b"files/p15/", b"files/p150"),
            ],
        ),
        (Selection(limit=1, shards=("p15", "p16")), []),  # both must be known to exist
        (Selection(limit=1, subjects=(P10,)), []),  # has slices of its own
        (Selection(limit=1, sample=Sample(1, Unit.STUDY, 0)), []),  # drawn from all
        (Selection(), []),
    ],
    ids=str,
)
def test_where_the_files_of_a_limit_are(selection: Selection, ranges: list[KeyRange]) -> None:
    assert list(first_ranges(selection, JPG)) == ranges
    assert first_ranges(selection, dataset_info("novel")) == ()


@pytest.mark.parametrize(
    ("firsts", "selections", "keys"),
    [
        ({}, [Selection(limit=1)], None),
        ({Selection(limit=1): FIRST}, [Selection(limit=1)], (FIRST, ROOT_KEYS[1])),
        (
            {Selection(limit=1): FIRST},
            [Selection(limit=1), Selection(subjects=(P10,)), Selection(subjects=(P11,))],
            (FIRST, (b"files/p11/p11000011/", b"files/p11/p110000110"), ROOT_KEYS[1]),
        ),
        ({Selection(limit=1): FIRST}, [Selection(limit=1), Selection(splits=("test",))], None),
    ],
    ids=range(4),
)
def test_the_range_of_a_limit_takes_the_place_of_the_whole_manifest(
    firsts: dict[Selection, KeyRange],
    selections: list[Selection],
    keys: tuple[KeyRange, ...] | None,
) -> None:
    assert key_ranges_for(selections, JPG, {}, firsts) == keys
