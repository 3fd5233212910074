"""Files of known mismatches, in the encodings that people's programs write."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from cxrsync.config.parse_acknowledged_mismatches import read_acknowledged
from cxrsync.errors import UsageError

DIGEST = "0f" * 32
TEXT = f"# known\r\n\r\nfiles/é b.jpg {DIGEST}\r\n{DIGEST}  x.csv\r\n{DIGEST} *y.csv"
PAIRS = {("files/é b.jpg", DIGEST), ("x.csv", DIGEST), ("y.csv", DIGEST)}


@pytest.mark.parametrize(
    "stored",
    [
        lambda text: text.encode(),
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("utf-16"),
        lambda text: gzip.compress(text.encode()),
    ],
    ids=["UTF-8", "BOM", "UTF-16", "gzip"],
)
def test_what_is_read(tmp_path: Path, stored: Callable[[str], bytes]) -> None:
    (tmp_path / "known").write_bytes(stored(TEXT))
    assert read_acknowledged(tmp_path / "known") == PAIRS


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xff\n", "the file is not UTF-8 text"),
        (gzip.compress(TEXT.encode())[:-2], "cut off: its gzip stream does not end"),
        (f"x.csv {DIGEST}\nthe lungs are clear\n".encode(), "not a path and a SHA-256: line 2"),
        (b"x\n" * 9, "line 1, 2, 3, 4, 5 and 4 more"),
    ],
)
def test_what_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "known").write_bytes(data)
    with pytest.raises(UsageError) as caught:
        read_acknowledged(tmp_path / "known")
    assert said in str(caught.value)
    assert "lungs" not in str(caught.value)
