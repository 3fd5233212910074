"""Synthetic MIMIC-CXR and MIMIC-CXR-JPG trees: real names and layout, invented contents.

Names, columns, and the format and order of the manifest are those of the real datasets. The same
spec makes the same bytes on any machine. Therefore nothing is compressed: the output of zlib
depends on its version.
"""

import datetime as dt
import hashlib
import io
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cxrsync.demo.data import images, tables

DATASETS = ("mimic-cxr", "mimic-cxr-jpg")
VERSIONS = ("2.0.0", "2.1.0")
MARKER = ".cxrsync-demo"
"""The file in `files_root` that marks its whole content as synthetic."""

_RELEASED = {
    "2.0.0": dt.datetime(2019, 9, 19, 12, tzinfo=dt.UTC),
    "2.1.0": dt.datetime(2024, 7, 23, 12, tzinfo=dt.UTC),
}
_LICENSE = b"""Synthetic data, made by cxrsync to demonstrate and test itself.

No patient, image, report or label in this tree is real, and nothing in it comes from PhysioNet.
Do with it what you like.
"""
_README = b"A synthetic stand-in for MIMIC-CXR-JPG, made by cxrsync: real names, no real data.\n"
_MARKER_TEXT = (
    "Everything in this folder is synthetic, made by `cxrsync demo`. Delete it at will.\n"
)


class NotSynthetic(ValueError):
    """A folder has files that this module did not make."""


@dataclass(frozen=True, slots=True)
class TreeSpec:
    """The size of a tree. Subjects are spread evenly over p10 to p19.

    Images are 0.5 to 1.5 times `image_bytes` long, but at least as long as the picture needs
    (about 1 KB as JPEG, 5 KB as DICOM). `zip_bytes` is the minimum size of mimic-cxr-reports.zip
    (0: no padding).
    """

    patients: int = 40
    image_bytes: int = 20_000
    seed: int = 1
    zip_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree on disk: `root` is <files_root>/<dataset>/<version>.

    `files` is the number of the manifest's entries; `size` is in bytes and includes the manifest.
    """

    root: Path
    dataset: str
    version: str
    files: int
    size: int


_DEFAULT = TreeSpec()


def make_tree(files_root: Path, dataset: str, version: str, spec: TreeSpec = _DEFAULT) -> Tree:
    """Write one version of one dataset; a tree of an earlier call is replaced.

    Raises ValueError for a dataset or version that is not among DATASETS and VERSIONS, for less
    than one patient, and NotSynthetic for a folder with files that are not known to be synthetic.
    """
    if dataset not in DATASETS or version not in VERSIONS:
        raise ValueError(f"no such dataset or version to make: {dataset} {version}")
    if spec.patients < 1 or spec.image_bytes < 0:
        raise ValueError(f"a tree needs at least one patient, and images of some size: {spec}")
    root = files_root / dataset / version
    _claim(files_root, root)

    # The site hard-links files that a new version does not change, so that their mtime stays.
    since = {
        (path, hashlib.sha256(content).hexdigest()): older
        for older in reversed(VERSIONS[: VERSIONS.index(version)])
        for path, content in _contents(dataset, older, spec)
    }
    sums: dict[str, str] = {}
    size = 0
    for path, content in _contents(dataset, version, spec):
        sums[path] = hashlib.sha256(content).hexdigest()
        _write(root, since.get((path, sums[path]), version), path, content)
        size += len(content)
    # Paths are ASCII, so Python's order is that of LC_ALL=C sort.
    manifest = "".join(f"{sums[path]} {path}\n" for path in sorted(sums)).encode()
    _write(root, version, "SHA256SUMS.txt", manifest)
    return Tree(root, dataset, version, len(sums), size + len(manifest))


def manifest_lines(count: int, seed: int = 1, suffix: str = ".jpg") -> Iterator[bytes]:
    """Yield a sorted manifest of `count` lines, whose images need not exist.

    Raises ValueError for more lines than there are subject numbers (9,990,000).
    """
    numbers = 999_000  # subject numbers in a shard, above the first
    if not 0 <= count <= 10 * numbers:
        raise ValueError(f"a manifest has 0 to {10 * numbers} lines, not {count}")
    rng = tables.rng_for("manifest", seed)
    for shard in range(10):
        left = count * (shard + 1) // 10 - count * shard // 10
        stride = numbers // max(left, 1)  # enough numbers even if each subject has only one image
        subject = (10 + shard) * 1_000_000 + tables.FIRST_SUBJECT % 1_000_000
        while left > 0:
            for study in sorted(rng.sample(range(50_000_000, 60_000_000), rng.randint(1, 4))):
                ids = sorted(f"{rng.getrandbits(160):040x}" for _ in range(rng.randint(1, 3)))
                for i in ids[:left]:
                    name = f"{i[:8]}-{i[8:16]}-{i[16:24]}-{i[24:32]}-{i[32:]}{suffix}"
                    path = f"files/p{10 + shard}/p{subject}/s{study}/{name}"
                    yield f"{rng.getrandbits(256):064x} {path}\n".encode()
                left = max(left - len(ids), 0)
            subject += rng.randint(1, stride)


def _claim(files_root: Path, root: Path) -> None:
    """Mark `files_root` and empty `root`. Raises NotSynthetic if either has other files."""
    marker = files_root / MARKER
    if files_root.exists() and os.listdir(files_root) and not marker.exists():
        raise NotSynthetic(f"{files_root} is neither empty nor marked as synthetic ({MARKER})")
    if root.exists() and os.listdir(root):
        # The marker alone does not allow deletion: a real tree may have been moved or linked here.
        license_file = root / "LICENSE.txt"
        if not license_file.exists() or license_file.read_bytes() != _LICENSE:
            raise NotSynthetic(f"{root} is not a tree that cxrsync made")
        shutil.rmtree(root)
    files_root.mkdir(parents=True, exist_ok=True)
    marker.write_text(_MARKER_TEXT)
    root.mkdir(parents=True, exist_ok=True)


def _write(root: Path, version: str, path: str, content: bytes) -> None:
    """Write one file. Its mtime is the version's date plus some seconds that its path decides."""
    file = f"{root}/{path}"
    os.makedirs(os.path.dirname(file), exist_ok=True)
    with open(file, "wb") as out:
        out.write(content)
    mtime = int(_RELEASED[version].timestamp()) + zlib.crc32(path.encode()) % 3600
    os.utime(file, (mtime, mtime))


