"""The progress as one line of text, for a terminal of any width or for a log. Pure.

In a narrow terminal the bar shrinks first, then words are left out. A number keeps its unit, or is
left out whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from cxrsync import humanize
from cxrsync.progress_events import Activity
from cxrsync.ui.progress import ProgressValues, Seconds

Bar = Callable[[float, int], str]
"""Draws a share (0 to 1) in so many columns."""

_MOST_BAR, _LEAST_BAR = 30, 5
# A range that is narrower than this part of the time is said as one number.
_NARROW = 0.2

_PHASES = {
    Activity.STARTING: "starting",
    Activity.ASKING: "asking",
    Activity.MANIFEST: "manifest",
    Activity.SELECTING: "reading the tables",
    Activity.INDEXING: "writing the index",
    Activity.PLANNING: "planning",
    Activity.COUNTING: "counting the files",
    Activity.UNPACKING: "unpacking",
    Activity.FETCHING: "fetching",
    Activity.VERIFYING: "hashing",
    Activity.COUNTING: "counting the files",
    Activity.COMPARING: "comparing",
    Activity.LISTING: "listing",
    Activity.REPORTING: "writing the report",
    Activity.NOTIFYING: "hook and ping",
    Activity.MAKING: "making synthetic data",
    Activity.DELETING: "deleting",
}


def progress_line(values: ProgressValues, width: int, bar: Bar, *, verbose: bool = False) -> str:
    """Return the richest line that fits into ``width`` columns."""
    share = values.share
    for text in _texts(values, verbose=verbose):
        percent = "" if share is None else _percent(share)
        room = width - len(percent) - len(text) - (2 if percent and text else 0)
        if room < 0:
            continue
        if share is None or not percent:
            return text
        drawn = min(_MOST_BAR, room - 2)  # more than the comma without it: its ends, and a blank
        if text and drawn >= _LEAST_BAR:
            return f"{percent} |{bar(share, drawn)}| {text}"
        return f"{percent}, {text}" if text else percent
    return ""


def log_line(values: ProgressValues, *, verbose: bool = False) -> str:
    """Return the line for a log, of whatever length. A wait has lines of its own there."""
    values = replace(values, waits="")
    share = values.share
    text = next(_texts(values, verbose=verbose))
    return text if share is None else f"{_percent(share).strip()}, {text}"


def time_left(left: Seconds) -> str:
    """Return ``3 h 5 min left``, or a range, as ``3 to 5 h left``, if it is wide."""
    if left.high - left.low <= _NARROW * left.likely:
        return f"{_duration(left.likely)} left"
    low, high = _duration(left.low), _duration(left.high)
    return f"{high} left" if low == high else f"{low} to {high} left"


def _duration(seconds: float) -> str:
    """In one unit where the next is a small part of it: an estimate is no clock."""
    if seconds < 10:
        return f"{max(1, round(seconds))} s"
    unit = next((unit for unit in (86400, 3600, 60) if seconds >= 10 * unit), 1)
    return humanize.duration(round(seconds / unit) * unit)


def _clock(seconds: float) -> str:
    """Whole seconds, as a person counts them: ``14 s``."""
    return f"{seconds:.0f} s" if seconds < 60 else humanize.duration(seconds)


def _percent(share: float) -> str:
    return f"{int(share * 100):3d} %"


def _texts(values: ProgressValues, *, verbose: bool) -> Iterator[str]:
    """Yield the text beside the bar, the richest first."""
    if values.waits:
        yield from _of_wait(values)
    elif values.activity is Activity.MANIFEST:
        yield from _of_manifest(values)
    elif values.activity in {Activity.FETCHING, Activity.VERIFYING} and values.files:
        yield from _of_files(values, verbose=verbose)
    else:
        yield from _of_phase(values)


def _of_phase(values: ProgressValues) -> Iterator[str]:
    name = _PHASES[values.activity]
    waited = f", {_clock(values.elapsed)}" if values.elapsed >= 1 else ""
    is_told = values.left is not None and values.activity is Activity.UNPACKING
    left = f", {_left(values)}" if is_told else ""
    if values.what:
        yield f"{name}: {values.what}{waited}{left}"
    yield name + waited + left
    yield name + waited
    yield name


def _of_wait(values: ProgressValues) -> Iterator[str]:
    waited = f"waiting {_clock(values.waited)}"
    yield waited + values.waits
    yield waited
    yield ""


def _of_manifest(values: ProgressValues) -> Iterator[str]:
    done = humanize.size(values.manifest_done)
    amount = done
    if values.manifest_all is not None:
        amount = humanize.part_of(values.manifest_done, values.manifest_all)
    rate, left = _rate(values), _left(values)
    of_what = f" of {values.what}" if values.what else ""
    yield _joined(f"fetching the manifest{of_what}: {amount}", rate, left)
    yield _joined(f"manifest: {amount}", rate, left)
    yield _joined(f"manifest: {done}", left)
    yield _joined("manifest", left)
    yield "manifest"


def _of_files(values: ProgressValues, *, verbose: bool) -> Iterator[str]:
    done, files = values.files_done, values.files
    long, short = f"{done:,} of {humanize.files(files)}", f"{done:,}/{files:,} files"
    amount, rate, left = _amount(values), _rate(values), _left(values)
    failed = f"{values.failed:,} failed" if values.failed else ""
    basis = ""
    if values.bytes_all is not None and values.bytes_all.basis and left:
        basis = f"by {' and '.join(values.bytes_all.basis)}"
    details = _details(values) if verbose else ""
    if basis or details:
        yield _joined(long, amount, rate, left, basis, failed, details)
    if details:
        yield _joined(long, amount, rate, left, failed, details)
    yield _joined(long, amount, rate, left, failed)
    yield _joined(short, amount, rate, left, failed)
    yield _joined(short, rate, left, failed)
    yield _joined(short, left, failed)
    yield _joined(rate, left, failed) or short
    yield _joined(left, failed) or short
    yield left or short
    yield ""


def _details(values: ProgressValues) -> str:
    connections = "1 connection" if values.connections == 1 else f"{values.connections} connections"
    return f"{connections}, {values.resumed:,} resumed, {values.retries:,} retried"


def _amount(values: ProgressValues) -> str:
    known = values.bytes_all
    if known is None:
        return humanize.size(values.bytes_done)
    is_guess = known.high - known.low > 0.01 * known.likely
    return humanize.part_of(values.bytes_done, known.likely, "about " if is_guess else "")


def _rate(values: ProgressValues) -> str:
    return f"{humanize.size(values.rate)}/s" if values.rate > 0 else ""


def _left(values: ProgressValues) -> str:
    return time_left(values.left) if values.left is not None else ""


def _joined(*parts: str) -> str:
    return ", ".join(filter(None, parts))
