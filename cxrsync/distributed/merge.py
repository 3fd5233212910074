"""Merge what the tasks of one job report: their events, and their results. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from cxrsync.errors import ExitCode
from cxrsync.events import (
    ConcurrencyChanged,
    Event,
    LeftOut,
    Notice,
    Planned,
    Retrying,
    RunSummary,
    Started,
    Totals,
    Waiting,
)
from cxrsync.model import Kind
from cxrsync.operations.verify import Verification
from cxrsync.progress_events import (
    Activity,
    Expected,
    ExpectedSizes,
    Phase,
    Replanned,
    Resumed,
    Suspended,
)
from cxrsync.stats import RunStats

_MAX_PROBLEMS = 100


def _unsized(kind: Kind, files: int) -> ExpectedSizes:
    """So many files, of whose size nothing is expected; a negative number takes some back."""
    return ExpectedSizes(kind, files, 0.0, 0.0, 0.0, "")


def _of_task(event: Planned | Waiting) -> str:
    if isinstance(event, Waiting):
        return f"waiting for {event.what}"
    return f"{event.selected:,} selected, {event.to_fetch:,} to fetch"


@dataclass(slots=True)
class EventMerger:
    """The events of all tasks as those of one run.

    Each task says what concerns the whole job, as its notices: that is said once. What a task waits
    for does not stop the job. ``connections``: of all tasks. ``verbose``: say which worker has
    which task, and what it waits for.
    """

    connections: int
    verbose: bool = False
    _announced: dict[str, Mapping[Kind, int]] = field(default_factory=dict)
    _is_started: bool = False
    _told: set[str] = field(default_factory=set)
    _phase: Activity = Activity.STARTING

    def announce(
        self, files: Mapping[str, Mapping[Kind, int]], kind_of: Callable[[str], Kind]
    ) -> Iterable[Event]:
        """Yield what is selected in the partitions whose tasks have not begun, so that percent and
        time left are those of the whole job. ``files``: their numbers, by partition and kind."""
        self._announced.update(files)
        totals: dict[Kind, int] = {}
        for counts in files.values():
            for kind, count in counts.items():
                totals[kind] = totals.get(kind, 0) + count
        total = sum(totals.values())
        if total:
            yield Planned(total, 0, 0, total, 0)
            sizes = tuple(_unsized(kind, count) for kind, count in totals.items())
            yield Expected(sizes=sizes, kind_of=kind_of)

    def events(self, partition: str, worker: str, batch: Iterable[Event]) -> Iterable[Event]:
        """Yield the events of a task that concern the whole job."""
        for event in batch:
            if self.verbose and isinstance(event, Planned | Waiting):
                yield Notice(f"{partition} on {worker}: {_of_task(event)}")
            if isinstance(event, ConcurrencyChanged | Suspended | Resumed | Waiting):
                continue
            if isinstance(event, Started):
                if not self._is_started:
                    self._is_started = True
                    yield replace(event, connections=self.connections)
            elif isinstance(event, Phase):
                yield from self._new_phase(event)
            elif isinstance(event, Planned | Expected) and partition in self._announced:
                yield self._corrected(partition, event)
            elif isinstance(event, Retrying):
                yield replace(event, reason=f"{event.reason} ({partition})")
            elif isinstance(event, LeftOut | Notice):
                if event.text not in self._told:
                    self._told.add(event.text)
                    yield event
            else:
                yield event

    def _corrected(self, partition: str, event: Planned | Expected) -> Event:
        """Return what the plan of a task changes in what was announced."""
        counts = self._announced[partition]
        if isinstance(event, Planned):
            announced = sum(counts.values())
            return Replanned(
                announced, event.present, event.present_bytes, event.to_fetch, event.to_hash
            )
        del self._announced[partition]  # what follows is of a second dataset, with the reports
        known = tuple(_unsized(kind, -count) for kind, count in counts.items())
        return replace(event, sizes=(*known, *event.sizes))

    def _new_phase(self, event: Phase) -> Iterable[Event]:
        # The job is as far as its first task: some fetch while others still plan.
        order = list(Activity)
        if order.index(event.activity) > order.index(self._phase):
            self._phase = event.activity
            yield event


def merged_summary(
    summaries: Sequence[RunSummary], code: ExitCode, selection: str, error: str = ""
) -> RunSummary:
    """Return the summary of a job from those of its tasks.

    ``code``: the exit code of all tasks. ``seconds`` of the result are those of the longest task.
    """
    if not summaries:
        nothing = RunStats().summary(requests=0, exit_code=code, error=error)
        return replace(nothing, selection=selection)
    first = summaries[0]
    totals: dict[str, Any] = {
        each.name: _sum([getattr(summary, each.name) for summary in summaries])
        for each in fields(RunSummary)
        if isinstance(getattr(first, each.name), Totals)
    }
    refused = max((summary.refused for summary in summaries), key=len)
    # Each task counts the rejected lines of the whole manifest as failed files.
    again = sum(len(summary.refused) for summary in summaries) - len(refused)
    failed = totals.pop("failed")
    return replace(
        first,
        **totals,
        failed=replace(failed, files=failed.files - again),
        selection=selection,
        requests=sum(summary.requests for summary in summaries),
        seconds=max(summary.seconds for summary in summaries),
        exit_code=code,
        problems=tuple(each for summary in summaries for each in summary.problems)[:_MAX_PROBLEMS],
        refused=refused,
        error=error,
        limited=any(summary.limited for summary in summaries),
        run="",
        samples=(),
    )


def _sum(totals: Sequence[Totals]) -> Totals:
    return Totals(sum(each.files for each in totals), sum(each.bytes for each in totals))


def merged_verification(found: Sequence[Verification]) -> Verification:
    """Return the result of a verification from those of its tasks. At least one is needed."""
    first, *others = found
    merged = replace(first)
    for other in others:
        for each in fields(Verification):
            mine, theirs = getattr(merged, each.name), getattr(other, each.name)
            if not isinstance(mine, str):
                setattr(merged, each.name, mine + theirs)
    # Each task counts the rejected lines of the whole manifest.
    merged.refused_lines = max(each.refused_lines for each in found)
    return merged
