"""Write and read the files about runs: ``progress/<UTC>.json`` during a run, and the summary
``runs/<UTC>.json`` after it."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import time
from typing import Any

import aiofiles

from cxrsync.clock import is_ahead, is_behind, stamp_of, time_of
from cxrsync.config.job import KEPT_RUNS
from cxrsync.dataset.run_context import RunContext
from cxrsync.errors import unwrapped
from cxrsync.events import RunSummary
from cxrsync.storage.atomic_write import UNFINISHED, write_file
from cxrsync.storage.filesystem import FILE_MODE, make_folders, read_json
from cxrsync.storage.lock_owner import is_running, this_process
from cxrsync.storage.tree import Tree
from cxrsync.threads import run_in_thread, wait_to_end

PROGRESS_FOLDER = "progress"
RUNS_FOLDER = "runs"
_RUN_NAME = re.compile(r"[0-9]{8}T[0-9]{6}(\.[0-9]{1,6})?Z\.json")
# Version 0.1.0 wrote one file for all runs of a tree.
OLD_PROGRESS_NAME = "progress.json"
PROGRESS_SECONDS = 5.0
# Until the run knows which files are due: what it does changes more often.
_FIRST_SECONDS = 1.0
# A run on another machine is taken for ended after so long: it has missed several updates.
_SILENT_SECONDS = 6 * PROGRESS_SECONDS
# A file that was not updated for so long is removed. If its run still works, it writes a new one.
_STALE_SECONDS = 86_400.0
# The counts that every reader needs.
_REQUIRED_COUNTS = {"selected", "present", "fetched", "adopted"}


@asynccontextmanager
async def progress_file(run: RunContext) -> AsyncIterator[None]:
    """Keep the run's progress file, which ``status`` reads, up to date; remove it at the end."""

    def snapshot() -> RunSummary:
        return run.stats.summary(requests=run.source.requests, exit_code=-1)

    tree = run.target.tree
    try:
        with unwrapped():
            async with progress_written(tree, run.stamp, snapshot, run.stats.preparation.as_json):
                yield
    finally:
        if tree.is_given_up:  # the file was in the way of its folders
            tree.remove_created()


@asynccontextmanager
async def progress_written(
    tree: Tree,
    stamp: str,
    snapshot: Callable[[], RunSummary],
    more: Callable[[], Mapping[str, object]] = dict,
) -> AsyncIterator[None]:
    """Keep the progress file of a run up to date with what ``snapshot`` and ``more`` return."""
    async with asyncio.TaskGroup() as group:
        writing = group.create_task(write_progress(tree, stamp, snapshot, more))
        yield
        writing.cancel()


async def write_progress(
    tree: Tree,
    stamp: str,
    snapshot: Callable[[], RunSummary],
    more: Callable[[], Mapping[str, object]] = dict,
) -> None:
    """Write the progress file every few seconds until cancelled; then remove it."""
    path = tree.own / PROGRESS_FOLDER / f"{stamp}.json"
    process = this_process()
    await run_in_thread(lambda: _remove_stale(tree))
    try:
        while True:
            summary = snapshot()
            text = json.dumps({**process, "run": stamp, **summary.as_json(), **more()})
            with suppress(OSError):  # if the disk is full, the run itself will fail
                await wait_to_end(asyncio.ensure_future(_replace_file(tree, path, text)))
            await asyncio.sleep(PROGRESS_SECONDS if summary.selected.files else _FIRST_SECONDS)
    finally:
        with suppress(OSError):
            path.unlink()


async def _replace_file(tree: Tree, path: Path, text: str) -> None:
    tree.make_own_folder(path.parent)
    temporary = path.with_name(f"{path.name}.{os.getpid()}{UNFINISHED}")
    temporary.unlink(missing_ok=True)  # an existing one may be a link to another user's file
    async with aiofiles.open(temporary, "x", encoding="utf-8", opener=_open_private) as file:
        await file.write(text)
    tree.share(temporary)
    os.replace(temporary, path)


def _make_folder(tree: Tree, folder: Path) -> None:
    for new in make_folders(folder):
        tree.share(new)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, FILE_MODE)


def active_runs(tree: Tree) -> list[dict[str, Any]]:
    """Return the progress of each run that works on the tree, the newest run first.

    A run on another machine counts as long as its file was updated lately.
    """
    runs = []
    for path in _progress_files(tree):
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
            raw = _read_progress(path)
            running = is_running(_process_of(raw))
            if running or (running is None and abs(_age(path)) < _SILENT_SECONDS):
                runs.append(raw)
    return sorted(runs, key=lambda raw: str(raw["run"]), reverse=True)


