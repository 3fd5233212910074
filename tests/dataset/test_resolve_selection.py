"""Resolving selections with manifest and tables on the disk, compared with a model that applies the
rules file by file."""

import csv
import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.catalog.load import dataset_info
from cxrsync.config.selection import Label, Sample, Selection, Unit
from cxrsync.dataset.metadata_tables import Tables, lookup_subjects
from cxrsync.dataset.resolve_selection import resolve_selection
from cxrsync.dataset.target import Target
from cxrsync.dataset.tree_location import Location
from cxrsync.errors import NotFetchedYet, UsageError
from cxrsync.manifest.csv_reader import InvalidTable
from cxrsync.manifest.file import ManifestFile
from cxrsync.model import Kind, partition_of
from cxrsync.storage.tree import Tree

many = settings(max_examples=examples(200))

JPG, DICOM = "mimic-cxr-jpg", "mimic-cxr"
VERSION = "2.1.0"
SPLIT = "mimic-cxr-2.0.0-split.csv.gz"
METADATA = "mimic-cxr-2.0.0-metadata.csv.gz"
CHEXPERT = "mimic-cxr-2.0.0-chexpert.csv.gz"
WRITTEN = {"1.0": "1", "0.0": "0", "-1.0": "-1", "": "blank"}


class Image(NamedTuple):
    """An image and its values in the tables. The values of a study are those of its first image."""

    subject: str
    study: str
    id: str
    split: str = "train"
    view: str = "PA"
    pneumonia: str = ""

    @property
    def folder(self) -> str:
        return f"files/p{self.subject[:2]}/p{self.subject}/s{self.study}"


@dataclass(frozen=True)
class World:
    """A version of a dataset. Withdrawn images are in the tables, but not in the manifest."""

    dataset: str
    images: tuple[Image, ...]
    withdrawn: frozenset[str] = frozenset()

    @property
    def paths(self) -> list[str]:
        """The paths in the manifest, in its order."""
        suffix = "jpg" if self.dataset == JPG else "dcm"
        there = [image for image in self.images if image.id not in self.withdrawn]
        below = {f"{image.folder}/{image.id}.{suffix}" for image in there}
        if self.dataset == DICOM:
            below |= {f"{image.folder}.txt" for image in self.images} | {"mimic-cxr-reports.zip"}
        tables = {"cxr-study-list.csv.gz"} if self.dataset == DICOM else set(self.tables)
        return sorted({*below, *tables, "LICENSE.txt"})

    @property
    def tables(self) -> dict[str, tuple[str, list[tuple[str, ...]]]]:
        studies = {image.study: image for image in reversed(self.images)}
        return {
            SPLIT: (
                "dicom_id,split,study_id",
                [(image.id, image.split, image.study) for image in self.images],
            ),
            METADATA: (
                "ViewPosition,subject_id,study_id,dicom_id",
                [(image.view, image.subject, image.study, image.id) for image in self.images],
            ),
            CHEXPERT: (
                "subject_id,study_id,Pneumonia",
                [(image.subject, study, image.pneumonia) for study, image in studies.items()],
            ),
        }


@contextmanager
def on_disk(world: World) -> Iterator[tuple[ManifestFile, Tables]]:
    with tempfile.TemporaryDirectory() as folder:
        dest = Path(folder)
        sibling = dest / JPG / VERSION
        digests = {}
        for root in (sibling, dest / world.dataset / VERSION):
            root.mkdir(parents=True, exist_ok=True)
        for name, (columns, rows) in world.tables.items():
            with (sibling / name).open("w", newline="") as file:
                csv.writer(file).writerows([columns.split(","), *rows])
            digests[name] = hashlib.sha256((sibling / name).read_bytes()).hexdigest()
        none = "0" * 64
        for root, paths in (
            (sibling, sorted(digests)),
            (dest / world.dataset / VERSION, world.paths),
        ):
            lines = [f"{digests.get(path, none)} {path}\n" for path in paths]
            (root / "SHA256SUMS.txt").write_text("".join(lines))
        tree = Tree(dest / world.dataset / VERSION)
        with closing(ManifestFile(tree.manifest)) as manifest:
            yield (
                manifest,
                Tables(Target(tree, dataset_info(world.dataset), VERSION), Location(dest)),
            )


