"""The progress of a run, by a clock that only the test moves."""

import re

import pytest

from cxrsync.events import Event, FileDone, Planned, Received
from cxrsync.model import Outcome, Result
from cxrsync.ui.progress import Progress

MB = 10**6


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Run:
    """A Progress with its clock, and the events of a run."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.progress = Progress(self.clock)

    def tell(self, *events: Event) -> None:
        for event in events:
            self.progress.listen(event)

    def receive(self, count: int, *, seconds: float) -> None:
        self.clock.now += seconds
        self.tell(Received(count))

    def steadily(self, rate: int, *, seconds: int) -> None:
        for _second in range(seconds):
            self.receive(rate, seconds=1)


@pytest.fixture
def run() -> Run:
    return Run()


def plan(to_fetch: int, to_hash: int = 0) -> Planned:
    return Planned(to_fetch + to_hash, 0, 0, to_fetch, to_hash)


def done(result: Result = Result.FETCHED, size: int = 0) -> FileDone:
    return FileDone(Outcome("files/p10/a.jpg", result, size))


def test_before_any_event(run: Run) -> None:
    assert (run.progress.rate, run.progress.seconds_left) == (0.0, None)
    assert str(run.progress) == "0 B at 0 B/s"
    run.tell(Received(5))  # in the same instant: the elapsed time is zero
    assert run.progress.rate == 0.0


def test_the_rate_is_that_of_the_last_half_minute(run: Run) -> None:
    run.steadily(4 * MB, seconds=100)
    assert run.progress.rate == pytest.approx(4 * MB)
    run.steadily(1 * MB, seconds=15)
    assert run.progress.rate == pytest.approx(2.5 * MB)
    run.steadily(1 * MB, seconds=15)
    assert run.progress.rate == pytest.approx(1 * MB)
    assert run.progress.received == 430 * MB


def test_bytes_rarer_than_the_window_have_a_rate(run: Run) -> None:
    run.receive(6 * MB, seconds=60)
    assert run.progress.rate == pytest.approx(0.1 * MB)


def test_the_rate_falls_during_a_silence(run: Run) -> None:
    run.steadily(MB, seconds=30)
    run.clock.now += 15
    assert run.progress.rate == pytest.approx(0.5 * MB)
    run.clock.now += 15
    assert run.progress.rate == 0


def test_discarded_bytes_are_subtracted(run: Run) -> None:
    run.tell(plan(2), done(size=MB))
    run.receive(MB, seconds=1)
    run.receive(-3 * MB, seconds=1)
    assert run.progress.received == -2 * MB
    assert run.progress.seconds_left is None  # not negative
    assert "left" not in str(run.progress)


def test_which_outcomes_count_as_fetched_or_failed(run: Run) -> None:
    run.tell(plan(5, to_hash=2), plan(1))
    assert run.progress.todo == 8
    for result in Result:
        run.tell(done(result, size=10))
    assert run.progress.done == len(Result)
    assert (run.progress.fetched, run.progress.fetched_bytes) == (
        1,
        10,
    )  # the others needed no network
    assert run.progress.failed == 3  # failed, contradicted, acknowledged
    assert str(run.progress).endswith(", 3 failed")


@pytest.mark.parametrize(
    ("files", "size", "rate", "text"),
    [
        # A full pull of each: JPG takes 18 days, DICOM 150 days, which tqdm shows as 3600:00:00.
        (377_110, 1_480_000, 359_000, "17 d 23 h"),
        (377_110, 12_500_000, 363_000, "150 d 7 h"),
        (61, MB, MB, "1 min"),
        (601, MB, MB, "10 min"),
        (7_201, MB, MB, "2 h"),
    ],
)
def test_the_remaining_time(run: Run, files: int, size: int, rate: int, text: str) -> None:
    run.tell(plan(files))
    run.steadily(rate, seconds=30)
    run.tell(done(size=size))
    said = re.search(r"about (.*) left", str(run.progress))
    assert said is not None
    assert said[1] == text
    assert ":" not in said[1]
    assert run.progress.seconds_left == pytest.approx((files - 1) * size / rate)


def test_no_time_remains_at_the_end(run: Run) -> None:
    run.tell(plan(1))
    run.steadily(MB, seconds=2)
    run.tell(done(size=2 * MB))
    assert str(run.progress) == "2.0 MB at 1.0 MB/s"
