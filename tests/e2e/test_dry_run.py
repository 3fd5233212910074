"""What a pull would do, foretold: by what is here, by what is published, and against the disk."""

import hashlib
import json
import re
import shutil
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from e2e.stage import (
    DICOM,
    JPG,
    PATIENCE,
    VERSION,
    Ended,
    Machine,
    files_below,
    fingerprint,
    image_bytes_sent,
    image_requests,
    wait_until,
)

from cxrsync.demo.data.images import noise
from cxrsync.demo.data.tree import MARKER
from cxrsync.demo.server.server import MiniPhysioNet

Serve = Callable[..., MiniPhysioNet]
MakeMachine = Callable[[MiniPhysioNet], Machine]
SmallDisk = Callable[[str], Path]

MANIFEST = "SHA256SUMS.txt"
SPLIT = "mimic-cxr-2.0.0-split.csv.gz"
LEARNED = "sizes learned so far"
PUBLISHED = "the version's published total"


@pytest.fixture
def server(shared_server: MiniPhysioNet) -> MiniPhysioNet:
    return shared_server


def manifest(root: Path) -> dict[str, str]:
    lines = (root / MANIFEST).read_text().splitlines()
    return {line[65:]: line[:64] for line in lines}


def partition_and_kind(path: str) -> tuple[str, str]:
    """As the two trees are made: none of our modules asked."""
    kinds = {"jpg": "images", "dcm": "images", "gz": "tables", "csv": "tables", "zip": "archives"}
    if path.startswith("files/"):
        kind = "reports" if path.endswith(".txt") else "images"
        return path.split("/")[1], kind
    return "root", kinds.get(path.rpartition(".")[2], "docs")


def counted(told: dict[str, Any], what: str) -> Counter[tuple[str, str]]:
    """The files of a forecast that are present, unproved or missing, by partition and kind."""
    found = {(each["partition"], each["kind"]): each[what] for each in told["files"]}
    return +Counter(found)


def counts(paths: set[str]) -> Counter[tuple[str, str]]:
    return Counter(map(partition_and_kind, paths))


def size_of(root: Path) -> int:
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


def foretell(machine: Machine, *words: str, code: int = 0) -> dict[str, Any]:
    """The one object that ``--json`` prints."""
    done = machine.run("pull", "--dry-run", "--json", *words)
    assert done.code == code, done.err
    [line] = done.out.splitlines()
    told: dict[str, Any] = json.loads(line)
    assert told["event"] == "forecast"
    return told


# ── an empty destination ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("dataset", [JPG, DICOM])
def test_a_whole_version(
    machine: Machine, server: MiniPhysioNet, files_root: Path, dataset: str
) -> None:
    root = files_root / dataset / VERSION

    told = foretell(machine, "--jpg" if dataset == JPG else "--dicom")

    assert (told["dataset"], told["version"]) == (dataset, VERSION)
    assert counted(told, "missing") == counts(set(manifest(root)))
    assert counted(told, "present") == counted(told, "unproved") == Counter()
    # The site counts the manifest too. To the byte: the kinds share it, and nothing is lost.
    assert (told["bytes"], told["basis"]) == (size_of(root), [PUBLISHED])
    assert told["bytes_from_source"] == told["need"]["bytes"] == told["bytes"]
    assert told["files_of_unknown_size"] == 0
    assert told["seconds"] is None
    folders = {path.parent for path in root.rglob("*") if path.is_file()} - {root}
    folders |= {above for folder in folders for above in folder.parents if root in above.parents}
    assert told["need"]["files"] == len(manifest(root)) + len(folders)
    free = shutil.disk_usage(machine.dest).free
    assert told["free"]["bytes"] == pytest.approx(free, rel=0.05)
    assert told["fits"] is True


def test_nothing_is_fetched_or_remembered(machine: Machine, server: MiniPhysioNet) -> None:
    told = foretell(machine, "--jpg", "--split", "test", "--shard", "p10-p15")

    assert image_bytes_sent(server) == 0
    root = machine.dest / JPG / VERSION
    assert {str(path) for path in files_below(root)} == {MANIFEST, SPLIT}
    assert counted(told, "missing").total() > 4
    verified = machine.run("verify", "--json", "--progress", "none")
    assert (verified.code, verified.summary["selection"]) == (0, "what is there")
    assert (
        verified.summary["files"] | {"good": 1, "selected": 1, "missing": 0}
        == (verified.summary["files"])
    )

    assert machine.pull("--jpg", "--shard", "p19", "--no-tables").code == 0
    foretell(machine, "--jpg", "--shard", "p10")
    verified = machine.run("verify", "--json", "--progress", "none")
    assert verified.code == 0, verified.err
    assert verified.summary["selection"] == "p19"


