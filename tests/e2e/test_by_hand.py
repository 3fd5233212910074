"""What a person does with reports, versions and estimates, from one end to the other."""

import csv
import gzip
import json
from pathlib import Path

from e2e.stage import DICOM, JPG, VERSION, Machine, files_below, fingerprint, sha256sum

from cxrsync.demo.server.server import MiniPhysioNet


def manifest_of(root: Path) -> dict[str, str]:
    lines = (root / "SHA256SUMS.txt").read_text().splitlines()
    return {line[65:]: line[:64] for line in lines}


def here(root: Path) -> set[str]:
    return {str(path) for path in files_below(root)} - {"SHA256SUMS.txt"}


def test_all_reports_in_one_archive_or_one_by_one(
    machine: Machine, server: MiniPhysioNet, files_root: Path
) -> None:
    published = manifest_of(files_root / DICOM / VERSION)
    reports = {path for path in published if path.startswith("files/") and path.endswith(".txt")}
    root = machine.dest / DICOM / VERSION

    done = machine.pull("--dicom", "--only", "reports")

    assert done.code == 0, done.err
    assert done.summary["files"]["copied"] == done.summary["files"]["fetched"] == len(reports)
    assert here(root) == reports
    assert server.request_log.snapshot().requests <= 6
    assert sha256sum(root, "--ignore-missing").returncode == 0
    assert machine.run("verify", "--dicom").code == 0
    assert not any((root / ".cxrsync/root/partial").glob("*"))

    server.request_log.reset()
    assert machine.pull("--dicom", "--only", "reports").summary["requests"] <= 3

    machine.dest = machine.dest.with_name("one-by-one")
    server.request_log.reset()
    assert machine.pull("--dicom", "--only", "reports", "--reports", "files").code == 0
    assert here(machine.dest / DICOM / VERSION) == reports
    asked = server.request_log.snapshot().by_path
    assert {path.removeprefix(f"{DICOM}/{VERSION}/") for path in asked} == reports | {
        "SHA256SUMS.txt"
    }


def test_images_with_the_reports_of_their_studies(
    machine: Machine, server: MiniPhysioNet, jpg: Path
) -> None:
    with gzip.open(jpg / "mimic-cxr-2.0.0-split.csv.gz", "rt") as table:
        rows = [row for row in csv.DictReader(table) if row["split"] == "test"]
    folders = {
        f"files/p{row['subject_id'][:2]}/p{row['subject_id']}/s{row['study_id']}" for row in rows
    }

    done = machine.pull("--jpg", "--split", "test", "--with-reports")

    assert done.code == 0, done.err
    reports = here(machine.dest / DICOM / VERSION)
    assert reports == {f"{folder}.txt" for folder in folders}
    images = {path for path in here(machine.dest / JPG / VERSION) if path.endswith(".jpg")}
    assert {path.rpartition("/")[0] for path in images} == folders
    assert len(images) == len(rows)
    assert server.request_log.snapshot().password_checks == 1
    for dataset in ("--jpg", "--dicom"):
        assert machine.run("verify", dataset).code == 0


def test_no_image_comes_where_its_reports_are_refused(machine: Machine, serve: object) -> None:
    server = serve(agreements=frozenset({JPG}))  # type: ignore[operator]
    machine.base_url, machine.ca_file = server.base_url, server.ca_file

    done = machine.pull("--jpg", "--split", "test", "--with-reports")

    assert done.code == 4
    assert "--with-reports" in done.err
    assert not any(path.endswith(".jpg") for path in server.request_log.snapshot().by_path)


def test_a_new_version_takes_from_the_old_one_what_they_share(
    machine: Machine, server: MiniPhysioNet, files_root: Path
) -> None:
    old, new = (files_root / JPG / version for version in ("2.0.0", VERSION))
    before, after = manifest_of(old), manifest_of(new)
    fresh = {path for path, digest in after.items() if before.get(path) != digest}
    assert machine.pull("--jpg", "--dataset-version", "2.0.0").code == 0
    server.request_log.reset()

    done = machine.pull("--jpg", "--dataset-version", VERSION)

    assert done.code == 0, done.err
    asked = {
        path.removeprefix(f"{JPG}/{VERSION}/") for path in server.request_log.snapshot().by_path
    }
    assert asked == fresh | {"SHA256SUMS.txt"}
    mine = machine.dest / JPG
    assert fingerprint(mine / VERSION) == fingerprint(new)
    # Changing and deleting files of one leaves the other whole.
    for number, path in enumerate(sorted(set(after) - fresh)):
        victim = mine / "2.0.0" / path
        victim.unlink() if number % 2 else victim.write_bytes(b"changed in place")
    assert fingerprint(mine / VERSION) == fingerprint(new)
    assert machine.run("verify", "--jpg", "--dataset-version", VERSION).code == 0


