"""``head``: a table is looked at by one request of 64 KiB, or on the disk; nothing is written."""

import gzip
import json
import random
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import pytest
from e2e.stage import DICOM, JPG, VERSION, Machine

from cxrsync.demo.server import faults
from cxrsync.demo.server.faults import Rule, script
from cxrsync.demo.server.server import MiniPhysioNet

Serve = Callable[..., MiniPhysioNet]
MakeMachine = Callable[[MiniPhysioNet], Machine]
SPLIT = "mimic-cxr-2.0.0-split.csv.gz"
KIB = 1 << 10


@pytest.fixture
def server(shared_server: MiniPhysioNet) -> MiniPhysioNet:
    return shared_server


def lines_of(file: Path, count: int) -> list[str]:
    return gzip.decompress(file.read_bytes()).decode().splitlines()[:count]


@pytest.mark.parametrize(
    "words",
    [
        ("split",),
        ("split", "--jpg"),
        (SPLIT,),
        (f"{JPG}/split",),
        (f"{JPG}/{VERSION}/{SPLIT}",),
        ("split", "--dataset", f"{JPG}/{VERSION}"),
    ],
)
def test_one_request(
    machine: Machine, server: MiniPhysioNet, jpg: Path, words: tuple[str, ...]
) -> None:
    done = machine.run("head", *words)
    assert done.code == 0
    assert done.out.splitlines() == lines_of(jpg / SPLIT, 11)
    log = server.request_log.snapshot()
    # One for the 401 that asks for the sign-in, one for the bytes.
    assert log.by_path[f"{JPG}/{VERSION}/{SPLIT}"].requests == 2
    assert log.password_checks == 1
    assert not machine.dest.exists()


def test_no_more_than_64_kib(own_files: Path, serve: Serve, make_machine: MakeMachine) -> None:
    rng = random.Random(1)
    rows = "".join(f"{rng.getrandbits(128):032x},{n}\n" for n in range(9000))
    (own_files / JPG / VERSION / SPLIT).write_bytes(gzip.compress(f"dicom_id,n\n{rows}".encode()))
    server = serve(own_files)
    machine = make_machine(server)
    done = machine.run("head", "split", "--json", "-n", "8000")
    found = json.loads(done.out)
    assert 2000 < len(found["rows"]) < 8000
    assert found["rows"] == [row.split(",") for row in rows.splitlines()][: len(found["rows"])]
    assert (found["columns"], found["all_rows"]) == (["dicom_id", "n"], False)
    assert "its first 64 KiB hold no more rows" in done.err
    assert f"cxrsync pull --jpg --include {SPLIT}" in done.err
    sent = server.request_log.snapshot().by_path[f"{JPG}/{VERSION}/{SPLIT}"].bytes_sent
    assert 64 * KIB <= sent < 65 * KIB
    # On the disk all rows can be had.
    for name in (SPLIT, "SHA256SUMS.txt"):
        file = machine.dest / JPG / VERSION / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes((own_files / JPG / VERSION / name).read_bytes())
    assert len(json.loads(machine.run("head", "split", "--json", "-n", "8000").out)["rows"]) == 8000


