"""A job becomes one task a partition; connections and rate are shared out."""

from dataclasses import replace

import pytest

from cxrsync.config.job import Job, TransferLimits
from cxrsync.config.selection import Selection
from cxrsync.config.timetable import parse_timetable
from cxrsync.distributed.divide import divide, partitions_of
from cxrsync.errors import UsageError
from cxrsync.model import Kind

SHARDS = tuple(f"p{number}" for number in range(10, 20))
JOB = Job("mimic-cxr-jpg")


def limited(**limits: object) -> Job:
    return replace(JOB, limits=replace(TransferLimits(), **limits))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("connections", "at_once", "each"),
    [(8, None, (8, 1)), (8, 3, (3, 2)), (8, 8, (8, 1)), (32, None, (11, 2)), (1, None, (1, 1)),
     (8, 1, (1, 8))],
)  # fmt: skip
def test_connections_are_shared_out(
    connections: int, at_once: int | None, each: tuple[int, int]
) -> None:
    division = divide(limited(connections=connections), SHARDS, at_once)
    assert (division.at_once, division.connections) == each
    assert division.at_once * division.connections <= connections
    assert [job.limits.connections for job in division.jobs] == [each[1]] * 11
    assert all(job.limits.first_connections <= each[1] for job in division.jobs)


def test_each_partition_has_one_task_and_the_root_is_first() -> None:
    division = divide(JOB, SHARDS)
    assert division.partitions == ("root", *SHARDS)
    assert [job.partitions for job in division.jobs] == [{name} for name in division.partitions]
    assert {job.selection for job in division.jobs} == {JOB.selection}


@pytest.mark.parametrize(
    ("selection", "partitions"),
    [
        (Selection(), ("root", *SHARDS)),
        (Selection(shards=("p12", "p10")), ("root", "p10", "p12")),
        (Selection(shards=("p10",), tables=False), ("p10",)),
        (Selection(only=(Kind.TABLES,)), ("root", *SHARDS)),
        (Selection(shards=("p10", "p20"), tables=False), ("root", "p10")),  # of a later version
        (Selection(splits=("test",)), ("root", *SHARDS)),
    ],
)
def test_partitions_of_a_selection(selection: Selection, partitions: tuple[str, ...]) -> None:
    assert partitions_of(replace(JOB, selection=selection), SHARDS) == partitions


def test_partitions_that_were_named() -> None:
    assert partitions_of(replace(JOB, partitions=frozenset({"p11"})), SHARDS) == ("p11",)
    assert partitions_of(Job("mitdb"), ()) == ("root",)


@pytest.mark.parametrize(
    ("rate", "shared"),
    [
        ("3M", "1048576"),
        ("off", "off"),
        ("1", "1"),
        ("08:00-20:00=3k,20:00-08:00=off", "08:00-20:00=1024,20:00-08:00=off"),
        ("08:00-20:00=0,20:00-08:00=6k", "08:00-20:00=0,20:00-08:00=2048"),
    ],
)
def test_the_rate_is_shared_out(rate: str, shared: str) -> None:
    division = divide(limited(rate=parse_timetable(rate)), SHARDS, 3)
    assert str(division.rate) == shared
    assert parse_timetable(str(division.rate)) == division.rate


@pytest.mark.parametrize(
    ("job", "at_once", "words"),
    [
        (JOB, 12, "it has 11 partitions"),
        (replace(JOB, selection=Selection(shards=("p10",), tables=False)), 2, "it has 1 partition"),
        (limited(connections=4), 5, "more than --connections 4"),
        (
            replace(JOB, selection=Selection(shards=("p10",)), partitions=frozenset({"p11"})),
            None,
            "has no files in the partitions",
        ),
        (limited(max_files=3), None, "--max-files is a limit of one run"),
        (limited(max_bytes=3), None, "--max-bytes is a limit of one run"),
        (replace(JOB, version="latest"), None, "a new version may come between"),
    ],
)
def test_what_cannot_be_divided(job: Job, at_once: int | None, words: str) -> None:
    with pytest.raises(UsageError, match=words) as raised:
        divide(job, SHARDS, at_once)
    assert raised.value.next_step


def test_a_verification_needs_no_connections() -> None:
    assert divide(limited(connections=1), SHARDS, 11, transfers=False).at_once == 11
