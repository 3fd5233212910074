"""Rates and windows by the local time of day, over midnight and both changes of daylight saving."""

import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.config.time_window import Window, parse_window
from cxrsync.config.timetable import Timetable, parse_timetable
from cxrsync.config.wall_clock import DaySpan, next_change
from cxrsync.errors import UsageError

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")
KATHMANDU = ZoneInfo("Asia/Kathmandu")  # +05:45
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")  # half an hour of daylight saving
ZONES = [UTC, BERLIN, NEW_YORK, KATHMANDU, LORD_HOWE]
DAY = "08:00-20:00=1M,20:00-08:00=off"
MIB = float(1 << 20)


def at(text: str, zone: Any = UTC, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold)


def table(value: object, zone: Any = UTC) -> Timetable:
    parsed = parse_timetable(value)
    return Timetable(parsed.spans, parsed.otherwise, zone)


def refusal(value: object) -> UsageError:
    with pytest.raises(UsageError) as caught:
        parse_timetable(value)
    return caught.value


# ── what is written ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("value", "rate"),
    [
        (None, None),
        ("off", None),
        ("500k", 500.0 * 1024),
        ("2M", 2 * MIB),
        ("2MB", 2 * MIB),
        ("2MiB", 2 * MIB),
        ("1.5M", 1.5 * MIB),
        ("123456", 123456.0),
        (123456, 123456.0),
        (1.5, 1.5),
    ],
)
def test_a_plain_rate_holds_at_all_times(value: object, rate: float | None) -> None:
    parsed = parse_timetable(value)
    assert parsed == Timetable(otherwise=rate)
    assert parsed.rate_at(at("2026-11-26T12:00")) == rate
    assert parsed.next_change(at("2026-11-26T12:00")) is None
    assert parsed.slowest == rate


@pytest.mark.parametrize(
    "value",
    [DAY, {"08:00-20:00": "1M"}, {"08:00-20:00": "1M", "20:00-08:00": "off"}, {"8:00-20:00": MIB}],
)
def test_a_timetable_as_text_or_mapping(value: object) -> None:
    parsed = table(value)
    rates = {hour: parsed.rate_at(at(f"2026-11-26T{hour}")) for hour in ("07:59", "08:00", "20:00")}
    assert rates == {"07:59": None, "08:00": MIB, "20:00": None}
    assert parsed.slowest == MIB
    assert parsed.rates == {MIB, None}


def test_a_pause_is_a_rate_of_zero() -> None:
    parsed = table("08:00-20:00=0, 20:00-22:00=100k")
    assert parsed.rate_at(at("2026-11-26T08:00")) == 0
    assert parsed.next_change(at("2026-11-26T08:00")) == at("2026-11-26T20:00")
    assert parsed.slowest == 100.0 * 1024
    assert parse_timetable({"08:00-20:00": 0}).rates == {0.0, None}


@pytest.mark.parametrize(
    ("value", "said", "do"),
    [
        ("25:00-06:00=1M", "'25:00' is not a time of day", "22:00-06:00"),
        ("22:60-06:00=1M", "'22:60' is not a time of day", "22:00-06:00"),
        ("24:00-06:00=1M", "not a span of the day", "22:00-06:00"),
        ("22:00=1M", "not a span of the day", "22:00-06:00"),
        ("08:00-08:00=1M", "begins where it ends", "00:00-24:00"),
        ("00:00-00:00=1M", "begins where it ends", "00:00-24:00"),
        ("08:00-20:00=1M,19:00-21:00=2M", "overlap from 19:00 on", "where the next begins"),
        ("22:00-06:00=1M,05:00-08:00=2M", "overlap from 05:00 on", "where the next begins"),
        ("08:00-20:00=1M,08:00-20:00=2M", "overlap from 08:00 on", ""),
        ("08:00-20:00=fast", "'fast' is not a rate", "500k"),
        ("08:00-20:00=", "'' is not a rate", "500k"),
        ("08:00-20:00=-1", "'-1' is not a rate", "500k"),
        ("1Q", "'1Q' is not a rate", "500k"),
        (0.5, "0.5 is not a rate", "500k"),
        (math.nan, "nan is not a rate", "500k"),
        ("0", "never fetch anything", "off"),
        (0, "never fetch anything", "off"),
        ("00:00-24:00=0", "never fetch anything", "off"),
        ({}, "empty timetable", "500k"),
        (
            {1320: "1M"},
            "1320 is not a span",
            'the number 1320. Write both times, in quotes: "22:00',
        ),
        ({"08:00-20:00": False}, "False is not a rate", '"off", in quotes'),
        (False, "False is not a rate", '"off", in quotes'),
        (["1M"], "is not a rate", "500k"),
    ],
)
def test_what_cannot_be_meant_is_refused(value: object, said: str, do: str) -> None:
    error = refusal(value)
    assert said in str(error)
    assert do in error.next_step


