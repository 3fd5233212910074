"""Random manifests, tables and selections: what is chosen against a model that spells it out."""

import hashlib
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.catalog.dataset_info import METADATA, SPLIT
from cxrsync.catalog.load import dataset_info
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
from cxrsync.manifest.key_ranges import is_in_key_ranges, key_ranges_for
from cxrsync.manifest.matcher import is_accompanying_table, matcher_for
from cxrsync.manifest.path_ids import image_key

many = settings(max_examples=examples(300))

DATASET = dataset_info("mimic-cxr")
TABLES = ["cxr-record-list.csv.gz", "cxr-study-list.csv.gz"]
VIEWS, SPLITS = ["PA", "AP", "LATERAL", ""], ["train", "validate", "test"]
LABELS = {"1.0": "1", "0.0": "0", "-1.0": "-1", "": "blank"}


class Image(NamedTuple):
    subject: str
    study: str
    id: str
    view: str
    split: str
    label: str  # of its study


def image(number: int, view: int, split: int) -> Image:
    """Sixteen images of eight studies of four subjects in two shards, by number."""
    subject = f"p{10 + number // 8}00000{number // 4 % 2}"
    study = f"s5000000{number // 2}"
    label = list(LABELS)[number // 2 % 4]
    return Image(
        subject, study, f"{number:08x}" + "-00000000" * 4, VIEWS[view], SPLITS[split], label
    )


trees = st.lists(
    st.builds(image, st.integers(0, 15), st.integers(0, 3), st.integers(0, 2)),
    min_size=1, max_size=12, unique_by=lambda each: each.id,
)  # fmt: skip


def some(values: list[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.just(()) | st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True).map(
        tuple
    )


selections = st.builds(
    Selection,
    shards=some(["p10", "p11"]),
    subjects=some(["p1000000", "p1000001", "p1100000", "p1100001"]),
    studies=some([f"s5000000{number}" for number in range(8)]),
    images=some([image(number, 0, 0).id for number in range(16)]),
    splits=some(SPLITS),
    views=some(VIEWS),
    labels=st.just(())
    | some(list(LABELS.values())).map(
        lambda values: (Label("Pneumonia", values),) if values else ()
    ),
    sample=st.none()
    | st.builds(Sample, st.integers(1, 5), st.sampled_from(Unit), st.integers(0, 3)),
    limit=st.none() | st.integers(1, 6),
    tables=st.booleans(),
)


def folder(each: Image) -> str:
    return f"files/{each.subject[:3]}/{each.subject}/{each.study}"


def paths_of(tree: list[Image]) -> list[str]:
    found = {f"{folder(each)}/{each.id}.dcm" for each in tree}
    found |= {f"{folder(each)}.txt" for each in tree}
    return sorted({*found, *TABLES, "LICENSE.txt", "mimic-cxr-reports.zip"})


def chosen_by_us(tree: list[Image], selection: Selection) -> set[str]:
    paths = paths_of(tree)
    images = frozenset(map(image_key, selection.images)) if selection.images else None
    needed = tables_needed(selection)
    for role, values, column in ((SPLIT, selection.splits, 4), (METADATA, selection.views, 3)):
        assert (role in needed) == bool(values)
        if values:
            images = choose_images([(each.id, each[column]) for each in tree], set(values), images)
    chosen = ImageFilter()
    if images is not None:
        chosen = ImageFilter(images, studies_of(paths, images))
    if selection.labels:
        rows_of_labels = {(each.study[1:], each.label) for each in tree}
        studies = choose_studies(rows_of_labels, selection.labels)
        chosen = ImageFilter(chosen.images, chosen.image_studies, studies)
    if selection.sample is not None:
        from_all = Selection(**{
            name: getattr(selection, name) for name in Selection.__slots__
            if name not in {"sample", "limit"}
        })  # fmt: skip
        test = matcher_for(from_all, DATASET, chosen)
        chosen = draw_sample(selection.sample, filter(test, paths), chosen)
    if selection.limit is not None:
        test = matcher_for(selection, DATASET, chosen)
        left = (path for path in paths if test(path) and not is_accompanying_table(path, selection))
        chosen = apply_limit(selection.limit, left, chosen)
    return set(filter(matcher_for(selection, DATASET, chosen), paths))


def model(tree: list[Image], selection: Selection) -> set[str]:
    """The rules of the help, one sentence each."""
    if selection.whole:
        return set(paths_of(tree))

    def is_in(each: Image) -> bool:
        return (
            (not selection.shards or each.subject[:3] in selection.shards)
            and (not selection.subjects or each.subject in selection.subjects)
            and (not selection.studies or each.study in selection.studies)
            and all(LABELS[each.label] in label.values for label in selection.labels)
        )

    def is_chosen(each: Image) -> bool:
        return (
            (not selection.images or each.id in selection.images)
            and (not selection.splits or each.split in selection.splits)
            and (not selection.views or each.view in selection.views)
        )

    images = [each for each in tree if is_in(each) and is_chosen(each)]
    if selection.sample is not None:
        count, by, seed = selection.sample.count, selection.sample.by, selection.sample.seed
        field = {Unit.SUBJECT: "subject", Unit.STUDY: "study", Unit.IMAGE: "id"}[by]
        units = {getattr(each, field) for each in images}
        ranked = sorted(units, key=lambda unit: hashlib.sha256(f"{seed}:{unit}".encode()).digest())
        images = [each for each in images if getattr(each, field) in ranked[:count]]
    found = sorted(
        {f"{folder(each)}/{each.id}.dcm" for each in images}
        | {f"{folder(each)}.txt" for each in images}
    )
    if selection.limit is not None:
        found = found[: selection.limit]
    return {*found, *(TABLES if selection.tables else ())}


@many
@given(trees, selections)
def test_against_the_model(tree: list[Image], selection: Selection) -> None:
    assert chosen_by_us(tree, selection) == model(tree, selection)


@many
@given(trees, selections)
def test_the_slices_hold_everything_that_is_chosen(tree: list[Image], selection: Selection) -> None:
    owners = {each.id: each.subject for each in tree} | {each.study: each.subject for each in tree}
    keys = key_ranges_for([selection], DATASET, owners)
    if keys is not None:
        assert all(is_in_key_ranges(keys, path) for path in chosen_by_us(tree, selection))


@many
@given(selections)
def test_a_selection_is_remembered_as_it_was(selection: Selection) -> None:
    assert Selection.from_json(selection.as_json()) == selection
    assert [far for _words, far in selection.steps()][-1:] in ([], [selection])
