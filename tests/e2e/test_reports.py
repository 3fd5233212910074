"""All reports in one archive, and the reports beside the images; an archive is never believed."""

import csv
import gzip
import hashlib
import io
import json
import signal
import struct
import zipfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import pytest
from e2e.linked_copy import names, rewrite
from e2e.stage import (
    DICOM,
    JPG,
    VERSION,
    Ended,
    Machine,
    files_below,
    fingerprint,
    sha256sum,
)

from cxrsync.demo.data.tree import MARKER, TreeSpec, make_tree
from cxrsync.demo.server import faults
from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.transfer.segments import MIN_SHARE

Serve = Callable[..., MiniPhysioNet]
MakeMachine = Callable[[MiniPhysioNet], Machine]

MANIFEST = "SHA256SUMS.txt"
ARCHIVE = "mimic-cxr-reports.zip"
SPLIT = "mimic-cxr-2.0.0-split.csv.gz"
REPORTS = ("--dicom", "--only", "reports")
SUBJECT = "p10000032"


def listed(root: Path) -> dict[str, str]:
    """What a manifest says: digest by path."""
    lines = (root / MANIFEST).read_text().splitlines()
    return {path: digest for digest, path in (line.split(" ", 1) for line in lines)}


def reports_in(paths: Iterable[str]) -> set[str]:
    return {path for path in paths if path.endswith(".txt") and path.startswith("files/")}


def here(machine: Machine, dataset: str = DICOM) -> dict[str, str]:
    """What lies in the tree: digest by path. The manifest, which has none, is left out."""
    found = fingerprint(machine.dest / dataset / VERSION)
    del found[MANIFEST]
    return {path: digest for path, (digest, _time) in found.items()}


def in_work(machine: Machine) -> list[str]:
    """What is left in the partial folders."""
    return [path.name for path in machine.dest.rglob(".cxrsync/*/partial/*")]


def bytes_in_work(machine: Machine) -> int:
    """The bytes of the largest partial, without its holes."""
    sizes = [0]
    for path in machine.dest.rglob(".cxrsync/*/partial/*"):
        with suppress(FileNotFoundError):
            found = path.stat()
            sizes.append(min(found.st_size, found.st_blocks * 512))
    return max(sizes)


def notes(ended: Ended) -> str:
    return "\n".join(event["text"] for event in ended.events if event["event"] == "notice")


def missing(status: Ended) -> int:
    """How many files a ``status --json`` misses."""
    return sum(share["missing"] for share in status.summary["partitions"].values())


def asked(server: MiniPhysioNet, dataset: str = DICOM) -> set[str]:
    start = f"{dataset}/{VERSION}/"
    counts = server.request_log.snapshot().by_path
    return {
        path.removeprefix(start)
        for path, each in counts.items()
        if each.requests and path.startswith(start)
    }


def bytes_of_archive(server: MiniPhysioNet) -> int:
    count = server.request_log.snapshot().by_path.get(f"{DICOM}/{VERSION}/{ARCHIVE}")
    return count.bytes_sent if count else 0


@pytest.fixture
def dicom(files_root: Path) -> Path:
    return files_root / DICOM / VERSION


# ── by the archive, or one by one ──────────────────────────────────────────────────────────────


def test_all_reports_come_in_one_archive(
    machine: Machine, server: MiniPhysioNet, dicom: Path
) -> None:
    done = machine.pull(*REPORTS)

    assert done.code == 0, done.err
    expected = {path: digest for path, digest in listed(dicom).items() if reports_in([path])}
    assert len(expected) > 40
    assert here(machine) == expected
    assert {path.parts[0] for path in files_below(machine.dest)} == {DICOM}
    assert not in_work(machine)
    counts = server.request_log.snapshot()
    assert asked(server) == {MANIFEST, ARCHIVE}
    assert bytes_of_archive(server) == (dicom / ARCHIVE).stat().st_size + 1  # how large is it?
    assert (counts.password_checks, counts.statuses[404]) == (1, 0)
    assert counts.requests == done.summary["requests"] <= 5
    files = done.summary["files"]
    assert files["selected"] == files["fetched"] == files["copied"] == len(expected)
    # The archive's time is the only one that came with it.
    root = machine.dest / DICOM / VERSION
    times = {time for _digest, time in fingerprint(root, below="files/").values()}
    assert times == {int((dicom / ARCHIVE).stat().st_mtime)}

    assert sha256sum(root, "--ignore-missing").returncode == 0
    verified = machine.run("verify", "--dicom", "--json")
    assert (verified.code, verified.summary["files"]["good"]) == (0, len(expected))
    server.request_log.reset()
    again = machine.pull(*REPORTS)
    assert again.code == 0
    assert again.event("plan")["present"] == len(expected)
    assert server.request_log.snapshot().requests <= 3
    assert asked(server) == {MANIFEST}