def _contents(dataset: str, version: str, spec: TreeSpec) -> Iterator[tuple[str, bytes]]:
    """Path and bytes of every file except the manifest.

    The licence comes first: by it a later call knows the tree as synthetic.
    """
    studies = tables.cohort(spec.patients, spec.seed, version)
    yield "LICENSE.txt", _LICENSE
    if dataset == "mimic-cxr":
        yield from _mimic_cxr(studies, version, spec)
    else:
        yield from _mimic_cxr_jpg(studies, version, spec)


def _mimic_cxr(
    studies: list[tables.Study], version: str, spec: TreeSpec
) -> Iterator[tuple[str, bytes]]:
    yield "cxr-record-list.csv.gz", _gzip(tables.record_list(studies))
    yield "cxr-study-list.csv.gz", _gzip(tables.study_list(studies))
    if version != "2.0.0":
        yield "cxr-provider-list.csv.gz", _gzip(tables.provider_list(studies))
    reports = {f"{study.folder}.txt": tables.report(study).encode() for study in studies}
    yield from reports.items()
    yield "mimic-cxr-reports.zip", _zip(reports, version, spec)
    for study in studies:
        for image in study.images:
            about = {
                "subject": str(study.subject),
                "study": str(study.id),
                "image": image.id,
                "date": study.date,
                "time": study.time,
                "view": image.view,
            }
            content = images.dicom(_stamp(image), _size(image, spec), about)
            yield f"{study.folder}/{image.id}.dcm", content


def _mimic_cxr_jpg(
    studies: list[tables.Study], version: str, spec: TreeSpec
) -> Iterator[tuple[str, bytes]]:
    yield "README", _README
    # These names have 2.0.0 in version 2.1.0, too.
    yield "mimic-cxr-2.0.0-metadata.csv.gz", _gzip(tables.metadata(studies, images.SIDE))
    yield "mimic-cxr-2.0.0-split.csv.gz", _gzip(tables.split(studies))
    for labeler in ("chexpert", "negbio"):
        yield f"mimic-cxr-2.0.0-{labeler}.csv.gz", _gzip(tables.labels(studies, labeler))
    names = []
    for study in studies:
        for image in study.images:
            names.append(f"{study.folder}/{image.id}.jpg")
            yield names[-1], images.jpeg(_stamp(image), _size(image, spec))
    if version != "2.0.0":
        yield "mimic-cxr-2.1.0-test-set-labeled.csv", tables.test_set_labeled(studies)
        yield "IMAGE_FILENAMES", "".join(f"{name}\n" for name in sorted(names)).encode()


def _stamp(image: tables.Image) -> str:
    return f"Synthetic image {image.id}, edition {image.edition}, made by cxrsync"


def _size(image: tables.Image, spec: TreeSpec) -> int:
    """Derived from the id alone, so that a new edition has the old size: the hard case."""
    draw = int.from_bytes(images.noise(image.id, 8), "big")
    return spec.image_bytes // 2 + draw % (spec.image_bytes + 1)


def _zip(reports: dict[str, bytes], version: str, spec: TreeSpec) -> bytes:
    """The reports in one archive, with noise if it must be larger."""
    out = io.BytesIO()

    def add(name: str, content: bytes) -> None:
        info = zipfile.ZipInfo(name, _RELEASED[version].timetuple()[:6])
        info.create_system = 3  # Unix, wherever this runs
        info.external_attr = 0o644 << 16
        archive.writestr(info, content, zipfile.ZIP_STORED)

    with zipfile.ZipFile(out, "w") as archive:
        for path, content in sorted(reports.items()):
            add(path, content)
        if out.tell() < spec.zip_bytes:
            add("padding.bin", images.noise("padding", spec.zip_bytes - out.tell()))
    return out.getvalue()


def _gzip(content: bytes) -> bytes:
    """A gzip file without a date (RFC 1952), of stored blocks (RFC 1951, 3.2.4)."""
    starts = range(0, max(len(content), 1), 65_535)
    blocks = [content[start : start + 65_535] for start in starts]
    body = b"".join(
        struct.pack("<BHH", block is blocks[-1], len(block), len(block) ^ 0xFFFF) + block
        for block in blocks
    )
    end = struct.pack("<II", zlib.crc32(content), len(content) & 0xFFFF_FFFF)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + body + end