def test_hard_links_for_those_who_choose_them(machine: Machine, files_root: Path) -> None:
    old = machine.dest / JPG / "2.0.0"
    shard = ("--jpg", "--shard", "p12", "--no-tables")
    assert machine.pull(*shard, "--dataset-version", "2.0.0").code == 0
    kept = {path: (old / path).stat() for path in files_below(old) if path.suffix == ".jpg"}

    machine.environment = {"CXRSYNC_LINK_FROM": str(old), "CXRSYNC_LINK": "hardlink"}
    machine.dest = machine.dest.with_name("elsewhere")
    assert machine.pull(*shard, "--dataset-version", VERSION).code == 0

    linked = 0
    for path, was in kept.items():
        now = (old / path).stat()
        assert (now.st_ino, now.st_mode, now.st_mtime_ns) == (
            was.st_ino, was.st_mode, was.st_mtime_ns,
        )  # fmt: skip
        linked += now.st_nlink == 2
    assert linked >= len(kept) - 2
    assert fingerprint(machine.dest / JPG / VERSION, below="files/") == fingerprint(
        files_root / JPG / VERSION, below="files/p12/"
    )


def test_diff(machine: Machine, server: MiniPhysioNet, files_root: Path) -> None:
    before, after = (manifest_of(files_root / JPG / version) for version in ("2.0.0", VERSION))
    expected = {
        **dict.fromkeys(after.keys() - before.keys(), "added"),
        **dict.fromkeys(before.keys() - after.keys(), "removed"),
        **{p: "changed" for p in before.keys() & after.keys() if before[p] != after[p]},
    }

    done = machine.run("diff", "--jpg", "2.0.0", VERSION)

    assert done.code == 0, done.err
    found = dict(reversed(line.split(None, 1)) for line in done.out.splitlines())
    assert found == expected
    assert "to fetch" in done.err
    assert server.request_log.snapshot().password_checks == 1
    asked = set(server.request_log.snapshot().by_path)
    assert asked == {f"{JPG}/{version}/SHA256SUMS.txt" for version in ("2.0.0", VERSION)}


def test_a_dry_run_tells_and_takes_nothing(machine: Machine, server: MiniPhysioNet) -> None:
    assert machine.pull("--jpg", "--shard", "p10").code == 0
    server.request_log.reset()

    done = machine.run("pull", "--jpg", "--dry-run", "--json")

    assert done.code == 0, done.err
    told = json.loads(done.out)
    counts = {(each["partition"], each["kind"]): each for each in told["files"]}
    assert counts["p10", "images"]["missing"] == 0 < counts["p10", "images"]["present"]
    assert counts["p11", "images"]["missing"] > 0 == counts["p11", "images"]["present"]
    assert told["fits"] is True
    assert told["bytes"] > 0 < told["seconds"]
    asked = set(server.request_log.snapshot().by_path)
    assert not any(path.endswith(".jpg") for path in asked)
    # It is no wish: verify still speaks of the shard.
    assert machine.run("verify", "--jpg").code == 0


def test_ls_needs_no_server_where_everything_is_here(
    machine: Machine, server: MiniPhysioNet
) -> None:
    assert machine.pull("--jpg", "--split", "test").code == 0
    root = machine.dest / JPG / VERSION
    machine.base_url = "https://127.0.0.1:1/files"

    listed = machine.run("ls", "--jpg", "--split", "test")

    assert listed.code == 0, listed.err
    assert set(listed.out.split()) == here(root)
    sums = machine.run("ls", "--jpg", "--split", "test", "--format", "sha256sum").out
    assert sums.count("\n") == len(here(root))


def test_where_the_tables_are_that_people_look_for_in_vain(machine: Machine) -> None:
    done = machine.run("pull", "--dicom", "--metadata-only")

    assert done.code == 0, done.err
    assert "mimic-cxr-jpg" in done.err
    assert here(machine.dest / DICOM / VERSION) == {
        "LICENSE.txt",
        "cxr-provider-list.csv.gz",
        "cxr-record-list.csv.gz",
        "cxr-study-list.csv.gz",
    }


def test_a_file_whose_name_is_not_utf8_is_extra_and_ends_nothing(machine: Machine) -> None:
    assert machine.pull("--jpg", "--only", "docs").code == 0
    root = machine.dest / JPG / VERSION
    with open(bytes(root) + b"/caf\xe9.txt", "wb"):
        pass
    for words in ((), ("--json",), ("--repair",)):
        done = machine.run("verify", "--jpg", *words)
        assert done.code == 0, done.err
    assert "1 extra" in machine.run("verify", "--jpg").out + machine.run("verify", "--jpg").err