def resolved(world: World, *selections: Selection) -> list[str]:
    with on_disk(world) as (manifest, tables):
        selected = resolve_selection(selections, manifest, tables)
        found = [path for path in manifest.paths() if selected.is_wanted(path)]
        assert {partition_of(path) for path in found} <= selected.partitions
        return found


# ── the model ──────────────────────────────────────────────────────────────────────────────────


def expected(world: World, selection: Selection) -> list[str]:
    """Apply the rules of a selection to each file, one condition a rule."""
    known = {image.id: image for image in world.images}
    first = {image.study: image for image in reversed(world.images)}

    def passes(image: Image) -> bool:
        return (
            (not selection.images or image.id in selection.images)
            and (not selection.splits or image.split in selection.splits)
            and (not selection.views or image.view in selection.views)
        )

    below = [path for path in world.paths if path.startswith("files/")]
    by_image = bool(selection.images or selection.splits or selection.views)

    def ids(path: str) -> tuple[str, str, str]:
        """Subject, study and image, as they are typed."""
        parts = path.split("/")
        return parts[2], parts[3].removesuffix(".txt"), parts[4][:-4] if len(parts) > 4 else ""

    passing = {ids(path)[1] for path in below if (i := ids(path)[2]) and passes(known[i])}

    def is_selected(path: str) -> bool:
        subject, study, image = ids(path)
        kind = Kind.IMAGES if image else Kind.REPORTS
        return (
            (not selection.shards or path.split("/")[1] in selection.shards)
            and (not selection.subjects or subject in selection.subjects)
            and (not selection.studies or study in selection.studies)
            and all(
                WRITTEN[first[study[1:]].pneumonia] in label.values for label in selection.labels
            )
            and (passes(known[image]) if image else not by_image or study in passing)
            and (not selection.only or kind in selection.only)
        )

    found = [path for path in below if is_selected(path)]
    if selection.sample is not None:
        found = drawn(found, selection.sample, [ids(path) for path in found])
    root = [path for path in world.paths if not path.startswith("files/")]
    tables = [path for path in root if path.endswith(".csv.gz")]
    found = found[: selection.limit]
    if not found:
        return []
    return sorted(found + (tables if selection.tables and not selection.only else []))


def drawn(paths: list[str], sample: Sample, ids: list[tuple[str, str, str]]) -> list[str]:
    at = [Unit.SUBJECT, Unit.STUDY, Unit.IMAGE].index(sample.by)

    def rank(unit: str) -> str:
        return hashlib.sha256(f"{sample.seed}:{unit}".encode()).hexdigest()

    units = set(sorted({each[at] for each in ids} - {""}, key=rank)[: sample.count])
    studies = {each[1] for each in ids if each[at] in units}
    return [
        path
        for path, each in zip(paths, ids, strict=True)
        if each[at] in units or (at == 2 and not each[2] and each[1] in studies)
    ]


