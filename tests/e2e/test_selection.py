"""A selection brings exactly what the published tables say, and asks for nothing else."""

import csv
import gzip
import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from e2e.linked_copy import rewrite
from e2e.stage import DICOM, JPG, PATIENCE, VERSION, Machine, files_below, fingerprint

from cxrsync.demo.server.faults import Rule, says, script
from cxrsync.demo.server.server import MiniPhysioNet

Serve = Callable[..., MiniPhysioNet]
MakeMachine = Callable[[MiniPhysioNet], Machine]

MANIFEST = "SHA256SUMS.txt"
SPLIT = "mimic-cxr-2.0.0-split.csv.gz"
METADATA = "mimic-cxr-2.0.0-metadata.csv.gz"
CHEXPERT = "mimic-cxr-2.0.0-chexpert.csv.gz"
ARCHIVE = "mimic-cxr-reports.zip"
FLAGS = {JPG: "--jpg", DICOM: "--dicom"}
SUBJECT, STUDY = "p10000032", "s50414267"
IMAGE = "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014"
WRITTEN = {"1.0": "1", "0.0": "0", "-1.0": "-1", "": "blank"}


def table(path: Path) -> list[dict[str, str]]:
    data = path.read_bytes()
    text = gzip.decompress(data) if path.suffix == ".gz" else data
    return list(csv.DictReader(io.StringIO(text.decode(), newline="")))


@dataclass(frozen=True)
class File:
    """A file of the manifest. ``image`` is empty for a report; all ids are for what is no image."""

    path: str
    shard: str = ""
    subject: str = ""
    study: str = ""
    image: str = ""


def file_at(path: str) -> File:
    parts = path.split("/")
    if parts[0] != "files":
        return File(path)
    if len(parts) == 4:
        return File(path, parts[1], parts[2], parts[3][: -len(".txt")])
    return File(path, parts[1], parts[2], parts[3], parts[4].rpartition(".")[0])


class Published:
    """What a person with a spreadsheet finds in what is published: none of our modules asked."""

    def __init__(self, files_root: Path, dataset: str) -> None:
        lines = (files_root / dataset / VERSION / MANIFEST).read_text().splitlines()
        self.files = [file_at(line.split(" ", 1)[1]) for line in lines]
        self.below = [file for file in self.files if file.subject]
        names = [file.path for file in self.files if not file.subject]
        self.tables = {name for name in names if name.endswith((".csv", ".csv.gz"))}
        self.docs = set(names) - self.tables - {ARCHIVE}
        jpg = files_root / JPG / VERSION
        self.split = {row["dicom_id"]: row["split"] for row in table(jpg / SPLIT)}
        self.view = {row["dicom_id"]: row["ViewPosition"] for row in table(jpg / METADATA)}
        self.labels = {
            labeler: {
                f"s{row['study_id']}": row
                for row in table(jpg / f"mimic-cxr-2.0.0-{labeler}.csv.gz")
            }
            for labeler in ("chexpert", "negbio")
        }

    def choose(
        self,
        *,
        only: str = "",
        like: str = "*",
        image: Iterable[str] = (),
        split: Iterable[str] = (),
        split_of: Mapping[str, str] | None = None,
        view: Iterable[str] = (),
        label: Mapping[str, Iterable[str]] | None = None,
        labeler: str = "chexpert",
        sample: tuple[int, str, int] | None = None,
        limit: int | None = None,
        **ids: Iterable[str],
    ) -> set[str]:
        """The files below files/ that are meant. ``ids``: shard, subject, study."""

        split_of = self.split if split_of is None else split_of

        def is_image_meant(file: File) -> bool:
            return (
                (not image or file.image in image)
                and (not split or split_of[file.image] in split)
                and (not view or self.view[file.image] in view)
            )

        def is_meant(file: File) -> bool:
            row = self.labels[labeler].get(file.study, {})
            return (
                all(getattr(file, name) in wanted for name, wanted in ids.items())
                and all(WRITTEN[row[name]] in wanted for name, wanted in (label or {}).items())
                and file.path.endswith(only)
                and fnmatchcase(file.path, like)
            )

        studies = {file.study for file in self.below if file.image and is_image_meant(file)}
        narrow = bool(image or split or view)
        found = [
            file
            for file in self.below
            if is_meant(file)
            and (is_image_meant(file) if file.image else not narrow or file.study in studies)
        ]
        if sample is not None:
            found = drawn(found, *sample)
        return {file.path for file in found[:limit]}


