"""Going on from where wget stood, in each of its layouts; and wget going on from where we stood."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e.stage import JPG, VERSION, Machine, fingerprint, sha256sum

from cxrsync.demo.server.server import MiniPhysioNet

pytestmark = pytest.mark.skipif(shutil.which("wget") is None, reason="wget is not installed")

LAYOUTS = {
    "physionet.org": ("-x",),
    "a mirror's host and port": ("-x",),
    "-nH": ("-nH",),
    "-nH --cut-dirs=1": ("-nH", "--cut-dirs=1"),
    "-nH --cut-dirs=2": ("-nH", "--cut-dirs=2"),
    "bare version root": ("-nH", "--cut-dirs=3"),
}


def wget(server: MiniPhysioNet, folder: Path, *options: str, below: str = "") -> str:
    """``wget -r -N -c -np`` as PhysioNet's own pages recommend it; what it said."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [
            *("wget", "-r", "-N", "-c", "-np", "--no-verbose", "--user", "demo"),
            *("--password", "demo-password", "--ca-certificate", str(server.ca_file)),
            *("-e", "robots=off", *options),
            f"{server.base_url}/{JPG}/{VERSION}/{below}",
        ],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stderr


def root_of(folder: Path, layout: str) -> Path:
    if layout == "bare version root":
        return folder
    if layout == "-nH --cut-dirs=2":
        return folder / VERSION
    if layout == "-nH":
        return folder / "files" / JPG / VERSION
    if layout == "-nH --cut-dirs=1":
        return folder / JPG / VERSION
    [host] = folder.iterdir()
    if layout == "physionet.org":
        # On the real site the host's name; here it is an address and a port.
        host = host.rename(folder / "physionet.org")
    return host / "files" / JPG / VERSION


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_tree_half_made_by_wget_is_finished_with_only_the_missing_bytes(
    serve: Callable[..., MiniPhysioNet],
    make_machine: Callable[[MiniPhysioNet], Machine],
    jpg: Path,
    layout: str,
) -> None:
    server = serve()
    machine = make_machine(server)
    folder = machine.dest
    wget(server, folder, *LAYOUTS[layout])
    root = root_of(folder, layout)
    # As a kill leaves it: a third is missing, a few are cut short with the time of the kill.
    images = sorted((root / "files").rglob("*.jpg"))
    expected = 0
    for image in images[::3]:
        expected += image.stat().st_size
        image.unlink()
    for image in images[1::9]:
        size = image.stat().st_size
        image.write_bytes(image.read_bytes()[: size // 2])
        expected += size - size // 2
    debris = len(list(root.rglob("index.html*")))
    server.request_log.reset()

    done = machine.pull("--jpg")

    assert done.code == 0, done.err
    assert done.summary["root"] == str(root)
    told = [event["text"] for event in done.events if event["event"] == "notice"]
    is_plain = layout == "-nH --cut-dirs=1"
    assert any(f"the tree that wget left in {root}" in text for text in told) is not is_plain
    found = {name: each for name, each in fingerprint(root).items() if "index.html" not in name}
    assert found == fingerprint(jpg)
    assert sha256sum(root).returncode == 0
    # One byte is asked for again of each file cut short; the manifest comes whole, since nothing
    # shows that its bytes are those that were sent once.
    sent = server.request_log.snapshot().bytes_sent
    manifest = (jpg / "SHA256SUMS.txt").stat().st_size
    refusals = 2000
    assert expected <= sent - manifest <= expected + len(images[1::9]) + refusals
    verified = machine.run("verify", "--jpg", "--json")
    assert verified.code == 0
    assert verified.summary["files"]["index_pages"] == debris > 0
    assert verified.summary["files"]["extra"] == 0


def test_wget_finds_nothing_to_do_in_our_tree(machine: Machine, server: MiniPhysioNet) -> None:
    assert machine.pull("--jpg").code == 0
    root = machine.dest / JPG / VERSION
    before = fingerprint(root)
    stamps = {path: path.stat().st_mtime_ns for path in root.rglob("*.jpg")}
    server.request_log.reset()

    wget(server, machine.dest, "-nH", "--cut-dirs=1")

    after = {name: each for name, each in fingerprint(root).items() if "index.html" not in name}
    assert after == before
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*.jpg")} == stamps
    counts = server.request_log.snapshot()
    images = {path: each for path, each in counts.by_path.items() if path.endswith(".jpg")}
    assert len(images) == len(stamps)
    for path, each in images.items():
        assert set(each.statuses) <= {304, 401}, path
        assert each.statuses[304] == 1


def test_a_foreign_file_in_place_of_ours_is_not_lost(machine: Machine, jpg: Path) -> None:
    """Longer than the real one, as long, shorter: replaced, and kept in the trash."""
    images = sorted((jpg / "files/p10").rglob("*.jpg"))[:3]
    root = machine.dest / JPG / VERSION
    for image, extra in zip(images, (100, 0, -100), strict=True):
        path = root / image.relative_to(jpg)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * (image.stat().st_size + extra))

    done = machine.pull("--jpg", "--shard", "p10")

    assert done.code == 0, done.err
    assert fingerprint(root, below="files/") == fingerprint(jpg, below="files/p10/")
    kept = list((root / ".cxrsync/trash").rglob("*.jpg"))
    assert {path.name for path in kept} >= {images[0].name, images[1].name}


def test_a_short_file_with_another_link_leaves_that_link_alone(
    machine: Machine, jpg: Path, tmp_path: Path
) -> None:
    image = min((jpg / "files/p10").rglob("*.jpg"))
    path = machine.dest / JPG / VERSION / image.relative_to(jpg)
    path.parent.mkdir(parents=True)
    path.write_bytes(image.read_bytes()[:1000])
    other = tmp_path / "other-link"
    other.hardlink_to(path)

    assert machine.pull("--jpg", "--shard", "p10").code == 0

    assert other.read_bytes() == image.read_bytes()[:1000]
    assert path.read_bytes() == image.read_bytes()


def test_a_foreign_file_that_a_kill_left_in_a_partial_is_not_lost(
    machine: Machine, jpg: Path
) -> None:
    """Moved aside to be continued, and the run was killed before it proved to be wrong."""
    image = min((jpg / "files/p10").rglob("*.jpg"))
    lines = (jpg / "SHA256SUMS.txt").read_text().splitlines()
    [digest] = [line[:64] for line in lines if line.endswith(image.name)]
    partial = machine.dest / JPG / VERSION / ".cxrsync/p10/partial" / digest
    partial.parent.mkdir(parents=True)
    precious = b"precious" * 100
    partial.write_bytes(precious)

    assert machine.pull("--jpg", "--shard", "p10").code == 0

    root = machine.dest / JPG / VERSION
    assert (root / image.relative_to(jpg)).read_bytes() == image.read_bytes()
    kept = list((root / ".cxrsync/trash").rglob(image.name))
    # All but its last byte, which was asked for again on the way.
    assert [path.read_bytes()[: len(precious) - 1] for path in kept] == [precious[:-1]]
