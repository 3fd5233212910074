"""One JSON object a line, for other programs."""

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
from cxrsync.ui.progress import Pace


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


Told = Started | Planned | FileDone | Checked | Retrying | Waiting | ConcurrencyChanged | Notice


def as_fields(event: Told) -> tuple[str, dict[str, object]]:
    """An event as other people's scripts read it: its name, and its fields by hand, so that no
    name that changes in here changes theirs."""
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
    """One JSON object a line on stdout; everything human goes to stderr."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._pace = Pace()
        self._said = monotonic()

    def listen(self, event: Event) -> None:
        self._pace.listen(event)
        if isinstance(event, Told):
            self._say(*as_fields(event))
        elif isinstance(event, Finished):
            self._say("summary", event.summary.as_json())
        elif isinstance(event, Received) and monotonic() - self._said >= 1.0:
            self._said = monotonic()
            self._say(
                "progress",
                {
                    "files_done": self._pace.done,
                    "files_todo": self._pace.todo,
                    "bytes_received": self._pace.received,
                    "bytes_per_second": round(self._pace.rate),
                },
            )

    def close(self) -> None:
        """Nothing is kept open."""

    def say_summary(self, fields: dict[str, object]) -> None:
        """The last line of a command that is no pull."""
        self._say("summary", fields)

    def _say(self, event: str, fields: dict[str, object]) -> None:
        self._output.write(json.dumps({"event": event, **fields}) + "\n")
