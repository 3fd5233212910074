"""Gather the results of the tasks of one job: one summary, one exit code. Pure but for reading.

The results of a task are lines of JSON: a summary of each of its runs, and the exit code of each.
A task that was requeued has several runs. What they did adds up; how things stand, the last one
says.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxrsync.errors import ExitCode, UsageError, worst_of
from cxrsync.sanitize import reason_of

# What a run did. All other counts say how things stand.
_DONE = frozenset({"fetched", "copied", "resumed", "adopted", "deleted"})
# No task will fare better than the one that ended so, and the others are cancelled.
ENDS_ALL = frozenset({ExitCode.CREDENTIALS, ExitCode.ACCESS, ExitCode.REFUSED})
_ENDED = frozenset({ExitCode.INTERRUPTED, ExitCode.TERMINATED})


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What the runs of one task did. ``exit_code``: of the last run; None if the task did not say
    how it ended: it was killed, or it never began."""

    partition: str
    summaries: tuple[Mapping[str, Any], ...] = ()
    exit_code: int | None = None

    @property
    def last(self) -> Mapping[str, Any]:
        """The summary of the last run that wrote one."""
        return self.summaries[-1] if self.summaries else {}


@dataclass(frozen=True, slots=True)
class Gathered:
    """The result of a job. ``files``, ``bytes``: totals by their names in the summaries."""

    tasks: tuple[TaskResult, ...]
    exit_code: ExitCode
    files: Mapping[str, int] = field(default_factory=dict)
    bytes: Mapping[str, int] = field(default_factory=dict)
    requests: int = 0
    seconds: float = 0.0

    def as_json(self) -> dict[str, object]:
        """The result as users' scripts read it, under the keys of a run's summary."""
        return {
            "files": dict(self.files),
            "bytes": dict(self.bytes),
            "requests": self.requests,
            "seconds": round(self.seconds, 3),
            "exit_code": int(self.exit_code),
            "tasks": [
                {
                    "partition": task.partition,
                    "runs": len(task.summaries),
                    "exit_code": task.exit_code,
                    "error": task.last.get("error", ""),
                }
                for task in self.tasks
            ],
        }


def read_results(folder: Path, partitions: Sequence[str]) -> tuple[TaskResult, ...]:
    """Read the results of the tasks of a job from ``folder``: a file for each partition.

    Raises: UsageError if the folder cannot be read.
    """
    if not os.path.isdir(folder):
        raise UsageError(
            f"{folder} is not a folder with the results of a job",
            next_step="The job writes it, beside its logs: cxrsync-<number of the job>.",
        )
    return tuple(_read(folder / f"{name}.jsonl", name) for name in partitions)


def _read(file: Path, partition: str) -> TaskResult:
    try:
        lines = file.read_text("utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    except (OSError, ValueError) as problem:
        raise UsageError(
            f"{file} cannot be read: {reason_of(problem)}", next_step="Run the job again."
        ) from None
    return task_result(partition, lines)


def task_result(partition: str, lines: Iterable[str]) -> TaskResult:
    """Return the result of a task from its lines. A line that was cut short is left out."""
    summaries: list[Mapping[str, Any]] = []
    code: int | None = None
    for line in lines:
        with suppress(ValueError):
            values = json.loads(line)
            if not isinstance(values, dict):
                continue
            if values.get("event") == "summary":
                summaries.append(values)
                code = None  # this run has not ended yet
            elif values.get("event") == "exit" and isinstance(values.get("exit_code"), int):
                code = values["exit_code"]
    return TaskResult(partition, tuple(summaries), code)


def code_of_tasks(codes: Iterable[int]) -> ExitCode:
    """Return the exit code of a job from those of its tasks.

    A wrong password, missing access or a refusal cancels the other tasks, which are then terminated
    as a consequence.
    """
    found = list(codes)
    if ENDS_ALL.intersection(found):
        found = [code for code in found if code not in _ENDED]
    return worst_of(found)


def gather(tasks: Sequence[TaskResult]) -> Gathered:
    """Return the result of the whole job."""
    codes = [ExitCode.FILES_FAILED if each.exit_code is None else each.exit_code for each in tasks]
    return Gathered(
        tuple(tasks),
        code_of_tasks(codes),
        _totals(tasks, "files"),
        _totals(tasks, "bytes"),
        sum(_number(each.get("requests")) for task in tasks for each in task.summaries),
        max((sum(_seconds(each) for each in task.summaries) for task in tasks), default=0.0),
    )


def _totals(tasks: Sequence[TaskResult], unit: str) -> dict[str, int]:
    totals: dict[str, int] = {}
    for task in tasks:
        for number, summary in enumerate(reversed(task.summaries)):
            counts = summary.get(unit)
            for name, count in counts.items() if isinstance(counts, dict) else ():
                if number == 0 or name in _DONE:
                    totals[name] = totals.get(name, 0) + _number(count)
    if totals and "present" in totals:
        totals["present"] -= sum(_fetched_before(task, unit) for task in tasks)
    return totals


def _fetched_before(task: TaskResult, unit: str) -> int:
    """Return how many of the files that the last run found were fetched by the earlier runs."""
    earlier = [each.get(unit) for each in task.summaries[:-1]]
    return sum(
        _number(counts.get(name))
        for counts in earlier
        if isinstance(counts, dict)
        for name in ("fetched", "adopted")
    )


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _seconds(summary: Mapping[str, Any]) -> float:
    value = summary.get("seconds")
    return float(value) if isinstance(value, int | float) else 0.0