def test_what_it_tells_is_what_the_pull_then_does(machine: Machine, server: MiniPhysioNet) -> None:
    words = ("--dicom", "--split", "test", "--sample", "6")
    told = foretell(machine, *words)
    done = machine.pull(*words)
    assert done.code == 0
    missing = counted(told, "missing").total()
    assert missing == done.event("plan")["to_fetch"] > 0
    after = foretell(machine, *words)
    assert counted(after, "present").total() == missing
    assert (after["bytes"], after["basis"], after["need"]["bytes"]) == (0, [], 0)


# ── a part is here ─────────────────────────────────────────────────────────────────────────────


def last_rate(root: Path) -> float:
    """Bytes per second, as the states have noted them."""
    rates = []
    for file in root.glob(".cxrsync/*/state.sqlite3"):
        db = sqlite3.connect(file)
        rates += db.execute("SELECT at, bytes / seconds FROM rate WHERE bytes > 0").fetchall()
        db.close()
    return float(max(rates)[1])


def test_a_part_is_here(machine: Machine, server: MiniPhysioNet, jpg: Path) -> None:
    assert machine.pull("--jpg", "--shard", "p10,p11").code == 0
    root = machine.dest / JPG / VERSION
    here = {str(path) for path in files_below(root)} - {MANIFEST}
    lost, changed = sorted(path for path in here if path.endswith(".jpg"))[:2]
    (root / lost).unlink()
    (root / changed).write_bytes(b"something else")
    (root / "files/p12").symlink_to(root / "files/p11")  # no folder of ours: nothing is there
    (root / "files/p12").unlink()
    stray = next(path for path in manifest(jpg) if path.startswith("files/p12/"))
    (root / stray).parent.mkdir(parents=True)
    shutil.copy2(jpg / stray, root / stray)

    told = foretell(machine, "--jpg", "--only", "images")

    images = {path for path in manifest(jpg) if path.endswith(".jpg")}
    present = (here & images) - {lost, changed}
    unproved = {changed, stray}
    assert counted(told, "present") == counts(present)
    assert counted(told, "unproved") == counts(unproved)
    assert counted(told, "missing") == counts(images - present - unproved)
    # What is here tells how large the others will be; of the lost one the size is known.
    assert told["basis"] == [LEARNED]
    known = [(root / path).stat().st_size for path in present | unproved]
    known.append(lost_size := (jpg / lost).stat().st_size)
    others = len(images - present - unproved) - 1
    assert told["bytes"] == pytest.approx(lost_size + others * sum(known) / len(known), abs=1)
    assert told["seconds"] == pytest.approx(told["bytes"] / last_rate(root))

    said = machine.run("pull", "--jpg", "--only", "images", "--dry-run").out
    assert f"by {LEARNED}" in said
    assert "the rate of the last pull" in said
    assert re.search(r"^p12 +images +\d+ +0 +1 +\d+ ", said, re.MULTILINE)


def test_a_pull_was_killed(serve: Serve, make_machine: MakeMachine, jpg: Path) -> None:
    server = serve(rate=32_000)
    machine = make_machine(server)
    words = ("--jpg", "--shard", "p10-p12", "--no-tables")
    killed = machine.interrupt(lambda: image_bytes_sent(server) > 250_000, signal.SIGKILL, *words)
    assert killed.code == -signal.SIGKILL
    root = machine.dest / JPG / VERSION
    partials = [
        path
        for path in root.glob(".cxrsync/p1?/partial/*")
        if re.fullmatch(r"[0-9a-f]{64}\.[0-9a-f]{32}", path.name)
    ]
    assert partials
    server.request_log.reset()

    told = foretell(machine, *words)

    begun = sum(path.stat().st_blocks * 512 for path in partials)
    assert told["resumable"] == {"files": len(partials), "bytes": begun}
    assert told["bytes_from_source"] == told["bytes"] - begun
    assert told["need"]["bytes"] == told["bytes"] - begun
    here = {str(path) for path in files_below(root)} - {MANIFEST}
    wanted = {
        path for path in manifest(jpg) if path.startswith(("files/p10", "files/p11", "files/p12"))
    }
    # What was not recorded any more has to be proved.
    assert counted(told, "present") + counted(told, "unproved") == counts(here)
    assert counted(told, "missing") == counts(wanted - here)
    # Of the killed run, bytes may still be on their way.
    assert image_requests(server) == 0
    assert f"{len(partials)} file" in machine.run("pull", "--dry-run", *words).out
    server.set_behaviour(rate=None)
    assert machine.pull(*words).code == 0
    assert foretell(machine, *words)["resumable"] == {"files": 0, "bytes": 0}


