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


ID = "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014"


@pytest.mark.parametrize(
    ("data", "said", "step"),
    [
        (b"FINDINGS: of SECRET\nIMPRESSION: SECRET\n", "2 of 2 entries are no paths", "One path"),
        (b"files/p10/*\nthe heart of SECRET\n", "1 of 2 entries is no path or glob", "One path"),
        (b"SECRET,1\nSECRET,2\n", "2 of 2 entries are no paths", "One path"),
        (b'["a.jpg", "SECRET is enlarged"]', "1 of 2 entries is no path", "One path"),
        (b"path\n\"SECRET, is enlarged\"\n", "1 of 1 entry is no path", "One path"),
        (f"dicom_id,study_id\n{ID},5\n".encode(), "but study_id and dicom_id", "--study @"),
        (f"dicom_id\n{ID}\n".encode(), "no column path, but dicom_id", "--image @"),
        (f"{ID}\n".encode(), "it holds ids, not paths", "--image @"),
        (b"s50414267\n", "it holds ids, not paths", "--study @"),
        (b"50414267.0\n", "it holds ids, not paths", "--subject @"),
    ],
)  # fmt: skip
def test_a_file_of_something_else_is_refused_and_not_shown(
    tmp_path: Path, data: bytes, said: str, step: str
) -> None:
    """A line may be a report's text. Ids match no path, so the option for them is named."""
    (tmp_path / "list").write_bytes(data)
    with pytest.raises(UsageError) as caught:
        included(f"@{tmp_path}/list")
    assert said in str(caught.value)
    assert step in caught.value.next_step
    assert "SECRET" not in f"{caught.value}{caught.value.next_step}"
    assert ID not in f"{caught.value}{caught.value.next_step}"


def test_globs_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("files/p1[0, 1]/*\n*.csv.gz\nREADME\n[!a]?.txt\n")
    assert len(included(f"@{tmp_path}/list")) == 4


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