def test_a_table_on_the_disk_needs_no_server(machine: Machine, jpg: Path) -> None:
    assert machine.pull("--jpg", "--only", "tables").code == 0
    machine.environment["CXRSYNC_BASE_URL"] = "https://127.0.0.1:1/files"
    done = machine.run("head", "split", "-n", "2")
    assert (done.code, done.out.splitlines()) == (0, lines_of(jpg / SPLIT, 3))
    assert f"(in {machine.dest}/{JPG}/{VERSION}/{SPLIT})" in done.err
    assert machine.run("head", "split", "-q").err == ""


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ("splt", 2, "Did you mean `cxrsync head split --jpg`?"),
        ("splt --jpg", 2, "Did you mean split?"),
        ("split --dicom", 2, "It is in mimic-cxr-jpg, which has its own agreement: cxrsync head"),
        ("cxr-record-list.csv.gz --jpg", 2, "It is in mimic-cxr, which"),
        ("list", 2, "list may be any of 3 tables of mimic-cxr"),
        ("foo --jpg", 2, "Its tables: split, metadata,"),
        ("LICENSE.txt --jpg", 2, "head shows .csv and .csv.gz files, and no other"),
        ("files/p10/p10000032/s50414267.txt --dicom", 2, "is not a table"),
        ("mimic-cxr-reports.zip --dicom", 2, "is not a table"),
        ("../../etc/x.csv --jpg", 2, "mimic-cxr-jpg has no table"),
        ("nothing.csv --jpg", 2, "mimic-cxr-jpg 2.1.0 has no table nothing.csv"),
        ("test-set --jpg --dataset-version 2.0.0", 2, "Another version may have it"),
        ("split --jpg --dataset-version 9.9.9", 2, "mimic-cxr-jpg has no version 9.9.9"),
        ("split --jpg --dataset mimic-cxr", 2, "more than one dataset"),
        (f"{JPG}/split --dicom", 2, "more than one dataset"),
        (JPG, 2, "is a dataset, and no table"),
        ("split -n -1", 2, "is not a whole number of at least 0"),
        ("split --split test", 2, "--split is an option of other commands"),
        (f"split --dest {__file__}", 2, "is not a folder"),
    ],
)  # fmt: skip
def test_what_is_no_table(machine: Machine, words: str, code: int, says: str) -> None:
    words = (
        words.replace("LICENSE", str(machine.dest.parent / "LICENSE"))
        if "--dest" in words
        else words
    )
    done = machine.run("head", *words.split())
    assert (done.code, done.out) == (code, "")
    assert says in done.err


@pytest.mark.parametrize(("status", "code"), [(403, 4), (503, 10), (500, 10)])
def test_a_refusal(serve: Serve, make_machine: MakeMachine, status: int, code: int) -> None:
    server = serve(faults=script(Rule("*.csv.gz", faults.says(HTTPStatus(status)), attempts=None)))
    done = make_machine(server).run("head", "split")
    assert (done.code, done.out) == (code, "")
    assert len(done.err.splitlines()) >= 2


def test_a_dataset_that_the_catalogue_does_not_know(
    own_files: Path, serve: Serve, make_machine: MakeMachine
) -> None:
    """Its manifest, which is small, names its tables."""
    root = own_files / "odd-tables" / "1.0"
    (root / "hosp").mkdir(parents=True)
    (root / "hosp" / "patients.csv").write_text("subject_id,TEXT\n1,secret words\n")
    (root / "SHA256SUMS.txt").write_text(f"{'0' * 64} hosp/patients.csv\n")
    machine = make_machine(serve(own_files, open_datasets=frozenset({"odd-tables"})))
    done = machine.run("head", "patients", "--dataset", "odd-tables")
    assert (done.code, done.out) == (0, "subject_id,TEXT\n1,<12 characters>\n")
    assert "free text is not shown: TEXT" in done.err
    assert "all 1 row (from" in done.err
    near = machine.run("head", "pateints", "--dataset", "odd-tables")
    assert "Did you mean hosp/patients.csv?" in near.err
    assert machine.run("head", "patients", "--dataset", "odd-tables/1.1").code == 2


def test_a_tree_of_another_dataset_in_dest(machine: Machine) -> None:
    """The tree in DEST tells the dataset, unless only another one has the table."""
    assert machine.pull("--dicom", "--only", "tables").code == 0
    assert (
        machine.run("head", "record-list", "-n", "0").out == "subject_id,study_id,dicom_id,path\n"
    )
    assert machine.run("head", "split", "-n", "0").out == "dicom_id,study_id,subject_id,split\n"
    assert "has no table foo" in machine.run("head", "foo").err
    assert DICOM in machine.run("head", "foo").err