def drawn(files: list[File], count: int, by: str, seed: int) -> list[File]:
    def rank(name: str) -> str:
        return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()

    units = {getattr(file, by) for file in files} - {""}
    chosen = set(sorted(units, key=rank)[:count])
    studies = {file.study for file in files if getattr(file, by) in chosen}
    return [
        file
        for file in files
        if getattr(file, by) in chosen
        or (by == "image" and not file.image and file.study in studies)
    ]


@pytest.fixture
def server(shared_server: MiniPhysioNet) -> MiniPhysioNet:
    return shared_server


@pytest.fixture(scope="module")
def published(files_root: Path) -> dict[str, Published]:
    return {dataset: Published(files_root, dataset) for dataset in (JPG, DICOM)}


def here(machine: Machine, dataset: str) -> set[str]:
    root = machine.dest / dataset / VERSION
    return {str(path) for path in files_below(root)} if root.exists() else set()


def asked_for(server: MiniPhysioNet, dataset: str) -> set[str]:
    """What of a dataset was asked for; whatever lies outside any dataset is an error."""
    paths = {path for path, each in server.request_log.snapshot().by_path.items() if each.requests}
    assert all(path.startswith((f"{JPG}/{VERSION}/", f"{DICOM}/{VERSION}/")) for path in paths)
    start = f"{dataset}/{VERSION}/"
    return {path.removeprefix(start) for path in paths if path.startswith(start)}


def without_reports(paths: set[str]) -> set[str]:
    """Reports may come one by one or all in the archive."""
    return {path for path in paths if not path.endswith(".txt") or path == MANIFEST} - {ARCHIVE}


CASES: list[tuple[str, str, dict[str, Any]]] = [
    (JPG, "--split test", {"split": ["test"]}),
    (JPG, "--split TEST,validate --shard p10-p14",
     {"split": ["test", "validate"], "shard": ["p10", "p11", "p12", "p13", "p14"]}),
    (JPG, "--frontal --label Pneumonia=1", {"view": ["PA", "AP"], "label": {"Pneumonia": ["1"]}}),
    (JPG, "--view blank --lateral", {"view": ["", "LATERAL", "LL"]}),
    (JPG, "--view PA,AP --label Edema=1,-1 --label pneumonia=blank --labeler negbio",
     {"view": ["PA", "AP"], "label": {"Edema": ["1", "-1"], "Pneumonia": ["blank"]},
      "labeler": "negbio"}),
    (JPG, "--subject 10000032", {"subject": [SUBJECT]}),
    (JPG, "--study s50414267", {"study": [STUDY]}),
    (JPG, f"--image {IMAGE}.jpg", {"image": [IMAGE]}),
    (JPG, f"--subject p10000032 --image {IMAGE} --view PA --split train --no-tables",
     {"image": [IMAGE]}),
    (JPG, "--frontal --only images --exclude files/p1[1-9]/*",
     {"view": ["PA", "AP"], "shard": ["p10"]}),
    (JPG, "--limit 7", {"limit": 7}),
    (JPG, "--split test --limit 3 --no-tables", {"split": ["test"], "limit": 3}),
    (JPG, "--sample 5 --sample-by subject --seed 7", {"sample": (5, "subject", 7)}),
    (JPG, "--sample 5 --sample-by study --seed 7", {"sample": (5, "study", 7)}),
    (JPG, "--sample 5 --sample-by image --seed 7", {"sample": (5, "image", 7)}),
    (JPG, "--sample 4 --sample-by study --lateral --split train --limit 3",
     {"sample": (4, "study", 0), "view": ["LATERAL", "LL"], "split": ["train"], "limit": 3}),
    (DICOM, "--split test", {"split": ["test"]}),
    (DICOM, "--lateral --shard p10,p12", {"view": ["LATERAL", "LL"], "shard": ["p10", "p12"]}),
    (DICOM, "--label Pneumonia=1 --subject 10000032,p12194811",
     {"label": {"Pneumonia": ["1"]}, "subject": [SUBJECT, "p12194811"]}),
    (DICOM, f"--image {IMAGE}", {"image": [IMAGE]}),
    (DICOM, "--sample 6", {"sample": (6, "image", 0)}),
    (DICOM, "--sample 3 --sample-by study --only reports --seed 2",
     {"sample": (3, "study", 2), "only": ".txt"}),
    (DICOM, "--limit 5 --split test --no-tables", {"split": ["test"], "limit": 5}),
]  # fmt: skip


