"""`receipt`: what a paper says of its data, without ids; and whether another tree has the same."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from e2e.stage import JPG, VERSION, Machine

from cxrsync.demo.data.tree import MARKER
from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.manifest.path_ids import parse_image_path

FIRST = "p10000032"
P10 = ("--jpg", "--shard", "p10")


def receipt(machine: Machine, file: Path, *words: str) -> dict[str, Any]:
    done = machine.run("receipt", *words, "-o", str(file))
    assert done.code == 0, done.err
    return dict(json.loads(file.read_text()))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "receipt.json"


@pytest.fixture
def pulled(machine: Machine) -> Machine:
    assert machine.pull(*P10).code == 0
    return machine


def test_what_it_says(pulled: Machine, file: Path) -> None:
    found = receipt(pulled, file)
    listed = pulled.run("ls", *P10, "--format", "sha256sum").out
    assert found["list_sha256"] == hashlib.sha256(listed.encode()).hexdigest()
    paths = [line.split()[1] for line in listed.splitlines()]
    ids = [each for each in map(parse_image_path, paths) if each is not None]
    assert (found["files"], found["verified"]) == (len(paths), len(paths))
    assert found["images"] == found["kinds"]["images"] == len(ids)
    assert found["studies"] == len({each.study for each in ids})
    assert found["subjects"] == len({each.subject for each in ids})
    root = pulled.dest / JPG / VERSION
    assert found["bytes"] == sum((root / path).stat().st_size for path in paths)
    assert found["doi"] == "10.13026/jsn5-t979"
    assert found["selection"] == "p10"
    assert found["oldest_proof"] <= found["newest_proof"]
    done = pulled.run("receipt")
    said = done.out
    assert (said, done.err) == (found["text"] + "\n", "")
    assert "verified against its published SHA-256" in said
    assert found["list_sha256"] in said


def test_a_part_of_the_manifest_has_no_digest_of_its_own(pulled: Machine, file: Path) -> None:
    found = receipt(pulled, file)
    root = pulled.dest / JPG / VERSION
    manifest = root / "SHA256SUMS.txt"
    is_whole = manifest.exists()
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest() if is_whole else None
    assert found["manifest_sha256"] == digest


@pytest.mark.parametrize(
    "words",
    [
        ("--subject", FIRST),
        ("--study", "s50414267"),
        ("--include", f"files/p10/{FIRST}/*"),
        (f"files/p10/{FIRST}",),
        ("--image", "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014"),
    ],
)
def test_no_ids(machine: Machine, file: Path, words: tuple[str, ...]) -> None:
    assert machine.pull("--jpg", *words).code == 0
    found = receipt(machine, file)
    text = file.read_text() + machine.run("receipt").out
    digests = {str(value) for value in found.values() if re.fullmatch("[0-9a-f]{64}", str(value))}
    for digest in digests:
        text = text.replace(digest, "")
    assert not re.search(r"1000003|5041426|02aa804e", text)
    assert found["selections"] is None
    # The tree knows what it was pulled with, so that the receipt can be checked there.
    assert machine.run("receipt", "--check", str(file)).code == 0


def test_it_checks_on_a_copy_until_a_byte_changes(pulled: Machine, file: Path) -> None:
    receipt(pulled, file)
    copy = Machine(pulled.home, pulled.home / "copy", pulled.base_url, pulled.ca_file)
    root = Path(shutil.copytree(pulled.dest / JPG / VERSION, copy.dest / JPG / VERSION))
    for path in (root / ".cxrsync").glob("*/state.sqlite3"):
        path.unlink()  # as by tar --exclude: the receipt says what was selected
    done = copy.run("receipt", "--check", str(file))
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == f"the tree in {root} matches the receipt"

    image = next(root.glob("files/p10/*/*/*.jpg"))
    data = bytearray(image.read_bytes())
    data[-1] ^= 1
    image.write_bytes(data)
    changed = copy.run("receipt", "--check", str(file), "--json")
    assert (changed.code, changed.summary["matches"], changed.summary["files"]["bad"]) == (
        6,
        False,
        1,
    )
    image.unlink()
    missing = copy.run("receipt", "--check", str(file))
    assert missing.code == 5
    assert "does not match the receipt" in missing.out
    assert pulled.run("receipt", "--check", str(file)).code == 0


def test_another_selection_does_not_match(pulled: Machine, file: Path) -> None:
    receipt(pulled, file, *P10, "--limit", "2")
    assert pulled.run("receipt", "--check", str(file)).code == 0
    other = pulled.run("receipt", "--check", str(file), *P10, "--limit", "3")
    assert other.code == 6
    assert "the list of the files is another" in other.out


def test_a_tree_that_is_not_complete(machine: Machine, file: Path) -> None:
    assert machine.pull(*P10, "--limit", "2").code == 0
    done = machine.run("receipt", *P10, "-o", str(file))
    assert done.code == 0
    assert re.search(r"only \d+ of \d+ files are here and proven", done.err)
    assert "Every file" not in done.out
    found = json.loads(file.read_text())
    root = machine.dest / JPG / VERSION
    paths = [line.split()[-1] for line in machine.run("ls", *P10).out.splitlines()]
    here = [root / path for path in paths if (root / path).is_file()]
    assert (found["files"], found["present"]) == (len(paths), len(here))
    assert found["bytes"] == sum(path.stat().st_size for path in here)
    assert f"{len(paths)} files, of which {len(here)} are here (" in done.out
    old = {key: value for key, value in found.items() if key != "present"}
    file.write_text(json.dumps(old))  # as 0.3.0 wrote it
    assert machine.run("receipt", "--check", str(file), *P10, "--json").code == 5


def test_a_doi_that_only_the_site_knows(files_root: Path, tmp_path: Path, file: Path) -> None:
    shutil.copytree(files_root / JPG / VERSION, tmp_path / "files/other-set/1.0.0")
    shutil.copytree(tmp_path / "files/other-set", tmp_path / "dest/other-set")
    shutil.copy(files_root / MARKER, tmp_path / "files")
    words = ("--dataset", "other-set", "--all")
    with MiniPhysioNet(tmp_path / "files") as server:
        home, nobody = tmp_path / "home", tmp_path / "nobody"
        for each in (home, nobody):
            each.mkdir()
        here = Machine(home, tmp_path / "dest", server.base_url, server.ca_file)
        assert receipt(here, file, *words)["doi"] == "10.5072/synthetic"
        assert json.loads(file.read_text())["title"] == "other-set, a synthetic miniature"
    # The server is gone, and its certificate.
    here.environment = {"CXRSYNC_CA_FILE": None}
    alone = Machine(nobody, here.dest, server.base_url, server.ca_file, here.environment)
    done = alone.run("receipt", *words, "--json")
    assert (done.code, json.loads(done.out)["doi"]) == (0, None)
    assert "its DOI is not known" in json.loads(done.out)["text"]
    assert "note: the DOI of other-set 1.0.0 is not known: the public API of" in done.err
    assert "https://doi.org/10.5072/synthetic" in here.run("receipt", *words).out  # remembered


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--check",), "no receipt is named"),
        (("--check", "{no}"), "cannot read"),
        (("--check", "{odd}"), "is not a receipt"),
        (("--check", "{odd}", "-o", "x.json"), "writes no file"),
        (("-o", "receipt.txt"), ".json"),
        (("-o", "{odd}"), "--force"),
    ],
)
def test_usage(pulled: Machine, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    odd = tmp_path / "odd.json"
    odd.write_text('{"format": 1, "list_sha256": "x"}')
    asked = [word.format(no=tmp_path / "no.json", odd=odd) for word in words]
    ended = pulled.run("receipt", *asked)
    assert ended.code == 2
    assert said in ended.err
    assert odd.read_text().startswith('{"format": 1')


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", 2), ("list_sha256", "0"), ("files", "9"), ("selections", "all"),
        ("selections", [{"shards": 3}]), ("selections", [1]), ("dataset", None),
        ("selections", [{"later": True}]),
    ],
)  # fmt: skip
def test_a_receipt_that_was_changed(pulled: Machine, file: Path, key: str, value: object) -> None:
    found = receipt(pulled, file)
    file.write_text(json.dumps({**found, key: value}))
    ended = pulled.run("receipt", "--check", str(file))
    assert ended.code == 2
    assert "is not a receipt that this release can read" in ended.err