def test_an_older_version_is_here(
    machine: Machine, server: MiniPhysioNet, files_root: Path
) -> None:
    old, new = (manifest(files_root / JPG / version) for version in ("2.0.0", VERSION))
    newest = ("--jpg", "--dataset-version", VERSION)
    assert machine.run("ls", "--jpg", "--dataset-version", "2.0.0").code == 0
    # Its manifest alone holds no image.
    assert foretell(machine, *newest)["to_take"] == 0
    assert machine.pull("--jpg", "--dataset-version", "2.0.0", "--shard", "p10-p14").code == 0

    told = foretell(machine, *newest)

    here = {str(path) for path in files_below(machine.dest / JPG / "2.0.0")} - {MANIFEST}
    digests = {old[path] for path in here}
    assert told["to_take"] == sum(digest in digests for digest in new.values()) > 50
    share = told["to_take"] / len(new)
    assert told["bytes_from_source"] == pytest.approx(told["bytes"] * (1 - share), abs=1)
    said = machine.run("pull", "--dry-run", *newest).out
    assert f"{told['to_take']} files of them are in an older version" in said
    assert "from the server" in said


def test_what_is_linked_takes_no_room(machine: Machine, server: MiniPhysioNet) -> None:
    assert machine.pull("--jpg", "--dataset-version", "2.0.0", "--shard", "p10").code == 0
    words = ("--jpg", "--dataset-version", VERSION, "--shard", "p10", "--link", "hardlink")
    told = foretell(machine, *words)
    assert told["need"]["bytes"] == told["bytes_from_source"] < told["bytes"] / 2


# ── by whose word ──────────────────────────────────────────────────────────────────────────────


def test_from_a_local_tree(machine: Machine, files_root: Path, jpg: Path) -> None:
    told = foretell(machine, "--jpg", "--from", str(files_root))
    assert (told["bytes"], told["basis"]) == (size_of(jpg), [PUBLISHED])


def test_a_site_that_tells_nothing(serve: Serve, make_machine: MakeMachine) -> None:
    # Of a manifest in part, it is not known how many files share the total.
    machine = make_machine(serve())
    machine.base_url = machine.base_url.replace("/files", "/nowhere/files")
    done = machine.run("pull", "--jpg", "--dry-run")
    assert done.code == 2
    assert "2.1.0" in done.err


def test_words_for_a_person(machine: Machine, server: MiniPhysioNet) -> None:
    done = machine.run("pull", "--jpg", "--shard", "p10", "--dry-run")
    assert done.code == 0
    head, *rows = done.out.splitlines()
    assert head.split() == ["kind", "total", "verified", "unverified", "missing", "to", "fetch"]
    assert [row.split()[:2] for row in rows[:3]] == [
        ["p10", "images"],
        ["root", "tables"],
        ["all", rows[2].split()[1]],
    ]
    assert "to fetch: about" in done.out
    assert f"(by {PUBLISHED})" in done.out
    assert "duration: unknown" in done.out
    assert "your quota may be lower" in done.out
    assert "resum" not in done.out


def test_the_reports_of_another_dataset_are_not_forgotten_silently(
    machine: Machine, server: MiniPhysioNet
) -> None:
    done = machine.run("pull", "--jpg", "--shard", "p10", "--with-reports", "--dry-run")
    assert done.code == 0
    assert "the reports, which are in mimic-cxr, are not counted" in done.err


def test_ctrl_c(serve: Serve, make_machine: MakeMachine) -> None:
    server = serve(rate=10_000)
    machine = make_machine(server)
    process = machine.start("pull", "--jpg", "--dry-run")
    wait_until(lambda: server.request_log.snapshot().bytes_sent > 4_000)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--jpg --shard p20", "p10"),
        ("--jpg --include *.dcm", "none of them is left"),
        ("--jpg --dataset-version 2.2.0", "2.0.0, 2.1.0"),
    ],
)
def test_usage(machine: Machine, server: MiniPhysioNet, words: str, said: str) -> None:
    ended = machine.run("pull", "--dry-run", *words.split())
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


