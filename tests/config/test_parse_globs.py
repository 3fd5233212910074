"""Values of --include and --exclude: globs, addresses, and files that list them."""

import gzip
import json
from pathlib import Path

import pytest

from cxrsync.config.parse_selection import make_selection
from cxrsync.errors import UsageError

JPG = "mimic-cxr-jpg"
FOLDER = "files/p10/p10000032"
SITE = f"https://physionet.org/files/{JPG}/2.1.0"


def included(*values: str) -> tuple[str, ...]:
    return make_selection({"include": list(values)}, JPG).include


@pytest.mark.parametrize(
    ("value", "globs"),
    [
        ("*.jpg", ("*.jpg",)),
        ("./README", ("README",)),
        (f"{SITE}/{FOLDER}/a.jpg?download", (f"{FOLDER}/a.jpg", f"{FOLDER}/a.jpg/*")),
        (f"{SITE}/{FOLDER}/", (FOLDER, f"{FOLDER}/*")),
        (f"{SITE}/a[1].csv", ("a[[]1].csv", "a[[]1].csv/*")),
        (f"{SITE}/", ("*",)),
    ],
)
def test_words(value: str, globs: tuple[str, ...]) -> None:
    assert included(value) == globs


@pytest.mark.parametrize(
    "data",
    [
        b"a.jpg\n\nb.jpg\r\n",
        b"# mine\na.jpg\nb.jpg",
        b"0" * 64 + b"  a.jpg\n" + b"f" * 64 + b" *b.jpg\n",
        b"n,path\n1,a.jpg\n2,b.jpg\n",
        "path\tn\na.jpg\t1\nb.jpg\t2\n".encode("utf-16"),
        gzip.compress(json.dumps(["a.jpg", "b.jpg", "a.jpg"]).encode()),
        json.dumps([{"image_path": ["a.jpg", "b.jpg"]}]).encode(),
        b'{"path": "a.jpg", "sha256": "x"}\n{"path": "b.jpg"}\n',
    ],
)
def test_files(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "list").write_bytes(data)
    assert included(f"@{tmp_path}/list", "c") == ("a.jpg", "b.jpg", "c")
    assert make_selection({"exclude": f"@{tmp_path}/list"}, JPG).exclude == ("a.jpg", "b.jpg")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the file contains no path"),
        (b"#\n\n", "the file contains no path"),
        (b"[1", "its JSON is damaged"),
        (b"PK\3\4", "it is a zip archive"),
        (b"path,n\n" + b"x" * 200_000 + b",1\n", "it is not valid CSV"),
        (b"https://physionet.org/files/mimic-cxr/2.1.0/x\n", "an address of mimic-cxr, not of mim"),
        (None, "cannot be read: No such file"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, data: bytes | None, said: str) -> None:
    if data is not None:
        (tmp_path / "list").write_bytes(data)
    with pytest.raises(UsageError) as caught:
        included(f"@{tmp_path}/list")
    assert said in str(caught.value)
    assert f"--include @{tmp_path}/list" in str(caught.value)
