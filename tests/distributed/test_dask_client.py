"""What a run on Dask decides without a cluster. The real one is in scripts/acceptance."""

import os
import stat
from pathlib import Path

import pytest

from cxrsync.config.job import Job
from cxrsync.distributed.dask_client import Place, local_size, notice_of, shown_to_workers
from cxrsync.distributed.divide import Division, divide
from cxrsync.errors import DiskError

SHARDS = ("p10", "p11", "p12")
PULL = divide(Job("mimic-cxr-jpg"), SHARDS)
VERIFY = divide(Job("mimic-cxr-jpg"), SHARDS, transfers=False)


@pytest.mark.parametrize(
    ("division", "cores", "size"),
    [(PULL, 2, (2, 2)), (PULL, 8, (4, 1)), (PULL, 3, (3, 2)), (VERIFY, 2, (2, 1))],
)
def test_a_cluster_of_this_machine(division: Division, cores: int, size: tuple[int, int]) -> None:
    assert local_size(division, cores) == size


def test_what_the_user_is_told() -> None:
    words = notice_of(PULL, Place("", Path("/data"))).text
    assert words == (
        "4 tasks on workers of this machine: at most 4 at a time, with 2 connections each"
    )
    assert "connection" not in notice_of(VERIFY, Place("tcp://h:1", Path("/data"))).text


def test_a_pull_shows_a_file_of_its_own_and_leaves_nothing(tmp_path: Path) -> None:
    dest = tmp_path / "new/data"
    with shown_to_workers(dest, "run", reads=False) as witness:
        assert os.path.exists(witness.path)
        assert witness.stamp is None
    assert list(tmp_path.iterdir()) == []


def test_what_reads_a_tree_writes_nothing_to_it(tmp_path: Path) -> None:
    (tmp_path / "SHA256SUMS.txt").write_text("")
    before = tmp_path.stat().st_mtime_ns
    with shown_to_workers(tmp_path, "run", reads=True) as witness:
        assert witness.path == str(tmp_path / "SHA256SUMS.txt")
        assert witness.stamp is not None
        assert tmp_path.stat().st_mtime_ns == before


def test_a_destination_that_may_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch(stat.S_IRUSR)
    with (
        pytest.raises(DiskError, match="cannot write to"),
        shown_to_workers(tmp_path / "file/data", "run", reads=False),
    ):
        pass
