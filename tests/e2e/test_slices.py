"""Of a large manifest only the slice that matters is asked for."""

import grp
import gzip
import hashlib
import json
import os
import random
import shutil
import signal
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

import pytest
from e2e.stage import JPG, VERSION, Machine, files_below, sha256sum

from cxrsync.demo.data.tree import MARKER, manifest_lines
from cxrsync.demo.server.responses import page
from cxrsync.demo.server.server import MiniPhysioNet

Serve = Callable[..., MiniPhysioNet]
MakeMachine = Callable[[MiniPhysioNet], Machine]

LINES = 35_000
MANIFEST = "SHA256SUMS.txt"
METADATA = "mimic-cxr-2.0.0-metadata.csv.gz"
# Two subjects whose files there are; those of all the others need not exist.
SUBJECT, OTHER = "p14777777", "p17999999"
STUDY = "s50111111"
FLAGS = ("--jpg", "--dataset-version", VERSION)


class Large(NamedTuple):
    """A version with a manifest of several MiB."""

    root: Path
    real: Mapping[str, bytes]

    @property
    def size(self) -> int:
        return (self.root / MANIFEST).stat().st_size

    def of(self, *parts: str) -> set[str]:
        """The files below files/ that exist, with one of these in their path."""
        below = (path for path in self.real if path.startswith("files/"))
        return {path for path in below if any(part in path for part in parts)}

    @property
    def tables(self) -> set[str]:
        return {path for path in self.real if path.endswith((".csv", ".csv.gz"))}

    def write(self, name: str, data: bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def image(number: int) -> str:
    digits = f"{number:040x}"
    return "-".join(digits[at : at + 8] for at in range(0, 40, 8))


IMAGE = image(3)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Large:
    folder = tmp_path_factory.mktemp("large") / "files"
    root = folder / JPG / VERSION
    places = [
        f"{subject}/{study}/{image(number)}.jpg"
        for number, (subject, study) in enumerate(
            [(SUBJECT, STUDY), (SUBJECT, STUDY), (SUBJECT, "s50222222"), (SUBJECT, "s50222222"),
             (OTHER, "s50333333"), (OTHER, "s50333333")]
        )
    ]  # fmt: skip
    rows = [place.removesuffix(".jpg").split("/") for place in places]
    metadata = "subject_id,study_id,dicom_id,ViewPosition\n" + "".join(
        f"{subject[1:]},{study[1:]},{name},PA\n" for subject, study, name in rows
    )
    real = {
        "IMAGE_FILENAMES": b"of no use here\n",
        "LICENSE.txt": b"synthetic\n",
        METADATA: gzip.compress(metadata.encode(), mtime=0),
        "mimic-cxr-2.1.0-test-set-labeled.csv": b"study_id\n50111111\n",
        **{f"files/{place[:3]}/{place}": place.encode() * 99 for place in places},
    }
    large = Large(root, real)
    for path, data in real.items():
        large.write(path, data)
    (folder / MARKER).touch()
    lines = [f"{hashlib.sha256(data).hexdigest()} {path}\n" for path, data in real.items()]
    every = [*(line.encode() for line in lines), *manifest_lines(LINES)]
    large.write(MANIFEST, b"".join(sorted(every, key=lambda line: line[65:])))
    assert large.size > 4 << 20
    return large


@pytest.fixture
def own(published: Large, tmp_path: Path) -> Large:
    """A copy, for tests that change it."""
    folder = shutil.copytree(published.root.parents[1], tmp_path / "files")
    return published._replace(root=Path(folder) / JPG / VERSION)


@pytest.fixture
def server(serve: Serve, published: Large) -> MiniPhysioNet:
    return serve(published.root.parents[1])


def read_of_it(server: MiniPhysioNet) -> int:
    """Bytes of the manifest that were sent; the challenge's page is none of it."""
    found = server.request_log.snapshot().by_path.get(f"{JPG}/{VERSION}/{MANIFEST}")
    challenge = sum(map(len, page(HTTPStatus.UNAUTHORIZED).body))
    return 0 if found is None else found.bytes_sent - challenge * asked_of_it(server).count(401)


def asked_of_it(server: MiniPhysioNet) -> list[int]:
    """The answers to requests for the manifest."""
    log = server.request_log.snapshot().log
    return [each.status for each in log if each.path.endswith(MANIFEST)]


def here(machine: Machine) -> set[str]:
    return {str(path) for path in files_below(machine.dest / JPG / VERSION)}


def test_a_subject_reads_a_small_part(
    machine: Machine, server: MiniPhysioNet, published: Large
) -> None:
    done = machine.pull(*FLAGS, "--subject", SUBJECT)

    assert done.code == 0, done.err
    assert 0 < read_of_it(server) < 200_000
    assert here(machine) == published.of(SUBJECT) | published.tables
    for path in here(machine):
        assert (machine.dest / JPG / VERSION / path).read_bytes() == published.real[path]
    asked = {
        path.removeprefix(f"{JPG}/{VERSION}/") for path in server.request_log.snapshot().by_path
    }
    assert asked == here(machine) | {MANIFEST}


def test_a_later_run_reads_only_what_is_new(machine: Machine, server: MiniPhysioNet) -> None:
    assert machine.pull(*FLAGS, "--subject", SUBJECT, "--no-tables").code == 0
    first = read_of_it(server)

    server.request_log.reset()
    again = machine.pull(*FLAGS, "--subject", SUBJECT, "--no-tables")
    assert (again.code, again.summary["files"]["present"]) == (0, 4)
    assert set(asked_of_it(server)) <= {401, 304}
    assert (asked_of_it(server).count(304), read_of_it(server)) == (1, 0)

    server.request_log.reset()
    other = machine.pull(*FLAGS, "--subject", OTHER, "--no-tables")
    assert (other.code, other.summary["files"]["fetched"]) == (0, 2)
    assert 0 < read_of_it(server) < first


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (f"--study {STUDY}", STUDY),
        (f"--image {IMAGE}", IMAGE),
        (f"--study 50111111,{OTHER[1:]} --image {image(0)}", ""),
        (f"--study {STUDY} --image {image(0)},{image(1)}", STUDY),
    ],
)
def test_a_study_or_an_image_finds_its_subject(
    machine: Machine, server: MiniPhysioNet, published: Large, words: str, part: str
) -> None:
    done = machine.pull(*FLAGS, *words.split(), "--no-tables")

    assert 0 < read_of_it(server) < 200_000
    if not part:
        assert done.code == 2
        assert f"no study s{OTHER[1:]}" in done.err
        assert here(machine) == {METADATA}
        return
    assert done.code == 0, done.err
    # The table that tells it stays.
    assert here(machine) == published.of(part) | {METADATA}
    server.request_log.reset()
    for command in ("verify", "status"):
        ended = machine.run(command, "--json")
        assert ended.code == 0, ended.err
        assert ended.summary["selection"].startswith(words.split()[0].removeprefix("--"))
    assert server.request_log.snapshot().requests == 0


