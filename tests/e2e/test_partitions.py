"""A job that is divided into partitions: together its tasks do exactly what one run does."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e.scripted import ScriptedServer, differences, noise, pull_from
from e2e.stage import JPG, VERSION, Machine, files_below, fingerprint

from cxrsync.demo.server.server import MiniPhysioNet

Serve = Callable[..., MiniPhysioNet]
MakeMachine = Callable[[MiniPhysioNet], Machine]
PARTITIONS = ("root", *(f"p{number}" for number in range(10, 20)))


def selected(machine: Machine, *words: str) -> set[str]:
    return set(machine.run("ls", *words).out.split())


def test_the_tasks_of_a_whole_version(machine: Machine, jpg: Path, server: MiniPhysioNet) -> None:
    for name in PARTITIONS:
        task = machine.pull("--jpg", "--only-partition", name)
        assert task.code == 0, task.err
    root = machine.dest / JPG / VERSION
    assert fingerprint(root) == fingerprint(jpg)
    again = machine.pull("--jpg")
    assert (again.code, again.summary["files"]["fetched"]) == (0, 0)
    # The record says what was pulled: the whole version, although each task had one partition.
    assert machine.run("verify", "--jpg", "--json").summary["selection"] == "the whole version"
    assert server.request_log.snapshot().password_checks == len(PARTITIONS) + 1


@pytest.mark.parametrize(
    "words",
    [("--sample", "12"), ("--split", "test"), ("--limit", "7"), ("--only", "images")],
    ids=lambda words: words[0],
)
def test_together_they_have_the_selection_of_one_run(machine: Machine, words: tuple[str]) -> None:
    expected = selected(machine, "--jpg", *words)
    fetched = set()
    for name in PARTITIONS:
        task = machine.pull("--jpg", *words, "--only-partition", name)
        assert task.code == 0, task.err
        fetched |= {each["path"] for each in task.events if each["event"] == "file"}
    on_disk = {str(path) for path in files_below(machine.dest / JPG / VERSION)}
    assert on_disk - {"SHA256SUMS.txt"} == expected
    assert fetched <= expected


def test_a_partition_without_selected_files(machine: Machine) -> None:
    task = machine.pull("--jpg", "--shard", "p10", "--only-partition", "p11")
    assert task.code == 0
    assert {"event": "notice", "text": "nothing is selected in p11"} in task.events
    assert task.summary["files"]["selected"] == 0


@pytest.mark.parametrize("word", ["p1", "roots", "", "p12-p10"])
def test_it_is_typed_wrong(machine: Machine, word: str) -> None:
    ended = machine.pull("--jpg", "--only-partition", word)
    assert ended.code == 2
    assert "root" in ended.err or "p10" in ended.err or "empty" in ended.err


def test_one_archive_is_not_divided(machine: Machine) -> None:
    words = ("--dicom", "--only", "reports", "--only-partition", "p10")
    assert machine.pull(*words, "--reports", "zip").code == 2
    assert machine.pull(*words).code == 0
    assert not (machine.dest / "mimic-cxr" / VERSION / "mimic-cxr-reports.zip").exists()


def test_verify_of_a_partition(machine: Machine) -> None:
    machine.pull("--jpg", "--shard", "p10,p11")
    root = machine.dest / JPG / VERSION
    [bad, *_] = sorted((root / "files/p10").rglob("*.jpg"))
    bad.write_bytes(b"rot")
    (root / "files/p11/extra.txt").write_text("extra")
    found = machine.run("verify", "--jpg", "--json", "--only-partition", "p10")
    assert (found.code, found.summary["files"]["bad"], found.summary["files"]["extra"]) == (6, 1, 0)
    found = machine.run("verify", "--jpg", "--json", "--only-partition", "p11")
    assert (found.code, found.summary["files"]["bad"], found.summary["files"]["extra"]) == (0, 0, 1)


def test_deletion_stays_in_the_partition(
    make_machine: MakeMachine, serve: Serve, own_files: Path
) -> None:
    machine = make_machine(serve(own_files))
    assert machine.pull("--jpg").code == 0
    tree, root = own_files / JPG / VERSION, machine.dest / JPG / VERSION
    manifest = tree / "SHA256SUMS.txt"
    lines = manifest.read_text().splitlines(keepends=True)
    gone = [next(line for line in lines if f" files/{name}/" in line) for name in ("p10", "p11")]
    manifest.write_text("".join(line for line in lines if line not in gone))
    paths = [line.split(maxsplit=1)[1].strip() for line in gone]
    assert machine.pull("--jpg", "--delete", "--only-partition", "p10").code == 0
    assert [(root / path).exists() for path in paths] == [False, True]


def test_the_summary_goes_to_a_file(machine: Machine, tmp_path: Path) -> None:
    file = tmp_path / "summaries.jsonl"
    for _ in range(2):
        assert machine.run("pull", "--jpg", "--shard", "p10", "--summary-file", str(file)).code == 0
    assert machine.run("verify", "--jpg", "--summary-file", str(file)).code == 0
    first, second, verified = map(json.loads, file.read_text().splitlines())
    assert first["files"]["fetched"] == second["files"]["present"] == verified["files"]["good"]
    assert file.stat().st_mode & 0o777 == 0o600
    refused = machine.run("pull", "--jpg", "--summary-file", str(tmp_path / "no" / "file"))
    assert refused.code == 7
    assert "the summary cannot be written" in refused.err


async def test_the_root_has_what_is_in_no_known_shard(tmp_path: Path) -> None:
    """The catalogue knows no shard of this dataset: no file may belong to nobody."""
    files = {path: noise(path, 300) for path in ("a.csv", "files/p10/a.jpg", "files/p20/b.jpg")}
    with ScriptedServer(files) as server:
        pulled = await pull_from(server, tmp_path, only_partition=["root"])
    assert (pulled.code, pulled.summary.selected.files) == (0, 3)
    assert differences(tmp_path, files) == []
