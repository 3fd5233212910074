"""The synthetic trees: their layout is PhysioNet's, their bytes the same on every machine."""

import csv
import gzip
import hashlib
import io
import itertools
import os
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pydicom
import pytest
from PIL import Image

from cxrsync.demo.data import images, tables
from cxrsync.demo.data import tree as module
from cxrsync.demo.data.tree import (
    DATASETS,
    MARKER,
    VERSIONS,
    Tree,
    TreeSpec,
    make_tree,
    manifest_lines,
)

SPEC = TreeSpec(patients=25, image_bytes=8_000)
FIRST = f"files/p10/p10000032/s50414267/{tables.FIRST_IMAGE}"
IMAGE = re.compile(r"files/p(1\d)/p\1\d{6}/s5\d{7}/[0-9a-f]{8}(-[0-9a-f]{8}){4}\.(jpg|dcm)")
SCRIPT = Path(__file__).parents[3] / "scripts" / "make-tree"

NAMES = {
    "mimic-cxr": """LICENSE.txt SHA256SUMS.txt cxr-provider-list.csv.gz cxr-record-list.csv.gz
        cxr-study-list.csv.gz mimic-cxr-reports.zip""",
    "mimic-cxr-jpg": """IMAGE_FILENAMES LICENSE.txt README SHA256SUMS.txt
        mimic-cxr-2.0.0-chexpert.csv.gz mimic-cxr-2.0.0-metadata.csv.gz
        mimic-cxr-2.0.0-negbio.csv.gz mimic-cxr-2.0.0-split.csv.gz
        mimic-cxr-2.1.0-test-set-labeled.csv""",
}
NEW = "IMAGE_FILENAMES cxr-provider-list.csv.gz mimic-cxr-2.1.0-test-set-labeled.csv"
METADATA = """dicom_id subject_id study_id PerformedProcedureStepDescription ViewPosition
    Rows Columns StudyDate StudyTime ProcedureCodeSequence_CodeMeaning
    ViewCodeSequence_CodeMeaning PatientOrientationCodeSequence_CodeMeaning"""
PROVIDERS = """subject_id study_id
    ordering_provider_id attending_provider_id resident_provider_id"""
PINNED = {"mimic-cxr": "3c699ad6a43936b3", "mimic-cxr-jpg": "e6f9e808cf327df2"}
ABOUT = dict.fromkeys(("subject", "study", "image", "date", "time", "view"), "")


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Tree]:
    files_root = tmp_path_factory.mktemp("files")
    pairs = itertools.product(DATASETS, VERSIONS)
    return {pair: make_tree(files_root, *pair, SPEC) for pair in pairs}


def manifest(tree: Tree) -> dict[str, str]:
    """Path → digest, from the tree's manifest, parsed strictly."""
    lines = (tree.root / "SHA256SUMS.txt").read_bytes().decode("ascii").splitlines()
    matches = [re.fullmatch(r"([0-9a-f]{64}) ([^ ]+)", line) for line in lines]
    return {match[2]: match[1] for match in matches if match}


def image_paths(tree: Tree) -> list[str]:
    return [path for path in manifest(tree) if path.endswith((".jpg", ".dcm"))]


def table(tree: Tree, name: str) -> list[dict[str, str]]:
    content = (tree.root / name).read_bytes()
    if name.endswith(".gz"):
        content = gzip.decompress(content)
    return list(csv.DictReader(io.StringIO(content.decode())))


def snapshot(root: Path) -> dict[str, tuple[bytes, int]]:
    files = [path for path in root.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files
    }


every = pytest.mark.parametrize("pair", list(itertools.product(DATASETS, VERSIONS)), ids="-".join)


@every
def test_the_manifest_agrees_with_the_tree(trees, pair):
    tree = trees[pair]
    on_disk = snapshot(tree.root)
    listed = manifest(tree)
    assert set(on_disk) == {*listed, "SHA256SUMS.txt"}
    assert tree.files == len(listed)
    assert tree.size == sum(len(content) for content, _ in on_disk.values())
    subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS.txt"], cwd=tree.root, check=True
    )


@every
def test_the_manifest_is_in_byte_order_of_the_path(trees, pair):
    content = (trees[pair].root / "SHA256SUMS.txt").read_bytes()
    subprocess.run(["env", "LC_ALL=C", "sort", "-c", "-t ", "-k2"], input=content, check=True)


@every
def test_the_same_spec_makes_the_same_bytes_and_dates(trees, pair, tmp_path):
    make_tree(tmp_path, *pair, TreeSpec(patients=3, seed=2))  # this tree is replaced completely
    again = make_tree(tmp_path, *pair, SPEC)
    assert snapshot(again.root) == snapshot(trees[pair].root)