@pytest.mark.parametrize(
    ("words", "shard", "most"),
    [
        ("--limit 3 --no-tables", "files/", 300_000),
        ("--limit 2000 --no-tables", "files/", 900_000),
        ("--shard p15 --limit 3 --no-tables", "files/p15/", 300_000),
        ("--only docs --limit 1", "IMAGE_FILENAMES", 300_000),
        ("--view PA --limit 1 --no-tables", f"files/p14/{SUBJECT}/", 6 << 20),
        ("--shard p17 --view PA --limit 2 --no-tables", f"files/p17/{OTHER}/", 900_000),
    ],
)
def test_a_limit_reads_the_first_slice_that_fills_it(
    machine: Machine, server: MiniPhysioNet, published: Large, words: str, shard: str, most: int
) -> None:
    lines = (published.root / MANIFEST).read_text().splitlines()
    count = int(words.partition("--limit ")[2].split()[0])
    first = [path for line in lines if (path := line[65:]).startswith(shard)][:count]

    listed = machine.run("ls", *FLAGS, *words.split())
    assert (listed.code, listed.out.splitlines()) == (0, first), listed.err
    assert 0 < read_of_it(server) < most
    read = read_of_it(server)
    status = machine.run("status", *FLAGS, *words.split(), "--json")
    parts = json.loads(status.out)["partitions"].values()
    assert sum(each["selected"] for each in parts) == count
    assert machine.run("ls", *FLAGS, *words.split()).out == listed.out
    assert read_of_it(server) == read


