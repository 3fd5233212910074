"""Gather what an HTML report tells, from the states, the disk and the logs of runs.

Reads only, takes no lock, and needs no more than a reader of a shared mirror may do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from sys import intern
from time import time
from typing import Any

from cxrsync import __version__
from cxrsync.clock import Clock
from cxrsync.config.job import Job
from cxrsync.dataset.partition_states import partition_names
from cxrsync.dataset.version import find_target
from cxrsync.errors import CxrsyncError
from cxrsync.events import RunSummary
from cxrsync.model import FileStat, partition_of
from cxrsync.operations.expected_files import Expectation, expectation
from cxrsync.operations.run_history import RunHistory, parse_run, read_history, without_path
from cxrsync.operations.run_log import active_runs
from cxrsync.operations.status import PartitionStatus, status, total_of
from cxrsync.plan.survey import FileStatus, Surveyed
from cxrsync.report_data import (
    PartitionData,
    ReportData,
    RunData,
    Trouble,
    TroubleGroup,
    WorkingRun,
)
from cxrsync.sanitize import reason_of
from cxrsync.storage.state_db import State
from cxrsync.storage.tree import Tree


@dataclass(slots=True)
class TroubleCounter:
    """Counts what is wrong with the files that are not verified.

    ``failures``: the reason of each file that the last run which tried it could not fetch;
    ``mismatches``: files whose bytes at the source do not have the published digest;
    ``acknowledged``: those of them that the user knows of.
    """

    failures: Mapping[str, str]
    mismatches: frozenset[str]
    acknowledged: frozenset[str] = frozenset()
    counts: Counter[tuple[Trouble, str, str]] = field(default_factory=Counter)

    def note(self, surveyed: Surveyed, where: FileStatus) -> None:
        """Count a selected file that is not verified, if a trouble of it is known."""
        found = self._trouble(surveyed, where)
        if found is not None:
            trouble, reason = found
            self.counts[trouble, partition_of(surveyed.entry.path), reason] += 1

    def _trouble(self, surveyed: Surveyed, where: FileStatus) -> tuple[Trouble, str] | None:
        path = surveyed.entry.path
        if path in self.mismatches:
            is_known = path in self.acknowledged
            return (Trouble.ACKNOWLEDGED if is_known else Trouble.MISMATCHED), ""
        if path in self.failures:
            return Trouble.FAILED, self.failures[path]
        if isinstance(surveyed.found, OSError):
            return Trouble.UNREADABLE, reason_of(surveyed.found)
        if surveyed.record is None:
            return None  # no run has come to it yet
        if where is FileStatus.HASH:
            return Trouble.CHANGED, ""
        return (Trouble.OUTDATED if isinstance(surveyed.found, FileStat) else Trouble.GONE), ""

    def groups(self) -> tuple[TroubleGroup, ...]:
        """The counts, the largest first."""
        return tuple(TroubleGroup(*key, files) for key, files in self.counts.most_common())


def trouble_counter(tree: Tree, acknowledged: Iterable[str] = ()) -> TroubleCounter:
    """A counter that knows the failures and mismatches in the states of the tree."""
    failures: dict[str, str] = {}
    mismatches: set[str] = set()
    for name in partition_names(tree):
        state = State.read(tree.partition(name))
        if state is None:
            continue
        with closing(state):
            for path, reason in state.failures():
                failures[path] = intern(without_path(reason, path))
            mismatches.update(each.path for each in state.mismatches())
    return TroubleCounter(failures, frozenset(mismatches), frozenset(acknowledged))


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a report tells, and the same counts as ``status`` prints them."""

    data: ReportData
    statuses: dict[str, PartitionStatus]


def gather(expected: Expectation, now: Clock = time) -> Gathered:
    """What a report tells of the tree that is expected. Raises what ``status`` does."""
    target = expected.target
    history = read_history(target.tree, now)
    counter = trouble_counter(target.tree, history.acknowledged)
    statuses = status(expected, counter.note, now)
    troubles = counter.groups()
    if expected.manifest.refused_lines:
        refused = TroubleGroup(Trouble.REFUSED, "", "", expected.manifest.refused_lines)
        troubles = (*troubles, refused)
    data = ReportData(
        dataset=target.dataset.slug,
        version=target.version,
        root=str(target.tree.root),
        selection=expected.description,
        made_at=now(),
        made_by=f"cxrsync {__version__}",
        partitions=tuple(_partition(name, each, troubles) for name, each in statuses.items()),
        proofs=total_of(statuses).proofs.as_data(),
        troubles=troubles,
        runs=history.runs,
        working=tuple(map(_working, active_runs(target.tree))),
        unread_runs=history.unread,
        only_present=expected.only_present,
        behind=tuple(name for name, each in statuses.items() if each.snapshot_behind),
    )
    return Gathered(data, statuses)


def _with_run(data: ReportData, summary: RunSummary | None, began: float) -> ReportData:
    """The report with the run that has just ended, where its tree could not keep its summary."""
    if summary is None or (data.runs and data.runs[-1].began >= began):
        return data
    return replace(data, runs=(*data.runs, _run_of(summary, began)))


def gather_after(
    job: Job, summary: RunSummary | None, began: float, now: Clock = time
) -> ReportData:
    """What a report tells at the end of a run, also of one that failed before it had a manifest.

    ``summary``: the run's own, None where it did not come so far. ``began``: its POSIX time.
    """
    try:
        target = find_target(job, lambda _: None)
        with expectation(target, job, everything=True) as expected:
            return _with_run(gather(expected, now).data, summary, began)
    except (CxrsyncError, OSError) as problem:
        return _with_run(_uncounted(job, reason_of(problem), now), summary, began)


def _uncounted(job: Job, unknown: str, now: Clock) -> ReportData:
    """The report where no files can be counted. ``unknown``: why."""
    try:
        target = find_target(job, lambda _: None)
        history = read_history(target.tree, now)
        version, root = target.version, str(target.tree.root)
    except (CxrsyncError, OSError):
        history = RunHistory()
        version, root = job.named_version or "", str(job.dest)
    return ReportData(
        dataset=job.dataset,
        version=version,
        root=root,
        selection=str(job.selection),
        made_at=now(),
        made_by=f"cxrsync {__version__}",
        runs=history.runs,
        unread_runs=history.unread,
        unknown=unknown,
    )


def _run_of(summary: RunSummary, began: float) -> RunData:
    raw = {**summary.as_json(), "exit_code": int(summary.exit_code), "samples": summary.samples}
    return parse_run(began, raw)


def _partition(
    name: str, counts: PartitionStatus, troubles: Iterable[TroubleGroup]
) -> PartitionData:
    return PartitionData(
        name=name,
        selected=counts.selected,
        verified=counts.verified + counts.derived,
        unverified=counts.unverified,
        missing=counts.missing,
        verified_bytes=counts.verified_bytes,
        partial_bytes=counts.partial_bytes,
        troubled=sum(
            each.files
            for each in troubles
            if each.partition == name and each.trouble is not Trouble.ACKNOWLEDGED
        ),
    )


def _working(raw: dict[str, Any]) -> WorkingRun:
    files = raw["files"]
    verified = files["present"] + files["fetched"] + files["adopted"] + files.get("derived", 0)
    return WorkingRun(verified, files["selected"])
