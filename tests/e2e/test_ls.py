"""What a selection means, line by line for other programs; and that asking costs nothing that is
here already."""

import array
import fcntl
import hashlib
import json
import signal
import ssl
import subprocess
import termios
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e.stage import DICOM, JPG, PATIENCE, VERSION, Machine, files_below, wait_until

from cxrsync.cli.signal_codes import STOPPED
from cxrsync.demo.data.tree import MARKER, manifest_lines
from cxrsync.demo.server.server import MiniPhysioNet

Serve = Callable[..., MiniPhysioNet]
MakeMachine = Callable[[MiniPhysioNet], Machine]

MANIFEST = "SHA256SUMS.txt"
SPLIT = "mimic-cxr-2.0.0-split.csv.gz"
METADATA = "mimic-cxr-2.0.0-metadata.csv.gz"
OPEN = "odd-names"
FLAGS = {"--jpg": JPG, "--dicom": DICOM}


@pytest.fixture
def server(shared_server: MiniPhysioNet) -> MiniPhysioNet:
    return shared_server


def asked_for(server: MiniPhysioNet) -> set[str]:
    return {path for path, each in server.request_log.snapshot().by_path.items() if each.requests}


def manifest(version: Path) -> dict[str, str]:
    """Path → digest, in order, without any of our modules."""
    lines = (version / MANIFEST).read_text().splitlines()
    return {line[65:]: line[:64] for line in lines}


def everything_below(root: Path) -> dict[str, tuple[bytes, int, int]]:
    """All of it, ours too: a reader leaves no trace."""
    return {
        str(path): (
            path.read_bytes() if path.is_file() else b"",
            path.stat().st_mtime_ns,
            path.stat().st_mode,
        )
        for path in [root, *root.rglob("*")]
    }


# ── the formats ────────────────────────────────────────────────────────────────────────────────


def test_each_format(machine: Machine, server: MiniPhysioNet, jpg: Path) -> None:
    wanted = {
        path: digest
        for path, digest in manifest(jpg).items()
        if path.startswith("files/p11/") or path.endswith((".csv", ".csv.gz"))
    }

    def lines(*words: str) -> list[str]:
        done = machine.run("ls", "--jpg", "--shard", "p11", *words)
        assert (done.code, done.err) == (0, "")
        return done.out.splitlines()

    assert lines() == lines("--format", "paths") == list(wanted)
    sums = [f"{digest}  {path}" for path, digest in wanted.items()]
    assert lines("--format", "sha256sum") == sums
    base = f"{machine.base_url}/{JPG}/{VERSION}/"
    assert lines("--format", "urls") == [base + path for path in wanted]
    assert [json.loads(line) for line in lines("--format", "json")] == [
        {
            "path": path,
            "sha256": digest,
            "kind": "images" if path.endswith(".jpg") else "tables",
            "partition": "p11" if path.endswith(".jpg") else "root",
        }
        for path, digest in wanted.items()
    ]


def test_sha256sum_agrees(machine: Machine, server: MiniPhysioNet) -> None:
    words = ("--jpg", "--shard", "p10")
    assert machine.pull(*words).code == 0
    root = machine.dest / JPG / VERSION
    listed = machine.run("ls", *words, "--format", "sha256sum").out

    def check() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sha256sum", "--strict", "-c", "-"],
            cwd=root, input=listed, capture_output=True, text=True, check=False,
        )  # fmt: skip

    good = check()
    assert good.returncode == 0, good.stderr
    assert len(good.stdout.splitlines()) == sum(1 for _ in files_below(root)) - 1
    next((root / "files").rglob("*.jpg")).write_bytes(b"damaged")
    assert check().returncode == 1


# ── what it costs ──────────────────────────────────────────────────────────────────────────────

SELECTIONS: list[tuple[str, str, set[str]]] = [
    ("--jpg", "--shard p10-p12 --only images", {f"{JPG}/{VERSION}/{MANIFEST}"}),
    ("--jpg", "--metadata-only", {f"{JPG}/{VERSION}/{MANIFEST}"}),
    ("--jpg", "--sample 5 --seed 3 --no-tables", {f"{JPG}/{VERSION}/{MANIFEST}"}),
    (
        "--jpg",
        "--split test --view PA --only images",
        {f"{JPG}/{VERSION}/{name}" for name in (MANIFEST, SPLIT, METADATA)},
    ),
    (
        "--dicom",
        "--split test --limit 4 --no-tables",
        {f"{DICOM}/{VERSION}/{MANIFEST}"}
        | {f"{JPG}/{VERSION}/{name}" for name in (MANIFEST, SPLIT)},
    ),
]