def needed(words: list[str]) -> set[str]:
    """The tables without which these words cannot be understood."""
    labels = CHEXPERT.replace("chexpert", "negbio") if "negbio" in words else CHEXPERT
    told_by = {"--label": labels, "--split": SPLIT}
    told_by |= dict.fromkeys(("--view", "--frontal", "--lateral"), METADATA)
    return {told_by[word] for word in words if word in told_by}


@pytest.mark.parametrize(
    ("dataset", "words", "meant"), CASES, ids=[f"{dataset} {words}" for dataset, words, _ in CASES]
)
def test_exactly_what_the_tables_say(
    machine: Machine,
    server: MiniPhysioNet,
    published: dict[str, Published],
    dataset: str,
    words: str,
    meant: dict[str, Any],
) -> None:
    truth, given = published[dataset], words.split()
    chosen = truth.choose(**meant)
    assert chosen < {file.path for file in truth.below}, "a case that chooses nothing, or all"
    brings = "--no-tables" not in given and "--only" not in given
    beside = needed(given) if dataset == DICOM else set()
    brought = truth.tables if brings else needed(given) - beside

    done = machine.pull(FLAGS[dataset], *given)

    assert done.code == 0, done.err
    assert here(machine, dataset) == chosen | brought | {MANIFEST}
    asked = asked_for(server, dataset)
    assert without_reports(asked) == without_reports(chosen | brought | {MANIFEST})
    assert asked - {ARCHIVE} <= here(machine, dataset)
    counts = server.request_log.snapshot()
    images = [path for path in chosen if not path.endswith(".txt")]
    assert {counts.by_path[f"{dataset}/{VERSION}/{path}"].requests for path in images} <= {1}
    if dataset == DICOM:
        expected = beside | {MANIFEST} if beside else set()
        assert asked_for(server, JPG) == here(machine, JPG) == expected


def test_metadata_only(
    machine: Machine, server: MiniPhysioNet, published: dict[str, Published]
) -> None:
    truth = published[JPG]

    assert machine.pull("--jpg", "--metadata-only").code == 0

    assert here(machine, JPG) == truth.tables | truth.docs | {MANIFEST}
    assert asked_for(server, JPG) == here(machine, JPG)


def test_a_larger_sample_holds_the_smaller(machine: Machine) -> None:
    words = ("--jpg", "--only", "images", "--sample-by", "study", "--seed", "3")
    assert machine.pull(*words, "--sample", "3").code == 0
    small = here(machine, JPG)

    more = machine.pull(*words, "--sample", "5")

    assert small < here(machine, JPG)
    assert more.summary["files"]["present"] == len(small - {MANIFEST})


# ── afterwards: the tree knows what was asked for ──────────────────────────────────────────────


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        (JPG, "--split test --frontal --no-tables"),
        (JPG, "--sample 4 --sample-by study --seed 3 --limit 6"),
        (DICOM, "--split test --view LATERAL,LL"),
    ],
)
def test_status_and_verify_speak_of_what_was_asked_for(
    machine: Machine, server: MiniPhysioNet, dataset: str, words: str
) -> None:
    flag = FLAGS[dataset]
    assert machine.pull(flag, *words.split()).code == 0
    there = here(machine, dataset) - {MANIFEST}
    if "--no-tables" in words:
        there -= needed(words.split())  # they had to come, but nobody has asked for them
    server.request_log.reset()

    status = machine.run("status", flag, "--json")
    verified = machine.run("verify", flag, "--json", "--progress", "none")

    assert (status.code, verified.code) == (0, 0), status.err + verified.err
    shares = status.summary["partitions"].values()
    assert sum(share["selected"] for share in shares) == len(there)
    assert sum(share["verified"] for share in shares) == len(there)
    assert sum(share["missing"] for share in shares) == 0
    files = verified.summary["files"]
    found = (files["selected"], files["good"], files["missing"], files["extra"])
    assert found == (len(there), len(there), 0, 0)
    assert server.request_log.snapshot().requests == 0
    again = machine.pull(flag, *words.split())
    assert (again.code, again.summary["files"]["fetched"]) == (0, 0)
    assert server.request_log.snapshot().requests <= 2


