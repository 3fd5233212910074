"""`index`: one row an image, joined as pandas joins PhysioNet's tables; and what it refuses."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from e2e.other_users import as_user
from e2e.stage import DICOM, JPG, VERSION, Machine, files_below

import cxrsync
from cxrsync.cli.output_file import whole_file
from cxrsync.cli.signals import raising_at_signals
from cxrsync.config.parse_job import make_job
from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.errors import Stopped, UsageError
from cxrsync.events import Advanced, Event
from cxrsync.manifest.path_ids import parse_image_path
from cxrsync.operations import index as operation
from cxrsync.operations.index import image_index

LABELERS = ("chexpert", "negbio")
TABLE = "mimic-cxr-2.0.0-{}.csv.gz"
METADATA = TABLE.format("metadata")
IDS = ["subject_id", "study_id"]


@pytest.fixture
def filled(files_root: Path, server: MiniPhysioNet, tmp_path: Path) -> Machine:
    """A machine whose tree is a copy of what the server has, which no pull has proven."""
    home = tmp_path / "home"
    home.mkdir()
    dest = tmp_path / "mirror"
    shutil.copytree(files_root / JPG / VERSION, dest / JPG / VERSION)
    return Machine(home, dest, server.base_url, server.ca_file)


def root_of(machine: Machine, slug: str = JPG) -> Path:
    return machine.dest / slug / VERSION


def by_pandas(tables: Path, paths: list[str]) -> pd.DataFrame:
    """The join as a researcher writes it, from nothing but the tables and the paths."""
    read = {
        role: pd.read_csv(tables / TABLE.format(role), dtype=str, keep_default_na=False)
        for role in ("metadata", "split", *LABELERS)
    }
    images = pd.DataFrame({"path": paths})
    ids = r"p(?P<subject_id>\d+)/s(?P<study_id>\d+)/(?P<dicom_id>[^.]+)"
    found = images["path"].str.extract(ids)
    images = images.join(found)
    images["shard"] = "p" + images["subject_id"].str[:2]
    image_ids = [*IDS, "dicom_id"]
    images = images.merge(read["split"], "left", on=image_ids)
    columns = [*image_ids, "ViewPosition", "Rows", "Columns"]
    images = images.merge(read["metadata"][columns], "left", on=image_ids)
    for labeler in LABELERS:
        labels = read[labeler].rename(
            columns={name: f"{labeler}_{name}" for name in read[labeler] if name not in IDS}
        )
        images = images.merge(labels, "left", on=IDS)
    return images.fillna("")


def read_csv(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)


def images_below(root: Path, suffix: str = ".jpg") -> list[str]:
    return [str(path) for path in files_below(root) if path.suffix == suffix]


def test_it_joins_as_pandas_does(filled: Machine, jpg: Path) -> None:
    done = filled.run("index", "--jpg")
    assert (done.code, done.err) == (0, "")
    found = read_csv(done.out)
    expected = by_pandas(jpg, sorted(images_below(jpg)))
    pd.testing.assert_frame_equal(found[list(expected.columns)], expected)
    first = ["path", "dicom_id", *IDS, "shard", "split", "ViewPosition", "Rows", "Columns"]
    labels = [name for name in expected.columns if name.startswith(LABELERS)]
    assert list(found.columns) == [
        *first, *labels, "report_path", "size", "sha256", "verified_at",
    ]  # fmt: skip
    assert set(found["report_path"]) == set(found["verified_at"]) == {""}
    sizes = [str((jpg / path).stat().st_size) for path in found["path"]]
    assert list(found["size"]) == sizes
    sums = dict(line.split()[::-1] for line in (jpg / "SHA256SUMS.txt").read_text().splitlines())
    assert list(found["sha256"]) == [sums[path] for path in found["path"]]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_every_format_says_the_same(filled: Machine, tmp_path: Path, suffix: str) -> None:
    assert filled.pull("--jpg", "--shard", "p10").code == 0  # proofs of some images
    words = ("index", "--jpg", "--shard", "p10", "--shard", "p11")
    table = read_csv(filled.run(*words).out)
    file = tmp_path / f"index{suffix}"
    done = filled.run(*words, "-o", str(file))
    assert done.code == 0
    unproven = sum(each == "p11" for each in table["shard"])
    assert done.err == (
        f"{file}: {len(table)} images of {JPG} {VERSION}\n"
        f"note: {unproven} of {len(table)} images are not verified here, and their verified_at is "
        "empty; --present leaves out those that are not on the disk\n"
    )
    assert file.stat().st_mode & 0o777 == 0o600
    is_json = suffix == ".jsonl"
    read = pd.read_json(file, lines=True, dtype=False) if is_json else pd.read_parquet(file)
    assert list(read.columns) == list(table.columns)
    for column in table.columns:
        for shown, value in zip(table[column], read[column], strict=True):
            is_none = value is None or value != value or value is pd.NaT
            if column == "verified_at" and not is_none:
                value = pd.Timestamp(value).strftime("%Y-%m-%dT%H:%M:%SZ")
            is_text = isinstance(value, str)
            assert shown == "" if is_none else shown == value if is_text else float(shown) == value
    proven = table["verified_at"] != ""
    assert list(proven) == list(table["shard"] == "p10")
    if suffix == ".jsonl":
        line = json.loads(file.read_text().splitlines()[0])
        assert isinstance(line["subject_id"], int)
        labels = {type(line[name]) for name in line if name.startswith("negbio")}
        assert labels <= {float, type(None)}
        assert filled.run(*words, "--json").out == file.read_text()


def test_images_that_are_not_there(filled: Machine) -> None:
    root = root_of(filled)
    images = sorted(images_below(root))
    for path in images[::3]:
        (root / path).unlink()
    every = read_csv(filled.run("index", "--jpg").out)
    assert list(every["path"]) == images
    assert set(every["size"][::3]) == {""}
    done = filled.run("index", "--jpg", "--present")
    assert done.err == ""  # the rows of the others are not nobody's
    present = read_csv(done.out)
    assert list(present["path"]) == [path for path in images if (root / path).exists()]


def test_reports_of_the_other_dataset(filled: Machine, files_root: Path) -> None:
    shutil.copytree(files_root / DICOM / VERSION, root_of(filled, DICOM))
    found = read_csv(filled.run("index", "--jpg").out)
    for path, report in zip(found["path"], found["report_path"], strict=True):
        ids = parse_image_path(path)
        assert ids is not None
        assert (root_of(filled) / report).samefile(
            root_of(filled, DICOM) / f"files/{ids.subject[:3]}/{ids.subject}/{ids.study}.txt"
        )
    # The DICOM images have the tables of the other dataset, and reports of their own.
    dicom = read_csv(filled.run("index", "--dicom").out)
    same = ["dicom_id", "split", "ViewPosition", "chexpert_Edema"]
    pd.testing.assert_frame_equal(dicom[same], found[same])
    assert all((root_of(filled, DICOM) / report).is_file() for report in dicom["report_path"])


def test_selection(filled: Machine) -> None:
    words = ("--split", "test", "--frontal")
    found = read_csv(filled.run("index", "--jpg", *words).out)
    listed = filled.run("ls", "--jpg", *words, "--only", "images").out.split()
    assert list(found["path"]) == listed
    assert set(found["split"]) == {"test"}


def test_without_tables(filled: Machine) -> None:
    for file in root_of(filled).glob("*.csv.gz"):
        file.unlink()
    refused = filled.run("index", "--jpg")
    assert refused.code == 2
    assert "the tables split, metadata, chexpert, negbio" in refused.err
    assert "cxrsync pull --jpg --metadata-only" in refused.err
    done = filled.run("index", "--jpg", "--no-tables")
    assert done.code == 0
    assert done.out.splitlines()[0] == (
        "path,dicom_id,subject_id,study_id,shard,report_path,size,sha256,verified_at"
    )


# ── tables that do not fit ─────────────────────────────────────────────────────────────────────


def with_table(machine: Machine, role: str, change: Callable[[list[str]], list[str]]) -> None:
    """Change the lines of a published table, and the manifest with it."""
    root = root_of(machine)
    file = root / TABLE.format(role)
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    lines = gzip.decompress(file.read_bytes()).decode().splitlines()
    file.write_bytes(gzip.compress(("\n".join(change(lines)) + "\n").encode()))
    manifest = root / "SHA256SUMS.txt"
    after = hashlib.sha256(file.read_bytes()).hexdigest()
    manifest.write_text(manifest.read_text().replace(before, after))


def test_the_order_of_a_table_does_not_matter(filled: Machine) -> None:
    expected = filled.run("index", "--jpg").out
    for role in ("metadata", "negbio"):
        with_table(filled, role, lambda lines: [lines[0], *reversed(lines[1:])])
    assert filled.run("index", "--jpg").out == expected


def test_ids_that_are_in_one_table_and_not_in_another(filled: Machine) -> None:
    with_table(filled, "split", lambda lines: [*lines[:4], *lines[6:]])
    strange = "00000000-00000000-00000000-00000000-00000000"
    with_table(filled, "metadata", lambda lines: [*lines, strange + lines[1][len(strange) :]])
    done = filled.run("index", "--jpg")
    assert done.code == 0
    assert list(read_csv(done.out)["split"]).count("") == 2
    assert f"{TABLE.format('split')} has no row for 2 of the selected images" in done.err
    assert f"1 row of {METADATA} is about no image of {JPG} {VERSION}" in done.err
    assert strange not in done.err


def test_a_table_that_disagrees_with_the_tree(filled: Machine) -> None:
    """Its row is under another study: it is not believed."""

    def other_study(lines: list[str]) -> list[str]:
        cells = lines[1].split(",")
        return [lines[0], ",".join([cells[0], cells[1], "59999999", *cells[3:]]), *lines[2:]]

    with_table(filled, "metadata", other_study)
    done = filled.run("index", "--jpg")
    found = read_csv(done.out)
    assert list(found["Rows"]).count("") == 1
    assert f"{METADATA} has no row for 1 of the selected images" in done.err
    assert f"1 row of {METADATA} is about no image" in done.err


def test_a_table_that_says_two_things(filled: Machine, tmp_path: Path) -> None:
    with_table(filled, "chexpert", lambda lines: [*lines, lines[1]])
    file = tmp_path / "index.csv"
    done = filled.run("index", "--jpg", "-o", str(file))
    assert (done.code, file.exists()) == (2, False)
    assert f"{TABLE.format('chexpert')}: has two rows for a study" in done.err


def test_splits_of_ones_own(filled: Machine, tmp_path: Path) -> None:
    """They keep their names."""
    table = read_csv(filled.run("index", "--jpg").out)
    own = dict(zip(table["dicom_id"][:-2], ["val", "train"] * len(table), strict=False))
    file = tmp_path / "splits.csv"
    lines = [f"{image},{split}" for image, split in own.items()]
    lines += [lines[0], "00000000-00000000-00000000-00000000-00000000,test"]
    file.write_text("\n".join(["image,split", *sorted(lines)]) + "\n")
    words = ("index", "--jpg", "--split-table", str(file), "--split")
    done = filled.run(*words, "validate,train")
    assert (done.code, list(read_csv(done.out)["split"])) == (0, [*own.values()])
    chosen = read_csv(filled.run(*words, "validate").out)
    assert list(chosen["dicom_id"]) == [image for image, split in own.items() if split == "val"]
    assert set(chosen["split"]) == {"val"}
    file.write_text(file.read_text() + f"{table['dicom_id'][0]},test\n")
    refused = filled.run(*words, "train")
    assert (refused.code, refused.out) == (2, "")
    assert "splits.csv: has an image in two splits" in refused.err


# ── the file ───────────────────────────────────────────────────────────────────────────────────


def test_an_index_that_exists(filled: Machine, tmp_path: Path) -> None:
    file = tmp_path / "index.csv"
    file.write_text("mine")
    refused = filled.run("index", "--jpg", "-o", str(file))
    assert (refused.code, file.read_text()) == (2, "mine")
    assert "--force" in refused.err
    link = tmp_path / "link.csv"
    link.symlink_to(file)
    inode = file.stat().st_ino
    assert filled.run("index", "--jpg", "-o", str(link), "--force").code == 0
    assert link.is_symlink()
    assert file.stat().st_ino != inode
    assert file.read_text() == filled.run("index", "--jpg").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-o index.txt", ".csv, .jsonl or .parquet"),
        ("-o {tmp}/no/index.csv", "there is no folder"),
        ("-o {tmp}", "its name does not tell"),
        ("-o /dev/null/x.csv", "there is no folder"),
        ("-o {root}/SHA256SUMS.csv --json", "contradict"),
        ("-o {root}/mimic-cxr-2.1.0-test-set-labeled.csv --force", "it is a file of"),
        ("-o {root}/.cxrsync/index.csv", "folder"),
        ("--as huggingface", "needs a folder"),
        ("--as huggingface -o {tmp}/no", "does not exist"),
        ("--as torch -o {tmp}", "torchxrayvision"),
        ("--format csv", "--output"),
        ("--split tset", "Did you mean test?"),
    ],
)
def test_usage(filled: Machine, tmp_path: Path, words: str, said: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in filled.dest.rglob("*")}
    asked = words.format(tmp=tmp_path, root=root_of(filled)).split()
    ended = filled.run("index", "--jpg", *asked)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert {path: path.stat().st_mtime_ns for path in filled.dest.rglob("*")} == before


def test_a_full_disk(filled: Machine, small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("size=8k")
    done = filled.run("index", "--jpg", "-o", str(disk / "index.csv"))
    assert (done.code, list(disk.iterdir())) == (7, [])
    assert "cannot write" in done.err


def test_stopped_by_a_signal(tmp_path: Path) -> None:
    """Nothing unfinished is left."""

    def write() -> None:
        with raising_at_signals(), whole_file(tmp_path / "index.csv", force=False) as output:
            output.write(b"path\n")
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped) as caught:
        write()
    assert (caught.value.exit_code, list(tmp_path.iterdir())) == (143, [])


def test_a_file_that_appears_meanwhile(tmp_path: Path) -> None:
    file = tmp_path / "index.csv"

    def write() -> None:
        with whole_file(file, force=False) as output:
            output.write(b"ours")
            file.write_text("theirs")

    with pytest.raises(UsageError, match="exists by now"):
        write()
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [
        ("index.csv", "theirs")
    ]


def test_a_reader_that_goes(filled: Machine) -> None:
    assert filled.run_unread("index", "--jpg") == (0, "")


# ── readers ────────────────────────────────────────────────────────────────────────────────────


def test_a_tree_that_the_user_may_only_read(filled: Machine) -> None:
    expected = filled.run("index", "--jpg").out
    for path in (filled.dest.parent, *filled.dest.parent.parents):
        if path.stat().st_uid == 0 and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o055)
    for path in (filled.dest, *filled.dest.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    with as_user(65534, 65534):
        done = filled.run("index", "--jpg")
    assert (done.code, done.out) == (0, expected)


# ── loaders ────────────────────────────────────────────────────────────────────────────────────


def test_torchxrayvision(filled: Machine, jpg: Path, tmp_path: Path) -> None:
    """What its MIMIC_Dataset does with the two tables (datasets.py of torchxrayvision 1.x)."""
    root = root_of(filled)
    for path in sorted(images_below(root))[::4]:
        (root / path).unlink()
    done = filled.run("index", "--jpg", "--as", "torchxrayvision", "-o", str(tmp_path))
    assert done.code == 0, done.err
    names = [f"mimic-cxr-2.0.0-{role}.csv" for role in ("chexpert", "metadata")]
    labels, metadata = (pd.read_csv(tmp_path / name).set_index(IDS) for name in names)
    joined = labels.join(metadata).reset_index()
    there = set(images_below(root))
    paths = [
        f"files/p{str(row.subject_id)[:2]}/p{row.subject_id}/s{row.study_id}/{row.dicom_id}.jpg"
        for row in joined.itertuples()
    ]
    assert sorted(paths) == sorted(there)
    published = pd.read_csv(jpg / TABLE.format("chexpert")).set_index(IDS)
    for number in range(len(joined)):
        row = joined.iloc[number]
        expected = published.loc[(row["subject_id"], row["study_id"])]
        pd.testing.assert_series_equal(
            row[list(expected.index)].astype(float), expected, check_names=False
        )
    assert set(pd.read_csv(jpg / METADATA).columns) <= set(joined.columns)


@pytest.mark.parametrize("where", ["root", "above", "linked"])
def test_huggingface(filled: Machine, tmp_path: Path, where: str) -> None:
    """Each ``file_name`` leads from the folder of metadata.jsonl to an image below it. (`datasets`
    5.2 opens such folders; it refuses ``..``.)"""
    root = root_of(filled)
    images = sorted(images_below(root))
    (root / images[0]).unlink()
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "files").symlink_to(root / "files")
    folder = {"root": root, "above": filled.dest, "linked": linked}[where]
    words = ("index", "--jpg", "--as", "huggingface", "-o")
    assert filled.run(*words, str(folder)).code == 0
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    assert not any(".." in row["file_name"] for row in rows)
    assert [(folder / row["file_name"]).resolve() for row in rows] == [
        (root / path).resolve() for path in images[1:]
    ]
    assert {row["split"] for row in rows} == {"train", "validate", "test"}
    if where == "root":  # it is no file of the dataset, and no fault
        verified = filled.run("verify", "--jpg", "--all", "--json")
        assert verified.summary["files"] | {"missing": 1, "extra": 1} == verified.summary["files"]
    refused = filled.run(*words, str(tmp_path / "home"))
    assert refused.code == 2
    assert f"ln -s {root}/files" in refused.err


# ── Python ─────────────────────────────────────────────────────────────────────────────────────


def test_files_in_python(filled: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    root = root_of(filled)
    (root / min(images_below(root))).unlink()
    monkeypatch.setenv("CXRSYNC_DEST", str(filled.dest))
    images = cxrsync.files("mimic-cxr-jpg", split=["test", "train"], present=True)
    assert repr(images) == f"<ImageFiles of {JPG} {VERSION}>"
    table = read_csv(
        filled.run("index", "--jpg", "--split", "test", "--split", "train", "--present").out
    )
    found = list(images)
    assert [image["path"] for image in found] == list(table["path"])
    assert [str(image["chexpert_Edema"] or "") for image in found] == [
        text if text != "0.0" else "" for text in table["chexpert_Edema"]
    ]
    assert all(image.file == root / str(image["path"]) for image in found)
    assert all(image.file.is_file() for image in found)
    assert repr(found[0]) == f"<ImageFile with {len(table.columns)} columns>"
    frame = images.to_pandas()
    assert list(frame.columns) == list(table.columns)
    assert list(frame["subject_id"]) == [int(text) for text in table["subject_id"]]
    assert frame["negbio_Edema"].dtype == "float64"
    for first in images:  # a loop that is left leaves nothing open
        assert first["path"] == table["path"][0]
        break
    with pytest.raises(cxrsync.UsageError, match="files\\(\\) has no keyword splits"):
        cxrsync.files(jpg=True, splits="test")  # type: ignore[call-arg]


def sections_of(machine: Machine) -> str:
    """What the published sectioner writes (create_section_files.py), of reports that have both
    sections; one without findings."""
    rows = ["study,impression,findings,last_paragraph,comparison"]
    for number, file in enumerate(sorted(root_of(machine, DICOM).glob("files/*/*/s*.txt"))):
        text = " ".join(file.read_text().split())
        findings, _, impression = text.partition("FINDINGS:")[2].partition("IMPRESSION:")
        assert findings
        assert impression
        cells = (impression.strip(), findings.strip() if number else "")
        rows.append(",".join([file.stem, *(f'"{cell}"' for cell in cells), "", ""]))
    return "\n".join(rows) + "\n"


def test_report_generation_by_the_docs(
    filled: Machine, files_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CSV, and annotation.json as R2Gen's loaders read it (modules/datasets.py)."""
    shutil.copytree(files_root / DICOM / VERSION, root_of(filled, DICOM))
    monkeypatch.chdir(tmp_path)
    Path("mimic_cxr_sectioned.csv").write_text(sections_of(filled))
    assert filled.run("index", "--jpg", "--present", "-o", "index.csv").code == 0
    page = (Path(cxrsync.__file__).parent.parent / "docs/use.md").read_text("utf-8")
    texts = re.findall(r"```python\n(.*?)```", page.partition("## Report generation")[2], re.DOTALL)
    shared: dict[str, Any] = {}
    for text in texts[:2]:
        exec(text, shared)
    index = pd.read_csv("index.csv")
    reports = pd.read_csv("reports.csv")
    assert list(reports["dicom_id"]) == list(index["dicom_id"])
    assert "IMPRESSION" not in "".join(reports["impression"])
    annotation = json.loads(Path("annotation.json").read_text())
    splits = {"train": "train", "validate": "val", "test": "test"}
    with_findings = reports.dropna(subset="findings").set_index("dicom_id")
    assert sum(map(len, annotation.values())) == len(with_findings) < len(index)
    for split, examples in annotation.items():
        for each in examples:
            row = with_findings.loc[each["id"]]
            assert splits[row["split"]] == split == each["split"]
            assert each["report"] == row["findings"]
            assert each["study_id"] == row["study_id"]
            [image] = each["image_path"]
            assert (root_of(filled) / "files" / image).stem == each["id"]
            assert (root_of(filled) / "files" / image).is_file()


