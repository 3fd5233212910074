"""The hours of the day in which a run may work: ``22:00-06:00``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo

from cxrsync.config.wall_clock import DaySpan, minute_of_day, next_change, parse_span


@dataclass(frozen=True, slots=True)
class Window:
    """A run may work in ``span``. ``zone``: whose clock counts; None: the system's. How changes of
    daylight saving are treated, :mod:`cxrsync.config.wall_clock` says."""

    span: DaySpan
    zone: tzinfo | None = None

    def seconds_left(self, moment: datetime) -> float:
        """Seconds until the window closes; 0 outside of it, infinite where it never closes."""
        if not self.span.covers(minute_of_day(moment, self.zone)):
            return 0.0
        closes = next_change(moment, self.zone, self.span.boundaries, self.span.covers)
        # Not the difference of two local datetimes: that one is the clock's, not the time's.
        return float("inf") if closes is None else closes.timestamp() - moment.timestamp()

    def __str__(self) -> str:
        return str(self.span)


def parse_window(value: object, label: str = "--window") -> Window:
    """``22:00-06:00`` → a window. ``label``: the option's name, for messages. Raises UsageError."""
    return value if isinstance(value, Window) else Window(parse_span(value, label))