def test_several_selections_are_remembered_together(machine: Machine) -> None:
    for words in ("--split test --view LL", "--subject 10000032", "--sample 2"):
        assert machine.pull("--jpg", *words.split()).code == 0
    [lost, *_rest] = (machine.dest / JPG / VERSION / "files/p10/p10000032").rglob("*.jpg")
    lost.unlink()

    status = machine.run("status", "--json").summary

    shares = status["partitions"].values()
    assert sum(share["selected"] for share in shares) == len(here(machine, JPG) - {MANIFEST}) + 1
    assert [share["missing"] for share in shares if share["missing"]] == [1]
    assert machine.run("verify").code == 5
    assert machine.run("verify", "--repair").code == 0
    assert lost.exists()


# ── mimic-cxr: its tables are another dataset's, under another agreement ───────────────────────


def test_the_tables_beside_come_into_their_own_tree(
    machine: Machine, server: MiniPhysioNet, jpg: Path
) -> None:
    assert machine.pull("--dicom", "--split", "test").code == 0

    beside = machine.dest / JPG / VERSION
    assert (beside / SPLIT).read_bytes() == (jpg / SPLIT).read_bytes()
    said = machine.run("status", "--jpg", "--json").summary
    assert {name: share["verified"] for name, share in said["partitions"].items()} == {"root": 1}
    assert server.request_log.snapshot().password_checks == 1


@pytest.mark.parametrize("manifest_is_here", [False, True])
def test_no_agreement_for_the_tables(
    serve: Serve, make_machine: MakeMachine, manifest_is_here: bool
) -> None:
    server = serve()
    machine = make_machine(server)
    if manifest_is_here:  # then it is asked for over several connections
        assert machine.pull("--jpg", "--max-files", "0").code == 9
    server.set_behaviour(agreements=frozenset({DICOM}))
    server.request_log.reset()

    denied = machine.pull("--dicom", "--split", "test")

    assert denied.code == 4
    for hint in ("--split-table", JPG, "https://physionet.org/content/mimic-cxr-jpg/"):
        assert hint in denied.err
    assert asked_for(server, DICOM) == {MANIFEST}
    assert asked_for(server, JPG) == {MANIFEST}
    assert here(machine, DICOM) == {MANIFEST}


def test_no_agreement_any_more_for_the_tables(serve: Serve, make_machine: MakeMachine) -> None:
    """It ends between the manifest and the table: several connections are at work by then."""
    refused = says(HTTPStatus.FORBIDDEN)
    manifest = Rule(f"{JPG}/*/{MANIFEST}", refused, range(2, 1000))
    machine = make_machine(serve(faults=script(Rule(f"{JPG}/*/{SPLIT}", refused, None), manifest)))

    denied = machine.pull("--dicom", "--split", "test", "--give-up-after", "0.1")

    assert denied.code == 4
    assert "--split-table" in denied.err


@pytest.mark.parametrize("flag", ["--jpg", "--dicom"])
def test_a_table_that_does_not_arrive(serve: Serve, make_machine: MakeMachine, flag: str) -> None:
    """It tells which images are meant: that is no mistake of the person who asked for them."""
    server = serve(faults=script(Rule(f"{JPG}/*/{SPLIT}", says(HTTPStatus.NOT_FOUND), None)))
    machine = make_machine(server)
    words = (flag, "--split", "test")

    failed = machine.pull(*words)

    assert (failed.code, failed.summary["files"]["failed"]) == (5, 1)
    assert "on which the selection depends" in failed.err
    assert machine.run("ls", *words).code == 5
    limited = machine.pull(*words, "--max-files", "0")
    assert (limited.code, limited.summary["files"]["failed"]) == (9, 0)
    server.set_behaviour(faults=None)
    assert machine.pull(*words).code == 0


def test_a_table_that_rots_under_the_eyes_of_the_state(
    machine: Machine, server: MiniPhysioNet
) -> None:
    """Size and time are right, and the row says that it was verified."""
    assert machine.pull("--jpg", "--split", "test").code == 0
    table = machine.dest / JPG / VERSION / SPLIT
    found = table.stat()
    data = table.read_bytes()
    table.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(table, ns=(found.st_atime_ns, found.st_mtime_ns))

    mended = machine.pull("--jpg", "--split", "test")

    assert mended.code == 0, mended.err
    assert table.read_bytes() == data
    assert mended.summary["files"]["fetched"] == 1


