"""Listeners: a bar on a terminal, lines in a log, JSON for other programs. They only listen."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from time import monotonic
from typing import IO, Never, Protocol

from tqdm import tqdm

from cxrsync import humanize
from cxrsync.events import (
    Checked,
    Connections,
    Event,
    FileDone,
    Finding,
    Finished,
    Notice,
    Planned,
    Received,
    Retrying,
    Started,
    TreeNotice,
    Waiting,
)
from cxrsync.model import Outcome
from cxrsync.report.output import Output, to_stderr
from cxrsync.report.pace import Pace, is_problem
from cxrsync.report.summary import as_text
from cxrsync.sanitize import printable

_LOG_EVERY = 30.0
_BAR_EVERY = 0.2
_MOST_NAMED = 20
_FAULTS = {Finding.BAD, Finding.UNREADABLE, Finding.MISSING}


class Listener(Protocol):
    """Is told of every event of a run, in the event loop's thread."""

    def listen(self, event: Event) -> None: ...

    def close(self) -> None: ...


class BarListener:
    """A bar that redraws itself, for a terminal."""

    def __init__(self, stream: IO[str], *, verbose: bool) -> None:
        self._stream = stream
        self._lines = LineListener(self._write, verbose=verbose, every=None)
        self._pace = Pace()
        self._drawn = 0.0
        self._bar: tqdm[Never] | None = None

    def listen(self, event: Event) -> None:
        self._pace.listen(event)
        if isinstance(event, Planned) and (event.to_fetch or event.to_hash):
            self._open()
        if isinstance(event, Finished):
            self.close()
        self._lines.listen(event)
        if self._bar is not None and monotonic() - self._drawn > _BAR_EVERY:
            self._draw()

    def close(self) -> None:
        if self._bar is not None:
            self._draw()
            self._bar.close()
            self._bar = None

    def _open(self) -> None:
        if self._bar is None:
            self._bar = tqdm(
                total=self._pace.todo,
                file=self._stream,
                dynamic_ncols=True,
                mininterval=0,
                miniters=0,
                bar_format="{percentage:3.0f}% |{bar:20}| {desc}",
            )
        else:
            self._bar.total = self._pace.todo

    def _draw(self) -> None:
        assert self._bar is not None
        self._bar.n = self._pace.done
        count = f"{self._pace.done:,}/{self._pace.todo:,} files"
        self._bar.set_description_str(f"{count}, {self._pace}", refresh=True)
        self._drawn = monotonic()

    def _write(self, line: str) -> None:
        line = printable(line)
        if self._bar is None:
            self._stream.write(line + "\n")
            self._stream.flush()
        else:
            self._bar.write(line, file=self._stream)


class LineListener:
    """Lines for a log: what a person should know, and progress every so often."""

    def __init__(
        self, write: Callable[[str], None], *, verbose: bool, every: float | None = _LOG_EVERY
    ) -> None:
        self._write = write
        self._verbose = verbose
        self._every = every
        self._pace = Pace()
        self._said = monotonic()
        self._faults: Counter[Finding] = Counter()

    def listen(self, event: Event) -> None:
        self._pace.listen(event)
        lines = _planned(event) if isinstance(event, Planned) else [self._line(event)]
        said = [line for line in lines if line is not None]
        for line in said:
            self._write(line)
        if said:
            return
        if self._every is not None and monotonic() - self._said >= self._every:
            self._said = monotonic()
            self._write(f"{self._pace.done:,}/{self._pace.todo:,} files, {self._pace}")

    def close(self) -> None:
        """Nothing is kept open."""

    def _line(self, event: Event) -> str | None:
        if isinstance(event, Started):
            return f"{event.dataset} {event.version} ({event.selection}) → {event.root}"
        if isinstance(event, Notice):
            return f"note: {event.text}"
        if isinstance(event, FileDone):
            return _file(event.outcome, verbose=self._verbose)
        if isinstance(event, Checked) and (self._verbose or event.finding in _FAULTS):
            return self._fault(event)
        if isinstance(event, Retrying) and (self._verbose or not event.path):
            what = event.path or "the server"
            return f"waiting {humanize.duration(event.after)} for {what}: {event.reason}"
        if isinstance(event, Waiting):
            return f"waiting up to {humanize.duration(event.at_most)}: {event.what}"
        if isinstance(event, Connections) and self._verbose:
            return f"{event.count} connections from now on"
        return None

    def _fault(self, event: Checked) -> str | None:
        """Faults by name, up to a number that a person reads."""
        self._faults[event.finding] += 1
        if self._verbose or self._faults[event.finding] <= _MOST_NAMED:
            why = f": {event.reason}" if event.reason else ""
            return f"{event.finding.value}: {event.path}{why}"
        if self._faults[event.finding] == _MOST_NAMED + 1:
            return f"{event.finding.value}: and more (cxrsync -v names them all)"
        return None


