"""The Selection: its JSON in the state, its steps, its description in words."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.config.selection import CHEXPERT, Label, Sample, Selection, Unit
from cxrsync.model import Kind

many = settings(max_examples=examples(200))

texts = st.lists(st.text(max_size=8), max_size=3).map(tuple)
labels = st.lists(
    st.builds(Label, st.text(max_size=8), texts), max_size=3, unique_by=lambda label: label.name
).map(tuple)
selections = st.builds(
    Selection,
    shards=texts,
    subjects=texts,
    studies=texts,
    images=texts,
    splits=texts,
    views=texts,
    labels=labels,
    labeler=st.sampled_from([CHEXPERT, "negbio"]),
    only=st.lists(st.sampled_from(Kind), max_size=3).map(tuple),
    include=texts,
    exclude=texts,
    sample=st.none()
    | st.builds(Sample, st.integers(1), st.sampled_from(Unit), st.integers()),
    limit=st.none() | st.integers(1),
    tables=st.booleans(),
    split_table=st.text(max_size=8),
)  # fmt: skip


@many
@given(selections)
def test_it_survives_json(selection: Selection) -> None:
    assert Selection.from_json(json.loads(json.dumps(selection.as_json()))) == selection


@many
@given(selections)
def test_the_last_step_is_the_whole_selection(selection: Selection) -> None:
    steps = list(selection.steps())
    if selection.whole:
        assert steps == []
        return
    assert steps[-1][1] == selection
    # Each step adds one filter, whose words are part of the whole description.
    assert len({far for _words, far in steps}) == len(steps)
    assert all(words in str(selection) for words, _far in steps)


def test_a_selection_stored_by_an_earlier_release() -> None:
    raw = {
        "shards": ["p10"],
        "only": ["images"],
        "include": [],
        "exclude": ["*x*"],
        "tables": False,
    }
    assert Selection.from_json(raw) == Selection(
        ("p10",), only=(Kind.IMAGES,), exclude=("*x*",), tables=False
    )


def test_what_earlier_releases_read() -> None:
    # A field that they do not know is there only if it matters.
    assert "skip_unknown" not in Selection(subjects=("p10000032",)).as_json()
    skipping = Selection(subjects=("p10000032",), skip_unknown=True)
    assert Selection.from_json(skipping.as_json()) == skipping


@pytest.mark.parametrize(
    "change",
    [
        {"patients": ["p10000032"]},  # a filter of a later release must not be ignored
        {"sample": [5, "patient", 0]},
        {"sample": [5]},
        {"limit": "ten"},
        {"labels": ["Edema"]},
        {"subjects": 3},
    ],
)
def test_invalid_json(change: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        Selection.from_json({**Selection().as_json(), **change})


@pytest.mark.parametrize(
    ("selection", "whole", "narrows", "brings"),
    [
        (Selection(), True, False, False),
        (Selection(tables=False, labeler="negbio", split_table="x"), True, False, False),
        (Selection(only=(Kind.TABLES,)), False, False, False),
        (Selection(include=("*",)), False, False, False),
        (Selection(exclude=("*",)), False, False, False),
        (Selection(shards=("p10",)), False, True, True),
        (Selection(subjects=("p10000032",)), False, True, True),
        (Selection(studies=("s50414267",)), False, True, True),
        (Selection(images=("a",)), False, True, True),
        (Selection(splits=("test",)), False, True, True),
        (Selection(views=("",)), False, True, True),
        (Selection(labels=(Label("Edema", ("1",)),)), False, True, True),
        (Selection(sample=Sample(1)), False, True, True),
        (Selection(limit=1), False, True, True),
        (Selection(limit=1, tables=False), False, True, False),
        (Selection(limit=1, only=(Kind.IMAGES,)), False, True, False),
    ],
)
def test_when_the_tables_are_selected(
    selection: Selection, whole: bool, narrows: bool, brings: bool
) -> None:
    assert (selection.whole, selection.narrows, selection.brings_tables) == (whole, narrows, brings)


@pytest.mark.parametrize(
    ("selection", "text"),
    [
        (Selection(subjects=("p10000032",)), "subject p10000032, with the tables"),
        (Selection(shards=("p10",), include=("*.jpg",)), "p10, paths like *.jpg"),
        (
            Selection(subjects=("p1", "p2", "p3"), studies=("s1", "s2"), tables=False),
            "subjects p1 or p2 or p3, studies s1 or s2",
        ),
        (Selection(images=("a",) * 1234, tables=False), "1,234 images"),
        (
            Selection(splits=("train", "test"), views=("PA", ""), tables=False),
            "split train or test, view PA or blank",
        ),
        (
            Selection(labels=(Label("A", ("1", "-1")), Label("B", ("blank",))), tables=False),
            "A=1 or A=-1, B=blank",
        ),
        (
            Selection(labels=(Label("A", ("1",)),), labeler="negbio", only=(Kind.IMAGES,)),
            "A=1 (negbio), only images",
        ),
        (
            Selection(sample=Sample(1000, Unit.STUDY, 7), limit=5000),
            "a sample of 1,000 by study, seed 7, the first 5,000, with the tables",
        ),
    ],
)
def test_in_words(selection: Selection, text: str) -> None:
    assert str(selection) == text