@pytest.mark.parametrize(
    ("words", "below", "by_archive"),
    [
        ("--reports files", "files/", False),
        ("--shard p11", "files/p11/", True),
        (f"--subject {SUBJECT}", f"files/p10/{SUBJECT}/", False),
        (f"--subject {SUBJECT} --reports zip", f"files/p10/{SUBJECT}/", True),
    ],
)
def test_the_way_that_asks_less(
    machine: Machine, server: MiniPhysioNet, dicom: Path, words: str, below: str, by_archive: bool
) -> None:
    done = machine.pull(*REPORTS, *words.split())

    assert done.code == 0, done.err
    expected = {path for path in reports_in(listed(dicom)) if path.startswith(below)}
    assert set(here(machine)) == expected
    assert sha256sum(machine.dest / DICOM / VERSION, "--ignore-missing").returncode == 0
    assert asked(server) == {MANIFEST} | ({ARCHIVE} if by_archive else expected)
    assert not in_work(machine)
    counts = server.request_log.snapshot().by_path
    assert by_archive or all(counts[f"{DICOM}/{VERSION}/{each}"].requests == 1 for each in expected)


def test_a_whole_version_keeps_each_reports_own_time(
    machine: Machine, server: MiniPhysioNet, dicom: Path
) -> None:
    words = ("--dicom", "--shard", "p11")
    assert machine.pull(*words).code == 0
    root = machine.dest / DICOM / VERSION
    assert fingerprint(root, below="files/") == fingerprint(dicom, below="files/p11/")
    assert ARCHIVE not in asked(server)


def test_an_archive_that_is_larger_than_its_reports_are_many(
    serve: Serve, make_machine: MakeMachine, tmp_path: Path
) -> None:
    root = make_tree(tmp_path / "files", DICOM, VERSION, TreeSpec(3, 0, zip_bytes=1 << 20)).root
    server = serve(tmp_path / "files")
    expected = reports_in(listed(root))
    assert 8 <= len(expected) < 20

    assert make_machine(server).pull(*REPORTS).code == 0
    assert asked(server) == {MANIFEST, ARCHIVE} | expected
    assert bytes_of_archive(server) == 1


def test_an_archive_that_is_asked_for_too_stays_and_comes_once(
    machine: Machine, server: MiniPhysioNet, dicom: Path
) -> None:
    done = machine.pull(*REPORTS, "--only", "archives")

    assert done.code == 0, done.err
    assert set(here(machine)) == reports_in(listed(dicom)) | {ARCHIVE}
    assert asked(server) == {MANIFEST, ARCHIVE}
    size = (dicom / ARCHIVE).stat().st_size
    assert bytes_of_archive(server) <= size + 1
    assert sha256sum(machine.dest / DICOM / VERSION, "--ignore-missing").returncode == 0
    there = machine.dest / DICOM / VERSION / ARCHIVE
    assert int(there.stat().st_mtime) == int((dicom / ARCHIVE).stat().st_mtime)
    assert not in_work(machine)
    again = machine.pull(*REPORTS, "--only", "archives").event("plan")
    assert (again["to_fetch"], again["to_hash"]) == (0, 0)


def test_an_archive_that_is_here_is_not_fetched_again(
    machine: Machine, server: MiniPhysioNet, dicom: Path
) -> None:
    assert machine.pull("--dicom", "--only", "archives").code == 0
    server.request_log.reset()

    done = machine.pull(*REPORTS)

    assert done.code == 0, done.err
    assert set(here(machine)) == reports_in(listed(dicom)) | {ARCHIVE}
    assert asked(server) == {MANIFEST}
    # Should it have rotted meanwhile, it is no use, and none of its reports is taken on trust.
    there = machine.dest / DICOM / VERSION / ARCHIVE
    there.write_bytes(there.read_bytes()[:-40])
    for path in (machine.dest / DICOM / VERSION / "files").rglob("*.txt"):
        path.unlink()
    assert machine.pull(*REPORTS).code == 0
    assert set(here(machine)) == reports_in(listed(dicom)) | {ARCHIVE}
    assert bytes_of_archive(server) == (dicom / ARCHIVE).stat().st_size + 1


