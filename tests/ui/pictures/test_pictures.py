"""The pictures as numbers: widths that add up, bytes that go to the day in which they came."""

import math
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrsync.report_data import PartitionData, ProofData, RunData
from cxrsync.ui.pictures.completeness import completeness_bar, segments, shares
from cxrsync.ui.pictures.proof_ages import age_histogram, age_names, short
from cxrsync.ui.pictures.run_strip import MAX_RUNS, run_strip
from cxrsync.ui.pictures.scale import round_top
from cxrsync.ui.pictures.svg import element, text
from cxrsync.ui.pictures.transfer_history import DAYS, by_day, daily_transfer, rate_in_run, rates

DAY = 86_400.0
NOW = 20_783 * DAY + 3_600
RUN = RunData(NOW - DAY, 100.0, 0, fetched=1, fetched_bytes=1_000)


@pytest.mark.parametrize("counts", [[1], [377_109, 1, 0, 0], [1, 1, 1, 377_107], [0, 5, 0, 0]])
def test_widths_add_up_and_each_is_seen(counts: list[int]) -> None:
    widths = shares(counts)
    assert sum(widths) == pytest.approx(100)
    assert all((width > 1) == (count > 0) for width, count in zip(widths, counts, strict=True))


@given(*[st.integers(0, 400_000)] * 4)
@settings(deadline=None)
def test_every_file_is_in_one_segment(
    verified: int, unverified: int, missing: int, troubled: int
) -> None:
    selected = verified + unverified + missing
    partition = PartitionData("p10", selected, verified, unverified, missing, 0, 0, troubled)
    counts = [files for _class, _words, files in segments(partition)]
    assert sum(counts) == selected
    assert min(counts) >= 0
    assert (counts[2] > 0) == (troubled > 0 and unverified + missing > 0)
    ET.fromstring(completeness_bar(partition))


def test_an_empty_partition() -> None:
    assert shares([0, 0]) == [0, 0]
    assert "nothing selected" in completeness_bar(PartitionData("p10", 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("value", "top"), [(0, 1), (0.3, 0.5), (1, 1), (1.1, 2), (49, 50), (501, 1_000), (1e9, 1e9)]
)
def test_round_tops(value: float, top: float) -> None:
    assert round_top(value) == pytest.approx(top)


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0"), (999, "999"), (1_204, "1.2k"), (377_110, "377k"), (2_100_000, "2.1M"),
    ],
)  # fmt: skip
def test_short_counts(count: int, words: str) -> None:
    assert short(count) == words


def test_bytes_go_to_the_days_in_which_they_came() -> None:
    long = replace(
        RUN,
        began=NOW - 3 * DAY,
        seconds=2 * DAY,
        fetched_bytes=300,
        samples=((0.0, 0), (DAY, 100), (2 * DAY, 300)),
    )
    days = by_day([long, RUN], NOW)
    assert len(days) == DAYS
    assert days[-1].start <= NOW < days[-1].start + DAY
    assert sum(each.bytes for each in days) == pytest.approx(1_300)
    # It began an hour after midnight: 23 hours of the first hundred bytes, and so on.
    assert days[-4].bytes == pytest.approx(100 * 23 / 24)
    assert days[-3].bytes == pytest.approx(100 / 24 + 200 * 23 / 24)
    assert days[-2].bytes == pytest.approx(200 / 24 + 1_000)
    assert days[-4].rate == pytest.approx(100 / DAY)


@pytest.mark.parametrize("began", [NOW - 40 * DAY, NOW + 5 * DAY, 0.0])
def test_what_came_outside_of_the_days_is_left_out(began: float) -> None:
    assert sum(each.bytes for each in by_day([replace(RUN, began=began)], NOW)) == 0


def test_a_run_without_samples_is_spread_evenly() -> None:
    run = replace(RUN, began=NOW - 2 * DAY, seconds=2 * DAY, fetched_bytes=480)
    assert [round(each.bytes) for each in by_day([run], NOW)[-3:]] == [230, 240, 10]


def test_a_run_of_no_time_has_its_bytes() -> None:
    assert sum(each.bytes for each in by_day([replace(RUN, seconds=0.0)], NOW)) == 1_000


def test_rates_add_up_to_what_came() -> None:
    samples = tuple((float(n), n * n) for n in range(120))
    found = rates(replace(RUN, samples=samples))
    assert sum((end - begin) * rate for begin, end, rate in found) == pytest.approx(119 * 119)
    assert rates(RUN) == []
    assert rate_in_run(RUN) == ""


def test_every_picture_is_an_image_with_a_title() -> None:
    runs = [
        replace(RUN, exit_code=code, samples=((1.0, 5), (2.0, 9), (3.0, 10))) for code in (0, 5, 9)
    ]
    pictures = [
        daily_transfer(runs, NOW),
        rate_in_run(runs[0]),
        age_histogram(ProofData((1,) * len(age_names()))),
        run_strip(runs),
        completeness_bar(PartitionData("p10", 3, 1, 1, 1)),
    ]
    for each in pictures:
        svg = ET.fromstring(each)
        title = svg.find("title")
        assert svg.get("role") == "img"
        assert title is not None
        assert title.text
        assert svg.get("aria-labelledby") == title.get("id")
        assert "nan" not in each
        assert "inf" not in each.replace("information", "")


def test_nothing_to_draw() -> None:
    assert daily_transfer([], NOW) == ""
    ET.fromstring(run_strip([]))
    assert "None yet" in age_histogram(ProofData())


def test_the_strip_has_the_last_runs_and_tells_by_more_than_colour() -> None:
    runs = [replace(RUN, exit_code=code) for code in [130, *[0] * 28, 4, 9]]
    svg = ET.fromstring(run_strip(runs))
    marks = [each.text for each in svg.iter("text") if "mark" in str(each.get("class"))]
    assert marks == [*["✓"] * 28, "×", "–"]
    assert len(marks) == MAX_RUNS
    heights = {each.get("class"): float(str(each.get("height"))) for each in svg.iter("rect")}
    assert len(set(heights.values())) == 3


def test_text_is_escaped() -> None:
    assert element("g", title='a"<b>&') == '<g title="a&quot;&lt;b&gt;&amp;"></g>'
    assert "<script>" not in text("<script>", 0, 0)
    assert math.isfinite(float(element("g", x=1 / 3).split('"')[1]))
