"""How long the rest of a transfer takes, by bytes and by requests."""

import pytest
from ui.simulated_job import MB, Clock

from cxrsync.ui.transfer_time import TransferTime, part_of_requests


@pytest.mark.parametrize(
    ("rate", "bulk_rate", "answers", "usual", "part"),
    [
        (80_000, 2 * MB, 16, 0.05, 0.96),  # many tiny files, after a manifest
        (1 * MB, 2 * MB, 4, 0.05, 0.5),
        (2 * MB, 2 * MB, 0.4, 0.05, 0.02),  # large files: nothing to be measured
        (1.9 * MB, 2 * MB, 0.4, 0.05, 0.02),  # the line goes up and down
        (3 * MB, 2 * MB, 0.4, 0.05, 0.02),
        (2 * MB, 2 * MB, 7, 0.05, 0.0),  # requests are answered while others arrive
        (80_000, 0, 16, 0.05, 0.0),  # the line has not shown what it can
        (2 * MB, 0, 0.4, 0.05, 0.02),
        (2 * MB, 0, 0.4, 0.0, 0.0),
    ],
)
def test_the_part_of_the_requests(
    rate: float, bulk_rate: float, answers: float, usual: float, part: float
) -> None:
    assert part_of_requests(rate, bulk_rate, answers, usual) == pytest.approx(part)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def time(clock: Clock) -> TransferTime:
    time = TransferTime(clock)
    time.run()
    return time


def bulk(clock: Clock, time: TransferTime, rate: float, seconds: int) -> None:
    for _second in range(seconds):
        clock.now += 1
        time.receive(int(rate))


def files(clock: Clock, time: TransferTime, size: int, per_second: int, seconds: int) -> None:
    for _number in range(per_second * seconds):
        clock.now += 1 / per_second
        time.answer()
        time.receive(size)


def test_nothing_can_be_said_before_anything_arrived(clock: Clock, time: TransferTime) -> None:
    clock.now += 10
    assert time.seconds(MB, 1, 8) is None
    assert time.seconds(0, 0, 8) == 0


@pytest.mark.parametrize("manifest_rate", [0, MB, 5 * MB])
def test_more_of_the_same_takes_as_long_whatever_the_line_can_do(
    clock: Clock, time: TransferTime, manifest_rate: float
) -> None:
    if manifest_rate:
        bulk(clock, time, manifest_rate, 10)
    files(clock, time, 5_000, 20, 40)
    assert time.seconds(1000 * 5_000, 1000, 8) == pytest.approx(50, rel=0.02)


def test_one_large_file_after_many_tiny_ones(clock: Clock, time: TransferTime) -> None:
    bulk(clock, time, 2 * MB, 10)
    files(clock, time, 5_000, 20, 40)
    assert time.seconds(200 * MB, 0, 8) == pytest.approx(100, rel=0.02)
    time.answer()
    bulk(clock, time, MB, 40)  # the line has become slower meanwhile
    assert time.seconds(160 * MB, 0, 8) == pytest.approx(160, rel=0.02)


def test_a_line_of_one_large_file_shows_its_rate_after_seconds(
    clock: Clock, time: TransferTime
) -> None:
    """Without a manifest before: what came before it were tiny files."""
    files(clock, time, 5_000, 20, 40)
    time.answer()
    bulk(clock, time, 2 * MB, 3)
    assert time.seconds(200 * MB, 0, 8) == pytest.approx(100, rel=0.02)


def test_neither_counts_while_the_clock_stands(clock: Clock, time: TransferTime) -> None:
    bulk(clock, time, 2 * MB, 10)
    files(clock, time, 5_000, 20, 40)
    before = time.seconds(MB, 100, 8)
    time.stop()
    clock.now += 1000
    time.run()
    assert time.seconds(MB, 100, 8) == pytest.approx(before)