def test_only_some_files_are_wanted_for_now(machine: Machine, server: MiniPhysioNet) -> None:
    done = machine.pull(*REPORTS, "--max-files", "9")

    assert (done.code, done.summary["files"]["fetched"]) == (9, 9)
    assert len(here(machine)) == 9


# ── killed, interrupted ────────────────────────────────────────────────────────────────────────


def endless(at: int) -> faults.Script:
    """No answer with the archive comes to its end: after so many bytes it drips."""
    return faults.script(faults.Rule(f"*/{ARCHIVE}", faults.drips(at, 50), attempts=None))


@pytest.fixture
def slow(serve: Serve, tmp_path: Path) -> MiniPhysioNet:
    """Sends three quarters of an archive of 200 KB, and drips the rest."""
    make_tree(tmp_path / "files", DICOM, VERSION, TreeSpec(10, 0, zip_bytes=200_000))
    return serve(tmp_path / "files", faults=endless(150_000))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_stopped_while_the_archive_comes(
    slow: MiniPhysioNet, make_machine: MakeMachine, tmp_path: Path, number: signal.Signals
) -> None:
    machine = make_machine(slow)
    stopped = machine.interrupt(lambda: bytes_in_work(machine) > 100_000, number, *REPORTS)
    assert stopped.code == (130 if number == signal.SIGINT else -number)
    assert len(in_work(machine)) == 2  # the archive so far, and what binds it
    sent = bytes_of_archive(slow)
    assert not list(machine.dest.rglob("*.txt"))[1:]  # the manifest alone
    assert slow.request_log.snapshot().password_checks == 1

    slow.set_behaviour(faults=None)
    done = machine.pull(*REPORTS)

    assert done.code == 0, done.err
    source = tmp_path / "files" / DICOM / VERSION
    assert set(here(machine)) == reports_in(listed(source))
    assert asked(slow) == {MANIFEST, ARCHIVE}
    assert bytes_of_archive(slow) - sent < 200_000 - 70_000
    assert not in_work(machine)
    assert slow.request_log.snapshot().password_checks == 2


def test_an_interrupt_keeps_every_byte_of_an_archive_in_segments(
    serve: Serve, make_machine: MakeMachine, tmp_path: Path
) -> None:
    spec = TreeSpec(3, 0, zip_bytes=3 * MIN_SHARE)
    source = make_tree(tmp_path / "files", DICOM, VERSION, spec).root
    server = serve(tmp_path / "files", faults=endless(600_000))
    machine = make_machine(server)
    words = (*REPORTS, "--reports", "zip")
    # More than one connection brings before it drips.
    stopped = machine.interrupt(lambda: bytes_in_work(machine) > 1_100_000, signal.SIGINT, *words)
    assert stopped.code == 130
    arrived = stopped.summary["bytes"]["fetched"] - (source / MANIFEST).stat().st_size
    [sidecar] = machine.dest.rglob(".cxrsync/root/partial/*.json")
    ranges = json.loads(sidecar.read_text())["ranges"]
    assert len(ranges) > 1
    assert sum(stop - start for start, stop in ranges) == arrived > 1 << 20

    server.set_behaviour(faults=None)
    done = machine.pull(*words)
    assert done.code == 0
    size = (source / ARCHIVE).stat().st_size
    assert done.summary["bytes"]["fetched"] + arrived == size
    assert not in_work(machine)


