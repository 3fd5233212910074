"""Events and results of the tasks of one job become those of one run."""

from dataclasses import replace
from math import inf

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
from cxrsync.model import Kind, Outcome, RejectedLine, Result
from cxrsync.operations.verify import Verification
from cxrsync.progress_events import Activity, Expected, ExpectedSizes, Phase, Suspended
from cxrsync.stats import RunStats
from cxrsync.ui.progress import Progress

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
    said = merge(EventMerger(6, verbose=True), "p10", PLANNED, *batch)
    assert said[0] == Notice("p10 on tcp://10.0.0.1:1: 3 selected, 3 to fetch")
    assert said[2] == Notice("p10 on tcp://10.0.0.1:1: waiting for the lock")


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


def test_percent_and_time_left_are_those_of_the_whole_job() -> None:
    merger, progress = EventMerger(connections=2), Progress(clock=lambda: 0.0)

    def tell(*events: Event) -> None:
        for event in events:
            progress.listen(event)

    def kind_of(_path: str) -> Kind:
        return Kind.IMAGES

    announced = {"p10": {Kind.IMAGES: 10}, "p11": {Kind.IMAGES: 10}}
    tell(*merger.announce(announced, kind_of))
    assert (progress.values().files_done, progress.values().files) == (0, 20)
    sizes = ExpectedSizes(Kind.IMAGES, 6, 60.0, inf, 0.0, "records")
    planned = Planned(10, 4, 40, 6, 0)
    expected = Expected(sizes=(sizes,), kind_of=kind_of)
    batch = merge(merger, "p10", Phase(Activity.FETCHING), planned, expected)
    assert not any(
        isinstance(event, Planned) for event in batch
    )  # a line for each task is too much
    tell(*batch)
    values = progress.values()
    assert (values.files_done, values.files, progress.todo) == (4, 20, 16)
    assert values.bytes_all is not None
    assert (values.bytes_done, values.bytes_all.likely) == (
        40,
        200,
    )  # 4 here, 16 of 10 bytes to come
    assert values.share == 0.2