def test_a_jpg_tree_that_is_there_already_is_enough(
    serve: Serve, make_machine: MakeMachine, published: dict[str, Published]
) -> None:
    server = serve()
    machine = make_machine(server)
    assert machine.pull("--jpg", "--only", "tables").code == 0
    before = fingerprint(machine.dest / JPG / VERSION)
    server.set_behaviour(agreements=frozenset({DICOM}))
    server.request_log.reset()

    done = machine.pull("--dicom", "--split", "validate", "--frontal", "--label", "Edema=1,0")

    assert done.code == 0, done.err
    assert asked_for(server, JPG) == set()
    assert fingerprint(machine.dest / JPG / VERSION) == before
    chosen = published[DICOM].choose(
        split=["validate"], view=["PA", "AP"], label={"Edema": ["1", "0"]}
    )
    assert here(machine, DICOM) == chosen | published[DICOM].tables | {MANIFEST}


@pytest.mark.parametrize("dataset", [JPG, DICOM])
def test_a_split_table_of_ones_own(
    machine: Machine,
    server: MiniPhysioNet,
    published: dict[str, Published],
    tmp_path: Path,
    dataset: str,
) -> None:
    truth = published[dataset]
    images = [file for file in truth.below if file.image]
    mine = {file.image: "test" if n % 9 == 0 else "train" for n, file in enumerate(images)}
    own = tmp_path / "my split.csv"
    own.write_text(
        "split,study_id,dicom_id\n"
        + "".join(f"{mine[file.image]},{file.study[1:]},{file.image}\n" for file in images)
    )
    chosen = truth.choose(split=["test"], split_of=mine)
    assert chosen != truth.choose(split=["test"])

    done = machine.pull(FLAGS[dataset], "--split", "test", "--split-table", str(own), "--no-tables")

    assert done.code == 0, done.err
    assert here(machine, dataset) == chosen | {MANIFEST}
    assert asked_for(server, JPG) == (here(machine, JPG) if dataset == JPG else set())
    assert machine.run("verify", FLAGS[dataset]).code == 0


@pytest.mark.parametrize(
    ("names", "word", "code"),
    [
        (("Train", "Dev", "Test"), "val", 0),
        (("train", "val", "test"), "Validate", 0),
        (("A", "B", "C"), "val", 2),
    ],
)
def test_a_split_table_with_names_of_its_own(
    machine: Machine,
    published: dict[str, Published],
    tmp_path: Path,
    names: tuple[str, ...],
    word: str,
    code: int,
) -> None:
    truth = published[JPG]
    mine = {file.image: names[n % 3] for n, file in enumerate(f for f in truth.below if f.image)}
    own = tmp_path / "split.tsv"
    lines = "".join(f"{split}\t{image}\n" for image, split in mine.items())
    own.write_text(f"split\tdicom_id\n{lines}", "utf-16")
    chosen = truth.choose(split=[names[1]], split_of=mine)

    listed = machine.run(
        *("ls", "--jpg", "--split", word, "--split-table", str(own), "--only", "images")
    )

    assert listed.code == code, listed.err
    assert set(listed.out.split()) == (set() if code else chosen)
    if code:
        assert f"{own} has no split 'val'\nIts splits: A, B, C." in listed.err


