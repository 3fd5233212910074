"""What people write instead of a value: what is taken, and what is advised."""

import pytest

from cxrsync.config.near_values import (
    chosen_splits,
    label_value,
    singular_or_plural,
    value_advice,
)

PUBLISHED = ["train", "validate", "test"]


@pytest.mark.parametrize(
    ("names", "words", "chosen", "unknown"),
    [
        (PUBLISHED, ["validate"], {"validate"}, []),
        (PUBLISHED, ["val", "TEST"], {"validate", "test"}, []),
        (["Train", "Val", "Test"], ["train", "validate"], {"Train", "Val"}, []),
        (["Train", "Val", "Test"], ["Test"], {"Test"}, []),
        (["train", "dev"], ["val"], {"dev"}, []),
        (["train", "dev", "val"], ["val"], {"val"}, []),  # the own name counts before its meaning
        (["dev", "valid"], ["val"], {"dev", "valid"}, []),
        (["fold1", "fold2"], ["fold1"], {"fold1"}, []),
        (["fold1", "fold2"], ["train", "fold2"], {"fold2"}, ["train"]),
        (["test", "TEST", " test"], ["test"], {"test", "TEST", " test"}, []),
        (["0", "1"], ["test"], set(), ["test"]),
        ([], ["test"], set(), ["test"]),
    ],
)
def test_splits(names: list[str], words: list[str], chosen: set[str], unknown: list[str]) -> None:
    assert chosen_splits(names, words) == (frozenset(chosen), unknown)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        *(("1", "1"), ("1.0", "1"), ("Positive", "1"), ("present", "1"), ("0.0", "0"), ("no", "0")),
        *(("-1.0", "-1"), ("uncertain", "-1"), ("NaN", "blank"), ("blank", "blank"), ("2", "2")),
        *(("", ""), (" 1 ", "1")),
    ],
)
def test_label_values(word: str, value: str) -> None:
    assert label_value(word) == value


@pytest.mark.parametrize(
    ("word", "meant"), [("image", "images"), ("DOCS", "docs"), ("doc", "docs"), ("x", "x")]
)
def test_singular_or_plural(word: str, meant: str) -> None:
    assert singular_or_plural(word, ["images", "docs"]) == meant


@pytest.mark.parametrize(
    ("option", "word", "advice"),
    [
        ("view", "FRONTAL", "Write --frontal, which means PA and AP."),
        ("view", "PA", ""),
        ("shard", "all", "Leave --shard out: without it nothing is left out."),
        ("progress", "off", "Did you mean none?"),
        ("progress", "all", ""),
        ("sample_by", "patient", "Did you mean subject?"),
        ("only", "csv", "Did you mean tables?"),
        ("retries", "csv", ""),
    ],
)
def test_advice(option: str, word: str, advice: str) -> None:
    assert value_advice(option, word) == advice