def test_an_index_of_what_is_present_needs_no_more_than_the_slices(
    machine: Machine, published: Large
) -> None:
    assert machine.pull(*FLAGS, "--subject", SUBJECT, "--no-tables").code == 0
    made = machine.run("index", *FLAGS, "--present", "--no-tables")
    assert (made.code, len(made.out.splitlines())) == (0, 1 + len(published.of(SUBJECT))), made.err
    assert machine.run("index", *FLAGS, "--no-tables").code == 2  # the other rows are not known


def test_what_is_not_there(machine: Machine, server: MiniPhysioNet) -> None:
    for words, said in (
        ("--subject 14777778", "no subject p14777778"),
        ("--study 50111112", "no study s50111112"),
        (f"--image {image(77)}", f"no image {image(77)}"),
        (f"--subject {SUBJECT} --study {OTHER[1:]}", f"no study s{OTHER[1:]}"),
    ):
        ended = machine.pull(*FLAGS, *words.split())
        assert (ended.code, said in ended.err) == (2, True), ended.err
    assert read_of_it(server) < 200_000
    assert here(machine) <= {METADATA}


def test_status_and_verify_of_such_a_tree(
    machine: Machine, server: MiniPhysioNet, published: Large
) -> None:
    for subject in (SUBJECT, OTHER):
        assert machine.pull(*FLAGS, "--subject", subject).code == 0
    server.request_log.reset()

    status = machine.run("status", "--json")
    verified = machine.run("verify", "--json", "--progress", "none")

    assert (status.code, verified.code) == (0, 0), status.err + verified.err
    shares = status.summary["partitions"]
    assert {name: (share["verified"], share["missing"]) for name, share in shares.items()} == {
        "p14": (4, 0), "p17": (2, 0), "root": (2, 0),
    }  # fmt: skip
    files = verified.summary["files"]
    assert (files["good"], files["missing"], files["extra"]) == (8, 0, 0)
    assert server.request_log.snapshot().requests == 0
    # What the slices do not tell is not guessed.
    ended = machine.run("status", "--shard", "p14")
    assert (ended.code, "only a part of its SHA256SUMS.txt" in ended.err) == (2, True)

    lost = machine.dest / JPG / VERSION / min(published.of(OTHER))
    lost.write_bytes(b"something else")
    assert machine.run("verify").code == 6
    assert machine.run("verify", "--repair").code == 0
    assert lost.read_bytes() == published.real[min(published.of(OTHER))]
    assert read_of_it(server) == 0


def test_a_manifest_that_changes_between_two_runs(
    serve: Serve, make_machine: MakeMachine, own: Large
) -> None:
    server = serve(own.root.parents[1])
    machine = make_machine(server)
    assert machine.pull(*FLAGS, "--subject", SUBJECT).code == 0
    # A new edition of one image, one more of them, and other lines before it all.
    path = min(own.of(SUBJECT))
    added = path.replace(path.rpartition("/")[2], f"{image(99)}.jpg")
    changed = {path: b"a new edition", added: b"one more"}
    for name, data in changed.items():
        own.write(name, data)
    lines = (own.root / MANIFEST).read_bytes().splitlines(keepends=True)
    kept = [line for line in lines[40:] if line[65:-1].decode() not in changed]
    new = [f"{hashlib.sha256(data).hexdigest()} {name}\n" for name, data in changed.items()]
    every = [*lines[:4], *kept, *(line.encode() for line in new)]
    own.write(MANIFEST, b"".join(sorted(every, key=lambda line: line[65:])))
    os.utime(own.root / MANIFEST, (1.8e9, 1.8e9))
    server.request_log.reset()

    done = machine.pull(*FLAGS, "--subject", SUBJECT)

    assert done.code == 0, done.err
    root = machine.dest / JPG / VERSION
    assert {name: (root / name).read_bytes() for name in changed} == changed
    assert here(machine) == own.of(SUBJECT) | {added} | own.tables
    assert read_of_it(server) < 200_000
    assert machine.run("verify").code == 0


