"""What ``status`` tells of one tree: its files by partition, and the runs that work on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cxrsync.config.job import Job
from cxrsync.dataset.target import Target
from cxrsync.errors import ExitCode, NotFetchedYet
from cxrsync.events import EventSink, LeftOut
from cxrsync.operations.expected_files import expectation
from cxrsync.operations.html_report import gather
from cxrsync.operations.run_log import active_runs
from cxrsync.operations.status import PartitionStatus, total_of
from cxrsync.operations.status import status as count_files
from cxrsync.progress_events import Activity, Phase
from cxrsync.report_data import ReportData


@dataclass(frozen=True, slots=True)
class TreeStatus:
    """The status of one tree.

    ``selection``: which files were counted, in words. ``runs``: the progress of each run that works
    on it, the newest first. ``is_counted``: False if a run is still fetching what tells which files
    are due. ``is_recorded``: whether the tree records what it was pulled with.
    """

    target: Target
    selection: str
    partitions: Mapping[str, PartitionStatus] = field(default_factory=dict)
    runs: tuple[dict[str, Any], ...] = ()
    is_counted: bool = True
    is_recorded: bool = True
    report: ReportData | None = None

    @property
    def total(self) -> PartitionStatus:
        """The sum of all partitions."""
        return total_of(self.partitions)

    def as_json(self) -> dict[str, object]:
        """Return the status under the keys of the JSON output."""
        return {
            "dataset": self.target.dataset.slug,
            "version": self.target.version,
            "root": str(self.target.tree.root),
            "selection": self.selection,
            "partitions": {name: each.as_json() for name, each in self.partitions.items()},
            "proofs": self.total.proofs.as_json(),
            "running": self.runs[0] if self.runs else None,
            "runs": list(self.runs),
            "error": "",
            "exit_code": int(ExitCode.COMPLETE),
        }


def tree_status(
    target: Target, job: Job, emit: EventSink, *, everything: bool, with_report: bool = False
) -> TreeStatus:
    """Return the status of a tree.

    ``everything``: of the whole manifest, not of what was pulled. ``with_report``: also gather what
    an HTML report tells.

    Raises: NotFetchedYet if manifest or table are missing, and no run is fetching them; what
    :func:`expectation` raises.
    """
    emit(Phase(Activity.COUNTING, target.name))
    try:
        with expectation(target, job, everything=everything) as expected:
            for text in expected.selected.left_out:
                emit(LeftOut(text))
            gathered = gather(expected) if with_report else None
            return TreeStatus(
                target,
                expected.description,
                count_files(expected) if gathered is None else gathered.statuses,
                tuple(active_runs(target.tree)),
                is_recorded=not expected.only_present,
                report=None if gathered is None else gathered.data,
            )
    except NotFetchedYet:
        runs = tuple(active_runs(target.tree))
        if not runs or with_report:
            raise
        return TreeStatus(target, str(runs[0].get("selection", "")), runs=runs, is_counted=False)
