"""A user's own table of splits, in the forms that people have."""

import gzip
import io
import json

import pytest

from cxrsync.manifest.csv_reader import InvalidTable
from cxrsync.manifest.split_table import read_split_table

A = "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014"
B = "174413ec-4ec4c1f7-34ea26b7-c5f994f8-79ef1962"
EXPECTED = [(A, "train"), (B, "val")]
WORD = "consolidation"


def rows(data: bytes) -> list[tuple[str, str]]:
    return list(read_split_table(io.BytesIO(data), "mine"))


@pytest.mark.parametrize(
    "data",
    [
        f"dicom_id,study_id,split\n{A},1,train\n{B},2,val\n".encode(),
        f"split\tdicom_id\ntrain\t{A}\nval\t{B}\n".encode("utf-16"),
        f"Image ID;Set\n{A}.jpg;train\n{B.replace('-', '').upper()};val\n".encode(),
        f"n,path,fold\n1,files/p10/x/{A}.jpg,train\n2,files/p10/x/{B}.dcm,val\n".encode(),
        json.dumps({"train": [A], "val": [f"x/{B}.png"], "test": []}).encode(),
        gzip.compress(
            json.dumps(
                {
                    "train": [{"id": A, "report": WORD, "split": "x"}],
                    "val": [{"id": B, "report": WORD, "image_path": ["y.jpg"]}],
                }
            ).encode()
        ),
        json.dumps(
            [{"dicom_id": A, "split": "train"}, {"dicom_id": B, "split": "val"}], indent=1
        ).encode(),
        f'{{"id": "{A}", "split": "train"}}\n{{"id": "{B}", "split": "val"}}\n'.encode(),
    ],
)
def test_what_is_read(data: bytes) -> None:
    assert rows(data) == EXPECTED


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (f"dicom_id,{WORD}\n{A},x\n".encode(), "has no column split"),
        (b"study_id,split\n50414267,train\n", "has no column dicom_id; it has study_id"),
        (f"{A},train\n".encode(), "its first line holds values, not column names"),
        (b'{"train": [', "its JSON is damaged, or has no images by split"),
        (f'["{A}"]'.encode(), "its JSON is damaged, or has no images by split"),
        (b"\x1f\x8bx", "cut off"),
    ],
)
def test_what_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(InvalidTable) as caught:
        rows(data)
    assert said in str(caught.value)
    assert A not in str(caught.value)