# ── ids that the version does not have ─────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (f"--study {STUDY},59999999", "has no study s59999999: 1 of 2\n"),
        (f"--subject {SUBJECT},p10999999,p19999999",
         "has no subject p10999999, p19999999: 2 of 3\n"),
        (f"--image {IMAGE},{'0' * 40}", "has no image 00000000-"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("there", [False, True])
def test_an_unknown_id_of_many(
    machine: Machine, published: dict[str, Published], words: str, said: str, there: bool
) -> None:
    if there:
        assert machine.pull("--jpg", "--only", "docs").code == 0  # the whole manifest
    known = words.partition(",")[0].split()
    truth = published[JPG].choose(**{known[0].removeprefix("--"): [known[1]]})

    refused = machine.pull("--jpg", *words.split())
    listed = machine.run("ls", "--jpg", *words.split(), "--skip-unknown", "--no-tables")
    pulled = machine.pull("--jpg", *words.split(), "--skip-unknown", "--only", "images")

    assert refused.code == 2
    assert said in refused.err
    assert "--skip-unknown leaves out what is not there." in refused.err
    assert (listed.code, pulled.code) == (0, 0), listed.err + pulled.err
    assert set(listed.out.split()) == truth
    for said in (listed.err, pulled.out):
        assert f"not in {JPG} {VERSION}, and" in said
        assert "left out: " in said
    assert truth < here(machine, JPG)
    verified = machine.run("verify", "--jpg")
    assert verified.code == 0, verified.err
    assert machine.run("status", "--jpg").code == 0


def test_only_unknown_ids(machine: Machine) -> None:
    refused = machine.pull("--jpg", "--subject", "p10999999,p19999999", "--skip-unknown")

    assert refused.code == 2
    assert "has no subject p10999999, p19999999: none of those selected" in refused.err


# ── pasted names and links ─────────────────────────────────────────────────────────────────────

IMAGE_PATH = f"files/p10/{SUBJECT}/{STUDY}/{IMAGE}.jpg"
LINKS: list[tuple[str, tuple[str, ...], set[str] | None]] = [
    ("a file", (f"{{base}}/{JPG}/{VERSION}/{IMAGE_PATH}?download",), {IMAGE_PATH}),
    ("a page", (f"https://physionet.org/content/{JPG}/{VERSION}/{IMAGE_PATH}",), {IMAGE_PATH}),
    ("a table", (f"https://physionet.org/files/{JPG}/{VERSION}/{SPLIT}",), {SPLIT}),
    ("two files", (f"{JPG}/{VERSION}/{IMAGE_PATH}", SPLIT), {IMAGE_PATH, SPLIT}),
    ("a folder", (f"{{base}}/{JPG}/{VERSION}/files/p10/{SUBJECT}/",), None),
    ("a folder of a study", (f"physionet.org/files/{JPG}/{VERSION}/files/p10/{SUBJECT}/{STUDY}",),
     {IMAGE_PATH}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "chosen"), [each[1:] for each in LINKS], ids=[each[0] for each in LINKS]
)
def test_pasted_links(
    machine: Machine,
    server: MiniPhysioNet,
    published: dict[str, Published],
    words: tuple[str, ...],
    chosen: set[str] | None,
) -> None:
    given = [word.format(base=machine.base_url) for word in words]
    chosen = published[JPG].choose(subject=[SUBJECT]) if chosen is None else chosen

    listed = machine.run("ls", *given)
    pulled = machine.pull(*given)

    assert (listed.code, pulled.code) == (0, 0), listed.err + pulled.err
    assert set(listed.out.split()) == chosen
    assert here(machine, JPG) == chosen | {MANIFEST}
    assert machine.run("verify", *given).code == 0
    assert machine.run("verify").code == 0
    assert machine.run("status", JPG).code == 0


def test_pasted_names_of_a_whole_version(machine: Machine) -> None:
    def forecast(words: str) -> dict[str, Any]:
        found = machine.run("pull", *words.split(), "--dry-run", "--json")
        assert found.code == 0, found.err
        return {**found.summary, "free": None}

    whole = forecast("--jpg")
    for words in (
        *(JPG, f"{JPG.upper()}/v{VERSION}", f"https://physionet.org/content/{JPG}/{VERSION}/"),
        *(f"--dataset {JPG}/{VERSION}", f"--dataset {JPG} --dataset-version LATEST"),
    ):
        assert forecast(words) == whole, words


def test_the_newest_version(machine: Machine, files_root: Path) -> None:
    assert machine.pull("--jpg", "--dataset-version", "v2.0.0", "--only", "docs").code == 0
    words = ("--jpg", "--only", "docs")

    read = machine.run("status", *words, "--dataset-version", "latest", "--json").summary
    here_already = machine.run("pull", *words, "--dry-run", "--json").summary
    newest = machine.run("pull", *words, "--dataset-version", "latest", "--dry-run", "--json")
    copied = machine.pull(*words, "--dataset-version", "latest", "--from", str(files_root))

    assert here_already["version"] == "2.0.0"
    assert newest.summary["version"] == VERSION
    assert read["version"] == "2.0.0"  # of those that are there
    assert copied.code == 0, copied.err
    assert copied.summary["root"] == str(machine.dest / JPG / VERSION)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (f"https://physionet.org/files/{DICOM}/{VERSION}/{SPLIT}",
         f"has no path {SPLIT}\nIt is in mimic-cxr-jpg, which has its own agreement: cxrsync pull"),
        (f"{DICOM}/{VERSION}/{SPLIT}", f"pull https://physionet.org/files/{JPG}/{VERSION}/{SPLIT}"),
        (f"--dicom --include {SPLIT}", "It is in mimic-cxr-jpg, which has its own agreement"),
        (f"--dicom {IMAGE_PATH}", "It may be in mimic-cxr-jpg, which has its own agreement"),
        (f"--jpg files/p10/{SUBJECT}/{STUDY}.txt", "It may be in mimic-cxr, which has its own agr"),
        (f"--jpg {ARCHIVE}", "It may be in mimic-cxr, which has its own agreement: cxrsync pull"),
        (f"{JPG} files/p10/p10999999/", "has no path files/p10/p10999999\nCheck the names"),
        (f"--jpg {IMAGE_PATH} x.csv", "has no path x.csv: 1 of 2\n"),
    ],
)  # fmt: skip
def test_pasted_links_to_what_is_not_there(machine: Machine, words: str, said: str) -> None:
    for command in ("ls", "pull"):
        refused = machine.run(command, *words.split())
        assert refused.code == 2
        assert said in refused.err