def test_the_whole_day_is_a_span() -> None:
    parsed = table("00:00-24:00=1M")
    assert parsed.rates == {MIB}
    assert parsed.next_change(at("2026-11-26T12:00")) is None


# ── changes of daylight saving, by hand ────────────────────────────────────────────────────────

# Berlin: 2026-03-29 02:00 → 03:00 (01:00 UTC); 2026-10-25 03:00 → 02:00 (01:00 UTC).
# New York: 2026-03-08 02:00 → 03:00 (07:00 UTC); 2026-11-01 02:00 → 01:00 (06:00 UTC).


@pytest.mark.parametrize(
    ("text", "zone", "moment", "change"),
    [
        # A night that has 23 hours, and one that has 25: by the wall clock it is 20:00 to 08:00.
        (DAY, BERLIN, "2026-03-28T19:00", "2026-03-29T06:00"),
        (DAY, BERLIN, "2026-10-24T18:00", "2026-10-25T07:00"),
        (DAY, NEW_YORK, "2026-03-08T01:00", "2026-03-08T12:00"),
        (DAY, NEW_YORK, "2026-11-01T00:00", "2026-11-01T13:00"),
        # A time that is skipped takes effect at the moment of the change.
        ("00:00-02:30=1M", BERLIN, "2026-03-28T23:30", "2026-03-29T01:00"),
        ("02:30-05:00=1M", NEW_YORK, "2026-03-08T06:59", "2026-03-08T07:00"),
        # An hour that comes twice counts twice: 02:30, back to 02:00, 02:30 again.
        ("00:00-02:30=1M", BERLIN, "2026-10-24T23:00", "2026-10-25T00:30"),
        ("00:00-02:30=1M", BERLIN, "2026-10-25T00:30", "2026-10-25T01:00"),
        ("00:00-02:30=1M", BERLIN, "2026-10-25T01:00", "2026-10-25T01:30"),
        ("01:15-09:00=1M", NEW_YORK, "2026-11-01T05:15", "2026-11-01T06:00"),
        ("01:15-09:00=1M", NEW_YORK, "2026-11-01T06:00", "2026-11-01T06:15"),
    ],
)
def test_changes_of_daylight_saving(text: str, zone: Any, moment: str, change: str) -> None:
    parsed = table(text, zone)
    assert parsed.next_change(at(moment)) == at(change)
    assert parsed.next_change(at(moment).astimezone(zone)) == at(change)


def test_a_span_that_is_skipped_whole_never_holds() -> None:
    parsed = table("02:10-02:50=1M", BERLIN)
    assert parsed.next_change(at("2026-03-28T12:00")) == at("2026-03-30T00:10")


def test_a_day_that_is_skipped_whole() -> None:
    apia = ZoneInfo("Pacific/Apia")  # it went from 2011-12-29 straight to 2011-12-31
    parsed = table("08:00-20:00=1M", apia)
    assert parsed.next_change(at("2011-12-29T20:30", apia)) == at("2011-12-31T08:00", apia)


@pytest.fixture
def system_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("system_zone")
@pytest.mark.parametrize("moment", ["2026-03-28T19:00", "2026-10-24T18:00", "2026-10-25T00:30"])
def test_without_a_zone_it_is_the_systems(moment: str) -> None:
    for text in (DAY, "00:00-02:30=1M"):
        expected = table(text, BERLIN).next_change(at(moment))
        assert parse_timetable(text).next_change(at(moment)) == expected


# ── properties ─────────────────────────────────────────────────────────────────────────────────

many = settings(max_examples=examples(200), deadline=None)
minutes = st.integers(0, 1439)
zones = st.sampled_from(ZONES)
moments = st.integers(1_700_000_000, 1_830_000_000).map(
    lambda seconds: datetime.fromtimestamp(seconds, UTC)
) | st.sampled_from(  # around the changes of daylight saving
    [at("2026-03-29T00:59:59"), at("2026-10-25T00:30"), at("2026-03-08T06:30"), at("2026-11-01T05")]
)


