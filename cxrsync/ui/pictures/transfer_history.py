"""Bytes and rate over time: a bar a day, and the rate within one run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from cxrsync import humanize
from cxrsync.report_data import RunData
from cxrsync.ui.pictures.scale import round_top
from cxrsync.ui.pictures.svg import element, picture, plot, rect, rule, text
from cxrsync.ui.run_words import day, when

DAYS = 30
DAY = 86_400.0
_TOP, _BARS, _GAP, _RATES, _BELOW = 16, 92, 30, 60, 22
_RATE_TOP, _RATE_HEIGHT = 16, 110
# A line of more points than this is no clearer.
_MAX_POINTS = 60


@dataclass(slots=True)
class DayOfTransfer:
    """What arrived in one day (UTC) that began at ``start``. ``seconds``: how long runs were at
    work in it."""

    start: float
    bytes: float = 0.0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """The mean rate while runs were at work."""
        return self.bytes / self.seconds if self.seconds >= 1 else 0.0


def by_day(runs: Sequence[RunData], now: float) -> list[DayOfTransfer]:
    """The last 30 days, today's the last. A run's bytes go to the days in which they arrived."""
    today = now // DAY * DAY
    days = [DayOfTransfer(today - DAY * back) for back in reversed(range(DAYS))]
    first = days[0].start
    for run in runs:
        for begin, end, count in _stretches(run):
            span = end - begin
            for number in range(int((begin - first) // DAY), int((end - first) // DAY) + 1):
                if 0 <= number < DAYS:
                    start = days[number].start
                    part = max(0.0, min(end, start + DAY) - max(begin, start))
                    days[number].seconds += part
                    days[number].bytes += count * (part / span if span else 1.0)
    return days


def _stretches(run: RunData) -> Iterator[tuple[float, float, float]]:
    """Stretches of a run, each with the bytes that arrived in it: POSIX times, oldest first."""
    points = [(0.0, 0), *run.samples]
    seconds, total = points[-1]
    if seconds < run.seconds or total < run.fetched_bytes:
        points.append((max(seconds, run.seconds), max(total, run.fetched_bytes)))
    for (begin, before), (end, after) in pairwise(points):
        yield run.began + begin, run.began + end, max(0, after - before)


def daily_transfer(runs: Sequence[RunData], now: float) -> str:
    """Bytes a day as bars, and below them the mean rate of each day; empty where there are none."""
    days = by_day(runs, now)
    if max(each.bytes for each in days) < 1:
        return ""
    most = round_top(max(each.bytes for each in days))
    fastest = round_top(max(each.rate for each in days))
    pitch = 100 / DAYS
    base, rate_top = _TOP + _BARS, _TOP + _BARS + _GAP
    rate_base = rate_top + _RATES
    parts = [rule(_TOP), text(f"{humanize.size(most)} a day", 0, _TOP - 4), rule(base, "axis")]
    parts += [rule(rate_top), text(f"{humanize.size(fastest)}/s", 0, rate_top - 4)]
    parts += [rule(rate_base, "axis")]
    for place, each in enumerate(days):
        if each.bytes < 1:
            continue
        x, width = place * pitch + pitch * 0.12, pitch * 0.76
        said = f"{humanize.size(each.bytes)} at {humanize.size(each.rate)}/s"
        tip = f"{day(each.start)}: {said}"
        height = max(1.5, _BARS * each.bytes / most)
        parts.append(rect(x, base - height, width, height, "bytes", tip))
        level = max(1.5, _RATES * each.rate / fastest)
        parts.append(rect(x, rate_base - level, width, level, "rate", tip))
    parts += [
        text(day(days[0].start), 0, rate_base + 15),
        text("today", 100, rate_base + 15, "end"),
    ]
    total = sum(each.bytes for each in days)
    title = (
        f"Bytes fetched and mean rate on each of the last {DAYS} days: "
        f"{humanize.size(total)} in all, {humanize.size(max(each.bytes for each in days))} on the "
        "day with the most"
    )
    return picture("history", title, rate_base + _BELOW, parts)


def rate_in_run(run: RunData) -> str:
    """The rate over the time of one run, as an area; empty where too few samples are known."""
    points = rates(run)
    if len(points) < 2:
        return ""
    end = points[-1][1]
    fastest = round_top(max(rate for _begin, _end, rate in points))
    steps = " ".join(
        f"L{100 * begin / end:.2f} {100 - 100 * rate / fastest:.2f} "
        f"L{100 * finish / end:.2f} {100 - 100 * rate / fastest:.2f}"
        for begin, finish, rate in points
    )
    base = _RATE_TOP + _RATE_HEIGHT
    area = element("path", d=f"M0 100 {steps} L100 100 Z", class_="area")
    line = element("path", d=f"M{steps[1:]}", class_="line", vector_effect="non-scaling-stroke")
    mean = run.fetched_bytes / run.seconds if run.seconds else 0.0
    title = (
        f"Rate within the last run that fetched something, of {when(run.began)}: "
        f"{humanize.size(run.fetched_bytes)} in {humanize.duration(run.seconds)}, "
        f"{humanize.size(mean)}/s on average"
    )
    parts = [
        rule(_RATE_TOP),
        text(f"{humanize.size(fastest)}/s", 0, _RATE_TOP - 4),
        plot(_RATE_TOP, _RATE_HEIGHT, [area, line]),
        rule(base, "axis"),
        text("begin", 0, base + 15),
        text(humanize.duration(end), 100, base + 15, "end"),
    ]
    return picture("rate", title, base + _BELOW, parts)


def rates(run: RunData) -> list[tuple[float, float, float]]:
    """Begin, end and bytes per second of each stretch of a run; short ones are joined."""
    points = [(0.0, 0), *run.samples] if run.samples and run.samples[0][0] > 0 else [*run.samples]
    if len(points) < 3:
        return []
    step = max(1, (len(points) - 1) // _MAX_POINTS)
    kept = points[::step]
    if kept[-1] != points[-1]:
        kept.append(points[-1])
    return [
        (begin, end, max(0, after - before) / (end - begin))
        for (begin, before), (end, after) in pairwise(kept)
        if end > begin
    ]
