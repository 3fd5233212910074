"""JSON lines (``--json``): one JSON object per line, for other programs."""

from __future__ import annotations

import json
from time import monotonic

from cxrsync.events import (
    Checked,
    ConcurrencyChanged,
    Event,
    FileDone,
    Finished,
    Notice,
    Planned,
    Received,
    Retrying,
    Started,
    Waiting,
)
from cxrsync.ui.console import Output
from cxrsync.ui.progress import Progress


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


class JsonReporter:
    """Writes one JSON object per event to standard output."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._progress = Progress()
        self._reported_at = monotonic()

    def listen(self, event: Event) -> None:
        self._progress.listen(event)
        if isinstance(event, JsonEvent):
            self._write(*as_fields(event))
        elif isinstance(event, Finished):
            self._write("summary", event.summary.as_json())
        elif isinstance(event, Received) and monotonic() - self._reported_at >= 1.0:
            self._reported_at = monotonic()
            self._write(
                "progress",
                {
                    "files_done": self._progress.done,
                    "files_todo": self._progress.todo,
                    "bytes_received": self._progress.received,
                    "bytes_per_second": round(self._progress.rate),
                },
            )

    def close(self) -> None:
        """Do nothing: no resource is open."""

    def say_summary(self, fields: dict[str, object]) -> None:
        """Write the last line of a command other than pull."""
        self._write("summary", fields)

    def _write(self, event: str, fields: dict[str, object]) -> None:
        self._output.write(json.dumps({"event": event, **fields}) + "\n")