@pytest.mark.parametrize(("dataset", "digest"), list(PINNED.items()))
def test_the_bytes_are_these_on_every_machine(tmp_path, dataset, digest):
    tree = make_tree(tmp_path, dataset, "2.1.0", TreeSpec(patients=2, zip_bytes=9_000))
    manifest = (tree.root / "SHA256SUMS.txt").read_bytes()
    assert hashlib.sha256(manifest).hexdigest()[:16] == digest


def test_another_seed_makes_other_patients():
    one, two = (tables.cohort(10, seed, "2.0.0") for seed in (1, 2))
    common = {study.subject for study in one} & {study.subject for study in two}
    assert common == {tables.FIRST_SUBJECT}


@every
def test_a_tree_has_the_real_files_at_its_root(trees, pair):
    dataset, version = pair
    names = {name for name in os.listdir(trees[pair].root) if name != "files"}
    expected = set(NAMES[dataset].split())
    if version == "2.0.0":
        expected -= set(NEW.split())
    assert names == expected
    assert "synthetic" in (trees[pair].root / "LICENSE.txt").read_text().lower()


@every
def test_images_have_the_paths_of_the_real_ones(trees, pair):
    paths = image_paths(trees[pair])
    assert all(IMAGE.fullmatch(path) for path in paths)
    assert paths[0].startswith("files/p10/p10000032/s50414267/")
    assert FIRST in {path[:-4] for path in paths}
    subjects = {path.split("/")[2] for path in paths}
    shards = [subject[:3] for subject in sorted(subjects)]
    assert sorted({shards.count(f"p{n}") for n in range(10, 20)}) == [2, 3]
    assert len(subjects) == SPEC.patients


def test_sizes_vary_about_their_mean(trees):
    tree = trees["mimic-cxr", "2.1.0"]
    sizes = [(tree.root / path).stat().st_size for path in image_paths(tree)]
    assert SPEC.image_bytes * 0.5 <= min(sizes) < SPEC.image_bytes * 0.75
    assert SPEC.image_bytes * 1.25 < max(sizes) <= SPEC.image_bytes * 1.5
    assert SPEC.image_bytes * 0.9 < sum(sizes) / len(sizes) < SPEC.image_bytes * 1.1


def test_every_image_is_unique_and_opens(trees):
    jpg, dcm = trees["mimic-cxr-jpg", "2.1.0"], trees["mimic-cxr", "2.1.0"]
    for tree in (jpg, dcm):
        digests = [manifest(tree)[path] for path in image_paths(tree)]
        assert len(set(digests)) == len(digests)
    for path in image_paths(jpg):
        with Image.open(jpg.root / path) as image:
            image.load()
            assert (image.size, image.mode) == ((64, 64), "L")
            assert Path(path).stem.encode() in image.info["comment"]
    views = {row["dicom_id"]: row for row in table(jpg, "mimic-cxr-2.0.0-metadata.csv.gz")}
    uids = set()
    for path in image_paths(dcm):
        dataset = pydicom.dcmread(dcm.root / path)
        row = views[Path(path).stem]
        assert dataset.PatientID == row["subject_id"] == path.split("/")[2][1:]
        assert dataset.StudyID == row["study_id"] == path.split("/")[3][1:]
        assert (dataset.ViewPosition or "") == row["ViewPosition"]
        assert (dataset.StudyDate, dataset.StudyTime) == (row["StudyDate"], row["StudyTime"])
        assert dataset.PixelData == images.picture()
        assert dataset.SOPInstanceUID.is_valid
        assert dataset.SOPInstanceUID == dataset.file_meta.MediaStorageSOPInstanceUID
        uids.add(dataset.SOPInstanceUID)
    assert len(uids) == len(image_paths(dcm))


def test_both_formats_show_the_same_picture():
    with Image.open(io.BytesIO(images.jpeg("x", 0))) as image:
        greys = image.tobytes()
    apart = [abs(a - b) for a, b in zip(greys, images.picture(), strict=True)]
    assert sum(apart) / len(apart) < 5


@pytest.mark.parametrize("size", [*range(2_000, 2_010), 65_536 + 533, *range(131_600, 131_700, 7)])
def test_an_image_has_the_requested_size(size):
    jpeg = images.jpeg("stamp", size)
    assert len(jpeg) == size
    with Image.open(io.BytesIO(jpeg)) as image:
        image.load()
    assert len(images.dicom("stamp", size + 5_000, ABOUT)) == (size + 5_000) // 2 * 2


def test_an_image_is_never_too_small_to_open():
    assert len(images.jpeg("stamp", 0)) < 1_000
    content = images.dicom("stamp", 0, ABOUT)
    assert len(content) < 5_000
    assert pydicom.dcmread(io.BytesIO(content)).Rows == 64


