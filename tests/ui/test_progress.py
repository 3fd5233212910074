"""The progress of a run, by a clock that only the test moves."""

from collections.abc import Callable

import pytest
from thorough import IS_THOROUGH
from ui.simulated_job import (
    MB,
    Clock,
    Shape,
    kind_of,
    many_small,
    many_tiny,
    many_tiny_after_large_ones,
    many_tiny_before_a_large_one,
    one_large_at_the_end,
    reports_in_an_archive,
    reports_in_an_archive_before_images,
    resumed_at_half,
    run,
)

from cxrsync.events import (
    Checked,
    Event,
    FileDone,
    Finding,
    Notice,
    Planned,
    Received,
    Retrying,
    Started,
    Waiting,
)
from cxrsync.model import Kind, Outcome, Result
from cxrsync.progress_events import (
    Activity,
    Expected,
    ExpectedSizes,
    Hashed,
    Phase,
    Resumed,
    Sized,
    Suspended,
    Unpacking,
    WaitingEnded,
)
from cxrsync.ui.progress import Progress
from cxrsync.ui.remaining_bytes import Bytes

FETCH = Phase(Activity.FETCHING)


class Run:
    """A Progress with its clock, and the events of a run."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.progress = Progress(self.clock)

    def tell(self, *events: Event) -> None:
        for event in events:
            self.progress.listen(event)

    def steadily(self, rate: int, *, seconds: int, path: str = "a.jpg") -> None:
        for _second in range(seconds):
            self.clock.now += 1
            self.tell(Received(rate, path))

    @property
    def rate(self) -> float:
        return self.progress.values().rate


@pytest.fixture
def job() -> Run:
    return Run()


def plan(to_fetch: int, to_hash: int = 0) -> Planned:
    return Planned(to_fetch + to_hash, 0, 0, to_fetch, to_hash)


def done(result: Result = Result.FETCHED, size: int = 0, path: str = "a.jpg") -> FileDone:
    return FileDone(Outcome(path, result, size))


def images(count: int, mean: float, weight: float = 50) -> Expected:
    sizes = ExpectedSizes(Kind.IMAGES, count, count * mean, weight, 0.5, "guesses")
    return Expected(0, (sizes,), kind_of)


def test_before_any_event(job: Run) -> None:
    values = job.progress.values()
    assert (values.activity, values.share, values.left, values.rate) == (
        Activity.STARTING,
        None,
        None,
        0.0,
    )


def test_the_rate_is_that_of_the_last_half_minute_of_transfer(job: Run) -> None:
    job.tell(FETCH)
    job.steadily(4 * MB, seconds=100)
    assert job.rate == pytest.approx(4 * MB)
    job.steadily(1 * MB, seconds=15)
    assert job.rate == pytest.approx(2.5 * MB)
    job.steadily(1 * MB, seconds=15)
    assert job.rate == pytest.approx(1 * MB)


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (Phase(Activity.PLANNING), FETCH),
        (Phase(Activity.UNPACKING), FETCH),
        (Suspended(), Resumed()),
        (Suspended(asks=True), Resumed()),
    ],
)
def test_neither_planning_nor_a_pause_nor_a_question_is_a_slow_network(
    job: Run, begin: Event, end: Event
) -> None:
    job.tell(FETCH)
    job.steadily(MB, seconds=20)
    job.tell(begin)
    job.clock.now += 1000
    assert job.rate == pytest.approx(MB)
    job.tell(end)
    assert job.rate == pytest.approx(MB)
    job.steadily(MB, seconds=5)
    assert job.rate == pytest.approx(MB)


def test_the_rate_falls_while_a_server_is_silent(job: Run) -> None:
    job.tell(FETCH)
    job.steadily(MB, seconds=30)
    job.clock.now += 15
    assert job.rate == pytest.approx(0.5 * MB)
    job.clock.now += 15
    assert job.rate == 0


def test_bytes_rarer_than_the_window_have_a_rate(job: Run) -> None:
    job.tell(FETCH)
    job.clock.now += 60
    job.tell(Received(6 * MB, "a.jpg"))
    assert job.rate == pytest.approx(0.1 * MB)


def test_the_first_moment_has_no_rate(job: Run) -> None:
    job.tell(FETCH, Received(5 * MB, "a.jpg"))
    job.clock.now += 0.1
    assert job.rate == 0


def test_bytes_of_the_manifest_are_not_those_of_files(job: Run) -> None:
    job.tell(Phase(Activity.MANIFEST), Sized("SHA256SUMS.txt", 77 * MB, MB, is_manifest=True))
    for _second in range(10):
        job.clock.now += 1
        job.tell(Received(2 * MB, "SHA256SUMS.txt", is_manifest=True))
    values = job.progress.values()
    assert (values.manifest_done, values.manifest_all) == (21 * MB, 77 * MB)
    assert (job.progress.received, values.bytes_done) == (0, 0)
    assert values.share == pytest.approx(21 / 77)
    assert values.left is not None
    assert values.left.likely == pytest.approx(28)


def test_discarded_bytes_are_subtracted(job: Run) -> None:
    job.tell(plan(1), images(1, MB), FETCH, Sized("a.jpg", 4 * MB))
    job.steadily(MB, seconds=2)
    job.tell(Received(-2 * MB, "a.jpg"))
    assert (job.progress.received, job.progress.values().bytes_done) == (0, 0)
    job.tell(Sized("a.jpg", 4 * MB))
    bytes_all = job.progress.values().bytes_all
    assert bytes_all is not None
    assert bytes_all.likely == 4 * MB


def test_which_outcomes_count(job: Run) -> None:
    job.tell(plan(5, to_hash=2), plan(1))
    for result in Result:
        job.tell(done(result, size=10))
    values = job.progress.values()
    assert (job.progress.done, values.files) == (len(Result), 8)
    assert values.failed == 3  # failed, contradicted, acknowledged
    assert values.bytes_done == 10 * (len(Result) - 3)


def test_what_was_here_counts(job: Run) -> None:
    job.tell(Planned(100, 60, 60 * MB, 40, 0), images(40, MB), FETCH)
    values = job.progress.values()
    assert (values.files_done, values.files, values.bytes_done) == (60, 100, 60 * MB)
    assert values.share == pytest.approx(0.6)


def test_a_resumed_file_counts_what_it_has(job: Run) -> None:
    job.tell(plan(1), images(1, 10 * MB), FETCH, Sized("a.jpg", 10 * MB, 6 * MB))
    assert job.progress.values().share == pytest.approx(0.6)
    job.steadily(MB, seconds=2)
    values = job.progress.values()
    assert values.bytes_done == 8 * MB
    assert values.left is not None
    assert (values.left.low, values.left.high) == (2, 2)  # nothing is estimated


def test_it_is_all_done_only_when_every_file_is(job: Run) -> None:
    job.tell(plan(2), images(2, MB), FETCH, Sized("a.jpg", MB), Sized("b.jpg", MB))
    job.steadily(MB, seconds=1)
    job.steadily(MB, seconds=1, path="b.jpg")
    assert job.progress.values().share == 0.99
    job.tell(done(size=MB), done(size=MB, path="b.jpg"))
    values = job.progress.values()
    assert (values.share, values.left) == (1.0, None)


def test_without_any_size_files_are_counted(job: Run) -> None:
    unknown = ExpectedSizes(Kind.IMAGES, 4, 0, 0, 1.0, "")
    job.tell(Planned(8, 4, 4 * MB, 4, 0), Expected(0, (unknown,), kind_of), FETCH)
    values = job.progress.values()
    assert (values.share, values.bytes_all, values.left) == (0.5, None, None)
    job.tell(Sized("a.jpg", 2 * MB))
    seen = job.progress.values().bytes_all
    assert seen is not None
    assert (seen.likely, seen.basis) == (12 * MB, ("sizes seen so far",))


def test_the_range_narrows_as_sizes_are_seen(job: Run) -> None:
    job.tell(plan(1000), images(1000, MB), FETCH)
    widths = []
    for number in range(900):
        path = f"{number}.jpg"
        job.tell(Sized(path, MB + (number % 5) * 1000))
        job.steadily(MB, seconds=1, path=path)
        job.tell(done(size=MB, path=path))
        left = job.progress.values().left
        assert left is not None
        widths.append((left.high - left.low) / left.likely)
    assert widths[0] > 0.15
    assert widths[-1] < 0.01


def test_files_are_hashed_while_others_are_fetched(job: Run) -> None:
    job.tell(plan(1, to_hash=4), Expected(40 * MB, images(1, MB).sizes, kind_of), FETCH)
    job.tell(Sized("a.jpg", MB))
    for _second in range(10):
        job.clock.now += 1
        job.tell(Hashed(MB), Received(10_000, "a.jpg"))
    values = job.progress.values()
    assert values.left is not None
    assert values.left.likely == pytest.approx(90)  # of the network; hashing takes 30 s more
    job.steadily(100_000, seconds=9)
    left = job.progress.values().left
    assert left is not None
    assert left.likely == pytest.approx(30 * 19 / 10, rel=0.01)


def test_a_verification(job: Run) -> None:
    job.tell(Phase(Activity.VERIFYING), plan(0, to_hash=10), Expected(10 * MB))
    for number in range(4):
        job.clock.now += 2
        job.tell(Checked(f"{number}.jpg", Finding.GOOD, MB))
    values = job.progress.values()
    assert (values.share, values.rate) == (pytest.approx(0.4), pytest.approx(MB / 2))
    assert values.left is not None
    assert values.left.likely == pytest.approx(12)


def archive(count: int) -> Expected:
    sizes = ExpectedSizes(Kind.REPORTS, count, count * 1200, 50, 0.5, "guesses")
    return Expected(0, (sizes,), kind_of)


def report(number: int, result: Result) -> FileDone:
    return done(result, 1200, f"files/p10/s{number}.txt")


def test_reports_in_an_archive_are_not_fetched_one_by_one(job: Run) -> None:
    job.tell(plan(6000), archive(6000), FETCH, Unpacking(Kind.REPORTS, 6000))
    job.tell(Sized("all.zip", 10 * MB))
    job.steadily(MB, seconds=4, path="all.zip")
    left = job.progress.values().left
    assert left is not None
    assert left.likely == pytest.approx(6 + 6000 / 3000)  # what a disk usually takes
    job.steadily(MB, seconds=6, path="all.zip")
    job.tell(Phase(Activity.UNPACKING, "all.zip"))
    for number in range(3000):
        job.clock.now += 0.001
        job.tell(report(number, Result.COPIED))
    left = job.progress.values().left
    assert left is not None
    assert left.likely == pytest.approx(3, rel=0.01)  # as this disk does


def test_reports_that_an_archive_lacks_are_fetched(job: Run) -> None:
    job.tell(plan(100), archive(100), FETCH, Unpacking(Kind.REPORTS, 100))
    job.tell(*(report(number, Result.COPIED) for number in range(60)))
    assert job.progress.values().bytes_all == Bytes(60 * 1200, 60 * 1200, 60 * 1200)
    job.tell(Unpacking(Kind.REPORTS, 0))
    whole = job.progress.values().bytes_all
    assert whole is not None
    assert whole.likely == pytest.approx(100 * 1200)


THREE_SHAPES = (many_small, one_large_at_the_end, resumed_at_half)
OTHER_SHAPES = (
    many_tiny,
    many_tiny_before_a_large_one,
    many_tiny_after_large_ones,
    reports_in_an_archive,
    reports_in_an_archive_before_images,
)


@pytest.mark.parametrize("wrong", [0.7, 1.0, 1.4])
@pytest.mark.parametrize(
    ("make", "seed"),
    [
        *((make, seed) for make in THREE_SHAPES for seed in range(3 if IS_THOROUGH else 1)),
        *((make, 0) for make in OTHER_SHAPES),
    ],
)
def test_the_time_left_is_near_the_truth_from_the_first_tenth_on(
    make: Callable[[int, float], Shape], wrong: float, seed: int
) -> None:
    """Within a factor of 1.5, though what was expected of the sizes is wrong."""
    clock = Clock()
    progress = Progress(clock)
    said = []
    began = clock.now
    for now in run(make(seed, wrong), 2 * MB, clock, progress.listen):
        left = progress.values().left
        said.append((now, None if left is None else left.likely))
    ended = said[-1][0]
    for now, left in said:
        truth = ended - now
        if now - began >= 0.1 * (ended - began) and truth > 3:
            assert left is not None
            assert truth / 1.5 <= left <= truth * 1.5, (now - began, truth, left)


@pytest.mark.parametrize(
    "end", [WaitingEnded(), Received(1, "a.jpg"), Phase(Activity.PLANNING), done(), Resumed()]
)
def test_the_seconds_of_a_wait_are_counted_until_something_happens(job: Run, end: Event) -> None:
    job.tell(FETCH, Waiting("no answer yet", 1.5, 60))
    job.clock.now += 10
    job.tell(Notice("something else"))
    values = job.progress.values()
    assert (values.waits, values.waited) == (": no answer yet", 11.5)
    job.tell(end)
    assert job.progress.values().waits == ""


@pytest.mark.parametrize(("path", "waits"), [("", " for the server: 503"), ("a.jpg", "")])
def test_all_wait_for_a_server_that_is_away_but_not_for_one_file(
    job: Run, path: str, waits: str
) -> None:
    job.tell(FETCH, Retrying(path, 60, "503"))
    assert job.progress.values().waits == waits


def test_a_second_start_begins_anew(job: Run) -> None:
    """A mirror pulls the tables of each of its jobs first, and then the jobs."""
    start = Started("d", "v", "r", "s", 8)
    job.tell(start, plan(3), FETCH, done(size=MB), start)
    values = job.progress.values()
    assert (values.files, values.files_done, values.bytes_done) == (0, 0, 0)