def other_runs(tree: Tree) -> list[dict[str, Any]]:
    """Return the progress of each run of another process that works on the tree, the newest first.

    A disk that turned read-only keeps the progress of what this process has done.
    """
    own = this_process()
    return [raw for raw in active_runs(tree) if _process_of(raw) != own]


def write_summary(tree: Tree, stamp: str, summary: RunSummary, keep: int = KEPT_RUNS) -> None:
    """Write the summary of a run into the tree, or replace it; of all summaries the newest ``keep``
    stay."""
    folder = tree.own / RUNS_FOLDER
    with suppress(OSError, ValueError):  # a full disk must not hide the error of the run
        _make_folder(tree, folder)
        # The samples on one line: indented, they would be most of the file.
        samples = f',\n "samples": {json.dumps(summary.samples)}\n}}'
        text = json.dumps(summary.as_json(), indent=1).removesuffix("\n}") + samples
        write_file(folder / f"{stamp}.json", text.encode(), access=tree.access)
        for name in run_names(folder, time_of(stamp))[:-keep]:
            with suppress(OSError):
                (folder / name).unlink()


def run_names(folder: Path, now: float) -> list[str]:
    """The names of the summaries in a folder, the oldest first; files of others are left out.

    Names of the future come before all others: a run whose clock was ahead is not the newest one
    until that time has come. Raises OSError where the folder cannot be listed.
    """
    names = sorted(name for name in os.listdir(folder) if _RUN_NAME.fullmatch(name))
    return sorted(names, key=lambda name: not _is_ahead(name, now))


def _is_ahead(name: str, now: float) -> bool:
    return (at := _time_of_run(name)) is not None and is_ahead(at, now)


def _time_of_run(name: str) -> float | None:
    with suppress(ValueError):  # the 31st of June
        return time_of(name.removesuffix(".json"))
    return None


def run_stamp(tree: Tree, now: float) -> str:
    """Return the name of a run that begins now: of its log, and of its folder in the trash.

    A run whose clock is behind is dated after the newest one. By its own date the trash would take
    what it moves there for old.
    """
    runs = run_times(tree)
    # A second, and the fraction of the present one: another run may begin in this second, too.
    return stamp_of(max(runs) + 1 + now % 1 if is_behind(now, runs) else now)


def run_times(tree: Tree) -> list[float]:
    """When the runs began that the tree has a summary of (POSIX time), in no order."""
    try:
        names = os.listdir(tree.own / RUNS_FOLDER)
    except OSError:
        return []
    times = (_time_of_run(name) for name in names if _RUN_NAME.fullmatch(name))
    return [at for at in times if at is not None]


def _progress_files(tree: Tree) -> list[Path]:
    folder = tree.own / PROGRESS_FOLDER
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        names = []
    return [*(folder / name for name in names), tree.own / OLD_PROGRESS_NAME]


def _read_progress(path: Path) -> dict[str, Any]:
    """Read a progress file. Raises: OSError, ValueError, KeyError, TypeError, AttributeError."""
    raw = read_json(path)
    counts = [raw["pid"], *raw["files"].values()]
    if not all(type(count) is int and count >= 0 for count in counts):
        raise ValueError("no counts")
    if not raw["files"].keys() >= _REQUIRED_COUNTS:
        raise ValueError("a count is missing")
    return {"run": "", **raw}


def scrub_of(raw: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return how many files the scrub that wrote a progress file has hashed, and how many are due;
    None if a pull wrote it."""
    with suppress(KeyError, TypeError, ValueError):
        files = raw["scrub"]["files"]
        done = files["good"] + files["bad"] + files["unreadable"] + files["missing"]
        return int(done), int(files["due"])
    return None


def _process_of(raw: dict[str, Any]) -> dict[str, Any]:
    own = this_process()
    if "host" not in raw:  # version 0.1.0 wrote only the process id
        return {**own, "pid": raw["pid"], "start": ""}
    return {name: raw[name] for name in own}


def _age(path: Path) -> float:
    return time() - os.lstat(path).st_mtime


def _remove_stale(tree: Tree) -> None:
    """Remove the progress files of runs that were killed."""
    for path in _progress_files(tree):
        with suppress(OSError):
            is_stale = _age(path) > _STALE_SECONDS
            with suppress(ValueError, KeyError, TypeError, AttributeError, OverflowError):
                is_stale = is_stale or is_running(_process_of(_read_progress(path))) is False
            if is_stale:
                path.unlink()