def test_tables_of_the_jpg_tree_agree_with_it(trees):
    tree = trees["mimic-cxr-jpg", "2.1.0"]
    places = {
        (Path(path).stem, path.split("/")[2][1:], path.split("/")[3][1:])
        for path in image_paths(tree)
    }
    metadata = table(tree, "mimic-cxr-2.0.0-metadata.csv.gz")
    split = table(tree, "mimic-cxr-2.0.0-split.csv.gz")
    for rows in (metadata, split):
        assert {(row["dicom_id"], row["subject_id"], row["study_id"]) for row in rows} == places
        assert len(rows) == len(places)
    assert list(metadata[0]) == METADATA.split()
    assert {row["ViewPosition"] for row in metadata} == {"PA", "AP", "LATERAL", "LL", ""}
    assert all(re.fullmatch(r"21\d\d[01]\d[0-3]\d", row["StudyDate"]) for row in metadata)
    assert list(split[0]) == ["dicom_id", "study_id", "subject_id", "split"]
    assert {row["split"] for row in split} == {"train", "validate", "test"}
    assert len({(row["subject_id"], row["split"]) for row in split}) == SPEC.patients

    studies = {place[1:] for place in places}
    for labeler in ("chexpert", "negbio"):
        rows = table(tree, f"mimic-cxr-2.0.0-{labeler}.csv.gz")
        assert list(rows[0]) == ["subject_id", "study_id", *tables.LABELS]
        assert [(row["subject_id"], row["study_id"]) for row in rows] == sorted(studies)
        values = {row[label] for row in rows for label in tables.LABELS}
        assert values == {"1.0", "0.0", "-1.0", ""}
    rows = table(tree, "mimic-cxr-2.1.0-test-set-labeled.csv")
    assert "Airspace Opacity" in rows[0]
    assert "Lung Opacity" not in rows[0]
    tested = {row["study_id"] for row in split if row["split"] == "test"}
    assert {row["study_id"] for row in rows} == tested
    assert (tree.root / "IMAGE_FILENAMES").read_text().splitlines() == image_paths(tree)


def test_tables_of_the_dicom_tree_agree_with_it(trees):
    tree = trees["mimic-cxr", "2.1.0"]
    listed = manifest(tree)
    records = table(tree, "cxr-record-list.csv.gz")
    assert list(records[0]) == ["subject_id", "study_id", "dicom_id", "path"]
    assert sorted(row["path"] for row in records) == image_paths(tree)
    studies = table(tree, "cxr-study-list.csv.gz")
    assert list(studies[0]) == ["subject_id", "study_id", "path"]
    assert sorted(row["path"] for row in studies) == [
        p for p in listed if p.startswith("files/") and p.endswith(".txt")
    ]
    providers = table(tree, "cxr-provider-list.csv.gz")
    assert list(providers[0]) == PROVIDERS.split()
    assert [row["study_id"] for row in providers] == [row["study_id"] for row in studies]


def test_the_archive_holds_the_reports(trees):
    tree = trees["mimic-cxr", "2.1.0"]
    with zipfile.ZipFile(tree.root / "mimic-cxr-reports.zip") as archive:
        names = archive.namelist()
        assert names == [row["path"] for row in table(tree, "cxr-study-list.csv.gz")]
        assert "files/p10/p10000032/s50414267.txt" in names
        for name in names:
            assert archive.read(name) == (tree.root / name).read_bytes()
    digests = [manifest(tree)[name] for name in names]
    assert 1 < len(set(digests)) < len(digests)  # some share their text


@pytest.mark.parametrize("least", [30_000, 1_000_000])
def test_the_archive_has_the_minimum_size(tmp_path, least):
    tree = make_tree(tmp_path, "mimic-cxr", "2.1.0", TreeSpec(patients=3, zip_bytes=least))
    archive = tree.root / "mimic-cxr-reports.zip"
    assert least <= archive.stat().st_size < least * 1.1
    assert zipfile.ZipFile(archive).testzip() is None


@pytest.mark.parametrize("patients", [1, 2, SPEC.patients, 200])
def test_what_changes_from_2_0_0_to_2_1_0(patients):
    old, new = (tables.cohort(patients, 1, version) for version in VERSIONS)
    old_images = {(s.folder, i.id): i for s in old for i in s.images}
    new_images = {(s.folder, i.id): i for s in new for i in s.images}
    (added,) = {study.folder for study in new} - {study.folder for study in old}
    assert {folder for folder, _ in set(new_images) - set(old_images)} == {added}
    ((folder, _),) = set(old_images) - set(new_images)
    assert folder == "files/p10/p10000032/s50414267"
    common = set(old_images) & set(new_images)
    changed = {key for key in common if old_images[key] != new_images[key]}
    assert 1 <= len(changed) <= 1 + len(common) / 50
    assert {study.subject for study in old} == {study.subject for study in new}


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_new_edition_differs_in_its_bytes_only(trees, dataset):
    old, new = (trees[dataset, version] for version in VERSIONS)
    before, after = manifest(old), manifest(new)
    common = set(image_paths(old)) & set(image_paths(new))
    changed = {path for path in common if before[path] != after[path]}
    assert 1 <= len(changed) <= 1 + len(common) / 50
    for path in changed:
        assert (old.root / path).stat().st_size == (new.root / path).stat().st_size


