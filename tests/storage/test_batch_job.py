"""Whether the batch job of a lock's owner has ended."""

from dataclasses import replace
from pathlib import Path

import pytest

from cxrsync.errors import Locked
from cxrsync.storage import lock as lock_module
from cxrsync.storage.batch_job import has_ended, this_job
from cxrsync.storage.lock import Lock
from cxrsync.storage.lock_folder import read_owner
from cxrsync.storage.lock_owner import Owner, myself

MINE = "slurm:c.9/0"


@pytest.mark.parametrize(
    ("variables", "job"),
    [
        ({}, ""),
        ({"SLURM_JOB_ID": "7", "SLURM_CLUSTER_NAME": "c"}, "slurm:c.7/0"),
        (
            {"SLURM_JOB_ID": "7", "SLURM_CLUSTER_NAME": "c", "SLURM_RESTART_COUNT": "2"},
            "slurm:c.7/2",
        ),
        (
            {
                "SLURM_JOB_ID": "7",
                "SLURM_CLUSTER_NAME": "c",
                "SLURM_WORKING_CLUSTER": "c:10.0.0.1:6817:9728:109",
            },
            "slurm:c@849a8c24.7/0",
        ),
        ({"SLURM_JOB_ID": "7; rm"}, ""),
        ({"SLURM_JOB_ID": "7", "SLURM_CLUSTER_NAME": "a/b"}, ""),
        ({"CXRSYNC_JOB": "dask:run-p10/3", "SLURM_JOB_ID": "7"}, "dask:run-p10/3"),
        ({"CXRSYNC_JOB": "nonsense"}, ""),
    ],
)
def test_this_job(variables: dict[str, str], job: str) -> None:
    assert this_job(variables) == job


@pytest.mark.parametrize(
    ("owner", "said", "ended"),
    [
        ("slurm:c.7/0", "JobId=7 JobState=RUNNING Reason=None Restarts=0", False),
        ("slurm:c.7/0", "JobId=7 JobState=RUNNING Reason=None Restarts=1", True),
        ("slurm:c.7/0", "JobId=7 JobState=COMPLETING Restarts=0", False),
        ("slurm:c.7/0", "JobId=7 JobState=NODE_FAIL Restarts=0", True),
        ("slurm:c.7/0", "JobId=7 JobState=PENDING Reason=BeginTime Restarts=0", True),
        ("slurm:c.7/0", "", True),  # SLURM has forgotten it
        # The number of an array is that of one of its tasks: SLURM tells of each.
        (
            "slurm:c.7/0",
            "JobId=8 JobState=FAILED Restarts=0\nJobId=7 JobState=RUNNING Restarts=0",
            False,
        ),
        (
            "slurm:c.7/0",
            "JobId=8 JobState=RUNNING Restarts=0\nJobId=7 JobState=FAILED Restarts=0",
            True,
        ),
        ("slurm:c.7/0", "JobId=8 JobState=RUNNING Restarts=0", True),
        ("slurm:c.7/0", None, False),  # SLURM does not answer
        ("slurm:c.7/0", "odd", False),
        ("slurm:other.7/0", "", False),
        ("slurm:c.9/1", None, True),  # an earlier attempt of our own job
        ("dask:c.9/1", "", False),
        ("", "", False),
    ],
)
def test_has_ended(owner: str, said: str | None, ended: bool) -> None:
    assert has_ended(owner, MINE, lambda _number: said) is ended


def test_two_attempts_of_one_dask_task() -> None:
    assert has_ended("dask:run-p10/1", "dask:run-p10/2", lambda _number: None)
    assert not has_ended("dask:run-p10/1", "dask:run-p11/2", lambda _number: "")


def elsewhere(job: str) -> Owner:
    return replace(myself(), host="node7", machine="0" * 16, boot="another", job=job)


def test_the_lock_of_a_job_that_has_ended_is_taken_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def ask(number: str) -> str:
        asked.append(number)
        state = "RUNNING" if len(asked) == 1 else "TIMEOUT"
        return f"JobId={number} JobState={state} Restarts=0"

    monkeypatch.setattr(lock_module, "ask_slurm", ask)
    theirs = Lock(tmp_path, owner=elsewhere("slurm:c.7/0"))
    theirs.acquire()
    mine = Lock(tmp_path, owner=replace(myself(), job=MINE))
    with pytest.raises(Locked):
        mine.acquire()
    with pytest.raises(Locked):
        mine.acquire()
    assert asked == ["7"]  # not again within a minute
    mine = Lock(tmp_path, owner=replace(myself(), job=MINE))
    mine.acquire()
    # It may err: what the other has left is treated as that of an owner who may wake up.
    [replaced] = mine.replaced_owners()
    assert not replaced.dead
    mine.release()
    theirs.release()


def test_an_owner_without_a_job_is_written_as_before(tmp_path: Path) -> None:
    for job, written in (("", False), (MINE, True)):
        with Lock(tmp_path, owner=replace(myself(), job=job)):
            [file] = (tmp_path / "lock").iterdir()
            assert ('"job"' in file.read_text()) is written
            assert read_owner(file).job == job