def test_paths_from_a_file(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "paths").write_text(f"{IMAGE_PATH}\nx.csv\n{'0' * 64}  README\n")

    pulled = machine.run("pull", "--jpg", "--include", f"@{tmp_path}/paths")

    assert pulled.code == 0, pulled.err
    assert here(machine, JPG) == {IMAGE_PATH, "README", MANIFEST}
    assert f"1 of 3 paths is not in {JPG} {VERSION}, and is left out: x.csv" in pulled.err


@pytest.mark.parametrize("first", ["mirror", "version"])
def test_the_tables_are_found_whichever_way_the_destination_is_written(
    machine: Machine, server: MiniPhysioNet, first: str
) -> None:
    mirror = machine.dest
    version = mirror / DICOM / VERSION
    version.mkdir(parents=True)
    ways = {"mirror": mirror, "version": version}
    words = ("--dicom", "--dataset-version", VERSION, "--split", "test", "--only", "reports")
    if first == "version":
        (version / "files/p10").mkdir(parents=True)
    machine.dest = ways.pop(first)
    assert machine.pull(*words).code == 0
    [machine.dest] = ways.values()
    server.request_log.reset()

    verified = machine.run("verify", "--dicom")

    assert verified.code == 0, verified.err
    assert machine.pull(*words).code == 0
    assert asked_for(server, JPG) == set()


# ── bad input: an error that says what to do, nothing fetched, nothing lost ────────────────────


class Settled(NamedTuple):
    machine: Machine
    server: MiniPhysioNet
    before: dict[str, tuple[str, int]]


@pytest.fixture(scope="module")
def settled(module_server: MiniPhysioNet, tmp_path_factory: pytest.TempPathFactory) -> Settled:
    """A machine that has pulled one subject already, for commands that must change nothing."""
    folder = tmp_path_factory.mktemp("settled")
    (folder / "home").mkdir()
    machine = Machine(
        folder / "home", folder / "mirror", module_server.base_url, module_server.ca_file
    )
    assert machine.pull("--jpg", "--subject", "10000032").code == 0
    return Settled(machine, module_server, fingerprint(machine.dest))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--split tset", ["'tset'", "Did you mean test?"]),
        ("--metadata-only --split test", ["--metadata-only"]),
        ("--image @/no/such/list", ["/no/such/list", "No such file"]),
    ],
)
def test_refused_before_anything_is_asked(settled: Settled, words: str, said: list[str]) -> None:
    settled.server.request_log.reset()

    refused = settled.machine.pull("--jpg", *words.split())

    assert refused.code == 2
    assert [word for word in said if word not in refused.err] == []
    assert "Traceback" not in refused.err
    assert settled.server.request_log.snapshot().requests == 0
    assert fingerprint(settled.machine.dest) == settled.before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--subject 10000032,10000033", ["no subject p10000033"]),
        ("--study s50000001", ["no study s50000001"]),
        (f"--image {IMAGE[:-1]}0", [f"no image {IMAGE[:-1]}0"]),
        ("--subject 10000032 --split test", ["subject p10000032 (7 files)", "after: split test"]),
        ("--shard p11 --study 50414267", ["p11", "after: study s50414267"]),
        ("--view SWIMMERS --limit 3", ["the version", "after: view SWIMMERS"]),
        ("--split test --include *.dcm", ["split test (16 files)", "after: paths like *.dcm"]),
    ],
)
def test_what_the_dataset_does_not_have(settled: Settled, words: str, said: list[str]) -> None:
    settled.server.request_log.reset()

    refused = settled.machine.pull("--jpg", *words.split())

    assert refused.code == 2
    assert [word for word in said if word not in refused.err] == []
    assert not [path for path in asked_for(settled.server, JPG) if path.startswith("files/")]
    assert fingerprint(settled.machine.dest) == settled.before


def test_what_was_refused_is_not_remembered(settled: Settled) -> None:
    assert settled.machine.pull("--jpg", "--subject", "10000032", "--split", "test").code == 2

    status = settled.machine.run("status", "--json").summary

    assert status["selection"] == "subject p10000032, with the tables"


