"""What a run leaves for later: ``runs/<UTC>.json``, and ``progress/<UTC>.json`` while it works."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import time
from typing import Any

import aiofiles

from cxrsync.dataset.context import RunContext
from cxrsync.events import RunSummary
from cxrsync.storage.atomic_write import UNFINISHED, write_file
from cxrsync.storage.executors import run_in_thread, wait_to_end
from cxrsync.storage.filesystem import FILE_MODE, make_folders, read_json
from cxrsync.storage.lock_owner import is_running, this_process
from cxrsync.storage.tree import Tree

PROGRESS_FOLDER = "progress"
# One file for all runs of a tree: what version 0.1.0 wrote.
OLD_PROGRESS_NAME = "progress.json"
PROGRESS_SECONDS = 5.0
# Of a process that cannot be looked up from here: several were missed.
_SILENT_SECONDS = 6 * PROGRESS_SECONDS
# Nobody is at work so long without a word. If somebody is, the next word is soon there again.
_OVER_SECONDS = 86_400.0
# What a reader goes by.
_COUNTED = {"selected", "present", "fetched", "adopted"}


@asynccontextmanager
async def progress_written(run: RunContext) -> AsyncIterator[None]:
    """Keep the run's progress file fresh, for ``status`` beside it; remove the file at the end."""

    def snapshot() -> RunSummary:
        return run.stats.summary(requests=run.source.requests, exit_code=-1)

    async with asyncio.TaskGroup() as group:
        writing = group.create_task(write_progress(run.target.tree, run.stamp, snapshot))
        yield
        writing.cancel()


async def write_progress(tree: Tree, stamp: str, snapshot: Callable[[], RunSummary]) -> None:
    """Write the progress file every few seconds until cancelled; then remove it."""
    path = tree.own / PROGRESS_FOLDER / f"{stamp}.json"
    process = this_process()
    await run_in_thread(lambda: _sweep(tree))
    try:
        while True:
            text = json.dumps({**process, "run": stamp, **snapshot().as_json()})
            with suppress(OSError):  # a convenience: the run itself will meet a full disk
                await wait_to_end(asyncio.ensure_future(_put(path, text)))
            await asyncio.sleep(PROGRESS_SECONDS)
    finally:
        with suppress(OSError):
            path.unlink()


async def _put(path: Path, text: str) -> None:
    make_folders(path.parent)
    fresh = path.with_name(f"{path.name}.{os.getpid()}{UNFINISHED}")
    fresh.unlink(missing_ok=True)  # whatever lies there may be a link to somebody's file
    async with aiofiles.open(fresh, "x", encoding="utf-8", opener=_private) as file:
        await file.write(text)
    os.replace(fresh, path)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, FILE_MODE)


def runs_at_work(tree: Tree) -> list[dict[str, Any]]:
    """What each run that is at work on the tree has done so far, the newest run first.

    A run on another machine counts as long as it was heard of lately.
    """
    found = []
    for path in _news(tree):
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
            raw = _read(path)
            running = is_running(_process(raw))
            if running or (running is None and abs(_age(path)) < _SILENT_SECONDS):
                found.append(raw)
    return sorted(found, key=lambda raw: str(raw["run"]), reverse=True)


def keep_summary(tree: Tree, stamp: str, summary: RunSummary) -> None:
    """Write down what a run did, for later."""
    with suppress(OSError, ValueError):  # a full disk must not hide what filled it
        make_folders(tree.own / "runs")
        text = json.dumps(summary.as_json(), indent=1)
        write_file(tree.own / "runs" / f"{stamp}.json", text.encode())


def _news(tree: Tree) -> list[Path]:
    folder = tree.own / PROGRESS_FOLDER
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        names = []
    return [*(folder / name for name in names), tree.own / OLD_PROGRESS_NAME]


def _read(path: Path) -> dict[str, Any]:
    """Raises OSError, ValueError, KeyError, TypeError, AttributeError."""
    raw = read_json(path)
    counts = [raw["pid"], *raw["files"].values()]
    if not all(type(count) is int and count >= 0 for count in counts):
        raise ValueError("no counts")
    if not raw["files"].keys() >= _COUNTED:
        raise ValueError("not all that a reader goes by")
    return {"run": "", **raw}


def _process(raw: dict[str, Any]) -> dict[str, Any]:
    here = this_process()
    if "host" not in raw:  # version 0.1.0 told no more than its number
        return {**here, "pid": raw["pid"], "start": ""}
    return {name: raw[name] for name in here}


def _age(path: Path) -> float:
    return time() - os.lstat(path).st_mtime


def _sweep(tree: Tree) -> None:
    """Take away the news of runs that are certainly over: they were killed."""
    for path in _news(tree):
        with suppress(OSError):
            is_over = _age(path) > _OVER_SECONDS
            with suppress(ValueError, KeyError, TypeError, AttributeError, OverflowError):
                is_over = is_over or is_running(_process(_read(path))) is False
            if is_over:
                path.unlink()
