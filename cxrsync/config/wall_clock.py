"""Spans of the day by the local clock, right over midnight and at both changes of daylight saving.

What the clock on the wall shows decides. Where it is set forward, a time that it skips takes effect
at the moment of the change; where it is set back, the hour that it shows twice counts twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from cxrsync.errors import UsageError

MINUTES_A_DAY = 24 * 60
_SECONDS_A_DAY = 86_400
# Every time of day comes within two days, a skipped day (Samoa's, in 2011) included.
_HORIZON_SECONDS = 3 * _SECONDS_A_DAY
_TIME = re.compile(r"(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})", re.ASCII)
EXAMPLE = "22:00-06:00"


@dataclass(frozen=True, slots=True, order=True)
class DaySpan:
    """From minute ``start`` of each day up to minute ``end``; over midnight where ``end`` is not
    the later one. ``start`` is from 0 to 1439, ``end`` from 1 to 1440."""

    start: int
    end: int

    def covers(self, minute: int) -> bool:
        """Whether a minute of the day, from 0 to 1439, is in the span."""
        if self.start < self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end

    def within_days(self) -> list[tuple[int, int]]:
        """The same as intervals that end at midnight at the latest."""
        if self.start < self.end:
            return [(self.start, self.end)]
        return [(self.start, MINUTES_A_DAY), (0, self.end)]

    @property
    def boundaries(self) -> tuple[int, int]:
        """The minutes of the day at which the span begins and ends."""
        return self.start, self.end % MINUTES_A_DAY

    def __str__(self) -> str:
        return f"{clock_time(self.start)}-{clock_time(self.end)}"


def clock_time(minute: int) -> str:
    """A minute of the day as ``08:00``."""
    return f"{minute // 60:02}:{minute % 60:02}"


def minute_of_day(moment: datetime, zone: tzinfo | None) -> int:
    """What the clock in ``zone`` shows, in minutes since midnight. ``zone`` None: the system's."""
    local = moment.astimezone(zone)
    return local.hour * 60 + local.minute


def next_change(
    moment: datetime,
    zone: tzinfo | None,
    boundaries: Iterable[int],
    value_at: Callable[[int], object],
) -> datetime | None:
    """The first moment after ``moment`` at which ``value_at`` (of a minute of the day) differs from
    what it is at ``moment``, in UTC; None where it never does.

    ``boundaries``: the minutes of the day at which the value may change. It changes between them
    where the clock is set forward or back, too.
    """
    marks = sorted(set(boundaries))
    at = start = int(moment.timestamp() // 1)
    value = value_at(minute_of_day(moment, zone))
    while marks and at - start < _HORIZON_SECONDS:
        local = _local(at, zone)
        shown = (local.hour * 60 + local.minute) * 60 + local.second
        following = at + min((mark * 60 - shown - 1) % _SECONDS_A_DAY + 1 for mark in marks)
        at = _clock_set(at, following, zone) or following
        if value_at(minute_of_day(_utc(at), zone)) != value:
            return _utc(at)
    return None


def _clock_set(at: int, until: int, zone: tzinfo | None) -> int | None:
    """The second after ``at``, up to ``until``, at which the clock is set forward or back; None
    where it is not."""
    offset = _local(at, zone).utcoffset()
    if _local(until, zone).utcoffset() == offset:
        return None
    before, after = at, until
    while after - before > 1:
        middle = (before + after) // 2
        if _local(middle, zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after


def _utc(seconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


def _local(seconds: int, zone: tzinfo | None) -> datetime:
    return _utc(seconds).astimezone(zone)


def parse_span(value: object, label: str) -> DaySpan:
    """``22:00-06:00`` → a span; 00:00 at its end is 24:00. ``label``: the option's name, for
    messages. Raises UsageError."""
    if not isinstance(value, str):
        raise UsageError(f"{label}: {value!r} is not a span of the day", next_step=_quoted(value))
    first, dash, last = value.strip().partition("-")
    start, end = _minute(first, label), _minute(last, label) if dash else -1
    if not dash or start == MINUTES_A_DAY:
        raise UsageError(
            f"{label}: {value!r} is not a span of the day",
            next_step=f"Write two local times, 00:00 to 24:00, as {EXAMPLE}.",
        )
    if start == end:
        raise UsageError(
            f"{label}: {value!r} begins where it ends",
            next_step="Write 00:00-24:00 for the whole day.",
        )
    return DaySpan(start, end or MINUTES_A_DAY)


def _minute(text: str, label: str) -> int:
    match = _TIME.fullmatch(text.strip())
    hour, minute = (int(match["hour"]), int(match["minute"])) if match else (24, 60)
    if minute > 59 or hour * 60 + minute > MINUTES_A_DAY:
        raise UsageError(
            f"{label}: {text.strip()!r} is not a time of day",
            next_step=f"Write two local times, 00:00 to 24:00, as {EXAMPLE}.",
        )
    return hour * 60 + minute


def _quoted(value: object) -> str:
    """What to write instead of a value that is no text. YAML 1.1 reads 22:00 as 22 x 60."""
    if isinstance(value, int) and not isinstance(value, bool) and 60 <= value < MINUTES_A_DAY:
        return (
            f"YAML reads {clock_time(value)} without quotes as the number {value}. Write both "
            f'times, in quotes: "{clock_time(value)}-06:00".'
        )
    return f'Write two local times, in quotes: "{EXAMPLE}".'