@pytest.mark.parametrize(
    ("flag", "words", "asked"), SELECTIONS, ids=[f"{flag} {words}" for flag, words, _ in SELECTIONS]
)
def test_it_tells_what_a_pull_brings(
    machine: Machine, server: MiniPhysioNet, flag: str, words: str, asked: set[str]
) -> None:
    done = machine.run("ls", flag, *words.split())

    assert done.code == 0, done.err
    assert asked_for(server) == asked
    listed = done.out.splitlines()
    # Nothing was asked for as far as the tree is concerned.
    assert machine.run("status", flag, "--json").summary["selection"] == "what is there"

    assert machine.pull(flag, *words.split()).code == 0
    root = machine.dest / FLAGS[flag] / VERSION
    needed = {MANIFEST, SPLIT, METADATA}  # some of them come although nobody has chosen them
    assert set(listed) - needed == {str(path) for path in files_below(root)} - needed
    assert listed == sorted(listed)
    assert len(listed) > 3


def test_neither_network_nor_write_access(serve: Serve, make_machine: MakeMachine) -> None:
    server = serve()
    machine = make_machine(server)
    words = ("ls", "--dicom", "--split", "test", "--format", "json")
    first = machine.run(*words)
    assert first.code == 0, first.err
    server.set_behaviour(max_connections=0)  # each connection is closed at once
    server.request_log.reset()
    folders = [machine.dest, *machine.dest.rglob("*")]
    for path in folders:
        path.chmod(path.stat().st_mode & ~0o222)  # of no effect on root
    before = everything_below(machine.dest)

    again = machine.run(*words)

    assert (again.code, again.out, again.err) == (0, first.out, "")
    assert everything_below(machine.dest) == before
    assert server.request_log.snapshot().refused_connections == 0
    for path in folders:
        path.chmod(path.stat().st_mode | 0o200)


def test_what_is_here_is_judged_before_it_is_believed(
    machine: Machine, server: MiniPhysioNet, jpg: Path
) -> None:
    words = ("ls", "--jpg", "--split", "test", "--only", "images")
    first = machine.run(*words)
    root = machine.dest / JPG / VERSION
    (root / SPLIT).write_bytes((root / SPLIT).read_bytes()[:-9])

    mended = machine.run(*words)

    assert (mended.code, mended.out) == (0, first.out)
    assert (root / SPLIT).read_bytes() == (jpg / SPLIT).read_bytes()
    (root / MANIFEST).write_text((root / MANIFEST).read_text().replace("files/p10", "files/p20"))
    assert machine.run(*words).code == 6


# ── any dataset: no entry in the catalogue, names of every sort, lines in any order ────────────

ODD = {
    "scans/p 1/front view.png": "images",
    "scans/50%/a#b?c=d&e.png": "images",
    "scans/50%25/;,+$'\"().jpeg": "images",
    "scans/Ä ö/日本.tif": "images",
    "data/labels [1].csv": "tables",
    "all %20 of it.tar.gz": "archives",
    "Read me ~ first!.md": "docs",
}


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """The version's root of a dataset that nobody has heard of; its manifest is not sorted."""
    root = tmp_path / "files" / OPEN / "0.9-beta"
    lines = []
    for number, path in enumerate(ODD):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(path.encode() * (number + 1))
        lines.append(f"{hashlib.sha256(file.read_bytes()).hexdigest()} {path}\n")
    assert lines != sorted(lines, key=lambda line: line[65:].encode())
    (root / MANIFEST).write_text("".join(lines))
    (tmp_path / "files" / MARKER).touch()
    return root


@pytest.fixture
def stranger(odd: Path, serve: Serve, make_machine: MakeMachine) -> Machine:
    """A machine without credentials, before a server with an open dataset."""
    machine = make_machine(serve(odd.parents[1], open_datasets=frozenset({OPEN})))
    machine.environment = {"PHYSIONET_USERNAME": "", "PHYSIONET_PASSWORD": ""}
    return machine


SAID = ("--dataset", OPEN, "--dataset-version", "0.9-beta")