def many_reports(root: Path, count: int) -> Path:
    """A version of nothing but reports; each a file of its own, and all in the archive."""
    version = root / DICOM / VERSION
    reports = {
        f"files/p10/p10{number // 50:06}/s{50_000_000 + number}.txt": b"Report %d\n" % number
        for number in range(count)
    }
    for path, text in reports.items():
        (version / path).parent.mkdir(parents=True, exist_ok=True)
        (version / path).write_bytes(text)
    (root / MARKER).touch()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in reports.items():
            archive.writestr(path, text)
    (version / ARCHIVE).write_bytes(buffer.getvalue())
    digests = {path: hashlib.sha256(data) for path, data in reports.items()}
    digests[ARCHIVE] = hashlib.sha256(buffer.getvalue())
    lines = [f"{digest.hexdigest()} {path}\n" for path, digest in digests.items()]
    (version / MANIFEST).write_text("".join(lines))
    return version


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_stopped_while_it_is_unpacked(
    serve: Serve, make_machine: MakeMachine, tmp_path: Path, number: signal.Signals
) -> None:
    source = many_reports(tmp_path / "files", 1_500)
    server = serve(tmp_path / "files")
    machine = make_machine(server)
    root = machine.dest / DICOM / VERSION
    stopped = machine.interrupt((root / "files/p10").exists, number, *REPORTS)
    assert stopped.code == (130 if number == signal.SIGINT else -number)
    before = len(list((root / "files").rglob("*.txt")))
    assert before < 1_500
    assert sha256sum(root, "--ignore-missing").returncode in {0, 1}  # 1: none has its name yet
    server.request_log.reset()

    done = machine.pull(*REPORTS)

    assert done.code == 0, done.err
    assert set(here(machine)) == reports_in(listed(source))
    assert sha256sum(root, "--ignore-missing").returncode == 0
    # The archive is here: a byte of it tells how large it is, another that it is all there.
    assert bytes_of_archive(server) <= 2
    assert asked(server) <= {MANIFEST, ARCHIVE}
    assert server.request_log.snapshot().password_checks <= 1
    assert done.summary["files"]["fetched"] + before == 1_500
    assert not in_work(machine)


def test_a_few_reports_do_not_go_on_with_an_archive_that_has_hardly_begun(
    serve: Serve, make_machine: MakeMachine, tmp_path: Path
) -> None:
    spec = TreeSpec(3, 0, zip_bytes=400_000)
    source = make_tree(tmp_path / "files", DICOM, VERSION, spec).root
    server = serve(tmp_path / "files", faults=endless(100_000))
    machine = make_machine(server)
    words = (*REPORTS, "--reports", "zip")
    begun = machine.interrupt(lambda: bytes_in_work(machine) > 80_000, signal.SIGINT, *words)
    assert begun.code == 130
    server.set_behaviour(faults=None)
    server.request_log.reset()

    done = machine.pull(*REPORTS, "--subject", SUBJECT)

    assert done.code == 0, done.err
    assert set(here(machine)) == {each for each in reports_in(listed(source)) if SUBJECT in each}
    assert ARCHIVE not in asked(server)


# ── an archive that lies ───────────────────────────────────────────────────────────────────────

Members = dict[str, bytes]


def pack(members: Iterable[tuple[str, bytes]], *, deflated: bool = False) -> bytes:
    buffer = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members:
            archive.NameToInfo.pop(name, None)  # it would warn of a name that comes twice
            archive.writestr(name, data)
    return buffer.getvalue()


def named_otherwise(rename: Callable[[str], str]) -> Callable[[Members], bytes]:
    def lie(members: Members) -> bytes:
        [first, *others] = members.items()
        return pack([(rename(first[0]), first[1]), *others])

    return lie


def with_other_bytes(members: Members) -> bytes:
    [first, second, *others] = members.items()
    return pack([(first[0], second[1] + b"."), *others, (second[0], b"")])


def twice(members: Members) -> bytes:
    """The first of a name is wrong, the second right; and the other way round."""
    [first, second, *others] = members.items()
    wrong = [(first[0], b"wrong"), second, (second[0], b"wrong too")]
    return pack([*wrong, first, *others])


def flagged(flag: int) -> Callable[[Members], bytes]:
    def lie(members: Members) -> bytes:
        data = bytearray(pack(members.items()))
        at = -1
        while (at := data.find(b"PK\1\2", at + 1)) >= 0:
            struct.pack_into("<H", data, at + 8, flag)
        return bytes(data)

    return lie