def test_both_datasets_have_the_same_images(trees):
    for version in VERSIONS:
        jpg, dcm = (image_paths(trees[dataset, version]) for dataset in sorted(DATASETS)[::-1])
        assert [path[:-4] for path in jpg] == [path[:-4] for path in dcm]


def test_dates_are_those_of_the_version_that_introduced_the_file(trees):
    for (dataset, version), tree in trees.items():
        days, times = {}, set()
        for path, (content, mtime) in snapshot(tree.root).items():
            times.add(int(mtime // 1e9))
            days[path] = time.strftime("%Y-%m-%d", time.gmtime(mtime // 1e9))
            older = trees[dataset, "2.0.0"].root / path
            # The site hard-links what a new version does not change.
            same = older.exists() and older.read_bytes() == content
            assert days[path] == ("2019-09-19" if same else "2024-07-23"), path
        assert set(days.values()) >= {"2019-09-19" if version == "2.0.0" else "2024-07-23"}
        assert len(times) > tree.files * 0.8


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 200_000])
def test_gzip_can_decompress_the_stored_blocks(size):
    content = images.noise("any", size)
    assert gzip.decompress(module._gzip(content)) == content


@pytest.mark.parametrize("count", [0, 1, 9, 10, 4_321, 60_000])
def test_manifest_lines_are_sorted_unique_and_of_the_requested_number(count):
    lines = list(manifest_lines(count))
    assert len(lines) == count
    assert all(re.fullmatch(rb"[0-9a-f]{64} [^ ]+\n", line) for line in lines)
    paths = [line[65:-1] for line in lines]
    assert all(IMAGE.fullmatch(path.decode()) for path in paths)
    assert paths == sorted(set(paths))
    assert lines == list(manifest_lines(count))
    assert count == 0 or lines != list(manifest_lines(count, seed=2))
    if count >= 10:
        assert len({path[:9] for path in paths}) == 10


def test_manifest_lines_are_made_one_by_one():
    first = next(manifest_lines(9_990_000, suffix=".dcm"))
    assert first[65:].startswith(b"files/p10/p10000032/s5")
    assert first.endswith(b".dcm\n")


@pytest.mark.parametrize("count", [-1, 9_990_001])
def test_manifest_lines_refuse_too_large_a_number(count):
    with pytest.raises(ValueError, match="lines"):
        next(manifest_lines(count))


@pytest.mark.parametrize(
    ("dataset", "version", "spec"),
    [
        ("mimic-iv", "2.1.0", SPEC),
        ("mimic-cxr", "2.2.0", SPEC),
        ("mimic-cxr", "2.1.0", TreeSpec(patients=0)),
        ("mimic-cxr", "2.1.0", TreeSpec(image_bytes=-1)),
    ],
)
def test_an_impossible_tree_is_refused_and_nothing_is_written(tmp_path, dataset, version, spec):
    with pytest.raises(ValueError):
        make_tree(tmp_path, dataset, version, spec)
    assert os.listdir(tmp_path) == []


def test_a_folder_with_other_files_is_not_touched(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="marked"):
        make_tree(tmp_path, "mimic-cxr", "2.1.0", SPEC)
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_a_real_tree_below_the_marker_is_not_touched(tmp_path):
    (tmp_path / MARKER).touch()
    real = tmp_path / "mimic-cxr" / "2.1.0" / "LICENSE.txt"
    real.parent.mkdir(parents=True)
    real.write_text("PhysioNet Credentialed Health Data License")
    with pytest.raises(ValueError, match="not a tree"):
        make_tree(tmp_path, "mimic-cxr", "2.1.0", SPEC)
    assert real.exists()


def test_the_marker_says_that_the_data_is_synthetic(trees):
    marker = trees["mimic-cxr", "2.1.0"].root.parents[1] / MARKER
    assert "synthetic" in marker.read_text()


def test_the_script_makes_a_tree_and_a_manifest(tmp_path):
    def run(*args: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, SCRIPT, *map(str, args)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    made = run("--dataset", "mimic-cxr", "--version", "2.0.0", "--patients", 2, "files")
    assert (made.returncode, made.stderr) == (0, "")
    assert (tmp_path / "files/mimic-cxr/2.0.0" / f"{FIRST}.dcm").exists()
    assert run("--manifest-only", 50, "sums").returncode == 0
    assert (tmp_path / "sums").read_bytes() == b"".join(manifest_lines(50))
    refused = run("--patients", 0, "files")
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
