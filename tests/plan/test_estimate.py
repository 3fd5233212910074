"""Counting files and estimating bytes: by a table, and compared with a model with all paths."""

from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.model import Kind, partition_of
from cxrsync.plan.estimate import CATALOGUE, LEARNED, PUBLISHED, Count, Inventory, by_kind, estimate

many = settings(max_examples=examples(200))

MEANS = {Kind.IMAGES: 1_000, Kind.TABLES: 50}
SUFFIXES = {".jpg": Kind.IMAGES, ".csv": Kind.TABLES, ".zip": Kind.ARCHIVES}


def kind_of(path: str) -> Kind:
    return SUFFIXES.get(path[-4:], Kind.DOCS)


def inventory(
    present: Mapping[str, int] | None = None,
    unverified: Mapping[str, int] | None = None,
    missing: Mapping[str, int | None] | None = None,
) -> Inventory:
    found = Inventory(kind_of)
    for path, size in (present or {}).items():
        found.add_present(path, size)
    for path, size in (unverified or {}).items():
        found.add_unverified(path, size)
    for path in sorted(missing or {}):
        found.add_missing(path, kind_of(path), (missing or {})[path])
    return found


def images(count: int, size: int | None = None, shard: str = "p10") -> dict[str, int | None]:
    return {f"files/{shard}/p/s/{number:03}.jpg": size for number in range(count)}


def sized(count: int, size: int, shard: str = "p11") -> dict[str, int]:
    return dict.fromkeys(images(count, shard=shard), size)


def test_counts_by_partition_and_kind() -> None:
    found = inventory(
        present={"files/p10/a.jpg": 7, "files/p10/b.jpg": 5, "a.csv": 3},
        unverified={"files/p11/a.jpg": 2},
        missing={"files/p10/c.jpg": None, "files/p10/d.jpg": 9, "LICENSE": None},
    )
    assert dict(found.present) == {
        ("p10", Kind.IMAGES): Count(2, 2, 12),
        ("root", Kind.TABLES): Count(1, 1, 3),
    }
    assert dict(found.unverified) == {("p11", Kind.IMAGES): Count(1, 1, 2)}
    assert dict(found.missing) == {
        ("p10", Kind.IMAGES): Count(2, 1, 9),
        ("root", Kind.DOCS): Count(1, 0, 0),
    }
    counts = {("p10", Kind.IMAGES): Count(1, 1, 5), ("p11", Kind.IMAGES): Count(2, 1, 4)}
    assert by_kind(counts) == {Kind.IMAGES: Count(3, 2, 9)}


Case = tuple[Inventory, int | None, dict[Kind, int] | None, tuple[int, int, tuple[str, ...]]]