def another_size(members: Members) -> bytes:
    """Of the first claimed one byte less, of the second one more, of the third 4 GB."""
    data = bytearray(pack(members.items(), deflated=True))
    at = -1
    for claimed in (-1, 1, (1 << 32) - 2):
        at = data.find(b"PK\1\2", at + 1)
        [size] = struct.unpack_from("<L", data, at + 24)
        struct.pack_into("<L", data, at + 24, claimed if claimed > 1 else size + claimed)
    return bytes(data)


def bomb(members: Members) -> bytes:
    [first, second, *others] = members.items()
    zeros = bytes(17 << 20)
    data = bytearray(pack([(first[0], zeros), (second[0], zeros), *others], deflated=True))
    # The second owns up to no more than the report has.
    at = data.find(b"PK\1\2", data.find(b"PK\1\2") + 1)
    struct.pack_into("<L", data, at + 24, len(second[1]))
    return bytes(data)


LIES: dict[str, tuple[Callable[[Members], bytes], int | None]] = {
    # How many reports are left to be fetched file by file; None: all.
    "above": (named_otherwise(lambda name: f"../../../{Path(name).name}"), 1),
    "inside and out": (named_otherwise(lambda name: f"files/../{name}"), 1),
    "another case": (named_otherwise(str.upper), 1),
    "not in the manifest": (named_otherwise(lambda name: f"{name}.bak"), 1),
    "a folder's name": (named_otherwise(lambda name: f"{name}/"), 1),
    "the manifest's name": (named_otherwise(lambda _name: MANIFEST), 1),
    "our own folder": (named_otherwise(lambda _name: ".cxrsync/tree.json"), 1),
    "backslashes": (named_otherwise(lambda name: name.replace("/", "\\")), 1),
    "other bytes": (with_other_bytes, 2),
    "one is missing": (lambda members: pack(list(members.items())[1:]), 1),
    "all are missing": (lambda _members: pack([]), None),
    "names twice": (twice, 0),
    "encrypted": (flagged(0x0001), None),
    "sizes": (another_size, 3),
    "truncated": (lambda members: pack(members.items())[:-200], None),
    "no directory": (lambda members: pack(members.items())[:-5_000], None),
    "a flaw in the middle": (
        lambda members: pack(members.items())[::-1].replace(b"\2\1KP", b"....", 1)[::-1], 1
    ),
    "no zip": (lambda _members: b"<html>Maintenance</html>", None),
    "nothing": (lambda _members: b"", None),
    "a bomb": (bomb, 2),
}  # fmt: skip


def republish(root: Path, name: str, data: bytes) -> None:
    """Another content for a file, with its right digest in the manifest."""
    digests = [hashlib.sha256(each).hexdigest() for each in ((root / name).read_bytes(), data)]
    rewrite(root / name, data)
    (root / MANIFEST).write_text((root / MANIFEST).read_text().replace(*digests))


@pytest.mark.parametrize("lie", LIES)
def test_an_archive_that_lies(
    serve: Serve, make_machine: MakeMachine, own_files: Path, tmp_path: Path, lie: str
) -> None:
    source = own_files / DICOM / VERSION
    wanted = reports_in(listed(source))
    make, left = LIES[lie]
    members = {path: (source / path).read_bytes() for path in sorted(wanted)}
    republish(source, ARCHIVE, make(members))
    server = serve(own_files)
    machine = make_machine(server)
    before = names(tmp_path)

    done = machine.pull(*REPORTS, "--reports", "zip")

    assert done.code == 0, done.err
    assert here(machine) == {path: listed(source)[path] for path in wanted}
    inside = f"{machine.dest}/"
    assert {path for path in names(tmp_path) if not path.startswith(inside)} == (
        before | {str(machine.dest)}
    )
    assert [path.name for path in machine.dest.iterdir()] == [DICOM]
    assert bytes_of_archive(server) == (source / ARCHIVE).stat().st_size
    count = len(wanted) if left is None else left
    assert len(reports_in(asked(server))) == count
    assert ("the other reports are fetched one by one" in notes(done)) == (count > 0)
    assert not in_work(machine)


def test_a_name_that_leads_to_the_root_of_the_disk(
    serve: Serve, make_machine: MakeMachine, own_files: Path, tmp_path: Path
) -> None:
    source = own_files / DICOM / VERSION
    evil = tmp_path / "evil.txt"
    members = {path: (source / path).read_bytes() for path in sorted(reports_in(listed(source)))}
    republish(source, ARCHIVE, pack([(str(evil), b"evil"), *list(members.items())[1:]]))

    assert (machine := make_machine(serve(own_files))).pull(*REPORTS).code == 0
    assert set(here(machine)) == set(members)
    assert not evil.exists()