def image_id(number: int) -> str:
    return "-".join([f"{number:08x}"] * 5)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Two shards, four subjects, up to three studies each, up to three images each."""
    images = []
    for subject in ("10000001", "10000002", "11000001", "11000002"):
        for study in range(draw(st.integers(0, 3))):
            number = int(subject) * 4 + study
            for at in range(draw(st.integers(1, 3))):
                images.append(  # noqa: PERF401
                    Image(
                        subject, str(number), image_id(number * 8 + at),
                        draw(st.sampled_from(["train", "test"])),
                        draw(st.sampled_from(["PA", "LL", ""])),
                        draw(st.sampled_from(sorted(WRITTEN))),
                    )
                )  # fmt: skip
    assume(images)
    withdrawn = draw(st.lists(st.sampled_from(images), max_size=2))
    return World(
        draw(st.sampled_from([JPG, DICOM])),
        tuple(images),
        frozenset(image.id for image in withdrawn),
    )


def some(values: Iterable[str]) -> st.SearchStrategy[tuple[str, ...]]:
    """Draw no value in most cases, else a few of them."""
    few = st.lists(st.sampled_from(sorted(set(values))), min_size=1, max_size=3, unique=True)
    return st.one_of(st.just(()), st.just(()), few.map(tuple))


@st.composite
def selections(draw: st.DrawFn, world: World) -> Selection:
    there = [path.split("/") for path in world.paths if path.startswith("files/")]
    ids = [parts[4][:-4] for parts in there if len(parts) > 4]
    kinds = ["images", "reports"] if world.dataset == DICOM else ["images"]
    label = st.builds(Label, st.just("Pneumonia"), some(WRITTEN.values()).filter(bool))
    selection = Selection(
        shards=draw(some(parts[1] for parts in there)),
        subjects=draw(some(parts[2] for parts in there)),
        studies=draw(some(parts[3].removesuffix(".txt") for parts in there)),
        images=draw(some(ids)) if ids else (),
        splits=draw(some(["train", "test"])),
        views=draw(some(["PA", "LL", ""])),
        labels=draw(st.one_of(st.just(()), st.tuples(label))),
        only=tuple(map(Kind, draw(some(kinds)))),
        sample=draw(
            st.one_of(
                st.none(),
                st.builds(Sample, st.integers(1, 4), st.sampled_from(Unit), st.integers(0, 2)),
            )
        ),
        limit=draw(st.one_of(st.none(), st.integers(1, 6))),
        tables=draw(st.booleans()),
    )
    return selection if selection.narrows else replace(selection, limit=1_000)


@many
@given(st.data())
def test_against_the_model(data: st.DataObject) -> None:
    world = data.draw(worlds())
    assume(any(path.startswith("files/") for path in world.paths))
    selection = data.draw(selections(world))
    wanted = expected(world, selection)
    try:
        found = resolved(world, selection)
    except UsageError as refused:
        if "nothing is selected by" not in str(refused):
            raise
        found = []
    assert found == wanted


@settings(many, max_examples=examples(100))
@given(st.data())
def test_several_selections_are_their_union(data: st.DataObject) -> None:
    world = data.draw(worlds())
    assume(any(path.startswith("files/") for path in world.paths))
    both = [data.draw(selections(world)) for _ in range(2)]
    each = [expected(world, selection) for selection in both]
    assume(all(each))
    assert resolved(world, *both) == sorted({*each[0], *each[1]})


# ── by example ─────────────────────────────────────────────────────────────────────────────────

ONE, TWO, THREE = image_id(1), image_id(2), image_id(3)
SMALL = World(
    DICOM,
    (
        Image("10000032", "50414267", ONE, "train", "PA", "1.0"),
        Image("10000032", "50414267", TWO, "train", "LL"),
        Image("11000011", "51029426", THREE, "test", "LL", "0.0"),
    ),
)
FIRST = "files/p10/p10000032/s50414267"


@pytest.mark.parametrize(
    ("selection", "words", "step"),
    [
        (Selection(shards=("p12",)), "the manifest has no shard p12", "It has p11, p10."),
        (Selection(subjects=("p10000032", "p19999999")), "no subject p19999999", "Check the ids"),
        (Selection(studies=("s51029427",)), "no study s51029427", "Check the ids"),
        (Selection(images=(ONE, image_id(4))), f"no image {image_id(4)}", "Check the ids"),
        (
            Selection(subjects=("p10000032",), splits=("test",)),
            "nothing is selected by: subject p10000032, split test, with the tables",
            "subject p10000032 (3 files) has files, but none of them is left after: split test.",
        ),
        (
            Selection(views=("LL",), labels=(Label("Pneumonia", ("-1",)),), tables=False),
            "nothing is selected by: view LL, Pneumonia=-1",
            "view LL (4 files) has files, but none of them is left after: Pneumonia=-1.",
        ),
        (
            Selection(splits=("validate",)),
            "nothing is selected",
            "the version has files, but none of them is left after: split validate.",
        ),
    ],
)
def test_a_selection_of_nothing_is_refused(selection: Selection, words: str, step: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolved(SMALL, selection)
    assert words in str(caught.value)
    assert step in caught.value.next_step


def test_many_unknown_ids_are_counted() -> None:
    ids = tuple(f"p1000{number:04}" for number in range(100, 1_300))
    with pytest.raises(UsageError, match=r"no subject p10000100, .*p10000104 and 1,195 more"):
        resolved(SMALL, Selection(subjects=ids))


def test_a_report_goes_with_the_images_that_are_there() -> None:
    withdrawn = replace(SMALL, withdrawn=frozenset({ONE}))
    pa = Selection(views=("PA",), tables=False)
    assert resolved(SMALL, pa) == [f"{FIRST}.txt", f"{FIRST}/{ONE}.dcm"]
    with pytest.raises(UsageError, match="nothing is selected"):
        resolved(withdrawn, pa)
    assert resolved(withdrawn, Selection(shards=("p10",), tables=False)) == [
        f"{FIRST}.txt",
        f"{FIRST}/{TWO}.dcm",
    ]


def test_a_users_split_table_needs_two_columns(tmp_path: Path) -> None:
    own = tmp_path / "mine.csv"
    own.write_text(f"split,dicom_id\ntest,{TWO}\n")
    selection = Selection(splits=("test",), split_table=str(own), tables=False)
    assert resolved(SMALL, selection) == [f"{FIRST}.txt", f"{FIRST}/{TWO}.dcm"]

    own.unlink()
    with pytest.raises(UsageError, match=r"cannot read .*mine\.csv"):
        resolved(SMALL, selection)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(path.read_bytes() + b"\n"),  # not the published one
        lambda path: (path.parent / "SHA256SUMS.txt").unlink(),
    ],
)
def test_a_table_is_used_only_with_its_published_digest(change: Callable[[Path], object]) -> None:
    with on_disk(SMALL) as (manifest, tables):
        path = tables.find("split")
        assert path is not None
        change(path)
        assert tables.find("split") is None
        with pytest.raises(NotFetchedYet, match="the split table of mimic-cxr-jpg"):
            resolve_selection([Selection(splits=("test",))], manifest, tables)


def test_a_damaged_table_is_not_read_as_a_shorter_one() -> None:
    harmed = Image("11000011", "51029426", THREE, "te\0st")
    with pytest.raises(InvalidTable, match="split"):
        resolved(replace(SMALL, images=(*SMALL.images[:2], harmed)), Selection(splits=("train",)))


def test_a_dataset_without_tables_is_refused() -> None:
    world = replace(SMALL, dataset="novel")
    with pytest.raises(UsageError, match="novel has no table with the split"):
        resolved(world, Selection(splits=("test",)))


def test_subjects_are_looked_up_in_the_lists_of_the_dicom_dataset(tmp_path: Path) -> None:
    root = tmp_path / DICOM / VERSION
    root.mkdir(parents=True)
    row = f"10000032,50414267,{ONE},x"
    text = f"subject_id,study_id,dicom_id,path\n{row}\n".encode()
    digest = hashlib.sha256(text).hexdigest()
    for name in ("cxr-record-list.csv.gz", "cxr-study-list.csv.gz"):
        (root / name).write_bytes(text)
        with (root / "SHA256SUMS.txt").open("a") as manifest:
            manifest.write(f"{digest} {name}\n")
    tables = Tables(Target(Tree(root), dataset_info(DICOM), VERSION), Location(tmp_path))
    asked = [Selection(studies=("s50414267",), images=(ONE,))]
    assert lookup_subjects(tables, asked) == {"s50414267": "p10000032", ONE: "p10000032"}


def test_subjects_are_looked_up_in_the_tables() -> None:
    with on_disk(replace(SMALL, dataset=JPG)) as (_manifest, tables):
        asked = [Selection(studies=("s50414267",)), Selection(images=(THREE, ONE))]
        assert lookup_subjects(tables, asked) == {
            "s50414267": "p10000032",
            ONE: "p10000032",
            THREE: "p11000011",
        }
        with pytest.raises(UsageError, match="no study s50414268"):
            lookup_subjects(tables, [Selection(studies=("s50414267", "s50414268"))])
        with pytest.raises(UsageError, match=f"no image {image_id(9)}"):
            lookup_subjects(tables, [Selection(images=(image_id(9),))])
