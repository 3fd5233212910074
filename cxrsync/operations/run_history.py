"""What earlier runs did, from ``runs/<UTC>.json``: whatever may lie there, and reads only."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from time import time
from typing import Any

from cxrsync.byte_samples import MAX_SAMPLES
from cxrsync.clock import Clock, time_of
from cxrsync.model import Result, is_size, partition_of
from cxrsync.operations.run_log import RUNS_FOLDER, run_names
from cxrsync.report_data import RunData, Trouble, TroubleGroup
from cxrsync.storage.filesystem import read_json
from cxrsync.storage.tree import Tree

_TROUBLES = {
    Result.FAILED.value: Trouble.FAILED,
    Result.CONTRADICTED.value: Trouble.MISMATCHED,
    Result.ACKNOWLEDGED.value: Trouble.ACKNOWLEDGED,
}
_MAX_SECONDS = 10 * 365 * 86_400.0
# What a summary is not read without.
_WRONG = (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError)


@dataclass(frozen=True, slots=True)
class RunHistory:
    """The runs of a tree, the oldest first. ``unread``: how many logs could not be read.

    ``acknowledged``: paths of the files whose mismatch the user of the last run has acknowledged.
    """

    runs: tuple[RunData, ...] = ()
    unread: int = 0
    acknowledged: frozenset[str] = frozenset()


def read_history(tree: Tree, now: Clock = time) -> RunHistory:
    """The runs that the tree has a summary of. Logs that cannot be read are counted only."""
    folder = tree.own / RUNS_FOLDER
    try:
        names = run_names(folder, now())
    except FileNotFoundError:
        return RunHistory()
    except OSError:
        return RunHistory(unread=1)
    runs: list[RunData] = []
    unread = 0
    acknowledged: frozenset[str] = frozenset()
    for name in names:
        try:
            raw = read_json(folder / name)
            runs.append(parse_run(time_of(name.removesuffix(".json")), raw))
            acknowledged = frozenset(_acknowledged(raw))
        except _WRONG:
            unread += 1
    return RunHistory(tuple(runs), unread, acknowledged)


def parse_run(began: float, raw: dict[str, Any]) -> RunData:
    """A run from the time of its beginning and its summary as JSON.

    Raises ValueError, KeyError, TypeError or AttributeError where the summary is none of ours.
    """
    files = raw["files"]
    return RunData(
        began=began,
        seconds=_seconds(raw["seconds"]),
        exit_code=_count(raw["exit_code"]),
        selection=str(raw.get("selection", "")),  # version 0.1.0 had none
        selected=_count(files["selected"]),
        present=_count(files["present"]),
        fetched=_count(files["fetched"]),
        adopted=_count(files["adopted"]),
        derived=_count(files.get("derived", 0)),  # not in version 0.3
        failed=_count(files["failed"]),
        mismatched=_count(files["mismatched"]),
        fetched_bytes=_count(raw["bytes"]["fetched"]),
        requests=_count(raw["requests"]),
        error=_without_files(str(raw.get("error", "")), str(raw["root"])),
        limited=raw.get("limited") is True,
        problems=_problems(raw["problems"]),
        samples=_samples(raw.get("samples", [])),
        **_scrubbed(raw.get("scrub")),
    )


def without_path(reason: str, path: str) -> str:
    """A reason without the path that it may repeat, so that equal reasons are equal texts."""
    for part in (path, path.rpartition("/")[2]):
        if part:
            reason = reason.replace(part, "the file")
    return reason


def _without_files(error: str, root: str) -> str:
    """An error without the names of the tree's files."""
    if not root:
        return error
    # A function, because a backslash of the root's is an escape in a replacement text.
    return re.sub(rf"{re.escape(root)}/[^\s:]+", lambda _path: f"{root}/…", error)


def _problems(raw: Any) -> tuple[TroubleGroup, ...]:
    counts: Counter[tuple[Trouble, str, str]] = Counter()
    for each in raw:
        path, result = str(each["path"]), _TROUBLES.get(each["result"])
        if result is not None:
            reason = without_path(str(each["reason"]), path)
            counts[result, partition_of(path), reason] += 1
    return tuple(TroubleGroup(*key, files) for key, files in counts.most_common())


def _acknowledged(raw: dict[str, Any]) -> Iterator[str]:
    for each in raw["problems"]:
        if each["result"] == Result.ACKNOWLEDGED.value:
            yield str(each["path"])


def _samples(raw: Any) -> tuple[tuple[float, int], ...]:
    """Raises ValueError where samples are too many, or do not follow one another."""
    samples = tuple((_seconds(seconds), _count(total)) for seconds, total in raw)
    if len(samples) > MAX_SAMPLES or any(a[0] > b[0] for a, b in pairwise(samples)):
        raise ValueError("samples")
    return samples


def _scrubbed(raw: Any) -> dict[str, int]:
    """What the scrub beside a run did; nothing where there was none."""
    if raw is None:
        return {}
    files = raw["files"]
    return {
        "scrubbed": _count(files["good"]),
        "scrubbed_bytes": _count(raw["bytes"]["good"]),
        "rotten": _count(files["bad"]) + _count(files["unreadable"]),
    }


def _count(value: Any) -> int:
    if type(value) is not int or not is_size(value):
        raise ValueError("not a count")
    return value


def _seconds(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value <= _MAX_SECONDS:
        raise ValueError("not a duration")
    return float(value)