@pytest.mark.parametrize("part", [b"", SUBJECT.encode()], ids=["all of it", "one subject"])
def test_one_that_is_not_sorted_is_read_whole(
    serve: Serve, make_machine: MakeMachine, own: Large, part: bytes
) -> None:
    lines = (own.root / MANIFEST).read_bytes().splitlines(keepends=True)
    places = [number for number, line in enumerate(lines) if part in line]
    shuffled = [lines[number] for number in random.Random(1).sample(places, len(places))]
    assert shuffled != [lines[number] for number in places]
    for number, line in zip(places, shuffled, strict=True):
        lines[number] = line
    own.write(MANIFEST, b"".join(lines))
    server = serve(own.root.parents[1])
    machine = make_machine(server)

    done = machine.pull(*FLAGS, "--subject", SUBJECT)

    assert done.code == 0, done.err
    assert here(machine) == own.of(SUBJECT) | own.tables | {MANIFEST}
    assert (machine.dest / JPG / VERSION / MANIFEST).read_bytes() == b"".join(lines)
    assert own.size <= read_of_it(server) < 1.2 * own.size
    assert sha256sum(machine.dest / JPG / VERSION, "--ignore-missing").returncode == 0


@pytest.mark.parametrize("share", [0.1, 0.7])
def test_killed_in_the_middle_of_the_search(
    serve: Serve, make_machine: MakeMachine, published: Large, share: float
) -> None:
    server = serve(published.root.parents[1], rate=200_000)
    machine = make_machine(server)
    words = (*FLAGS, "--subject", SUBJECT, "--no-tables")
    killed = machine.interrupt(lambda: read_of_it(server) > share * 100_000, signal.SIGKILL, *words)
    assert killed.code == -signal.SIGKILL
    server.set_behaviour(rate=None)

    done = machine.pull(*words)

    assert done.code == 0, done.err
    assert here(machine) == published.of(SUBJECT)
    assert read_of_it(server) < 300_000
    assert machine.run("verify").code == 0


def test_the_whole_fetches_the_rest_and_publishes_it(
    machine: Machine, server: MiniPhysioNet, published: Large
) -> None:
    assert machine.pull(*FLAGS, "--subject", SUBJECT).code == 0
    first = read_of_it(server)
    server.request_log.reset()

    done = machine.pull(*FLAGS, "--max-files", "0")

    assert done.code == 9, done.err
    root = machine.dest / JPG / VERSION
    assert (root / MANIFEST).read_bytes() == (published.root / MANIFEST).read_bytes()
    # What was read once is not read again (give or take the challenge's page).
    assert read_of_it(server) < published.size - first + 2_000
    assert done.summary["files"]["present"] == len(published.of(SUBJECT) | published.tables)
    # From now on the whole is asked about, and a slice is not fetched again.
    server.request_log.reset()
    assert machine.pull(*FLAGS, "--subject", OTHER).code == 0
    assert read_of_it(server) == 0


# ── what the disk, or the publisher, does to slices that are here ──────────────────────────────

SLICE = (*FLAGS, "--subject", SUBJECT, "--no-tables")


def partial_of(machine: Machine) -> Path:
    return machine.dest / JPG / VERSION / ".cxrsync/manifests/partial"