@pytest.mark.parametrize("harm", ["other bytes", "gone", "unlisted"])
def test_an_archive_that_is_not_the_one_in_the_manifest(
    serve: Serve, make_machine: MakeMachine, own_files: Path, harm: str
) -> None:
    source = own_files / DICOM / VERSION
    wanted = reports_in(listed(source))
    archive = source / ARCHIVE
    if harm == "gone":
        archive.unlink()
    elif harm == "unlisted":
        lines = (source / MANIFEST).read_text().splitlines(keepends=True)
        (source / MANIFEST).write_text("".join(line for line in lines if ARCHIVE not in line))
    else:
        archive.write_bytes(archive.read_bytes() + b".")
    server = serve(own_files)
    machine = make_machine(server)

    done = machine.pull(*REPORTS)

    assert done.code == 0, done.err
    assert set(here(machine)) == wanted == reports_in(asked(server))
    assert (f"{ARCHIVE} does not have the digest in the manifest" in notes(done)) == (
        harm == "other bytes"
    )
    assert not in_work(machine)
    server.request_log.reset()
    assert machine.pull(*REPORTS).code == 0
    assert asked(server) == {MANIFEST}


def test_a_wrong_archive_that_is_asked_for_is_the_publishers_fault(
    serve: Serve, make_machine: MakeMachine, own_files: Path
) -> None:
    source = own_files / DICOM / VERSION
    with (source / ARCHIVE).open("ab") as file:
        file.write(b".")
    machine = make_machine(serve(own_files))

    done = machine.pull(*REPORTS, "--only", "archives")

    assert done.code == 6
    assert [each["path"] for each in done.summary["problems"]] == [ARCHIVE]
    assert set(here(machine)) == reports_in(listed(source))


# ── the reports of the images that are meant ───────────────────────────────────────────────────


def image_of(path: str) -> str:
    return Path(path).stem if path.endswith(".jpg") else ""


def report_of(path: str) -> str:
    """The report of an image's study."""
    return f"{path.rpartition('/')[0]}.txt"


def is_table(path: str) -> bool:
    return "/" not in path and path.endswith((".csv", ".csv.gz"))


def images_of_split(jpg: Path, name: str) -> set[str]:
    text = gzip.decompress((jpg / SPLIT).read_bytes()).decode()
    meant = {row["dicom_id"] for row in csv.DictReader(io.StringIO(text)) if row["split"] == name}
    return {path for path in listed(jpg) if image_of(path) in meant}


def test_a_split_with_its_reports(
    machine: Machine, server: MiniPhysioNet, jpg: Path, dicom: Path
) -> None:
    done = machine.pull("--jpg", "--split", "test", "--with-reports")

    assert done.code == 0, done.err
    images = images_of_split(jpg, "test")
    reports = {report_of(path) for path in images}
    assert len(images) > len(reports) > 4
    assert set(here(machine, JPG)) == images | set(filter(is_table, listed(jpg)))
    assert set(here(machine)) == reports
    for dataset in (JPG, DICOM):
        assert sha256sum(machine.dest / dataset / VERSION, "--ignore-missing").returncode == 0
    assert not in_work(machine)
    counts = server.request_log.snapshot()
    assert counts.password_checks == 1
    assert counts.requests == done.summary["requests"]
    assert asked(server) == {MANIFEST, ARCHIVE}
    assert done.summary["files"]["selected"] == len(here(machine, JPG)) + len(reports)
    told = {event["path"] for event in done.events if event["event"] == "file"}
    assert {path for path in told if path.endswith(".txt")} <= {
        f"{DICOM}/{VERSION}/{path}" for path in reports
    }

    status = machine.run("status", "--dicom", "--json")
    assert (status.code, missing(status)) == (0, 0)
    verified = machine.run("verify", "--dicom", "--json")
    assert verified.code == 0
    assert (
        verified.summary["files"] | {"selected": len(reports), "good": len(reports)}
        == (verified.summary["files"])
    )
    server.request_log.reset()
    assert machine.pull("--jpg", "--split", "test", "--with-reports").code == 0
    assert asked(server) == asked(server, JPG) == {MANIFEST}