def test_any_dataset_from_its_manifest_alone(stranger: Machine, odd: Path) -> None:
    lines = stranger.run("ls", *SAID, "--format", "json").out.splitlines()
    assert {(each := json.loads(line))["path"]: each["kind"] for line in lines} == ODD

    done = stranger.pull(*SAID, "--only", "images", "--only", "tables")

    assert done.code == 0, done.err
    root = stranger.dest / OPEN / "0.9-beta"
    wanted = {path for path, kind in ODD.items() if kind in {"images", "tables"}}
    assert {str(path) for path in files_below(root)} == wanted | {MANIFEST}
    for path in wanted:
        assert (root / path).read_bytes() == (odd / path).read_bytes()
    verified = stranger.run("verify", *SAID, "--json", "--progress", "none")
    assert verified.code == 0
    assert verified.summary["files"]["good"] == len(wanted)
    # The newest version is found at the site.
    assert stranger.run("ls", "--dataset", OPEN).out.splitlines() == sorted(ODD, key=str.encode)


def test_urls_can_be_fetched(stranger: Machine, odd: Path) -> None:
    urls = stranger.run("ls", *SAID, "--format", "urls").out.splitlines()

    trust = ssl.create_default_context(cafile=str(stranger.ca_file))
    for url, path in zip(urls, sorted(ODD, key=str.encode), strict=True):
        assert url.isascii()
        assert not set(" #?\"'") & set(url)
        with urllib.request.urlopen(url, context=trust, timeout=PATIENCE) as answer:
            assert answer.read() == (odd / path).read_bytes()


def test_names_are_utf_8_whatever_the_locale(stranger: Machine) -> None:
    stranger.environment |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    process = stranger.start("ls", *SAID, encoding="utf-8")
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert out.splitlines() == sorted(ODD, key=str.encode)


# ── a reader that goes, a person that asks to stop ─────────────────────────────────────────────


@pytest.mark.parametrize("words", ["--limit 2 --no-tables", "", "--format json"])
def test_a_closed_pipe(machine: Machine, server: MiniPhysioNet, words: str) -> None:
    assert machine.run("ls", "--jpg").code == 0
    assert machine.run_unread("ls", "--jpg", *words.split()) == (0, "")


@pytest.fixture
def long_manifest(tmp_path: Path) -> Path:
    """More lines than a pipe holds."""
    version = tmp_path / "files" / JPG / VERSION
    version.mkdir(parents=True)
    (tmp_path / "files" / MARKER).touch()
    (version / MANIFEST).write_bytes(b"".join(manifest_lines(4000)))
    return version / MANIFEST


def lies_in(pipe: int) -> int:
    """How many bytes wait to be read."""
    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


def test_ctrl_c_while_nobody_reads(
    long_manifest: Path, serve: Serve, make_machine: MakeMachine
) -> None:
    """As under a pager: the pipe is full, and we wait."""
    machine = make_machine(serve(long_manifest.parents[2]))
    process = machine.start("ls", "--jpg")
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    wait_until(lambda: lies_in(pipe) >= 60_000)
    process.send_signal(signal.SIGINT)

    assert process.wait(timeout=PATIENCE) == 130

    _out, err = process.communicate()
    assert err.strip() == f"cxrsync: {STOPPED}"


def test_ctrl_c_while_the_manifest_comes(
    long_manifest: Path, serve: Serve, make_machine: MakeMachine
) -> None:
    server = serve(long_manifest.parents[2], rate=100_000)
    machine = make_machine(server)
    process = machine.start("ls", "--jpg")
    wait_until(lambda: server.request_log.snapshot().bytes_sent > 50_000)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err

    server.set_behaviour(rate=None)
    assert len(machine.run("ls", "--jpg").out.splitlines()) == 4000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--jpg --format csv", "sha256sum"),
        ("--jpg --split tset", "Did you mean test?"),
        ("--jpg --shard p20", "p10"),
        ("--jpg --dataset-version 2.2.0", "2.0.0, 2.1.0"),
        ("--jpg --include *.dcm", "none of them is left"),
        ("", "--dicom"),
    ],
)
def test_usage(machine: Machine, server: MiniPhysioNet, words: str, said: str) -> None:
    ended = machine.run("ls", *words.split())
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert "Traceback" not in ended.err
