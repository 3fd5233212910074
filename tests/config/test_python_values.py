"""Values of pandas and NumPy, as notebooks have them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cxrsync.config.option_table import BY_NAME
from cxrsync.config.option_value import check_value
from cxrsync.errors import UsageError

NUMBERS = [10000032, 10000764]
TEXTS = ["10000032", "10000764"]
TABLE = pd.DataFrame({"subject_id": NUMBERS, "split": ["train", "test"]})


@pytest.mark.parametrize(
    "value",
    [
        TABLE["subject_id"],
        TABLE["subject_id"].astype(float),
        TABLE["subject_id"].astype(str),
        TABLE["subject_id"].astype("Int64"),
        TABLE["subject_id"].astype("category"),
        TABLE["subject_id"].unique(),
        pd.Series([10000032, None, 10000764]).dropna(),
        pd.Index(NUMBERS),
        np.array(NUMBERS),
        np.array(NUMBERS, dtype=np.uint32),
        np.array(NUMBERS, dtype=float),
        np.array(TEXTS),
        np.array(NUMBERS, dtype=object),
        [np.int64(NUMBERS[0]), np.float64(NUMBERS[1])],
        tuple(NUMBERS),
        (each for each in NUMBERS),
        dict.fromkeys(NUMBERS).keys(),
    ],
    ids=range(17),
)
def test_ids(value: Any) -> None:
    assert check_value(BY_NAME["subject"], value) == TEXTS


@pytest.mark.parametrize("value", [np.array(10000032), np.int64(10000032), np.float64(10000032)])
def test_one_id(value: Any) -> None:
    assert check_value(BY_NAME["subject"], value) == TEXTS[:1]


def test_other_values() -> None:
    assert check_value(BY_NAME["split"], TABLE["split"]) == ["train", "test"]
    assert check_value(BY_NAME["shard"], np.arange(10, 12)) == ["10", "11"]
    assert check_value(BY_NAME["limit"], TABLE["subject_id"].nunique()) == 2
    assert check_value(BY_NAME["sample"], np.int64(7)) == 7
    assert check_value(BY_NAME["force"], np.True_) is True
    assert check_value(BY_NAME["wait_lock"], np.float32(1.5)) == 1.5
    assert check_value(BY_NAME["wait_lock"], pd.Timedelta("90min")) == 5400
    assert check_value(BY_NAME["dest"], np.str_("/data")) == Path("/data")
    assert check_value(BY_NAME["label"], {"Edema": np.float64(1.0)}) == ["Edema=1"]
    assert check_value(BY_NAME["label"], {"Edema": pd.NA}) == ["Edema=blank"]
    assert check_value(BY_NAME["label"], pd.Series({"Edema": np.nan}).to_dict()) == ["Edema=blank"]
    assert check_value(BY_NAME["label"], {"Edema": np.array([0, 1])}) == ["Edema=0,1"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (TABLE, '(DataFrame) is not an id Name the column: table["subject_id"], for example.'),
        (pd.Series([10000032, None]), "nan is not an id A value is missing: drop the missing ones"),
        (pd.Series([10000032, None], dtype="Int64"), "(NAType) is not an id A value is missing"),
        (pd.Series([], dtype=int), "--subject is empty"),
        (np.array([NUMBERS]), "(ndarray) is not an id"),
        # It cannot hold eight digits: a near number would be taken.
        (np.array(NUMBERS, dtype=np.float32), "(float32) is not an id"),
        (np.array([True]), "is not an id"),
    ],
)
def test_what_is_refused(value: Any, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_value(BY_NAME["subject"], value)
    assert said in f"{caught.value} {caught.value.next_step}"
