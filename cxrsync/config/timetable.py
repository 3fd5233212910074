"""A rate limit by the local time of day: ``08:00-20:00=1M,20:00-08:00=off``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from itertools import pairwise

from cxrsync.config.quantities import parse_amount
from cxrsync.config.wall_clock import (
    DaySpan,
    clock_time,
    minute_of_day,
    next_change,
    parse_span,
)
from cxrsync.errors import UsageError

Rate = float
"""Bytes per second of all connections together; 0 is a pause."""

OFF = "off"
_FORMS = (
    "Write bytes per second of all connections together: 500k, 2M; or off; or by local time "
    '"08:00-20:00=1M,20:00-08:00=off", where 0 is a pause.'
)


@dataclass(frozen=True, slots=True)
class Timetable:
    """Which rate holds when: ``spans`` (which do not overlap) and their rates, ``otherwise`` at all
    other times. A rate of None is no limit.

    ``zone``: whose clock counts; None: the system's, with its changes of daylight saving. How these
    are treated, :mod:`cxrsync.config.wall_clock` says.
    """

    spans: tuple[tuple[DaySpan, Rate | None], ...] = ()
    otherwise: Rate | None = None
    zone: tzinfo | None = None

    def rate_at(self, moment: datetime) -> Rate | None:
        """The rate at an aware datetime; None: no limit, 0: a pause."""
        return self._rate(minute_of_day(moment, self.zone))

    def next_change(self, moment: datetime) -> datetime | None:
        """When the rate will first differ from the one at ``moment``, in UTC; None: never."""
        return next_change(moment, self.zone, self._boundaries(), self._rate)

    @property
    def rates(self) -> frozenset[Rate | None]:
        """Every rate that holds at some time of the day."""
        return frozenset(map(self._rate, [0, *self._boundaries()]))

    @property
    def slowest(self) -> Rate | None:
        """The lowest rate that is no pause; None where there is no limit at any time."""
        return min((rate for rate in self.rates if rate), default=None)

    def __str__(self) -> str:
        """The timetable as ``--limit-rate`` takes it."""
        spans = [f"{span}={_spelled(rate)}" for span, rate in self.spans]
        return ",".join(spans) or _spelled(self.otherwise)

    def _rate(self, minute: int) -> Rate | None:
        for span, rate in self.spans:
            if span.covers(minute):
                return rate
        return self.otherwise

    def _boundaries(self) -> list[int]:
        return [minute for span, _rate in self.spans for minute in span.boundaries]


def parse_timetable(value: object, label: str = "--limit-rate") -> Timetable:
    """A rate (``500k``, ``off``), a timetable as text or a mapping of spans to rates; None: no
    limit. ``label``: the option's name, for messages. Raises UsageError."""
    if isinstance(value, Timetable):
        return value
    if value is None:
        return Timetable()
    if isinstance(value, Mapping):
        table = _timetable(value.items(), label)
    elif isinstance(value, str) and "=" in value:
        pairs = (entry.partition("=") for entry in value.split(","))
        table = _timetable(((span, rate) for span, _equals, rate in pairs), label)
    else:
        table = Timetable(otherwise=_rate(value, label))
    if table.rates == {0.0}:
        raise UsageError(
            f"{label}: a rate of 0 all day would never fetch anything",
            next_step="Write off for no limit, or a rate: 500k, 2M.",
        )
    return table


def _timetable(entries: Iterable[tuple[object, object]], label: str) -> Timetable:
    spans = tuple((parse_span(span, label), _rate(rate, label)) for span, rate in entries)
    if not spans:
        raise UsageError(f"{label} is an empty timetable", next_step=_FORMS)
    parts = sorted((part, span) for span, _rate in spans for part in span.within_days())
    for (part, span), (following, other) in pairwise(parts):
        if following[0] < part[1]:
            raise UsageError(
                f"{label}: {span} and {other} overlap from {clock_time(following[0])} on",
                next_step="Let one span end where the next begins.",
            )
    return Timetable(spans)


def _spelled(rate: Rate | None) -> str:
    return OFF if rate is None else f"{rate:.0f}"


def _rate(value: object, label: str) -> Rate | None:
    if isinstance(value, bool):
        raise UsageError(
            f"{label}: {value} is not a rate",
            next_step='YAML reads off without quotes as false. Write "off", in quotes.',
        )
    if isinstance(value, str) and value.strip() == OFF:
        return None
    rate = parse_amount(value)
    if rate is None or 0 < rate < 1:
        raise UsageError(f"{label}: {value!r} is not a rate", next_step=_FORMS)
    return rate