@st.composite
def timetables(draw: st.DrawFn) -> Timetable:
    marks = sorted(draw(st.sets(minutes, min_size=2, max_size=6)))
    rates = st.sampled_from([None, 0.0, 1000.0, 2000.0])
    pairs = [*pairwise(marks), (marks[-1], marks[0])]
    chosen = draw(st.lists(st.sampled_from(pairs), min_size=1, unique=True))
    spans = tuple((DaySpan(start, end), draw(rates)) for start, end in chosen)
    return Timetable(spans, None, draw(zones))


@many
@given(timetables(), moments)
def test_the_rate_is_constant_up_to_the_next_change(parsed: Timetable, moment: datetime) -> None:
    rate, change = parsed.rate_at(moment), parsed.next_change(moment)
    if change is None:
        assert parsed.rates == {rate}
        return
    assert change > moment
    assert parsed.rate_at(change) != rate
    assert parsed.rate_at(change - timedelta(microseconds=1)) == rate
    between = moment
    while between < change:
        assert parsed.rate_at(between) == rate
        between += timedelta(minutes=7)


@many
@given(minutes, st.integers(1, 23), zones, moments)
def test_a_span_holds_for_its_hours_on_the_wall(
    start: int, hours: int, zone: Any, moment: datetime
) -> None:
    """From one change to the next the clock on the wall goes on by so many hours, whatever it was
    set by meanwhile; but where it is set within a minute of a boundary's hour, that hour is cut."""
    span = DaySpan(start, (start + hours * 60) % 1440 or 1440)
    opens = next_change(moment, zone, span.boundaries, span.covers)
    assert opens is not None
    if not span.covers(_minute(opens, zone)):
        opens = next_change(opens, zone, span.boundaries, span.covers)
    assert opens is not None
    closes = next_change(opens, zone, span.boundaries, span.covers)
    assert closes is not None
    assume(_minute(opens, zone) == span.start and _minute(closes, zone) == span.end % 1440)
    wall = _naive(closes, zone) - _naive(opens, zone)
    assert wall == timedelta(hours=hours)


def _minute(moment: datetime, zone: Any) -> int:
    local = moment.astimezone(zone)
    return local.hour * 60 + local.minute


def _naive(moment: datetime, zone: Any) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)


@many
@given(minutes, st.integers(1, 1439), zones, moments)
@example(22 * 60, 480, BERLIN, at("2026-03-28T21:30"))
def test_a_window_closes_when_its_seconds_are_over(
    start: int, length: int, zone: Any, moment: datetime
) -> None:
    window = Window(DaySpan(start, (start + length) % 1440 or 1440), zone)
    left = window.seconds_left(moment)
    if left == 0:
        assert not window.span.covers(_minute(moment, zone))
        return
    assert 0 < left <= 26 * 3600
    assert window.seconds_left(moment + timedelta(seconds=left)) == 0
    assert window.seconds_left(moment + timedelta(seconds=left / 2)) > 0


@pytest.mark.parametrize(
    ("moment", "left"),
    [
        ("2026-03-28T22:00", 7.0),  # a night of seven hours
        ("2026-10-24T22:00", 9.0),
        ("2026-11-26T22:00", 8.0),
        ("2026-11-26T05:59", 1 / 60),
        ("2026-11-26T06:00", 0.0),
        ("2026-11-26T21:59", 0.0),
    ],
)
def test_a_window_over_midnight(moment: str, left: float) -> None:
    window = Window(parse_window("22:00-06:00").span, BERLIN)
    assert window.seconds_left(at(moment, BERLIN)) == pytest.approx(left * 3600)


@pytest.mark.parametrize("hour", range(24))
def test_a_window_of_any_hour(hour: int) -> None:
    """Midnight at its end is 00:00 or 24:00, as people write both."""
    window = parse_window(f"{hour:02}:00-{(hour + 1) % 24:02}:00")
    assert window == parse_window(f"{hour:02}:00-{hour + 1:02}:00")
    assert str(window) == f"{hour:02}:00-{hour + 1:02}:00"


def test_a_window_of_the_whole_day_never_closes() -> None:
    assert parse_window("00:00-24:00").seconds_left(datetime.now(UTC)) == math.inf


@pytest.mark.parametrize("value", [1320, "22:00", "22-6", "", True, ["22:00-06:00"]])
def test_what_is_no_window_is_refused(value: object) -> None:
    with pytest.raises(UsageError) as caught:
        parse_window(value)
    assert "22:00-06:00" in caught.value.next_step