def _planned(event: Planned) -> list[str]:
    text = f"{humanize.files(event.selected)} selected: {event.present:,} here and verified"
    if event.to_hash:
        text += f", {event.to_hash:,} here and to be verified"
    text += f", {event.to_fetch:,} to fetch"
    if event.to_take:
        text += f" ({event.to_take:,} of them from an older version on this disk)"
    if event.blocked:
        text += f", {event.blocked:,} that cannot be put in place"
    lines = [text]
    lines += [f"refused: manifest line {each.line}: {each.reason}" for each in event.refused[:10]]
    if event.refused_lines > 10:
        lines.append(f"refused: {event.refused_lines - 10:,} more manifest lines")
    return lines


def _plan_fields(event: Planned) -> dict[str, object]:
    return {
        "selected": event.selected,
        "present": event.present,
        "present_bytes": event.present_bytes,
        "to_fetch": event.to_fetch,
        "to_hash": event.to_hash,
        "to_take": event.to_take,
        "blocked": event.blocked,
        "refused": [each.as_json() for each in event.refused],
        "refused_lines": event.refused_lines,
    }


def _file(outcome: Outcome, *, verbose: bool) -> str | None:
    if is_problem(outcome):
        return f"{outcome.result.value}: {outcome.path}: {outcome.reason}"
    return f"{outcome.result.value}: {outcome.path}" if verbose else None


class TreeListener:
    """Which tree is taken, and nothing else: for a command whose output is a list."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def listen(self, event: Event) -> None:
        if isinstance(event, TreeNotice):
            self._write(f"note: {event.text}")

    def close(self) -> None:
        """Nothing is kept open."""


Told = Started | Planned | FileDone | Checked | Retrying | Waiting | Connections | Notice


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
    if isinstance(event, Connections):
        return "connections", {"count": event.count}
    return "notice", {"text": event.text}


class JsonListener:
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


class SummaryListener:
    """The last words of a run, for a person."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def listen(self, event: Event) -> None:
        if isinstance(event, Finished) and (text := as_text(event.summary)):
            for line in text.split("\n"):
                self._write(line)

    def close(self) -> None:
        """Nothing is kept open."""


class Audience:
    """Everyone who listens to one command. A listener whose reader has gone away is let go: that
    nobody looks is no reason to stop, nor to miss a signal."""

    def __init__(self, loudness: int, *, json_to: Output | None, progress: str) -> None:
        """For ``--progress`` (auto, bar, log, none; or tree, of a command that prints a list), and
        ``--json``, if there is an output for it.

        ``loudness``: -1 quiet, 0 normal, 1 verbose.
        """
        self._listeners: list[Listener] = [] if json_to is None else [JsonListener(json_to)]
        if loudness < 0:
            return
        if progress == "auto":
            progress = "bar" if sys.stderr.isatty() else "log"
        if progress == "bar":
            self._listeners.append(BarListener(sys.stderr, verbose=loudness > 0))
        elif progress == "log":
            self._listeners.append(LineListener(to_stderr, verbose=loudness > 0))
        elif progress == "tree":
            self._listeners.append(TreeListener(to_stderr))
        self._listeners.append(SummaryListener(to_stderr))

    def tell(self, event: Event) -> None:
        """Tell everyone who still listens."""
        self._each(lambda listener: listener.listen(event))

    def say_summary(self, fields: dict[str, object], lines: Sequence[str]) -> None:
        """The last line of a command that is no pull: for programs, and in words for people."""

        def say(listener: Listener) -> None:
            if isinstance(listener, JsonListener):
                listener.say_summary(fields)
            elif isinstance(listener, SummaryListener):
                for line in lines:
                    to_stderr(line)

        self._each(say)

    def close(self) -> None:
        """Take the bar down."""
        self._each(lambda listener: listener.close())

    def _each(self, act: Callable[[Listener], None]) -> None:
        for listener in list(self._listeners):
            try:
                act(listener)
            except OSError:
                self._listeners.remove(listener)