def test_its_progress(filled: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """From nothing to all, also where a shard lies in the midst of the manifest."""
    monkeypatch.setattr(operation, "_EACH", 1)
    shares: list[float] = []

    def look(event: Event) -> None:
        if isinstance(event, Advanced):
            shares.append(event.share)

    job = make_job({"jpg": True, "shard": ["p14"], "dest": filled.dest})
    with image_index(job, look) as index:
        rows = len(list(index.rows))
    assert len(shares) == rows
    assert shares == sorted(shares)
    assert (shares[0] < 0.3, 0.7 < shares[-1] <= 1) == (True, True)


def test_a_dataset_of_torch_by_the_docs(filled: Machine, tmp_path: Path) -> None:
    """The class of docs/use.md, with a stand-in for torch."""
    page = (Path(cxrsync.__file__).parent.parent / "docs/use.md").read_text("utf-8")
    [text] = [
        each for each in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "ChestXrays" in each
    ]
    assert len(text.strip().splitlines()) <= 30
    torch = ModuleType("torch")
    torch.from_numpy = lambda array: array  # type: ignore[attr-defined]
    torch.utils = SimpleNamespace(data=SimpleNamespace(Dataset=object))  # type: ignore[attr-defined]
    shared: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torch", torch)
        exec(text, shared)
    file = tmp_path / "index.csv"
    assert filled.run("index", "--jpg", "-o", str(file)).code == 0
    table = pd.read_csv(file)
    labels = ["chexpert_Edema", "chexpert_Pneumonia"]
    data = shared["ChestXrays"](root_of(filled), file, labels)
    assert len(data) == len(table)
    pixels, found = data[3]
    assert pixels.shape == (1, table["Rows"][3], table["Columns"][3])
    assert (pixels.min() >= 0, pixels.max() <= 1) == (True, True)
    assert list(found) == pytest.approx(list(table[labels].iloc[3]), nan_ok=True)
