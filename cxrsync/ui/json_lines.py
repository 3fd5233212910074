"""JSON lines (``--json``): one JSON object per line, for other programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from time import monotonic

from cxrsync.clock import time_stamp
from cxrsync.events import (
    Checked,
    ConcurrencyChanged,
    Event,
    FileDone,
    Finished,
    Notice,
    Planned,
    Retrying,
    Started,
    Waiting,
)
from cxrsync.ui.console import Output
from cxrsync.ui.progress import Progress

_PROGRESS_SECONDS = 1.0


def _plan_fields(event: Planned) -> dict[str, object]:
    return {
        "selected": event.selected,
        "present": event.present,
        "present_bytes": event.present_bytes,
        "to_fetch": event.to_fetch,
        "to_hash": event.to_hash,
        "to_take": event.reusable,
        "blocked": event.blocked,
        "refused": [each.as_json() for each in event.refused],
        "refused_lines": event.refused_lines,
        "to_copy": event.to_copy,
        "derived": event.derived,
        "derived_bytes": event.derived_bytes,
        "copy_bytes": event.copy_bytes,
    }


JsonEvent = (
    Started | Planned | FileDone | Checked | Retrying | Waiting | ConcurrencyChanged | Notice
)


def as_fields(event: JsonEvent) -> tuple[str, dict[str, object]]:
    """The name and fields of an event as users' scripts read them.

    The keys are written by hand, so that they stay when a name in cxrsync changes.
    """
    if isinstance(event, Started):
        return "start", {
            "dataset": event.dataset,
            "version": event.version,
            "root": event.root,
            "selection": event.selection,
            "connections": event.connections,
        }
    if isinstance(event, Planned):
        return "plan", _plan_fields(event)
    if isinstance(event, FileDone):
        outcome = event.outcome
        return "file", {
            "path": outcome.path,
            "result": outcome.result.value,
            "size": outcome.size,
            "resumed": outcome.resumed,
            "reason": outcome.reason,
            "open_to_others": outcome.open_to_others,
            "source": outcome.source,
            "copy_size": outcome.copy_size,
        }
    if isinstance(event, Checked):
        return "file", {
            "path": event.path,
            "finding": event.finding.value,
            "size": event.size,
            "reason": event.reason,
        }
    if isinstance(event, Retrying):
        return "retry", {"path": event.path, "after": event.after, "reason": event.reason}
    if isinstance(event, Waiting):
        return "waiting", {"what": event.what, "waited": event.waited, "at_most": event.at_most}
    if isinstance(event, ConcurrencyChanged):
        return "connections", {"count": event.count}
    return "notice", {"text": event.text}


def progress_fields(progress: Progress) -> dict[str, object]:
    """The progress as users' scripts read it. Its keys never change."""
    values = progress.values()
    left, whole = values.left, values.bytes_all
    share = values.share
    return {
        "files_done": progress.done,
        "files_todo": progress.todo,
        "bytes_received": progress.received,
        "bytes_per_second": round(values.rate),
        "time": time_stamp(),
        "phase": values.activity.value,
        "percent": None if share is None else round(share * 100, 1),
        "files_here": values.files_done,
        "files_selected": values.files,
        "bytes_here": values.bytes_done,
        "bytes_selected": None if whole is None else round(whole.likely),
        "bytes_selected_range": None if whole is None else [round(whole.low), round(whole.high)],
        "basis": [] if whole is None else list(whole.basis),
        "seconds_left": None if left is None else round(left.likely, 1),
        "seconds_left_range": None if left is None else [round(left.low, 1), round(left.high, 1)],
        "manifest_bytes": values.manifest_done,
        "manifest_bytes_total": values.manifest_all,
        "failed": values.failed,
    }


class JsonReporter:
    """Writes one JSON object per event to standard output, and the progress every second."""

    def __init__(self, output: Output, clock: Callable[[], float] = monotonic) -> None:
        self._output = output
        self._clock = clock
        self._progress = Progress(clock)
        self._reported_at = clock()
        self._is_closed = False

    def listen(self, event: Event) -> None:
        self._progress.listen(event)
        if isinstance(event, JsonEvent):
            self._write(*as_fields(event))
        elif isinstance(event, Finished):
            self.close()
            self._write("summary", event.summary.as_json())
        self.tick()

    def tick(self) -> None:
        if not self._is_closed and self._clock() - self._reported_at >= _PROGRESS_SECONDS:
            self._reported_at = self._clock()
            self._write("progress", progress_fields(self._progress))

    def close(self) -> None:
        """Write no progress any more: the summary is the last line."""
        self._is_closed = True

    def say_summary(self, fields: dict[str, object]) -> None:
        """Write the last line of a command other than pull."""
        self.close()
        self._write("summary", fields)

    def _write(self, event: str, fields: dict[str, object]) -> None:
        self._output.write(json.dumps({"event": event, **fields}) + "\n")
