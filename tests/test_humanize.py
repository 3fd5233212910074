"""Numbers as people read them: sizes, durations, numbers of files."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync import humanize

many = settings(max_examples=examples(200))


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (999.6, "1.0 kB"),
        (1000, "1.0 kB"),
        (25_400, "25.4 kB"),
        (999_940, "999.9 kB"),
        (999_960, "1.0 MB"),  # never "1000.0 kB"
        (1_480_000, "1.5 MB"),
        (558e9, "558.0 GB"),
        (4.7e12, "4.70 TB"),
        (1e16, "10000.00 TB"),
        (-1_480_000, "-1.5 MB"),  # discarded bytes
    ],
)
def test_size(count: float, text: str) -> None:
    assert humanize.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.25, "0.2 s"),
        (9.9, "9.9 s"),
        (42.4, "42 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (185, "3 min 5 s"),
        (3599.6, "1 h"),
        (3600, "1 h"),
        (3_660, "1 h 1 min"),
        (86_399, "23 h 59 min"),
        (86_400, "1 d"),
        (18 * 86_400 + 4 * 3600 + 59, "18 d 4 h"),
        (150 * 86_400, "150 d"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert humanize.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (377_110, "377,110 files")]
)
def test_files(count: int, text: str) -> None:
    assert humanize.files(count) == text


UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


@many
@given(st.floats(0, 1e15))
def test_a_size_is_within_its_rounding(count: float) -> None:
    number, unit = humanize.size(count).split(" ")
    assert float(number) < 1000 or unit == "TB"
    assert float(number) * UNITS[unit] == pytest.approx(count, rel=0.06, abs=0.51)


SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}


@many
@given(st.floats(0, 1e9))
def test_a_duration_is_within_its_rounding(seconds: float) -> None:
    parts = re.findall(r"([\d.]+) (s|min|h|d)(?: |$)", humanize.duration(seconds))
    said = sum(float(number) * SECONDS[unit] for number, unit in parts)
    lesser = SECONDS[parts[-1][1]] if len(parts) == 2 else SECONDS[parts[0][1]] / 24
    assert abs(said - seconds) <= lesser + 0.5
    # At most two units, and never "60 min".
    assert len(parts) <= 2
    assert all(float(n) < {"s": 60, "min": 60, "h": 24, "d": 1e9}[unit] for n, unit in parts)


@pytest.mark.parametrize(
    ("done", "whole", "text"),
    [
        (22.8e9, 57e9, "22.8 of 57.0 GB"),
        (0, 57e9, "0 B of 57.0 GB"),
        (999.9e6, 1e9, "999.9 MB of 1.0 GB"),
        (999.96e6, 1e9, "1.0 of 1.0 GB"),
        (5, 7, "5 of 7 B"),
    ],
)
def test_part_of(done: float, whole: float, text: str) -> None:
    assert humanize.part_of(done, whole) == text
    assert "of about " in humanize.part_of(done, whole, "about ")


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 studies"), (1, "1 study"), (2_500, "2,500 studies")]
)
def test_one_and_many(count: int, text: str) -> None:
    assert humanize.number(count, "study", "studies") == text
    assert humanize.number(1, "image") == "1 image"
    assert (humanize.were(1), humanize.were(0)) == ("1 was", "0 were")