@pytest.mark.parametrize("flip", [0x10, 0x01], ids=["to a comment or another path", "a digit"])
def test_a_bit_of_a_slice_that_rotted_is_mended(
    serve: Serve, make_machine: MakeMachine, published: Large, flip: int
) -> None:
    """No digest of a slice is published: without one of our own the publisher was blamed."""
    machine = make_machine(serve(published.root.parents[1]))
    assert machine.pull(*SLICE).code == 0
    there = partial_of(machine)
    data = bytearray(there.read_bytes())
    at = data.index(f"files/{SUBJECT[:3]}/{SUBJECT}".encode()) - 65
    data[at] ^= flip
    times = there.stat()
    there.write_bytes(data)
    os.utime(there, ns=(times.st_atime_ns, times.st_mtime_ns))

    again = machine.pull(*SLICE)

    assert again.code == 0, again.err
    assert again.summary["files"]["selected"] == len(published.of(SUBJECT))
    assert again.summary["files"]["present"] == len(published.of(SUBJECT))


def lose(large: Large, *paths: str) -> None:
    lines = (large.root / MANIFEST).read_bytes().splitlines(keepends=True)
    left = [line for line in lines if line[65:-1].decode() not in paths]
    large.write(MANIFEST, b"".join(left))


def test_slices_that_lost_too_much_are_refused(
    serve: Serve, make_machine: MakeMachine, own: Large
) -> None:
    machine = make_machine(serve(own.root.parents[1]))
    assert machine.pull(*SLICE).code == 0
    before = (own.root / MANIFEST).read_bytes()
    lose(own, *sorted(own.of(SUBJECT))[1:])
    for _again in range(2):
        refused = machine.pull(*SLICE)
        assert refused.code == 11, refused.err
        assert "has lost 3 of 8" in refused.err  # the root's four among them
    assert machine.run("verify", *SLICE).code == 0  # by what is here of the earlier one
    own.write(MANIFEST, before)
    assert machine.pull(*SLICE).code == 0


def test_slices_of_a_manifest_that_is_not_sorted_any_more_are_kept(
    serve: Serve, make_machine: MakeMachine, own: Large
) -> None:
    machine = make_machine(serve(own.root.parents[1]))
    assert machine.pull(*SLICE).code == 0
    lines = (own.root / MANIFEST).read_bytes().splitlines(keepends=True)
    shuffled = b"".join([*lines[LINES // 2 :], *lines[: LINES // 2]])
    own.write(MANIFEST, shuffled)
    for _again in range(2):
        refused = machine.pull(*SLICE)
        assert (refused.code, "is not sorted any more" in refused.err) == (11, True), refused.err
        assert not (machine.dest / JPG / VERSION / MANIFEST).exists()
        assert machine.run("verify", *SLICE).code == 0
    partial_of(machine).rename(machine.home / "aside")  # as the message says
    assert machine.pull(*SLICE).code == 0
    assert (machine.dest / JPG / VERSION / MANIFEST).read_bytes() == shuffled


def test_a_manifest_that_became_small_is_held_against_the_slices(
    serve: Serve, make_machine: MakeMachine, own: Large
) -> None:
    """So small that it is fetched whole: it would become the tree's own."""
    machine = make_machine(serve(own.root.parents[1]))
    assert machine.pull(*SLICE).code == 0
    first = min(own.of(SUBJECT))
    digest = hashlib.sha256(own.real[first]).hexdigest()
    for manifest in (f"{digest} {first}\n".encode(), b""):
        own.write(MANIFEST, manifest)
        refused = machine.pull(*SLICE)
        assert refused.code == (11 if manifest else 10), refused.err
        assert not (machine.dest / JPG / VERSION / MANIFEST).exists()
        assert machine.run("verify", *SLICE).code == 0


def test_the_part_is_for_the_readers_of_a_shared_tree(machine: Machine) -> None:
    """And its owner goes on with it, which a file of mode 0440 would prevent."""
    group = grp.getgrgid(os.getegid()).gr_name
    shared = ("--permissions", f"files=0440,folders=2750,group={group}", "--no-tables")
    manifests = machine.dest / JPG / VERSION / ".cxrsync/manifests"
    for subject in (SUBJECT, OTHER):
        assert machine.pull(*FLAGS, *shared, "--subject", subject).code == 0
        found = {path.name: oct(path.stat().st_mode & 0o7777) for path in manifests.iterdir()}
        assert found == {"partial": "0o640", "partial.json": "0o640"}
