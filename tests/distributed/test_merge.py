"""Events and results of the tasks of one job become those of one run."""

from dataclasses import replace

from cxrsync.distributed.merge import EventMerger, merged_summary, merged_verification
from cxrsync.errors import ExitCode
from cxrsync.events import (
    ConcurrencyChanged,
    Event,
    Notice,
    Planned,
    Retrying,
    RunSummary,
    Started,
    Totals,
    Waiting,
)
from cxrsync.model import Outcome, RejectedLine, Result
from cxrsync.operations.verify import Verification
from cxrsync.progress_events import Activity, Phase, Suspended
from cxrsync.stats import RunStats

STARTED = Started("jpg", "2.1.0", "/data", "everything", 1)
PLANNED = Planned(3, 0, 0, 3, 0)


def merge(merger: EventMerger, partition: str, *batch: Event) -> list[Event]:
    return list(merger.events(partition, "tcp://10.0.0.1:1", batch))


def test_what_concerns_the_whole_job_is_said_once() -> None:
    merger = EventMerger(connections=6)
    first = merge(
        merger, "root", STARTED, Notice("the agreement"), Phase(Activity.FETCHING), PLANNED
    )
    assert first == [
        replace(STARTED, connections=6), Notice("the agreement"), Phase(Activity.FETCHING), PLANNED,
    ]  # fmt: skip
    second = merge(merger, "p10", STARTED, Notice("the agreement"), Phase(Activity.ASKING), PLANNED)
    assert second == [PLANNED]


def test_what_concerns_one_task_only() -> None:
    batch = [Waiting("the lock", 1, 2), ConcurrencyChanged(2), Suspended(), Retrying("a", 1, "503")]
    assert merge(EventMerger(6), "p10", *batch) == [Retrying("a", 1, "503 (p10)")]
    said = merge(EventMerger(6, verbose=True), "p10", *batch)
    assert said[0] == Notice("p10 on tcp://10.0.0.1:1: waiting for the lock")


def summary(**changes: object) -> RunSummary:
    empty = RunStats().summary(requests=2, exit_code=0)
    return replace(empty, dataset="jpg", **changes)  # type: ignore[arg-type]


def test_summaries_add_up() -> None:
    line = RejectedLine(3, "no digest")
    problem = Outcome("a", Result.FAILED, reason="404")
    found = merged_summary(
        [
            summary(fetched=Totals(2, 20), failed=Totals(2), refused=(line,), problems=(problem,),
                    seconds=5.0),
            summary(fetched=Totals(1, 10), failed=Totals(1), refused=(line,), seconds=9.0),
        ],
        ExitCode.FILES_FAILED,
        "everything",
        "p10: full",
    )  # fmt: skip
    assert found.fetched == Totals(3, 30)
    assert found.failed == Totals(2)  # the rejected line is one, however many tasks have seen it
    assert (found.refused, found.problems) == ((line,), (problem,))
    assert (found.requests, found.seconds, found.exit_code) == (4, 9.0, 5)
    assert (found.selection, found.error, found.dataset) == ("everything", "p10: full", "jpg")


def test_no_task_has_a_summary() -> None:
    found = merged_summary([], ExitCode.CREDENTIALS, "everything", "refused")
    assert (found.exit_code, found.error, found.selected) == (3, "refused", Totals())


def test_verifications_add_up() -> None:
    tasks = [
        Verification("s", selected=3, good=2, good_bytes=9, bad=["a"], refused_lines=1),
        Verification("s", selected=2, good=1, good_bytes=1, missing=1, extra=2, refused_lines=1),
    ]
    found = merged_verification(tasks)
    assert (found.selected, found.good, found.good_bytes, found.bad) == (5, 3, 10, ["a"])
    assert (found.missing, found.extra, found.refused_lines) == (1, 2, 1)
    assert tasks[0].bad == ["a"]
    assert found.exit_code == ExitCode.CONTRADICTED