@pytest.mark.parametrize(
    "words",
    [
        "--image 02aa804e-bde0afdd-112c0b34-7bc16630-4e384014",
        "--sample 5",
        "--limit 3",
        "--shard p10",
        "--subject 10000032 --only images",
        "--lateral --shard p11",
        "--label Pneumonia=1 --no-tables",
        "--exclude files/p1[1-9]/*",
        "",
    ],
)
def test_the_reports_of_whatever_images(
    machine: Machine, server: MiniPhysioNet, jpg: Path, words: str
) -> None:
    done = machine.pull("--jpg", *words.split(), "--with-reports")

    assert done.code == 0, done.err
    images = set(filter(image_of, here(machine, JPG)))
    assert images
    assert words or images == set(filter(image_of, listed(jpg)))
    assert set(here(machine)) == {report_of(path) for path in images}
    assert sha256sum(machine.dest / DICOM / VERSION, "--ignore-missing").returncode == 0
    assert server.request_log.snapshot().password_checks == 1
    assert missing(machine.run("status", "--dicom", "--json")) == 0


def test_without_the_agreement_of_the_reports_nothing_is_fetched(
    serve: Serve, make_machine: MakeMachine
) -> None:
    server = serve(agreements=frozenset({JPG}))
    machine = make_machine(server)

    refused = machine.pull("--jpg", "--split", "test", "--with-reports")

    assert refused.code == 4
    assert "https://physionet.org/content/mimic-cxr/" in refused.err
    assert "--with-reports" in refused.err
    assert not asked(server, JPG)
    assert server.request_log.snapshot().requests <= 4
    assert not (machine.dest / DICOM).exists()
    # It is not for want of the images' own.
    assert machine.pull("--jpg", "--split", "test").code == 0


def test_a_server_without_the_dataset_of_the_reports(
    serve: Serve, make_machine: MakeMachine, tmp_path: Path
) -> None:
    make_tree(tmp_path / "files", JPG, VERSION, TreeSpec(3, 0))
    server = serve(tmp_path / "files")
    machine = make_machine(server)

    refused = machine.pull("--jpg", "--with-reports")

    assert (refused.code, "has no mimic-cxr 2.1.0" in refused.err) == (2, True)
    assert not asked(server, JPG)
    assert not (machine.dest / DICOM).exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--dicom", "The option is for --jpg"),
        ("--jpg --only tables", "no image is selected"),
        ("--jpg --metadata-only", "no image is selected"),
        ("--jpg --reports zap", "Did you mean zip?"),
    ],
)
def test_what_cannot_be_meant(
    machine: Machine, server: MiniPhysioNet, words: str, said: str
) -> None:
    refused = machine.pull(*words.split(), "--with-reports")

    assert (refused.code, said in refused.err) == (2, True)
    assert server.request_log.snapshot().requests == 0
    assert not machine.dest.exists()


def test_stopped_before_the_reports_and_gone_on_with(
    machine: Machine, server: MiniPhysioNet, jpg: Path
) -> None:
    words = ("--jpg", "--shard", "p11", "--with-reports")
    assert machine.pull(*words, "--max-files", "4").code == 9
    assert not (machine.dest / DICOM / VERSION / "files").exists()

    done = machine.pull(*words)

    assert done.code == 0, done.err
    images = set(filter(image_of, here(machine, JPG)))
    assert images == {path for path in listed(jpg) if path.startswith("files/p11/")}
    assert set(here(machine)) == {report_of(path) for path in images}


def test_into_a_versions_own_folder(machine: Machine, jpg: Path) -> None:
    """There is no place beside it then that is ours."""
    root = machine.dest
    root.mkdir(parents=True)
    (root / MANIFEST).write_bytes((jpg / MANIFEST).read_bytes())

    done = machine.pull("--jpg", "--subject", SUBJECT, "--with-reports")

    assert done.code == 0, done.err
    images = {str(path) for path in files_below(root) if image_of(str(path))}
    reports = root / ".cxrsync/beside" / DICOM / VERSION
    assert str(reports) in notes(done)
    assert {str(path.relative_to(reports)) for path in reports.rglob("*.txt")} == (
        {report_of(path) for path in images} | {MANIFEST}
    )