def test_ids_from_files(machine: Machine, server: MiniPhysioNet, tmp_path: Path) -> None:
    ids = tmp_path / "ids.txt"
    refused = machine.pull("--jpg", "--image", f"@{ids}")
    assert (refused.code, "No such file" in refused.err) == (2, True)

    ids.write_text("\n  \n")
    refused = machine.pull("--jpg", "--image", f"@{ids}")
    assert (refused.code, "the file contains no id" in refused.err) == (2, True)

    ids.write_text(f"dicom_id\n{IMAGE}\nfiles/p10/\n")
    refused = machine.pull("--jpg", "--image", f"@{ids}")
    assert refused.code == 2
    assert "1 of 2 lines is not the id of an image: line 3\n" in refused.err
    assert server.request_log.snapshot().requests == 0

    ids.write_text(f"\ufeff{IMAGE.upper()}\r\n\r\n  files/p10/p10000032/s50414267/{IMAGE}.dcm  ")
    assert machine.pull("--jpg", "--image", f"@{ids}", "--no-tables").code == 0
    assert here(machine, JPG) == {f"files/p10/{SUBJECT}/{STUDY}/{IMAGE}.jpg", MANIFEST}


def test_ids_from_standard_input(machine: Machine) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cxrsync", "pull", "--jpg", "--study", "@-", "--no-tables"],
        env=machine.variables(), input="s50414267\n", text=True, capture_output=True,
        timeout=PATIENCE, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert here(machine, JPG) == {f"files/p10/{SUBJECT}/{STUDY}/{IMAGE}.jpg", MANIFEST}


def renamed(column: str) -> Callable[[bytes], bytes]:
    return lambda data: gzip.compress(
        gzip.decompress(data).replace(column.encode(), column.swapcase().encode(), 1)
    )


@pytest.mark.parametrize(
    ("name", "harm", "words", "said"),
    [
        (SPLIT, renamed("split"), "--split test", "no column split; it has"),
        (SPLIT, lambda data: data[:-20], "--split test", "cut off"),
        (METADATA, lambda data: data[:3000], "--frontal", "cut off"),
        (CHEXPERT, renamed("Pneumonia"), "--label Pneumonia=1", "no column Pneumonia"),
    ],
)
def test_a_table_that_is_published_odd(
    serve: Serve,
    make_machine: MakeMachine,
    own_files: Path,
    name: str,
    harm: Callable[[bytes], bytes],
    words: str,
    said: str,
) -> None:
    server = serve(own_files)
    machine = make_machine(server)
    republish(own_files / JPG / VERSION, name, harm)

    refused = machine.pull("--jpg", *words.split())

    assert refused.code == 2
    assert name in refused.err
    assert said in refused.err
    assert "Traceback" not in refused.err
    assert asked_for(server, JPG) == {MANIFEST, name}


def republish(root: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    """Another content for a file, with its right digest in the manifest."""
    old = (root / name).read_bytes()
    new = change(old)
    rewrite(root / name, new)
    manifest = root / MANIFEST
    digests = [hashlib.sha256(data).hexdigest() for data in (old, new)]
    time = manifest.stat().st_mtime + 1  # the ETag is made of size and whole seconds
    manifest.write_text(manifest.read_text().replace(*digests))
    os.utime(manifest, (time, time))


def test_a_table_that_is_mended(
    serve: Serve,
    make_machine: MakeMachine,
    own_files: Path,
    published: dict[str, Published],
) -> None:
    machine = make_machine(serve(own_files))
    root = own_files / JPG / VERSION
    good = (root / SPLIT).read_bytes()
    republish(root, SPLIT, lambda data: data[:-20])
    words = ("--jpg", "--split", "test", "--only", "images")
    assert machine.pull(*words).code == 2
    republish(root, SPLIT, lambda _data: good)

    done = machine.pull(*words)

    assert done.code == 0, done.err
    assert here(machine, JPG) == published[JPG].choose(split=["test"]) | {SPLIT, MANIFEST}


def test_a_table_of_ones_own_that_is_none(
    machine: Machine, server: MiniPhysioNet, tmp_path: Path
) -> None:
    own = tmp_path / "mine.csv"
    own.write_text("study_id,split\n50414267,test\n")

    refused = machine.pull("--jpg", "--split", "test", "--split-table", str(own))

    assert refused.code == 2
    assert "mine.csv: has no column dicom_id; it has" in refused.err
    assert asked_for(server, JPG) == {MANIFEST}
