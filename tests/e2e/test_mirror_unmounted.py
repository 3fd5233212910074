"""A mirror whose disk is unmounted while it works: nothing is made under the mount point, which the
next night would take for a mirror in which everything is missing; the other jobs go on."""

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from e2e.stage import DICOM, JPG, VERSION, Machine
from e2e.test_scrub import make_older, records

from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.errors import ExitCode

JOBS = f"""
defaults:
  base_url: ${{CXRSYNC_BASE_URL}}
  ca_file: ${{CXRSYNC_CA_FILE}}
  dataset_version: "{VERSION}"
  scrub: 1d
jobs:
  - name: jpg
    dest: ${{CXRSYNC_DEST}}
    jpg: true
    shard: p10
  - name: dicom
    dest: other
    dicom: true
    metadata_only: true
log: mirror.log
"""
PLACES = (
    "cxrsync.mirror.mirror:open_source",
    "cxrsync.mirror.mirror:pull",
    "cxrsync.operations.prepare:create_tree",
    "cxrsync.operations.prepare:claim_tree",
    "cxrsync.dataset.tree_identity:read_claim",
    "cxrsync.operations.pull:fetch_prerequisites",
    "cxrsync.mirror.scrub:expectation",
    "cxrsync.sync.scrub:sha256_file",
    "cxrsync.operations.pull:sync_partitions",
)


@pytest.fixture
def machine(
    shared_server: MiniPhysioNet, make_machine: Callable[[MiniPhysioNet], Machine]
) -> Machine:
    machine = make_machine(shared_server)
    (machine.home / "jobs.yaml").write_text(JOBS)
    assert machine.run("mirror", "--init", jobs(machine)).code == 0
    assert machine.run("mirror", jobs(machine)).code == 0
    root = machine.dest / JPG / VERSION
    make_older(root, dict.fromkeys(records(root), 25.0))
    return machine


def jobs(machine: Machine) -> str:
    return str(machine.home / "jobs.yaml")


def unmount_at(patch: pytest.MonkeyPatch, place: str, dest: Path) -> None:
    """Let the destination be an empty folder as soon as a function is called."""
    module, name = place.split(":")
    original = getattr(importlib.import_module(module), name)

    def called(*arguments: Any, **named: Any) -> Any:
        if not (aside := dest.with_name("aside")).exists():
            os.rename(dest, aside)
            dest.mkdir()
        return original(*arguments, **named)

    patch.setattr(importlib.import_module(module), name, called)


@pytest.mark.parametrize("place", PLACES)
def test_nothing_is_made_under_the_mount_point(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    with monkeypatch.context() as patch:
        unmount_at(patch, place, machine.dest)
        done = machine.run("mirror", jobs(machine))
    assert done.code in {ExitCode.DISK, ExitCode.REFUSED}
    assert list(machine.dest.iterdir()) == []
    assert "1 of 2 jobs did not complete" in done.err
    assert "dicom: complete and verified" in done.err
    assert (machine.home / "other" / DICOM / VERSION).is_dir()

    # The disk is still away in the next night.
    done = machine.run("mirror", jobs(machine))
    assert (done.code, "--init" in done.err) == (ExitCode.REFUSED, True)
    assert not (machine.dest / JPG).exists()
