"""What tables, a sample and a limit make of a selection: by example, and that a sample is one."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.config.selection import Label, Sample, Selection, Unit
from cxrsync.manifest.filters import (
    ImageFilter,
    apply_limit,
    choose_images,
    choose_studies,
    draw_sample,
    studies_of,
    tables_needed,
)
from cxrsync.manifest.path_ids import ImageIds, image_key, parse_image_path, study_key

many = settings(max_examples=examples(200))

IMAGE = "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014"


# ── places ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (f"files/p10/p1/s5/{IMAGE}.dcm", ImageIds("p1", "s5", IMAGE)),
        ("files/p10/p1/s5/a.tar.gz", ImageIds("p1", "s5", "a")),
        ("files/p10/p1/s5.txt", ImageIds("p1", "s5", "")),
        ("files/p10/p1/s5.pdf", None),
        ("files/p10/p1/s5", None),
        ("files/p10/p1/s5/a/b.dcm", None),
        ("other/p10/p1/s5/a.dcm", None),
        ("LICENSE.txt", None),
        ("", None),
    ],
)
def test_places(path: str, place: ImageIds | None) -> None:
    assert parse_image_path(path) == place


def test_keys() -> None:
    assert image_key(IMAGE) == bytes.fromhex(IMAGE.replace("-", ""))
    assert len({image_key(each) for each in (IMAGE, IMAGE[:-1] + "5", "scan", "", "é")}) == 5
    assert study_key("s50414267") == study_key("50414267") == 50414267
    assert {study_key(each) for each in ("", "s", "x5", "s-5", "5.0", "٣")} == {-1}


# ── tables ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("selection", "needed"),
    [
        (Selection(), ()),
        (Selection(shards=("p10",), images=(IMAGE,), sample=Sample(3), limit=2), ()),
        (Selection(splits=("test",)), ("split",)),
        (Selection(views=("",)), ("metadata",)),
        (Selection(labels=(Label("Edema", ("1",)),)), ("chexpert",)),
        (
            Selection(
                splits=("test",),
                views=("PA",),
                labels=(Label("Edema", ("1",)),),
                labeler="negbio",
            ),
            ("split", "metadata", "negbio"),
        ),
    ],
)
def test_which_tables_are_needed(selection: Selection, needed: tuple[str, ...]) -> None:
    assert tables_needed(selection) == needed


def test_images_by_value() -> None:
    rows = [("aa", "PA"), ("bb", "AP"), ("cc", ""), ("dd", "PA")]
    keys = {name: image_key(name) for name, _view in rows}
    assert choose_images(rows, {"PA", ""}, None) == {keys["aa"], keys["cc"], keys["dd"]}
    assert choose_images(rows, {"PA", ""}, {keys["cc"], keys["bb"]}) == {keys["cc"]}
    assert choose_images(rows, {"LL"}, None) == frozenset()
    assert choose_images(rows, {"PA"}, frozenset()) == frozenset()


def test_studies_by_labels() -> None:
    rows = [
        ("1", "1.0", ""),
        ("2", "1", "0.0"),
        ("3", "-1.0", "0"),
        ("4", "", "1.0"),
        ("5", "x", ""),
    ]
    both = (Label("A", ("1", "-1")), Label("B", ("blank", "0")))
    assert choose_studies(rows, both) == {1, 2, 3}
    assert choose_studies([row[:2] for row in rows], [Label("A", ("blank",))]) == {4}
    # What is no label fits none, whatever is asked for.
    every = Label("A", ("1", "0", "-1", "blank"))
    assert choose_studies([row[:2] for row in rows], [every]) == {1, 2, 3, 4}


def test_studies_of_images() -> None:
    paths = [
        "files/p10/p1/s1.txt",
        "files/p10/p1/s1/aa.dcm",
        "files/p10/p1/s2/bb.dcm",
        "files/p10/p1/s2/cc.dcm",
        "files/p10/p1/s3.txt",
        "LICENSE.txt",
    ]
    assert studies_of(paths, {image_key("aa"), image_key("cc"), image_key("no")}) == {1, 2}
    # A report has no image: an image without a name is none of its.
    assert studies_of(paths, {image_key("")}) == frozenset()


# ── sample and limit ───────────────────────────────────────────────────────────────────────────

FOLDERS = [
    f"files/p1{subject % 2}/p{subject}/s{subject * 10 + study}"
    for subject in range(4)
    for study in range(subject % 3 + 1)
]
PATHS = sorted(
    path
    for number, folder in enumerate(FOLDERS)
    for path in (f"{folder}.txt", f"{folder}/aa{number:02}.dcm", f"{folder}/bb{number:02}.dcm")
)


def ranked(seed: int, ids: set[str]) -> list[str]:
    return sorted(ids, key=lambda each: hashlib.sha256(f"{seed}:{each}".encode()).hexdigest())


def places() -> list[ImageIds]:
    return [place for path in PATHS if (place := parse_image_path(path))]


@many
@given(st.integers(1, 12), st.sampled_from(Unit), st.integers(0, 50))
def test_a_sample_is_the_smallest_by_hash(count: int, by: Unit, seed: int) -> None:
    before = ImageFilter(studies=frozenset({1, 2, 3}))
    chosen = draw_sample(Sample(count, by, seed), PATHS, before)

    ids = {str(getattr(place, by.value)) for place in places()} - {""}
    drawn = set(ranked(seed, ids)[:count])
    if by is Unit.SUBJECT:
        assert chosen == ImageFilter(studies=before.studies, subjects=frozenset(drawn))
    elif by is Unit.STUDY:
        assert chosen == ImageFilter(studies=frozenset(map(study_key, drawn)))
    else:
        studies = {study_key(place.study) for place in places() if place.image in drawn}
        assert chosen == ImageFilter(
            images=frozenset(map(image_key, drawn)),
            image_studies=frozenset(studies),
            studies=before.studies,
        )


@pytest.mark.parametrize(("seed", "drawn"), [(7, {"p2", "p0", "p1"}), (0, {"p2", "p0", "p3"})])
def test_samples_that_others_have_drawn(seed: int, drawn: set[str]) -> None:
    """As ``printf 7:p2 | sha256sum`` ranks them: papers name a seed, so this must never change."""
    assert draw_sample(Sample(3, Unit.SUBJECT, seed), PATHS, ImageFilter()).subjects == drawn


def test_nothing_to_draw_from() -> None:
    assert draw_sample(
        Sample(3, Unit.IMAGE), ["files/p10/p1/s1.txt", "LICENSE.txt"], ImageFilter()
    ) == ImageFilter(images=frozenset(), image_studies=frozenset())


@pytest.mark.parametrize(
    ("count", "last"), [(1, PATHS[0]), (3, PATHS[2]), (len(PATHS), PATHS[-1]), (99, None)]
)
def test_a_limit(count: int, last: str | None) -> None:
    before = ImageFilter(subjects=frozenset({"p1"}))
    assert apply_limit(count, iter(PATHS), before) == ImageFilter(
        subjects=before.subjects, last=last
    )