# The inventory, the published total, and the number of files of each kind in the version;
# then the estimated bytes, the number of files of unknown size, and the basis.
CASES: dict[str, Case] = {
    "nothing is missing": (inventory(present=sized(30, 7)), 9_999, {Kind.IMAGES: 30}, (0, 0, ())),
    "the catalogue's mean": (inventory(missing=images(3)), None, None, (3_000, 0, (CATALOGUE,))),
    "no mean": (inventory(missing={"LICENSE": None, "a.zip": None}), None, None, (0, 2, ())),
    "a mean for one of two": (
        inventory(missing={"a.csv": None, "a.zip": None}), None, None, (50, 1, (CATALOGUE,)),
    ),
    "published": (
        inventory(missing=images(3)), 6_000, {Kind.IMAGES: 3}, (6_000, 0, (PUBLISHED,)),
    ),
    "published, of which a part is wanted": (
        inventory(missing=images(3)), 6_000, {Kind.IMAGES: 12}, (1_500, 0, (PUBLISHED,)),
    ),
    "published, shared by the catalogue's means": (
        inventory(missing={"a.csv": None}), 4_200,
        {Kind.IMAGES: 4, Kind.TABLES: 4}, (50, 0, (PUBLISHED,)),
    ),
    "published, of a kind without a mean": (
        inventory(missing={"LICENSE": None}), 4_000,
        {Kind.IMAGES: 4, Kind.DOCS: 4}, (0, 0, (PUBLISHED,)),
    ),
    "published, which is used only with all the counts": (
        inventory(missing=images(3)), 6_000, None, (3_000, 0, (CATALOGUE,)),
    ),
    "published, but no kind in it has a mean": (
        inventory(missing={"LICENSE": None}), 4_000, {Kind.DOCS: 4}, (0, 1, ()),
    ),
    "learned from many": (
        inventory(present=sized(20, 70), missing=images(100)), 999_999, {Kind.IMAGES: 120},
        (7_000, 0, (LEARNED,)),
    ),
    "learned from few, for many": (
        inventory(present=sized(19, 70), missing=images(100)), None, None,
        (100_000, 0, (CATALOGUE,)),
    ),
    "learned from few, for fewer": (
        inventory(present=sized(3, 70), missing=images(3)), None, None, (210, 0, (LEARNED,)),
    ),
    "learned from unverified files too": (
        inventory(unverified=sized(3, 70), missing=images(2)), None, None, (140, 0, (LEARNED,)),
    ),
    "learned of another kind says nothing": (
        inventory(present=sized(50, 70), missing={"a.csv": None}), None, None,
        (50, 0, (CATALOGUE,)),
    ),
    "sizes in the records": (
        inventory(missing={**images(2, 30), "files/p11/a.jpg": 41}), None, None,
        (101, 0, (LEARNED,)),
    ),
    "some sizes in the records, the others by the catalogue": (
        inventory(missing=images(2, 30) | images(100, None, "p11")), None, None,
        (100_060, 0, (LEARNED, CATALOGUE)),
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("found", "published", "files_of_version", "expected"), CASES.values(), ids=CASES.keys()
)
def test_estimate(
    found: Inventory,
    published: int | None,
    files_of_version: dict[Kind, int] | None,
    expected: tuple[int, int, tuple[str, ...]],
) -> None:
    guess = estimate(found, MEANS, published, files_of_version)
    assert (guess.bytes, guess.unknown, guess.basis) == expected


def test_a_dataset_without_means_shares_its_total_evenly() -> None:
    found = inventory(missing={"a.csv": None, "a.jpg": None})
    guess = estimate(found, {}, 4_000, {Kind.IMAGES: 3, Kind.TABLES: 5})
    assert (guess.bytes, guess.unknown, guess.basis) == (1_000, 0, (PUBLISHED,))
    assert guess.means == {Kind.IMAGES: 500, Kind.TABLES: 500}
    assert estimate(found, {}).unknown == 2


@many
@given(
    st.dictionaries(st.sampled_from(list(Kind)), st.integers(1, 400_000), min_size=1),
    st.dictionaries(st.sampled_from(list(Kind)), st.integers(1, 10**8)),
    st.integers(1, 5 * 10**12),
)
def test_the_estimate_of_a_whole_version_is_its_published_total(
    files_of_version: dict[Kind, int], means: dict[Kind, int], published: int
) -> None:
    found = Inventory(kind_of)
    for kind, count in files_of_version.items():
        found.missing["root", kind] = Count(files=count)
    guess = estimate(found, means, published, files_of_version)
    if means and not means.keys() & files_of_version.keys():
        assert guess.unknown == sum(files_of_version.values())
    else:
        assert guess.bytes == published
        assert guess.unknown == 0


paths = st.lists(st.sampled_from("ab-."), min_size=1, max_size=4).map("/".join)


@many
@given(st.sets(paths, max_size=12))
def test_missing_folders_are_counted_once(chosen: set[str]) -> None:
    """Each folder counts once, however deep the paths are."""
    chosen = {f"{path}/x.jpg" for path in chosen} | {"x.jpg"}
    found = inventory(missing=dict.fromkeys(chosen))

    folders = {path.rsplit("/", ups)[0] for path in chosen for ups in range(1, path.count("/") + 1)}
    assert found.folders == len(folders)
    assert Counter({key: count.files for key, count in found.missing.items()}) == Counter(
        (partition_of(path), Kind.IMAGES) for path in chosen
    )
