"""The same job against a real nginx: TLS, basic auth, plain files."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.nginx import NGINX, Nginx
from e2e.stage import (
    DICOM,
    JPG,
    PATIENCE,
    VERSION,
    Ended,
    Machine,
    fingerprint,
    sha256sum,
    wait_until,
)

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


@pytest.fixture
def nginx(tmp_path: Path, files_root: Path) -> Iterator[Nginx]:
    # nginx must be able to walk in: pytest keeps its folders to their owner.
    top = tmp_path
    while top != top.parent and top.stat().st_uid == os.getuid() and top != Path("/tmp"):
        top = top.parent
    server = Nginx(tmp_path / "nginx", files_root.parent)
    yield server
    server.stop()


@pytest.fixture
def machine(nginx: Nginx, tmp_path: Path) -> Machine:
    home = tmp_path / "home"
    home.mkdir()
    url = f"https://127.0.0.1:{nginx.port}/files"
    return Machine(home, tmp_path / "mirror", url, nginx.ca_file)


@pytest.mark.parametrize("flag", ["--jpg", "--dicom"])
def test_a_shard(nginx: Nginx, machine: Machine, files_root: Path, flag: str) -> None:
    nginx.start()
    done = machine.pull(flag, "--shard", "p10")

    assert done.code == 0, done.err
    dataset = JPG if flag == "--jpg" else DICOM
    root = machine.dest / dataset / VERSION
    source = files_root / dataset / VERSION
    assert fingerprint(root, below="files/") == fingerprint(source, below="files/p10/")
    assert machine.run("verify", flag).code == 0
    assert sha256sum(root, "--ignore-missing").returncode == 0
    assert len(nginx.log()) <= done.summary["files"]["selected"] + 5
    before = len(nginx.log())
    assert machine.pull(flag, "--shard", "p10").code == 0
    assert len(nginx.log()) - before <= 3


def test_a_whole_version_killed_half_way(nginx: Nginx, machine: Machine, files_root: Path) -> None:
    nginx.start(rate="64k")
    source = files_root / JPG / VERSION
    half = len(list(source.rglob("*.jpg"))) / 2
    log = nginx.folder / "access.log"
    machine.interrupt(lambda: log.exists() and len(nginx.log()) > half, signal.SIGKILL, "--jpg")
    nginx.stop()
    nginx.start()

    done = machine.pull("--jpg")

    assert done.code == 0, done.err
    assert fingerprint(machine.dest / JPG / VERSION) == fingerprint(source)
    assert sha256sum(machine.dest / JPG / VERSION).returncode == 0


def test_stopped_and_started_in_mid_run(
    nginx: Nginx, machine: Machine, files_root: Path, tmp_path: Path
) -> None:
    """A pull outlives its server three times; what had arrived is not asked for again."""
    nginx.start(rate="96k")
    source = files_root / JPG / VERSION
    words = ("pull", "--jpg", "--json", "--progress", "none", "--retries", "1")
    said = tmp_path / "said"
    with said.open("w") as file, machine.start(*words, stdout=file) as process:
        images = len(list(source.rglob("*.jpg")))
        for share in (0.2, 0.4, 0.6):
            wait_until(lambda share=share: len(nginx.log()) > share * images)  # type: ignore[misc]
            met = said.read_text().count('"event": "retry"')
            nginx.stop()
            wait_until(lambda met=met: said.read_text().count('"event": "retry"') > met)  # type: ignore[misc]
            assert process.poll() is None
            nginx.start(rate="96k")
        _out, err = process.communicate(timeout=PATIENCE)

    assert process.returncode == 0, err
    done = Ended(0, said.read_text(), err)
    assert fingerprint(machine.dest / JPG / VERSION) == fingerprint(source)
    tree = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
    assert done.summary["bytes"]["fetched"] == tree


def test_a_wrong_password(nginx: Nginx, machine: Machine) -> None:
    nginx.start()
    machine.environment["PHYSIONET_PASSWORD"] = "wrong"
    assert machine.pull("--jpg", "--connections", "8").code == 3
    # One bare request, one with the password.
    assert len(nginx.log()) == 2