# ── the disk ───────────────────────────────────────────────────────────────────────────────────


def check_refused(ended: Ended, *said: str) -> None:
    assert ended.code == 7
    for each in ("it will not fit on the disk", "are needed", "are free", "quota", *said):
        assert each in ended.err
    assert "Traceback" not in ended.err


def test_too_few_bytes(
    machine: Machine, server: MiniPhysioNet, jpg: Path, small_disk: SmallDisk
) -> None:
    machine.dest = small_disk("size=1m")
    told = foretell(machine, "--jpg", code=7)
    assert told["fits"] is False
    assert told["need"]["bytes"] == size_of(jpg) > told["free"]["bytes"]
    check_refused(machine.run("pull", "--jpg", "--dry-run"), "about 1.9 MB", PUBLISHED)
    check_refused(machine.run("pull", "--jpg"), "about 1.9 MB", PUBLISHED, "--force")
    assert image_bytes_sent(server) == 0
    # A refused pull is not remembered, and what fits is let through.
    assert machine.pull("--jpg", "--shard", "p10").code == 0
    assert machine.run("verify", "--jpg").code == 0


def test_too_few_files(machine: Machine, server: MiniPhysioNet, small_disk: SmallDisk) -> None:
    machine.dest = small_disk("size=64m,nr_inodes=100")
    said = "files and folders are needed, the file system has room for"
    check_refused(machine.run("pull", "--jpg", "--dry-run"), said)
    check_refused(machine.run("pull", "--jpg"), said)
    assert image_bytes_sent(server) == 0
    told = foretell(machine, "--jpg", code=7)
    assert told["need"]["files"] > told["free"]["files"] > 0
    assert told["need"]["bytes"] < told["free"]["bytes"]


@pytest.mark.parametrize("options", ["size=1m", "size=64m,nr_inodes=180"])
def test_by_force(
    machine: Machine, server: MiniPhysioNet, jpg: Path, small_disk: SmallDisk, options: str
) -> None:
    machine.dest = small_disk(options)
    assert foretell(machine, "--jpg", "--force")["fits"] is False

    full = machine.pull("--jpg", "--force")

    assert full.code == 7
    assert "will not fit" not in full.err
    there = fingerprint(machine.dest / JPG / VERSION, below="files/")
    assert there
    assert there.items() <= fingerprint(jpg).items()
    subprocess.run(["mount", "-o", "remount,size=64m,nr_inodes=9999", machine.dest], check=True)
    done = machine.pull("--jpg")
    assert done.code == 0, done.err
    assert done.summary["files"]["present"] + done.summary["files"]["adopted"] >= len(there)
    assert fingerprint(machine.dest / JPG / VERSION) == fingerprint(jpg)


def test_what_is_begun_has_its_room_already(
    serve: Serve, make_machine: MakeMachine, tmp_path: Path, small_disk: SmallDisk
) -> None:
    """One archive that fills the disk: to go on with it must not be refused for want of room."""
    root = tmp_path / "files" / "archive" / "1.0"
    root.mkdir(parents=True)
    (tmp_path / "files" / MARKER).touch()
    data = noise("archive", 6 << 20)
    (root / "all.zip").write_bytes(data)
    (root / MANIFEST).write_text(f"{hashlib.sha256(data).hexdigest()} all.zip\n")
    server = serve(tmp_path / "files", rate=1 << 20, open_datasets=frozenset({"archive"}))
    machine = make_machine(server)
    machine.dest = small_disk("size=8m")
    words = ("--dataset", "archive", "--dataset-version", "1.0")
    killed = machine.interrupt(
        lambda: server.request_log.snapshot().bytes_sent > 4 << 20, signal.SIGKILL, *words
    )
    assert killed.code == -signal.SIGKILL

    told = foretell(machine, *words)

    assert told["bytes"] == size_of(root)
    assert told["free"]["bytes"] < len(data)
    assert told["resumable"]["files"] == 1
    assert told["need"]["bytes"] == told["bytes"] - told["resumable"]["bytes"]
    server.set_behaviour(rate=None)
    done = machine.pull(*words)
    assert done.code == 0, done.err
    assert (machine.dest / "archive/1.0/all.zip").read_bytes() == data
